//! Mail for the terminal, wherever it lies: listed, read as text, written out.
//!
//! In: a Maildir or an account, keys, pinned sealers. Out: lines of a list, from header sections alone; the text of a message; its original, octet for octet. Messages
//! are named by mailbox and UID, as the bridge numbers them. Never an octet of a message before all of it was verified; no control character of a sender reaches a
//! terminal.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mail::{BodyPart, ContentType, HeaderSection, PartKind, decode_words, part_text, text_of_html};
use store::{Fate, Flags, UnixSeconds};
use wire::MailboxName;

use crate::depot::flags::letters_of;
use crate::depot::{
    Access, Copies, Depot, Look, Original, ReachError, Selected, Standing, Trouble, View, reach, whole,
};
use crate::index::{attachment_name, sent_day, shown_day};
use crate::means::Means;
use crate::opening::open_whole;
use crate::place::{printable, steers};
use crate::settings::Settings;
use crate::vault::{Ids, Kind, Vault};

/// Mail, open for reading. Nothing of it is changed.
pub struct Shelf<'s> {
    settings: &'s Settings,
    depot: Box<dyn Depot + 's>,
    names: Vec<MailboxName>,
    opened: Option<(String, Selected)>,
    copies: Copies,
    stop: Arc<AtomicBool>,
}

/// A message as a list shows it. The fields are those of the original: the sealer vouches for having seen them, not for the sender.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Line {
    /// Its mailbox.
    pub mailbox: String,
    /// Its UID.
    pub uid: u32,
    /// `sealed`; `plain`; `encrypted`: by its author, as its header section says; `foreign`: sealed by nobody we trust, or not for us. All but the first are shown as they
    /// lie.
    pub state: &'static str,
    /// Whether the same sealed message lies here besides, and nobody copied it through the bridge.
    pub copy: bool,
    /// The day of the Date field, as [`Hit::date`](crate::Hit) has it.
    pub date: String,
    /// When it arrived, Unix seconds.
    pub arrived: i64,
    /// The From field.
    pub from: String,
    /// The Subject field.
    pub subject: String,
}

/// A message that was found.
pub struct Found {
    uid: u32,
    look: Look,
    standing: Standing,
    flags: Flags,
    arrived: UnixSeconds,
}

/// Why a message is not shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShelfError {
    /// It is not reached.
    #[error(transparent)]
    Reach(#[from] ReachError),
    /// No mailbox of that name.
    #[error("there is no such mailbox")]
    NoMailbox {
        /// What was asked for.
        asked: String,
        /// Those that there are.
        names: Vec<String>,
    },
    /// No message of that number.
    #[error("there is no such message")]
    NoMessage,
    /// It is sealed and does not open.
    #[error("the sealed message does not open: it is damaged or was changed")]
    Broken,
    /// The mailbox, the message, the state cannot be read.
    #[error("the mailbox cannot be read")]
    Unreadable,
    /// The server is not there any more.
    #[error("the connection to the server is lost")]
    Lost,
    /// As the caller wished.
    #[error("stopped, as asked")]
    Stopped,
    /// A file that would be overwritten.
    #[error("cannot write {0}: there is such a file already")]
    Exists(PathBuf),
    /// A mailbox in which mail would be doubled.
    #[error("cannot write to {0}: it holds mail already")]
    Occupied(PathBuf),
    /// A directory to write to.
    #[error("cannot write to {0}")]
    Directory(PathBuf, #[source] io::Error),
    /// The output.
    #[error("cannot write")]
    Write(#[source] io::Error),
}

impl ShelfError {
    /// What is to be done.
    pub fn fate(&self) -> Fate {
        match self {
            ShelfError::Write(_)
            | ShelfError::Directory(..)
            | ShelfError::Unreadable
            | ShelfError::Lost
            | ShelfError::Stopped => Fate::Retry,
            ShelfError::Exists(_) | ShelfError::Occupied(_) => Fate::Retry,
            ShelfError::Reach(error) => error.fate(),
            _ => Fate::Refuse,
        }
    }
}

impl From<Trouble> for ShelfError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Gone => ShelfError::NoMessage,
            Trouble::Broken => ShelfError::Broken,
            Trouble::Io => ShelfError::Unreadable,
        }
    }
}

/// Octets of a part that is shown as text.
const MAX_TEXT: u64 = 16 << 20;
/// Fields that are shown above a message.
const SHOWN: [&str; 6] = ["From", "To", "Cc", "Date", "Subject", "Message-ID"];

impl<'s> Shelf<'s> {
    /// Opens the mail of the settings.
    pub fn open(settings: &'s Settings, stop: &Arc<AtomicBool>) -> Result<Self, ShelfError> {
        let mut depot = reach(Means { mail: settings, seal: None }, stop)?;
        let names = depot.mailboxes().map_err(|_| ShelfError::Unreadable)?;
        Ok(Self { settings, depot, names, opened: None, copies: Copies::default(), stop: Arc::clone(stop) })
    }

    /// The names of its mailboxes.
    pub fn mailboxes(&self) -> Vec<String> {
        self.names.iter().map(MailboxName::utf8).collect()
    }

    /// Shows each message of a mailbox, by UID.
    pub fn list(&mut self, name: &str, mut each: impl FnMut(Line)) -> Result<(), ShelfError> {
        let uids = self.uids(name)?;
        self.depot.prepare(&uids);
        for uid in uids {
            self.go_on()?;
            let look = match self.depot.look(uid) {
                Err(Trouble::Gone) => continue,
                other => other?,
            };
            let standing = self.standing(uid, &look);
            let (state, fields) = match &look {
                Look::Sealed(index) => ("sealed", index.fields.as_slice()),
                Look::File(view, header) => {
                    let header = header.as_deref().unwrap_or_default();
                    (word(*view, header), header)
                }
            };
            let section = HeaderSection::parse(fields);
            let text = |name: &str| {
                let field = section.first(name);
                field.map(|field| printable(&decode_words(&field.unfolded()))).unwrap_or_default()
            };
            let arrived = self.depot.arrived(uid)?.unix;
            each(Line {
                mailbox: name.to_owned(),
                uid,
                state,
                copy: standing == Standing::Copy,
                date: shown_day(section.first("Date").and_then(|field| sent_day(&field.unfolded_text())), arrived),
                arrived,
                from: text("From"),
                subject: text("Subject"),
            });
        }
        self.copies.write();
        Ok(())
    }

    fn standing(&mut self, uid: u32, look: &Look) -> Standing {
        if let Look::Sealed(listed) = look {
            self.copies.see(self.depot.as_mut(), uid, listed.id);
        }
        self.copies.standing(uid)
    }

    /// The UIDs of a mailbox.
    pub fn uids(&mut self, name: &str) -> Result<Vec<u32>, ShelfError> {
        Ok(self.selected(name)?.items.iter().map(|item| item.uid).collect())
    }

    /// Finds a message.
    pub fn find(&mut self, name: &str, uid: u32) -> Result<Found, ShelfError> {
        let items = &self.selected(name)?.items;
        let at = items.binary_search_by_key(&uid, |item| item.uid).map_err(|_| ShelfError::NoMessage)?;
        let flags = items.get(at).map(|item| letters_of(&item.flags)).unwrap_or_default();
        let look = self.depot.look(uid)?;
        let standing = self.standing(uid, &look);
        self.copies.write();
        Ok(Found { uid, look, standing, flags, arrived: UnixSeconds(self.depot.arrived(uid)?.unix) })
    }

    /// The message as text for people: a few header fields, text parts, the names of what else is in it.
    pub fn text(&mut self, found: &Found) -> Result<String, ShelfError> {
        let mut original = whole(self.settings, self.depot.body(found.uid)?, &found.look)?;
        let header = original.header().map_err(|_| ShelfError::Unreadable)?;
        let section = HeaderSection::parse(&header);
        let mut text = String::new();
        for name in SHOWN {
            for field in section.all(name) {
                text.push_str(&format!("{name}: {}\n", printable(&decode_words(&field.unfolded()))));
            }
        }
        let structure = original.structure().clone();
        push_part(&mut original, &structure, &mut text)?;
        Ok(text)
    }

    /// Writes the message octet by octet: of a sealed one its original. Nothing is written before all was verified.
    pub fn write(&mut self, found: &Found, to: &mut impl Write) -> Result<(), ShelfError> {
        let mut body = self.depot.body(found.uid)?;
        match &found.look {
            Look::File(..) => io::copy(&mut body.octets, to).map(drop).map_err(ShelfError::Write),
            Look::Sealed(_) => {
                let opened = open_whole(self.settings, body.octets).map_err(|error| match error {
                    open::OpenError::Io(_) => ShelfError::Unreadable,
                    _ => ShelfError::Broken,
                })?;
                opened.write(to).map_err(|error| match error {
                    open::OpenError::Io(error) => ShelfError::Write(error),
                    _ => ShelfError::Broken,
                })
            }
        }
    }

    /// Why a sealed message is shown as it lies; `None`: it is not, or is not sealed.
    pub fn refusal(&self, found: &Found) -> Option<open::OpenError> {
        match &found.look {
            Look::File(View::Foreign, Some(header)) => {
                open::headers_with_id(header, &self.settings.keys, &self.settings.trust).err()
            }
            _ => None,
        }
    }

    /// Whether it makes sense to try the next message.
    pub(crate) fn go_on(&self) -> Result<(), ShelfError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(ShelfError::Stopped);
        }
        if self.depot.is_over() { Err(ShelfError::Lost) } else { Ok(()) }
    }

    fn selected(&mut self, name: &str) -> Result<&Selected, ShelfError> {
        let is_open = self.opened.as_ref().is_some_and(|(open, _)| open == name);
        if !is_open {
            let inbox = name.eq_ignore_ascii_case("INBOX");
            let is_meant = |other: &&MailboxName| other.utf8() == name || (inbox && other.wire() == "INBOX");
            let mailbox = self.names.iter().find(is_meant).ok_or_else(|| ShelfError::NoMailbox {
                asked: name.to_owned(),
                names: self.names.iter().map(MailboxName::utf8).collect(),
            })?;
            let selected = self.depot.open(mailbox, Access::Read).map_err(|_| ShelfError::Unreadable)?;
            let ids = Vault::open(self.settings, Kind::Words).ok().map(|vault| Ids::beside(&vault));
            self.copies = Copies::open(ids, self.depot.as_mut(), &selected);
            self.opened = Some((name.to_owned(), selected));
        }
        self.opened.as_ref().map(|(_, selected)| selected).ok_or(ShelfError::Unreadable)
    }
}

impl Found {
    /// Its flags, as letters of a Maildir.
    pub fn flags(&self) -> &Flags {
        &self.flags
    }

    /// Whether the same sealed message lies here besides, and nobody copied it through the bridge.
    pub fn is_copy(&self) -> bool {
        self.standing == Standing::Copy
    }

    /// When it arrived.
    pub fn arrived(&self) -> UnixSeconds {
        self.arrived
    }

    /// As [`Line::state`].
    pub fn state(&self) -> &'static str {
        match &self.look {
            Look::Sealed(_) => "sealed",
            Look::File(view, header) => word(*view, header.as_deref().unwrap_or_default()),
        }
    }
}

fn word(view: View, header: &[u8]) -> &'static str {
    match view {
        View::Foreign => "foreign",
        _ if is_encrypted(header) => "encrypted",
        _ => "plain",
    }
}

/// Whether a header section says that the body is one encrypted object (RFC 3156 §4, RFC 8551 §3.2).
fn is_encrypted(header: &[u8]) -> bool {
    let Some(field) = HeaderSection::parse(header).first("Content-Type").map(|field| field.unfolded()) else {
        return false;
    };
    let content_type = ContentType::parse(&field);
    let kind = content_type.parameters().get("smime-type").unwrap_or_default().to_ascii_lowercase();
    let is_cms = ["pkcs7-mime", "x-pkcs7-mime"].iter().any(|subtype| content_type.is("application", subtype));
    content_type.is("multipart", "encrypted") || (is_cms && matches!(&*kind, "enveloped-data" | "authenveloped-data"))
}

/// Of alternatives the plain text is shown, where there is one. As deep as the structure goes.
fn push_part(original: &mut Original, part: &BodyPart, text: &mut String) -> Result<(), ShelfError> {
    match part.kind() {
        PartKind::Multipart if part.content_type().is("multipart", "alternative") => {
            let plain = part.children().iter().find(|child| child.content_type().is("text", "plain"));
            if let Some(chosen) = plain.or(part.children().first()) {
                push_part(original, chosen, text)?;
            }
        }
        PartKind::Multipart => {
            for child in part.children() {
                push_part(original, child, text)?;
            }
        }
        PartKind::Message => {
            for child in part.children() {
                let subject = child.field("subject").map(|value| decode_words(&value)).unwrap_or_default();
                text.push_str(&format!("\n--- message: {}\n", printable(&subject)));
                push_part(original, child, text)?;
            }
        }
        PartKind::Text if attachment_name(part).is_none() => {
            let end = part.end_offset().min(part.body_offset().saturating_add(MAX_TEXT));
            let body = original.read(part.body_offset()..end).map_err(|_| ShelfError::Unreadable)?;
            let decoded = part_text(part, &body);
            let html = part.content_type().subtype() == "html";
            let decoded = if html { text_of_html(&decoded) } else { decoded };
            text.push('\n');
            text.extend(decoded.chars().filter(|character| !steers(*character) || matches!(character, '\n' | '\t')));
            if !text.ends_with('\n') {
                text.push('\n');
            }
        }
        PartKind::Text | PartKind::Other => {
            let content_type = part.content_type();
            let (kind, subtype) = (printable(content_type.kind()), printable(content_type.subtype()));
            let name = printable(&attachment_name(part).unwrap_or_default());
            text.push_str(&format!("\n--- {name} ({kind}/{subtype}, {} octets encoded)\n", part.body_size()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_its_author_encrypted_is_told_by_its_header() {
        for (value, expected) in [
            ("multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=x", "encrypted"),
            ("application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m", "encrypted"),
            ("application/x-pkcs7-mime;\r\n smime-type=authEnveloped-data", "encrypted"),
            ("application/pkcs7-mime; smime-type=signed-data", "plain"),
            ("multipart/signed; protocol=\"application/pgp-signature\"", "plain"),
            ("text/plain", "plain"),
        ] {
            let header = format!("Subject: x\r\nContent-Type: {value}\r\n\r\n");
            assert_eq!(word(View::AsItLies, header.as_bytes()), expected, "{value}");
            assert_eq!(word(View::Foreign, header.as_bytes()), "foreign");
        }
        assert_eq!(word(View::AsItLies, b""), "plain");
    }
}
