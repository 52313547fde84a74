//! What a server does to sealed mail, found out before any mail is touched (format §12.7).
//!
//! In: a session. Out: whether a sealed test message comes back from a scratch mailbox as it was put there, and whether the server
//! takes two messages of one Message-ID for the same. Leaves nothing behind. Never touches mail.

use std::io::{BufReader, Cursor};

use sealed::field::encode_id;
use sealed::identity::random;
use store::imap::{Desk, Mailbox, Removal, parse_date};
use store::{SpecialUse, UnixSeconds};
use wire::imap::{Append, Code, Fetched, ImapError, UidSet};

use crate::owner::{Lies, Owner};
use crate::settings::Settings;
use crate::swept::SweepError;

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Sealed mail comes back as it was.
    Faithful,
    /// The same, if it has a Message-ID of its own.
    OwnMessageIds,
    /// No scratch mailbox could be made: each message is proved by itself.
    Unknown,
}

impl Verdict {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Verdict::Faithful => "faithful",
            Verdict::OwnMessageIds => "own-message-ids",
            Verdict::Unknown => "unknown",
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Verdict> {
        [Verdict::Faithful, Verdict::OwnMessageIds, Verdict::Unknown].into_iter().find(|verdict| verdict.word() == word)
    }
}

/// Date of arrival that test messages get.
const DATE: &str = "17-Jul-2019 02:44:25 -0700";

/// Whom test messages, sealed or not, are from.
const SENDER: &[u8] = b"<probe@sealed.invalid>";
/// Octets of a test message that comes back.
const MOST_OCTETS: u64 = 1024 * 1024;

/// Tries it out.
pub(crate) fn probe(desk: &mut Desk, removal: &Removal, settings: &Settings) -> Result<Verdict, SweepError> {
    let unique = encode_id(&random::<8>());
    let scratch = Mailbox::named(&format!("Sealpost-Probe-{}", unique.replace(['-', '_'], "x")), None);
    match desk.session().create(scratch.wire()) {
        Ok(()) => {}
        Err(error) if error.is_refusal() => return Ok(Verdict::Unknown),
        Err(error) => return Err(error.into()),
    }
    let verdict = try_out(desk, &scratch, removal, settings, &unique);
    // Whatever came of it; what is left of it, if anything, is a mailbox with test messages.
    let cleaned = clean(desk, &scratch, removal);
    let verdict = verdict?;
    cleaned?;
    Ok(verdict)
}

fn try_out(
    desk: &mut Desk,
    scratch: &Mailbox,
    removal: &Removal,
    settings: &Settings,
    unique: &str,
) -> Result<Verdict, SweepError> {
    desk.reopen(scratch)?;
    let original = format!(
        "From: Sealpost <probe@sealed.invalid>\r\nTo: probe@sealed.invalid\r\nSubject: A test of this mailbox\r\n\
         Date: Wed, 17 Jul 2019 02:44:25 -0700\r\nMessage-ID: <{unique}@sealed.invalid>\r\n\r\n\
         Sealpost asks how this server treats sealed mail. It removes this message at once.\r\n"
    );
    put(desk, scratch, original.as_bytes())?;
    let before = all(desk)?;
    let is_gmail = matches!(removal, Removal::Through(_));
    let verdicts = match is_gmail {
        true => &[Verdict::OwnMessageIds][..],
        false => &[Verdict::Faithful, Verdict::OwnMessageIds],
    };
    for verdict in verdicts {
        let owner = Owner::of(settings, UnixSeconds::now()).ok_or(SweepError::NoCertificate)?;
        let owner = match verdict {
            Verdict::OwnMessageIds => owner.with_own_message_ids(),
            _ => owner,
        };
        let lies = Lies {
            mailbox: scratch.name(),
            occurrence: unique.as_bytes(),
            internal_date: Some(DATE.to_owned()),
            flags: vec!["\\Seen".to_owned()],
        };
        let mut sealed = Vec::new();
        let sealing = owner
            .seal(&mut Cursor::new(original.as_bytes()), lies, 0, &mut sealed)
            .map_err(|_| SweepError::Provider("a test message could not even be sealed"))?;
        put(desk, scratch, &sealed)?;
        let new: Vec<Fetched<Vec<u8>>> =
            all(desk)?.into_iter().filter(|one| !before.iter().any(|old| old.uid == one.uid)).collect();
        let originals_stay = before.len() == 1;
        let [copy] = new.as_slice() else {
            // Taken for the message that was there before: with a Message-ID of its own, perhaps?
            if new.is_empty() && originals_stay {
                continue;
            }
            return Err(SweepError::Provider("it does not keep what it is given"));
        };
        let Some(Ok(octets)) = &copy.body else {
            return Err(SweepError::Provider("it does not give back what it was given"));
        };
        let mut spool = Cursor::new(Vec::new());
        if sealing.prove(&mut BufReader::new(octets.as_slice()), &mut spool).is_err() {
            return Err(SweepError::Provider("it changes or damages the message, or drops its header fields"));
        }
        let instant = |text: &str| parse_date(text);
        if copy.internal_date.as_deref().and_then(instant) != instant(DATE) {
            return Err(SweepError::Provider("it does not keep the date of arrival"));
        }
        let seen = copy.flags.iter().flatten().any(|flag| flag.eq_ignore_ascii_case("\\Seen"));
        if !seen {
            return Err(SweepError::Provider("it does not keep the mark of a message that was read"));
        }
        return Ok(*verdict);
    }
    Err(SweepError::Provider("it takes the sealed copy for the message that it was made of"))
}

fn put(desk: &mut Desk, scratch: &Mailbox, octets: &[u8]) -> Result<(), SweepError> {
    let mut octets = Cursor::new(octets);
    let length = u64::try_from(octets.get_ref().len()).unwrap_or(u64::MAX);
    let (flags, internal_date) = (vec!["\\Seen".to_owned()], Some(DATE.to_owned()));
    let mut message = [Append { flags, internal_date, length, octets: &mut octets }];
    let answers = desk.session().append(scratch.wire(), &mut message).map_err(|lost| lost.error)?;
    match answers.into_iter().next() {
        Some(Err(ImapError::No(Some(Code::OverQuota)))) => Err(SweepError::AccountFull),
        Some(Err(_)) | None => Err(SweepError::Provider("it does not take a test message")),
        Some(Ok(_)) => Ok(()),
    }
}

fn all(desk: &mut Desk) -> Result<Vec<Fetched<Vec<u8>>>, ImapError> {
    desk.session().noop()?;
    let mut found = Vec::new();
    if desk.session().exists() > 0 {
        let mut every = UidSet::new();
        every.insert_range(1, u32::MAX);
        // A test message is small, whatever a server says of it.
        let body = |length| match length > MOST_OCTETS {
            true => Err(std::io::ErrorKind::FileTooLarge.into()),
            false => Ok(Vec::new()),
        };
        let items = "UID FLAGS INTERNALDATE BODY.PEEK[]";
        desk.session().uid_fetch(&every, items, body, |fetched| {
            if fetched.body.is_some() {
                found.push(fetched);
            }
        })?;
    }
    Ok(found)
}

fn clean(desk: &mut Desk, scratch: &Mailbox, removal: &Removal) -> Result<(), SweepError> {
    desk.turn_to(scratch)?;
    let uids: UidSet = all(desk)?.iter().map(|one| one.uid).collect();
    removal.remove(desk, &uids)?;
    // Some servers do not remove a mailbox that lies open.
    desk.leave_mailbox()?;
    match desk.session().delete(scratch.wire()) {
        Err(error) if !error.is_refusal() => Err(error.into()),
        _ => Ok(()),
    }
}

/// Removes what a probe left behind that was cut off: a mailbox with no more than its test messages.
pub(crate) fn clean_up(desk: &mut Desk, mailbox: &Mailbox, removal: &Removal) -> Result<(), SweepError> {
    desk.turn_to(mailbox)?;
    let is_ours = |one: &Fetched<Vec<u8>>| {
        let octets = one.body.as_ref().and_then(|body| body.as_ref().ok());
        octets.is_some_and(|octets| octets.windows(SENDER.len()).any(|part| part == SENDER))
    };
    match all(desk)?.iter().all(is_ours) {
        true => clean(desk, mailbox, removal),
        // Somebody else's mail.
        false => Ok(()),
    }
}

/// Mailboxes that a probe left behind when it was cut off.
pub(crate) fn is_left_behind(mailbox: &Mailbox) -> bool {
    mailbox.name().starts_with("Sealpost-Probe-") && mailbox.special_use() != Some(SpecialUse::All)
}
