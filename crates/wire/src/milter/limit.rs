//! The named limits of a milter's connection.
//!
//! In: nothing. Out: constants. Reaching one of them is a named answer or the end of the connection, never a silent cut.

use std::time::Duration;

/// Octets of a packet that comes in. A body chunk has 65,535; a header field of Postfix may have 102,400 (`header_size_limit`).
pub const PACKET: usize = 1 << 20;
/// Octets of a packet that goes out, beside its command: libmilter's `MILTER_CHUNK_SIZE`.
pub const CHUNK: usize = 65_535;
/// Macros that come with one command.
pub const MACROS: usize = 256;
/// Octets of a line of a reply (libmilter's `MAXREPLYLEN`).
pub const REPLY_LINE: usize = 980;
/// Lines of a reply (`smfi_setmlreply`).
pub const REPLY_LINES: usize = 32;
/// How long a mail server may say nothing: its own clients take their time. libmilter waits as long.
pub const COMMAND_TIME: Duration = Duration::from_secs(7210);
/// How long the rest of a packet may take, once it has begun.
pub const PACKET_TIME: Duration = Duration::from_secs(60);
