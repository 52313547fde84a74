//! `sessions::smtp_server` under the fuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| sealpost_fuzz::sessions::smtp_server(octets));
