//! The milter protocol: what mail servers send, octet by octet, and what they get; what is no such protocol; and a real Postfix.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wire::milter::{Actions, Answer, Change, Event, MilterError, Session, Settings, limit};
use wire::smtp::Reply;
use wire::smtp::server::Activity;

/// All that may be changed.
fn all() -> Actions {
    let headers = Actions::ADD_HEADERS.with(Actions::CHANGE_HEADERS).with(Actions::REPLACE_BODY);
    let recipients = Actions::ADD_RECIPIENTS.with(Actions::DELETE_RECIPIENTS).with(Actions::CHANGE_SENDER);
    headers.with(recipients).with(Actions::QUARANTINE)
}

fn settings() -> Settings {
    Settings { max_message: 200, max_recipients: 2, ..Settings::new(all()) }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A packet.
fn packet(command: u8, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len() + 1).unwrap();
    [&length.to_be_bytes()[..], &[command], data].concat()
}

/// What a mail server offers.
fn offer(steps: u32) -> Vec<u8> {
    packet(b'O', &[6_u32, 0x1ff, steps].map(u32::to_be_bytes).concat())
}

/// Everything of version 6; nothing of it but the commands.
const NEW: u32 = 0x1f_ffff;
const OLD: u32 = 0x7f;

/// Packets in a short form: the command, then its data; `\0` stands for itself.
fn packets(list: &[(u8, &[u8])]) -> Vec<u8> {
    list.iter().flat_map(|(command, data)| packet(*command, data)).collect()
}

/// The answers that came, command and data.
fn unpack(mut octets: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut list = Vec::new();
    while let Some((length, rest)) = octets.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        list.push((rest[0], rest[1..length].to_vec()));
        octets = &rest[length..];
    }
    list
}

/// Commands of the answers in one word, the agreement left out.
fn word(octets: &[u8]) -> String {
    unpack(octets).into_iter().skip(1).map(|(command, _)| char::from(command)).collect()
}

/// What an event is called here.
fn name(event: &Event) -> String {
    match event {
        Event::Mail(mail) => format!("mail {}", mail.address),
        Event::Rcpt(to) => format!("rcpt {}", to.address),
        Event::Header { name, value } => {
            format!("{}:{}", String::from_utf8_lossy(name), String::from_utf8_lossy(value).replace("\r\n", "|"))
        }
        Event::Body(octets) => format!("body {}", octets.len()),
        Event::EndOfMessage(octets) => format!("end {}", octets.len()),
        Event::Connect(peer) => format!("connect {}", peer.name),
        Event::Helo(name) => format!("helo {name}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// Answers by what addresses and bodies say.
fn decide(event: &Event) -> Option<Answer> {
    let refuses = |address: &str| match address.split('@').next() {
        Some("bad") => Answer::Reply(Reply::new(550, (5, 1, 1), "no such user")),
        Some("later") => Answer::TempFail,
        Some("good") => Answer::Accept,
        Some("gone") => Answer::Discard,
        _ => Answer::Continue,
    };
    match event {
        Event::Mail(mail) => Some(refuses(&mail.address)),
        Event::Rcpt(to) if to.address == "forgotten@b" => None,
        Event::Rcpt(to) => Some(refuses(&to.address)),
        Event::Body(octets) if octets.starts_with(b"enough") => Some(Answer::Skip),
        Event::Data | Event::EndOfHeaders | Event::Body(_) => Some(Answer::Continue),
        Event::EndOfMessage(_) => Some(Answer::Accept),
        _ => None,
    }
}

async fn lead(session: &mut Session, seen: &Mutex<Vec<String>>) -> Result<(), MilterError> {
    loop {
        let event = session.next().await?;
        seen.lock().unwrap().push(name(&event));
        if matches!(event, Event::EndOfMessage(_)) {
            seen.lock().unwrap().push(format!("i={}", session.told("i").unwrap_or("?")));
        }
        if let Some(answer) = decide(&event) {
            session.answer(&answer).await?;
        }
        if event == Event::Quit {
            return Ok(());
        }
    }
}

/// A mail server's octets; what it got, what was seen, how it ended. `step`: octets at a time.
fn talk(octets: &[u8], step: usize) -> (Vec<u8>, Vec<String>, String) {
    run(async {
        let (mut server, stream) = tokio::io::duplex(1 << 16);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let led = tokio::spawn(async move {
            let mut session = Session::begin(Box::new(stream), Arc::new(settings()), Arc::default()).await?;
            let ended = lead(&mut session, &kept).await;
            session.end().await;
            ended
        });
        for part in octets.chunks(step.max(1)) {
            if server.write_all(part).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = server.shutdown().await;
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.unwrap();
        let ended = led.await.unwrap().map_or_else(|error| error.to_string(), |()| "quit".to_owned());
        let seen = seen.lock().unwrap().clone();
        (got, seen, ended)
    })
}

#[test]
fn transcripts() {
    const CONNECT: (u8, &[u8]) = (b'C', b"mx.example\x004\x00\x19192.0.2.1\0");
    const MAIL: (u8, &[u8]) = (b'M', b"<a@b>\0SIZE=9\0");
    const RCPT: (u8, &[u8]) = (b'R', b"<c@d>\0");
    const QUIT: (u8, &[u8]) = (b'Q', b"");
    let large = vec![b'x'; 300];
    for (what, steps, list, answers, seen) in [
        (
            "as Postfix does it",
            NEW,
            vec![
                (b'D', &b"Cj\0mx\0"[..]),
                CONNECT,
                (b'H', b"client\0"),
                (b'D', b"Mi\0Q1\0"),
                MAIL,
                RCPT,
                (b'T', b""),
                (b'L', b"Subject\0 a\n b\0"),
                (b'L', b"To\0c@d\0"),
                (b'N', b""),
                (b'E', b"text\r\n"),
                QUIT,
            ],
            "cccca",
            "connect mx.example,helo client,mail a@b,rcpt c@d,data,Subject: a| b,To:c@d,endofheaders,end 6,i=Q1,quit",
        ),
        (
            "as an old one does it",
            OLD,
            vec![
                CONNECT,
                (b'H', b"client\0"),
                MAIL,
                RCPT,
                (b'L', b"Subject\0a\0"),
                (b'N', b""),
                (b'B', b"text\r\n"),
                (b'E', b""),
                QUIT,
            ],
            "ccccccca",
            "connect mx.example,helo client,mail a@b,rcpt c@d,Subject: a,endofheaders,body 6,end 0,i=?,quit",
        ),
        (
            "recipients fail alone",
            NEW,
            vec![
                MAIL,
                (b'R', b"<bad@d>\0"),
                (b'R', b"<later@d>\0"),
                (b'R', b"<forgotten@b>\0"),
                (b'R', b"Name <c@d>\0"),
                RCPT,
                (b'R', b"<e@d>\0"),
                (b'R', b"<one-too-many@d>\0"),
                (b'N', b""),
                (b'E', b"x"),
                QUIT,
            ],
            "cyttyccyca",
            "mail a@b,rcpt bad@d,rcpt later@d,rcpt forgotten@b,rcpt c@d,rcpt e@d,endofheaders,end 1,i=?,quit",
        ),
        (
            "several messages, and macros that end with theirs",
            NEW,
            vec![
                (b'D', b"Mi\0Q1\0"),
                MAIL,
                RCPT,
                (b'A', b""),
                (b'A', b""),
                (b'D', b"Ri\0Q9\0"),
                MAIL,
                RCPT,
                (b'N', b""),
                (b'E', b""),
                (b'M', b"<bad@b>\0"),
                (b'M', b"<>\0"),
                (b'D', b"Ei\0Q3\0"),
                RCPT,
                (b'N', b""),
                (b'E', b""),
                (b'K', b""),
                CONNECT,
                QUIT,
            ],
            "cccccayccca",
            "mail a@b,rcpt c@d,abort,mail a@b,rcpt c@d,endofheaders,end 0,i=?,mail bad@b,mail ,rcpt c@d,endofheaders,\
             end 0,i=Q3,nextconnection,connect mx.example,quit",
        ),
        (
            "no more of the body",
            NEW,
            vec![MAIL, RCPT, (b'N', b""), (b'B', b"enough\r\n"), (b'B', b"more"), (b'E', b"more"), QUIT],
            "cccsca",
            "mail a@b,rcpt c@d,endofheaders,body 8,end 0,i=?,quit",
        ),
        (
            "no more of the body, told to an old one",
            OLD,
            vec![MAIL, RCPT, (b'N', b""), (b'B', b"enough\r\n"), (b'B', b"more"), (b'E', b"more"), QUIT],
            "ccccca",
            "mail a@b,rcpt c@d,endofheaders,body 8,end 0,i=?,quit",
        ),
        (
            "too large in its body",
            NEW,
            vec![MAIL, RCPT, (b'N', b""), (b'B', &large), MAIL, QUIT],
            "cccyc",
            "mail a@b,rcpt c@d,endofheaders,abort,mail a@b,quit",
        ),
        (
            "too large in its header section",
            NEW,
            vec![
                MAIL,
                RCPT,
                (b'L', b"A\0b\0"),
                (b'L', &[b"X\0", &large[..], b"\0"].concat()),
                (b'L', b"B\0c\0"),
                (b'N', b""),
                QUIT,
            ],
            "ccy",
            "mail a@b,rcpt c@d,A:b,abort,quit",
        ),
        ("a sender that cannot be read", NEW, vec![(b'M', b"<a\n@b>\0"), MAIL, QUIT], "yc", "mail a@b,quit"),
        (
            "taken as it is, and made to vanish",
            NEW,
            vec![(b'M', b"<good@b>\0"), (b'M', b"<gone@b>\0"), MAIL, (b'R', b"<good@b>\0"), QUIT],
            "adca",
            "mail good@b,mail gone@b,mail a@b,rcpt good@b,quit",
        ),
        ("a command that is not known", NEW, vec![(b'U', b"XYZ\0"), QUIT], "c", "unknown,quit"),
    ] {
        let octets = [offer(steps), packets(&list)].concat();
        for step in [octets.len(), 1, 7] {
            let (got, saw, ended) = talk(&octets, step);
            let told = (word(&got), saw.join(","), ended.as_str().to_owned());
            assert_eq!(told, (answers.to_owned(), seen.to_owned(), "quit".to_owned()), "{what}, by {step}");
        }
    }
}

#[test]
fn what_is_not_the_protocol_ends_the_connection() {
    let wrong = "the mail server does not speak the milter protocol";
    let many = [b"M".as_slice(), &b"a\0b\0".repeat(limit::MACROS + 1)].concat();
    for (what, octets, ended) in [
        ("nothing", Vec::new(), "the mail server ended the connection"),
        ("half a packet", offer(NEW)[..9].to_vec(), "the mail server ended the connection"),
        ("no agreement", packets(&[(b'C', b"mx\0U")]), wrong),
        ("another protocol", b"EHLO me\r\nMAIL FROM:<a@b>\r\n".to_vec(), wrong),
        ("an endless packet", u32::MAX.to_be_bytes().to_vec(), wrong),
        ("a packet beyond the limit", (u32::try_from(limit::PACKET).unwrap() + 1).to_be_bytes().to_vec(), wrong),
        ("a packet without a command", vec![0; 4], wrong),
        (
            "too little is offered",
            packet(b'O', &[6_u32, 1, NEW].map(u32::to_be_bytes).concat()),
            "the mail server does not offer replacing the body",
        ),
        ("agreed upon twice", [offer(NEW), offer(NEW)].concat(), wrong),
        ("a recipient without a sender", [offer(NEW), packets(&[(b'R', b"<a@b>\0")])].concat(), wrong),
        ("a body without a message", [offer(NEW), packets(&[(b'B', b"x")])].concat(), wrong),
        ("an end without a message", [offer(NEW), packets(&[(b'E', b"")])].concat(), wrong),
        ("a field without a message", [offer(NEW), packets(&[(b'L', b"A\0b\0")])].concat(), wrong),
        (
            "a recipient after the content",
            [offer(NEW), packets(&[(b'M', b"<>\0"), (b'R', b"<a@b>\0"), (b'N', b""), (b'R', b"<c@d>\0")])].concat(),
            wrong,
        ),
        (
            "a message that was refused goes on",
            [offer(NEW), packets(&[(b'M', b"<bad@b>\0"), (b'N', b"")])].concat(),
            wrong,
        ),
        ("a command that is none", [offer(NEW), packets(&[(b'!', b"")])].concat(), wrong),
        ("macros without end", [offer(NEW), packets(&[(b'D', &many)])].concat(), wrong),
    ] {
        for step in [octets.len(), 1] {
            assert_eq!(talk(&octets, step).2, ended, "{what}");
        }
    }
}

/// A session that has come so far that a message may be changed.
async fn at_the_end(steps: u32) -> (Session, tokio::io::DuplexStream) {
    let (mut server, stream) = tokio::io::duplex(1 << 20);
    let list: [(u8, &[u8]); 4] = [(b'M', b"<a@b>\0"), (b'R', b"<c@d>\0"), (b'N', b""), (b'E', b"x\r\n")];
    server.write_all(&[offer(steps), packets(&list)].concat()).await.unwrap();
    let wished = Settings { needs: Actions::REPLACE_BODY.with(Actions::CHANGE_HEADERS), ..settings() };
    let mut session = Session::begin(Box::new(stream), Arc::new(wished), Arc::default()).await.unwrap();
    loop {
        match session.next().await.unwrap() {
            Event::EndOfMessage(_) => return (session, server),
            _ => session.answer(&Answer::Continue).await.unwrap(),
        }
    }
}

#[test]
fn a_message_is_changed_at_its_end_only_and_as_agreed() {
    for (steps, subject) in [(NEW, &b"\0\0\0\x01Subject\0 ...\0"[..]), (OLD, b"\0\0\0\x01Subject\0...\0")] {
        run(async {
            let (mut session, mut server) = at_the_end(steps).await;
            assert!(session.actions().has(Actions::REPLACE_BODY) && !session.actions().has(Actions::QUARANTINE));
            let body = vec![b'x'; limit::CHUNK + 10];
            session.progress().await.unwrap();
            session.change(&Change::ReplaceBody(&body)).await.unwrap();
            session.change(&Change::ReplaceBody(b"end\r\n")).await.unwrap();
            session.change(&Change::ChangeHeader { name: "Subject", index: 1, value: b" ..." }).await.unwrap();
            session.change(&Change::ChangeHeader { name: "Cc", index: 2, value: b"" }).await.unwrap();
            for refused in [Change::Quarantine("why"), Change::AddHeader { name: "A", value: b" b" }] {
                assert!(matches!(session.change(&refused).await, Err(MilterError::NotNow)), "{refused:?}");
            }
            let forged = Change::ChangeHeader { name: "A", index: 1, value: b" b\r\nC: d" };
            assert!(matches!(session.change(&forged).await, Err(MilterError::Unsayable(_))));
            assert!(matches!(session.answer(&Answer::Skip).await, Err(MilterError::NotNow)));
            let unsayable = Answer::Reply(Reply::new(250, (2, 0, 0), "ok"));
            assert!(matches!(session.answer(&unsayable).await, Err(MilterError::Unsayable(_))));
            session.answer(&Answer::Accept).await.unwrap();
            assert!(matches!(session.answer(&Answer::Accept).await, Err(MilterError::NotNow)));
            assert!(matches!(session.progress().await, Err(MilterError::NotNow)));
            let late = session.change(&Change::ReplaceBody(b"late")).await;
            assert!(matches!(late, Err(MilterError::NotNow)));
            session.end().await;
            let mut got = Vec::new();
            server.read_to_end(&mut got).await.unwrap();
            let got = unpack(&got);
            let commands: String = got.iter().map(|(command, _)| char::from(*command)).collect();
            assert_eq!(commands, "Occcpbbbmma");
            assert!(got.iter().all(|(_, data)| data.len() <= limit::CHUNK));
            let replaced: Vec<u8> = got.iter().filter(|one| one.0 == b'b').flat_map(|one| one.1.clone()).collect();
            assert_eq!(replaced, [&body[..], b"end\r\n"].concat());
            assert_eq!(got[8].1, subject);
            assert_eq!(got[9].1, b"\0\0\0\x02Cc\0\0");
        });
    }
}

#[test]
fn a_message_that_nobody_decided_does_not_pass() {
    run(async {
        let (mut session, mut server) = at_the_end(NEW).await;
        session.change(&Change::ReplaceBody(b"half")).await.unwrap();
        server.write_all(&packets(&[(b'Q', b"")])).await.unwrap();
        assert_eq!(session.next().await.unwrap(), Event::Quit);
        session.end().await;
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.unwrap();
        assert_eq!(word(&got), "cccbt");
    });
}

#[test]
fn a_connection_ends_when_asked_to_and_when_nothing_comes() {
    run(async {
        // Between messages at once, within a message when it is through.
        let (mut server, stream) = tokio::io::duplex(1 << 16);
        let activity = Arc::new(Activity::default());
        server.write_all(&[offer(NEW), packets(&[(b'M', b"<a@b>\0")])].concat()).await.unwrap();
        let mut session = Session::begin(Box::new(stream), Arc::new(settings()), Arc::clone(&activity)).await.unwrap();
        assert!(matches!(session.next().await, Ok(Event::Mail(_))));
        session.answer(&Answer::Continue).await.unwrap();
        activity.drain();
        server.write_all(&packets(&[(b'R', b"<c@d>\0"), (b'N', b""), (b'E', b"x")])).await.unwrap();
        for _ in 0..3 {
            assert!(!matches!(session.next().await.unwrap(), Event::Abort));
            session.answer(&Answer::Continue).await.unwrap();
        }
        assert!(matches!(session.next().await, Err(MilterError::Ended)));
        // Nothing comes.
        let (mut server, stream) = tokio::io::duplex(1 << 16);
        server.write_all(&offer(NEW)).await.unwrap();
        let hasty = Settings { command_time: Duration::from_millis(50), ..settings() };
        let mut session = Session::begin(Box::new(stream), Arc::new(hasty), Arc::default()).await.unwrap();
        assert!(matches!(session.next().await, Err(MilterError::TimedOut)));
    });
}

#[test]
fn a_connection_that_waits_gives_way_and_one_at_work_does_not() {
    run(async {
        let sessions = wire::smtp::listen::Sessions::default();
        let (busy, idle) = (sessions.seat(2), sessions.seat(2));
        let begin = async |seat: &wire::smtp::listen::Seat| {
            let (mut server, stream) = tokio::io::duplex(1 << 16);
            server.write_all(&[offer(NEW), packets(&[(b'M', b"<a@b>\0")])].concat()).await.unwrap();
            let activity = Arc::clone(&seat.activity);
            let session = Session::begin(Box::new(stream), Arc::new(settings()), activity).await.unwrap();
            (session, server)
        };
        // Shown, and not yet answered: it is at work.
        let (mut working, mut its_server) = begin(&busy).await;
        assert!(matches!(working.next().await, Ok(Event::Mail(_))));
        let (mut waiting, _kept) = begin(&idle).await;
        assert!(matches!(waiting.next().await, Ok(Event::Mail(_))));
        waiting.answer(&Answer::Continue).await.unwrap();
        let waits = tokio::spawn(async move { waiting.next().await });
        tokio::task::yield_now().await;
        let _third = sessions.seat(2);
        assert!(matches!(waits.await.unwrap(), Err(MilterError::Ended)));
        working.answer(&Answer::Continue).await.unwrap();
        its_server.write_all(&packets(&[(b'R', b"<c@d>\0")])).await.unwrap();
        assert!(matches!(working.next().await, Ok(Event::Rcpt(_))));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn garbage_is_no_panic(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = talk(&octets, octets.len());
        let _ = talk(&[offer(NEW), octets].concat(), 64);
    }

    #[test]
    fn packets_of_garbage_are_no_panic(list in proptest::collection::vec(
        (proptest::sample::select(&b"DCHMRTLNBEAUKQO"[..]),
        prop_oneof![
            proptest::collection::vec(prop_oneof![Just(0), Just(b'<'), Just(b'>'), any::<u8>()], 0..30),
            Just(b"<a@b>\0".to_vec()),
            Just(b"A\0b\0".to_vec()),
        ]), 0..30))
    {
        let list: Vec<(u8, &[u8])> = list.iter().map(|(command, data)| (*command, &data[..])).collect();
        let octets = [offer(NEW), packets(&list)].concat();
        let whole = talk(&octets, octets.len());
        prop_assert_eq!(talk(&octets, 1), whole);
    }
}

/// What a next server was given: octets of messages.
type Given = Arc<Mutex<Vec<Vec<u8>>>>;

/// An LMTP server that takes everything.
async fn next_server(socket: TcpListener, given: Given) {
    use wire::smtp::server::{Received, Request, Session, Settings};
    loop {
        let (stream, _) = socket.accept().await.unwrap();
        let given = Arc::clone(&given);
        tokio::spawn(async move {
            let settings = Arc::new(Settings::new(wire::smtp::Dialect::Lmtp, "store.test".to_owned()));
            let mut session = Session::begin(Box::new(stream), None, settings, Arc::default()).await.unwrap();
            let ok = Reply::new(250, (2, 0, 0), "ok");
            while let Ok(request) = session.next().await {
                match request {
                    Request::Mail(_) | Request::Rcpt(_) => session.reply(&ok).await.unwrap(),
                    Request::Content => {
                        let mut octets = Vec::new();
                        let mut keep = |part: &[u8]| {
                            octets.extend_from_slice(part);
                            Ok(())
                        };
                        if let Ok(Received::Whole { .. }) = session.receive(&mut keep).await {
                            given.lock().unwrap().push(octets);
                            let _ = session.reply_all(&vec![ok.clone(); 9]).await;
                        }
                    }
                    Request::Reset | Request::Quit => {}
                }
            }
        });
    }
}

/// What a milter saw of a message.
#[derive(Default)]
struct Saw {
    queue_id: Option<String>,
    octets: Vec<u8>,
}

/// A milter that keeps what it sees, and puts something else in its place.
async fn replacing(socket: TcpListener, seen: Arc<Mutex<Vec<Saw>>>, body: Arc<Vec<u8>>) {
    loop {
        let (stream, _) = socket.accept().await.unwrap();
        let (seen, body) = (Arc::clone(&seen), Arc::clone(&body));
        tokio::spawn(async move {
            let settings = Settings::new(all());
            let began = Session::begin(Box::new(stream), Arc::new(settings), Arc::default()).await;
            let Ok(mut session) = began else { return };
            let mut saw = Saw::default();
            while let Ok(event) = session.next().await {
                let mut answer = decide(&event);
                match event {
                    Event::Header { name, value } => saw.octets.extend([&name[..], b":", &value, b"\r\n"].concat()),
                    Event::EndOfHeaders => saw.octets.extend(b"\r\n"),
                    Event::Body(octets) => saw.octets.extend(octets),
                    Event::EndOfMessage(octets) => {
                        saw.octets.extend(octets);
                        saw.queue_id = session.told("i").map(str::to_owned);
                        seen.lock().unwrap().push(std::mem::take(&mut saw));
                        for change in [
                            Change::ChangeHeader { name: "Subject", index: 1, value: b" ..." },
                            Change::ChangeHeader { name: "X-Two", index: 2, value: b"" },
                            Change::ChangeHeader { name: "X-Two", index: 1, value: b"" },
                            Change::AddHeader { name: "X-Added", value: b" one\r\n\ttwo" },
                            Change::InsertHeader { index: 0, name: "X-First", value: b" 1" },
                            Change::ReplaceBody(&body),
                        ] {
                            session.change(&change).await.unwrap();
                        }
                        session.progress().await.unwrap();
                        answer = Some(Answer::Continue);
                    }
                    Event::Quit => break,
                    _ => {}
                }
                if let Some(answer) = answer {
                    session.answer(&answer).await.unwrap();
                }
            }
            session.end().await;
        });
    }
}

/// A Postfix that is stopped in its own way: its master is in a session of its own, and outlives the group that is killed.
struct Stopped(testbed::Postfix);

impl Stopped {
    fn stop(&self) {
        let mut command = std::process::Command::new("/usr/sbin/postfix");
        let _ = command.arg("-c").arg(self.0.directory().join("etc")).arg("stop").output();
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn postfix_shows_what_came_and_hands_on_what_was_made_of_it() {
    let root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    if !testbed::servers() || !root {
        println!("SKIPPED: needs servers, and root for Postfix");
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bind = || runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let (store, milter) = (bind(), bind());
    let (store_at, milter_at) = (store.local_addr().unwrap(), milter.local_addr().unwrap());
    let (given, seen) = (Given::default(), Arc::new(Mutex::new(Vec::new())));
    let body = Arc::new(b"sealed, a line like others\r\n".repeat(9000));
    runtime.spawn(next_server(store, Arc::clone(&given)));
    runtime.spawn(replacing(milter, Arc::clone(&seen), Arc::clone(&body)));

    let mut server = Stopped(testbed::Postfix::start(&format!("lmtp:inet:{store_at}"), None));
    let config = server.0.directory().join("etc/main.cf");
    let more = format!("\nsmtpd_milters = inet:{milter_at}\nmilter_default_action = tempfail\nmilter_protocol = 6\n");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text + &more).unwrap();
    server.stop();
    server.0.restart();
    let postfix = &server.0;

    let head = "Subject:no blank\r\nX-Two: a\r\nX-Blanks:  two\r\nX-Two: b\r\nX-Folded: a\r\n\tb\r\n c\r\n";
    for content in ["short\r\n".to_owned(), "a line\r\n.dot\r\n".repeat(20_000), String::new()] {
        let mail = format!("{head}\r\n{content}");
        let to = ["bad@example.test", "alice@example.test", "later@example.test"];
        let said = testbed::submit(testbed::Language::Smtp, postfix.smtp(), "eve@example.com", &to, mail.as_bytes());
        let said = said.unwrap();
        let begins = |at: usize, with: &str| assert!(said[at].starts_with(with), "{said:?}\n{}", postfix.log());
        begins(0, "550 5.1.1");
        begins(1, "250");
        begins(2, "451");
        let saw = seen.lock().unwrap().pop().unwrap();
        assert!(said[1].contains(&saw.queue_id.unwrap()), "{said:?}");
        let shown = String::from_utf8(saw.octets).unwrap();
        // Postfix adds fields that are missing; what came is shown as it came.
        assert!(
            shown.starts_with(head) && shown.ends_with(&format!("\r\n\r\n{content}")),
            "{}",
            &shown[..400.min(shown.len())]
        );
        let begun = Instant::now();
        while given.lock().unwrap().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(90), "not handed on:\n{}", postfix.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        let octets = given.lock().unwrap().pop().unwrap();
        let (fields, rest) = String::from_utf8(octets)
            .unwrap()
            .split_once("\r\n\r\n")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        assert!(rest.as_bytes() == &body[..], "{} octets of {}", rest.len(), body.len());
        assert!(fields.starts_with("X-First: 1\r\n"), "{fields}");
        for is in [
            "\r\nSubject: ...\r\n",
            "\r\nX-Added: one\r\n\ttwo",
            "\r\nX-Blanks:  two\r\n",
            "\r\nX-Folded: a\r\n\tb\r\n c",
        ] {
            assert!(fields.contains(is), "{is:?} in {fields}");
        }
        assert!(!fields.contains("X-Two") && !fields.contains("no blank"), "{fields}");
    }
    // No milter, no mail.
    drop(runtime);
    let said = testbed::submit(
        testbed::Language::Smtp,
        postfix.smtp(),
        "eve@example.com",
        &["alice@example.test"],
        b"A: b\r\n\r\nx\r\n",
    );
    assert!(said.is_err() || said.is_ok_and(|said| said[0].starts_with('4')), "{}", postfix.log());
}
