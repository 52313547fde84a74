//! STORE, EXPUNGE, COPY and MOVE by UID.
//!
//! In: UIDs and what is to be done with them. Out: what was not done, or where copies lie. RFC 3501 §6.4.6-§6.4.8, RFC
//! 4315 (UID EXPUNGE, COPYUID), RFC 6851 (MOVE), RFC 7162 §3.1.3 (UNCHANGEDSINCE). Never: a bare EXPUNGE, which would
//! remove what others marked.

use super::fetch::refuse;
use super::mailboxes::name_part;
use super::session::{Event, Session, done, no_body, on_one_line, quoted, text};
use crate::imap::answer::{CopyUid, Fetched};
use crate::imap::error::{Code, ImapError};
use crate::imap::response::{Kind, Reply};
use crate::limit;
use crate::mailbox_name::MailboxName;
use crate::uid_set::UidSet;

/// One STORE of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOrder {
    /// The messages.
    pub set: UidSet,
    /// Only those not changed since (RFC 7162).
    pub unchanged_since: Option<u64>,
    /// `+FLAGS.SILENT`, `-FLAGS`, `+X-GM-LABELS` ...
    pub item: String,
    /// The flags or labels.
    pub flags: Vec<String>,
}

impl Session {
    /// `UID STORE`. The answer: those that were not changed because someone else had changed them (MODIFIED).
    pub fn uid_store(
        &mut self,
        set: &UidSet,
        unchanged_since: Option<u64>,
        item: &str,
        flags: &[String],
        each: impl FnMut(Fetched<Vec<u8>>),
    ) -> Result<UidSet, ImapError> {
        let order = StoreOrder { set: set.clone(), unchanged_since, item: item.to_owned(), flags: flags.to_vec() };
        self.uid_stores(&[order], each)?.pop().unwrap_or_else(|| Ok(UidSet::new()))
    }

    /// Many STOREs in one go, pipelined. A refusal of one is its own result.
    pub fn uid_stores(
        &mut self,
        stores: &[StoreOrder],
        mut each: impl FnMut(Fetched<Vec<u8>>),
    ) -> Result<Vec<Result<UidSet, ImapError>>, ImapError> {
        let (mut commands, mut owners) = (Vec::new(), Vec::new());
        for (number, order) in stores.iter().enumerate() {
            let condition = match order.unchanged_since {
                Some(_) if !self.has("CONDSTORE") && !self.has("QRESYNC") => {
                    return Err(ImapError::Unsupported("STORE with a condition (CONDSTORE)"));
                }
                Some(modseq) => format!("(UNCHANGEDSINCE {modseq}) "),
                None => String::new(),
            };
            let (item, flags) = (on_one_line(&order.item)?, flag_list(&order.item, &order.flags)?);
            for part in order.set.split(limit::SET_TEXT) {
                commands.push(format!("UID STORE {part} {condition}{item} ({flags})"));
                owners.push(number);
            }
        }
        let mut results: Vec<_> = stores.iter().map(|_| Ok(UidSet::new())).collect();
        self.pipeline(
            &commands,
            limit::WINDOW,
            &mut no_body,
            |event| {
                if let Event::Fetched(fetched) = event {
                    each(fetched);
                }
            },
            |number, reply| {
                let result = owners.get(number).and_then(|owner| results.get_mut(*owner));
                if let Some(result) = result {
                    add(result, reply);
                }
            },
        )?;
        Ok(results)
    }

    /// `UID EXPUNGE` (RFC 4315). Never a bare EXPUNGE in its place.
    pub fn uid_expunge(&mut self, set: &UidSet) -> Result<(), ImapError> {
        self.expunge(&["UID EXPUNGE"], set, |_| {})
    }

    /// The same, with the flags as they are at the last moment: NOOP, so that the server looks what others have done, FETCH and EXPUNGE in one piece.
    pub fn uid_expunge_seen(&mut self, set: &UidSet, each: impl FnMut(Fetched<Vec<u8>>)) -> Result<(), ImapError> {
        self.expunge(&["NOOP", "UID FETCH", "UID EXPUNGE"], set, each)
    }

    fn expunge(
        &mut self,
        verbs: &[&str],
        set: &UidSet,
        mut each: impl FnMut(Fetched<Vec<u8>>),
    ) -> Result<(), ImapError> {
        self.requires(&["UIDPLUS", "IMAP4rev2"], "removing messages by UID (UIDPLUS)")?;
        let mut commands = Vec::new();
        for part in set.split(limit::SET_TEXT) {
            commands.extend(verbs.iter().map(|verb| match *verb {
                "NOOP" => "NOOP".to_owned(),
                "UID FETCH" => format!("UID FETCH {part} (UID FLAGS)"),
                verb => format!("{verb} {part}"),
            }));
        }
        let mut refused = Ok(());
        self.pipeline::<Vec<u8>>(
            &commands,
            limit::WINDOW,
            &mut no_body,
            |event| {
                if let Event::Fetched(fetched) = event {
                    each(fetched);
                }
            },
            |number, reply| {
                // Whether they can be looked at is no reason to leave them.
                if commands.get(number).is_some_and(|command| command.starts_with("UID EXPUNGE")) {
                    refuse(&mut refused, done(reply));
                }
            },
        )?;
        refused
    }

    /// `UID COPY`. Nothing when the server does not say where the copies lie, or not in an order that tells which is
    /// whose. A set so long that it is split may be refused in its later part with the earlier one done.
    pub fn uid_copy(&mut self, set: &UidSet, to: &MailboxName) -> Result<Option<CopyUid>, ImapError> {
        self.copy("UID COPY", set, to)
    }

    /// `UID MOVE` (RFC 6851); else as [`Session::uid_copy`].
    pub fn uid_move(&mut self, set: &UidSet, to: &MailboxName) -> Result<Option<CopyUid>, ImapError> {
        self.requires(&["MOVE", "IMAP4rev2"], "moving messages (MOVE)")?;
        self.copy("UID MOVE", set, to)
    }

    fn copy(&mut self, verb: &str, set: &UidSet, to: &MailboxName) -> Result<Option<CopyUid>, ImapError> {
        let mut copied = Copied::default();
        for part in set.split(limit::SET_TEXT) {
            let command = vec![text(format!("{verb} {part} ")), name_part(to)?];
            // MOVE tells it in an untagged OK, before the messages go (RFC 6851 §4.3).
            let reply = self.run(command, |event| {
                if let Event::Status(reply) = event {
                    copied.take(&reply);
                }
                Ok(())
            })?;
            copied.take(&reply);
        }
        Ok(copied.finish())
    }
}

/// COPYUIDs, put together.
#[derive(Default)]
struct Copied {
    so_far: Option<CopyUid>,
    /// One of them cannot be used, so none can.
    unclear: bool,
}

impl Copied {
    fn take(&mut self, reply: &Reply) {
        let Some(data) = reply.code("COPYUID") else { return };
        match (parse(data), &mut self.so_far) {
            (Some(new), None) => self.so_far = Some(new),
            // Side by side only while the copies of later originals have later UIDs.
            (Some(new), Some(so_far)) if new.validity == so_far.validity && follows(&so_far.to, &new.to) => {
                so_far.from.extend(&new.from);
                so_far.to.extend(&new.to);
            }
            _ => self.unclear = true,
        }
    }

    fn finish(self) -> Option<CopyUid> {
        self.so_far.filter(|copied| !self.unclear && copied.from.len() == copied.to.len())
    }
}

fn parse(data: &str) -> Option<CopyUid> {
    let mut parts = data.split(' ');
    let validity = parts.next()?.parse().ok().filter(|validity| *validity != 0)?;
    let (from, to) = (UidSet::parse_ascending(parts.next()?)?, UidSet::parse_ascending(parts.next()?)?);
    (from.len() == to.len()).then_some(CopyUid { validity, from, to })
}

fn follows(earlier: &UidSet, later: &UidSet) -> bool {
    match (earlier.ranges().last(), later.ranges().first()) {
        (Some(earlier), Some(later)) => earlier.end() < later.start(),
        _ => true,
    }
}

/// Adds what one part of a STORE answered. A NO that names those changed by others is no refusal (RFC 7162 §3.1.3).
fn add(result: &mut Result<UidSet, ImapError>, reply: Reply) {
    let Ok(modified) = result else { return };
    match reply.code("MODIFIED").map(UidSet::parse) {
        Some(Some(new)) if reply.kind != Kind::Bad => modified.extend(&new),
        Some(_) => *result = Err(ImapError::No(Some(Code::Modified))),
        None => {
            if let Err(error) = done(reply) {
                *result = Err(error);
            }
        }
    }
}

/// Flags are atoms (RFC 3501 §9, `flag`); Gmail's labels may be strings. `\Recent` is the server's to set (§2.3.2).
pub(super) fn flag_list(item: &str, flags: &[String]) -> Result<String, ImapError> {
    let labels = item.to_ascii_uppercase().contains("X-GM-LABELS");
    let flags = flags.iter().filter(|flag| !flag.eq_ignore_ascii_case("\\Recent"));
    let words = flags.map(|flag| {
        let special = |octet: u8| matches!(octet, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b' ');
        let name = flag.strip_prefix('\\').unwrap_or(flag);
        let atom = !name.is_empty() && !name.bytes().any(|octet| special(octet) || octet == b'\\');
        match on_one_line(flag) {
            Ok(flag) if atom => Ok(flag.to_owned()),
            Ok(flag) if labels => Ok(quoted(flag)),
            _ => Err(ImapError::Unsupported("a flag that cannot be written")),
        }
    });
    Ok(words.collect::<Result<Vec<_>, _>>()?.join(" "))
}
