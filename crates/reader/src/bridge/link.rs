//! The connection to a mail program, and how answers look (RFC 3501 §7). In: texts. Out: lines. Never content but what a handler writes itself.

use std::io::BufWriter;

use wire::imap::server::{Connection, Leg};

/// A connection.
pub(crate) type Link = Connection<Leg, BufWriter<Leg>>;
