#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    observer::interpret::graphql::fuzz(data);
    observer::interpret::json::fuzz(data);
    observer::interpret::routes::fold::fuzz(data);
});
