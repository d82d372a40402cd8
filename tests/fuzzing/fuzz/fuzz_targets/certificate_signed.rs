//! Calls the target `certificate_signed`; what it asserts stands in `sealbook-fuzzing`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sealbook_fuzzing::certificate_signed(data);
});
