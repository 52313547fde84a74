//! An owner who reads, flags, moves and deletes while a sweep runs: no lost flag, no resurrected mail, no sealed draft.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use testbed::{Dovecot, Format};
use wire::imap::{Access, Fetched, MailboxName, Session, UidSet};

use crate::account::{Account, Ending, Mail};

/// What the owner did to each mail, by its subject.
#[derive(Default)]
struct Deeds {
    flagged: BTreeMap<String, BTreeSet<String>>,
    moved: BTreeSet<String>,
    deleted: BTreeSet<String>,
    /// Something was done to it while it was locked or leaving, or was not confirmed: either outcome will do, as long as the mail is there, sealed.
    perhaps: BTreeSet<String>,
    /// Deletion was asked for.
    tried: BTreeSet<String>,
}

fn mail(number: usize) -> Mail {
    let octets = format!("Message-ID: <{number}@deed>\r\nSubject: n{number}\r\n\r\nbody {number}\r\n").into_bytes();
    Mail { mailbox: "INBOX", octets, flags: Vec::new(), date: "17-Jul-2019 02:44:25 +0000".into() }
}

#[test]
fn an_owner_at_work() {
    if !testbed::servers() {
        return;
    }
    let long = std::env::var_os("SEALPOST_LONG").is_some();
    let (count, actions) = if long { (3000, 4000) } else { (600, 600) };
    let server = Dovecot::start(Format::Maildir);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.imap());
    let mails: Vec<Mail> = (0..count).map(mail).collect();
    account.put(&mails);
    let drafts: Vec<Mail> =
        (0..20).map(|number| Mail { flags: vec!["\\Draft".into()], ..mail(100_000 + number) }).collect();
    account.put(&drafts);
    let over = AtomicBool::new(false);
    let deeds = std::thread::scope(|scope| {
        let owner = scope.spawn(|| act(&account, actions, &over));
        let _ending = Ending(&over);
        for _ in 0..6 {
            flow::sweep(&account.settings(), &mut (), &Arc::default()).unwrap();
        }
        over.store(true, Ordering::Relaxed);
        owner.join().unwrap()
    });
    for _ in 0..2 {
        let connection = rusqlite::Connection::open(account.settings().state).unwrap();
        connection.execute("UPDATE memory SET retry_at = 1 WHERE retry_at IS NOT NULL", []).unwrap();
        account.sweep();
    }
    assert!(deeds.flagged.len() + deeds.moved.len() + deeds.deleted.len() > 50, "the owner was too slow");
    let census = account.census();
    let (mut wrong, mut risen, mut doubled) = (Vec::new(), 0, 0);
    for (number, mail) in mails.iter().enumerate() {
        let subject = format!("n{number}");
        let found = census.get(&mail.octets).cloned().unwrap_or_default();
        let standing: Vec<_> = found.iter().filter(|one| one.mailbox != "Trash").collect();
        let perhaps = deeds.perhaps.contains(&subject);
        // Deleted in the shape of its copy before that was read back, the original lies in the Trash.
        if perhaps && standing.is_empty() && deeds.tried.contains(&subject) {
            continue;
        }
        if deeds.deleted.contains(&subject) && !perhaps {
            if !standing.is_empty() {
                wrong.push(format!("risen: {subject} {found:?}"));
            }
            continue;
        }
        // Moved between our last look and its end, some hundred microseconds: a second one, sealed. Nothing is lost by that.
        if perhaps && deeds.moved.contains(&subject) && standing.len() == 2 && standing.iter().all(|one| one.sealed) {
            doubled += 1;
            continue;
        }
        if deeds.deleted.contains(&subject) {
            risen += 1;
        }
        let [one] = standing.as_slice() else {
            wrong.push(format!("{} times: {subject} {found:?}", standing.len()));
            continue;
        };
        let place = if deeds.moved.contains(&subject) { "Archive" } else { "INBOX" };
        let flags: BTreeSet<String> = one.flags.iter().cloned().collect();
        let expected = deeds.flagged.get(&subject).cloned().unwrap_or_default();
        let as_wanted = one.mailbox == place && flags == expected;
        if !(perhaps || one.sealed && as_wanted) {
            wrong.push(format!("{subject}: wanted {place} {expected:?}, is {one:?}"));
        }
    }
    for draft in &drafts {
        if !matches!(census.get(&draft.octets).map(Vec::as_slice), Some([one]) if !one.sealed) {
            wrong.push("a draft was touched".to_owned());
        }
    }
    // Deleted between our last look at it and its end.
    assert!((risen + doubled) * 100 < mails.len(), "{risen} risen, {doubled} doubled");
    assert!(wrong.is_empty(), "{} of {}: {:#?}", wrong.len(), mails.len(), &wrong[..wrong.len().min(12)]);
}

/// Does something to messages of the INBOX as they are right now, knowing them by Message-ID.
fn act(account: &Account, actions: usize, over: &AtomicBool) -> Deeds {
    let mut session = account.session();
    let mut deeds = Deeds::default();
    let mut random = 12345_u64;
    let inbox = MailboxName::from_utf8("INBOX");
    session.select(&inbox, Access::Write).unwrap();
    for _ in 0..actions {
        if over.load(Ordering::Relaxed) {
            break;
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let dice = usize::try_from(random >> 33).unwrap();
        session.noop().unwrap();
        let Some((uid, subject, leaving)) = pick(&mut session, dice / 7) else { break };
        if deeds.moved.contains(&subject) || deeds.deleted.contains(&subject) {
            continue;
        }
        let one: UidSet = std::iter::once(uid).collect();
        if leaving {
            deeds.perhaps.insert(subject.clone());
        }
        match dice % 7 {
            0 | 1 => flag(&mut session, &one, "\\Seen", &subject, &mut deeds),
            2 => flag(&mut session, &one, "\\Flagged", &subject, &mut deeds),
            3 => flag(&mut session, &one, "errand", &subject, &mut deeds),
            4 | 5 => {
                // Refused, or without a COPYUID: it was gone already.
                let moved = match session.uid_move(&one, &MailboxName::from_utf8("Archive")) {
                    Err(error) if error.is_refusal() => None,
                    moved => moved.unwrap(),
                };
                match moved.is_some_and(|moved| !moved.from.is_empty()) {
                    true => deeds.moved.insert(subject),
                    false => deeds.perhaps.insert(subject),
                };
            }
            _ => {
                let (mut gone, mut leaving) = (false, false);
                let told = |fetched: Fetched<Vec<u8>>| {
                    gone |= fetched.uid == uid;
                    leaving |= fetched.flags.iter().flatten().any(|flag| flag == store::imap::LOCK);
                };
                session.uid_store(&one, None, "+FLAGS", &["\\Deleted".to_owned()], told).unwrap();
                session.uid_expunge(&one).unwrap();
                deeds.tried.insert(subject.clone());
                if !gone || leaving {
                    deeds.perhaps.insert(subject.clone());
                }
                if gone {
                    deeds.deleted.insert(subject);
                }
            }
        }
    }
    deeds
}

fn flag(session: &mut Session, one: &UidSet, flag: &str, subject: &str, deeds: &mut Deeds) {
    let (mut done, mut leaving) = (false, false);
    let told = |fetched: Fetched<Vec<u8>>| {
        let has = |flag: &str| fetched.flags.iter().flatten().any(|other| other == flag);
        done |= one.contains(fetched.uid) && has(flag);
        leaving |= one.contains(fetched.uid) && has("\\Deleted");
    };
    session.uid_store(one, None, "+FLAGS", &[flag.to_owned()], told).unwrap();
    if leaving {
        deeds.perhaps.insert(subject.to_owned());
    }
    if done {
        deeds.flagged.entry(subject.to_owned()).or_default().insert(flag.to_owned());
    }
}

/// A message of the INBOX, and which one it is: a sealed one keeps its Message-ID.
fn pick(session: &mut Session, dice: usize) -> Option<(u32, String, bool)> {
    let mut uids = Vec::new();
    let mut all = UidSet::new();
    all.insert_range(1, u32::MAX);
    session.uid_fetch(&all, "UID FLAGS", |_| Ok(std::io::sink()), |fetched| uids.push(fetched.uid)).unwrap();
    let uid = *uids.get(dice % uids.len().max(1))?;
    let mut found = None;
    let is_mark = |flag: &String| flag == store::imap::LOCK || flag == "\\Deleted";
    let items = "UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]";
    let one = std::iter::once(uid).collect();
    session
        .uid_fetch(
            &one,
            items,
            |_| Ok(std::io::sink()),
            |fetched| {
                let draft = fetched.flags.iter().flatten().any(|flag| flag == "\\Draft");
                let text = fetched.sections.first().map(|(_, text)| String::from_utf8_lossy(text).into_owned());
                let number =
                    text.and_then(|text| text.split_once('<')?.1.split_once('@').map(|(number, _)| number.to_owned()));
                if let (Some(number), false) = (number, draft) {
                    // Originals were put there one after the other, from 1 on: this is a copy, and its original is there, too.
                    let original = number.parse::<u32>().map_or(0, |number| number + 1);
                    let twin = fetched.uid != original && uids.contains(&original);
                    let leaving = twin || fetched.flags.iter().flatten().any(is_mark);
                    found = Some((fetched.uid, format!("n{number}"), leaving));
                }
            },
        )
        .unwrap();
    found.or_else(|| pick(session, dice + 1))
}
