//! `targets::tag_list` under the fuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| sealpost_fuzz::targets::tag_list(octets));
