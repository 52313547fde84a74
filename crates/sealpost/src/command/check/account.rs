//! An account, tried: can it be reached and logged in to, what mailboxes are there, what does the server offer. In: an account
//! of the config. Out: findings, in words. Only lists; opens no mailbox and changes nothing.

use std::sync::{Arc, atomic::AtomicBool};

use flow::Sink;
use store::{
    imap::{Listing, Mailbox, Removal, list},
    pattern::missing,
};
use wire::imap::{Security, Session};

use super::{Finding, PATIENCE, Verdict, good, wrong};
use crate::{
    accounts,
    config::account::Account,
    explain::{of_connecting, of_server},
    failure::{Exit, Failure, with_causes},
    home::Home,
};

/// Mailboxes that are named to people; the others are counted.
const SHOWN: usize = 30;

/// What is known of an account that was reached.
pub struct Reached {
    listing: Listing,
}

/// What an account is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Mail is replaced in it, or read.
    Mailboxes,
    /// Forwarded mail is put into it, and nothing is removed.
    Forwarded,
    /// Its user and password log in to a mail server, by SMTP.
    Login,
}

/// Tries an account; `None` when there is no session to be had.
pub fn check(
    home: &Home,
    name: &str,
    config: &Account,
    purpose: Purpose,
    stop: &Arc<AtomicBool>,
    findings: &mut Vec<Finding>,
) -> Option<Reached> {
    let what = format!("account {name}");
    if purpose == Purpose::Login {
        findings.push(good(&what, Some("a login for SMTP only; not tried by IMAP".to_owned())));
        return None;
    }
    let account = match accounts::account(home, config, stop) {
        Ok(mut account) => {
            account.timeouts.connect = account.timeouts.connect.min(PATIENCE);
            account
        }
        Err(failure) => {
            findings.push(wrong(&what, failure));
            return None;
        }
    };
    let mut session = match account.connect(stop) {
        Ok(session) => session,
        Err(error) => {
            let failure = Failure::new(Exit::Unavailable, with_causes(&error)).hint(of_connecting(&error));
            findings.push(wrong(&what, failure));
            return None;
        }
    };
    let listing = match list(&mut session) {
        Ok(listing) => listing,
        Err(error) => {
            let failure = Failure::new(Exit::Unavailable, with_causes(&error)).hint(of_server(&error));
            findings.push(wrong(&what, failure));
            return None;
        }
    };
    let protection = match (config.endpoint.security, config.pin) {
        (Security::Plain, _) => "not encrypted, on this machine",
        (_, Some(_)) => "encrypted, the certificate is the pinned one",
        (_, None) => "encrypted, the certificate is good",
    };
    findings.push(good(&what, Some(format!("logged in; {protection}"))));
    findings.push(mailboxes(&what, &listing));
    match purpose {
        Purpose::Mailboxes => offers(&what, &session, &listing, findings),
        Purpose::Forwarded => offers_to_put(&what, &session, findings),
        Purpose::Login => {}
    }
    session.logout();
    Some(Reached { listing })
}

impl Reached {
    /// Whether a flow's mailboxes are there.
    pub fn flow(&self, patterns: &[String], sink: &Sink) -> Result<Option<String>, Failure> {
        let names: Vec<&str> = self.listing.mailboxes.iter().map(Mailbox::name).collect();
        if let Some(name) = missing(patterns, &names).first() {
            return Err(Failure::new(Exit::Config, format_args!("there is no mailbox {name:?}"))
                .hint("correct `mailboxes` in config.toml; those of the account are listed above"));
        }
        if patterns.is_empty() && !self.listing.says_uses {
            return Err(Failure::new(Exit::Config, "the server does not tell what its mailboxes are for").hint(
                "name the mailboxes in config.toml, so that drafts stay drafts: mailboxes = [\"INBOX\", \"Sent\"]",
            ));
        }
        Ok(match sink {
            Sink::Folder(name) if !names.contains(&name.as_str()) => Some(format!("{name} will be made")),
            _ => None,
        })
    }
}

fn mailboxes(what: &str, listing: &Listing) -> Finding {
    // Whoever names mailboxes must not steer the owner's terminal.
    let shown = |mailbox: &Mailbox| mailbox.name().escape_debug().to_string();
    let names: Vec<String> = listing.mailboxes.iter().map(shown).collect();
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let shown = names.get(..SHOWN).unwrap_or(&names).join(", ");
    good(&format!("{what}, {} mailboxes", names.len()), Some(format!("{shown}{more}")))
}

/// What a server offers, and what follows where it does not.
fn offers(what: &str, session: &Session, listing: &Listing, findings: &mut Vec<Finding>) {
    let warn = |what: String, detail: &str, hint: &str| Finding {
        what,
        verdict: Verdict::Warning,
        detail: Some(detail.to_owned()),
        hint: Some(hint.to_owned()),
    };
    let removal = format!("{what}, removing a single message (UIDPLUS)");
    match Removal::of(session, listing) {
        Some(Removal::Expunge) => findings.push(good(&removal, None)),
        Some(_) => findings.push(good(&removal, Some("through Trash, as Gmail wants it".to_owned()))),
        None => {
            let failure =
                Failure::new(Exit::Config, "not offered: nothing can be sealed here without danger for other mail")
                    .hint("ask the provider for UIDPLUS; on Gmail, let Trash be shown in IMAP");
            findings.push(wrong(&removal, failure));
        }
    }
    let condstore = format!("{what}, changes seen by others (CONDSTORE)");
    findings.push(match session.has("CONDSTORE") {
        true => good(&condstore, None),
        false => warn(
            condstore,
            "not offered: two sealers on one account cannot lock a message",
            "let one machine only seal this account",
        ),
    });
    let idle = format!("{what}, news at once (IDLE)");
    findings.push(match session.has("IDLE") {
        true => good(&idle, None),
        false => {
            warn(idle, "not offered: new mail is asked for now and then", "nothing is to be done; it is sealed later")
        }
    });
    several_and_limit(what, session, findings);
}

/// The same, where mail is only put.
fn offers_to_put(what: &str, session: &Session, findings: &mut Vec<Finding>) {
    let told = match session.has("UIDPLUS") {
        true => None,
        false => Some("not offered: each copy is looked for after it was put".to_owned()),
    };
    findings.push(good(&format!("{what}, where a copy was put (UIDPLUS)"), told));
    several_and_limit(what, session, findings);
}

fn several_and_limit(what: &str, session: &Session, findings: &mut Vec<Finding>) {
    let several = if session.has("MULTIAPPEND") { "offered" } else { "not offered: sealing old mail takes longer" };
    findings.push(good(&format!("{what}, many messages at once (MULTIAPPEND)"), Some(several.to_owned())));
    let limit = match session.append_limit() {
        Some(octets) => indicatif::HumanBytes(octets).to_string(),
        None if session.has("APPENDLIMIT") => "each mailbox has its own".to_owned(),
        None => "not told".to_owned(),
    };
    findings.push(good(&format!("{what}, largest message (APPENDLIMIT)"), Some(limit)));
}
