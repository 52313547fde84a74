//! `sessions::milter_session` under the fuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| sealpost_fuzz::sessions::milter_session(octets));
