//! `verify`, `undo` and `restore`: a flow's sealed mail opened and judged, opened and put back, or brought back from the
//! flow's backup.

use std::io::IsTerminal;
use std::sync::{Arc, atomic::AtomicBool};

use reader::{
    Into as Whither, LeftOut, Place, RestoreError, Restored, Sealers, Source, UndoError, Undone, Verified, VerifyError,
};
use store::UnixSeconds;

use crate::{
    accounts,
    args::{FlowSecret, Restore, Undo},
    command::{print, print_json},
    config::{self, Config},
    failure::{DoingWhat, Exit, Failure, with_causes},
    home::Home,
    keys::Reading,
    mailboxes,
    progress::Bar,
    stop,
    tell::tell,
};

/// Said while a connection is made anew.
const LOST: &str = "the server cannot be reached, trying again";
/// Lines of a list that are shown; `--json` has them all.
const SHOWN: usize = 20;

/// Opens everything.
pub fn verify(home: &Home, arguments: &FlowSecret) -> Result<(), Failure> {
    let stop = stop::asked_to_stop()?;
    let settings = settings(home, arguments, Sealers::MayRun, &stop)?;
    let mut watcher = Watcher { bar: Bar::new("verifying", 0), failed: 0 };
    let verified = reader::verify(&settings, &mut watcher, &stop);
    watcher.bar.finish();
    let verified = verified?;
    if arguments.json.json {
        print_json(&verified)?
    } else {
        print(&verified_text(&arguments.flow, &verified, home.backup(&arguments.flow).is_dir()))?
    }
    if verified.is_sound() {
        return Ok(());
    }
    if verified.is_intact() {
        return Err(not_all_read("not everything could be read; what could is as it was"));
    }
    Err(Failure::new(Exit::Data, "not everything that was sealed here is as it was")
        .hint("look for the messages named above in a backup of the mailbox"))
}

/// Puts everything back.
pub fn undo(home: &Home, undo: &Undo) -> Result<(), Failure> {
    let arguments = &undo.flow;
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if terminal && !undo.yes && !is_sure(&arguments.flow)? {
        return Err(Failure::new(Exit::Usage, "nothing was put back, as you said").hint("`--yes` does not ask"));
    }
    let stop = stop::asked_to_stop()?;
    let sealers = if undo.no_other_sealer { Sealers::NoneRuns } else { Sealers::MayRun };
    let settings = settings(home, arguments, sealers, &stop)?;
    let mut watcher = Watcher { bar: Bar::new("putting back", 0), failed: 0 };
    let undone = reader::undo(&settings, &mut watcher, &stop);
    watcher.bar.finish();
    let undone = undone?;
    if arguments.json.json {
        print_json(&undone)?
    } else {
        print(&undone_text(&arguments.flow, &undone))?
    }
    let go_on = format!("go on with `sealpost undo {}`", arguments.flow);
    if undone.interrupted || undone.unsettled > 0 {
        return Err(Failure::new(Exit::Temporary, "not everything is put back yet; nothing is half done").hint(go_on));
    }
    let left: u64 = undone
        .reasons
        .iter()
        .filter(|(reason, _)| **reason != reader::reason::LABEL_ONLY)
        .map(|(_, count)| count)
        .sum();
    if left > 0 {
        return Err(Failure::new(Exit::Data, format_args!("{left} messages stay sealed"))
            .hint("each is named above with the reason; they are as they were"));
    }
    if undone.unreadable > 0 || !undone.left_out.is_empty() {
        return Err(not_all_read("not everything could be read; sealed mail among it stays sealed"));
    }
    Ok(())
}

/// Before anything is done; Ctrl-C ends the program here.
fn is_sure(flow: &str) -> Result<bool, Failure> {
    tell(format_args!(
        "sealpost: this puts all mail that {flow} sealed back in clear, and ends the flow; go on? [y/N]"
    ));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).doing(Exit::Temporary, "cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Brings originals back from the backup.
pub fn restore(home: &Home, restore: &Restore) -> Result<(), Failure> {
    let arguments = &restore.flow;
    let stop = stop::asked_to_stop()?;
    let settings = settings(home, arguments, Sealers::MayRun, &stop)?;
    let backup = home.backup(&arguments.flow);
    if !backup.is_dir() {
        return Err(Failure::new(Exit::Config, format_args!("there is no backup in {}", backup.display()))
            .hint("flows of accounts keep one, unless `backup` in config.toml is \"off\""));
    }
    let into = restore.into.as_ref().map_or(Whither::Account, |directory| Whither::Directory(directory.clone()));
    let mut watcher = Watcher { bar: Bar::new("restoring", 0), failed: 0 };
    let since = restore.since.map(UnixSeconds);
    let restored = reader::restore(&settings, &backup, since, &into, &mut watcher, &stop);
    watcher.bar.finish();
    let restored = restored?;
    if arguments.json.json {
        print_json(&restored)?
    } else {
        print(&restored_text(&arguments.flow, &restored))?
    }
    if restored.interrupted {
        return Err(Failure::new(Exit::Temporary, "stopped before the end, as asked; nothing is half done")
            .hint("run it again: what is there already is left alone"));
    }
    match restored.reasons.values().sum::<u64>() {
        0 => Ok(()),
        count => Err(Failure::new(Exit::Data, format_args!("{count} messages of the backup were not restored"))
            .hint("each is named above with the reason; the backup is as it was")),
    }
}

fn not_all_read(error: &str) -> Failure {
    Failure::new(Exit::Temporary, error).hint(
        "run it as the user who owns the mailbox, give back the permission to read what is named above, try again",
    )
}

fn settings(
    home: &Home,
    arguments: &FlowSecret,
    sealers: Sealers,
    stop: &Arc<AtomicBool>,
) -> Result<reader::Settings, Failure> {
    home.must_exist()?;
    let config = Config::read(home)?;
    let flow = config.mailboxes(&arguments.flow)?;
    let source = match &flow.source.place {
        config::Place::Maildir(path) => Source::Maildir(home.at(path)),
        config::Place::Account(name) => Source::Imap(reader::Imap {
            account: accounts::account(home, config.account(name)?, stop)?,
            sink: match &flow.sink {
                config::Sink::InPlace => None,
                config::Sink::Folder(name) => Some(name.clone()),
            },
            sealers,
        }),
    };
    let reading = Reading::find(home, None, None, arguments.passphrase.passphrase_file.as_deref())?;
    Ok(reader::Settings {
        flow: arguments.flow.clone(),
        source,
        mailboxes: flow.source.mailboxes.clone(),
        state: home.state(),
        temporary: std::env::temp_dir(),
        keys: reading.keys,
        trust: reading.trust,
    })
}

struct Watcher {
    bar: Bar,
    failed: u64,
}

impl reader::Progress for Watcher {
    fn total(&mut self, messages: u64, _: u64) {
        self.bar.total(messages);
        // It is there (again).
        self.bar.note(String::new());
    }

    fn done(&mut self, _: u64) {
        self.bar.one();
    }

    fn lost(&mut self) {
        self.bar.stall(LOST);
    }

    fn failed(&mut self, _: &'static str) {
        self.failed += 1;
        self.bar.one();
        self.bar.note(format!("{} failed", self.failed));
    }
}

fn verified_text(name: &str, verified: &Verified, has_backup: bool) -> String {
    let mut text = format!("{name}:\n");
    let mut line = |count: u64, what: &str| text.push_str(&format!("  {count:>9}  {what}\n"));
    line(verified.opened, "sealed messages open whole, both signatures hold");
    for (reason, count) in &verified.reasons {
        line(*count, explain(reason));
    }
    line(verified.others, &format!("messages are not sealed (`sealpost status {name}` says why)"));
    if !verified.copies.is_empty() {
        line(verified.copies.len() as u64, "are further copies of a sealed message");
    }
    places(&mut text, verified.broken.iter().map(|(place, reason)| (place, *reason)));
    unread(&mut text, verified.unreadable, &verified.unread, &verified.left_out);
    places(
        &mut text,
        verified
            .same_number
            .iter()
            .map(|place| (place, "running number of another message: does somebody else have the sealer key?")),
    );
    let damaged =
        if verified.broken.is_empty() { "" } else { "; or damaged, and named above: such mail has no number" };
    let restore = if has_backup { "; `sealpost restore` brings back what the backup still has" } else { "" };
    for gap in verified.gaps.iter().take(SHOWN) {
        text.push_str(&format!(
            "  sealed messages number {} to {} (of sealer {}) are not there: deleted or moved away by you, or lost or hidden \
             by the server{damaged}{restore}\n",
            gap.first, gap.last, gap.sealer
        ));
    }
    text
}

fn undone_text(name: &str, undone: &Undone) -> String {
    let mut text = format!("{name}: stopped, nothing more will be sealed\n");
    let mut line = |count: u64, what: &str| text.push_str(&format!("  {count:>9}  {what}\n"));
    line(undone.restored, "originals put back, octet for octet");
    if undone.recovered > 0 {
        line(undone.recovered, "that an earlier run left unfinished, settled");
    }
    if undone.skipped > 0 {
        line(undone.skipped, "went away meanwhile");
    }
    for (reason, count) in &undone.reasons {
        line(*count, explain(reason));
    }
    places(&mut text, undone.left.iter().map(|(place, reason)| (place, *reason)));
    unread(&mut text, undone.unreadable, &undone.unread, &undone.left_out);
    text
}

fn restored_text(name: &str, restored: &Restored) -> String {
    let mut text = format!("{name}:\n");
    let mut line = |count: u64, what: &str| text.push_str(&format!("  {count:>9}  {what}\n"));
    line(restored.restored, "originals brought back, octet for octet");
    line(restored.there, "are there already");
    if restored.older > 0 {
        line(restored.older, "were sealed earlier than asked for");
    }
    for (reason, count) in &restored.reasons {
        line(*count, explain(reason));
    }
    places(&mut text, restored.failed.iter().map(|(place, reason)| (place, *reason)));
    text
}

/// What nobody knows anything of.
fn unread(text: &mut String, count: u64, files: &[Place], mailboxes: &[LeftOut]) {
    if count > 0 {
        text.push_str(&format!("  {count:>9}  files cannot be read\n"));
    }
    places(text, files.iter().map(|place| (place, reader::reason::UNREADABLE)));
    // All of them: each may be a whole mailbox.
    for left in mailboxes {
        text.push_str(&format!("  not looked at: {} ({})\n", left.path, left.reason));
    }
}

fn places<'a>(text: &mut String, entries: impl ExactSizeIterator<Item = (&'a Place, &'a str)>) {
    let more = entries.len().saturating_sub(SHOWN);
    for (place, reason) in entries.take(SHOWN) {
        text.push_str(&format!("  {}/{}: {}\n", place.mailbox, place.message, explain(reason)));
    }
    if more > 0 {
        text.push_str(&format!("  and {more} more (--json lists them)\n"));
    }
}

/// A reason code, for people.
fn explain(reason: &str) -> &str {
    match reason {
        "label-only" => "carry the label and are not sealed",
        "newer" => "sealed in a newer way than this version knows",
        "unknown-sealer" => "sealed by a sealer that is not trusted here",
        "signature" => "signature does not verify",
        "key" => "sealed to another key",
        "damaged" => "damaged or changed since it was sealed",
        "mixed" => "inside and outside belong to different messages",
        "unreadable" => "cannot be read",
        "unwritable" => "the original cannot be written",
        "not-proved" => "what was written is not the original; it was thrown away",
        "deleted" => "marked as deleted",
        "locked" => "another sealer is at work on it",
        "append-limit" => "larger than the server takes",
        "quota" => "the account is full: there must be room for both at once",
        "rejected" => "the server does not take the original, or not as it is",
        "restless" => "renamed again and again by another program",
        other => other,
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        if matches!(error, VerifyError::Stopped) {
            return Self::stopped();
        }
        let hint = match &error {
            VerifyError::Account(error) => mailboxes::of_account(error),
            _ => "`sealpost check` looks at the config and the mailbox",
        };
        Self::new(error.fate().into(), with_causes(&error)).hint(hint)
    }
}

impl From<UndoError> for Failure {
    fn from(error: UndoError) -> Self {
        let hint = match &error {
            UndoError::Busy => "wait for it to end, or stop the service that watches this flow",
            UndoError::NoKeywords => {
                "end `sealpost` on every other machine that seals this account, then say so: --no-other-sealer"
            }
            UndoError::NoSafeRemoval => "nothing was changed; ask the provider for UIDPLUS",
            UndoError::Account(error) => mailboxes::of_account(error),
            UndoError::Full => "make room; nothing was lost, and the next undo goes on",
            UndoError::Forbidden => "run it as the user who owns the mailbox",
            _ => "`sealpost check` looks at the config and the mailbox; the next undo goes on",
        };
        Self::new(error.fate().into(), with_causes(&error)).hint(hint)
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        let hint = match &error {
            RestoreError::NoAccount => "name a directory: --into DIR",
            RestoreError::Backup(_) => "give back the permission to read it; the backup is as it was",
            RestoreError::Directory(_) | RestoreError::Forbidden => "name a directory that you may write: --into DIR",
            RestoreError::Full => "make room; run it again, and it goes on",
            RestoreError::Account(error) => mailboxes::of_account(error),
            _ => "run it again: what is there already is left alone",
        };
        Self::new(error.fate().into(), with_causes(&error)).hint(hint)
    }
}
