#![no_main]
// The Parquet library's own panics are caught where it is called; those that nobody catches still end the run.
libfuzzer_sys::fuzz_target!(
    init: { std::panic::set_hook(Box::new(|_| {})) },
    |bytes: &[u8]| flowlake_tests::fuzz::parquet(bytes)
);
