//! A next server of our own making: it takes what it is told to take.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use wire::smtp::listen::{Listener, Sessions};
use wire::smtp::server::{Received, Request, Session, Settings};
use wire::smtp::{Dialect, MailFrom, RcptTo, Reply};

/// A message that it took.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) from: MailFrom,
    pub(crate) to: Vec<RcptTo>,
    pub(crate) octets: Vec<u8>,
}

/// What it answers to a message for these recipients; none: the connection breaks, after it took the message or before.
pub(crate) type Answer = dyn Fn(&Taken) -> Say + Send + Sync;

/// What becomes of a message.
pub(crate) enum Say {
    /// It is answered; a positive answer means that it was taken.
    Reply(Reply),
    /// It is taken, and the connection breaks before anybody is told.
    TakeAndBreak,
    /// The connection breaks.
    Break,
}

pub(crate) struct Hop {
    pub(crate) address: SocketAddr,
    pub(crate) taken: Arc<Mutex<Vec<Taken>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Hop {
    pub(crate) fn start(dialect: Dialect, max_message: u64, answer: Arc<Answer>) -> Hop {
        let mut settings = Settings::new(dialect, "hop.test".to_owned());
        settings.max_message = max_message;
        Hop::serve(std::net::TcpListener::bind("127.0.0.1:0").unwrap(), settings, answer)
    }

    pub(crate) fn serve(socket: std::net::TcpListener, settings: Settings, answer: Arc<Answer>) -> Hop {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let address = socket.local_addr().unwrap();
        let taken = Arc::<Mutex<Vec<Taken>>>::default();
        let kept = Arc::clone(&taken);
        let settings = Arc::new(settings);
        runtime.spawn(async move {
            let listener = Listener::of_tcp(socket).unwrap();
            let sessions = Sessions::default();
            loop {
                let (stream, address) = listener.next().await;
                let (settings, kept, answer) = (Arc::clone(&settings), Arc::clone(&kept), Arc::clone(&answer));
                let seat = sessions.seat(100);
                tokio::spawn(async move {
                    let session = Session::begin(stream, address, settings, Arc::clone(&seat.activity)).await;
                    if let Ok(mut session) = session {
                        let _ = lead(&mut session, &kept, &*answer).await;
                    }
                    drop(seat);
                });
            }
        });
        Hop { address, taken, _runtime: runtime }
    }

    pub(crate) fn all(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }
}

async fn lead(session: &mut Session, kept: &Mutex<Vec<Taken>>, answer: &Answer) -> Option<()> {
    let (mut from, mut to) = (MailFrom::default(), Vec::new());
    let ok = Reply::new(250, (2, 0, 0), "ok");
    loop {
        match session.next().await.ok()? {
            Request::Mail(mail) => {
                (from, to) = (mail, Vec::new());
                session.reply(&ok).await.ok()?;
            }
            Request::Rcpt(rcpt) => {
                to.push(rcpt);
                session.reply(&ok).await.ok()?;
            }
            Request::Content => {
                let mut octets = Vec::new();
                let mut keep = |part: &[u8]| {
                    octets.extend_from_slice(part);
                    Ok(())
                };
                if let Received::Whole { .. } = session.receive(&mut keep).await.ok()? {
                    let one = Taken { from: from.clone(), to: to.clone(), octets };
                    let said = answer(&one);
                    let (reply, takes) = match said {
                        Say::Reply(reply) => (Some(reply.clone()), reply.is_positive()),
                        Say::TakeAndBreak => (None, true),
                        Say::Break => (None, false),
                    };
                    if takes {
                        kept.lock().unwrap().push(one);
                    }
                    session.reply_all(&vec![reply?; to.len()]).await.ok()?;
                }
            }
            Request::Reset => {}
            Request::Quit => return Some(()),
        }
    }
}
