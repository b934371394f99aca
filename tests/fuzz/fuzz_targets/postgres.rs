#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| observer::decode::fuzz::survives(observer::decode::postgres::Postgres::default(), data));
