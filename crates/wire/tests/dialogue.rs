//! Dialogues replayed: each file under `dialogues/` is a server's script and the client's orders in one.
//!
//! In: lines. `> ` an order to the session, `= ` what it must answer, `C: ` what the server must be sent, `S: ` what it
//! then sends (`C- ` and `S- ` without a line end), `!` the server closes. Out: agreement, with the server's octets sent at once
//! and one by one. Never: a dialogue that passes while a line of it was not played.

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "tests fail loudly"))]

use std::fmt::{Debug, Write as _};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use wire::imap::{
    Access, Append, Credentials, Endpoint, Fetched, ImapError, MailboxName, Security, Session, StoreOrder, Timeouts,
    Trust, UidSet,
};
use zeroize::Zeroizing;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Pace {
    Whole,
    Octets,
}

#[test]
fn all_dialogues() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues");
    let mut played = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap().replace("@VERSION@", env!("CARGO_PKG_VERSION"));
        for pace in [Pace::Whole, Pace::Octets] {
            check(&format!("{} ({pace:?})", path.file_name().unwrap().display()), &text, pace);
            played += 1;
        }
    }
    assert!(played >= 60, "{played} dialogues");
}

fn check(name: &str, text: &str, pace: Pace) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script: Vec<String> = text.lines().map(str::to_owned).collect();
    let server = thread::spawn(move || serve(&listener, &script, pace));
    let mut client = Client { port, session: None };
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let Some(order) = line.strip_prefix("> ") else { continue };
        let answer = client.carry_out(order);
        let mut expected = String::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| !line.starts_with("> ")) {
            if let Some(line) = line.strip_prefix("= ") {
                let _ = writeln!(expected, "{line}");
            }
        }
        assert_eq!(answer.trim_end(), expected.trim_end(), "{name}, line {}: {order}", number + 1);
    }
    drop(client);
    server.join().unwrap().unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// Plays the server's part.
fn serve(listener: &TcpListener, script: &[String], pace: Pace) -> Result<(), String> {
    let (socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    for (number, line) in script.iter().enumerate() {
        if let Some(expected) = line.strip_prefix("C:") {
            let mut got = Vec::new();
            reader.read_until(b'\n', &mut got).map_err(|error| format!("line {}: {error}", number + 1))?;
            let got = String::from_utf8_lossy(&got).into_owned();
            if got.strip_suffix("\r\n") != Some(expected.strip_prefix(' ').unwrap_or(expected)) {
                return Err(format!("line {}: {expected:?} expected, got {got:?}", number + 1));
            }
        } else if let Some(expected) = line.strip_prefix("C- ") {
            let mut got = vec![0; expected.len()];
            reader.read_exact(&mut got).map_err(|error| format!("line {}: {error}", number + 1))?;
            if got != expected.as_bytes() {
                return Err(format!(
                    "line {}: {expected:?} expected, got {:?}",
                    number + 1,
                    String::from_utf8_lossy(&got)
                ));
            }
        } else if let Some(text) = line.strip_prefix("S:") {
            send(&socket, &format!("{}\r\n", text.strip_prefix(' ').unwrap_or(text)), pace);
        } else if let Some(text) = line.strip_prefix("S- ") {
            send(&socket, text, pace);
        } else if line == "!" {
            return Ok(());
        } else if !line.is_empty() && !line.starts_with(['>', '=', '#']) {
            return Err(format!("line {} of the dialogue is none", number + 1));
        }
    }
    // The client hangs up without another word.
    let mut rest = Vec::new();
    let _ = reader.read_to_end(&mut rest);
    if rest.is_empty() { Ok(()) } else { Err(format!("{:?} was not expected", String::from_utf8_lossy(&rest))) }
}

fn send(mut socket: &TcpStream, text: &str, pace: Pace) {
    // The client may have gone in the middle: that is for the orders to find out.
    match pace {
        Pace::Whole => drop(socket.write_all(text.as_bytes())),
        Pace::Octets => {
            for octet in text.as_bytes() {
                let _ = socket.write_all(&[*octet]);
            }
        }
    }
}

struct Client {
    port: u16,
    session: Option<Session>,
}

impl Client {
    fn carry_out(&mut self, order: &str) -> String {
        let (verb, rest) = order.split_once(' ').unwrap_or((order, ""));
        if verb == "connect" {
            return match self.connect(rest) {
                Ok(session) => {
                    self.session = Some(session);
                    String::new()
                }
                Err(error) => format!("{error:?}"),
            };
        }
        if verb == "logout" {
            self.session.take().unwrap().logout();
            return String::new();
        }
        let session = self.session.as_mut().unwrap();
        let (first, more) = rest.split_once(' ').unwrap_or((rest, ""));
        let name = MailboxName::from_utf8(first);
        let set = || UidSet::parse(first).unwrap();
        match verb {
            "has" => session.has(rest).to_string(),
            "limit" => show(Ok(session.append_limit())),
            "exists" => session.exists().to_string(),
            "noop" => show(session.noop()),
            "namespaces" => show(session.namespaces()),
            "list" => session.list("", rest).map_or_else(
                |error| format!("{error:?}"),
                |all| {
                    all.iter().fold(String::new(), |text, one| {
                        format!("{text}{} {:?} {}\n", one.name, one.delimiter, one.attributes.join(" "))
                    })
                },
            ),
            "status" => show(session.status(&name)),
            "create" => show(session.create(&name)),
            "delete" => show(session.delete(&name)),
            "subscribe" => show(session.subscribe(&name)),
            "select" => show(session.select(&name, Access::Write)),
            "examine" => show(session.select(&name, Access::Read)),
            "unselect" => show(session.unselect()),
            "search" => show(session.uid_search(rest).map(|found| found.to_string())),
            "fetch" => {
                let mut text = String::new();
                let result = session.uid_fetch(&set(), more, |_| Ok(Vec::new()), |one| tell(&mut text, &one));
                text + &show(result)
            }
            "fetch-nowhere" => {
                let mut text = String::new();
                let mut lengths = Vec::new();
                let nowhere = |length| {
                    lengths.push(length);
                    if length < 10 { Ok(Full) } else { Err(io::ErrorKind::QuotaExceeded.into()) }
                };
                let result = session.uid_fetch(&set(), more, nowhere, |one| {
                    let _ = writeln!(
                        text,
                        "{} {:?}",
                        one.uid,
                        one.body.map(|body| body.map(|_| "all").map_err(|e| e.kind()))
                    );
                });
                format!("{text}{lengths:?}\n{}", show(result))
            }
            "store" => {
                let order = store_order(rest);
                let mut text = String::new();
                let result = session.uid_store(&order.set, order.unchanged_since, &order.item, &order.flags, |one| {
                    tell(&mut text, &one)
                });
                text + &show(result.map(|modified| modified.to_string()))
            }
            "stores" => {
                let orders: Vec<_> = rest.split(" | ").map(store_order).collect();
                let mut text = String::new();
                match session.uid_stores(&orders, |one| tell(&mut text, &one)) {
                    Ok(all) => {
                        all.into_iter().fold(text, |text, one| text + &show(one.map(|set| set.to_string())) + "\n")
                    }
                    Err(error) => format!("{text}{error:?}"),
                }
            }
            "expunge" => show(session.uid_expunge(&set())),
            "copy" => show(session.uid_copy(&set(), &MailboxName::from_utf8(more))),
            "move" => show(session.uid_move(&set(), &MailboxName::from_utf8(more))),
            "append" => with_messages(more, |messages| match session.append(&name, messages) {
                Ok(all) => all.into_iter().fold(String::new(), |text, one| text + &show(one) + "\n"),
                Err(lost) => {
                    lost.done.into_iter().fold(format!("{:?}\n", lost.error), |text, one| format!("{text}{one:?}\n"))
                }
            }),
            "together" => with_messages(more, |messages| show(session.append_together(&name, messages))),
            "idle" => show(session.idle(Duration::from_millis(rest.parse().unwrap()))),
            _ => panic!("{order} is no order"),
        }
    }

    /// `password USER PASSWORD`, `token USER TOKEN`; `starttls` before it.
    fn connect(&self, rest: &str) -> Result<Session, ImapError> {
        let (security, rest) = match rest.strip_prefix("starttls") {
            Some(rest) => (Security::StartTls, rest.trim_start()),
            None => (Security::Plain, rest),
        };
        let mut words = rest.splitn(3, ' ');
        let kind = words.next().unwrap();
        let user = words.next().unwrap_or("alice").to_owned();
        let secret = Zeroizing::new(words.next().unwrap_or("secret").to_owned());
        let credentials = match kind {
            "token" => Credentials::Token { user, token: secret },
            _ => Credentials::Password { user, password: secret },
        };
        let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port: self.port, security };
        let timeouts = Timeouts { connect: Duration::from_secs(20), response: Duration::from_secs(20) };
        Session::connect(&endpoint, &Trust::default(), &credentials, &timeouts, Arc::new(AtomicBool::new(false)))
    }
}

/// `SET SINCE|- ITEM FLAG...`
fn store_order(text: &str) -> StoreOrder {
    let mut words = text.split(' ');
    StoreOrder {
        set: UidSet::parse(words.next().unwrap()).unwrap(),
        unchanged_since: words.next().unwrap().parse().ok(),
        item: words.next().unwrap().to_owned(),
        flags: words.map(|flag| flag.replace('_', " ")).collect(),
    }
}

/// `FLAGS|- DATE|- TEXT`, divided by ` | `. In the text `~` is a line end, and `<7>` seven octets more than there are.
fn with_messages(text: &str, append: impl FnOnce(&mut [Append<'_>]) -> String) -> String {
    let messages: Vec<_> = text.split(" | ").filter(|text| !text.is_empty()).collect();
    let mut octets: Vec<_> = messages
        .iter()
        .map(|message| message.splitn(3, ' ').nth(2).unwrap().replace('~', "\r\n").into_bytes())
        .map(io::Cursor::new)
        .collect();
    let mut appends: Vec<_> = messages
        .iter()
        .zip(&mut octets)
        .map(|(message, octets)| {
            let mut words = message.split(' ');
            let flags = words.next().unwrap().split(',').filter(|flag| *flag != "-").map(str::to_owned).collect();
            let date = words.next().filter(|date| *date != "-").map(|date| date.replace('_', " "));
            let mut length = octets.get_ref().len() as u64;
            if let Some(more) = words.next().and_then(|word| word.strip_prefix('<')) {
                length += more.split_once('>').unwrap().0.parse::<u64>().unwrap();
            }
            Append { flags, internal_date: date, length, octets }
        })
        .collect();
    append(&mut appends)
}

fn show<T: Debug>(result: Result<T, ImapError>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{error:?}"),
    }
}

fn tell(text: &mut String, one: &Fetched<Vec<u8>>) {
    let _ = write!(text, "{}", one.uid);
    let _ = one.flags.as_ref().map(|flags| write!(text, " flags [{}]", flags.join(", ")));
    let _ = one.internal_date.as_ref().map(|date| write!(text, " date {date:?}"));
    let _ = one.size.map(|size| write!(text, " size {size}"));
    let _ = one.modseq.map(|modseq| write!(text, " modseq {modseq}"));
    let _ = one.email_id.as_ref().map(|id| write!(text, " emailid {id}"));
    let _ = one.gm_msgid.map(|id| write!(text, " gmid {id}"));
    let _ = one.gm_labels.as_ref().map(|labels| write!(text, " labels {labels:?}"));
    for (name, octets) in &one.sections {
        let _ = write!(text, " {name}={:?}", String::from_utf8_lossy(octets));
    }
    match &one.body {
        Some(Ok(body)) => drop(write!(text, " body {:?}", String::from_utf8_lossy(body))),
        Some(Err(error)) => drop(write!(text, " body failed {:?}", error.kind())),
        None => {}
    }
    text.push('\n');
}

/// A place with no room left.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
