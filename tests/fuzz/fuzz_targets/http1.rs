#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| observer::decode::fuzz::survives(observer::decode::http1::Http1::default(), data));
