//! Every limit of the format, named. Reaching one is an error with a fate, never a silent cut.

/// Octets of a sealed message's outer header section that a reader looks at (format §14: 256 KiB).
pub const MAX_HEADER_SECTION: usize = 256 * 1024;
/// Octets of one header field, name and value, unfolded, that a writer stays below (RFC 5322 §2.1.1 allows 998; some
/// clients unfold fields and cut them near 1,000).
pub const MAX_FIELD_UNFOLDED: usize = 900;
/// Parts (`n=i/m`) that `Sealed-Key` and `Sealed-Fields` together may be split into.
pub const MAX_FIELD_PARTS: usize = 64;
/// Octets of all our header fields together that a writer refuses to pass.
pub const MAX_OWN_FIELDS: usize = 16 * 1024;
/// Public-key encrypted session keys in one message.
pub const MAX_WRAPPED_KEYS: usize = 64;
/// Octets of the key material K.
pub const MAX_KEY_MATERIAL: usize = 64 * 1024;
/// Octets of the fields blob F.
pub const MAX_FIELDS_BLOB: usize = 64 * 1024;
/// Octets of the payload's own header section.
pub const MAX_PAYLOAD_HEADER: usize = 512 * 1024;
/// Octets of an original: the definite 4-octet lengths of the packets that hold it end shortly above.
pub const MAX_ORIGINAL: u64 = 3 * 1024 * 1024 * 1024;
/// Compressed content may be at most this much smaller than what it holds (OpenPGP clients refuse more as a bomb).
pub const MAX_COMPRESSION_RATIO: u64 = 100;
/// A writer stores content uncompressed above this ratio, well below what readers refuse.
pub const STORE_ABOVE_RATIO: u64 = 50;
/// Octets around the armored message (preamble, part headers, epilogue) that a reader keeps to judge the shape.
pub const MAX_SURROUNDINGS: usize = 8 * 1024;
/// Octets of one line of a part in a transfer encoding (RFC 2045 §6.7, §6.8 allow 76; servers that re-encode keep to it).
pub const MAX_ENCODED_LINE: usize = 4 * 1024;
