//! Calls the target `statement`; what it asserts stands in `sealbook-fuzzing`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sealbook_fuzzing::statement(data);
});
