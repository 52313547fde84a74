//! Next servers that fail: nobody loses a message, and nobody gets it twice who need not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use testbed::{Language, submit};
use wire::smtp::{Dialect, Reply};

use crate::gate::{ALICE, BOB, Gate, choice, enrol, hop, mail};
use crate::hop::{Hop, Say, Taken};
use crate::scene::Scene;

fn is_for(taken: &Taken, address: &str) -> bool {
    taken.to.iter().any(|to| to.address == address)
}

fn good() -> Say {
    Say::Reply(Reply::new(250, (2, 0, 0), "taken"))
}

/// Alice's copy is taken; Bob's is answered in this way the first time.
fn fail_once(
    language: Language,
    dialect: Dialect,
    first: impl Fn() -> Say + Send + Sync + 'static,
) -> (Vec<String>, Vec<String>, Hop, Gate) {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let tries = AtomicUsize::new(0);
    let answer = move |taken: &Taken| match is_for(taken, BOB) && tries.fetch_add(1, Ordering::Relaxed) == 0 {
        true => first(),
        false => good(),
    };
    let next = Hop::start(dialect, 1 << 20, Arc::new(answer));
    let choice = choice(home.path(), dialect, hop(dialect, next.address));
    enrol(&scene, ALICE);
    enrol(&scene, BOB);
    let gate = Gate::open(&scene, choice);
    let once = || submit(language, gate.address, "eve@example.com", &[ALICE, BOB], &mail(7)).unwrap();
    let (one, two) = (once(), once());
    (one, two, next, gate)
}

#[test]
fn lmtp_answers_for_each() {
    let refuse = || Say::Reply(Reply::new(452, (4, 2, 2), "full"));
    let (first, _, next, _gate) = fail_once(Language::Lmtp, Dialect::Lmtp, refuse);
    assert!(first[0].starts_with("250") && first[1].starts_with("452 4.2.2 full"), "{first:?}");
    assert_eq!(next.all().iter().filter(|one| is_for(one, BOB)).count(), 1);
}

#[test]
fn smtp_has_one_answer_and_the_retry_doubles_nothing() {
    let refuse = || Say::Reply(Reply::new(452, (4, 2, 2), "full"));
    let (first, second, next, gate) = fail_once(Language::Smtp, Dialect::Smtp, refuse);
    assert!(first.iter().all(|one| one.starts_with("452")), "{first:?}");
    assert!(second.iter().all(|one| one.starts_with("250")), "{second:?}");
    for address in [ALICE, BOB] {
        assert_eq!(next.all().iter().filter(|one| is_for(one, address)).count(), 1, "{address}");
    }
    assert_eq!(gate.outcome("repeated"), 1);
}

#[test]
fn a_connection_that_breaks_before_the_answer_is_deferred() {
    let (first, second, next, _gate) = fail_once(Language::Lmtp, Dialect::Lmtp, || Say::Break);
    assert!(first[0].starts_with("250") && first[1].starts_with("451 4.4"), "{first:?}");
    assert!(second.iter().all(|one| one.starts_with("250")));
    assert_eq!(next.all().iter().filter(|one| is_for(one, BOB)).count(), 1);
}

#[test]
fn a_copy_that_may_have_been_taken_comes_again_and_is_counted() {
    let (first, _, next, gate) = fail_once(Language::Lmtp, Dialect::Lmtp, || Say::TakeAndBreak);
    assert!(first[1].starts_with("451 4.4.2"), "{first:?}");
    assert_eq!(gate.controls.counts.totals().unknown_ends, 1);
    assert_eq!(next.all().iter().filter(|one| is_for(one, BOB)).count(), 2);
}

#[test]
fn an_idle_connection_that_was_ended_costs_no_message() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    // Serves one message a connection, says goodbye without being asked, and goes.
    let server = std::thread::spawn(move || {
        use std::io::{BufRead, BufReader, Write};
        for _ in 0..3 {
            let (mut stream, _) = socket.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            stream.write_all(b"220 hi\r\n").unwrap();
            let mut line = String::new();
            loop {
                line.clear();
                reader.read_line(&mut line).unwrap();
                match line.get(..4) {
                    Some("DATA") => stream.write_all(b"354 go\r\n").unwrap(),
                    Some(".\r\n") | None if line == ".\r\n" => break,
                    Some("LHLO" | "MAIL" | "RCPT") => stream.write_all(b"250 ok\r\n").unwrap(),
                    _ => {}
                }
            }
            stream.write_all(b"250 taken\r\n").unwrap();
        }
    });
    let choice = choice(home.path(), Dialect::Lmtp, hop(Dialect::Lmtp, address));
    enrol(&scene, ALICE);
    let gate = Gate::open(&scene, choice);
    for number in 0..3 {
        let said = submit(Language::Lmtp, gate.address, "eve@example.com", &[ALICE], &mail(number)).unwrap();
        assert!(said[0].starts_with("250"), "{number}: {said:?}");
    }
    server.join().unwrap();
}
