//! A message sealed to the owner of a forward flow.
//!
//! In: a message, its envelope. Out: the copy, on its way. Its id comes from its octets and its envelope, if it bears a Message-ID (RFC 5322
//! §3.6.4): whoever sends it again because he was told nothing is told that it is here. Without one, two alike may well be two messages.

use std::io::{self, BufReader};
use std::path::PathBuf;
use std::sync::Arc;

use mail::HeaderSection;
use seal::{Compression, Enrolment, Expectation, NewId, OuterFrom, OuterId, Padding};
use sealed::identity::{MessageId, sha256_of};
use sealed::index;
use sealed::outer::read_header_section;
use sealed::signature::{SealerKey, Trust};
use store::UnixSeconds;

use crate::delivery::Trouble;
use crate::delivery::counts;
use crate::delivery::mail::Mail;
use crate::delivery::sealing::{Copy, Encrypted, How, Kind, Said, Whose, seal};
use crate::forward::envelope::Envelope;
use crate::forward::likeness::Likeness;
use crate::forward::parcel::{Evidence, Look, Parcel};
use crate::forward::record::{self, Who};
use crate::forward::rewrite::Author;
use crate::forward::settings::Own;
use crate::forward::spool::Tenure;
use crate::forward::trace::Path;

/// Who seals, for whom.
pub(crate) struct Sealer {
    pub(crate) flow: String,
    pub(crate) whose: Whose,
    /// An address of the owner's.
    pub(crate) owner: String,
    pub(crate) key: SealerKey,
    pub(crate) trust: Trust,
    pub(crate) dedup: [u8; 32],
    pub(crate) compression: Compression,
    pub(crate) padding: Padding,
    pub(crate) authserv_id: Option<String>,
    /// Which Message-ID stands outside. In an account, one of its own: there may be an original with the other one (format §12.6).
    pub(crate) outer_id: OuterId,
    /// In whose name it goes on.
    pub(crate) own: Option<Arc<Own>>,
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
    /// What was found out about it.
    pub(crate) found: Found,
}

/// What was found out about a message.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// Nothing was looked for here: whoever is trusted may have said something in the message.
    BySomebodyTrusted,
    /// This, as `Authentication-Results` (RFC 8601), and what it says of the author.
    Here(String, Author),
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
    /// `tenure`: in whose name the copy is in hand, if it is handed on at once.
    pub(crate) fn seal(&self, arrival: &Arrival, tenure: Tenure) -> Result<Parcel, Trouble> {
        let Arrival { mail, envelope, recipients, path, received, found } = arrival;
        let occurrence = envelope.write().into_bytes();
        let id = match path {
            Path::Named => {
                NewId::OfPlace { dedup: &self.dedup, mailbox: self.flow.as_bytes(), occurrence: &occurrence }
            }
            _ => NewId::Random,
        };
        let (said, author) = match found {
            Found::BySomebodyTrusted => (Said::Within(self.authserv_id.as_deref()), Author::Unsuspected),
            Found::Here(results, author) => (Said::This(Some(results.clone())), *author),
        };
        let how = How {
            sealer: &self.key,
            trust: &self.trust,
            compression: self.compression,
            padding: self.padding,
            outer_id: self.outer_id,
            outer_from: self.outer_from(mail, author).map_err(|_| Trouble::Engine)?,
            id,
            way: index::Way::Forwarder,
            said,
            temporary: &self.temporary,
        };
        let words = std::iter::once(envelope.from.address.clone()).chain(recipients.iter().cloned()).collect();
        let copy = seal(&how, &self.counts, mail, &self.whose, words, Encrypted::GoesOn)?;
        let Copy { octets, length, kind, shape, sealing } = copy;
        let (id, evidence) = match (kind, sealing) {
            (Kind::Sealed, Some(sealing)) => {
                let record = self.record(sealing.expectation());
                (sealing.expectation().id, Evidence::Sealing(sealing, record))
            }
            _ => self.as_it_came(mail, &occurrence).map_err(|_| Trouble::Engine)?,
        };
        let (mut envelope, received) = (envelope.clone(), *received);
        if let Some(own) = self.own.as_ref().filter(|_| !envelope.from.address.is_empty()) {
            // Made once: a server that puts strangers off must see the same one when the copy comes again.
            let now = u64::try_from(received.0).unwrap_or_default();
            envelope.from.address = own.return_path.encode(&envelope.to.address, id.0, now);
        }
        let look = Look::NotNeeded;
        Ok(Parcel { id, envelope, octets, length, shape, received, evidence, look, tenure })
    }

    /// What is known again of a message that goes on as it came, when it comes again: the same octets in the same envelope. What is encrypted anew has
    /// others.
    fn as_it_came(&self, mail: &Mail, occurrence: &[u8]) -> io::Result<(MessageId, Evidence)> {
        let original = sha256_of(&mut *mail.read()?)?;
        let occurrence = [b"as it came\n", occurrence].concat();
        let id = MessageId::of_place(&self.dedup, self.flow.as_bytes(), &occurrence, &original);
        Ok((id, Evidence::AsItCame(Likeness::of(&mut *mail.read()?)?)))
    }

    /// Who stands outside in the author's place.
    fn outer_from(&self, mail: &Mail, author: Author) -> io::Result<Option<OuterFrom>> {
        let Some(own) = &self.own else { return Ok(None) };
        let section = read_header_section(&mut BufReader::new(&mut *mail.read()?))?;
        let header = section.map(|(header, _)| header).unwrap_or_default();
        Ok(own.forwarder.instead_of(&HeaderSection::parse(&header), self.whose.policy, author))
    }

    /// What is kept with a copy that was sealed with this key, to prove it by.
    fn record(&self, expectation: &Expectation) -> Vec<u8> {
        let who = Who { account: self.whose.account, sealer: self.key.public().clone() };
        record::write(&self.dedup, expectation, &who)
    }

    /// What proves a copy from the spool: by the key that it was sealed with, which another one may have followed since.
    pub(crate) fn evidence(&self, record: &[u8]) -> Option<Evidence> {
        let now = Who { account: self.whose.account, sealer: self.key.public().clone() };
        let (expectation, Who { account, sealer }) = record::read(&self.dedup, record, now)?;
        Some(Evidence::Hashes(Box::new(expectation), account, sealer))
    }
}
