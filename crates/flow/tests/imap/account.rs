//! An account on a test server: mail put there, and everything that is there afterwards, read as its owner reads it.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flow::{Backup, Imap, Route, Settings, Sink, Swept};
use wire::imap::{Access, Append, Credentials, Endpoint, MailboxName, Security, Session, Timeouts, Trust, UidSet};

use crate::scene::Scene;

/// An account, and a home for a sealer of its mail.
pub(crate) struct Account {
    pub(crate) scene: Scene,
    pub(crate) server: SocketAddr,
}

/// A mail put into the account.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) mailbox: &'static str,
    pub(crate) octets: Vec<u8>,
    pub(crate) flags: Vec<String>,
    pub(crate) date: String,
}

/// A mail as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) mailbox: String,
    pub(crate) uid: u32,
    pub(crate) flags: Vec<String>,
    pub(crate) date: i64,
    pub(crate) sealed: bool,
}

/// Sets a stop sign when it goes, also by a failed test: a scope waits for its threads, however it is left.
pub(crate) struct Ending<'a>(pub(crate) &'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Everything in the account, by what its owner reads.
pub(crate) type Census = BTreeMap<Vec<u8>, Vec<Found>>;

impl Account {
    pub(crate) fn new(home: &Path, server: SocketAddr) -> Account {
        Account { scene: Scene::new(home), server }
    }

    /// As another process finds it.
    pub(crate) fn at(home: &Path, server: SocketAddr) -> Account {
        Account { scene: Scene::at(home), server }
    }

    pub(crate) fn settings(&self) -> Settings {
        self.settings_by(self.server)
    }

    /// By another way to the same server.
    pub(crate) fn settings_by(&self, server: SocketAddr) -> Settings {
        let account = store::imap::Account {
            endpoint: Endpoint { host: server.ip().to_string(), port: server.port(), security: Security::Plain },
            trust: Trust::default(),
            compress: store::imap::Compress::Never,
            timeouts: Timeouts { connect: Duration::from_secs(10), response: Duration::from_secs(20) },
            credentials: Box::new(|| Ok(credentials())),
        };
        let backup = Backup { directory: self.scene.home.join("backup"), keep: Duration::from_secs(3600) };
        let imap = Imap { name: "work".to_owned(), account, sink: Sink::InPlace, backup: Some(backup), most_losses: 4 };
        Settings { route: Route::Imap(imap), ..self.scene.settings() }
    }

    pub(crate) fn sweep(&self) -> Swept {
        flow::sweep(&self.settings(), &mut (), &Arc::default()).unwrap()
    }

    pub(crate) fn session(&self) -> Session {
        let endpoint =
            Endpoint { host: self.server.ip().to_string(), port: self.server.port(), security: Security::Plain };
        let stop = Arc::<AtomicBool>::default();
        // quirk: Dovecot that was killed leaves the lock of a Maildir behind, and takes it over after two minutes only.
        let timeouts = Timeouts { connect: Duration::from_secs(60), response: Duration::from_secs(240) };
        Session::connect(&endpoint, &Trust::default(), &credentials(), &timeouts, stop).unwrap()
    }

    pub(crate) fn put(&self, mails: &[Mail]) {
        let mut session = self.session();
        for mail in mails {
            let name = MailboxName::from_utf8(mail.mailbox);
            let _ = session.create(&name);
            let mut octets = Cursor::new(&mail.octets);
            let mut message = [Append {
                flags: mail.flags.clone(),
                internal_date: Some(mail.date.clone()),
                length: mail.octets.len() as u64,
                octets: &mut octets,
            }];
            session.append(&name, &mut message).unwrap().remove(0).unwrap();
        }
        session.logout();
    }

    /// Everything in the account.
    pub(crate) fn census(&self) -> Census {
        let (keys, trust) = (self.scene.keyring(), self.scene.trust());
        let mut session = self.session();
        let mut census = Census::new();
        for mailbox in session.list("", "*").unwrap() {
            let bars = ["\\Noselect", "\\NonExistent"];
            let is_bar = |attribute: &String| bars.iter().any(|bar| attribute.eq_ignore_ascii_case(bar));
            if mailbox.attributes.iter().any(is_bar) {
                continue;
            }
            // Two sessions that look at a new mailbox at once are in each other's way, for Dovecot.
            let selected = (0..20).find_map(|_| {
                let selected = session.select(&mailbox.name, Access::Read).ok();
                if selected.is_none() {
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
                selected
            });
            if selected.unwrap().exists == 0 {
                continue;
            }
            let mut all = UidSet::new();
            all.insert_range(1, u32::MAX);
            let items = "UID FLAGS INTERNALDATE BODY.PEEK[]";
            let each = |fetched: wire::imap::Fetched<Vec<u8>>| {
                // Flags that others change meanwhile are told in between, without a body.
                let Some(stored) = fetched.body else { return };
                let stored = stored.unwrap();
                let opened = open::open(&mut &stored[..], Cursor::new(Vec::new()), &keys, &trust).ok();
                let sealed = opened.is_some();
                let original = opened.map_or(stored, |opened| {
                    let mut original = Vec::new();
                    opened.write(&mut original).unwrap();
                    original
                });
                let mut flags: Vec<String> =
                    fetched.flags.unwrap().into_iter().filter(|flag| flag != "\\Recent").collect();
                flags.sort();
                let date = store::imap::parse_date(&fetched.internal_date.unwrap()).unwrap().0;
                let found = Found { mailbox: mailbox.name.utf8(), uid: fetched.uid, flags, date, sealed };
                census.entry(original).or_default().push(found);
            };
            session.uid_fetch(&all, items, |_| Ok(Vec::new()), each).unwrap();
        }
        session.logout();
        census
    }

    /// Every mail is there exactly once, sealed, where it was, with its flags and date; and nothing else is.
    pub(crate) fn check(&self, mails: &[Mail]) {
        check(&self.census(), mails);
    }
}

pub(crate) fn check(census: &Census, mails: &[Mail]) {
    for mail in mails {
        let subject = String::from_utf8_lossy(&mail.octets[..mail.octets.len().min(120)]).into_owned();
        let found = census.get(&mail.octets).map(Vec::as_slice).unwrap_or_default();
        let [found] = found else { panic!("{} times: {subject}\n{found:?}", found.len()) };
        assert!(found.sealed, "in clear: {subject}");
        let mut flags = mail.flags.clone();
        flags.sort();
        let date = store::imap::parse_date(&mail.date).unwrap().0;
        assert_eq!((found.mailbox.as_str(), &found.flags, found.date), (mail.mailbox, &flags, date), "{subject}");
    }
    let known: std::collections::BTreeSet<&Vec<u8>> = mails.iter().map(|mail| &mail.octets).collect();
    for (original, found) in census {
        let subject = String::from_utf8_lossy(&original[..original.len().min(120)]).into_owned();
        assert!(known.contains(original), "not known: {subject}\n{found:?}");
    }
}

/// Different mails with different flags and dates, in two mailboxes.
pub(crate) fn mails(count: usize) -> Vec<Mail> {
    let sets: [&[&str]; 5] =
        [&[], &["\\Seen"], &["\\Flagged", "\\Seen", "Private"], &["\\Answered", "$Forwarded"], &["a", "b"]];
    let mails = testbed::corpus::mails(count).into_iter().zip(0..);
    mails
        .map(|(octets, number)| Mail {
            mailbox: if number % 3 == 2 { "Archive" } else { "INBOX" },
            octets,
            flags: sets[number % sets.len()].iter().map(|&flag| flag.to_owned()).collect(),
            date: format!(
                "{:02}-Mar-{} 0{}:30:15 +0{}00",
                1 + number % 28,
                1999 + number % 27,
                number % 10,
                number % 5
            ),
        })
        .collect()
}

fn credentials() -> Credentials {
    Credentials::Password { user: "alice".to_owned(), password: "alice-pw".to_owned().into() }
}
