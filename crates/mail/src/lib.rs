//! Nouns of mail: header fields, addresses, body parts, as views over octets.
//!
//! No I/O, no key, no protocol. Octets that came in are never printed back from a model: every view keeps the slice it was read from.

mod wire_form;

mod header;

mod encoded_word;

mod address;
mod content_type;

mod imap_string;

mod body_part;
mod envelope;

mod structure;

mod part_text;
mod html;

mod body_structure;
mod preview;

pub use address::{Address, AddressEntry, AddressList, MAX_ADDRESSES, addr_spec_only};
pub use body_part::{BodyPart, PartKind};
pub use body_structure::{body, body_structure};
pub use content_type::{ContentDisposition, ContentType, MAX_PARAMETERS, Parameter, Parameters};
pub use encoded_word::{decode_charset, decode_words, encode_words};
pub use envelope::{envelope, unquoted};
pub use header::{HeaderField, HeaderSection, LINE_END_WINDOW, MAX_FIELDS, header_section_end};
pub use html::text_of_html;
pub use part_text::{part_octets, part_text};
pub use preview::{MAX_PREVIEW_INPUT, PREVIEW_CHARS, preview};
pub use structure::{MAX_ALL_FIELDS, MAX_BOUNDARY, MAX_DEPTH, MAX_PART_FIELDS, MAX_PARTS, Scanner};
pub use wire_form::wire_form;
