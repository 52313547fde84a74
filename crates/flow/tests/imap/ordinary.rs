//! A sweep on every kind of server that is to be had.

use std::sync::Arc;

use flow::Sink;
use testbed::{Cyrus, Dovecot, Format};

use crate::account::{Account, Mail, check, mails};

fn everything_is_sealed_and_nothing_changed(server: std::net::SocketAddr) {
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server);
    let mails = mails(90);
    account.put(&mails);
    let stays = Mail { mailbox: "Trash", octets: b"Subject: t\r\n\r\nold\r\n".to_vec(), ..mails[0].clone() };
    let draft =
        Mail { flags: vec!["\\Draft".into()], octets: b"Subject: d\r\n\r\nnew\r\n".to_vec(), ..mails[0].clone() };
    account.put(&[stays.clone(), draft.clone()]);

    let plan = flow::plan(&account.settings(), &mut (), &Arc::default()).unwrap();
    assert_eq!((plan.found.to_seal.messages, plan.found.sealed.messages), (90, 0));
    let swept = account.sweep();
    assert_eq!((swept.sealed.messages, swept.failed.len(), swept.unsettled), (90, 0, 0), "{swept:?}");
    let mut census = account.census();
    for open in [&stays, &draft] {
        let found = census.remove(&open.octets).unwrap();
        assert!(matches!(found.as_slice(), [one] if !one.sealed), "{found:?}");
    }
    check(&census, &mails);

    // What is sealed is known, and left alone.
    let again = account.sweep();
    assert_eq!((again.sealed.messages, again.found.sealed.messages), (0, 90));
    let status = flow::status(&account.settings(), &Arc::default()).unwrap();
    assert_eq!((status.plaintext.messages, status.sealed_ever, status.unfinished), (1, 90, 0));
    let backups = std::fs::read_dir(home.path().join("backup")).unwrap();
    let kept: usize = backups
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap().matches("From sealpost ").count())
        .sum();
    assert_eq!(kept, 90);
}

#[test]
fn dovecot_maildir() {
    if testbed::servers() {
        everything_is_sealed_and_nothing_changed(Dovecot::start(Format::Maildir).imap());
    }
}

#[test]
fn dovecot_sdbox() {
    if testbed::servers() {
        everything_is_sealed_and_nothing_changed(Dovecot::start(Format::Sdbox).imap());
    }
}

#[test]
fn dovecot_mdbox() {
    if testbed::servers() {
        everything_is_sealed_and_nothing_changed(Dovecot::start(Format::Mdbox).imap());
    }
}

#[test]
fn dovecot_2_4() {
    if !testbed::servers() {
        return;
    }
    match testbed::dovecot24() {
        Some(server) => everything_is_sealed_and_nothing_changed(server.imap()),
        None => println!("SKIPPED: Dovecot 2.4 is started with tools that do not lie beside this checkout"),
    }
}

#[test]
fn cyrus() {
    if testbed::servers() {
        everything_is_sealed_and_nothing_changed(Cyrus::start().imap());
    }
}

#[test]
fn into_a_folder() {
    if !testbed::servers() {
        return;
    }
    let server = Dovecot::start(Format::Maildir);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.imap());
    let mails = mails(40);
    account.put(&mails);
    let mut settings = account.settings();
    let flow::Route::Imap(imap) = &mut settings.route else { unreachable!() };
    imap.sink = Sink::Folder("Sealed".to_owned());
    let swept = flow::sweep(&settings, &mut (), &Arc::default()).unwrap();
    assert_eq!((swept.sealed.messages, swept.failed.len()), (40, 0), "{swept:?}");
    let moved: Vec<Mail> = mails.into_iter().map(|mail| Mail { mailbox: "Sealed", ..mail }).collect();
    account.check(&moved);
}

#[test]
fn old_mail_of_unknown_age_waits_for_its_grace() {
    if !testbed::servers() {
        return;
    }
    let server = Dovecot::start(Format::Maildir);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.imap());
    let mails = mails(4);
    account.put(&mails);
    let settings = flow::Settings { grace: std::time::Duration::from_secs(2), ..account.settings() };
    let mut waited = Waited::default();
    let swept = flow::sweep(&settings, &mut waited, &Arc::default()).unwrap();
    assert_eq!((swept.sealed.messages, waited.0 > 0), (4, true), "{swept:?}");
    account.check(&mails);
}

#[test]
fn a_forged_header_of_megabytes_hinders_nothing() {
    if !testbed::servers() {
        return;
    }
    let server = Dovecot::start(Format::Maildir);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.imap());
    let mut mails = mails(3);
    let folded = " x=0123456789012345678901234567890123456789012345678901234567890;\r\n".repeat(140_000);
    for name in ["Content-Type: text/plain;", "Sealed-Mail:", "Sealed-Key:"] {
        let octets = format!("{name}\r\n{folded}Subject: {name}\r\n\r\nbody\r\n").into_bytes();
        mails.push(Mail { octets, ..mails[0].clone() });
    }
    account.put(&mails);
    let swept = account.sweep();
    assert_eq!((swept.sealed.messages, swept.failed.len()), (6, 0), "{swept:?}");
    account.check(&mails);
}

#[test]
fn a_stop_ends_the_wait() {
    if !testbed::servers() {
        return;
    }
    let server = Dovecot::start(Format::Maildir);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.imap());
    account.put(&mails(4));
    let settings = flow::Settings { grace: std::time::Duration::from_secs(3600), ..account.settings() };
    let stop = Arc::default();
    let swept = flow::sweep(&settings, &mut StopsTheWait(&stop), &stop).unwrap();
    assert_eq!((swept.sealed.messages, swept.interrupted), (0, true), "{swept:?}");
}

/// Asks to stop as soon as there is nothing to do; a second time would be a wait that was not ended.
struct StopsTheWait<'a>(&'a Arc<std::sync::atomic::AtomicBool>);

impl flow::Progress for StopsTheWait<'_> {
    fn waiting(&mut self, _: u64) {
        assert!(!self.0.swap(true, std::sync::atomic::Ordering::Relaxed));
    }
}

#[derive(Default)]
struct Waited(u64);

impl flow::Progress for Waited {
    fn waiting(&mut self, seconds: u64) {
        self.0 += seconds;
    }
}
