//! `plan`, `sweep`, `status`: a flow's mail counted, sealed, counted again.

use std::collections::BTreeMap;

use flow::{Count, Plan, Progress, Status, SurveyError, SweepError, Swept, survey::Survey};
use store::ledger::Code;

use crate::{
    clock,
    command::{print, print_json},
    config::Config,
    failure::{Exit, Failure, with_causes},
    flows,
    home::Home,
    progress::Bar,
};

/// Why a mailbox was left out: its owner has to do something about it. The other reasons are the owner's choice.
const UNREADABLE: &str = "cannot be read";

/// What a sweep would do.
pub fn plan(home: &Home, name: &str, json: bool) -> Result<(), Failure> {
    let settings = flows::settings(home, &Config::read(home)?, name)?;
    let mut watcher = Watcher::new("looking");
    let plan = flow::plan(&settings, &mut watcher, &flows::asked_to_stop()?)?;
    watcher.bar.finish();
    if json { print_json(&plan) } else { print(&plan_text(name, &plan)) }
}

/// One pass.
pub fn sweep(home: &Home, name: &str, json: bool) -> Result<(), Failure> {
    let settings = flows::settings(home, &Config::read(home)?, name)?;
    let stop = flows::asked_to_stop()?;
    let mut watcher = Watcher::new("sealing");
    let swept = flow::sweep(&settings, &mut watcher, &stop);
    watcher.bar.finish();
    let swept = swept?;
    if json {
        print_json(&swept)?
    } else {
        print(&swept_text(name, &swept))?
    }
    let failed: u64 = swept.failed.values().sum();
    if failed + swept.unsettled > 0 {
        return Err(Failure::new(
            Exit::Temporary,
            format_args!("{} messages could not be sealed now; they are as they were", failed + swept.unsettled),
        )
        .hint(format_args!("the next sweep tries them again; `sealpost status {name}` says why")));
    }
    if swept.interrupted {
        return Err(Failure::new(Exit::Temporary, "stopped before the end, as asked; nothing is half done")
            .hint(format_args!("go on with `sealpost sweep {name}`")));
    }
    if swept.found.left_out.iter().any(|left| left.reason == UNREADABLE) {
        return Err(Failure::new(Exit::Temporary, "not every mailbox could be read; mail in there is not sealed")
            .hint("run it as the user who owns the mailbox, or give back the permission to read what is named above"));
    }
    Ok(())
}

/// How flows stand.
pub fn status(home: &Home, name: Option<&str>, json: bool) -> Result<(), Failure> {
    let config = Config::read(home)?;
    let names: Vec<&str> = match name {
        Some(name) => vec![name],
        None => config.flow.keys().map(String::as_str).collect(),
    };
    let stop = flows::asked_to_stop()?;
    let mut all = BTreeMap::new();
    for name in names {
        all.insert(name, flow::status(&flows::settings(home, &config, name)?, &stop)?);
    }
    if json {
        return print_json(&all);
    }
    let texts: Vec<String> = all.iter().map(|(name, status)| status_text(name, status)).collect();
    if texts.is_empty() { print("config.toml has no flows yet\n") } else { print(&texts.join("\n")) }
}

/// Shows a flow's progress on a bar.
struct Watcher {
    bar: Bar,
    looked: u64,
    octets: u64,
    failed: u64,
}

impl Watcher {
    fn new(what: &'static str) -> Self {
        Self { bar: Bar::new(what, 0), looked: 0, octets: 0, failed: 0 }
    }

    fn note(&self) {
        let failed = if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
        self.bar.note(format!("{}{failed}", octets(self.octets)));
    }
}

impl Progress for Watcher {
    fn looked(&mut self) {
        self.looked += 1;
        self.bar.note(format!("{} looked at", self.looked));
    }

    fn total(&mut self, messages: u64, _: u64) {
        self.bar.total(messages);
    }

    fn done(&mut self, octets: u64) {
        self.octets += octets;
        self.bar.one();
        self.note();
    }

    fn skipped(&mut self, _: Code) {
        self.bar.one();
    }

    fn failed(&mut self, _: Code) {
        self.failed += 1;
        self.bar.one();
        self.note();
    }
}

fn plan_text(name: &str, plan: &Plan) -> String {
    let mut text = format!("{name}: what `sealpost sweep {name}` would do\n");
    line(&mut text, "to seal", plan.found.to_seal);
    text.push_str(&format!("  about {} afterwards\n", octets(plan.octets_after)));
    survey_text(&mut text, &plan.found);
    if plan.stopped_since.is_some() {
        text.push_str("  stopped by an undo: a sweep would refuse\n");
    }
    text.push_str(
        "What the server's own caches, indexes and backups hold of the mail that was readable until now stays there\n\
         until the server drops it.\n",
    );
    text
}

fn swept_text(name: &str, swept: &Swept) -> String {
    let mut text = format!("{name}:\n");
    line(&mut text, "sealed now", swept.sealed);
    survey_text(&mut text, &swept.found);
    for (reason, count) in swept.skipped.iter().chain(&swept.failed) {
        text.push_str(&format!("  {count:>9}  {}\n", explain(reason)));
    }
    if swept.recovered > 0 {
        text.push_str(&format!("  {:>9}  that an earlier run left unfinished, settled\n", swept.recovered));
    }
    text
}

fn status_text(name: &str, status: &Status) -> String {
    let mut text = format!("{name}:\n");
    line(&mut text, "readable on the server", status.plaintext);
    line(&mut text, "  of it to be sealed", status.found.to_seal);
    survey_text(&mut text, &status.found);
    text.push_str(&format!("  {:>9}  sealed by this flow in all\n", status.sealed_ever));
    if status.unfinished > 0 {
        text.push_str(&format!("  {:>9}  cut off, to be settled by the next sweep\n", status.unfinished));
    }
    let shown = |seconds: i64| clock::shown(u64::try_from(seconds).unwrap_or_default());
    if let Some(last) = status.last_activity {
        text.push_str(&format!("  last activity {}\n", shown(last)));
    }
    if let Some(next) = status.next_retry {
        text.push_str(&format!("  failed ones are tried again from {}\n", shown(next)));
    }
    if let Some(since) = status.stopped_since {
        text.push_str(&format!("  stopped by an undo since {}\n", shown(since)));
    }
    text
}

fn survey_text(text: &mut String, found: &Survey) {
    line(text, "sealed already", found.sealed);
    if found.forged.messages > 0 {
        line(text, "labelled as encrypted, and not", found.forged);
    }
    for (reason, count) in &found.skipped {
        line(text, explain(reason), *count);
    }
    for (reason, count) in &found.failed {
        line(text, &format!("failed: {}", explain(reason)), *count);
    }
    for left in &found.left_out {
        text.push_str(&format!("  not looked at: {} ({})\n", left.path, left.reason));
    }
}

fn line(text: &mut String, what: &str, count: Count) {
    text.push_str(&format!("  {:>9}  {what}, {}\n", count.messages, octets(count.octets)));
}

/// A reason code, for people.
fn explain(reason: &str) -> &str {
    match reason {
        "draft" => "left alone: drafts",
        "deleted" => "left alone: marked as deleted",
        "too-young" => "left alone for now: younger than the grace period",
        "too-old" => "left alone: from before the day in the config",
        "too-large" => "left alone: larger than the config allows",
        "end-to-end" => "left alone: encrypted by the sender (the Subject stays readable)",
        "unknown-sealer" => "left alone: sealed by a sealer that is not trusted here",
        "gone" => "went away meanwhile",
        "unreadable" => "cannot be read",
        "no-message" => "no mail message",
        "changed" => "changed while it was read",
        "beyond-format" => "too large to be sealed",
        "unwritable" => "the sealed copy could not be written",
        "owner" => "the file's owner cannot be kept",
        "recipient" => "the certificate does not take it",
        "self-check" => "did not open again after sealing: please report it",
        "not-proved" => "the stored copy did not prove itself",
        "restless" => "renamed again and again by another program",
        "unsettled" => "could not be settled yet",
        other => other,
    }
}

fn octets(count: u64) -> String {
    indicatif::HumanBytes(count).to_string()
}

impl From<SurveyError> for Failure {
    fn from(error: SurveyError) -> Self {
        Self::new(error.fate().into(), with_causes(&error)).hint("`sealpost check` looks at the config and the mailbox")
    }
}

impl From<SweepError> for Failure {
    fn from(error: SweepError) -> Self {
        let hint = match &error {
            SweepError::Stopped => "this is final for this flow; name a new flow in config.toml to seal again",
            SweepError::UndoUnfinished => "finish it with `sealpost undo FLOW`",
            SweepError::Busy => "wait for it to end",
            SweepError::NoCertificate => "`sealpost key list` shows whom mail can be sealed to",
            SweepError::Full => "make room; nothing was lost, and the next sweep goes on",
            SweepError::Forbidden => "run it as the user who owns the mailbox",
            _ => "`sealpost check` looks at the config and the mailbox; the next sweep goes on",
        };
        Self::new(error.fate().into(), with_causes(&error)).hint(hint)
    }
}
