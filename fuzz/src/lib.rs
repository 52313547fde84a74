//! The laws of the format as functions over arbitrary octets; one fuzz target calls each. See README.md.

pub mod targets;
pub mod wire_targets;
