//! `list`, `show`, `cat` and `export`: mail in a terminal.

use std::io::{self, BufWriter, IsTerminal, Write};

use reader::{Fate, Form, Progress, Shelf, ShelfError};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::{
    args::{ExportFormat, ExportMail, ListArguments, MessageName, OneMessage},
    command::{print, print_json},
    config::{Config, nearest_of},
    failure::{DoingWhat, Exit, Failure, with_causes},
    home::Home,
    mailboxes,
    progress::Bar,
    stop,
    tell::tell,
};

/// Columns of a sender where there is no terminal.
const FROM: usize = 26;
/// Columns beside a sender and a subject.
const BESIDE: usize = 6 + 2 + 10 + 2 + 2;
/// Columns of a subject that are shown in any case.
const LEAST: usize = 20;

/// What to do about the seal of somebody whom nobody trusts here.
pub const TRUST: &str = "if the sealer is yours, pin it: `sealpost key trust-sealer FILE` (the file that its `key export --sealer` printed)";

/// Lists a mailbox.
pub fn list(home: &Home, arguments: &ListArguments) -> Result<(), Failure> {
    let stop = stop::asked_to_stop()?;
    let settings = mailboxes::settings(home, &Config::read(home)?, &arguments.place, &stop)?;
    let mut shelf = Shelf::open(&settings, &stop)?;
    if arguments.mailboxes {
        return list_mailboxes(&mut shelf, arguments);
    }
    let mut lines = Vec::new();
    let mailbox = arguments.mailbox.as_ref().or(arguments.named.as_ref()).map_or("INBOX", String::as_str);
    shelf.list(mailbox, |line| lines.push(line))?;
    let more = lines.len().saturating_sub(arguments.last.unwrap_or(usize::MAX));
    lines.drain(..more);
    let foreign = lines.iter().filter(|line| line.state == "foreign").count();
    if foreign > 0 {
        tell(format_args!("sealpost: {foreign} of these messages are {FOREIGN}"));
        tell(format_args!("sealpost: hint: {TRUST}"));
    }
    if arguments.json.json {
        return print_json(&lines);
    }
    let mut text = String::new();
    let columns = columns();
    // A wider terminal has more room for both.
    let most = columns.map_or(FROM, |columns| (columns.saturating_sub(BESIDE) * 9 / 20).clamp(12, 40));
    for line in &lines {
        let from = padded(&sender(&line.from, most), most);
        let mark = match line.state {
            "sealed" if line.copy => "  (a copy of another one)",
            "sealed" => "",
            "plain" => "  (not sealed)",
            "encrypted" => "  (encrypted by its author)",
            _ => "  (sealed by nobody trusted here: as it lies)",
        };
        let subject = squeezed(&line.subject);
        let room = columns.map(|columns| columns.saturating_sub(BESIDE + most + mark.width()).max(LEAST));
        let subject = room.map_or(subject.clone(), |room| cut(&subject, room));
        let row = format!("{:>6}  {}  {from}  {subject}{mark}", line.uid, line.date);
        text.push_str(row.trim_end());
        text.push('\n');
    }
    print(&text)
}

fn list_mailboxes(shelf: &mut Shelf<'_>, arguments: &ListArguments) -> Result<(), Failure> {
    #[derive(serde::Serialize)]
    struct Held {
        mailbox: String,
        messages: usize,
    }
    let mut all = Vec::new();
    for mailbox in shelf.mailboxes() {
        let messages = shelf.uids(&mailbox)?.len();
        all.push(Held { mailbox, messages });
    }
    if arguments.json.json {
        return print_json(&all);
    }
    let lines = all.iter().map(|Held { mailbox, messages }| format!("{messages:>6}  {}\n", squeezed(mailbox)));
    print(&lines.collect::<String>())
}

/// Columns of the terminal; `None`: it is none, and nothing is cut.
fn columns() -> Option<usize> {
    let out = io::stdout();
    let size = rustix::termios::tcgetwinsize(&out).ok().filter(|_| out.is_terminal())?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// As much as so many columns hold; with a mark where something was cut off.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    for character in text.chars() {
        used += character.width().unwrap_or_default();
        if used > columns {
            break;
        }
        kept.push(character);
    }
    kept.trim_end().to_owned() + "…"
}

/// With blanks behind it, up to so many columns.
pub fn padded(text: &str, columns: usize) -> String {
    text.to_owned() + &" ".repeat(columns.saturating_sub(text.width()))
}

/// The name of a sender, or else the address.
pub fn sender(from: &str, most: usize) -> String {
    let from = squeezed(from);
    let name = from.split_once('<').map(|(name, _)| name.trim().trim_matches('"'));
    cut(name.filter(|name| !name.is_empty()).unwrap_or(&from), most)
}

/// With one blank where there are several.
pub fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Shows a message as text.
pub fn show(home: &Home, arguments: &OneMessage) -> Result<(), Failure> {
    let stop = stop::asked_to_stop()?;
    let settings = mailboxes::settings(home, &Config::read(home)?, &arguments.place, &stop)?;
    let mut shelf = Shelf::open(&settings, &stop)?;
    let (mailbox, number) = named(arguments)?;
    let found = shelf.find(mailbox, number)?;
    if found.is_copy() {
        tell(format_args!(
            "sealpost: the same sealed message lies here besides, and nobody copied it through the bridge"
        ));
    }
    if let Some(refusal) = shelf.refusal(&found) {
        let Failure { error, hint, .. } = not_opened(refusal);
        tell(format_args!("sealpost: shown as it lies: {error}"));
        tell(format_args!("sealpost: hint: {hint}"));
    }
    print(&shelf.text(&found)?)
}

/// Prints a message octet by octet.
pub fn cat(home: &Home, arguments: &OneMessage) -> Result<(), Failure> {
    let stop = stop::asked_to_stop()?;
    let settings = mailboxes::settings(home, &Config::read(home)?, &arguments.place, &stop)?;
    let mut shelf = Shelf::open(&settings, &stop)?;
    let (mailbox, number) = named(arguments)?;
    let found = shelf.find(mailbox, number)?;
    // Its original is not known, and ciphertext is none.
    if let Some(refusal) = shelf.refusal(&found) {
        return Err(not_opened(refusal));
    }
    let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let written = shelf.write(&found, &mut out).and_then(|()| out.flush().map_err(ShelfError::Write));
    match written {
        // Who reads it has had enough.
        Err(ShelfError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            // What is still held back would be written now.
            drop(out.into_parts());
            Ok(())
        }
        Err(ShelfError::Write(error)) => Err(error).doing(Exit::Temporary, "cannot write to standard output"),
        other => Ok(other?),
    }
}

/// Sealed by nobody trusted here, or not to our key.
const FOREIGN: &str = "sealed by nobody trusted here, or not to your key";

/// Why a sealed message is not opened, and what to do here.
fn not_opened(refusal: open::OpenError) -> Failure {
    let is_unknown = matches!(refusal, open::OpenError::UnknownSealer);
    let failure = Failure::from(refusal);
    if is_unknown { failure.hint(TRUST) } else { failure }
}

/// `MAILBOX/NUMBER`, as `search` prints it, or a number and `--mailbox`.
fn named(arguments: &OneMessage) -> Result<(&str, u32), Failure> {
    let MessageName { mailbox, number } = &arguments.number;
    match (mailbox, &arguments.mailbox) {
        (Some(_), Some(_)) => Err(Failure::new(Exit::Usage, "two mailboxes are named")
            .hint("name one: `sealpost show MAILBOX/NUMBER`, or `sealpost show NUMBER --mailbox NAME`")),
        (Some(name), None) | (None, Some(name)) => Ok((name, *number)),
        (None, None) => Ok(("INBOX", *number)),
    }
}

/// Writes mail out.
pub fn export(home: &Home, arguments: &ExportMail) -> Result<(), Failure> {
    let stop = stop::asked_to_stop()?;
    let settings = mailboxes::settings(home, &Config::read(home)?, &arguments.place, &stop)?;
    let mut shelf = Shelf::open(&settings, &stop)?;
    let mailboxes = if arguments.mailboxes.is_empty() { shelf.mailboxes() } else { arguments.mailboxes.clone() };
    let form = match arguments.format {
        ExportFormat::Mbox => Form::Mbox,
        ExportFormat::Maildir => Form::Maildir,
        ExportFormat::Eml => Form::Eml,
    };
    let mut watcher = Watcher(Bar::new("writing", 0));
    let exported = reader::export(&mut shelf, &mailboxes, form, &arguments.to, &mut watcher);
    watcher.0.finish();
    let exported = exported.map_err(|error| {
        let failure = Failure::from(error);
        let stays = "what was written so far stays in";
        let again = "remove it, or name another directory, and run it again";
        if stop::is_stopped() {
            failure.hint(format_args!("{stays} {}: {again}", arguments.to.display()))
        } else {
            failure
        }
    })?;
    for (mailbox, name) in &exported.renamed {
        let (mailbox, name) = (squeezed(mailbox), squeezed(name));
        tell(format_args!("sealpost: {mailbox} is written as {name}: another mailbox has its usual name"));
    }
    tell(format_args!("sealpost: {} messages written in clear to {}", exported.written, arguments.to.display()));
    for (count, why) in [(exported.foreign, FOREIGN), (exported.encrypted, "encrypted by its author")] {
        if count > 0 {
            tell(format_args!("sealpost: {count} as they lie: {why}"));
        }
    }
    match exported.failed {
        0 if exported.foreign > 0 => {
            Err(Failure::new(Exit::Refused, format_args!("{} messages are not in clear: {FOREIGN}", exported.foreign))
                .hint(format_args!("{TRUST}; then export to another directory")))
        }
        0 => Ok(()),
        failed => Err(Failure::new(Exit::Data, format_args!("{failed} messages do not open or cannot be read"))
            .hint("`sealpost verify FLOW` names them; they are as they were")),
    }
}

/// Shows a bar.
pub struct Watcher(pub Bar);

impl Progress for Watcher {
    fn total(&mut self, messages: u64, _: u64) {
        self.0.total(messages);
    }

    fn done(&mut self, _: u64) {
        self.0.one();
    }

    fn failed(&mut self, _: &'static str) {
        self.0.one();
    }
}

impl From<ShelfError> for Failure {
    fn from(error: ShelfError) -> Self {
        // What a server or a disk did not answer any more is no fault of theirs then.
        if matches!(error, ShelfError::Stopped) || (stop::is_stopped() && error.fate() == Fate::Retry) {
            return Self::stopped();
        }
        if let ShelfError::NoMailbox { asked, names } = &error {
            let all = "`sealpost list --mailboxes` shows the names";
            let hint = match nearest_of(asked, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{}`? {all}", squeezed(near)),
                None => format!("{all}; they are folders from the root: `Archive/2024`"),
            };
            return Self::new(Exit::Usage, &error).hint(hint);
        }
        let (exit, hint) = match &error {
            ShelfError::NoMessage => (Exit::Usage, "`sealpost list MAILBOX` shows the numbers"),
            ShelfError::Broken => (Exit::Data, "look for it in a backup of the mailbox; `sealpost inspect` says more"),
            ShelfError::Reach(error) => mailboxes::of_reaching(error),
            ShelfError::Exists(_) | ShelfError::Occupied(_) => {
                (Exit::Temporary, "nothing is overwritten or doubled: name another directory, or remove what is there")
            }
            ShelfError::Lost => (Exit::Temporary, "try again when the server is there"),
            ShelfError::Write(_) | ShelfError::Directory(..) => {
                (Exit::Temporary, "is there room, and may you write there?")
            }
            other => (other.fate().into(), "`sealpost check` looks at config, keys and mailboxes"),
        };
        Self::new(exit, with_causes(&error)).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_by_columns() {
        for (text, columns, expected) in [
            ("short", 5, "short"),
            ("longer", 5, "long…"),
            ("ein Wort", 5, "ein…"),
            // Two columns each.
            ("船小屋の鍵", 10, "船小屋の鍵"),
            ("船小屋の鍵", 9, "船小屋の…"),
            ("船小屋の鍵", 8, "船小屋…"),
            // An accent of its own has none.
            ("e\u{301}e\u{301}", 2, "e\u{301}e\u{301}"),
        ] {
            assert_eq!(cut(text, columns), expected);
            assert_eq!(padded(&cut(text, columns), 12).width(), 12);
        }
    }
}
