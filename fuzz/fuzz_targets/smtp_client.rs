//! `sessions::smtp_client` under the fuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| sealpost_fuzz::sessions::smtp_client(octets));
