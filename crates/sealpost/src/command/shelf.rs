//! `list`, `show`, `cat` and `export`: the mail of a Maildir in a terminal.

use std::io::{self, BufWriter, Write};

use reader::{Form, Progress, Shelf, ShelfError};

use crate::{
    args::{ExportFormat, ExportMail, ListArguments, MaildirPlace, OneMessage},
    command::{bridge, print, print_json},
    config::Config,
    failure::{DoingWhat, Exit, Failure, with_causes},
    home::Home,
    keys::Reading,
    progress::Bar,
    tell::tell,
};

/// Characters of a sender that are shown.
const FROM: usize = 26;

/// Lists a mailbox.
pub fn list(home: &Home, arguments: &ListArguments) -> Result<(), Failure> {
    let settings = settings(home, &arguments.place)?;
    let shelf = Shelf::open(&settings)?;
    let mut lines = Vec::new();
    shelf.list(&arguments.mailbox, |line| lines.push(line))?;
    if arguments.json.json {
        return print_json(&lines);
    }
    let mut text = String::new();
    for line in &lines {
        let day = reader::day(line.arrived);
        let from: String = line.from.chars().take(FROM).collect();
        let mark = match line.state {
            "sealed" => "",
            "plain" => "  (not sealed)",
            _ => "  (sealed by nobody trusted here: as it lies)",
        };
        text.push_str(&format!("{:>6}  {day}  {from:<FROM$}  {}{mark}\n", line.uid, line.subject));
    }
    print(&text)
}

/// Shows a message as text.
pub fn show(home: &Home, arguments: &OneMessage) -> Result<(), Failure> {
    let settings = settings(home, &arguments.place)?;
    let shelf = Shelf::open(&settings)?;
    let mut found = shelf.find(&arguments.mailbox, arguments.number)?;
    print(&shelf.text(&mut found)?)
}

/// Prints a message octet by octet.
pub fn cat(home: &Home, arguments: &OneMessage) -> Result<(), Failure> {
    let settings = settings(home, &arguments.place)?;
    let shelf = Shelf::open(&settings)?;
    let mut found = shelf.find(&arguments.mailbox, arguments.number)?;
    let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    shelf.write(&mut found, &mut out)?;
    out.flush().doing(Exit::Temporary, "cannot write to standard output")
}

/// Writes mail out.
pub fn export(home: &Home, arguments: &ExportMail) -> Result<(), Failure> {
    let settings = settings(home, &arguments.place)?;
    let shelf = Shelf::open(&settings)?;
    let mailboxes = if arguments.mailboxes.is_empty() { shelf.mailboxes()? } else { arguments.mailboxes.clone() };
    let form = match arguments.format {
        ExportFormat::Mbox => Form::Mbox,
        ExportFormat::Maildir => Form::Maildir,
        ExportFormat::Eml => Form::Eml,
    };
    let mut watcher = Watcher(Bar::new("writing", 0));
    let exported = reader::export(&shelf, &mailboxes, form, &arguments.to, &mut watcher);
    watcher.0.finish();
    let exported = exported?;
    tell(format_args!("sealpost: {} messages written in clear to {}", exported.written, arguments.to.display()));
    match exported.failed {
        0 => Ok(()),
        failed => Err(Failure::new(Exit::Data, format_args!("{failed} messages do not open or cannot be read"))
            .hint("`sealpost verify FLOW` names them; they are as they were")),
    }
}

/// What opens the mail that is meant.
pub fn settings(home: &Home, place: &MaildirPlace) -> Result<reader::Settings, Failure> {
    let config = Config::read(home)?;
    let maildir = bridge::maildir(home, &config, place.maildir.as_ref())?;
    let reading = Reading::find(home, None, None, place.passphrase.passphrase_file.as_deref())?;
    Ok(bridge::settings(home, maildir, reading))
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
        let (exit, hint) = match &error {
            ShelfError::NoMailbox => (Exit::Usage, "mailboxes are named as folders from the root: `Archive/2024`"),
            ShelfError::NoMessage => (Exit::Usage, "`sealpost list MAILBOX` shows the numbers"),
            ShelfError::Broken => (Exit::Data, "look for it in a backup of the mailbox; `sealpost inspect` says more"),
            ShelfError::Maildir(_) => (Exit::Config, "name a folder that has cur, new and tmp in it: --maildir PATH"),
            ShelfError::Write(_) => {
                (Exit::Temporary, "is there room, and is there no such file yet? none is overwritten")
            }
            other => (other.fate().into(), "`sealpost check` looks at config, keys and mailboxes"),
        };
        Self::new(exit, with_causes(&error)).hint(hint)
    }
}
