//! Whom a message is sealed to: keys of either kind, and the session key wrapped to all of them: K (format §4.1, §8). In: checked
//! keys; out: octets. One message has keys of one kind only.

use sealed::{
    identity::{Encryption, Profile},
    packet::join_wrapped_keys,
    session::SessionKey,
};

use crate::{
    cms_wrap::{RsaPadding, X509Key, X509Parameters, join_recipients},
    wrap::{BadKey, OpenPgpKey},
};

/// A key that session keys can be wrapped to.
#[derive(Clone, Debug)]
pub enum RecipientKey {
    /// Of an OpenPGP certificate.
    OpenPgp(OpenPgpKey),
    /// Of an X.509 certificate.
    X509(X509Key),
}

impl RecipientKey {
    /// The same key, with this padding where it is RSA in CMS; OpenPGP has one padding only.
    pub(crate) fn padded(mut self, wanted: RsaPadding) -> Self {
        if let Self::X509(X509Key { parameters: X509Parameters::Rsa(_, padding), .. }) = &mut self {
            *padding = wanted;
        }
        self
    }
}

/// Why the session key could not be wrapped to all of them.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WrapError {
    /// One of the public keys.
    #[error(transparent)]
    BadKey(#[from] BadKey),
    /// A key of the other kind.
    #[error("OpenPGP and X.509 certificates cannot be mixed in one message")]
    OtherKind,
}

/// K: the session key wrapped to every one of `recipients`.
pub(crate) fn wrap_to_all(
    recipients: &[RecipientKey],
    key: &SessionKey,
    profile: Profile,
) -> Result<Vec<u8>, WrapError> {
    match profile.encryption() {
        Encryption::OpenPgp(version) => {
            let bodies = recipients.iter().map(|recipient| match recipient {
                RecipientKey::OpenPgp(recipient) => Ok(recipient.wrap(key, version)?),
                RecipientKey::X509(_) => Err(WrapError::OtherKind),
            });
            Ok(join_wrapped_keys(&bodies.collect::<Result<Vec<_>, _>>()?))
        }
        Encryption::Cms(_) => {
            let infos = recipients.iter().map(|recipient| match recipient {
                RecipientKey::X509(recipient) => Ok(recipient.wrap(key)?),
                RecipientKey::OpenPgp(_) => Err(WrapError::OtherKind),
            });
            Ok(join_recipients(&infos.collect::<Result<Vec<_>, _>>()?)?)
        }
    }
}
