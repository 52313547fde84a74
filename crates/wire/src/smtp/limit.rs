//! The named limits of mail sessions.
//!
//! In: nothing. Out: constants. Reaching one of them is a named answer or the end of the session, never a silent cut.

use std::time::Duration;

/// Octets of a command line; RFC 5321 §4.5.3.1.4 asks for 512, its extensions for some hundreds more.
pub const COMMAND_LINE: usize = 4096;
/// Octets of an address; RFC 5321 §4.5.3.1.3 asks for 256, RFC 6531 §3.1 counts more for what is not ASCII.
pub const ADDRESS: usize = 1024;
/// Parameters of a command.
pub const PARAMETERS: usize = 32;
/// Recipients of a message; RFC 5321 §4.5.3.1.8 asks for 100.
pub const RECIPIENTS: usize = 1000;
/// Commands of one session that are in error.
pub const ERRORS: u32 = 20;
/// Octets of a reply line that a server may send (RFC 5321 §4.5.3.1.5 asks for 512).
pub const REPLY_LINE: usize = 8192;
/// Lines of one reply.
pub const REPLY_LINES: usize = 128;
/// How long a server waits for a command (RFC 5321 §4.5.3.2.7).
pub const COMMAND_TIME: Duration = Duration::from_secs(300);
/// How long a server waits for the next octets of a message (RFC 5321 §4.5.3.2.5).
pub const BLOCK_TIME: Duration = Duration::from_secs(180);
/// How long a whole message may take to come in.
pub const CONTENT_TIME: Duration = Duration::from_secs(3600);
/// How long a client waits for a connection.
pub const CONNECT_TIME: Duration = Duration::from_secs(30);
/// How long a client waits for an answer (RFC 5321 §4.5.3.2.2).
pub const ANSWER_TIME: Duration = Duration::from_secs(300);
/// How long a client waits for the last answer (RFC 5321 §4.5.3.2.6).
pub const FINAL_TIME: Duration = Duration::from_secs(600);
/// How long a client keeps a connection that has nothing to do.
pub const IDLE_TIME: Duration = Duration::from_secs(20);
/// Connections to one next server at once.
pub const CONNECTIONS_OUT: usize = 32;
/// Sessions at once; at the next one, the one that has waited longest gives way.
pub const SESSIONS: usize = 4096;
