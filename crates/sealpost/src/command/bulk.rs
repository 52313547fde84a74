//! `plan`, `sweep`, `status`: a flow's mail counted, sealed, counted again.

use std::collections::BTreeMap;

use flow::{Count, Plan, Progress, Route, Status, Swept, survey::Survey};
use store::ledger::Code;

#[cfg(feature = "forward")]
use crate::command::forward;
use crate::{
    clock,
    command::{deliver, print, print_json},
    config::{Config, Flow},
    explain::explain,
    failure::{Exit, Failure},
    flows,
    home::Home,
    progress::Bar,
    stop,
};

/// Why a mailbox was left out: its owner has to do something about it. The other reasons are the owner's choice.
const UNREADABLE: &str = "cannot be read";

/// What a sweep would do.
pub fn plan(home: &Home, name: &str, json: bool) -> Result<(), Failure> {
    let stop = stop::asked_to_stop()?;
    let settings = flows::settings(home, &Config::read(home)?, name, &stop)?;
    let mut watcher = Watcher::new("looking");
    let plan = flow::plan(&settings, &mut watcher, &stop);
    watcher.bar.finish();
    let plan = plan?;
    if json { print_json(&plan) } else { print(&plan_text(name, &plan, &settings.route)) }
}

/// One pass.
pub fn sweep(home: &Home, name: &str, json: bool) -> Result<(), Failure> {
    let stop = stop::asked_to_stop()?;
    let settings = flows::settings(home, &Config::read(home)?, name, &stop)?;
    let mut watcher = Watcher::new("sealing");
    let swept = flow::sweep(&settings, &mut watcher, &stop);
    watcher.bar.finish();
    let swept = swept?;
    if json {
        print_json(&swept)?
    } else {
        print(&swept_text(name, &swept, &settings.route))?
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
    let stop = stop::asked_to_stop()?;
    let mut all = BTreeMap::new();
    for name in names {
        let stands = match config.flow(name)? {
            Flow::Mailboxes(_) => {
                Stands::Mailboxes(Box::new(flow::status(&flows::settings(home, &config, name, &stop)?, &stop)?))
            }
            Flow::Delivery(flow) => Stands::Delivery(deliver::status(home, name, flow)?),
            #[cfg(not(feature = "forward"))]
            Flow::Forward(never) => match **never {},
            #[cfg(feature = "forward")]
            Flow::Forward(flow) => Stands::Forward(forward::status(home, &config, name, flow)?),
        };
        all.insert(name, stands);
    }
    if json {
        return print_json(&all);
    }
    let text = |(name, stands): (&&str, &Stands)| match stands {
        Stands::Mailboxes(status) => status_text(name, status),
        Stands::Delivery(status) => deliver::status_text(name, status),
        #[cfg(feature = "forward")]
        Stands::Forward(status) => forward::status_text(name, status),
    };
    let texts: Vec<String> = all.iter().map(text).collect();
    if texts.is_empty() { print("config.toml has no flows yet\n") } else { print(&texts.join("\n")) }
}

/// How a flow of any kind stands.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum Stands {
    Mailboxes(Box<Status>),
    Delivery(deliver::Status),
    #[cfg(feature = "forward")]
    Forward(forward::Status),
}

/// Shows a flow's progress on a bar.
struct Watcher {
    bar: Bar,
    looked: u64,
    octets: u64,
    of_octets: u64,
    skipped: u64,
    failed: u64,
}

impl Watcher {
    fn new(what: &'static str) -> Self {
        Self { bar: Bar::new(what, 0), looked: 0, octets: 0, of_octets: 0, skipped: 0, failed: 0 }
    }

    fn note(&self) {
        let of = if self.of_octets > self.octets { format!(" of {}", octets(self.of_octets)) } else { String::new() };
        let skipped = if self.skipped > 0 { format!(", {} skipped", self.skipped) } else { String::new() };
        let failed = if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
        self.bar.note(format!("{}{of}{skipped}{failed}", octets(self.octets)));
    }
}

impl Progress for Watcher {
    fn looked(&mut self) {
        self.looked += 1;
        self.bar.note(format!("{} looked at", self.looked));
    }

    fn total(&mut self, messages: u64, octets: u64) {
        // Told at every mailbox, of all that was sealed and of what is to be: those left alone are on the bar, too.
        self.bar.total(messages + self.skipped + self.failed);
        self.of_octets = octets;
        self.note();
    }

    fn done(&mut self, octets: u64) {
        self.octets += octets;
        self.bar.one();
        self.note();
    }

    fn skipped(&mut self, _: Code) {
        self.skipped += 1;
        self.bar.one();
        self.note();
    }

    fn failed(&mut self, _: Code) {
        self.failed += 1;
        self.bar.one();
        self.note();
    }

    fn lost(&mut self, _: &dyn std::error::Error) {
        self.bar.stall("the server cannot be reached, trying again");
    }

    fn waiting(&mut self, seconds: u64) {
        self.bar.wait(format!("waiting {seconds} s: mail seen just now is left in peace so long (`grace`)"));
    }
}

fn plan_text(name: &str, plan: &Plan, route: &Route) -> String {
    let mut text = format!("{name}: what `sealpost sweep {name}` would do\n");
    line(&mut text, "to seal", plan.found.to_seal);
    text.push_str(&format!("  about {} afterwards\n", octets(plan.octets_after)));
    survey_text(&mut text, &plan.found);
    if plan.stopped_since.is_some() {
        text.push_str("  stopped by an undo: a sweep would refuse\n");
    }
    text.push_str(match route {
        Route::Maildir(_) => REMAINS_OF_MAILDIR,
        Route::Imap(_) => REMAINS_ON_SERVER,
    });
    if let Route::Imap(flow::Imap { backup: Some(backup), .. }) = route {
        let days = backup.keep.as_secs().div_ceil(86_400);
        text.push_str(&format!(
            "\nOriginals are kept for {days} days, encrypted to you, in {}.\n",
            backup.directory.display()
        ));
    }
    text
}

/// What nobody but the server's operator can clear away (format A19).
const REMAINS_OF_MAILDIR: &str = "\
What the server's own caches, indexes and backups hold of the mail that was readable until now stays there
until the server drops it.
";
/// The same, server by server.
const REMAINS_ON_SERVER: &str = "\
After a sweep nothing readable of this mail is left that IMAP shows. What only the server's operator can clear away stays
until the server drops it:
  Dovecot                 Subjects and addresses in index and cache files; with mdbox the whole mail until `doveadm purge`
  Cyrus                   with delayed expunge the whole mail, for the configured days
  Gmail                   what Google keeps after Trash was emptied
  Exchange, Outlook.com   Recoverable Items, 14 to 30 days by default
  any                     backups, snapshots, replicas, logs, full-text indexes
";

fn swept_text(name: &str, swept: &Swept, route: &Route) -> String {
    let mut text = format!("{name}:\n");
    line(&mut text, "sealed now", swept.sealed);
    let mut found = swept.found.clone();
    // A sweep of an account waits for what was too young at first: it is among the others by now.
    if let (Route::Imap(_), false) = (route, swept.interrupted) {
        found.skipped.remove(flow::reason::TOO_YOUNG.as_str());
    }
    survey_text(&mut text, &found);
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
    line(&mut text, "readable in the mailboxes that this flow looks into", status.plaintext);
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

fn octets(count: u64) -> String {
    indicatif::HumanBytes(count).to_string()
}
