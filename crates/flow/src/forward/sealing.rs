//! A message sealed to the owner of a forward flow.
//!
//! In: a message, its envelope. Out: the copy, on its way. Its id comes from its octets and its envelope, if it bears a Message-ID (RFC 5322
//! §3.6.4): whoever sends it again because he was told nothing is told that it is here. Without one, two alike may well be two messages.

use std::path::PathBuf;
use std::sync::Arc;

use seal::{Compression, Enrolment, Expectation, NewId, OuterId, Padding};
use sealed::identity::{MessageId, sha256_of};
use sealed::index;
use sealed::signature::{SealerKey, SealerPublic, Trust};
use store::UnixSeconds;

use crate::delivery::Trouble;
use crate::delivery::counts;
use crate::delivery::mail::Mail;
use crate::delivery::sealing::{Copy, Encrypted, How, Kind, Said, Whose, seal};
use crate::forward::envelope::Envelope;
use crate::forward::parcel::{Evidence, Look, Parcel};
use crate::forward::trace::Path;

/// Who seals, for whom.
pub(crate) struct Sealer {
    pub(crate) flow: String,
    pub(crate) whose: Whose,
    pub(crate) key: SealerKey,
    pub(crate) trust: Trust,
    pub(crate) dedup: [u8; 32],
    pub(crate) compression: Compression,
    pub(crate) padding: Padding,
    pub(crate) authserv_id: Option<String>,
    /// Which Message-ID stands outside. In an account, one of its own: there may be an original with the other one (format §12.6).
    pub(crate) outer_id: OuterId,
    pub(crate) temporary: PathBuf,
    pub(crate) counts: Arc<counts::Counts>,
}

/// A message that was taken, and all that is known of it besides its octets.
pub(crate) struct Arrival {
    pub(crate) mail: Mail,
    pub(crate) envelope: Envelope,
    /// All of the owner's addresses that it came for; the envelope has the first one.
    pub(crate) recipients: Vec<String>,
    pub(crate) path: Path,
    pub(crate) received: UnixSeconds,
}

/// To whom it is sealed; none without a certificate.
pub(crate) fn whose(enrolment: &Enrolment) -> Option<Whose> {
    Some(Whose {
        account: enrolment.account()?,
        recipients: enrolment.recipients(),
        profile: enrolment.profile(),
        policy: enrolment.policy,
    })
}

impl Sealer {
    /// Seals; or lets it be, if its author has encrypted it. Blocks.
    pub(crate) fn seal(&self, arrival: &Arrival) -> Result<Parcel, Trouble> {
        let Arrival { mail, envelope, recipients, path, received } = arrival;
        let occurrence = envelope.write().into_bytes();
        let id = match path {
            Path::Named => {
                NewId::OfPlace { dedup: &self.dedup, mailbox: self.flow.as_bytes(), occurrence: &occurrence }
            }
            _ => NewId::Random,
        };
        let how = How {
            sealer: &self.key,
            trust: &self.trust,
            compression: self.compression,
            padding: self.padding,
            outer_id: self.outer_id,
            id,
            way: index::Way::Forwarder,
            said: Said::Within(self.authserv_id.as_deref()),
            temporary: &self.temporary,
        };
        let words = std::iter::once(envelope.from.address.clone()).chain(recipients.iter().cloned()).collect();
        let copy = seal(&how, &self.counts, mail, &self.whose, words, Encrypted::GoesOn)?;
        let Copy { octets, length, kind, shape, sealing } = copy;
        let (id, evidence) = match (kind, sealing) {
            (Kind::Sealed, Some(sealing)) => (sealing.expectation().id, Evidence::Sealing(sealing)),
            _ => {
                let hash = mail.read().and_then(|mut octets| sha256_of(&mut *octets)).map_err(|_| Trouble::Engine)?;
                (MessageId::random(), Evidence::AsItCame(hash))
            }
        };
        let (envelope, received) = (envelope.clone(), *received);
        Ok(Parcel { id, envelope, octets, length, shape, received, evidence, look: Look::NotNeeded })
    }

    /// What proves a copy from the spool.
    pub(crate) fn evidence(&self, expectation: Expectation) -> Evidence {
        let sealer: SealerPublic = self.key.public().clone();
        Evidence::Hashes(Box::new(expectation), self.whose.account, sealer)
    }
}
