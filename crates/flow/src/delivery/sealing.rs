//! One recipient's copy of a message, sealed.
//!
//! In: a message, whose it is. Out: its sealed copy in a spool of ciphertext, or the message as it came if it was encrypted already
//! (format §11). Runs on threads of its own, as many at a time as there are cores: sealing must not keep sessions waiting.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mail::HeaderSection;
use seal::RecipientKey;
use seal::{NewId, OuterId, Policy};
use sealed::identity::{AccountId, Profile};
use sealed::index::Way;
use sealed::outer::read_header_section;
use sealed::recognise::{What, recognise};
use sealed::scratch::Scratched;
use sealed::signature::Trust;
use tempfile::SpooledTempFile;
use wire::smtp::Shape;

use crate::delivery::counts::Counts;
use crate::delivery::mail::Mail;
use crate::delivery::settings::Settings;
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

/// A copy, to be read once from its beginning.
pub(crate) struct Copy {
    pub(crate) octets: Octets,
    /// How many octets.
    pub(crate) length: u64,
    pub(crate) kind: Kind,
    pub(crate) shape: Shape,
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
        Ok(Copy { octets: Octets::AsItCame(octets), length: mail.length(), kind, shape: mail.shape() })
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
    settings: &Settings,
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
        if goes_on && is_encrypted(settings, mail, whose).map_err(|_| Trouble::Engine)? {
            return Copy::as_it_came(mail, Kind::Encrypted);
        }
        seal_anew(settings, mail, whose, envelope)
    }));
    counts.sealing(began.elapsed());
    made.unwrap_or(Err(Trouble::Engine))
}

/// Sealed for this account by a sealer that is pinned, or by its author: decided by parsing, never by its label (A8).
fn is_encrypted(settings: &Settings, mail: &Mail, whose: &Whose) -> io::Result<bool> {
    let mut sealers = settings.trust.sealers.clone();
    sealers.push(settings.sealer.public().clone());
    let trust = Trust { accounts: vec![whose.account], sealers };
    let mut octets = mail.read()?;
    let what = recognise(&mut BufReader::with_capacity(READ_BUFFER, &mut *octets), &trust)?;
    Ok(matches!(what, What::Sealed(_) | What::SealedByUnknown(_) | What::EndToEnd(_)))
}

fn seal_anew(settings: &Settings, mail: &Mail, whose: &Whose, envelope: Vec<String>) -> Result<Copy, Trouble> {
    let mut octets = mail.read().map_err(|_| Trouble::Engine)?;
    let authentication_results = match &settings.authserv_id {
        Some(authserv) => authentication_results(&mut *octets, authserv).map_err(|_| Trouble::Engine)?,
        None => None,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let how = seal::Settings {
        account: whose.account,
        recipients: &whose.recipients,
        sealer: &settings.sealer,
        profile: whose.profile,
        policy: whose.policy,
        outer_id: OuterId::Kept,
        outer_from: None,
        compression: settings.compression,
        padding: settings.padding,
        id: NewId::Random,
        // Many nodes seal for one account, and none asks the others: not counted (A9).
        sequence: 0,
        time: now.as_secs(),
        way: Way::Delivery,
        place: seal::Place { authentication_results, envelope, ..seal::Place::default() },
    };
    let spool = || Ok(tempfile::spooled_tempfile_in(IN_MEMORY, &settings.temporary));
    let mut out = tempfile::spooled_tempfile_in(IN_MEMORY, &settings.temporary);
    seal::seal(&mut *octets, spool, &mut out, &how).map_err(|error| Trouble::from(&error))?;
    out.flush().map_err(|_| Trouble::Engine)?;
    let length = out.seek(SeekFrom::End(0)).map_err(|_| Trouble::Engine)?;
    out.rewind().map_err(|_| Trouble::Engine)?;
    Ok(Copy { octets: Octets::Sealed(out), length, kind: Kind::Sealed, shape: Shape::Lines })
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
