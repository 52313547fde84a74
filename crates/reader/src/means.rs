//! What a depot works with: whose mail it is, what opens it, with what is sealed that is put into it. In: values. Out: the same.

use seal::{Compression, NewId, OuterId, Padding, Policy, RecipientKey};
use sealed::identity::{AccountId, Profile};
use sealed::index::Way;
use sealed::signature::SealerKey;
use store::UnixSeconds;

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

impl SealWith {
    /// The engine's settings for a message that takes no original's place.
    pub(crate) fn how(&self, policy: Policy, place: seal::Place) -> seal::Settings<'_> {
        seal::Settings {
            account: self.account,
            recipients: &self.recipients,
            sealer: &self.sealer,
            profile: self.profile,
            policy,
            outer_id: OuterId::Kept,
            outer_from: None,
            compression: self.compression,
            padding: Padding::Bucket,
            id: NewId::Random,
            // It comes in no order: not counted (A9).
            sequence: 0,
            time: u64::try_from(UnixSeconds::now().0).unwrap_or_default(),
            way: Way::Client,
            place,
        }
    }
}
