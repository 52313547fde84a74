//! Originals restored into the account that they came from.
//!
//! In: opened messages of a backup. Out: each original in the mailbox that it was sealed in, with the flags and the date of
//! arrival that it had then and a keyword that keeps sealers away (A15), fetched back and compared; unless it, or a sealed
//! message that opens to it, is in any mailbox. A lost connection is made anew. Removes nothing but its own bad copies.

use std::collections::HashMap;
use std::fs::File;
use std::io::Seek;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mail::HeaderSection;
use open::Opened;
use sealed::field::Mark;
use sealed::identity::Hash;
use sealed::index::Index;
use sealed::scratch::{NewPlace, Scratch, Scratched};
use store::Fate;
use store::imap::{LOCK, Mailbox, is_lockable};
use tempfile::SpooledTempFile;
use wire::imap::{Access, Append, AppendUid, Code, ImapError, UidSet};

use super::link::{Link, is_view};
use super::look::{everything, messages, no_body};
use super::patience::Patience;
use super::put_back::{UNSEALED, hash_of};
use crate::account::AccountError;
use crate::opening::{Stumble, open_whole};
use crate::reason;
use crate::restored::{Came, RestoreError, came_of};
use crate::settings::{Imap, Settings};

/// Puts originals into an account.
pub(crate) struct Returner<'a> {
    settings: &'a Settings,
    place: &'a Imap,
    spools: NewPlace<File>,
    link: Option<(Link, There)>,
}

/// What is in the account.
#[derive(Default)]
struct There {
    /// Sealed messages by the id that they claim.
    ids: HashMap<[u8; 16], Vec<At>>,
    /// All messages by their octets.
    sizes: HashMap<u64, Vec<At>>,
}

/// A message: the number of its mailbox, its UID.
type At = (usize, u32);

/// An original to be put there.
struct Wanted {
    octets: Scratched<File>,
    hash: Hash,
    index: Index,
    id: [u8; 16],
}

impl<'a> Returner<'a> {
    pub(crate) fn new(settings: &'a Settings, place: &'a Imap) -> Returner<'a> {
        Returner { settings, place, spools: settings.spools(), link: None }
    }

    /// Puts one there. `sealed` is what was opened. `None`: asked to stop.
    pub(crate) fn put(
        &mut self,
        opened: Opened<SpooledTempFile>,
        sealed: &mut Scratched<File>,
        stop: &Arc<AtomicBool>,
    ) -> Result<Option<Came>, RestoreError> {
        let (hash, index, id) = (*opened.hash(), opened.index.clone(), opened.fields.mark.id.0);
        let mut scratch = Scratch::new(opened.length(), Arc::clone(&self.spools));
        if let Err(error) = opened.write(&mut scratch) {
            return came_of(Stumble::of(&error, sealed)).map(Some);
        }
        let octets = match scratch.finish() {
            Ok(octets) => octets,
            Err(error) => return came_of(Stumble::of_writing(&error)).map(Some),
        };
        let mut wanted = Wanted { octets, hash, index, id };
        let mut patience = Patience::default();
        loop {
            match self.try_to(&mut wanted, stop) {
                Ok(came) => return Ok(Some(came)),
                Err(AccountError::Server(ImapError::Stopped)) => return Ok(None),
                Err(error) if error.fate() == Fate::Retry => {
                    self.link = None;
                    if !patience.again(false, stop) {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(crate) fn leave(self) {
        if let Some((link, _)) = self.link {
            link.desk.leave();
        }
    }

    fn try_to(&mut self, wanted: &mut Wanted, stop: &Arc<AtomicBool>) -> Result<Came, AccountError> {
        if stop.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(ImapError::Stopped.into());
        }
        let (link, there) = match &mut self.link {
            Some(link) => link,
            empty => {
                // A message that is under way is brought to its end.
                let mut link = Link::new(self.settings, self.place, &Arc::default())?;
                let there = There::look(&mut link)?;
                empty.insert((link, there))
            }
        };
        if is_there(self.settings, &self.spools, link, there, wanted)? {
            return Ok(Came::Already);
        }
        let name = wanted.index.mailbox.as_deref().unwrap_or("INBOX");
        let number = |name: &str| link.mailboxes.iter().position(|mailbox| mailbox.name() == name);
        let Some(number) = number(name).or_else(|| number("INBOX")) else { return Err(AccountError::Mailbox) };
        let Some(target) = link.mailboxes.get(number).cloned() else { return Err(AccountError::Mailbox) };
        Ok(match append(link, &target, &self.spools, wanted)? {
            Ok(uid) => {
                there.sizes.entry(wanted.octets.length()).or_default().push((number, uid));
                Came::Back
            }
            Err(reason) => Came::Failed(reason),
        })
    }
}

impl There {
    /// Sizes and marks of all mailboxes.
    fn look(link: &mut Link) -> Result<There, AccountError> {
        let mut there = There::default();
        let is_gmail = link.is_gmail;
        let session = link.desk.session();
        for (number, mailbox) in link.mailboxes.iter().enumerate() {
            if is_view(mailbox) && !is_gmail {
                continue;
            }
            match session.select(mailbox.wire(), Access::Read) {
                Ok(selected) if selected.exists == 0 => continue,
                Ok(_) => {}
                Err(error) if error.is_refusal() => continue,
                Err(error) => return Err(error.into()),
            }
            let items = "UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SEALED-MAIL)]";
            session.uid_fetch(&everything(), items, no_body, |fetched| {
                let Some((size, (_, header))) = fetched.size.zip(fetched.sections.first()) else { return };
                let at = (number, fetched.uid);
                match Mark::parse(&HeaderSection::parse(header)) {
                    Ok(mark) => there.ids.entry(mark.id.0).or_default().push(at),
                    Err(_) => there.sizes.entry(size).or_default().push(at),
                }
            })?;
        }
        Ok(there)
    }
}

/// Whether the original, or a sealed message that opens to it, is there: labels and sizes alone prove nothing.
fn is_there(
    settings: &Settings,
    spools: &NewPlace<File>,
    link: &mut Link,
    there: &There,
    wanted: &Wanted,
) -> Result<bool, AccountError> {
    let sealed = there.ids.get(&wanted.id).into_iter().flatten();
    let plain = there.sizes.get(&wanted.octets.length()).into_iter().flatten();
    for (number, uid) in sealed.chain(plain) {
        let Some(mailbox) = link.mailboxes.get(*number).cloned() else { continue };
        match link.desk.turn_to(&mailbox).map_err(AccountError::from) {
            Ok(()) => {}
            Err(AccountError::Server(error)) if error.is_refusal() => continue,
            Err(error) => return Err(error),
        }
        let mut found = false;
        messages(link.desk.session(), &[*uid], spools, |_, octets| {
            let Some(mut octets) = octets else { return };
            found |= hash_of(&mut octets).is_ok_and(|hash| hash == wanted.hash);
            if octets.rewind().is_ok() {
                found |= open_whole(settings, octets).is_ok_and(|opened| *opened.hash() == wanted.hash);
            }
        })?;
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Gives the new UID, or why it is not there.
fn append(
    link: &mut Link,
    target: &Mailbox,
    spools: &NewPlace<File>,
    wanted: &mut Wanted,
) -> Result<Result<u32, &'static str>, AccountError> {
    link.desk.reopen(target)?;
    let selected = link.desk.selected()?;
    let takes = |flag: &&String| is_lockable(&selected.permanent_flags, selected.new_keywords, flag);
    let barred = ["\\Recent", "\\Deleted", LOCK];
    let is_barred = |flag: &&String| barred.iter().any(|barred| flag.eq_ignore_ascii_case(barred));
    let mark = UNSEALED.to_owned();
    let flags = wanted.index.flags.iter().filter(|flag| !is_barred(flag));
    let flags: Vec<String> = flags.chain([&mark]).filter(takes).cloned().collect();
    let (from_uid, validity) = (link.desk.next()?, link.desk.validity()?);
    wanted.octets.rewind().map_err(ImapError::Io)?;
    let length = wanted.octets.length();
    let internal_date = wanted.index.internal_date.clone();
    let mut message = [Append { flags, internal_date, length, octets: &mut wanted.octets }];
    let session = link.desk.session();
    let answers = session.append(target.wire(), &mut message).map_err(|lost| lost.error)?;
    let said = match answers.into_iter().next() {
        Some(Ok(said)) => said,
        Some(Err(ImapError::No(Some(Code::OverQuota)))) => return Ok(Err(reason::QUOTA)),
        Some(Err(ImapError::No(Some(Code::TooBig | Code::Limit)))) => return Ok(Err(reason::APPEND_LIMIT)),
        Some(Err(_)) | None => return Ok(Err(reason::REJECTED)),
    };
    session.noop()?;
    let candidates: Vec<u32> = match said {
        Some(AppendUid { validity: said, uid }) if said == validity => vec![uid],
        _ => {
            let mut new = UidSet::new();
            new.insert_range(from_uid, u32::MAX);
            let mut sizes = Vec::new();
            session.uid_fetch(&new, "UID RFC822.SIZE", no_body, |fetched| {
                if fetched.size == Some(length) && fetched.uid >= from_uid {
                    sizes.push(fetched.uid);
                }
            })?;
            sizes
        }
    };
    let (mut good, mut bad) = (None, UidSet::new());
    messages(session, &candidates, spools, |uid, octets| {
        match octets.map(|mut octets| hash_of(&mut octets).is_ok_and(|hash| hash == wanted.hash)) {
            Some(true) => good = Some(uid),
            // Only what the server said is ours, and only if it is new.
            Some(false) if said.is_some() && uid >= from_uid => bad.insert(uid),
            _ => {}
        }
    })?;
    if let (Some(removal), false) = (&link.removal, bad.is_empty()) {
        removal.remove(&mut link.desk, &bad)?;
    }
    Ok(good.ok_or(reason::NOT_PROVED))
}
