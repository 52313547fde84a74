//! What is not taken: other people's mail, too much of it, what goes in circles.

use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;

use flow::forward::Rates;
use testbed::{Language, submit};
use wire::smtp::{Dialect, Reply};

use crate::hop::{Hop, Say};
use crate::scene::Scene;
use crate::station::{ME, Station, choice, hop, mail, until};

/// Through a session that is typed: its answers, one a line.
fn typed(station: &Station, lines: &[&str]) -> Vec<String> {
    let mut stream = std::net::TcpStream::connect(station.address).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
    answers.next();
    let mut said = Vec::new();
    for line in lines {
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        said.push(answers.by_ref().find(|answer| answer.as_bytes().get(3) == Some(&b' ')).unwrap());
    }
    said
}

#[test]
fn what_a_sender_asks_of_servers_ends_here() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let target = Hop::start(Dialect::Smtp, 1 << 20, Arc::new(|_| Say::Reply(Reply::new(250, (2, 0, 0), "ok"))));
    let station = Station::open(&scene, choice(&scene, hop(target.address, None)));
    for line in ["MAIL FROM:<a@b> REQUIRETLS", "MAIL FROM:<a@b> WHATEVER=1"] {
        assert!(typed(&station, &["EHLO me", line])[1].starts_with("555 5.5.4"), "{line}");
    }
    let begun = ["EHLO me", "MAIL FROM:<a@b>", "RCPT TO:<me+secret@my.example>", "DATA", "Subject: x\r\n\r\nx\r\n."];
    assert!(typed(&station, &begun)[4].starts_with("250"));
    until("it arrived", || station.count("arrived") == 1);
    // Nor does the target learn of it, or of the address it came to but in the envelope.
    let taken = target.all().remove(0);
    let head = String::from_utf8_lossy(&taken.octets[..600]).into_owned();
    assert!(head.starts_with(&format!("Delivered-To: {ME}\r\n")) && !head.contains("secret"), "{head}");
    assert!(taken.from.parameters.is_empty());
}

#[test]
fn it_is_no_open_relay_and_has_limits() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let target = Hop::start(Dialect::Smtp, 1 << 20, Arc::new(|_| Say::Reply(Reply::new(250, (2, 0, 0), "ok"))));
    let mut choice = choice(&scene, hop(target.address, None));
    (choice.rates, choice.trusts) = (Rates { per_ip: 8, per_sender: 3 }, false);
    let station = Station::open(&scene, choice);
    let to = |from: &str, to: &[&str]| submit(Language::Smtp, station.address, from, to, &mail(1)).unwrap();
    for stranger in ["you@other.example", "me%other.example@my.example", "\"you@other.example\"@my.example", "me"] {
        let said = to("", &[stranger]);
        assert!(said[0].starts_with("550 5.7.1"), "{stranger}: {said:?}");
    }
    let said = to("", &["you@other.example", ME, "me+news@my.example"]);
    assert!(said[0].starts_with("550 5.7.1") && said[1].starts_with("250") && said[2].starts_with("250"), "{said:?}");
    until("it arrived", || station.count("arrived") == 1);
    assert_eq!(target.all()[0].to.len(), 1, "two addresses of one owner, one message");
    // Five of the address's eight are gone.
    let circle = [b"Received: from a by b; now\r\n".repeat(51), mail(2)].concat();
    let said = submit(Language::Smtp, station.address, "", &[ME], &circle).unwrap();
    assert!(said[0].starts_with("554 5.4.6"), "{said:?}");
    let marked = [b"Delivered-To: Me@my.example\r\n".to_vec(), mail(2)].concat();
    let said = submit(Language::Smtp, station.address, "", &[ME], &marked).unwrap();
    assert!(said[0].starts_with("554 5.4.6"), "{said:?}");
    assert!(to("", &[ME])[0].starts_with("250"));
    let said = to("", &[ME]);
    assert!(said[0].starts_with("450 4.7.1") || said[0].starts_with("503"), "{said:?}");
    assert_eq!(station.count("arrived"), 1);
}
