//! What a bridge is told. In: values, from whoever reads the configuration. Out: the same. Never reads a file.

use seal::{Compression, Policy, RecipientKey};
use sealed::identity::{AccountId, Profile};
use sealed::signature::SealerKey;
use wire::tls::ServerTls;

use super::password::Password;
use crate::settings::Settings;

/// A bridge over a Maildir or an account. No `Debug`: it holds secrets.
pub struct Bridge {
    /// Whose mail, where it lies, what opens it, where state is kept.
    pub mail: Settings,
    /// The name that mail programs log in with.
    pub user: String,
    /// What they log in with.
    pub password: Password,
    /// With what they store is sealed; `None`: they cannot store.
    pub seal: Option<SealWith>,
    /// How the way to mail programs is protected.
    pub shield: Shield,
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

/// What a depot works with.
#[derive(Clone, Copy)]
pub(crate) struct Means<'m> {
    /// Whose mail, where it lies, what opens it.
    pub(crate) mail: &'m Settings,
    /// With what is sealed that is put into it.
    pub(crate) seal: Option<&'m SealWith>,
}

impl Bridge {
    /// What its depots work with.
    pub(crate) fn means(&self) -> Means<'_> {
        Means { mail: &self.mail, seal: self.seal.as_ref() }
    }
}

/// How mail is sealed that a mail program stores.
pub struct SealWith {
    /// Whose mail it is.
    pub account: AccountId,
    /// Keys that open it.
    pub recipients: Vec<RecipientKey>,
    /// Who seals.
    pub sealer: SealerKey,
    /// How it is encrypted.
    pub profile: Profile,
    /// What stays outside.
    pub policy: Policy,
    /// Whether large mail is compressed.
    pub compression: Compression,
}
