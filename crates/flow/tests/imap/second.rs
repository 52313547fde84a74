//! Another client acts on a message at each step of its sealing: what it did to the message is done to the message.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use flow::{Progress, Step};
use testbed::{Action, Dovecot, Faults, Format, Rule, Which};
use wire::imap::{Access, Fetched, MailboxName, Session, UidSet};

use crate::account::{Account, Mail};

const STEPS: [Step; 7] =
    [Step::Locked, Step::Taken, Step::Expected, Step::Proven, Step::Carried, Step::Announced, Step::Flagged];

/// What the other client does to an original.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    Copy,
    Move,
    Flag,
    Draft,
}

/// Does it when that step is reached.
struct Client<'a> {
    session: Session,
    at: Step,
    deed: Deed,
    original: &'a [u8],
    done: bool,
}

impl Progress for Client<'_> {
    fn step(&mut self, step: Step) {
        if step != self.at || std::mem::replace(&mut self.done, true) {
            return;
        }
        let session = &mut self.session;
        session.select(&MailboxName::from_utf8("INBOX"), Access::Write).unwrap();
        let (mut all, mut uid) = (UidSet::new(), None);
        all.insert_range(1, u32::MAX);
        let original = self.original;
        let find = |fetched: Fetched<Vec<u8>>| {
            if fetched.body.is_some_and(|body| body.is_ok_and(|body| body == original)) {
                uid = Some(fetched.uid);
            }
        };
        session.uid_fetch(&all, "UID BODY.PEEK[]", |_| Ok(Vec::new()), find).unwrap();
        let one: UidSet = std::iter::once(uid.unwrap()).collect();
        let archive = MailboxName::from_utf8("Archive");
        let flag = |session: &mut Session, flag: &str| {
            session.uid_store(&one, None, "+FLAGS", &[flag.to_owned()], |_| {}).unwrap();
        };
        match self.deed {
            Deed::Copy => drop(session.uid_copy(&one, &archive).unwrap()),
            Deed::Move => drop(session.uid_move(&one, &archive).unwrap()),
            Deed::Flag => flag(session, "errand"),
            Deed::Draft => flag(session, "\\Draft"),
        }
    }
}

fn mail(number: usize) -> Mail {
    let octets = format!("Message-ID: <{number}@deed>\r\nSubject: n{number}\r\n\r\nbody {number}\r\n").into_bytes();
    Mail { mailbox: "INBOX", octets, flags: vec!["\\Seen".into()], date: "17-Jul-2019 02:44:25 +0000".into() }
}

#[test]
fn what_another_client_does_at_any_step_is_done_to_the_message() {
    if !testbed::servers() {
        return;
    }
    let server = Dovecot::start(Format::Maildir);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.imap());
    account.sweep();
    let mut number = 0;
    for deed in [Deed::Copy, Deed::Move, Deed::Flag, Deed::Draft] {
        for at in STEPS {
            let mails: Vec<Mail> = (number..number + 3).map(mail).collect();
            number += 3;
            account.put(&mails);
            let (session, original) = (account.session(), mails[1].octets.as_slice());
            let mut client = Client { session, at, deed, original, done: false };
            flow::sweep(&account.settings(), &mut client, &Arc::default()).unwrap();
            assert!(client.done, "{deed:?} {at:?}");
            account.sweep();
            let census = account.census();
            for other in [&mails[0], &mails[2]] {
                let found = &census[&other.octets];
                assert!(found.len() == 1 && found[0].sealed, "{deed:?} {at:?}: another one is {found:?}");
            }
            let found = &census[original];
            let flags: Vec<&[String]> = found.iter().map(|one| one.flags.as_slice()).collect();
            let places: Vec<&str> = found.iter().map(|one| one.mailbox.as_str()).collect();
            let is_good = match deed {
                Deed::Copy => places.contains(&"INBOX") && places.contains(&"Archive") && found.len() == 2,
                Deed::Move => places == ["Archive"],
                Deed::Flag => places == ["INBOX"] && found[0].sealed && flags[0].contains(&"errand".to_owned()),
                Deed::Draft => places == ["INBOX"] && !found[0].sealed && flags[0].contains(&"\\Draft".to_owned()),
            };
            assert!(is_good, "{deed:?} {at:?}: {found:?}");
            // What was moved before it was read is not known again; its lock counts for a quarter of an hour.
            let keeps_lock = deed == Deed::Move && at == Step::Locked;
            let is_ours = |flag: &String| flag == store::imap::LOCK && !keeps_lock || flag == "\\Deleted";
            assert!(!flags.iter().any(|flags| flags.iter().any(is_ours)), "{deed:?} {at:?}: {found:?}");
        }
    }
}

/// Panics at a step; nothing of what is in memory is used again.
struct Bomb(Step);

impl Progress for Bomb {
    fn step(&mut self, step: Step) {
        assert!(step != self.0, "as the test wants it");
    }
}

#[test]
fn a_mailbox_that_cannot_be_opened_now_is_not_taken_for_gone() {
    if !testbed::servers() {
        return;
    }
    let server = Dovecot::start(Format::Maildir);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.imap());
    account.sweep();
    let mut there: Vec<Mail> = Vec::new();
    for (round, at) in STEPS.into_iter().enumerate() {
        let mails: Vec<Mail> = (round * 3..round * 3 + 3).map(mail).collect();
        account.put(&mails);
        there.extend(mails);
        let sweep = || flow::sweep(&account.settings(), &mut Bomb(at), &Arc::default());
        assert!(catch_unwind(AssertUnwindSafe(sweep)).is_err());
        for nth in [1, 2] {
            let refused = Rule { command: "SELECT", which: Which::Nth(nth), action: Action::No };
            let faults = Faults::between(server.imap(), vec![refused]);
            let _ = flow::sweep(&account.settings_by(faults.address()), &mut (), &Arc::default());
            assert!(!faults.fired().is_empty(), "{at:?}");
        }
        account.sweep();
        account.check(&there);
    }
}

#[test]
fn what_was_moved_between_a_death_and_the_next_sweep_stands_once() {
    if !testbed::servers() {
        return;
    }
    let server = Dovecot::start(Format::Maildir);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.imap());
    account.sweep();
    for (round, at) in STEPS.into_iter().enumerate() {
        let mails: Vec<Mail> = (round * 3..round * 3 + 3).map(mail).collect();
        account.put(&mails);
        let sweep = || flow::sweep(&account.settings(), &mut Bomb(at), &Arc::default());
        assert!(catch_unwind(AssertUnwindSafe(sweep)).is_err());
        let (session, original) = (account.session(), mails[1].octets.as_slice());
        Client { session, at, deed: Deed::Move, original, done: false }.step(at);
        account.sweep();
        let census = account.census();
        let found = &census[original];
        assert!(found.len() == 1 && found[0].mailbox == "Archive", "{at:?}: {found:?}");
        assert!(!found[0].flags.contains(&"\\Deleted".to_owned()), "{at:?}: {found:?}");
        for other in [&mails[0], &mails[2]] {
            let found = &census[&other.octets];
            assert!(found.len() == 1 && found[0].sealed, "{at:?}: another one is {found:?}");
        }
    }
}
