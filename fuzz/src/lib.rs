//! The laws of the format and of mail sessions as functions over arbitrary octets; one fuzz target calls each. See README.md.

pub mod targets;
pub mod sessions;
pub mod trust_targets;
pub mod wire_targets;
