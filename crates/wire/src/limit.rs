//! The named limits of what a server may say and of what is said to it.
//!
//! In: nothing. Out: constants. Reaching one of them is `ImapError::Limit` and the end of the connection, never a
//! silent cut.

/// Octets of one response without its literals.
pub const LINE: usize = 1 << 20;
/// Octets of one SEARCH response: every UID of a large mailbox stands in a single line (RFC 3501 §7.2.5).
pub const SEARCH_LINE: usize = 32 << 20;
/// Messages found by one SEARCH.
pub const FOUND: usize = 5_000_000;
/// Parentheses within parentheses: what servers tell of a hundred messages within messages, as Dovecot does at most.
pub const NESTING: usize = 256;
/// Values in one list, and list items in one response.
pub const LIST_ITEMS: usize = 100_000;
/// Octets of one literal that is held in memory.
pub const HELD_LITERAL: u64 = 8 << 20;
/// Octets of all literals of one response that are held in memory.
pub const HELD_RESPONSE: u64 = 32 << 20;
/// Octets of a streamed `BODY[]`.
pub const BODY: u64 = 4 << 30;
/// Untagged responses between two tagged ones.
pub const UNTAGGED: u32 = 2_000_000;
/// Capabilities of one server.
pub const CAPABILITIES: usize = 1_000;
/// Mailboxes in the answer to one LIST.
pub const LISTED: usize = 100_000;
/// Octets of all names and attributes in the answer to one LIST.
pub const LISTED_OCTETS: usize = 32 << 20;
/// Octets of one line of an authentication exchange.
pub const AUTH_LINE: usize = 16 << 10;
/// Rounds of one authentication exchange.
pub const AUTH_ROUNDS: u32 = 8;
/// SCRAM iterations that a server may ask for; more would let it burn our time (RFC 7677 §4 asks for 4096 at least).
pub const SCRAM_ITERATIONS: u32 = 2_000_000;
/// Octets of one UID set in a command; longer sets are split over several commands.
pub const SET_TEXT: usize = 8 << 10;
/// Commands sent and not yet answered.
pub const WINDOW: usize = 64;
/// Octets of small commands sent and not yet answered.
pub const WINDOW_OCTETS: usize = 32 << 10;
/// Octets that are read aside while a write waits for room.
pub const READ_ASIDE: usize = 8 << 20;
