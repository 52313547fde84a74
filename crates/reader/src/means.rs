//! What a depot works with: whose mail it is, what opens it, with what is sealed that is put into it. In: values. Out: the same.

use seal::{Compression, Policy, RecipientKey};
use sealed::identity::{AccountId, Profile};
use sealed::signature::SealerKey;

use crate::settings::Settings;

/// What a depot works with.
#[derive(Clone, Copy)]
pub(crate) struct Means<'m> {
    /// Whose mail, where it lies, what opens it.
    pub(crate) mail: &'m Settings,
    /// With what is sealed that is put into it.
    pub(crate) seal: Option<&'m SealWith>,
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
