//! A double of a provider: an IMAP server in memory, on loopback, good enough for our client and with the ways of servers that are not to be had.
//! User alice, password alice-pw, XOAUTH2 token alice-token. No TLS. Everything of alice is open to the test, behind the protocol's back.

mod character;
mod command;
mod message;
mod set;

mod fetch;
mod search;
mod store;

mod selected;

mod session;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

pub use character::{Character, Dedup};
use session::Session;
use store::{Store, locked};

/// A running double. Its port is free again when it is dropped; sessions that are still open end with their clients.
pub struct Double {
    address: SocketAddr,
    store: Arc<Mutex<Store>>,
    ended: Arc<AtomicBool>,
}

/// A message as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// In the mailbox that was asked for.
    pub uid: u32,
    /// In the order in which they were set.
    pub flags: Vec<String>,
    /// INTERNALDATE as it was given: `17-Jul-1996 02:44:25 -0700`.
    pub date: String,
    /// All of it.
    pub octets: Vec<u8>,
    /// Of a Gmail; else none.
    pub labels: Vec<String>,
}

impl Double {
    /// On a free port.
    pub fn start(character: Character) -> Double {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
        let address = listener.local_addr().expect("the address of a listener");
        let store = Arc::new(Mutex::new(Store::new(character)));
        let ended = Arc::new(AtomicBool::new(false));
        let (shared, over) = (Arc::clone(&store), Arc::clone(&ended));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let _ = stream.set_nodelay(true);
                let shared = Arc::clone(&shared);
                thread::spawn(move || Session::new(stream, shared).run());
            }
        });
        Double { address, store, ended }
    }

    /// Where it speaks IMAP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts a message in a mailbox, as the server's own delivery does: nothing of it is changed. Makes the mailbox if need be. Its UID.
    pub fn deliver(&self, mailbox: &str, octets: &[u8], flags: &[&str], date: &str) -> u32 {
        let mut store = self.lock();
        if !store.mailboxes.contains_key(mailbox) {
            store.create(mailbox, "");
        }
        store.deliver(mailbox, octets, flags, date)
    }

    /// The messages of a mailbox by ascending UID; none of one that is not there.
    pub fn messages(&self, mailbox: &str) -> Vec<Message> {
        let store = self.lock();
        let entries = store.mailboxes.get(mailbox).map(|mailbox| mailbox.entries.clone()).unwrap_or_default();
        let gmail = store.character.is_gmail();
        let message = |(uid, number): (u32, u64)| {
            let stored = &store.messages[&number];
            let labels = if gmail { store.labels(number) } else { Vec::new() };
            Message {
                uid,
                flags: stored.flags.clone(),
                date: stored.date.clone(),
                octets: stored.octets.clone(),
                labels,
            }
        };
        entries.into_iter().map(message).collect()
    }

    /// Every message that is left anywhere, Trash too, each once.
    pub fn all_octets(&self) -> Vec<Vec<u8>> {
        let store = self.lock();
        let mut messages: Vec<_> = store.messages.values().collect();
        messages.sort_by_key(|message| message.number);
        messages.into_iter().map(|message| message.octets.clone()).collect()
    }

    /// Names of the mailboxes.
    pub fn mailboxes(&self) -> Vec<String> {
        self.lock().mailboxes.keys().cloned().collect()
    }

    /// From now on `command` (`APPEND`, `UID STORE`; `*` is any) is answered with `answer`, such as `NO [OVERQUOTA] full`, and does nothing.
    pub fn fail_from_now(&self, command: &str, answer: &str) {
        self.lock().refused.push((command.to_owned(), answer.to_owned()));
    }

    /// Takes back every [`Double::fail_from_now`].
    pub fn recover(&self) {
        let mut store = self.lock();
        store.refused.clear();
        store.is_prompt = true;
    }

    /// The mailbox is another one of the same name, as after a restored backup: new UIDVALIDITY, new UIDs, the same messages.
    pub fn renumber(&self, mailbox: &str) {
        self.lock().renumber(mailbox);
    }

    /// The verbs that came so far, in order and in capitals.
    pub fn commands(&self) -> Vec<String> {
        self.lock().commands.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        locked(&self.store)
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}
