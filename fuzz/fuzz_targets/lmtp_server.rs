//! `sessions::lmtp_server` under the fuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| sealpost_fuzz::sessions::lmtp_server(octets));
