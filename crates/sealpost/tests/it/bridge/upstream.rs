//! The bridge over a server that means no good: whatever it says, the bridge says good-bye or NO, and goes on for others. Never a crash, never memory without end.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
};

use super::{account::configure, client::Client, scene::Bridge};
use crate::program::Stage;

/// The word of a command, and what stands before its OK.
type Script = &'static [(&'static str, &'static str)];

/// A server whose answers to some commands are scripted.
fn server(script: Script) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream, script));
        }
    });
    address
}

fn serve(mut stream: TcpStream, script: &[(&str, &str)]) {
    let _ = stream.write_all(b"* OK [CAPABILITY IMAP4rev1 IDLE UIDPLUS] ready\r\n");
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap_or_default() > 0 {
        let tag = line.split(' ').next().unwrap().to_owned();
        let said = script.iter().find(|(word, _)| line.contains(word)).map(|(_, said)| *said);
        let said = said.unwrap_or(match () {
            () if line.contains("SELECT") => "* 2 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 9] x\r\n",
            () if line.contains("UID FLAGS") => "* 1 FETCH (UID 3 FLAGS (\\Seen))\r\n* 2 FETCH (UID 5 FLAGS ())\r\n",
            () => "",
        });
        if stream
            .write_all(said.as_bytes())
            .and_then(|()| stream.write_all(format!("{tag} OK done\r\n").as_bytes()))
            .is_err()
        {
            return;
        }
        line.clear();
    }
}

/// Says these commands; what is answered to the last of them, up to the end of the connection.
fn said(script: Script, commands: &[&str]) -> String {
    let stage = Stage::with_owner();
    configure(&stage, server(script));
    let bridge = Bridge::start(&stage);
    let mut client = bridge.client();
    let mut told = String::new();
    for command in commands {
        client.send(command.as_bytes());
        told.clear();
        loop {
            let response = client.response();
            told += &String::from_utf8_lossy(&response);
            if response.is_empty() || (response.starts_with(b"t") && !response.starts_with(b"* ")) {
                break;
            }
        }
    }
    let resident = resident(&bridge);
    assert!(resident < 120 << 10, "{resident} KiB resident");
    // It serves the next one.
    Client::connect(bridge.address);
    told
}

/// KiB in memory.
pub fn resident(bridge: &Bridge) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", bridge.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn garbage_wrong_numbers_and_absurd_lengths() {
    let select = "SELECT INBOX";
    let fetch = "UID FETCH 3 (ENVELOPE)";
    let body = "UID FETCH 3 BODY.PEEK[]";
    let cases: &[(Script, &[&str], &str)] = &[
        (&[("UID FLAGS", "%$! ~~~~ \0\r\n")], &[select], "BYE"),
        (&[("UID FLAGS", "* 1 FETCH (UID 5 FLAGS ())\r\n* 2 FETCH (UID 3 FLAGS ())\r\n")], &[select], "BYE"),
        (&[("UID FLAGS", "* 1 FETCH (UID 5 FLAGS ())\r\n* 9 FETCH (UID 6 FLAGS ())\r\n")], &[select], "BYE"),
        (&[("UID FLAGS", "* 1 FETCH (UID 0 FLAGS ())\r\n")], &[select], "BYE"),
        (&[("SELECT", "* 4294967295 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n")], &[select], "BYE"),
        (&[("NOOP", "* 9 EXPUNGE\r\n")], &[select, "NOOP"], "t3 OK"),
        (&[("NOOP", "* 900 EXISTS\r\n")], &[select, "NOOP"], "BYE"),
        (
            &[("HEADER", "* 1 FETCH (UID 77 INTERNALDATE \"x\" RFC822.SIZE 9 BODY[HEADER] {2}\r\nab)\r\n")],
            &[select, fetch],
            "t3 NO",
        ),
        (
            &[("HEADER", "* 1 FETCH (UID 3 INTERNALDATE \"x\" RFC822.SIZE 9 BODY[HEADER] {9999999999}\r\nab)\r\n")],
            &[select, fetch],
            "BYE",
        ),
        (
            &[("HEADER", "* 1 FETCH (UID 3 INTERNALDATE \"x\" RFC822.SIZE 9 BODY[HEADER] {20}\r\nSubject: a\r\n\r\n")],
            &[select, "NOOP"],
            "t3 OK",
        ),
        (
            &[
                (
                    "HEADER",
                    "* 1 FETCH (UID 3 INTERNALDATE \"x\" RFC822.SIZE 9 BODY[HEADER] {14}\r\nSubject: a\r\n\r\n)\r\n",
                ),
                ("BODY.PEEK[]", "* 1 FETCH (UID 4 BODY[] {4}\r\nabcd)\r\n"),
            ],
            &[select, body],
            "t3 NO",
        ),
        (
            &[
                (
                    "HEADER",
                    "* 1 FETCH (UID 3 INTERNALDATE \"x\" RFC822.SIZE 9 BODY[HEADER] {14}\r\nSubject: a\r\n\r\n)\r\n",
                ),
                ("BODY.PEEK[]", "* 1 FETCH (UID 3 BODY[] {99999999999999}\r\nabcd)\r\n"),
            ],
            &[select, body],
            "BYE",
        ),
    ];
    for (script, commands, expected) in cases {
        let told = said(script, commands);
        assert!(told.contains(expected), "{script:?}: {told}");
        assert!(!told.contains("abcd"), "{told}");
    }
}
