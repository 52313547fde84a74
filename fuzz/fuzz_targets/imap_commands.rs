//! `wire_targets::imap_commands` under the fuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| sealpost_fuzz::wire_targets::imap_commands(octets));
