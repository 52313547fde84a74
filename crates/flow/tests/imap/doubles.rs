//! Doubles of servers that are not to be had: the same zeros, or an honest refusal before anything was touched.

use std::sync::Arc;
use std::time::Duration;

use flow::SweepError;
use testbed::{Character, Dedup, Double};

use crate::account::Account;

const DATE: &str = "17-Jul-2019 02:44:25 -0700";

fn original(number: usize) -> Vec<u8> {
    format!(
        "Message-ID: <{number}@example.org>\r\nFrom: a@example.org\r\nSubject: kanarienvogel {number}\r\n\r\nkanarienvogel {number}\r\n"
    )
    .into_bytes()
}

fn delivered(server: &Double, count: usize) {
    for number in 0..count {
        server.deliver("INBOX", &original(number), if number % 2 == 0 { &[] } else { &["\\Seen", "\\Flagged"] }, DATE);
    }
}

fn clear(server: &Double) -> usize {
    let canary = b"kanarienvogel";
    server.all_octets().iter().filter(|octets| octets.windows(canary.len()).any(|part| part == canary)).count()
}

#[test]
fn a_gmail_that_merges_by_message_id() {
    for dedup in [Dedup::Ignore, Dedup::Replace, Dedup::Off] {
        let server = Double::start(Character::Gmail { dedup });
        let home = tempfile::tempdir().unwrap();
        let account = Account::new(home.path(), server.address());
        delivered(&server, 9);
        let labels = |server: &Double| {
            let mut labels: Vec<Vec<String>> =
                server.messages("[Gmail]/All Mail").into_iter().map(|message| message.labels).collect();
            labels.iter_mut().for_each(|labels| labels.sort());
            labels.sort();
            labels
        };
        let before = labels(&server);
        let swept = account.sweep();
        assert_eq!((swept.sealed.messages, swept.failed.len()), (9, 0), "{swept:?}");
        assert_eq!(clear(&server), 0);
        let all = server.messages("[Gmail]/All Mail");
        assert_eq!(all.len(), 9);
        assert_eq!(labels(&server), before);
        assert_eq!(server.messages("INBOX").len(), 9);
        assert!(all.iter().all(|message| message.date == DATE), "{all:?}");
        let ids = |message: &testbed::Message| {
            let text = String::from_utf8_lossy(&message.octets).into_owned();
            text.lines().find(|line| line.starts_with("Message-ID:")).map(str::to_owned)
        };
        assert!(all.iter().all(|message| ids(message).is_some_and(|id| id.ends_with("@sealed.invalid>"))));
        assert!(server.mailboxes().iter().all(|mailbox| !mailbox.contains("Probe")), "{:?}", server.mailboxes());
        assert_eq!(account.sweep().sealed.messages, 0);
    }
}

#[test]
fn servers_that_spoil_mail_are_refused_untouched() {
    for character in [Character::Exchange, Character::DateLoser, Character::FlagLoser, Character::NoUidPlus] {
        let shown = format!("{character:?}");
        let server = Double::start(character);
        let home = tempfile::tempdir().unwrap();
        let account = Account::new(home.path(), server.address());
        delivered(&server, 4);
        let before = server.messages("INBOX");
        // Not all of them tell what their mailboxes are for.
        let settings = flow::Settings { mailboxes: vec!["INBOX".to_owned()], ..account.settings() };
        let error = flow::sweep(&settings, &mut (), &Arc::default()).unwrap_err();
        let refused = matches!(error, SweepError::Provider(_) | SweepError::NoSafeRemoval);
        assert!(refused, "{shown}: {error:?}");
        assert_eq!(server.messages("INBOX"), before, "{shown}");
        assert_eq!(server.all_octets().len(), 4, "{shown}: nothing of the probe is left");
    }
}

#[test]
fn what_does_not_fit_stays_as_it_was() {
    let server = Double::start(Character::AppendLimit(20_000));
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.address());
    delivered(&server, 3);
    let large = [original(7), b"0123456789abcdef\r\n".repeat(2_000)].concat();
    server.deliver("INBOX", &large, &[], DATE);
    let swept = account.sweep();
    assert_eq!((swept.sealed.messages, swept.failed.get("append-limit")), (3, Some(&1)), "{swept:?}");
    assert!(server.messages("INBOX").iter().any(|message| message.octets == large));
    assert_eq!(clear(&server), 1);
    let status = flow::status(&account.settings(), &Arc::default()).unwrap();
    assert_eq!((status.plaintext.messages, status.found.failed.len()), (1, 1), "{status:?}");
}

#[test]
fn a_full_account_loses_nothing() {
    let server = Double::start(Character::OverQuota(60_000));
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.address());
    delivered(&server, 30);
    let swept = account.sweep();
    let failed: u64 = swept.failed.values().sum();
    assert_eq!(swept.sealed.messages + failed, 30, "{swept:?}");
    assert_eq!(server.messages("INBOX").len(), 30);
}

#[test]
fn an_append_that_commits_late_is_no_double() {
    let server = Double::start(Character::LateAppend(Duration::from_millis(300)));
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.address());
    delivered(&server, 3);
    // The probe could not get through, either.
    let database = store::Database::open(&account.settings().state).unwrap();
    store::Ledger::on(&database).note_provider("work", "faithful", store::UnixSeconds::now()).unwrap();
    let _ = flow::sweep(&account.settings(), &mut (), &Arc::default());
    std::thread::sleep(Duration::from_millis(700));
    server.recover();
    // On a busy machine "late" may be later still: what commits after a sweep is for the next one.
    for _ in 0..20 {
        account.sweep();
        account.sweep();
        if (server.messages("INBOX").len(), clear(&server)) == (3, 0) {
            break;
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_eq!((server.messages("INBOX").len(), clear(&server)), (3, 0));
}

#[test]
fn a_server_that_keeps_what_it_should_expunge_is_not_believed() {
    let server = Double::start(Character::ExpungeLiar);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.address());
    delivered(&server, 2);
    let swept = flow::sweep(&account.settings(), &mut (), &Arc::default());
    // Both stay, and it is said.
    if let Ok(swept) = swept {
        assert_eq!((swept.sealed.messages, swept.unsettled), (0, 2), "{swept:?}");
    }
    let inbox = server.messages("INBOX");
    for number in 0..2 {
        let there = inbox.iter().find(|message| message.octets == original(number)).unwrap();
        assert!(!there.flags.iter().any(|flag| flag == "\\Deleted"), "{there:?}");
    }
}

#[test]
fn a_mailbox_made_anew_is_looked_at_anew() {
    let server = Double::start(Character::Plain);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.address());
    delivered(&server, 5);
    account.sweep();
    server.renumber("INBOX");
    server.deliver("INBOX", &original(77), &[], DATE);
    let swept = account.sweep();
    assert_eq!((swept.sealed.messages, swept.found.sealed.messages), (1, 5), "{swept:?}");
    assert_eq!((server.messages("INBOX").len(), clear(&server)), (6, 0));
}
