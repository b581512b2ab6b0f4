#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| flowlake_tests::fuzz::envelope(bytes));
