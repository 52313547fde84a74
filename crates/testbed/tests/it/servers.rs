//! The real servers answer.

use std::{
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
};

use testbed::{Bench, Cyrus, Dovecot, Format, Options};

use crate::client::{Client, append};

fn talk(address: SocketAddr, lines: &[&str]) -> String {
    let mut client = Client::connect(address);
    lines.iter().map(|line| client.say(line)).collect()
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
        assert!(said.contains("t1 OK") && said.contains("t3 OK"), "{said}\n{}", server.log());
        for name in ["Drafts", "Sent", "Trash", "Archive", "Junk"] {
            assert!(said.contains(&format!("\\{name}) \"/\" {name}")), "{said}");
        }
        assert!(server.mail().is_dir(), "{:?}", server.mail());
        assert!(talk(server.imap(), &["LOGIN bob bob-pw", "LOGOUT"]).contains("t1 OK"));
        assert!(talk(server.imap(), &["LOGIN bob alice-pw", "LOGOUT"]).contains("t1 NO"));
    }
}

#[test]
fn dovecot_stops_dies_and_comes_back_with_its_mail() {
    if !testbed::servers() {
        return;
    }
    let mut server = Dovecot::with(Options { tls: false, ..Options::default() });
    let append = append("INBOX", "", "Subject: one\r\n\r\nbody\r\n");
    assert!(talk(server.imap(), &[LOGIN, &append]).contains("t2 OK"));
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
    assert!(said.contains("t3 NO [OVERQUOTA]"), "{said}\n{}", server.log());
}

#[test]
fn cyrus_answers_dies_and_comes_back_with_its_mail() {
    if !testbed::servers() {
        return;
    }
    let mut server = Cyrus::start();
    let address = server.imap();
    let mail = append("INBOX", "", "Subject: one\r\n\r\nbody\r\n");
    let said = talk(address, &[LOGIN, "LIST \"\" *", "SELECT INBOX", &mail]);
    assert!(said.contains("t1 OK") && said.contains("t4 OK"), "{said}\n{}", server.log());
    for name in ["Drafts", "Sent", "Trash", "Archive", "Junk"] {
        assert!(said.contains(&format!("\\{}) \"/\" {name}", name.to_lowercase())), "{said}");
    }
    assert!(talk(address, &["LOGIN bob alice-pw"]).contains("t1 NO"));
    server.kill();
    assert!(TcpStream::connect(address).is_err());
    server.restart();
    assert!(talk(address, &[LOGIN, "STATUS INBOX (MESSAGES)"]).contains("(MESSAGES 1)"), "{}", server.log());
    server.stop();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn the_tools_of_the_bench_listen() {
    let Some(bench) = Bench::find() else { return };
    let gmail = bench.fake_gmail("off");
    assert!(talk(gmail.address(), &[LOGIN]).contains("t1 OK"));
    let fault = bench.imap_fault(gmail.address(), &["--on=NOOP:1:no"]);
    let said = talk(fault.address(), &["NOOP", "NOOP"]);
    assert!(said.contains("t1 NO") && said.contains("t2 OK"), "{said}");
}

#[test]
fn dovecot_24_answers_where_the_bench_has_it() {
    // Making it takes minutes, so this is for those who already have it or ask for the long tests.
    let made = std::path::Path::new("/opt/bench-trixie/.bench-ok").exists();
    if !made && std::env::var_os("SEALPOST_LONG").is_none() {
        println!("SKIPPED: no Dovecot 2.4 was made yet; SEALPOST_LONG=1 makes one");
        return;
    }
    let Some(server) = testbed::dovecot24() else { return };
    let said = talk(server.imap(), &[LOGIN]);
    assert!(said.contains("t1 OK") && said.contains("REPLACE"), "{said}");
}

#[test]
fn certificates_are_valid_under_their_own_authority_only() {
    if !testbed::servers() {
        return;
    }
    let (dovecot, cyrus) = (Dovecot::start(Format::Maildir), Cyrus::start());
    let check = |address: SocketAddr, authority: PathBuf, expected: bool| {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-verify_return_error", "-verify_ip", "127.0.0.1", "-connect", &address.to_string()]);
        let output = command.arg("-CAfile").arg(authority).stdin(Stdio::null()).output().expect("openssl runs");
        assert_eq!(output.status.success(), expected, "{}", String::from_utf8_lossy(&output.stderr));
    };
    check(dovecot.imaps(), dovecot.authority(), true);
    check(cyrus.imaps(), cyrus.authority(), true);
    check(dovecot.imaps(), cyrus.authority(), false);
}
