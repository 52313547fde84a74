//! Accounts verified and unsealed, in good order and after every kind of interruption; and sealers that come upon the result.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use flow::{Route, Sink, SweepError};
use reader::{Sealers, Source, Step, UndoError, Undone, reason};
use testbed::{Action, Dovecot, Faults, Format, Rule, Which};
use wire::imap::{Access, MailboxName, UidSet};

use crate::account::{Account, Census, Ending, Mail, mails};
use crate::settings_of;

pub(crate) fn undo(account: &Account) -> Undone {
    reader::undo(&settings_of(account, account.server), &mut (), &Arc::default()).unwrap()
}

/// Every mail is there exactly once, open, where it was, with its flags, the keyword, and its date; and nothing else is.
pub(crate) fn assert_back(census: &Census, mails: &[Mail]) {
    for mail in mails {
        let found = census.get(&mail.octets).map(Vec::as_slice).unwrap_or_default();
        let [found] = found else { panic!("{} times: {found:?}", found.len()) };
        let mut flags = [&mail.flags[..], &["$Unsealed".to_owned()]].concat();
        flags.sort();
        let date = store::imap::parse_date(&mail.date).unwrap().0;
        let expected = (mail.mailbox, &flags, date, false);
        assert_eq!((found.mailbox.as_str(), &found.flags, found.date, found.sealed), expected);
    }
    assert_eq!(census.len(), mails.len(), "more than was put there");
}

/// A server, an account on it, and a sealer's home.
pub(crate) fn begin(home: &Path) -> (Dovecot, Account) {
    let server = Dovecot::start(Format::Maildir);
    let account = Account::new(home, server.imap());
    (server, account)
}

/// Removes what is in a mailbox.
pub(crate) fn expunge(account: &Account, mailbox: &str, uids: &[u32]) {
    let mut session = account.session();
    session.select(&MailboxName::from_utf8(mailbox), Access::Write).unwrap();
    let set: UidSet = uids.iter().copied().collect();
    session.uid_store(&set, None, "+FLAGS.SILENT", &["\\Deleted".to_owned()], |_| {}).unwrap();
    session.uid_expunge(&set).unwrap();
    session.logout();
}

/// So that the next sweep is not refused.
fn go_on(account: &Account) {
    let database = store::Database::open(&account.settings().state).unwrap();
    store::Ledger::on(&database).clear_stop("inbox").unwrap();
}

#[test]
fn everything_comes_back_and_stays_open() {
    if !testbed::servers() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (_server, account) = begin(home.path());
    let mut mails = mails(90);
    mails[5].mailbox = "Größe";
    account.put(&mails);
    account.sweep();
    account.check(&mails);
    let verified = reader::verify(&settings_of(&account, account.server), &mut (), &Default::default()).unwrap();
    assert_eq!((verified.opened, verified.is_sound(), verified.gaps.len()), (90, true, 0));
    let undone = undo(&account);
    assert_eq!((undone.restored, undone.unsettled, undone.recovered), (90, 0, 0));
    assert!(undone.left.is_empty() && undone.left_out.is_empty());
    assert_back(&account.census(), &mails);
    // The flow is stopped; another sealer of the same mail is not, and leaves it alone.
    let stopped = flow::sweep(&account.settings(), &mut (), &Arc::default());
    assert!(matches!(stopped, Err(SweepError::Stopped)));
    let other_home = tempfile::tempdir().unwrap();
    let other = second(&account, other_home.path());
    assert_eq!(other.sweep().sealed.messages, 0);
    assert_back(&account.census(), &mails);
    assert_eq!(undo(&account).restored, 0);
}

/// Another sealer for the same owner, with a state of its own.
fn second(account: &Account, home: &Path) -> Account {
    drop(crate::scene::Scene::new(home));
    for file in ["key.asc", "sealer"] {
        std::fs::copy(account.scene.home.join(file), home.join(file)).unwrap();
    }
    Account::at(home, account.server)
}

#[test]
fn a_second_sealer_at_work_meanwhile_seals_nothing_again() {
    if !testbed::servers() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (_server, account) = begin(home.path());
    let mails = mails(150);
    account.put(&mails);
    account.sweep();
    let other_home = tempfile::tempdir().unwrap();
    let other = second(&account, other_home.path());
    // Its probe is over then.
    assert_eq!(other.sweep().sealed.messages, 0);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sealer = scope.spawn(|| {
            let mut sealed = 0;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                sealed += other.sweep().sealed.messages;
            }
            sealed
        });
        let _ending = Ending(&over);
        let undone = undo(&account);
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(sealer.join().unwrap(), 0);
        assert_eq!(undone.restored, 150);
    });
    assert_back(&account.census(), &mails);
}

#[test]
fn from_a_folder_everything_goes_home() {
    if !testbed::servers() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (_server, account) = begin(home.path());
    let mails = mails(40);
    account.put(&mails);
    let mut writer = account.settings();
    if let Route::Imap(route) = &mut writer.route {
        route.sink = Sink::Folder("Sealed".to_owned());
    }
    flow::sweep(&writer, &mut (), &Arc::default()).unwrap();
    let census = account.census();
    assert!(census.values().flatten().all(|found| found.mailbox == "Sealed" && found.sealed));
    let mut reader = settings_of(&account, account.server);
    if let Source::Imap(source) = &mut reader.source {
        source.sink = Some("Sealed".to_owned());
    }
    // The folder is meant, whatever the patterns.
    reader.mailboxes = vec!["INBOX".to_owned(), "Archive".to_owned()];
    assert_eq!(reader::verify(&reader, &mut (), &Default::default()).unwrap().opened, 40);
    assert_eq!(reader::undo(&reader, &mut (), &Arc::default()).unwrap().restored, 40);
    assert_back(&account.census(), &mails);
}

/// Panics at a step; nothing of what is in memory is used again.
struct Bomb {
    left: usize,
}

impl Bomb {
    fn tick(&mut self) {
        self.left -= 1;
        assert!(self.left > 0, "as the test wants it");
    }
}

impl reader::Progress for Bomb {
    fn step(&mut self, _: Step) {
        self.tick();
    }
}

impl flow::Progress for Bomb {
    fn step(&mut self, _: Step) {
        self.tick();
    }
}

/// Steps of two batches: one a mailbox.
const STEPS: usize = 24;

#[test]
fn death_at_every_step_of_an_undo_loses_and_doubles_nothing() {
    if !testbed::servers() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (_server, account) = begin(home.path());
    let mut mails = mails(6 * STEPS);
    for some in mails.chunks_mut(6) {
        // Two that are equal, octet by octet, with other flags: neither may be taken for the other.
        let (octets, mailbox) = (some[0].octets.clone(), some[0].mailbox);
        (some[4].octets, some[4].mailbox) = (octets, mailbox);
    }
    let (mut deaths, mut there) = (0, Vec::new());
    for (step, some) in mails.chunks(6).enumerate() {
        account.put(some);
        there.extend_from_slice(some);
        account.sweep();
        let settings = settings_of(&account, account.server);
        let mut bomb = Bomb { left: step + 1 };
        let undone = catch_unwind(AssertUnwindSafe(|| reader::undo(&settings, &mut bomb, &Arc::default())));
        deaths += usize::from(undone.is_err());
        assert_eq!(undo(&account).unsettled, 0);
        assert_all_back(&account.census(), &there, step);
        go_on(&account);
    }
    assert_eq!(deaths, STEPS);
}

/// As [`assert_back`], where some mails are equal.
fn assert_all_back(census: &Census, mails: &[Mail], step: usize) {
    let line = |octets: &Vec<u8>, mailbox: &str, flags: &[String], date, sealed| {
        let mut flags = flags.to_vec();
        flags.sort();
        (octets.clone(), mailbox.to_owned(), flags, date, sealed)
    };
    let mut found: Vec<_> = census
        .iter()
        .flat_map(|(octets, found)| found.iter().map(move |found| (octets, found)))
        .map(|(octets, found)| line(octets, &found.mailbox, &found.flags, found.date, found.sealed))
        .collect();
    let mut expected: Vec<_> = mails
        .iter()
        .map(|mail| {
            let flags = [&mail.flags[..], &["$Unsealed".to_owned()]].concat();
            line(&mail.octets, mail.mailbox, &flags, store::imap::parse_date(&mail.date).unwrap().0, false)
        })
        .collect();
    found.sort();
    expected.sort();
    type Line = (Vec<u8>, String, Vec<String>, i64, bool);
    let brief = |all: &[Line]| -> Vec<_> {
        all.iter().map(|one| (one.0.len(), one.1.clone(), one.2.clone(), one.3, one.4)).collect()
    };
    assert_eq!(brief(&found), brief(&expected), "step {step}");
    assert!(found == expected, "step {step}");
}

#[test]
fn an_undo_settles_a_sweep_that_died_at_any_step() {
    if !testbed::servers() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (_server, account) = begin(home.path());
    // The probe is over then.
    account.sweep();
    let mails = mails(6 * STEPS);
    for (step, some) in mails.chunks(6).enumerate() {
        account.put(some);
        let mut bomb = Bomb { left: step + 1 };
        let swept = catch_unwind(AssertUnwindSafe(|| flow::sweep(&account.settings(), &mut bomb, &Arc::default())));
        assert!(swept.is_err());
        let undone = undo(&account);
        assert_eq!((undone.unsettled, undone.reasons.len()), (0, 0), "step {step}");
        let census = account.census();
        for mail in some {
            let found = census.get(&mail.octets).map(Vec::as_slice).unwrap_or_default();
            let [found] = found else { panic!("step {step}: {} times", found.len()) };
            let mut flags = found.flags.clone();
            // What was not sealed yet was not put back.
            flags.retain(|flag| flag != "$Unsealed");
            let mut expected = mail.flags.clone();
            expected.sort();
            assert_eq!((found.mailbox.as_str(), flags, found.sealed), (mail.mailbox, expected, false), "step {step}");
        }
        assert_eq!(census.len(), some.len(), "step {step}");
        for (mailbox, uid) in census.values().flatten().map(|found| (found.mailbox.clone(), found.uid)) {
            expunge(&account, &mailbox, &[uid]);
        }
        go_on(&account);
    }
}

#[test]
fn a_server_without_keywords_needs_the_owners_word() {
    if !testbed::servers() {
        return;
    }
    let server = testbed::Double::start(testbed::Character::Exchange);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.address());
    let original = b"Subject: one\r\nMessage-ID: <1@x>\r\n\r\nkanarienvogel\r\n";
    let sealed = account.scene.seal(original, &account.scene.sealer());
    server.deliver("INBOX", &sealed, &["\\Seen"], "01-Mar-2020 10:00:00 +0000");
    let mut settings = settings_of(&account, account.server);
    let refused = reader::undo(&settings, &mut (), &Arc::default());
    assert!(matches!(refused, Err(UndoError::NoKeywords)), "{refused:?}");
    assert_eq!(server.messages("INBOX")[0].octets, sealed);
    if let Source::Imap(source) = &mut settings.source {
        source.sealers = Sealers::NoneRuns;
    }
    assert_eq!(reader::undo(&settings, &mut (), &Arc::default()).unwrap().restored, 1);
    let [message] = &server.messages("INBOX")[..] else { panic!("not one") };
    assert_eq!((message.octets.as_slice(), &message.flags[..]), (&original[..], &["\\Seen".to_owned()][..]));
}

#[test]
fn what_is_missing_or_damaged_is_told() {
    if !testbed::servers() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (_server, account) = begin(home.path());
    account.put(&mails(8).into_iter().map(|mail| Mail { mailbox: "INBOX", ..mail }).collect::<Vec<_>>());
    account.sweep();
    let mut session = account.session();
    let inbox = MailboxName::from_utf8("INBOX");
    session.select(&inbox, Access::Read).unwrap();
    let mut all = UidSet::new();
    all.insert_range(1, u32::MAX);
    let mut stored = Vec::new();
    let each = |fetched: wire::imap::Fetched<Vec<u8>>| stored.push((fetched.uid, fetched.body.unwrap().unwrap()));
    session.uid_fetch(&all, "UID BODY.PEEK[]", |_| Ok(Vec::new()), each).unwrap();
    session.logout();
    stored.sort_by_key(|(_, octets)| {
        open::headers(octets, &account.scene.keyring(), &account.scene.trust()).unwrap().sequence
    });
    // The third is gone; of the sixth one octet is another.
    expunge(&account, "INBOX", &[stored[2].0, stored[5].0]);
    let mut damaged = stored[5].1.clone();
    let at = damaged.len() - 300;
    damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
    let bad = Mail { mailbox: "INBOX", octets: damaged, flags: vec![], date: "01-Mar-2020 10:00:00 +0000".into() };
    account.put(&[bad]);
    let settings = settings_of(&account, account.server);
    let verified = reader::verify(&settings, &mut (), &Default::default()).unwrap();
    assert_eq!((verified.opened, verified.reasons.get(reason::DAMAGED)), (6, Some(&1)));
    assert!(verified.broken.len() == 1 && verified.broken[0].0.mailbox == "INBOX" && !verified.is_sound());
    let gaps: Vec<(u64, u64)> = verified.gaps.iter().map(|gap| (gap.first, gap.last)).collect();
    assert_eq!(gaps, [(3, 3), (6, 6)], "a message that does not open carries no number");
    // A connection that is lost meanwhile changes nothing.
    for nth in 1..=4 {
        let rule = Rule { command: "UID FETCH", which: Which::Nth(nth), action: Action::CutAnswer(900) };
        let faults = Faults::between(account.server, vec![rule]);
        let again = reader::verify(&settings_of(&account, faults.address()), &mut (), &Default::default()).unwrap();
        assert_eq!(again, verified, "{nth}");
    }
    let undone = undo(&account);
    assert_eq!((undone.restored, undone.reasons.get(reason::DAMAGED)), (6, Some(&1)));
}
