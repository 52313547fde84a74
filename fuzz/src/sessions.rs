//! Mail sessions under arbitrary octets: each function takes what the other side sends, and panics when a law is broken. The law is that how octets are
//! cut into packets changes nothing: what was said, and what was taken, is the same for one octet at a time as for all at once.

use std::{
    io::Cursor,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use wire::{
    milter::{self, Actions, Answer, Event},
    smtp::{
        Dialect, MailFrom, Place, RcptTo, Reply, Shape,
        client::{Content, NextHop, Pool},
        server::{Received, Request, Session, Settings},
    },
};

/// Takes anything; panics when something that always holds does not.
pub type Law = fn(&[u8]);

/// All of them, by the names of the fuzz targets.
pub const ALL: [(&str, Law); 4] = [
    ("smtp_server", smtp_server),
    ("lmtp_server", lmtp_server),
    ("smtp_client", smtp_client),
    ("milter", milter_session),
];

/// What came of a session: what was said, and what was taken.
type Outcome = (Vec<u8>, Vec<Vec<u8>>);

/// A client of an SMTP server.
pub fn smtp_server(octets: &[u8]) {
    server(Dialect::Smtp, octets);
}

/// A client of an LMTP server.
pub fn lmtp_server(octets: &[u8]) {
    server(Dialect::Lmtp, octets);
}

fn server(dialect: Dialect, octets: &[u8]) {
    let [whole, cut] = [octets.len().max(1), 1].map(|step| served(dialect, octets, step));
    assert!(whole == cut, "cut into octets, the same means something else");
    let said = String::from_utf8(whole.0).expect("replies are text");
    for line in said.split_terminator("\r\n") {
        let is_reply = line.len() >= 4 && line.as_bytes().iter().take(3).all(u8::is_ascii_digit);
        assert!(is_reply && !line.contains(['\r', '\n']), "no reply: {line:?}");
    }
}

fn served(dialect: Dialect, octets: &[u8], step: usize) -> Outcome {
    against(octets, step, move |stream, taken| async move {
        let mut settings = Settings::new(dialect, "mx.test".to_owned());
        settings.max_message = 4096;
        let address = "127.0.0.1".parse().ok();
        let Ok(mut session) = Session::begin(Box::new(stream), address, Arc::new(settings), Arc::default()).await
        else {
            return;
        };
        let ok = Reply::new(250, (2, 0, 0), "ok");
        let mut recipients = 0;
        while let Ok(request) = session.next().await {
            let done = match request {
                Request::Mail(_) => {
                    recipients = 0;
                    session.reply(&ok).await
                }
                Request::Rcpt(_) => {
                    recipients += 1;
                    session.reply(&ok).await
                }
                Request::Content => {
                    let mut octets = Vec::new();
                    let mut keep = |part: &[u8]| {
                        octets.extend_from_slice(part);
                        Ok(())
                    };
                    match session.receive(&mut keep).await {
                        Ok(Received::Whole { kept: Ok(()), .. }) => {
                            taken.lock().expect("no panic").push(octets);
                            session.reply_all(&vec![ok.clone(); recipients]).await
                        }
                        Ok(_) => Ok(()),
                        Err(error) => Err(error),
                    }
                }
                Request::Reset => Ok(()),
                Request::Quit => break,
            };
            if done.is_err() {
                break;
            }
        }
        session.end().await;
    })
}

/// A mail server that speaks to a milter.
pub fn milter_session(octets: &[u8]) {
    let run = |step| {
        against(octets, step, |stream, taken| async move {
            let headers = Actions::ADD_HEADERS.with(Actions::CHANGE_HEADERS).with(Actions::REPLACE_BODY);
            let settings = milter::Settings { max_message: 4096, ..milter::Settings::new(headers) };
            let begun = milter::Session::begin(Box::new(stream), Arc::new(settings), Arc::default()).await;
            let Ok(mut session) = begun else { return };
            while let Ok(event) = session.next().await {
                let asks = matches!(
                    event,
                    Event::Mail(_)
                        | Event::Rcpt(_)
                        | Event::Data
                        | Event::EndOfHeaders
                        | Event::Body(_)
                        | Event::EndOfMessage(_)
                );
                let ends = event == Event::Quit;
                taken.lock().expect("no panic").push(format!("{event:?}").into_bytes());
                if ends || (asks && session.answer(&Answer::Continue).await.is_err()) {
                    break;
                }
            }
            session.end().await;
        })
    };
    let [whole, cut] = [octets.len().max(1), 1].map(run);
    assert!(whole == cut, "cut into octets, the same means something else");
}

/// A next server's answers: nobody is told that his message was taken unless the server said so.
pub fn smtp_client(octets: &[u8]) {
    runtime().block_on(async {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let place = Place::Tcp(socket.local_addr().expect("an address").to_string());
        let answers = octets.to_vec();
        let server = tokio::spawn(async move {
            let mut heard = [0; 4096];
            if let Ok((mut stream, _)) = socket.accept().await {
                // One line for each that comes.
                for line in answers.split_inclusive(|octet| *octet == b'\n') {
                    if stream.write_all(line).await.is_err() || stream.read(&mut heard).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
            }
        });
        let mut hop = NextHop::new(place, Dialect::Lmtp, "me.test".to_owned());
        (hop.answer_time, hop.final_time) = (Duration::from_millis(30), Duration::from_millis(30));
        let content = Content { length: 3, shape: Shape::Lines, octets: Box::new(Cursor::new(b"x\r\n".to_vec())) };
        let from = MailFrom::parse("FROM:<a@b>").expect("a path");
        let to = RcptTo::parse("TO:<c@d>").expect("a path");
        let replies = Pool::new(hop).deliver(&from, &[to], None, content).await;
        server.abort();
        if let Ok(replies) = replies {
            assert_eq!(replies.len(), 1);
            let said = |code: &[u8]| octets.windows(code.len()).any(|part| part == code);
            // Greeting, hello, sender, recipient, the end: five at least, and the word to go on.
            let positive = octets.split(|octet| *octet == b'\n').filter(|line| line.starts_with(b"2")).count();
            assert!(!replies.iter().any(Reply::is_positive) || (positive >= 5 && said(b"\n3")), "taken, unsaid");
        }
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Octets sent, `step` at a time, to whoever leads the other side.
fn against<F: Future<Output = ()> + Send + 'static>(
    octets: &[u8],
    step: usize,
    lead: impl FnOnce(DuplexStream, Arc<Mutex<Vec<Vec<u8>>>>) -> F,
) -> Outcome {
    runtime().block_on(async {
        let (mut client, stream) = duplex(1 << 20);
        let taken = Arc::default();
        let led = tokio::spawn(lead(stream, Arc::clone(&taken)));
        for part in octets.chunks(step) {
            if client.write_all(part).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = client.shutdown().await;
        let mut said = Vec::new();
        let _ = client.read_to_end(&mut said).await;
        led.await.expect("no panic");
        let taken = taken.lock().expect("no panic").clone();
        (said, taken)
    })
}
