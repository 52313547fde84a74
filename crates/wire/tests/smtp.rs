//! Mail sessions: dialogues replayed whole and one octet at a time; both sides talking to each other; what attackers send.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::io::Cursor;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wire::smtp::client::{Content, DeliverError, NextHop, Pool};
use wire::smtp::listen::{Listener, Sessions};
use wire::smtp::server::{Received, Request, Session, SessionError, Settings};
use wire::smtp::{Dialect, MailFrom, Place, RcptTo, Reply, Shape};

/// What a server saw of messages: sender, recipients, octets, what they are made of.
type Seen = Arc<Mutex<Vec<(MailFrom, Vec<RcptTo>, Vec<u8>, Shape)>>>;

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Takes everything; an address with `bad` in it is refused, one with `full` after the content.
async fn lead(session: &mut Session, seen: &Seen) -> Result<(), SessionError> {
    let (mut from, mut to) = (MailFrom::default(), Vec::new());
    let ok = Reply::new(250, (2, 0, 0), "ok");
    loop {
        match session.next().await? {
            Request::Mail(mail) => {
                (from, to) = (mail, Vec::<RcptTo>::new());
                session.reply(&ok).await?;
            }
            Request::Rcpt(rcpt) if rcpt.address.contains("bad") => {
                session.reply(&Reply::new(550, (5, 1, 1), "no such user")).await?;
            }
            Request::Rcpt(rcpt) => {
                to.push(rcpt);
                session.reply(&ok).await?;
            }
            Request::Content => {
                let mut octets = Vec::new();
                let received = session
                    .receive(&mut |part| {
                        octets.extend_from_slice(part);
                        Ok(())
                    })
                    .await?;
                if let Received::Whole { shape, kept: Ok(()) } = received {
                    seen.lock().unwrap().push((from.clone(), to.clone(), octets, shape));
                    let full = Reply::new(452, (4, 2, 2), "full");
                    let each = |one: &RcptTo| if one.address.contains("full") { full.clone() } else { ok.clone() };
                    session.reply_all(&to.iter().map(each).collect::<Vec<_>>()).await?;
                }
            }
            Request::Reset => {}
            Request::Quit => return Ok(()),
        }
    }
}

fn settings(dialect: Dialect) -> Settings {
    let mut settings = Settings::new(dialect, "mx.test".to_owned());
    settings.max_message = 1000;
    settings.trusted = vec!["127.0.0.1".parse().unwrap()];
    settings
}

/// A client's octets against a server; what the server said, and what it saw. `step`: octets at a time.
fn talk(dialect: Dialect, octets: &[u8], step: usize) -> (String, Seen) {
    run(async {
        let seen = Seen::default();
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let kept = Arc::clone(&seen);
        let served = tokio::spawn(async move {
            let address = Some("127.0.0.1".parse().unwrap());
            let began = Session::begin(Box::new(server), address, Arc::new(settings(dialect)), Arc::default()).await;
            let mut session = began.unwrap();
            let ended = lead(&mut session, &kept).await;
            session.end().await;
            ended
        });
        for part in octets.chunks(step) {
            if client.write_all(part).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = client.shutdown().await;
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.unwrap();
        let _ = served.await.unwrap();
        (String::from_utf8(said).unwrap(), seen)
    })
}

/// The codes of a server's answers, one for each.
fn codes(said: &str) -> String {
    let last = said.lines().filter(|line| line.as_bytes().get(3) == Some(&b' '));
    last.map(|line| &line[..3]).collect::<Vec<_>>().join(" ")
}

#[test]
fn dialogues() {
    use Dialect::{Lmtp, Smtp};
    let long = "x".repeat(5000);
    let too_many = "WHAT\r\n".repeat(22);
    let large = "y".repeat(1200);
    for (dialect, octets, expected, messages) in [
        (Smtp, "EHLO a\r\nQUIT\r\n", "220 250 221", 0),
        (Lmtp, "LHLO a\r\nQUIT\r\n", "220 250 221", 0),
        (
            Smtp,
            "HELO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n",
            "220 250 250 250 354 250 221",
            1,
        ),
        (
            Lmtp,
            "LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<c@d>\r\nRCPT TO:<bad@d>\r\nRCPT TO:<full@d>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n",
            "220 250 250 250 550 250 354 250 452 221",
            1,
        ),
        (
            Smtp,
            "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nDATA\r\nx\r\n.\r\n",
            "220 250 250 250 250 354 250",
            1,
        ),
        // Order.
        (Smtp, "MAIL FROM:<a@b>\r\nQUIT\r\n", "220 503 221", 0),
        (Smtp, "EHLO a\r\nRCPT TO:<a@b>\r\nDATA\r\nQUIT\r\n", "220 250 503 503 221", 0),
        (Smtp, "EHLO a\r\nMAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\nDATA\r\nQUIT\r\n", "220 250 250 503 503 221", 0),
        (Smtp, "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<bad@d>\r\nDATA\r\nQUIT\r\n", "220 250 250 550 503 221", 0),
        (Smtp, "LHLO a\r\nEHLO a\r\nRSET\r\nNOOP\r\nVRFY x\r\nHELP\r\nQUIT\r\n", "220 500 250 250 250 252 214 221", 0),
        (Lmtp, "EHLO a\r\nHELO a\r\nQUIT\r\n", "220 500 500 221", 0),
        (Smtp, "EHLO a\r\nMAIL FROM:<a@b>\r\nRSET\r\nRCPT TO:<a@b>\r\nQUIT\r\n", "220 250 250 250 503 221", 0),
        // Syntax.
        (
            Smtp,
            "EHLO\r\nEHLO a\r\nMAIL FROM:a@b\r\nMAIL FROM:<a@b> SIZE=x\r\nBDAT x\r\nQUIT\r\n",
            "220 501 250 501 501 501 221",
            0,
        ),
        (Smtp, "EHLO a\r\nMAIL FROM:<ä@b>\r\nMAIL FROM:<ä@b> SMTPUTF8\r\nQUIT\r\n", "220 250 553 250 221", 0),
        (Smtp, "STARTTLS\r\nAUTH PLAIN\r\nQUIT\r\n", "220 503 500 221", 0),
        // Sizes.
        (Smtp, "EHLO a\r\nMAIL FROM:<a@b> SIZE=1001\r\nQUIT\r\n", "220 250 552 221", 0),
        // Chunks.
        (
            Smtp,
            "EHLO a\r\nMAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<c@d>\r\nBDAT 3\r\nx\ny\r\nBDAT 0 LAST\r\nQUIT\r\n",
            "220 250 250 250 250 503 250 221",
            1,
        ),
        (
            Smtp,
            "EHLO a\r\nMAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<c@d>\r\nBDAT 3\r\nx\nyBDAT 2 LAST\r\n\0\rQUIT\r\n",
            "220 250 250 250 250 250 221",
            1,
        ),
        (
            Smtp,
            "EHLO a\r\nMAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<c@d>\r\nDATA\r\nQUIT\r\n",
            "220 250 250 250 503 221",
            0,
        ),
        (
            Lmtp,
            "LHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nBDAT 1 LAST\r\nxQUIT\r\n",
            "220 250 250 250 250 250 250 221",
            1,
        ),
        (
            Smtp,
            "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 1\r\nxRSET\r\nQUIT\r\n",
            "220 250 250 250 250 250 221",
            0,
        ),
        (
            Smtp,
            "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 1\r\nxDATA\r\nBDAT 0 LAST\r\nQUIT\r\n",
            "220 250 250 250 250 503 250 221",
            1,
        ),
        (Smtp, "EHLO a\r\nBDAT 4 LAST\r\nQUITQUIT\r\n", "220 250 503 221", 0),
        (Smtp, "EHLO a\r\nBDAT 99999 LAST\r\nx", "220 250 552", 0),
        // What could be read in two ways, or is not for us.
        (Smtp, "EHLO a\nQUIT\r\n", "220 500", 0),
        (Smtp, "EHLO a\r\nMAIL FROM:<a@b>\nRCPT TO:<c@d>\r\n", "220 250 500", 0),
        (Smtp, "NOOP\rNOOP\r\n", "220 500", 0),
        (Smtp, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "220 421", 0),
        // Attributes of clients.
        (
            Smtp,
            "EHLO a\r\nXFORWARD NAME=x IDENT=Q1\r\nMAIL FROM:<a@b>\r\nXFORWARD NAME=y\r\nQUIT\r\n",
            "220 250 250 250 501 221",
            0,
        ),
        (Smtp, "EHLO a\r\nXCLIENT ADDR=192.0.2.1\r\nMAIL FROM:<a@b>\r\nQUIT\r\n", "220 250 220 503 221", 0),
    ] {
        for step in [octets.len(), 1, 7] {
            let (said, seen) = talk(dialect, octets.as_bytes(), step);
            assert_eq!(
                (codes(&said).as_str(), seen.lock().unwrap().len()),
                (expected, messages),
                "{octets:?} {step}\n{said}"
            );
        }
    }
    for (octets, expected) in [
        (format!("EHLO {long}\r\n"), "220 500"),
        (format!("EHLO a\r\n{too_many}"), "421"),
        (
            format!("EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n{large}\r\n.\r\nNOOP\r\nQUIT\r\n"),
            "220 250 250 250 354 552 250 221",
        ),
        (
            format!("EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 1200 LAST\r\n{large}NOOP\r\nQUIT\r\n"),
            "220 250 250 250 552 250 221",
        ),
    ] {
        let (said, seen) = talk(Dialect::Smtp, octets.as_bytes(), octets.len());
        assert!(codes(&said).ends_with(expected) && seen.lock().unwrap().is_empty(), "{said}");
    }
}

#[test]
fn no_message_hides_in_another() {
    // Each is one message whatever a careless server would make of it.
    for end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\n.\r", "\r.\r\n", "\r\n\0.\r\n", "\r\n.\0\r\n"] {
        let content = format!("a{end}MAIL FROM:<evil@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nb\r\n");
        let octets = format!("EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n{content}.\r\nQUIT\r\n");
        for step in [octets.len(), 1] {
            let (said, seen) = talk(Dialect::Smtp, octets.as_bytes(), step);
            let seen = seen.lock().unwrap();
            assert_eq!((seen.len(), codes(&said).as_str()), (1, "220 250 250 250 354 250 221"), "{end:?}");
            // A dot at the beginning of a line goes when the line holds more; all else stays.
            assert_eq!(seen[0].2, content.replace("\r\n.", "\r\n").into_bytes(), "{end:?}");
            assert_eq!(seen[0].3, Shape::Binary);
        }
    }
}

#[test]
fn starttls_takes_nothing_that_was_said_before_it() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, secret) = (key.cert.pem(), key.signing_key.serialize_pem());
    let tls = wire::smtp::server::tls(chain.as_bytes(), secret.as_bytes()).unwrap();
    assert!(wire::smtp::server::tls(b"x", secret.as_bytes()).is_err());
    assert!(wire::smtp::server::tls(chain.as_bytes(), b"x").is_err());
    run(async {
        let mut settings = settings(Dialect::Smtp);
        settings.tls = Some(tls);
        let settings = Arc::new(settings);
        let seen = Seen::default();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let kept = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                let began = Session::begin(Box::new(stream), None, Arc::clone(&settings), Arc::default()).await;
                let mut session = began.unwrap();
                let _ = lead(&mut session, &kept).await;
                session.end().await;
            }
        });
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"EHLO a\r\nSTARTTLS\r\nMAIL FROM:<a@b>\r\n").await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert_eq!(codes(&said), "220 250 501");
        // And our own client gets through.
        let place = Place::Tcp(format!("localhost:{}", address.port()));
        let mut hop = NextHop::new(place, Dialect::Smtp, "me.test".to_owned());
        hop.security = wire::smtp::client::Security::StartTls;
        hop.trust.authorities = chain.into_bytes();
        let replies = Pool::new(hop.clone()).deliver(&from("a@b"), &to(&["c@d"]), None, content(b"x\r\n")).await;
        assert!(replies.unwrap()[0].is_positive());
        hop.trust.authorities = Vec::new();
        let refused = Pool::new(hop).deliver(&from("a@b"), &to(&["c@d"]), None, content(b"x\r\n")).await;
        assert!(matches!(refused, Err(DeliverError::Untrusted)));
        assert_eq!(seen.lock().unwrap().len(), 1);
    });
}

fn from(address: &str) -> MailFrom {
    MailFrom { address: address.to_owned(), ..MailFrom::default() }
}

fn to(addresses: &[&str]) -> Vec<RcptTo> {
    addresses.iter().map(|one| RcptTo { address: (*one).to_owned(), ..RcptTo::default() }).collect()
}

fn content(octets: &[u8]) -> Content {
    let (ascii, lines) = (octets.is_ascii(), octets.ends_with(b"\r\n"));
    let bare = octets.len() != octets.split(|&octet| octet == b'\n').map(|line| line.len() + 1).sum::<usize>() - 1;
    let lone = String::from_utf8_lossy(octets).replace("\r\n", "").contains(['\r', '\n', '\0']);
    let shape = match (lines || octets.is_empty()) && !lone && !bare {
        true if ascii => Shape::Lines,
        true => Shape::EightBit,
        false => Shape::Binary,
    };
    Content { length: octets.len() as u64, shape, octets: Box::new(Cursor::new(octets.to_vec())) }
}

/// A server of the given dialect; what it saw.
async fn serve(dialect: Dialect, max: u64) -> (Place, Seen) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = Place::Tcp(socket.local_addr().unwrap().to_string());
    let seen = Seen::default();
    let kept = Arc::clone(&seen);
    let mut settings = settings(dialect);
    settings.max_message = max;
    let settings = Arc::new(settings);
    tokio::spawn(async move {
        loop {
            let (stream, _) = socket.accept().await.unwrap();
            let (settings, kept) = (Arc::clone(&settings), Arc::clone(&kept));
            tokio::spawn(async move {
                let mut session = Session::begin(Box::new(stream), None, settings, Arc::default()).await.unwrap();
                let _ = lead(&mut session, &kept).await;
            });
        }
    });
    (place, seen)
}

#[test]
fn what_one_side_hands_over_the_other_has() {
    run(async {
        let (place, seen) = serve(Dialect::Lmtp, 1 << 30).await;
        let pool = Pool::new(NextHop::new(place, Dialect::Lmtp, "me.test".to_owned()));
        let large = [b"line\r\n.dot\r\n".repeat(200_000), b"\xffend\r\n".to_vec()].concat();
        for octets in
            [&b""[..], b".\r\n", b"a\r\n..\r\n.\r\nb\r\n", b"\xff\r\n", b"bare\nno end", b"\r\n.\r\nQUIT\r\n", &large]
        {
            let all = to(&["a@b", "bad@b", "full@b"]);
            let replies = pool.deliver(&from(""), &all, None, content(octets)).await.unwrap();
            let codes: Vec<u16> = replies.iter().map(Reply::code).collect();
            assert_eq!(codes, [250, 550, 452]);
            assert!(seen.lock().unwrap().last().unwrap().2 == octets, "{}", octets.len());
        }
        // All refused: nobody is sent anything, and the connection is good for the next one.
        let replies = pool.deliver(&from("x@y"), &to(&["bad@b"]), None, content(b"x\r\n")).await.unwrap();
        assert_eq!(replies[0].code(), 550);
        let replies = pool.deliver(&from("x@y"), &to(&["a@b"]), None, content(b"x\r\n")).await.unwrap();
        assert!(replies[0].is_positive());
        assert_eq!(seen.lock().unwrap().len(), 8);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_octets_arrive(octets in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(0), any::<u8>()], 0..400)) {
        let seen = run(async {
            let (place, seen) = serve(Dialect::Smtp, 1 << 20).await;
            let pool = Pool::new(NextHop::new(place, Dialect::Smtp, "me.test".to_owned()));
            let replies = pool.deliver(&from("a@b"), &to(&["c@d"]), None, content(&octets)).await.unwrap();
            assert!(replies[0].is_positive());
            seen
        });
        prop_assert_eq!(&seen.lock().unwrap()[0].2, &octets);
    }

    #[test]
    fn any_lines_arrive(lines in proptest::collection::vec("[.]{0,3}[^\r\n\0]{0,40}", 0..60)) {
        // Lines, and no NUL: these go by DATA.
        let octets: Vec<u8> = lines.iter().flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect();
        let made = content(&octets);
        prop_assert!(made.shape != Shape::Binary);
        let seen = run(async {
            let (place, seen) = serve(Dialect::Lmtp, 1 << 20).await;
            let pool = Pool::new(NextHop::new(place, Dialect::Lmtp, "me.test".to_owned()));
            let replies = pool.deliver(&from("a@b"), &to(&["c@d"]), None, made).await.unwrap();
            assert!(replies[0].is_positive());
            seen
        });
        prop_assert_eq!(&seen.lock().unwrap()[0].2, &octets);
    }

    #[test]
    fn garbage_is_no_panic(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = talk(Dialect::Lmtp, &octets, octets.len().max(1));
    }
}

/// A server that says these things, one after each line of the client, whatever it is; then it goes.
async fn scripted(lines: Vec<&'static [u8]>) -> Place {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = Place::Tcp(socket.local_addr().unwrap().to_string());
    tokio::spawn(async move {
        let (mut stream, _) = socket.accept().await.unwrap();
        drop(socket);
        let mut heard = [0; 4096];
        for (at, line) in lines.into_iter().enumerate() {
            if at > 0 && stream.read(&mut heard).await.unwrap_or(0) == 0 {
                return;
            }
            let _ = stream.write_all(line).await;
        }
    });
    place
}

#[test]
fn servers_that_fail() {
    let endless: &'static [u8] = Box::leak(vec![b'2'; 1 << 20].into_boxed_slice());
    let lines: &'static [u8] = Box::leak(b"250-x\r\n".repeat(1000).into_boxed_slice());
    let hello: &[u8] = b"250-h\r\n250 SIZE 100\r\n";
    let long = [b'x'; 200];
    for (what, said, expected) in [
        ("no greeting", vec![], "NotSent"),
        ("refused", vec![&b"554 no\r\n"[..]], "NotSent"),
        ("garbage", vec![b"hello\r\n"], "NotSent"),
        ("endless line", vec![endless], "NotSent"),
        ("endless reply", vec![b"220 hi\r\n", lines], "NotSent"),
        ("hello refused", vec![b"220 hi\r\n", b"500 no\r\n", b"500 no\r\n"], "NotSent"),
        ("gone after MAIL", vec![b"220 hi\r\n", hello, b"250 ok\r\n"], "NotSent"),
        ("MAIL refused", vec![b"220 hi\r\n", hello, b"451 later\r\n", b"503 no\r\n"], "Ok 451"),
        ("RCPT refused", vec![b"220 hi\r\n", hello, b"250 ok\r\n", b"550 no\r\n"], "Ok 550"),
        ("DATA refused", vec![b"220 hi\r\n", hello, b"250 ok\r\n", b"250 ok\r\n", b"452 full\r\n"], "Ok 452"),
        ("gone at the end", vec![b"220 hi\r\n", hello, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b""], "Unknown"),
        (
            "nonsense at the end",
            vec![b"220 hi\r\n", hello, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"yes\r\n"],
            "Unknown",
        ),
        ("taken", vec![b"220 hi\r\n", hello, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 taken\r\n"], "Ok 250"),
    ] {
        let got = run(async {
            let mut hop = NextHop::new(scripted(said).await, Dialect::Smtp, "me.test".to_owned());
            hop.answer_time = Duration::from_secs(5);
            hop.final_time = Duration::from_secs(5);
            Pool::new(hop).deliver(&from("a@b"), &to(&["c@d"]), None, content(b"x\r\n")).await
        });
        let got = match got {
            Ok(replies) => format!("Ok {}", replies[0].code()),
            Err(error) => format!("{error:?}").split(['(', ' ']).next().unwrap().to_owned(),
        };
        assert_eq!(got, expected, "{what}");
    }
    let got = run(async {
        let hop = NextHop::new(scripted(vec![b"220 hi\r\n", hello, b""]).await, Dialect::Smtp, "me.test".to_owned());
        let pool = Pool::new(hop);
        let large = pool.deliver(&from("a@b"), &to(&["c@d"]), None, content(&[&long[..], b"\r\n"].concat())).await;
        let binary = pool.deliver(&from("a@b"), &to(&["c@d"]), None, content(b"a\nb")).await;
        let utf8 = pool.deliver(&from("ä@b"), &to(&["c@d"]), None, content(b"a\r\n")).await;
        [large, binary, utf8].map(|one| one.unwrap_err().to_string()).join("; ")
    });
    assert_eq!(
        got,
        "the message is larger than the next server takes; the next server lacks CHUNKING; the next server lacks SMTPUTF8"
    );
}

#[test]
fn slow_clients_give_way_and_others_are_served() {
    run(async {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (sessions, seen) = (Sessions::default(), Seen::default());
        let (table, kept) = (sessions.clone(), Arc::clone(&seen));
        let settings = Arc::new(settings(Dialect::Smtp));
        tokio::spawn(async move {
            let listener = Listener::Tcp(socket);
            loop {
                let (stream, peer) = listener.next().await;
                let (seat, settings, kept) = (table.seat(50), Arc::clone(&settings), Arc::clone(&kept));
                tokio::spawn(async move {
                    let began = Session::begin(stream, peer, settings, Arc::clone(&seat.activity)).await;
                    if let Ok(mut session) = began {
                        let _ = lead(&mut session, &kept).await;
                        session.end().await;
                    }
                    drop(seat);
                });
            }
        });
        // A slow one in the middle of a message, and hundreds that say nothing.
        let mut slow = Vec::new();
        for number in 0..400 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            if number % 2 == 0 {
                let _ = stream.write_all(b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nslowly").await;
            }
            slow.push(stream);
        }
        let pool = Pool::new(NextHop::new(Place::Tcp(address.to_string()), Dialect::Smtp, "me.test".to_owned()));
        let replies = pool.deliver(&from("a@b"), &to(&["c@d"]), None, content(b"x\r\n")).await;
        assert!(replies.unwrap()[0].is_positive());
        let mut waited = 0;
        while sessions.count() > 60 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            waited += 1;
            assert!(waited < 500, "{} sessions are left", sessions.count());
        }
        assert_eq!(seen.lock().unwrap().len(), 1);
        sessions.drain();
        drop(slow);
    });
}
