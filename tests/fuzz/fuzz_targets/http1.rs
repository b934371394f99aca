#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| observer::correlate::fuzz::http1(data));
