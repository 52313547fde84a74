//! New mail is sealed as it comes, whatever the server does meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use testbed::{Action, Dovecot, Faults, Format, Rule, Which};

use crate::account::{Account, Ending, Mail, mails};

/// Until everything is sealed; the bound is for a machine that is very busy.
fn until_sealed(account: &Account, mails: &[Mail]) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(300) {
        let census = account.census();
        let sealed = |mail: &Mail| census.get(&mail.octets).is_some_and(|found| found.iter().all(|one| one.sealed));
        if mails.iter().all(sealed) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("not sealed in five minutes");
}

#[test]
fn watching_survives_restarts_and_ends_when_asked() {
    if !testbed::servers() {
        return;
    }
    let mut server = Dovecot::start(Format::Maildir);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.imap());
    let all = mails(12);
    // "Archive" is asked for news twice a minute only.
    let all: Vec<Mail> = all.into_iter().map(|mail| Mail { mailbox: "INBOX", ..mail }).collect();
    let settings = account.settings();
    let stop = Arc::<AtomicBool>::default();
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| flow::watch(&settings, &mut (), &stop));
        let _ending = Ending(&stop);
        account.put(&all[..4]);
        until_sealed(&account, &all[..4]);
        server.restart();
        account.put(&all[4..8]);
        until_sealed(&account, &all[..8]);
        server.kill();
        server.restart();
        account.put(&all[8..]);
        until_sealed(&account, &all);
        stop.store(true, Ordering::Relaxed);
        let asked = Instant::now();
        let watching = watcher.join().unwrap().unwrap();
        assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
        assert!(watching.sealed.messages == 12 && watching.losses >= 2, "{watching:?}");
    });
    account.check(&all);
}

#[test]
fn watching_through_chaos() {
    if !testbed::servers() {
        return;
    }
    let server = Dovecot::start(Format::Maildir);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.imap());
    let all: Vec<Mail> = mails(30).into_iter().map(|mail| Mail { mailbox: "INBOX", ..mail }).collect();
    account.sweep();
    let rule = |seed, action| Rule { command: "*", which: Which::Chance { seed, per_mille: 20 }, action };
    let faults = Faults::between(server.imap(), vec![rule(3, Action::LoseAnswer), rule(4, Action::Before)]);
    let settings = account.settings_by(faults.address());
    let stop = Arc::<AtomicBool>::default();
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| flow::watch(&settings, &mut (), &stop));
        let _ending = Ending(&stop);
        for some in all.chunks(3) {
            account.put(some);
            std::thread::sleep(Duration::from_millis(60));
        }
        faults.clear();
        until_sealed(&account, &all);
        stop.store(true, Ordering::Relaxed);
        watcher.join().unwrap().unwrap();
    });
    account.sweep();
    account.check(&all);
}
