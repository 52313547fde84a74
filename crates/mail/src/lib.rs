//! Nouns of mail: header fields, addresses, body parts, as views over octets.
//!
//! No I/O, no key, no protocol. Octets that came in are never printed back from a model: every view keeps the slice it was read from.

mod header;

pub use header::{HeaderField, HeaderSection, LINE_END_WINDOW, MAX_FIELDS, header_section_end};
