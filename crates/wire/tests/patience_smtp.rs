//! Mail sessions with those who are slow, many, untrusted or absurd: what is waited for, who gives way, who is believed.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use wire::smtp::client::{Content, DeliverError, NextHop, Pool};
use wire::smtp::listen::{Listener, Sessions};
use wire::smtp::server::{Extension, Received, Request, Session, SessionError, Settings};
use wire::smtp::{Body, Dialect, MailFrom, Parameter, Place, RcptTo, Reply, Shape};

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Takes everything; what it was told of clients, at each MAIL.
async fn lead(session: &mut Session) -> Result<Vec<Option<String>>, SessionError> {
    let ok = Reply::new(250, (2, 0, 0), "ok");
    let (mut told, mut recipients) = (Vec::new(), 0);
    loop {
        match session.next().await? {
            Request::Mail(_) => {
                let said = session.client().xforward.as_ref();
                told.push(said.and_then(|said| said.get("ADDR")).map(str::to_owned));
                recipients = 0;
                session.reply(&ok).await?;
            }
            Request::Rcpt(_) => {
                recipients += 1;
                session.reply(&ok).await?;
            }
            Request::Content => {
                if let Received::Whole { .. } = session.receive(&mut |_| Ok(())).await? {
                    session.reply_all(&vec![ok.clone(); recipients]).await?;
                }
            }
            Request::Reset => {}
            Request::Quit => return Ok(told),
        }
    }
}

type Led = tokio::task::JoinHandle<Result<Vec<Option<String>>, SessionError>>;

fn begin(settings: Settings, address: Option<&str>) -> (DuplexStream, Led) {
    let (client, server) = tokio::io::duplex(1 << 16);
    let address = address.map(|address| address.parse().unwrap());
    let led = tokio::spawn(async move {
        let mut session = Session::begin(Box::new(server), address, Arc::new(settings), Arc::default()).await?;
        let ended = lead(&mut session).await;
        session.end().await;
        ended
    });
    (client, led)
}

fn codes(said: &str) -> String {
    let last = said.lines().filter(|line| line.as_bytes().get(3) == Some(&b' '));
    last.map(|line| &line[..3]).collect::<Vec<_>>().join(" ")
}

/// All at once; what was said, and how it ended.
async fn say(
    settings: Settings,
    address: Option<&str>,
    octets: &str,
) -> (String, Result<Vec<Option<String>>, SessionError>) {
    let (mut client, led) = begin(settings, address);
    client.write_all(octets.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    (said, led.await.unwrap())
}

#[test]
fn clients_that_drip_are_not_waited_for() {
    for (what, begins, drip) in [
        ("a command", "EHLO a\r\n", "N"),
        ("the greeting", "", "E"),
        ("a command after others", "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", "R"),
    ] {
        run(async {
            let mut settings = Settings::new(Dialect::Smtp, "mx.test".to_owned());
            settings.command_time = Duration::from_millis(150);
            let (mut client, led) = begin(settings, None);
            client.write_all(begins.as_bytes()).await.unwrap();
            // Each octet comes soon after the one before, the command never.
            while client.write_all(drip.as_bytes()).await.is_ok() && !led.is_finished() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert!(matches!(led.await.unwrap(), Err(SessionError::TimedOut)), "{what}");
            let mut said = String::new();
            client.read_to_string(&mut said).await.unwrap();
            assert!(codes(&said).ends_with("421"), "{what}: {said}");
        });
    }
    // Silence within a message.
    for content in ["DATA\r\nslowly", "BDAT 100 LAST\r\nslowly"] {
        run(async {
            let mut settings = Settings::new(Dialect::Smtp, "mx.test".to_owned());
            settings.block_time = Duration::from_millis(50);
            let (mut client, led) = begin(settings, None);
            let begins = format!("EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n{content}");
            client.write_all(begins.as_bytes()).await.unwrap();
            assert!(matches!(led.await.unwrap(), Err(SessionError::TimedOut)), "{content}");
        });
    }
}

#[test]
fn only_who_is_trusted_is_believed() {
    const XCLIENT: &str =
        "EHLO a\r\nXCLIENT ADDR=192.0.2.1\r\nEHLO a\r\nMAIL FROM:<a@b>\r\nRSET\r\nMAIL FROM:<a@b>\r\nQUIT\r\n";
    const XFORWARD: &str =
        "EHLO a\r\nXFORWARD ADDR=192.0.2.1\r\nMAIL FROM:<a@b>\r\nRSET\r\nMAIL FROM:<a@b>\r\nQUIT\r\n";
    const BOTH: &str = "EHLO a\r\nXCLIENT ADDR=192.0.2.1\r\nEHLO a\r\nXFORWARD ADDR=192.0.2.2\r\nMAIL FROM:<a@b>\r\n\
                        RSET\r\nMAIL FROM:<a@b>\r\nQUIT\r\n";
    let one = Some("192.0.2.1".to_owned());
    let other = Some("192.0.2.2".to_owned());
    for (address, octets, expected, told) in [
        (Some("198.51.100.1"), XCLIENT, "220 250 550 250 250 250 250 221", [None, None]),
        (Some("198.51.100.1"), XFORWARD, "220 250 550 250 250 250 221", [None, None]),
        // A connection says once who its client is; what is said of a message ends with it.
        (Some("127.0.0.1"), XCLIENT, "220 250 220 250 250 250 250 221", [one.clone(), one.clone()]),
        (Some("127.0.0.1"), XFORWARD, "220 250 250 250 250 250 221", [one.clone(), None]),
        (Some("127.0.0.1"), BOTH, "220 250 220 250 250 250 250 250 221", [other, one.clone()]),
        (None, XCLIENT, "220 250 220 250 250 250 250 221", [one.clone(), one.clone()]),
    ] {
        run(async {
            let mut settings = Settings::new(Dialect::Smtp, "mx.test".to_owned());
            settings.trusted = vec!["127.0.0.0/8".parse().unwrap()];
            let (said, led) = say(settings, address, octets).await;
            let offered = said.contains("XFORWARD") && said.contains("XCLIENT");
            assert_eq!((codes(&said).as_str(), offered), (expected, address != Some("198.51.100.1")), "{octets}");
            assert_eq!(led.unwrap(), told, "{octets}");
        });
    }
}

#[test]
fn what_is_withheld_is_neither_offered_nor_taken() {
    for (withheld, word, octets, expected) in [
        (Extension::SmtpUtf8, "SMTPUTF8", "MAIL FROM:<a@b> SMTPUTF8\r\n", "555"),
        (Extension::SmtpUtf8, "SMTPUTF8", "MAIL FROM:<ä@b> SMTPUTF8\r\n", "555"),
        (Extension::BinaryMime, "BINARYMIME", "MAIL FROM:<a@b> BODY=BINARYMIME\r\n", "555"),
        (Extension::BinaryMime, "BINARYMIME", "MAIL FROM:<a@b> BODY=8BITMIME\r\n", "250"),
        (Extension::EightBitMime, "8BITMIME", "MAIL FROM:<a@b> BODY=8BITMIME\r\n", "555"),
        (Extension::EightBitMime, "8BITMIME", "MAIL FROM:<a@b> BODY=7BIT\r\n", "250"),
        (Extension::Dsn, "DSN", "MAIL FROM:<a@b> RET=HDRS\r\n", "555"),
        (Extension::Dsn, "DSN", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d> NOTIFY=NEVER\r\n", "250 555"),
        (Extension::Chunking, "CHUNKING", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 6 LAST\r\nQUIT\r\n", "250 250 502"),
        // It needs the other (RFC 3030 §3).
        (Extension::Chunking, "BINARYMIME", "MAIL FROM:<a@b> BODY=BINARYMIME\r\n", "555"),
    ] {
        run(async {
            let mut settings = Settings::new(Dialect::Smtp, "mx.test".to_owned());
            settings.withheld = vec![withheld];
            let (said, _) = say(settings, None, &format!("EHLO a\r\n{octets}QUIT\r\n")).await;
            assert_eq!(codes(&said), format!("220 250 {expected} 221"), "{octets}");
            assert!(!said.contains(word), "{said}");
            let settings = Settings::new(Dialect::Smtp, "mx.test".to_owned());
            let (said, _) = say(settings, None, "EHLO a\r\nQUIT\r\n").await;
            assert!(said.contains(word), "{said}");
        });
    }
    // RFC 6531 §3.4: an address that is not ASCII, in a message that was not said to have any.
    run(async {
        let settings = Settings::new(Dialect::Smtp, "mx.test".to_owned());
        let octets = "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<ä@d>\r\nRSET\r\nMAIL FROM:<a@b> SMTPUTF8\r\nRCPT TO:<ä@d>\r\nQUIT\r\n";
        assert_eq!(codes(&say(settings, None, octets).await.0), "220 250 250 553 250 250 250 221");
    });
}

#[test]
fn thousands_that_wait_give_way_one_by_one() {
    const MOST: usize = 100;
    // Each has two ends here.
    const MANY: usize = 2000;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let open = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let open = open.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX);
    let many = MANY.min(open.saturating_sub(200) / 2);
    assert!(many > 2 * MOST, "only {open} files may be open");
    run(async {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let sessions = Sessions::default();
        let table = sessions.clone();
        let settings = Arc::new(Settings::new(Dialect::Smtp, "mx.test".to_owned()));
        tokio::spawn(async move {
            let listener = Listener::Tcp(socket);
            loop {
                let (stream, peer) = listener.next().await;
                let (seat, settings) = (table.seat(MOST), Arc::clone(&settings));
                tokio::spawn(async move {
                    let began = Session::begin(stream, peer, settings, Arc::clone(&seat.activity)).await;
                    if let Ok(mut session) = began {
                        let _ = lead(&mut session).await;
                        session.end().await;
                    }
                    drop(seat);
                });
            }
        });
        let mut waiting = Vec::new();
        for _ in 0..many {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // Whoever comes is served, however many wait.
            let mut greeting = [0; 4];
            stream.read_exact(&mut greeting).await.unwrap();
            assert_eq!(&greeting, b"220 ");
            waiting.push(stream);
        }
        let mut rounds = 0;
        while sessions.count() > MOST {
            tokio::time::sleep(Duration::from_millis(20)).await;
            rounds += 1;
            assert!(rounds < 1500, "{} sessions are left", sessions.count());
        }
        // The oldest were told why, the youngest still can be spoken to.
        let mut said = String::new();
        waiting.first_mut().unwrap().read_to_string(&mut said).await.unwrap();
        assert!(said.contains("421 4.3.2"), "{said}");
        let youngest = waiting.last_mut().unwrap();
        youngest.write_all(b"EHLO a\r\nQUIT\r\n").await.unwrap();
        let mut said = String::new();
        youngest.read_to_string(&mut said).await.unwrap();
        assert!(said.ends_with("221 2.0.0 bye\r\n"), "{said}");
        // All of them end when told to.
        sessions.drain();
        let mut rounds = 0;
        while sessions.count() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            rounds += 1;
            assert!(rounds < 1500, "{} sessions are left", sessions.count());
        }
    });
}

fn mail() -> MailFrom {
    MailFrom { address: "a@b".to_owned(), ..MailFrom::default() }
}

fn to(addresses: &[&str]) -> Vec<RcptTo> {
    addresses.iter().map(|one| RcptTo { address: (*one).to_owned(), ..RcptTo::default() }).collect()
}

fn content() -> Content {
    Content { length: 3, shape: Shape::Lines, octets: Box::new(Cursor::new(b"x\r\n".to_vec())) }
}

/// A server that answers each command by its first word, and the end of a message by `end`; then goes when there is nothing to say. What it heard.
async fn answering(
    answers: &'static [(&'static str, &'static str)],
    end: &'static [&'static str],
) -> (Place, Arc<std::sync::Mutex<String>>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = Place::Tcp(socket.local_addr().unwrap().to_string());
    let heard = Arc::new(std::sync::Mutex::new(String::new()));
    let kept = Arc::clone(&heard);
    tokio::spawn(async move {
        let (stream, _) = socket.accept().await.unwrap();
        let mut stream = tokio::io::BufStream::new(stream);
        let _ = stream.write_all(b"220 hi\r\n").await;
        let mut content = false;
        loop {
            let _ = stream.flush().await;
            let mut line = String::new();
            if tokio::io::AsyncBufReadExt::read_line(&mut stream, &mut line).await.unwrap_or(0) == 0 {
                return;
            }
            kept.lock().unwrap().push_str(&line);
            if content {
                if line == ".\r\n" {
                    content = false;
                    for answer in end {
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                    let _ = stream.flush().await;
                    if end.len() < 2 {
                        return;
                    }
                }
                continue;
            }
            let found = answers.iter().find(|(verb, _)| line.starts_with(verb));
            let answer = found.map_or("250 ok\r\n", |(_, answer)| answer);
            content = answer.starts_with("354");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (place, heard)
}

const HELLO: (&str, &str) =
    ("LHLO", "250-h\r\n250-PIPELINING\r\n250-XFORWARD ADDR IDENT\r\n250-REQUIRETLS\r\n250-DSN\r\n250 8BITMIME\r\n");
const GO: (&str, &str) = ("DATA", "354 go\r\n");

#[test]
fn recipients_have_answers_of_their_own() {
    const ALL: [&str; 3] = ["250 taken\r\n", "452 full\r\n", "250 taken\r\n"];
    const TWO: [&str; 2] = ["250 taken\r\n", "552 too large\r\n"];
    for (what, answers, end, expected) in [
        ("each its own", &[HELLO, GO][..], &ALL[..], "250 452 250"),
        ("one refused before", &[HELLO, GO, ("RCPT TO:<two", "550 no\r\n")], &TWO, "250 550 552"),
        ("all refused before", &[HELLO, ("RCPT", "450 later\r\n"), ("DATA", "503 no\r\n")], &[], "450 450 450"),
        (
            "the sender refused",
            &[HELLO, ("MAIL", "553 no\r\n"), ("RCPT", "503 no\r\n"), ("DATA", "503 no\r\n")],
            &[],
            "553 553 553",
        ),
        ("DATA refused", &[HELLO, ("DATA", "451 later\r\n")], &[], "451 451 451"),
        ("some of the answers, then it goes", &[HELLO, GO], &["250 taken\r\n"], "Unknown"),
    ] {
        let got = run(async {
            let (place, _) = answering(answers, end).await;
            let pool = Pool::new(NextHop::new(place, Dialect::Lmtp, "me.test".to_owned()));
            let all = to(&["one@b", "two@b", "three@b"]);
            pool.deliver(&mail(), &all, None, content()).await
        });
        let got = match got {
            Ok(replies) => replies.iter().map(|reply| reply.code().to_string()).collect::<Vec<_>>().join(" "),
            Err(error) => format!("{error:?}").split(['(', ' ']).next().unwrap().to_owned(),
        };
        assert_eq!(got, expected, "{what}");
    }
}

#[test]
fn what_needs_tls_does_not_go_in_clear() {
    // RFC 8689 §4.2.1: the extension must be offered, and TLS must be spoken. Here it is offered in clear.
    run(async {
        let (place, heard) = answering(&[HELLO, GO], &["250 taken\r\n"]).await;
        let pool = Pool::new(NextHop::new(place, Dialect::Lmtp, "me.test".to_owned()));
        let mut from = mail();
        from.parameters.push(Parameter { name: "REQUIRETLS".to_owned(), value: None });
        let refused = pool.deliver(&from, &to(&["c@d"]), None, content()).await;
        assert!(matches!(refused, Err(DeliverError::Lacks("REQUIRETLS"))), "{refused:?}");
        assert!(!heard.lock().unwrap().contains("MAIL"));
    });
}

#[test]
fn what_is_not_offered_is_dropped_or_said() {
    const NONE: (&str, &str) = ("LHLO", "250 h\r\n");
    for (hello, mail_line, rcpt_line) in [
        (&[HELLO, GO], "MAIL FROM:<a@b> RET=HDRS\r\n", "RCPT TO:<c@d> NOTIFY=NEVER\r\n"),
        (&[NONE, GO], "MAIL FROM:<a@b>\r\n", "RCPT TO:<c@d>\r\n"),
    ] {
        run(async {
            let (place, heard) = answering(hello, &["250 taken\r\n"]).await;
            let pool = Pool::new(NextHop::new(place, Dialect::Lmtp, "me.test".to_owned()));
            let value = |name: &str, value: &str| Parameter { name: name.to_owned(), value: Some(value.to_owned()) };
            let from =
                MailFrom { size: Some(3), body: Body::EightBitMime, parameters: vec![value("RET", "HDRS")], ..mail() };
            let mut all = to(&["c@d"]);
            all[0].parameters.push(value("NOTIFY", "NEVER"));
            let replies = pool.deliver(&from, &all, None, content()).await.unwrap();
            assert!(replies[0].is_positive());
            let heard = heard.lock().unwrap();
            assert!(heard.contains(mail_line) && heard.contains(rcpt_line), "{heard}");
        });
    }
}

#[test]
fn absurd_replies_are_not_read_to_their_end() {
    let long: &'static str = Box::leak(format!("250 {}\r\n", "x".repeat(1 << 20)).into_boxed_str());
    let many: &'static str = Box::leak("250-x\r\n".repeat(150_000).into_boxed_str());
    let forged: &'static str = "250 ok\x1b[2J\r\n";
    for (what, verb, answer, ok) in [
        ("a line of a megabyte", "MAIL", long, false),
        ("a megabyte of lines", "MAIL", many, false),
        ("a line of a megabyte to the greeting", "LHLO", long, false),
        ("what steers a terminal", "MAIL", forged, true),
    ] {
        run(async {
            let answers: &'static [(&str, &str)] = match verb {
                "LHLO" => Box::leak(Box::new([(verb, answer)])),
                _ => Box::leak(Box::new([HELLO, (verb, answer), GO])),
            };
            let (place, _) = answering(answers, &["250 taken\r\n"]).await;
            let pool = Pool::new(NextHop::new(place, Dialect::Lmtp, "me.test".to_owned()));
            let got = pool.deliver(&mail(), &to(&["c@d"]), None, content()).await;
            match ok {
                true => assert!(got.unwrap()[0].is_positive(), "{what}"),
                false => assert!(matches!(got, Err(DeliverError::NotSent(_))), "{what}: {got:?}"),
            }
        });
    }
}
