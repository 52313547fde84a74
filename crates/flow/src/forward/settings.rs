//! What a forward flow is: where mail comes in, for whom, to whom it is sealed, where it goes.
//!
//! In: values, from whoever reads the configuration. Out: the same. Never reads a file.

use std::path::PathBuf;

use seal::{Compression, Enrolment, Padding};
use sealed::identity::Encryption;
use sealed::signature::{SealerKey, Trust};
use store::imap::Account;
use wire::smtp::client::NextHop;
use wire::smtp::server;

use crate::delivery::settings::Listen;
use crate::forward::checks::Checks;
use crate::forward::dkim::Signer;
use crate::forward::mx;
use crate::forward::rate::Rates;
use crate::forward::recipients::Recipients;
use crate::forward::return_path::ReturnPath;
use crate::forward::rewrite::Forwarder;
use crate::forward::schedule::Schedule;
use crate::forward::spool::Spool;
use crate::forward::verdict::Strictness;

/// A forward flow. No `Debug`: it holds secrets.
pub struct Settings {
    /// Its name, as in `[flow.NAME]`.
    pub name: String,
    /// Where mail comes in.
    pub listen: Listen,
    /// How sessions are led. Its `trusted` are not counted by `rates`, and what they say of a client is.
    pub session: server::Settings,
    /// Whom it is for.
    pub recipients: Recipients,
    /// How many messages a minute somebody may send.
    pub rates: Rates,
    /// Whose mail it is.
    pub enrolment: Enrolment,
    /// Who seals.
    pub sealer: SealerKey,
    /// Other sealers whose mail counts as sealed.
    pub trust: Trust,
    /// The account's dedup secret (A7): who sends the same message again is told that it is here.
    pub dedup: [u8; 32],
    /// Whether large mail is compressed.
    pub compression: Compression,
    /// How sizes are hidden.
    pub padding: Padding,
    /// Whose `Authentication-Results` (RFC 8601 §2.2) are kept in the list view.
    pub authserv_id: Option<String>,
    /// Who checks mail that comes from strangers, and how strictly; none: nobody.
    pub checks: Option<(Checks, Strictness)>,
    /// In whose name it goes on; none: in its author's, which is for servers of the owner's own.
    pub own: Option<Own>,
    /// Where it goes.
    pub sink: Sink,
    /// Where it waits.
    pub spool: Spool,
    /// For how long.
    pub schedule: Schedule,
    /// A directory for the flow's lock; none: the spool is shared, and whoever wants may work on it.
    pub lock: Option<PathBuf>,
    /// Sessions at once; at the next one, the one that has waited longest gives way.
    pub sessions: usize,
    /// A directory for unlinked temporary files; nothing readable is written there.
    pub temporary: PathBuf,
}

/// A forwarder's own name: outside, its mail is its own (format §13.4).
pub struct Own {
    /// Who stands outside in the author's place.
    pub forwarder: Forwarder,
    /// Who signs.
    pub signer: Signer,
    /// Where bounces come to.
    pub return_path: ReturnPath,
}

/// Where mail goes.
pub enum Sink {
    /// Into a mailbox of an account.
    Account {
        /// How it is reached.
        account: Account,
        /// The mailbox's name, with `/` between the levels.
        mailbox: String,
    },
    /// To another server, by SMTP or LMTP.
    Hop {
        /// Which.
        hop: NextHop,
        /// To this address; none: to the one that it came for.
        to: Option<String>,
    },
    /// To the mail servers of a domain, as the DNS names them.
    Domain {
        /// Which domain.
        mx: Box<mx::Settings>,
        /// To this address.
        to: String,
    },
    /// Into a Maildir.
    Maildir(PathBuf),
}

impl Settings {
    /// How much sealing adds.
    pub(crate) fn growth(&self) -> Growth {
        match self.enrolment.profile().encryption() {
            Encryption::OpenPgp(_) if self.compression != Compression::Never => Growth::Compressed,
            _ => Growth::Plain,
        }
    }
}

/// How much sealing adds to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    /// The base64 of an attachment shrinks to what it stands for, and armour adds as much again: nearly one for one.
    Compressed,
    /// A third and line ends are added, and a few percent of padding (format A12).
    Plain,
}

impl Growth {
    /// Octets of a message that, once sealed, is as large as the target takes. What is announced is a promise for usual mail; each copy is measured
    /// before its sender is told 250.
    pub(crate) fn room(self, target: u64) -> u64 {
        let percent = match self {
            Growth::Compressed => 95,
            Growth::Plain => 68,
        };
        target.saturating_sub(FRAME).saturating_mul(percent) / 100
    }
}

/// Octets that every sealed message has besides its content.
const FRAME: u64 = 32 * 1024;
