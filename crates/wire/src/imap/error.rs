//! What can go wrong in a session.
//!
//! In: faults of the stream, refusals of the server. Out: [`ImapError`]. Response codes: RFC 5530, RFC 3501 §7.1, RFC
//! 7162 §3.1.2. Never: a server's text, a mailbox's name, an address; only response codes from a fixed list.

use std::fmt;
use std::io;

use thiserror::Error;

use super::frame::FrameError;
use crate::sasl::SaslError;
use crate::stream::Fault;
use crate::tls::TlsError;

/// Why an order was not carried out, or why there is no session (any more).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImapError {
    /// No connection could be made.
    #[error("the server cannot be reached: {0}")]
    Connect(#[source] io::Error),
    /// TLS could not be agreed on, or broke.
    #[error("TLS failed: {0}")]
    Tls(&'static str),
    /// The server's certificate is not trusted.
    #[error("the server's certificate is not trusted: {0}")]
    Certificate(&'static str),
    /// The server said BYE, or the connection ended.
    #[error("the server closed the connection")]
    Closed,
    /// Reading, writing, or the source of a message failed.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
    /// No octet came or went for the time allowed.
    #[error("the server did not answer in time")]
    TimedOut,
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
    /// The caller gave no leave to finish.
    #[error("given up before its end")]
    Withdrawn,
    /// The connection was lost before the last octet of this message was sent: it cannot be stored.
    #[error("the message was not sent")]
    NotSent,
    /// The server said what IMAP does not allow.
    #[error("the server broke the protocol: {0}")]
    Protocol(&'static str),
    /// A limit was reached (see [`crate::limit`]).
    #[error("a limit was reached: {0}")]
    Limit(&'static str),
    /// The server refused the command.
    #[error("the server refused{}", Words(.0))]
    No(Option<Code>),
    /// The server did not understand the command.
    #[error("the server did not understand the command")]
    Bad,
    /// The credentials were refused.
    #[error("the server refused the user name or the password")]
    Authentication,
    /// The server offers no way of authentication that fits the credentials.
    #[error("the server offers no way to log in that this client knows")]
    NoMechanism,
    /// The server lacks an extension, or an order cannot be written in IMAP.
    #[error("not supported: {0}")]
    Unsupported(&'static str),
    /// The connection would not be encrypted.
    #[error("refused to talk unencrypted to anything but this machine")]
    Plaintext,
}

impl ImapError {
    /// Whether the connection is of no more use.
    pub fn is_lost(&self) -> bool {
        !self.is_refusal() && !matches!(self, Self::Unsupported(_))
    }

    /// Whether it was a tagged NO or BAD, after which the session goes on.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::No(_) | Self::Bad)
    }
}

impl From<io::Error> for ImapError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Fault>()) {
            Some(Fault::Closed) => Self::Closed,
            Some(Fault::TimedOut) => Self::TimedOut,
            Some(Fault::Stopped) => Self::Stopped,
            Some(Fault::Tls(why)) => Self::Tls(why),
            Some(Fault::Certificate(why)) => Self::Certificate(why),
            Some(Fault::Limit(what)) => Self::Limit(what),
            Some(Fault::Deflate) => Self::Protocol("octets that are not deflated as they should be"),
            None => match error.kind() {
                Kind::UnexpectedEof | Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => {
                    Self::Closed
                }
                _ => Self::Io(error),
            },
        }
    }
}

impl From<FrameError> for ImapError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Io(error) => error.into(),
            FrameError::Protocol(what) => Self::Protocol(what),
            FrameError::Limit(what) => Self::Limit(what),
        }
    }
}

impl From<SaslError> for ImapError {
    fn from(error: SaslError) -> Self {
        match error {
            SaslError::Protocol(what) => Self::Protocol(what),
            SaslError::Limit(what) => Self::Limit(what),
            SaslError::Unsupported(what) => Self::Unsupported(what),
        }
    }
}

impl From<TlsError> for ImapError {
    fn from(error: TlsError) -> Self {
        match error {
            TlsError::Trust(why) => Self::Certificate(why),
            TlsError::Setup(why) => Self::Tls(why),
        }
    }
}

/// The response codes that make a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// `LIMIT` (RFC 5530)
    Limit,
    /// `OVERQUOTA` (RFC 5530, RFC 9208)
    OverQuota,
    /// `TOOBIG` (RFC 4469, RFC 7889)
    TooBig,
    /// `TRYCREATE` (RFC 3501)
    TryCreate,
    /// `ALREADYEXISTS` (RFC 5530)
    AlreadyExists,
    /// `NONEXISTENT` (RFC 5530)
    NonExistent,
    /// `UNAVAILABLE` (RFC 5530)
    Unavailable,
    /// `SERVERBUG` (RFC 5530)
    ServerBug,
    /// `NOPERM` (RFC 5530)
    NoPerm,
    /// `INUSE` (RFC 5530)
    InUse,
    /// `AUTHENTICATIONFAILED` (RFC 5530)
    AuthenticationFailed,
    /// `AUTHORIZATIONFAILED` (RFC 5530)
    AuthorizationFailed,
    /// `EXPIRED` (RFC 5530)
    Expired,
    /// `CANNOT` (RFC 5530)
    Cannot,
    /// `READ-ONLY` (RFC 3501)
    ReadOnly,
    /// `HIGHESTMODSEQ` (RFC 7162)
    HighestModSeq,
    /// `MODIFIED` (RFC 7162)
    Modified,
    /// `THROTTLED` and the like of large providers
    Throttled,
    /// Any other
    Other,
}

impl Code {
    /// The code of this name.
    pub(crate) fn of(name: &str) -> Self {
        KNOWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or(Self::Other, |(_, code)| *code)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = KNOWN.iter().find(|(_, code)| code == self);
        f.write_str(known.map_or("OTHER", |(name, _)| name))
    }
}

const KNOWN: &[(&str, Code)] = &[
    ("LIMIT", Code::Limit),
    ("OVERQUOTA", Code::OverQuota),
    ("TOOBIG", Code::TooBig),
    ("TRYCREATE", Code::TryCreate),
    ("ALREADYEXISTS", Code::AlreadyExists),
    ("NONEXISTENT", Code::NonExistent),
    ("UNAVAILABLE", Code::Unavailable),
    ("SERVERBUG", Code::ServerBug),
    ("NOPERM", Code::NoPerm),
    ("INUSE", Code::InUse),
    ("AUTHENTICATIONFAILED", Code::AuthenticationFailed),
    ("AUTHORIZATIONFAILED", Code::AuthorizationFailed),
    ("EXPIRED", Code::Expired),
    ("CANNOT", Code::Cannot),
    ("READ-ONLY", Code::ReadOnly),
    ("HIGHESTMODSEQ", Code::HighestModSeq),
    ("MODIFIED", Code::Modified),
    ("THROTTLED", Code::Throttled),
    // quirk: Gmail says these for what others call THROTTLED and TOOBIG.
    ("OVERBANDWIDTH", Code::Throttled),
    ("BANDWIDTH", Code::Throttled),
    // quirk: Yahoo's.
    ("RATELIMIT", Code::Throttled),
];

/// A refusal's code, as the end of a sentence.
struct Words<'a>(&'a Option<Code>);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |code| write!(f, " ({code})"))
    }
}
