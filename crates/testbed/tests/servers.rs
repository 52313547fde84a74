//! The real servers answer.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
};

use testbed::{Dovecot, Format, Options};

/// Says `lines`, each with a tag, and returns all that was answered.
fn talk(address: SocketAddr, lines: &[&str]) -> String {
    let stream = TcpStream::connect(address).expect("a server");
    let mut reader = BufReader::new(&stream);
    let mut all = String::new();
    reader.read_line(&mut all).expect("a greeting");
    for (at, line) in lines.iter().enumerate() {
        (&stream).write_all(format!("t{at} {line}\r\n").as_bytes()).expect("a command");
        loop {
            let mut answer = String::new();
            assert!(reader.read_line(&mut answer).expect("an answer") > 0, "closed after {all}");
            all += &answer;
            if answer.starts_with(&format!("t{at} ")) {
                break;
            }
        }
    }
    all
}

const LOGIN: &str = "LOGIN alice alice-pw";

#[test]
fn dovecot_answers_login_in_every_format() {
    if !testbed::servers() {
        return;
    }
    for format in [Format::Maildir, Format::Sdbox, Format::Mdbox] {
        let server = Dovecot::start(format);
        let said = talk(server.imap(), &[LOGIN, "LIST \"\" * RETURN (SPECIAL-USE)", "SELECT INBOX"]);
        assert!(said.contains("t0 OK") && said.contains("t2 OK"), "{said}\n{}", server.log());
        for name in ["Drafts", "Sent", "Trash", "Archive", "Junk"] {
            assert!(said.contains(&format!("\\{name}) \"/\" {name}")), "{said}");
        }
        assert!(server.mail().is_dir(), "{:?}", server.mail());
        assert!(talk(server.imap(), &["LOGIN bob bob-pw", "LOGOUT"]).contains("t0 OK"));
        assert!(talk(server.imap(), &["LOGIN bob alice-pw", "LOGOUT"]).contains("t0 NO"));
    }
}

#[test]
fn dovecot_stops_dies_and_comes_back_with_its_mail() {
    if !testbed::servers() {
        return;
    }
    let mut server = Dovecot::with(Options { tls: false, ..Options::default() });
    let append = "APPEND INBOX {22+}\r\nSubject: one\r\n\r\nbody\r\n";
    assert!(talk(server.imap(), &[LOGIN, append]).contains("t1 OK"));
    let address = server.imap();
    server.stop();
    assert!(TcpStream::connect(address).is_err());
    server.restart();
    server.kill();
    assert!(TcpStream::connect(address).is_err());
    server.restart();
    assert!(talk(address, &[LOGIN, "STATUS INBOX (MESSAGES)"]).contains("(MESSAGES 1)"), "{}", server.log());
}

#[test]
fn dovecot_has_the_chosen_capabilities_and_quota() {
    if !testbed::servers() {
        return;
    }
    let server =
        Dovecot::with(Options { capabilities: Some("IMAP4rev1 LITERAL+"), quota: Some("1k"), ..Options::default() });
    let big =
        format!("APPEND INBOX {{4000+}}\r\nSubject: big\r\n\r\n{}", "0123456789\r\n".repeat(334).split_at(3984).0);
    let said = talk(server.imap(), &[LOGIN, "CAPABILITY", &big]);
    assert!(!said.contains("UIDPLUS") && said.contains("LITERAL+"), "{said}");
    assert!(said.contains("t2 NO [OVERQUOTA]"), "{said}\n{}", server.log());
}
