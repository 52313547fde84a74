//! Whatever happens on the way to the server, before or after it obeyed: nothing is lost, doubled or left in clear.

use std::sync::Arc;
use std::time::Duration;

use testbed::{Action, Dovecot, Faults, Format, Rule, Which};

use crate::account::{Account, Mail, mails};

const ACTIONS: [Action; 7] = [
    Action::Before,
    Action::CutLiteral(700),
    Action::CutAnswer(900),
    Action::LoseAnswer,
    Action::HalfAnswer,
    Action::Reset,
    Action::Bye,
];

#[test]
fn every_command_may_fail_before_and_after_it_was_obeyed() {
    if !testbed::servers() {
        return;
    }
    let server = Dovecot::start(Format::Maildir);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.imap());
    let commands = [("APPEND", 1), ("UID FETCH", 6), ("UID STORE", 3), ("UID EXPUNGE", 1), ("SELECT", 2), ("NOOP", 1)];
    // The probe is over then.
    account.sweep();
    let mut fired = 0;
    let all = mails(4 * 80);
    let (mut rest, mut there) = (all.as_slice(), Vec::new());
    for (command, times) in commands {
        for nth in 1..=times {
            for action in &ACTIONS {
                let Some((some, others)) = rest.split_at_checked(3) else { panic!("more mail is needed") };
                rest = others;
                account.put(some);
                there.extend_from_slice(some);
                let rule = Rule { command, which: Which::Nth(nth), action: action.clone() };
                let faults = Faults::between(server.imap(), vec![rule]);
                let _ = flow::sweep(&account.settings_by(faults.address()), &mut (), &Arc::default());
                fired += faults.fired().len();
                account.sweep();
            }
        }
        account.check(&there);
    }
    assert!(fired >= 60, "{fired}");
}

#[test]
fn a_refusal_leaves_the_mail_as_it_was() {
    if !testbed::servers() {
        return;
    }
    let server = Dovecot::start(Format::Maildir);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.imap());
    account.sweep();
    let mut there: Vec<Mail> = Vec::new();
    for (number, action) in [Action::No, Action::Bad].into_iter().enumerate() {
        for command in ["APPEND", "UID STORE", "UID EXPUNGE", "UID FETCH"] {
            let some: Vec<Mail> = mails(2)
                .into_iter()
                .map(|mail| Mail {
                    octets: [format!("X: {number}{command}\r\n").as_bytes(), &mail.octets].concat(),
                    ..mail
                })
                .collect();
            account.put(&some);
            there.extend(some);
            let faults =
                Faults::between(server.imap(), vec![Rule { command, which: Which::All, action: action.clone() }]);
            let _ = flow::sweep(&account.settings_by(faults.address()), &mut (), &Arc::default());
            let census = account.census();
            for mail in &there {
                assert!(census.contains_key(&mail.octets), "{command} {action:?}");
            }
        }
    }
    later(&account);
    account.sweep();
    account.check(&there);
}

#[test]
fn chaos() {
    if !testbed::servers() {
        return;
    }
    let server = Dovecot::start(Format::Maildir);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.imap());
    let mails = mails(if std::env::var_os("SEALPOST_LONG").is_some() { 900 } else { 200 });
    account.put(&mails);
    let chance = |seed, action| Rule { command: "*", which: Which::Chance { seed, per_mille: 12 }, action };
    let rules = ACTIONS.into_iter().zip(1..).map(|(action, seed)| chance(seed, action));
    let slow = chance(99, Action::Delay(Duration::from_millis(30)));
    let faults = Faults::between(server.imap(), rules.chain([slow]).collect());
    for _ in 0..20 {
        let _ = flow::sweep(&account.settings_by(faults.address()), &mut (), &Arc::default());
    }
    assert!(faults.fired().len() > 10, "{:?}", faults.fired());
    later(&account);
    account.sweep();
    account.check(&mails);
}

#[test]
fn a_server_without_a_safe_way_is_refused() {
    if !testbed::servers() {
        return;
    }
    let server = Dovecot::start(Format::Maildir);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.imap());
    let mails = mails(3);
    account.put(&mails);
    let faults = Faults::between(server.imap(), vec![Rule::strip(&["UIDPLUS"])]);
    let error = flow::sweep(&account.settings_by(faults.address()), &mut (), &Arc::default()).unwrap_err();
    assert!(matches!(error, flow::SweepError::NoSafeRemoval), "{error:?}");
    let census = account.census();
    assert!(mails.iter().all(|mail| matches!(census[&mail.octets].as_slice(), [one] if !one.sealed)));
}

#[test]
fn less_able_servers_do() {
    if !testbed::servers() {
        return;
    }
    let server = Dovecot::start(Format::Maildir);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.imap());
    let all = mails(60);
    let sets: [&[&'static str]; 4] = [
        &["CONDSTORE", "QRESYNC", "ENABLE"],
        &["MULTIAPPEND"],
        &["LITERAL+", "MULTIAPPEND"],
        &["IDLE", "MOVE", "NAMESPACE", "ID", "LIST-EXTENDED"],
    ];
    let mut there = Vec::new();
    for (some, set) in all.chunks(15).zip(sets) {
        account.put(some);
        there.extend_from_slice(some);
        let faults = Faults::between(server.imap(), vec![Rule::strip(set)]);
        let swept = flow::sweep(&account.settings_by(faults.address()), &mut (), &Arc::default()).unwrap();
        assert_eq!((swept.sealed.messages, swept.failed.len()), (15, 0), "{set:?} {swept:?}");
        account.check(&there);
    }
}

/// What failed is tried again as if its time had come.
fn later(account: &Account) {
    let state = account.settings().state;
    let connection = rusqlite::Connection::open(state).unwrap();
    connection.execute("UPDATE memory SET retry_at = 1 WHERE retry_at IS NOT NULL", []).unwrap();
}
