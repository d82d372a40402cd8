//! Calls the target `key_record`; what it asserts stands in `sealbook-fuzzing`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sealbook_fuzzing::key_record(data);
});
