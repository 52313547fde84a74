//! What a delivery flow is: where mail comes in, to whom it is sealed, where it goes.
//!
//! In: values, from whoever reads the configuration. Out: the same. Never reads a file.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;

use seal::{Compression, Enrolment, NewId, OuterId, Padding};
use sealed::index::Way;
use sealed::signature::{SealerKey, Trust};
use wire::smtp::client::NextHop;
use wire::smtp::{Place, server};

use crate::delivery::policy::Policy;
use crate::delivery::sealing::{How, Said};
use crate::directory::Directory;

/// A delivery flow. No `Debug`: it holds secrets.
pub struct Settings {
    /// Its name, as in `[flow.NAME]`.
    pub name: String,
    /// Where mail comes in.
    pub door: Door,
    /// Where it goes.
    pub sink: Sink,
    /// Whose keys it is sealed to.
    pub directory: Arc<Directory>,
    /// What happens to mail that cannot be sealed.
    pub policy: Policy,
    /// Where mail is kept that is held, and to whom it is sealed.
    pub hold: Option<Hold>,
    /// Who seals.
    pub sealer: SealerKey,
    /// Other sealers whose mail counts as sealed. Its accounts are not looked at: the directory says whose mail it is.
    pub trust: Trust,
    /// Whether large mail is compressed.
    pub compression: Compression,
    /// How sizes are hidden.
    pub padding: Padding,
    /// Whose `Authentication-Results` (RFC 8601 §2.2) are kept in the list view, since keys of DKIM disappear.
    pub authserv_id: Option<String>,
    /// Sessions at once; at the next one, the one that has waited longest gives way.
    pub sessions: usize,
    /// A directory for unlinked temporary files; nothing readable is written there.
    pub temporary: PathBuf,
}

/// Where mail comes in.
pub enum Door {
    /// LMTP or SMTP: which, is in the session's settings.
    Mail {
        /// Where.
        listen: Listen,
        /// How sessions are led.
        session: Arc<server::Settings>,
    },
    /// The milter protocol: a mail server shows its mail, and changes it as it is told.
    Milter {
        /// Where.
        listen: Listen,
        /// How connections are led.
        session: Arc<wire::milter::Settings>,
    },
}

/// Where connections come in.
pub struct Listen {
    /// The address.
    pub place: Place,
    /// The socket, where somebody else has opened it already.
    pub socket: Option<Socket>,
}

/// A socket that somebody else has opened.
pub enum Socket {
    /// Of TCP.
    Tcp(TcpListener),
    /// Of a path.
    Unix(UnixListener),
}

/// Where mail goes.
pub enum Sink {
    /// To the next server, by SMTP or LMTP.
    Hop(NextHop),
    /// Into a Maildir.
    Maildir(PathBuf),
    /// Nowhere: the server that shows it keeps it. A milter's only; it takes one owner's recipients at a time.
    Back,
}

/// Where mail is kept that is held (A16).
#[derive(Clone)]
pub struct Hold {
    /// To whom it is sealed.
    pub enrolment: Arc<Enrolment>,
    /// The Maildir it is kept in.
    pub maildir: PathBuf,
}

impl Settings {
    /// How copies are sealed.
    pub(crate) fn how(&self) -> How<'_> {
        How {
            sealer: &self.sealer,
            trust: &self.trust,
            compression: self.compression,
            padding: self.padding,
            outer_id: OuterId::Kept,
            outer_from: None,
            id: NewId::Random,
            way: Way::Delivery,
            said: Said::Within(self.authserv_id.as_deref()),
            temporary: &self.temporary,
        }
    }
}

impl Door {
    /// Where it listens.
    pub fn listen(&self) -> &Listen {
        match self {
            Door::Mail { listen, .. } | Door::Milter { listen, .. } => listen,
        }
    }

    pub(crate) fn listen_mut(&mut self) -> &mut Listen {
        match self {
            Door::Mail { listen, .. } | Door::Milter { listen, .. } => listen,
        }
    }
}
