//! The named limits of what a mail program may say. In: nothing. Out: constants. Reaching one is answered with BAD, or ends the
//! connection where it is unknown where the next command begins.

/// Octets of one line without its literals.
pub const MAX_LINE: usize = 64 << 10;
/// Octets of one command with its literals, but for the message of an APPEND.
pub const MAX_COMMAND: usize = 1 << 20;
/// Octets of a message in an APPEND.
pub const MAX_APPEND: u64 = 512 << 20;
/// Parentheses within parentheses, NOT within NOT, OR within OR.
pub const MAX_NESTING: usize = 64;
/// Ranges in one sequence set.
pub const MAX_SET_RANGES: usize = 20_000;
/// Commands that cannot be read, one after the other, before the connection ends.
pub const MAX_BAD: u32 = 20;
