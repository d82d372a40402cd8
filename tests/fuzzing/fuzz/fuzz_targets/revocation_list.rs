//! Calls the target `revocation_list`; what it asserts stands in `sealbook-fuzzing`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sealbook_fuzzing::revocation_list(data);
});
