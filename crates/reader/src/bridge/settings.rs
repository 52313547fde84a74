//! What a bridge is told. In: values, from whoever reads the configuration. Out: the same. Never reads a file.

use wire::tls::ServerTls;

use super::news::Newsroom;
use super::password::Password;
use crate::means::{Means, SealWith};
use crate::settings::Settings;

/// A bridge over a Maildir or an account. No `Debug`: it holds secrets.
pub struct Bridge {
    /// Whose mail, where it lies, what opens it, where state is kept.
    pub mail: Settings,
    /// The name that mail programs log in with.
    pub user: String,
    /// What they log in with, asked anew each time: it may be another one by now. `None`: nobody may.
    pub password: Box<dyn Fn() -> Option<Password> + Send + Sync>,
    /// With what they store is sealed; `None`: they cannot store.
    pub seal: Option<SealWith>,
    /// How the way to mail programs is protected.
    pub shield: Shield,
    /// What its owner hears.
    pub news: Newsroom,
}

/// How the way to mail programs is protected.
#[derive(Clone)]
pub enum Shield {
    /// Not at all: it stays on this machine.
    Off,
    /// By STARTTLS, before anybody logs in (RFC 2595 §3).
    StartTls(ServerTls),
    /// From the first octet (RFC 8314 §3.2).
    Tls(ServerTls),
}

impl Bridge {
    /// What its depots work with.
    pub(crate) fn means(&self) -> Means<'_> {
        Means { mail: &self.mail, seal: self.seal.as_ref() }
    }
}
