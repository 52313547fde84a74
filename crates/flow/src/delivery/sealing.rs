//! One recipient's copy of a message, sealed.
//!
//! In: a message, whose it is. Out: its sealed copy in a spool of ciphertext, or the message as it came if it was encrypted already
//! (format §11). Runs on threads of its own, as many at a time as there are cores: sealing must not keep sessions waiting.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mail::HeaderSection;
use seal::RecipientKey;
use seal::{Compression, NewId, OuterFrom, OuterId, Padding, Policy, Sealing};
use sealed::identity::{AccountId, Profile};
use sealed::index::Way;
use sealed::outer::read_header_section;
use sealed::recognise::{What, recognise};
use sealed::scratch::Scratched;
use sealed::signature::{SealerKey, Trust};
use tempfile::SpooledTempFile;
use wire::smtp::Shape;

use crate::delivery::counts::Counts;
use crate::delivery::mail::Mail;
use crate::delivery::trouble::Trouble;

/// Ciphertext of one copy that is kept in memory; octets.
const IN_MEMORY: usize = 256 * 1024;
/// Octets read at a time.
const READ_BUFFER: usize = 64 * 1024;

/// Whose a copy is, and how it is sealed for him.
#[derive(Clone)]
pub(crate) struct Whose {
    pub(crate) account: AccountId,
    pub(crate) recipients: Vec<RecipientKey>,
    pub(crate) profile: Profile,
    pub(crate) policy: Policy,
}

/// Who seals, and how.
pub(crate) struct How<'a> {
    pub(crate) sealer: &'a SealerKey,
    /// Other sealers whose mail counts as sealed.
    pub(crate) trust: &'a Trust,
    pub(crate) compression: Compression,
    pub(crate) padding: Padding,
    /// Which Message-ID stands outside.
    pub(crate) outer_id: OuterId,
    /// Who stands outside in the author's place.
    pub(crate) outer_from: Option<OuterFrom>,
    pub(crate) id: NewId<'a>,
    pub(crate) way: Way,
    /// What the trusted receiving system said of the message.
    pub(crate) said: Said<'a>,
    /// A directory for unlinked temporary files of ciphertext.
    pub(crate) temporary: &'a Path,
}

/// What the trusted receiving system said of a message (RFC 8601).
pub(crate) enum Said<'a> {
    /// It stands in the message, in the first field that bears this name; none: nobody is trusted.
    Within(Option<&'a str>),
    /// This.
    #[cfg_attr(not(feature = "forward"), expect(dead_code, reason = "a forwarder needs it"))]
    This(Option<String>),
}

/// A copy, to be read once from its beginning.
pub(crate) struct Copy {
    pub(crate) octets: Octets,
    /// How many octets.
    pub(crate) length: u64,
    pub(crate) kind: Kind,
    pub(crate) shape: Shape,
    /// What proves a stored copy of what was sealed here.
    #[cfg_attr(not(feature = "forward"), expect(dead_code, reason = "a forwarder needs it"))]
    pub(crate) sealing: Option<Box<Sealing>>,
}

/// What a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sealed here.
    Sealed,
    /// Encrypted already when it came.
    Encrypted,
    /// In clear, as the configuration says.
    Clear,
}

/// Where the octets of a copy are.
pub(crate) enum Octets {
    /// Ciphertext.
    Sealed(SpooledTempFile),
    /// The message as it came.
    AsItCame(Scratched<File>),
}

impl Read for Octets {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Octets::Sealed(octets) => octets.read(into),
            Octets::AsItCame(octets) => octets.read(into),
        }
    }
}

impl Seek for Octets {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Octets::Sealed(octets) => octets.seek(to),
            Octets::AsItCame(octets) => octets.seek(to),
        }
    }
}

impl Copy {
    /// The message as it came.
    pub(crate) fn as_it_came(mail: &Mail, kind: Kind) -> Result<Copy, Trouble> {
        let mut octets = mail.copy().map_err(|_| Trouble::Engine)?;
        octets.rewind().map_err(|_| Trouble::Engine)?;
        Ok(Copy { octets: Octets::AsItCame(octets), length: mail.length(), kind, shape: mail.shape(), sealing: None })
    }
}

/// What is done with a message that is encrypted already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encrypted {
    /// It goes on as it came.
    GoesOn,
    /// It is sealed like any other.
    IsSealed,
}

/// Seals. `envelope`: MAIL FROM, and the RCPT TO that this copy is for (A10). Blocks.
pub(crate) fn seal(
    how: &How<'_>,
    counts: &Counts,
    mail: &Mail,
    whose: &Whose,
    envelope: Vec<String>,
    encrypted: Encrypted,
) -> Result<Copy, Trouble> {
    let began = Instant::now();
    // A bug that shows at one message must not stop the others.
    let made = catch_unwind(AssertUnwindSafe(|| {
        let goes_on = encrypted == Encrypted::GoesOn;
        if goes_on && is_encrypted(how, mail, whose).map_err(|_| Trouble::Engine)? {
            return Copy::as_it_came(mail, Kind::Encrypted);
        }
        seal_anew(how, mail, whose, envelope)
    }));
    counts.sealing(began.elapsed());
    made.unwrap_or(Err(Trouble::Engine))
}

/// Sealed for this account by a sealer that is pinned, or by its author: decided by parsing, never by its label (A8).
fn is_encrypted(how: &How<'_>, mail: &Mail, whose: &Whose) -> io::Result<bool> {
    let mut sealers = how.trust.sealers.clone();
    sealers.push(how.sealer.public().clone());
    let trust = Trust { accounts: vec![whose.account], sealers };
    let mut octets = mail.read()?;
    let what = recognise(&mut BufReader::with_capacity(READ_BUFFER, &mut *octets), &trust)?;
    Ok(matches!(what, What::Sealed(_) | What::SealedByUnknown(_) | What::EndToEnd(_)))
}

fn seal_anew(how: &How<'_>, mail: &Mail, whose: &Whose, envelope: Vec<String>) -> Result<Copy, Trouble> {
    let mut octets = mail.read().map_err(|_| Trouble::Engine)?;
    let authentication_results = match &how.said {
        Said::Within(Some(authserv)) => authentication_results(&mut *octets, authserv).map_err(|_| Trouble::Engine)?,
        Said::Within(None) => None,
        Said::This(said) => said.clone(),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let settings = seal::Settings {
        account: whose.account,
        recipients: &whose.recipients,
        sealer: how.sealer,
        profile: whose.profile,
        policy: whose.policy,
        outer_id: how.outer_id,
        outer_from: how.outer_from.clone(),
        compression: how.compression,
        padding: how.padding,
        id: how.id,
        // Many nodes seal for one account, and none asks the others: not counted (A9).
        sequence: 0,
        time: now.as_secs(),
        way: how.way,
        place: seal::Place { authentication_results, envelope, ..seal::Place::default() },
    };
    let spool = || Ok(tempfile::spooled_tempfile_in(IN_MEMORY, how.temporary));
    let mut out = tempfile::spooled_tempfile_in(IN_MEMORY, how.temporary);
    let sealing = seal::seal(&mut *octets, spool, &mut out, &settings).map_err(|error| Trouble::from(&error))?;
    out.flush().map_err(|_| Trouble::Engine)?;
    let length = out.seek(SeekFrom::End(0)).map_err(|_| Trouble::Engine)?;
    out.rewind().map_err(|_| Trouble::Engine)?;
    Ok(Copy {
        octets: Octets::Sealed(out),
        length,
        kind: Kind::Sealed,
        shape: Shape::Lines,
        sealing: Some(Box::new(sealing)),
    })
}

/// What the trusted receiving system said of the message: the first field that bears its name (RFC 8601 §5). A server removes
/// forged ones from outside before it adds its own.
fn authentication_results(mail: &mut (impl Read + Seek), authserv: &str) -> io::Result<Option<String>> {
    let section = read_header_section(&mut BufReader::with_capacity(READ_BUFFER, &mut *mail))?;
    mail.rewind()?;
    let Some((header, _)) = section else { return Ok(None) };
    let section = HeaderSection::parse(&header);
    let said = section.all("Authentication-Results").find_map(|field| {
        let value = String::from_utf8(field.value().to_vec()).ok()?;
        let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        let name = value.split([';', ' ']).next()?;
        (name.eq_ignore_ascii_case(authserv) && value.len() <= MAX_RESULTS).then_some(value)
    });
    Ok(said)
}

/// Longer results are left out of the list view; they stay in the message. Octets.
const MAX_RESULTS: usize = 1000;
