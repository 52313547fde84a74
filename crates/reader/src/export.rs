//! Mail written out, in clear, where its owner asked for it: mbox files, Maildirs, or a file for each message.
//!
//! In: mailboxes, a directory. Out: the originals, octet for octet (in mbox with `>` before lines that begin with `From `, which is what
//! that format is: "mboxrd"). Files have mode 0600; none is overwritten, and none has its name before it is whole.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use wire::MailboxName;

use store::{Maildir, UnixSeconds};

use crate::progress::Progress;
use crate::shelf::{Found, Shelf, ShelfError};

/// How mail is written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One file a mailbox.
    Mbox,
    /// A Maildir with the same mailboxes, flags and times.
    Maildir,
    /// One file a message, named by its UID.
    Eml,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Messages in clear.
    pub written: u64,
    /// Messages as they lie, encrypted by their authors.
    pub encrypted: u64,
    /// Messages as they lie: sealed by nobody who is trusted, or not to our key.
    pub foreign: u64,
    /// Sealed messages that do not open, and files that cannot be read.
    pub failed: u64,
    /// Mailboxes that were written under another name than usual, since another one has that: both names.
    pub renamed: Vec<(String, String)>,
}

/// Octets written at a time.
const WRITE_BUFFER: usize = 64 << 10;

/// Writes the mail of these mailboxes below a directory, which is made if need be.
pub fn export(
    shelf: &mut Shelf<'_>,
    mailboxes: &[String],
    form: Form,
    to: &Path,
    progress: &mut impl Progress,
) -> Result<Exported, ShelfError> {
    let mut work = Vec::new();
    for name in mailboxes {
        work.push((name, shelf.uids(name)?));
    }
    make(to)?;
    let mut exported = Exported::default();
    let mut used: HashSet<String> = HashSet::new();
    let mut named = Vec::new();
    for (name, uids) in work {
        let usual = form.name_for(name);
        let own = own_name(&usual, &used);
        used.insert(own.clone());
        form.is_free(to, &own)?;
        if own != usual {
            exported.renamed.push((name.clone(), own.clone()));
        }
        named.push((name, own, uids));
    }
    let work = named;
    progress.total(work.iter().map(|(.., uids)| uids.len() as u64).sum(), 0);
    for (name, own, uids) in work {
        let mut place = Place::open(form, to, &own)?;
        for uid in uids {
            shelf.go_on()?;
            let put = shelf.find(name, uid).and_then(|found| {
                place.put(shelf, uid, &found)?;
                Ok(found.state())
            });
            match put {
                Ok(state) => {
                    let count = match state {
                        "foreign" => &mut exported.foreign,
                        "encrypted" => &mut exported.encrypted,
                        _ => &mut exported.written,
                    };
                    *count = count.saturating_add(1);
                    progress.done(0);
                }
                // Gone meanwhile.
                Err(ShelfError::NoMessage) => progress.done(0),
                Err(ShelfError::Broken | ShelfError::Unreadable) => {
                    // A connection that ended says nothing of the message.
                    shelf.go_on()?;
                    exported.failed = exported.failed.saturating_add(1);
                    progress.failed("damaged");
                }
                Err(error) => return Err(error),
            }
        }
        place.finish()?;
    }
    Ok(exported)
}

impl Form {
    /// The name that a mailbox is written under: in a Maildir as Dovecot spells it, where a dot divides levels.
    fn name_for(self, name: &str) -> String {
        match self {
            Form::Mbox | Form::Eml => file_name(name),
            Form::Maildir => MailboxName::from_utf8(&name.replace('.', "_")).wire().to_owned(),
        }
    }

    /// Whether a mailbox can be written there without anything of it being there twice.
    fn is_free(self, to: &Path, name: &str) -> Result<(), ShelfError> {
        match self {
            Form::Mbox => {
                let path = to.join(format!("{name}.mbox"));
                if path.exists() { Err(ShelfError::Exists(path)) } else { Ok(()) }
            }
            Form::Eml => Ok(()),
            Form::Maildir => {
                let Ok(maildir) = Maildir::open(to) else { return Ok(()) };
                let there = maildir.mailbox(name).map_err(|_| no_maildir())?;
                let occupied =
                    there.filter(|mailbox| mailbox.messages().map_or(true, |mut messages| messages.next().is_some()));
                occupied.map_or(Ok(()), |mailbox| Err(ShelfError::Occupied(mailbox.dir().to_path_buf())))
            }
        }
    }
}

/// A mailbox's name may hold `/`; a file's may not, nor may it be `..`, which servers may call a mailbox.
fn file_name(name: &str) -> String {
    let name = name.replace(['/', '\0'], ".");
    let bare = name.trim_start_matches('.');
    format!("{}{bare}", "_".repeat(name.len().saturating_sub(bare.len())))
}

/// That name, or the first one with a number behind it that no other mailbox has. File systems may take capitals for small letters.
fn own_name(usual: &str, used: &HashSet<String>) -> String {
    let is_free = |name: &String| !used.iter().any(|other| other.to_lowercase() == name.to_lowercase());
    let numbered = (2_u64..).map(|number| format!("{usual}-{number}"));
    std::iter::once(usual.to_owned()).chain(numbered).find(is_free).unwrap_or_default()
}

fn no_maildir() -> ShelfError {
    ShelfError::Write(io::ErrorKind::InvalidInput.into())
}

/// Where the messages of one mailbox go.
enum Place {
    /// A file without a name of its own yet, and the name.
    Mbox(BufWriter<NamedTempFile>, PathBuf),
    Maildir(store::Mailbox),
    Eml(PathBuf),
}

impl Place {
    fn open(form: Form, to: &Path, name: &str) -> Result<Self, ShelfError> {
        Ok(match form {
            Form::Mbox => {
                let whole = NamedTempFile::new_in(to).map_err(ShelfError::Write)?;
                Place::Mbox(BufWriter::with_capacity(WRITE_BUFFER, whole), to.join(format!("{name}.mbox")))
            }
            Form::Eml => {
                let folder = to.join(name);
                make(&folder)?;
                Place::Eml(folder)
            }
            Form::Maildir => {
                for place in ["tmp", "new", "cur"] {
                    make(&to.join(place))?;
                }
                let maildir = Maildir::open(to).map_err(|_| no_maildir())?;
                let mailbox = match maildir.mailbox(name).map_err(|_| no_maildir())? {
                    Some(mailbox) => mailbox,
                    None => maildir.create(name).map_err(|_| no_maildir())?,
                };
                Place::Maildir(mailbox)
            }
        })
    }

    fn put(&mut self, shelf: &mut Shelf<'_>, uid: u32, found: &Found) -> Result<(), ShelfError> {
        match self {
            Place::Mbox(file, _) => {
                let arrived = found.arrived();
                // Nothing of a message that fails may be in the file: it is verified before its first octet comes.
                let mut message = Mboxrd { file, arrived, state: State::Nothing };
                shelf.write(found, &mut message)?;
                message.finish().map_err(ShelfError::Write)
            }
            Place::Eml(folder) => {
                let mut file = NamedTempFile::new_in(&*folder).map_err(ShelfError::Write)?;
                shelf.write(found, &mut file)?;
                let path = folder.join(format!("{uid}.eml"));
                name_it(file, path).map(drop)
            }
            Place::Maildir(mailbox) => {
                let mut failed = None;
                let put = mailbox.lay(found.flags(), found.arrived(), |mut to| {
                    shelf.write(found, &mut to).map_err(|error| match error {
                        ShelfError::Write(error) => error,
                        other => {
                            failed = Some(other);
                            io::ErrorKind::InvalidData.into()
                        }
                    })
                });
                match (put, failed) {
                    (Ok(_), _) => Ok(()),
                    (Err(_), Some(other)) => Err(other),
                    (Err(error), None) => Err(ShelfError::Write(error)),
                }
            }
        }
    }

    fn finish(self) -> Result<(), ShelfError> {
        match self {
            Place::Mbox(file, path) => {
                let file = file.into_inner().map_err(|error| ShelfError::Write(error.into_error()))?;
                file.as_file().sync_all().map_err(ShelfError::Write)?;
                name_it(file, path).map(drop)
            }
            Place::Maildir(mailbox) => mailbox.sync_all().map_err(ShelfError::Write),
            Place::Eml(_) => Ok(()),
        }
    }
}

/// Puts `From ` before a message and `>` before its lines that look alike.
struct Mboxrd<'f, W: Write> {
    file: &'f mut W,
    arrived: UnixSeconds,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Nothing,
    /// At the beginning of a line: so much of `>*From ` was seen, and is held back: `>`s and letters.
    Line(usize, usize),
    Within,
}

const FROM: &[u8] = b"From ";

impl<W: Write> Mboxrd<'_, W> {
    fn finish(&mut self) -> io::Result<()> {
        if let State::Line(arrows, letters) = self.state {
            self.release(arrows, letters)?;
            if (arrows, letters) != (0, 0) {
                self.file.write_all(b"\n")?;
            }
        } else if self.state == State::Within {
            self.file.write_all(b"\n")?;
        }
        self.file.write_all(b"\n")
    }

    fn release(&mut self, arrows: usize, letters: usize) -> io::Result<()> {
        for _ in 0..arrows {
            self.file.write_all(b">")?;
        }
        self.file.write_all(FROM.get(..letters).unwrap_or_default())
    }
}

impl<W: Write> Write for Mboxrd<'_, W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.state == State::Nothing && !octets.is_empty() {
            writeln!(self.file, "From MAILER-DAEMON {}", asctime(self.arrived))?;
            self.state = State::Line(0, 0);
        }
        for &octet in octets {
            if let State::Line(arrows, letters) = self.state {
                if letters == 0 && octet == b'>' {
                    self.state = State::Line(arrows.saturating_add(1), 0);
                    continue;
                }
                if FROM.get(letters) == Some(&octet) {
                    let letters = letters.saturating_add(1);
                    if letters < FROM.len() {
                        self.state = State::Line(arrows, letters);
                        continue;
                    }
                    self.release(arrows.saturating_add(1), letters)?;
                    self.state = State::Within;
                    continue;
                }
                self.release(arrows, letters)?;
            }
            self.file.write_all(&[octet])?;
            self.state = if octet == b'\n' { State::Line(0, 0) } else { State::Within };
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// `Thu Jan  1 00:00:00 1970`, in UTC (RFC 4155).
fn asctime(moment: UnixSeconds) -> String {
    let text = wire::imap::server::DateTime::text_of_unix(moment.0);
    let week = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let day = usize::try_from(moment.0.div_euclid(86_400).rem_euclid(7)).unwrap_or_default();
    let mut words = text.split([' ', '-']);
    let (date, month, year) = (words.next(), words.next(), words.next());
    let time = words.next().unwrap_or_default();
    let date = date.unwrap_or_default().trim_start_matches('0');
    format!(
        "{} {} {date:>2} {time} {}",
        week.get(day).copied().unwrap_or("Thu"),
        month.unwrap_or_default(),
        year.unwrap_or_default()
    )
}

fn make(directory: &Path) -> Result<(), ShelfError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| ShelfError::Directory(directory.to_path_buf(), error))
}

/// Gives a file its name, now that it is whole.
fn name_it(file: NamedTempFile, path: PathBuf) -> Result<File, ShelfError> {
    file.persist_noclobber(&path).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => ShelfError::Exists(path),
        _ => ShelfError::Write(error.error),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;

    #[test]
    fn each_mailbox_has_a_name_of_its_own() {
        for (form, expected) in
            [(Form::Mbox, ["a.b", "a.b-2", "A.b-3", "a.b-2-2"]), (Form::Maildir, ["a/b", "a_b", "A_b-2", "a_b-2-2"])]
        {
            let mut used = HashSet::new();
            for (name, expected) in ["a/b", "a.b", "A.b", "a.b-2"].into_iter().zip(expected) {
                let own = own_name(&form.name_for(name), &used);
                assert_eq!(own, expected, "{name}");
                used.insert(own);
            }
        }
    }

    #[test]
    fn mbox_lines_that_look_like_a_beginning_are_marked() {
        for (octets, written) in [
            (&b"A: 1\n\nx\n"[..], "A: 1\n\nx\n\n"),
            (b"From x\n\nFrom y\n>From z\n>>Fro\nFrom", ">From x\n\n>From y\n>>From z\n>>Fro\nFrom\n\n"),
            (b"x", "x\n\n"),
        ] {
            for step in 1..=octets.len() {
                let mut file = Vec::new();
                let mut message = Mboxrd { file: &mut file, arrived: UnixSeconds(0), state: State::Nothing };
                octets.chunks(step).for_each(|piece| message.write_all(piece).unwrap());
                message.finish().unwrap();
                let text = String::from_utf8(file).unwrap();
                assert_eq!(text, format!("From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n{written}"));
            }
        }
        assert_eq!(asctime(UnixSeconds(951_827_696)), "Tue Feb 29 12:34:56 2000");
    }
}
