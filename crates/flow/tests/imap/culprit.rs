//! One message over which the server breaks off, whenever anybody asks for it: all others are sealed, and it is left for later.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use testbed::{Dovecot, Format};

use crate::account::{Account, Mail, mails};

/// A way to the server that breaks when a FETCH of this UID asks for `what`.
fn breaking(server: SocketAddr, culprit: u32, what: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let upstream = TcpStream::connect(server).unwrap();
            let (mut from_server, mut to_client) = (upstream.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from_server, &mut to_client);
                let _ = to_client.shutdown(Shutdown::Both);
            });
            std::thread::spawn(move || pass_on(client, upstream, culprit, what));
        }
    });
    address
}

fn pass_on(mut client: TcpStream, mut upstream: TcpStream, culprit: u32, what: &str) {
    let mut octets = [0; 65_536];
    while let Ok(count) = client.read(&mut octets) {
        let text = String::from_utf8_lossy(&octets[..count]).into_owned();
        let asks = |line: &str| {
            let set = line.split(" UID FETCH ").nth(1).and_then(|rest| rest.split(' ').next());
            line.contains(what) && set.is_some_and(|set| set.split(',').any(|part| holds(part, culprit)))
        };
        if count == 0 || text.lines().any(asks) {
            break;
        }
        if upstream.write_all(&octets[..count]).is_err() {
            break;
        }
    }
    let _ = (client.shutdown(Shutdown::Both), upstream.shutdown(Shutdown::Both));
}

fn holds(part: &str, uid: u32) -> bool {
    let (first, last) = part.split_once(':').unwrap_or((part, part));
    let number = |text: &str| text.parse().unwrap_or(u32::MAX);
    (number(first)..=number(last)).contains(&uid)
}

fn all_but_one(what: &'static str) {
    if !testbed::servers() {
        return;
    }
    let server = Dovecot::start(Format::Maildir);
    let home = tempfile::tempdir().unwrap();
    let account = Account::new(home.path(), server.imap());
    // The probe is over then.
    account.sweep();
    let all: Vec<Mail> = mails(60).into_iter().map(|mail| Mail { mailbox: "INBOX", ..mail }).collect();
    account.put(&all);
    let way = breaking(server.imap(), 37, what);
    let swept = flow::sweep(&account.settings_by(way), &mut (), &Arc::default()).unwrap();
    assert_eq!(swept.sealed.messages, 59, "{swept:?}");
    let census = account.census();
    let open: Vec<u32> = census.values().flatten().filter(|found| !found.sealed).map(|found| found.uid).collect();
    assert_eq!(open, [37]);
    // Another sweep does not try it at once; when its time comes, by a way that holds, it is sealed.
    assert_eq!(flow::sweep(&account.settings_by(way), &mut (), &Arc::default()).unwrap().sealed.messages, 0);
    let connection = rusqlite::Connection::open(account.settings().state).unwrap();
    connection.execute("UPDATE memory SET retry_at = 1 WHERE retry_at IS NOT NULL", []).unwrap();
    assert_eq!(account.sweep().sealed.messages, 1);
    account.check(&all);
}

#[test]
fn while_header_fields_are_looked_at() {
    all_but_one("HEADER.FIELDS");
}

#[test]
fn while_bodies_are_read() {
    all_but_one("BODY.PEEK[]");
}
