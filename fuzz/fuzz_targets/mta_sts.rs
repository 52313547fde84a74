//! `trust_targets::mta_sts` under the fuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| sealpost_fuzz::trust_targets::mta_sts(octets));
