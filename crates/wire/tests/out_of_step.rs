//! A next server whose answers do not fit: no message may take another one's answer for its own.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::io::Cursor;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wire::smtp::client::{Content, NextHop, Pool};
use wire::smtp::{Dialect, MailFrom, Place, RcptTo, Shape};

const REFUSAL: &str = "250 ok\r\n250 ok\r\n452 full\r\n";
const HELLO: &str = "250-h\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250 PIPELINING\r\n";

/// Each connection says these things, one after each read of what the client sent; the last one for whatever comes later. How many there were.
async fn server(said: &'static [&'static str]) -> (Place, Arc<AtomicUsize>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = Place::Tcp(socket.local_addr().unwrap().to_string());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = socket.accept().await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut heard = vec![0; 1 << 16];
                let lines = ["220 hi\r\n", HELLO].into_iter().chain(said.iter().copied());
                for (at, line) in lines.enumerate() {
                    if at > 0 && stream.read(&mut heard).await.unwrap_or(0) == 0 {
                        return;
                    }
                    let _ = stream.write_all(line.as_bytes()).await;
                }
                while stream.read(&mut heard).await.unwrap_or(0) > 0 {}
            });
        }
    });
    (place, connections)
}

fn message(octets: &[u8], shape: Shape) -> Content {
    Content { length: octets.len() as u64, shape, octets: Box::new(Cursor::new(octets.to_vec())) }
}

#[test]
fn no_message_takes_the_answer_of_another() {
    for (what, said, shape, answers, connections) in [
        // In step: the second message goes the same way.
        (
            "in step",
            &["250 ok\r\n250 ok\r\n354 go\r\n", "250 one\r\n", "250 ok\r\n250 ok\r\n354 go\r\n", "451 two\r\n"][..],
            Shape::Lines,
            ["250", "451"],
            1,
        ),
        (
            "one answer too many",
            &["250 ok\r\n250 ok\r\n354 go\r\n", "250 one\r\n250 more\r\n"],
            Shape::Lines,
            ["250", "250"],
            2,
        ),
        (
            "one too many, counted",
            &["250 ok\r\n250 ok\r\n", "250 one\r\n250 more\r\n", REFUSAL],
            Shape::Binary,
            ["250", "250"],
            2,
        ),
        (
            "one too many before the content",
            &["250 ok\r\n250 ok\r\n250 what\r\n", "452 full\r\n"],
            Shape::Binary,
            ["error", "error"],
            2,
        ),
        (
            "done before it began",
            &["250 ok\r\n250 ok\r\n250 done\r\n", "250 one\r\n"],
            Shape::Lines,
            ["error", "error"],
            2,
        ),
        (
            "go on, at the end",
            &["250 ok\r\n250 ok\r\n354 go\r\n", "354 again\r\n"],
            Shape::Lines,
            ["error", "error"],
            2,
        ),
        (
            "go on, for a recipient",
            &["250 ok\r\n354 go\r\n354 go\r\n", "250 one\r\n"],
            Shape::Lines,
            ["error", "error"],
            2,
        ),
        (
            "refused, and yet it waits",
            &["250 ok\r\n550 no\r\n354 go\r\n", "250 one\r\n"],
            Shape::Lines,
            ["550", "550"],
            2,
        ),
        (
            "refused in order",
            &[REFUSAL, "250 reset\r\n250 ok\r\n250 ok\r\n354 go\r\n", "250 two\r\n"],
            Shape::Lines,
            ["452", "250"],
            1,
        ),
    ] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (place, count) = server(said).await;
            let mut hop = NextHop::new(place, Dialect::Smtp, "me.test".to_owned());
            (hop.answer_time, hop.final_time) = (Duration::from_secs(5), Duration::from_secs(5));
            let pool = Pool::new(hop);
            let mut got = Vec::new();
            for _ in 0..2 {
                let (from, to) = (MailFrom::parse("FROM:<a@b>").unwrap(), RcptTo::parse("TO:<c@d>").unwrap());
                let octets: &[u8] = if shape == Shape::Binary { b"a\nb" } else { b"x\r\n" };
                got.push(match pool.deliver(&from, &[to], None, message(octets, shape)).await {
                    Ok(replies) => replies[0].code().to_string(),
                    Err(_) => "error".to_owned(),
                });
                // What the server says late is there by now.
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            assert_eq!(got, answers, "{what}");
            assert_eq!(count.load(Ordering::Relaxed), connections, "{what}");
        });
    }
}
