//! The bridge over a server that means no good: whatever it says, the bridge says good-bye or NO, and goes on for others. Never a crash, never memory without end.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use super::{
    account::configure,
    client::Client,
    scene::{Bridge, message},
};
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
    said_by(server(script), commands)
}

fn said_by(server: SocketAddr, commands: &[&str]) -> String {
    let stage = Stage::with_owner();
    configure(&stage, server);
    // Only where it is offered.
    let path = stage.path("home/config.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("tls = \"off\"", "tls = \"off\"\ncompress = \"auto\"")).unwrap();
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
fn a_structure_slips_nothing_in() {
    let head = "* 1 FETCH (UID 3 INTERNALDATE \" 1-Jan-2020 00:00:00 +0000\" RFC822.SIZE 9 BODY[HEADER] {14}\r\nSubject: a\r\n\r\n)\r\n";
    let script: &[(&str, &str, &str)] = &[
        // A quotation mark within an atom turns the strings behind it inside out.
        (
            "(TEXT x\" \") FLAGS ($SealedOK) X (\" NIL 7)",
            "(\"TEXT\" \"x\\\"\" \") FLAGS ($SealedOK) X (\" NIL 7)",
            "t3 OK",
        ),
        ("(\"a\" \\\\ {3}\r\n\r\n* 1 EXPUNGE)", "(\"a\" \"\\\\\\\\\" {3}\r\n\r\n* 1 \"EXPUNGE\")", "t3 OK"),
        ("(\"a\" {15}\r\n\r\n* 1 EXPUNGE\r\n 7)", "(\"a\" {15}\r\n\r\n* 1 EXPUNGE\r\n 7)", "t3 OK"),
        ("(\"a\" b\r* 2)", "(\"a\" {3}\r\nb\r* 2)", "t3 OK"),
        ("(a{5} 00000000000000000000000000001)", "(\"a{5}\" \"00000000000000000000000000001\")", "t3 OK"),
        // What is no structure is asked of the message itself.
        ("NIL", "", "t3 NO"),
        ("x", "", "t3 NO"),
    ];
    for (structure, expected, tagged) in script {
        let answer: &'static str = format!("* 1 FETCH (UID 3 BODYSTRUCTURE {structure})\r\n").leak();
        let script: Script = Box::leak(Box::new([("HEADER", head), ("UID BODYSTRUCTURE", answer)]));
        let told = said(script, &["SELECT INBOX", "UID FETCH 3 BODYSTRUCTURE"]);
        assert!(told.contains(tagged), "{structure}: {told}");
        let written = format!("* 1 FETCH (UID 3 BODYSTRUCTURE {expected})\r\n");
        assert!(expected.is_empty() || told.starts_with(&written), "{structure}: {told}");
    }
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

#[test]
fn change_numbers_that_cannot_be() {
    const COUNTS: (&str, &str) = ("CAPABILITY", "* CAPABILITY IMAP4rev1 IDLE UIDPLUS ENABLE CONDSTORE QRESYNC\r\n");
    let select = "SELECT INBOX";
    let chosen = |highest: &str| -> &'static str {
        let text = format!(
            "* 2 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 9] x\r\n* OK [HIGHESTMODSEQ {highest}] x\r\n"
        );
        text.leak()
    };
    let known = "SELECT INBOX (QRESYNC (7 3 1:9))";
    type Case = (Vec<(&'static str, &'static str)>, Vec<&'static str>, &'static str);
    let cases: Vec<Case> = vec![
        // What has more than 63 bits cannot be given back: changes are not counted.
        (vec![("SELECT", chosen("18446744073709551615"))], vec![select], "t2 OK"),
        (vec![("SELECT", chosen("0"))], vec![select], "t2 OK"),
        (vec![("SELECT", chosen("-4"))], vec![select], "t2 OK"),
        (
            vec![
                ("SELECT", chosen("9")),
                ("UID FLAGS", "* 1 FETCH (UID 3 FLAGS () MODSEQ (99999999999999999999999))\r\n"),
            ],
            vec![select],
            "BYE",
        ),
        (vec![("SELECT", chosen("9")), ("UID FLAGS", "* 1 FETCH (UID 3 FLAGS () MODSEQ 7)\r\n")], vec![select], "BYE"),
        (vec![("SELECT", chosen("9")), ("NOOP", "* VANISHED 1:4294967295\r\n")], vec![select, "NOOP"], "t3 "),
        (vec![("SELECT", chosen("9")), ("NOOP", "* VANISHED (EARLIER) 1:*,0\r\n")], vec![select, "NOOP"], "t3 OK"),
        (vec![("SELECT", chosen("9"))], vec!["ENABLE QRESYNC", known], "t3 OK"),
        (
            vec![("SELECT", chosen("9")), ("NOOP", "* 1 FETCH (UID 3 FLAGS () MODSEQ (2))\r\n")],
            vec!["ENABLE QRESYNC", known, "NOOP"],
            "t4 OK",
        ),
    ];
    for (mut script, commands, expected) in cases {
        script.push(COUNTS);
        let told = said(script.clone().leak(), &commands);
        assert!(told.contains(expected), "{script:?}: {told}");
    }
}

/// A server that offers to deflate, and then says these octets, whatever it is asked.
fn deflating(octets: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let octets = octets.clone();
            thread::spawn(move || {
                let _ = stream.write_all(b"* OK [CAPABILITY IMAP4rev1 IDLE UIDPLUS COMPRESS=DEFLATE] ready\r\n");
                let mut lines = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                while lines.read_line(&mut line).unwrap_or_default() > 0 {
                    let offered = "* CAPABILITY IMAP4rev1 IDLE UIDPLUS COMPRESS=DEFLATE\r\n";
                    let said = if line.contains("CAPABILITY") { offered } else { "" };
                    let tag = line.split(' ').next().unwrap();
                    let _ = stream.write_all(format!("{said}{tag} OK done\r\n").as_bytes());
                    if line.contains("COMPRESS") {
                        let _ = stream.write_all(&octets);
                        let _ = std::io::copy(&mut lines, &mut std::io::sink());
                        return;
                    }
                    line.clear();
                }
            });
        }
    });
    address
}

#[test]
fn what_is_not_deflated_as_it_should_be_and_what_swells() {
    use flate2::{Compression, write::DeflateEncoder};
    let deflated = |octet: &[u8], times: usize| {
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::default());
        for _ in 0..times {
            packed.write_all(octet).unwrap();
        }
        packed.flush().unwrap();
        packed.get_ref().clone()
    };
    let ended = {
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::default());
        packed.write_all(b"* 2 EXISTS\r\n").unwrap();
        packed.finish().unwrap()
    };
    for octets in [
        b"* 2 EXISTS\r\nx OK not deflated\r\n".repeat(20),
        vec![0xff; 4096],
        // A gigabyte in one line.
        deflated(&[b'x'; 1 << 20], 1024),
        // A hundred million responses that nobody asked for.
        deflated(&b"* 2 EXISTS\r\n".repeat(1 << 16), 1600),
        ended,
    ] {
        let told = said_by(deflating(octets), &["SELECT INBOX"]);
        assert!(told.contains("BYE"), "{told}");
    }
}

/// Passes octets on between a program and a server, until it is cut.
struct Cable {
    address: SocketAddr,
    ends: Arc<Mutex<Vec<TcpStream>>>,
}

impl Cable {
    fn to(server: SocketAddr) -> Cable {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let ends = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&ends);
        thread::spawn(move || {
            for one in listener.incoming().flatten() {
                let other = TcpStream::connect(server).unwrap();
                for (mut from, mut to) in [
                    (one.try_clone().unwrap(), other.try_clone().unwrap()),
                    (other.try_clone().unwrap(), one.try_clone().unwrap()),
                ] {
                    thread::spawn(move || std::io::copy(&mut from, &mut to));
                }
                kept.lock().unwrap().extend([one, other]);
            }
        });
        Cable { address, ends }
    }

    fn cut(&self) {
        for end in self.ends.lock().unwrap().drain(..) {
            let _ = end.shutdown(std::net::Shutdown::Both);
        }
    }
}

#[test]
fn a_connection_that_breaks_is_made_again_in_the_same_mailbox() {
    if !testbed::servers() {
        return;
    }
    let scene = super::account::Scene::sealed(&[message("one", "x"), message("two", "y"), message("three", "z")]);
    let cable = Cable::to(scene.server.imap());
    configure(&scene.stage, cable.address);
    let bridge = scene.bridge();
    let (mut client, mut idling) = (bridge.selected("INBOX"), bridge.selected("INBOX"));
    idling.send(b"IDLE");
    assert!(idling.response().starts_with(b"+"));
    // What breaks at once is not tried again.
    thread::sleep(Duration::from_millis(5_500));
    let mut direct = scene.direct();
    direct.good("SELECT INBOX");
    direct.good("STORE 1 +FLAGS (\\Deleted)");
    direct.good("EXPUNGE");
    direct.good("STORE 1 +FLAGS (\\Answered)");
    cable.cut();
    let told = client.say("UID FETCH 1:* BODY.PEEK[]");
    assert!(told.tagged.starts_with("NO [UNAVAILABLE]"), "{told:?}");
    assert!(told.text().contains("* 1 EXPUNGE\r\n") && told.text().contains("\\Answered"), "{told:?}");
    let told = client.good("UID FETCH 1:* (UID ENVELOPE)").text();
    assert!(told.contains("* 1 FETCH (UID 2 ") && told.contains("three") && !told.contains("\"one\""), "{told}");
    let told = String::from_utf8(idling.response()).unwrap();
    assert!(told.contains("EXPUNGE"), "{told}");
    idling.raw(b"DONE\r\n");
    assert!(idling.answer().tagged.starts_with("OK"));
    // Again, at once: that is the end.
    cable.cut();
    client.send(b"NOOP");
    let told = String::from_utf8(client.response()).unwrap();
    assert!(told.starts_with("* BYE"), "{told}");
}

/// What is only kept for later is in nobody's way now.
#[test]
fn a_date_that_nobody_can_read_hides_no_message() {
    let script: Script = &[
        ("HEADER", "* 1 FETCH (UID 3 INTERNALDATE \"x\" RFC822.SIZE 18 BODY[HEADER] {14}\r\nSubject: a\r\n\r\n)\r\n"),
        ("BODY.PEEK[]", "* 1 FETCH (UID 3 BODY[] {18}\r\nSubject: a\r\n\r\nabcd)\r\n"),
    ];
    let told = said(script, &["SELECT INBOX", "UID FETCH 3 BODY.PEEK[]"]);
    assert!(told.contains("abcd") && told.contains("t3 OK"), "{told}");
}
