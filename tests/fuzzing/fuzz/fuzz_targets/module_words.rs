//! Calls the target `module_words`; what it asserts stands in `sealbook-fuzzing`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sealbook_fuzzing::module_words(data);
});
