//! Two sealers on one account must not double or fight; and a sealer that lost its memory neither.

use std::sync::Arc;

use testbed::{Dovecot, Faults, Format, Rule};

use crate::account::{Account, mails};

/// The same keys and secrets in another home: a second laptop.
fn twin(home: &std::path::Path, of: &Account, server: std::net::SocketAddr) -> Account {
    for part in ["mail", "state", "tmp"] {
        std::fs::create_dir_all(home.join(part)).unwrap();
    }
    for file in ["key.asc", "sealer"] {
        std::fs::copy(of.scene.home.join(file), home.join(file)).unwrap();
    }
    Account::at(home, server)
}

fn race(strip: &[&'static str]) {
    let server = Dovecot::start(Format::Maildir);
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let one = Account::new(homes[0].path(), server.imap());
    let other = twin(homes[1].path(), &one, server.imap());
    let mails = mails(240);
    let ways: Vec<Faults> = (0..2).map(|_| Faults::between(server.imap(), vec![Rule::strip(strip)])).collect();
    // Both have tried the server out.
    for (account, way) in [&one, &other].into_iter().zip(&ways) {
        flow::sweep(&account.settings_by(way.address()), &mut (), &Arc::default()).unwrap();
    }
    one.put(&mails);
    std::thread::scope(|scope| {
        for (account, way) in [&one, &other].into_iter().zip(&ways) {
            scope.spawn(move || {
                for _ in 0..2 {
                    flow::sweep(&account.settings_by(way.address()), &mut (), &Arc::default()).unwrap();
                }
            });
        }
    });
    // What one left to the other.
    for account in [&one, &other, &one] {
        let connection = rusqlite::Connection::open(account.settings().state).unwrap();
        connection.execute("UPDATE memory SET retry_at = 1 WHERE retry_at IS NOT NULL", []).unwrap();
        account.sweep();
    }
    one.check(&mails);
}

#[test]
fn two_sealers_with_locks() {
    if testbed::servers() {
        race(&[]);
    }
}

#[test]
fn two_sealers_without_locks() {
    if testbed::servers() {
        race(&["CONDSTORE", "QRESYNC", "ENABLE"]);
    }
}

#[test]
fn a_lost_state_database_doubles_nothing() {
    if !testbed::servers() {
        return;
    }
    let server = Dovecot::start(Format::Maildir);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.imap());
    let mails = mails(30);
    account.put(&mails);
    for step in [6, 8, 9, 10] {
        // Cut off with copies stored, and the journal gone.
        let mut bomb = Bomb { left: step };
        let sweep = || flow::sweep(&account.settings(), &mut bomb, &Arc::default());
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(sweep));
        for entry in std::fs::read_dir(home.path().join("state")).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        unlock(&account);
    }
    account.sweep();
    // Of two copies the lower stays; the second look finds the higher.
    account.sweep();
    account.check(&mails);
}

/// What a dead sealer locked, and what it flagged, is free after a quarter of an hour, or when its owner looks after it.
fn unlock(account: &Account) {
    let mut session = account.session();
    for name in ["INBOX", "Archive"] {
        session.select(&wire::imap::MailboxName::from_utf8(name), wire::imap::Access::Write).unwrap();
        let mut all = wire::imap::UidSet::new();
        all.insert_range(1, u32::MAX);
        let flags = ["$Sealing".to_owned(), "\\Deleted".to_owned()];
        session.uid_store(&all, None, "-FLAGS.SILENT", &flags, |_| {}).unwrap();
    }
}

struct Bomb {
    left: usize,
}

impl flow::Progress for Bomb {
    fn step(&mut self, _: flow::Step) {
        self.left -= 1;
        assert!(self.left > 0, "as the test wants it");
    }
}
