//! `check`: config, keys and mailboxes; what is wrong and what to do. Everything is looked at, not only up to the first
//! fault. A connection is made to every account, and nothing is changed there.

mod account;
mod delivery;
#[cfg(feature = "forward")]
mod forward;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use serde::Serialize;

use self::account::{Purpose, Reached};
use crate::{
    args::Check,
    clock,
    command::{print, print_json},
    config::{Config, Flow, Place},
    failure::{Exit, Failure},
    flows,
    home::Home,
    stop,
};

#[derive(Serialize)]
struct Finding {
    what: String,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    Warning,
    Wrong,
}

/// How long one step of a server may take. Whoever types `check` waits for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Days before its end on which a certificate is warned about.
const WARN_DAYS: u64 = 30;

/// Looks at everything.
pub fn run(home: &Home, arguments: &Check) -> Result<(), Failure> {
    let mut findings = Vec::new();
    keys(home, &mut findings);
    #[cfg(feature = "open")]
    secrets(home, arguments.passphrase.passphrase_file.as_deref(), &mut findings);
    #[cfg(not(feature = "open"))]
    let _: &Option<std::path::PathBuf> = &arguments.passphrase.passphrase_file;
    match Config::read(home) {
        Ok(config) => {
            let some = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
            let counts = [some(config.account.len(), "account"), some(config.flow.len(), "flow")].join(", ");
            findings.push(good("config.toml", Some(counts)));
            let stop = stop::asked_to_stop()?;
            let mut reached = BTreeMap::new();
            for (name, account) in &config.account {
                let purpose = purpose(&config, name);
                reached.insert(name.as_str(), account::check(home, name, account, purpose, &stop, &mut findings));
            }
            #[cfg(feature = "open")]
            bridge(home, &config, &mut findings);
            for (name, settings) in &config.flow {
                match settings {
                    Flow::Mailboxes(_) => flow(home, &config, name, &reached, &stop, &mut findings),
                    Flow::Delivery(delivery) => delivery::check(home, name, delivery, &mut findings),
                    #[cfg(not(feature = "forward"))]
                    Flow::Forward(never) => match **never {},
                    #[cfg(feature = "forward")]
                    Flow::Forward(forward) => forward::check(home, &config, name, forward, &stop, &mut findings),
                }
            }
            if let Some(metrics) = &config.metrics {
                findings.push(port("metrics", metrics.listen));
            }
        }
        Err(failure) => findings.push(wrong("config.toml", nameless(home, failure))),
    }
    if arguments.json.json {
        print_json(&findings)?;
    } else {
        print(&text(&findings))?;
    }
    match findings.iter().filter(|finding| finding.verdict == Verdict::Wrong).count() {
        0 => Ok(()),
        count => Err(Failure::new(
            Exit::Config,
            if count == 1 { "1 thing is wrong".to_owned() } else { format!("{count} things are wrong") },
        )
        .hint("each is named above, with what to do")),
    }
}

/// What an account is for.
fn purpose(config: &Config, account: &str) -> Purpose {
    let is_replaced_in = |flow: &Flow| match flow {
        Flow::Mailboxes(flow) => flow.source.place == Place::Account(account.to_owned()),
        Flow::Delivery(_) | Flow::Forward(_) => false,
    };
    let is_forwarded_to = |flow: &Flow| match flow {
        Flow::Forward(flow) => flow.has_mailbox_in(account),
        Flow::Mailboxes(_) | Flow::Delivery(_) => false,
    };
    let is_named = |flow: &Flow| flow.accounts().any(|name| name == account);
    let flows = || config.flow.values();
    #[cfg(feature = "open")]
    let is_read = config.bridge.as_ref().is_some_and(|bridge| bridge.account.as_deref() == Some(account));
    #[cfg(not(feature = "open"))]
    let is_read = false;
    if is_read || flows().any(is_replaced_in) || !flows().any(is_named) {
        Purpose::Mailboxes
    } else if flows().any(is_forwarded_to) {
        Purpose::Forwarded
    } else {
        Purpose::Login
    }
}

/// Whether this port can be listened at.
fn port(what: &str, address: std::net::SocketAddr) -> Finding {
    match std::net::TcpListener::bind(address) {
        Ok(_) => good(what, Some(address.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Finding {
            what: what.to_owned(),
            verdict: Verdict::Warning,
            detail: Some(format!("somebody listens at {address}")),
            hint: Some("that is right while this program runs; else choose another address in [metrics]".to_owned()),
        },
        Err(error) => wrong(
            what,
            Failure::new(Exit::Config, format_args!("cannot listen at {address}: {error}"))
                .hint("is the address one of this machine's? [metrics] listen = \"127.0.0.1:9464\""),
        ),
    }
}

fn keys(home: &Home, findings: &mut Vec<Finding>) {
    if !home.is_initialised() {
        let place = home.root().display();
        let looked = std::fs::read_dir(home.root());
        let failure = match looked {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Failure::new(Exit::Config, format_args!("this user may not read {place}"))
                    .hint("run it as the user whose home it is: sudo -u sealpost sealpost check")
            }
            Ok(_) if home.config().exists() => Failure::new(Exit::Config, format_args!("the keys in {place} are gone"))
                .hint("bring `keys/` back from a backup: new ones open no mail that was sealed before"),
            _ => Failure::new(Exit::Config, format_args!("there is no home in {place}")).hint(
                "make one: `sealpost init --address YOU@EXAMPLE`; on a server that only seals: `sealpost init --sealer`",
            ),
        };
        findings.push(wrong("home", failure));
        return;
    }
    findings.push(good("home", Some(home.root().display().to_string())));
    findings.push(verdict("sealer key", home.sealer().map(|_| None)));
    findings.push(verdict("dedup secret", home.dedup().map(|_| None)));
    findings.push(verdict("trusted sealers", home.trust().map(|trust| Some(trust.sealers.len().to_string()))));
    for file in home.loose_permissions() {
        findings.push(Finding {
            what: "permissions".to_owned(),
            verdict: Verdict::Wrong,
            detail: Some(format!("others can read {}", file.display())),
            hint: Some(format!("chmod 600 {}", file.display())),
        });
    }
    for address in home.owners().unwrap_or_default() {
        let what = format!("enrolment of {address}");
        match home.owner(&address) {
            Err(failure) => findings.push(wrong(&what, failure)),
            Ok(enrolment) => findings.push(expiry(what, enrolment.expires())),
        }
    }
}

fn expiry(what: String, expires: Option<u64>) -> Finding {
    let left = expires.map(|end| end.saturating_sub(clock::now()) / 86_400);
    match left {
        Some(days) if days < WARN_DAYS => Finding {
            what,
            verdict: Verdict::Warning,
            detail: Some(format!("expires in {days} days")),
            hint: Some("get a certificate with a later date, and import it".to_owned()),
        },
        _ => good(&what, expires.map(|end| format!("until {}", clock::shown(end)))),
    }
}

/// The secret keys unlock, if there is a passphrase to try.
#[cfg(feature = "open")]
fn secrets(home: &Home, passphrase_file: Option<&Path>, findings: &mut Vec<Finding>) {
    let secrets = match home.secrets() {
        Ok(secrets) => secrets,
        Err(failure) => return findings.push(wrong("secret keys", failure)),
    };
    for octets in secrets {
        let key = match open::AnySecretKey::parse(&octets) {
            Ok(key) => key,
            Err(error) => {
                findings.push(wrong("secret key", error.into()));
                continue;
            }
        };
        let fingerprint: String =
            key.fingerprint().unwrap_or_default().iter().map(|octet| format!("{octet:02X}")).collect();
        let what = format!("secret key {fingerprint}");
        if key.is_locked() && passphrase_file.is_none() {
            findings
                .push(good(&what, Some("under a passphrase; not tried (--passphrase-file FILE tries it)".to_owned())));
            continue;
        }
        let passphrase =
            passphrase_file.filter(|_| key.is_locked()).map(|file| crate::passphrase::ask(Some(file), "the key"));
        let unlocked =
            passphrase.transpose().and_then(|passphrase| Ok(key.unlock(passphrase.as_deref().map(String::as_str))?));
        findings.push(match unlocked {
            Err(failure) => wrong(&what, failure),
            Ok(_) if key.is_locked() => good(&what, Some("the passphrase unlocks it".to_owned())),
            Ok(_) => Finding {
                what,
                verdict: Verdict::Warning,
                detail: Some("NOT under a passphrase".to_owned()),
                hint: Some(
                    "whoever reads this disk reads your mail: encrypt the disk, or make another home with a passphrase"
                        .to_owned(),
                ),
            },
        });
    }
}

/// What `[bridge]` names is there, and is one thing.
#[cfg(feature = "open")]
fn bridge(home: &Home, config: &Config, findings: &mut Vec<Finding>) {
    let Some(bridge) = &config.bridge else { return };
    let fault = match (&bridge.maildir, &bridge.account) {
        (Some(_), Some(_)) => Some(("names a Maildir and an account", "keep one of the two in config.toml")),
        (None, Some(name)) if !config.account.contains_key(name) => {
            Some(("names an account that is not in config.toml", "write [account.NAME], or correct the name"))
        }
        (Some(path), None) if store::Maildir::open(&home.at(path)).is_err() => {
            Some(("names no Maildir", "a Maildir has the folders cur, new and tmp; correct the path in config.toml"))
        }
        _ if bridge.listen.is_some_and(|listen| !listen.ip().is_loopback()) => {
            Some(("listens on an address that others reach", "mail would leave this machine in clear: 127.0.0.1:1143"))
        }
        _ => None,
    };
    findings.push(match fault {
        Some((fault, hint)) => wrong("bridge", Failure::new(Exit::Config, fault).hint(hint)),
        None => good("bridge", bridge.account.clone()),
    });
}

fn flow(
    home: &Home,
    config: &Config,
    name: &str,
    reached: &BTreeMap<&str, Option<Reached>>,
    stop: &Arc<AtomicBool>,
    findings: &mut Vec<Finding>,
) {
    let what = format!("flow {name}");
    let settings = match flows::settings(home, config, name, stop) {
        Ok(settings) => settings,
        Err(failure) => return findings.push(wrong(&what, failure)),
    };
    if let Ok(Some(_)) = flow::stopped_since(&settings) {
        return findings.push(Finding {
            what,
            verdict: Verdict::Warning,
            detail: Some("its mail was put back by an undo, and is never sealed again".to_owned()),
            hint: Some("take it out of config.toml; a flow of another name seals again".to_owned()),
        });
    }
    let maildir: &Path = match &settings.route {
        flow::Route::Maildir(maildir) => maildir,
        flow::Route::Imap(imap) => {
            return findings.push(match reached.get(imap.name.as_str()) {
                Some(Some(reached)) => verdict(&what, reached.flow(&settings.mailboxes, &imap.sink)),
                _ => Finding {
                    what,
                    verdict: Verdict::Warning,
                    detail: Some("its mailboxes were not looked at".to_owned()),
                    hint: Some(format!("see account {} above", imap.name)),
                },
            });
        }
    };
    let folders = ["cur", "new", "tmp"];
    let missing: Vec<&str> = folders.into_iter().filter(|folder| !maildir.join(folder).is_dir()).collect();
    if !missing.is_empty() {
        let failure = Failure::new(
            Exit::Config,
            format_args!("{} is no Maildir: it has no {}", maildir.display(), missing.join(", ")),
        )
        .hint("a Maildir has the folders cur, new and tmp; correct the path in config.toml");
        return findings.push(wrong(&what, failure));
    }
    if rustix::fs::access(maildir.join("tmp"), rustix::fs::Access::WRITE_OK).is_err() {
        let failure = Failure::new(Exit::Config, format_args!("{} cannot be written", maildir.display()))
            .hint("run it as the user who owns the mailbox");
        return findings.push(wrong(&what, failure));
    }
    let named = settings.mailboxes.iter().filter(|name| !name.contains('*'));
    let there =
        |name: &&String| store::Maildir::open(maildir).is_ok_and(|tree| matches!(tree.mailbox(name), Ok(Some(_))));
    if let Some(name) = named.into_iter().find(|name| !there(name)) {
        let failure = Failure::new(Exit::Config, format_args!("there is no mailbox {name:?} in {}", maildir.display()))
            .hint(
                "correct `mailboxes` in config.toml; the names are those of the folders, INBOX is the Maildir itself",
            );
        return findings.push(wrong(&what, failure));
    }
    findings.push(good(&what, Some(maildir.display().to_string())));
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.verdict {
            Verdict::Good => "ok     ",
            Verdict::Warning => "warning",
            Verdict::Wrong => "WRONG  ",
        };
        let detail = finding.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        text.push_str(&format!("{mark}  {}{detail}\n", finding.what));
        if let Some(hint) = &finding.hint {
            text.push_str(&format!("         -> {hint}\n"));
        }
    }
    text
}

fn verdict(what: &str, result: Result<Option<String>, Failure>) -> Finding {
    match result {
        Ok(detail) => good(what, detail),
        Err(failure) => wrong(what, failure),
    }
}

fn good(what: &str, detail: Option<String>) -> Finding {
    Finding { what: what.to_owned(), verdict: Verdict::Good, detail, hint: None }
}

fn wrong(what: &str, failure: Failure) -> Finding {
    // Whoever reads this has just called it.
    let hint = Some(failure.hint).filter(|hint| !hint.starts_with("`sealpost check`"));
    Finding { what: what.to_owned(), verdict: Verdict::Wrong, detail: Some(failure.error), hint }
}

/// The same without the name of the config, which stands before it.
fn nameless(home: &Home, failure: Failure) -> Failure {
    let name = home.config().display().to_string();
    let rest = failure.error.strip_prefix(&name).and_then(|rest| rest.strip_prefix([',', ':']));
    match rest.map(|rest| rest.trim_start().to_owned()) {
        Some(error) => Failure { error, ..failure },
        None => failure,
    }
}
