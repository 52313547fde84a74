//! `trust_targets::evidence` under the fuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| sealpost_fuzz::trust_targets::evidence(octets));
