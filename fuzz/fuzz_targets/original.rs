//! `targets::original` under the fuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| sealpost_fuzz::targets::original(octets));
