//! The crash table: the process dies at every single step; then a new sweep.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use flow::{Progress, Step};
use testbed::{Character, Dedup, Double, Dovecot, Format};

use crate::account::{Account, mails};

/// Panics at a step; nothing of what is in memory is used again.
struct Bomb {
    left: usize,
}

impl Progress for Bomb {
    fn step(&mut self, _: Step) {
        self.left -= 1;
        assert!(self.left > 0, "as the test wants it");
    }
}

/// Steps of two batches: one a mailbox.
const STEPS: usize = 24;

#[test]
fn death_at_every_step_loses_and_doubles_nothing() {
    if !testbed::servers() {
        return;
    }
    let server = Dovecot::start(Format::Maildir);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.imap());
    let mails = mails(6 * STEPS);
    let (mut deaths, mut there) = (0, Vec::new());
    for (step, some) in mails.chunks(6).enumerate() {
        account.put(some);
        there.extend_from_slice(some);
        let mut bomb = Bomb { left: step + 1 };
        let sweep = || flow::sweep(&account.settings(), &mut bomb, &Arc::default());
        deaths += usize::from(catch_unwind(AssertUnwindSafe(sweep)).is_err());
        account.sweep();
        account.check(&there);
    }
    assert_eq!(deaths, STEPS);
    let status = flow::status(&account.settings(), &Arc::default()).unwrap();
    assert_eq!((status.unfinished, status.plaintext.messages), (0, 0));
}

#[test]
fn nothing_is_lost_where_the_trash_is_the_way_out() {
    let server = Double::start(Character::Gmail { dedup: Dedup::Ignore });
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.address());
    for step in 1..=STEPS {
        let octets = format!("Message-ID: <{step}@x>\r\nSubject: {step}\r\n\r\nkanarienvogel {step}\r\n").into_bytes();
        server.deliver("INBOX", &octets, &["\\Seen"], "01-Mar-2020 10:00:00 +0000");
        let mut bomb = Bomb { left: step };
        let sweep = || flow::sweep(&account.settings(), &mut bomb, &Arc::default());
        let _ = catch_unwind(AssertUnwindSafe(sweep));
        account.sweep();
        let all = server.messages("[Gmail]/All Mail");
        assert_eq!(all.len(), step, "after {step}");
        let clear = server.all_octets().iter().filter(|octets| contains(octets, b"kanarienvogel")).count();
        assert_eq!(clear, 0, "after {step}");
    }
}

fn contains(octets: &[u8], what: &[u8]) -> bool {
    octets.windows(what.len()).any(|window| window == what)
}
