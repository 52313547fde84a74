//! The mail of a Maildir for the terminal: listed, read as text, written out.
//!
//! In: a Maildir, keys, pinned sealers. Out: lines of a list, from header sections alone; the text of a message; its original, octet for octet. Messages are named
//! by mailbox and UID, as the bridge numbers them. Never an octet of a message before all of it was verified; no control character of a sender reaches a terminal.

use std::io::{self, Write};

use mail::{BodyPart, HeaderSection, PartKind, decode_words, part_text, text_of_html};
use store::database::OpenDatabaseError;
use store::maildir::{ListError, OpenMaildirError};
use store::{Database, Fate, Flags, Mailbox, Maildir, Message, UnixSeconds};

use crate::bridge::{Look, LookError, Original, Trouble, View, attachment_name, census, look_at_file, whole_file};
use crate::opening::open_whole;
use crate::settings::{Settings, Source};

/// A Maildir, open for reading.
pub struct Shelf<'s> {
    settings: &'s Settings,
    maildir: Maildir,
    database: Database,
}

/// A message as a list shows it. The fields are those of the original: the sealer vouches for having seen them, not for the sender.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Line {
    /// Its mailbox.
    pub mailbox: String,
    /// Its UID.
    pub uid: u32,
    /// `sealed`, `plain`, or `foreign`: sealed by nobody we trust, or not for us; shown as it lies.
    pub state: &'static str,
    /// When it arrived, Unix seconds.
    pub arrived: i64,
    /// The Date field.
    pub date: String,
    /// The From field.
    pub from: String,
    /// The Subject field.
    pub subject: String,
}

/// A message that was found.
pub struct Found {
    mailbox: Mailbox,
    message: Message,
    look: Look,
}

/// Why a message is not shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShelfError {
    /// The mail lies in an account.
    #[error("only a Maildir is read so")]
    NoMaildir,
    /// No Maildir there.
    #[error(transparent)]
    Maildir(#[from] OpenMaildirError),
    /// Its mailboxes cannot be listed.
    #[error(transparent)]
    List(#[from] ListError),
    /// The state database.
    #[error(transparent)]
    Database(#[from] OpenDatabaseError),
    /// No mailbox of that name.
    #[error("there is no such mailbox")]
    NoMailbox,
    /// No message of that number.
    #[error("there is no such message")]
    NoMessage,
    /// It is sealed and does not open.
    #[error("the sealed message does not open: it is damaged or was changed")]
    Broken,
    /// The mailbox, the message, the state cannot be read.
    #[error("the mailbox cannot be read")]
    Unreadable,
    /// The output.
    #[error("cannot write")]
    Write(#[source] io::Error),
}

impl ShelfError {
    /// What is to be done.
    pub fn fate(&self) -> Fate {
        match self {
            ShelfError::Write(_) | ShelfError::Unreadable => Fate::Retry,
            ShelfError::List(_) | ShelfError::Database(_) => Fate::Stop,
            _ => Fate::Refuse,
        }
    }
}

impl From<LookError> for ShelfError {
    fn from(_: LookError) -> Self {
        ShelfError::Unreadable
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
    /// Opens the Maildir of the settings.
    pub fn open(settings: &'s Settings) -> Result<Self, ShelfError> {
        let Source::Maildir(root) = &settings.source else { return Err(ShelfError::NoMaildir) };
        Ok(Self { settings, maildir: Maildir::open(root)?, database: Database::open(&settings.state)? })
    }

    /// The names of its mailboxes.
    pub fn mailboxes(&self) -> Result<Vec<String>, ShelfError> {
        Ok(self.maildir.list()?.mailboxes.iter().map(|mailbox| mailbox.name().to_owned()).collect())
    }

    /// Shows each message of a mailbox, by UID.
    pub fn list(&self, name: &str, mut each: impl FnMut(Line)) -> Result<(), ShelfError> {
        let mailbox = self.mailbox(name)?;
        for (entry, mut message) in census(&self.database, self.maildir.root(), &mailbox)?.entries() {
            let Some(stat) = mailbox.refresh(&mut message).map_err(|_| ShelfError::Unreadable)? else { continue };
            let look = match look_at_file(self.settings, &mailbox, &mut message) {
                Err(Trouble::Gone) => continue,
                other => other?,
            };
            let (state, fields) = match &look {
                Look::Sealed(index) => ("sealed", index.fields.as_slice()),
                Look::File(view, header) => (word(*view), header.as_deref().unwrap_or_default()),
            };
            let section = HeaderSection::parse(fields);
            let text = |name: &str| {
                let field = section.first(name);
                field.map(|field| printable(&decode_words(&field.unfolded()))).unwrap_or_default()
            };
            each(Line {
                mailbox: name.to_owned(),
                uid: entry.uid,
                state,
                arrived: stat.modified().0,
                date: text("Date"),
                from: text("From"),
                subject: text("Subject"),
            });
        }
        Ok(())
    }

    /// The UIDs of a mailbox.
    pub fn uids(&self, name: &str) -> Result<Vec<u32>, ShelfError> {
        let census = census(&self.database, self.maildir.root(), &self.mailbox(name)?)?;
        Ok(census.entries().map(|(entry, _)| entry.uid).collect())
    }

    /// Finds a message.
    pub fn find(&self, name: &str, uid: u32) -> Result<Found, ShelfError> {
        let mailbox = self.mailbox(name)?;
        let mut entries = census(&self.database, self.maildir.root(), &mailbox)?.entries();
        let (_, mut message) = entries.find(|(entry, _)| entry.uid == uid).ok_or(ShelfError::NoMessage)?;
        let look = look_at_file(self.settings, &mailbox, &mut message)?;
        Ok(Found { mailbox, message, look })
    }

    /// The message as text for people: a few header fields, text parts, the names of what else is in it.
    pub fn text(&self, found: &mut Found) -> Result<String, ShelfError> {
        let mut original = whole_file(self.settings, &found.mailbox, &mut found.message, &found.look)?;
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
    pub fn write(&self, found: &mut Found, to: &mut impl Write) -> Result<(), ShelfError> {
        let file = found.mailbox.open(&mut found.message).map_err(|_| ShelfError::Unreadable)?;
        let mut file = file.ok_or(ShelfError::NoMessage)?;
        match &found.look {
            Look::File(..) => io::copy(&mut file, to).map(drop).map_err(ShelfError::Write),
            Look::Sealed(_) => {
                let opened = open_whole(self.settings, file).map_err(|error| match error {
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

    fn mailbox(&self, name: &str) -> Result<Mailbox, ShelfError> {
        self.maildir.mailbox(name)?.ok_or(ShelfError::NoMailbox)
    }
}

impl Found {
    /// Its flags.
    pub fn flags(&self) -> Flags {
        self.message.flags()
    }

    /// When it arrived.
    pub fn arrived(&mut self) -> Option<UnixSeconds> {
        Some(self.mailbox.refresh(&mut self.message).ok()??.modified())
    }
}

/// The day of a moment, in UTC: `2024-02-29`.
pub fn day(moment: i64) -> String {
    let text = wire::imap::server::DateTime::text_of_unix(moment);
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split([' ', '-']);
    let (date, month, year) = (words.next(), words.next(), words.next());
    let number = month.and_then(|month| months.iter().position(|other| *other == month)).unwrap_or_default();
    format!("{}-{:02}-{}", year.unwrap_or_default(), number.saturating_add(1), date.unwrap_or_default())
}

fn word(view: View) -> &'static str {
    if view == View::Foreign { "foreign" } else { "plain" }
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
            text.extend(
                decoded.chars().filter(|character| !character.is_control() || matches!(character, '\n' | '\t')),
            );
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

/// A sender must not steer the owner's terminal.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
