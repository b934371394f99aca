#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    observer::interpret::sql::lexer::fuzz(data);
    observer::interpret::sql::text::fuzz(data);
});
