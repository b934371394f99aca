#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    observer::decode::fuzz::survives(observer::decode::redis::Redis::opened(), data);
    observer::decode::fuzz::survives(observer::decode::redis::Redis::joined(), data);
});
