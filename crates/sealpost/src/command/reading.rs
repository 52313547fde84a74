//! `verify` and `undo`: a flow's sealed mail opened and judged, or opened and put back.

use reader::{LeftOut, Place, UndoError, Undone, Verified, VerifyError};

use crate::{
    args::FlowSecret,
    command::{print, print_json},
    config::{self, Config},
    failure::{Exit, Failure, with_causes},
    flows,
    home::Home,
    keys::Reading,
    progress::Bar,
};

/// Lines of a list that are shown; `--json` has them all.
const SHOWN: usize = 20;

/// Opens everything.
pub fn verify(home: &Home, arguments: &FlowSecret) -> Result<(), Failure> {
    let settings = settings(home, arguments)?;
    let mut watcher = Watcher { bar: Bar::new("verifying", 0), failed: 0 };
    let verified = reader::verify(&settings, &mut watcher);
    watcher.bar.finish();
    let verified = verified?;
    if arguments.json.json {
        print_json(&verified)?
    } else {
        print(&verified_text(&arguments.flow, &verified))?
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
pub fn undo(home: &Home, arguments: &FlowSecret) -> Result<(), Failure> {
    let settings = settings(home, arguments)?;
    let stop = flows::asked_to_stop()?;
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

fn not_all_read(error: &str) -> Failure {
    Failure::new(Exit::Temporary, error).hint(
        "run it as the user who owns the mailbox, give back the permission to read what is named above, try again",
    )
}

fn settings(home: &Home, arguments: &FlowSecret) -> Result<reader::Settings, Failure> {
    let config = Config::read(home)?;
    let source = &config.flow(&arguments.flow)?.source;
    let config::Place::Maildir(maildir) = &source.place else {
        return Err(Failure::new(Exit::Config, "this works on Maildir flows only so far, not on accounts").hint(
            "`sealpost status FLOW` counts what is sealed; single messages are opened with `sealpost open < FILE`",
        ));
    };
    let reading = Reading::find(home, None, None, arguments.passphrase.passphrase_file.as_deref())?;
    Ok(reader::Settings {
        flow: arguments.flow.clone(),
        source: reader::Source::Maildir(home.at(maildir)),
        mailboxes: source.mailboxes.clone(),
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
    }

    fn done(&mut self, _: u64) {
        self.bar.one();
    }

    fn failed(&mut self, _: &'static str) {
        self.failed += 1;
        self.bar.one();
        self.bar.note(format!("{} failed", self.failed));
    }
}

fn verified_text(name: &str, verified: &Verified) -> String {
    let mut text = format!("{name}:\n");
    let mut line = |count: u64, what: &str| text.push_str(&format!("  {count:>9}  {what}\n"));
    line(verified.opened, "sealed messages open whole, both signatures hold");
    for (reason, count) in &verified.reasons {
        line(*count, explain(reason));
    }
    line(verified.others, "messages are not sealed");
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
    for gap in verified.gaps.iter().take(SHOWN) {
        text.push_str(&format!(
            "  running numbers {} to {} of sealer {} are missing: deleted by you, or lost or hidden by the server\n",
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
        "restless" => "renamed again and again by another program",
        other => other,
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        Self::new(error.fate().into(), with_causes(&error)).hint("`sealpost check` looks at the config and the mailbox")
    }
}

impl From<UndoError> for Failure {
    fn from(error: UndoError) -> Self {
        let hint = match &error {
            UndoError::Busy => "wait for it to end",
            UndoError::Full => "make room; nothing was lost, and the next undo goes on",
            UndoError::Forbidden => "run it as the user who owns the mailbox",
            _ => "`sealpost check` looks at the config and the mailbox; the next undo goes on",
        };
        Self::new(error.fate().into(), with_causes(&error)).hint(hint)
    }
}
