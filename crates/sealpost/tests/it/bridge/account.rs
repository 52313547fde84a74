//! The bridge over an account on a real Dovecot: what mail programs are told is what the server has, with originals in the place of sealed mail.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use testbed::{Dovecot, Format, Options};

use super::{
    client::{Answer, Client, Value},
    differential::{COMMANDS, compare, corpus, own},
    scene::{Bridge, files_with, message, put},
};
use crate::program::{CANARY, Stage, holds, large};

/// Alice's account, and an owner's home whose bridge reads it.
pub struct Scene {
    pub server: Dovecot,
    pub stage: Stage,
}

impl Scene {
    pub fn new() -> Scene {
        Scene::with(Options::default())
    }

    /// On a server of one's own choice.
    pub fn with(options: Options) -> Scene {
        let server = Dovecot::with(options);
        let stage = Stage::with_owner();
        configure(&stage, server.imap());
        let mut client = Client::logged_in(server.imap(), "alice", "alice-pw");
        client.good("SELECT INBOX");
        Scene { server, stage }
    }

    /// With these messages in INBOX, sealed, and in this order.
    pub fn sealed(messages: &[Vec<u8>]) -> Scene {
        let scene = Scene::new();
        let sealed: Vec<Vec<u8>> = messages.iter().map(|mail| scene.stage.good("seal", mail)).collect();
        scene.put(&sealed);
        scene
    }

    pub fn put(&self, messages: &[Vec<u8>]) {
        put(&self.server.mail().join("Maildir"), messages);
        own(&self.server.mail().join("Maildir"), &self.server.mail());
    }

    /// Another mail program, which reads without the bridge.
    pub fn direct(&self) -> Client {
        Client::logged_in(self.server.imap(), "alice", "alice-pw")
    }

    pub fn bridge(&self) -> Bridge {
        Bridge::start(&self.stage)
    }
}

/// A bridge, and a flow, for the account that a server has.
pub fn configure(stage: &Stage, server: SocketAddr) {
    let secret = stage.write("home/secret", "alice-pw\n");
    fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).unwrap();
    stage.write(
        "home/config.toml",
        format!(
            "[account.work]\naddress = \"alice@example.org\"\nuser = \"alice\"\nimap = \"imap://{server}\"\ntls = \"off\"\n\
             password = {{ file = \"secret\" }}\n\n[flow.inbox]\nsource = {{ account = \"work\", grace = \"0s\" }}\n\
             seal = {{ to = \"alice@example.org\" }}\nsink = \"in-place\"\n\n\
             [bridge]\naccount = \"work\"\nlisten = \"127.0.0.1:0\"\n"
        ),
    );
}

pub fn append(client: &mut Client, mailbox: &str, rest: &str, octets: &[u8]) -> Answer {
    let line = format!("APPEND {mailbox} {rest}{{{}+}}\r\n", octets.len());
    client.send(&[line.as_bytes(), octets].concat());
    client.answer()
}

/// The lines of an answer that begin so, in order.
pub fn lines(answer: &Answer, begin: &str) -> Vec<String> {
    let text = answer.untagged.iter().map(|line| String::from_utf8_lossy(line).trim_end().to_owned());
    let mut lines: Vec<String> = text.filter(|line| line.starts_with(begin)).collect();
    lines.sort();
    lines
}

#[test]
fn sealed_mail_of_an_account_is_as_plain_mail_in_dovecot() {
    if !testbed::servers() {
        return;
    }
    let corpus = corpus();
    let scene = Scene::sealed(&corpus);
    let plain_server = Dovecot::start(Format::Maildir);
    let mut plain = Client::logged_in(plain_server.imap(), "alice", "alice-pw");
    plain.good("SELECT INBOX");
    plain.good("UNSELECT");
    put(&plain_server.mail().join("Maildir"), &corpus);
    own(&plain_server.mail().join("Maildir"), &plain_server.mail());
    let bridge = scene.bridge();
    let mut sealed = bridge.client();
    for client in [&mut plain, &mut sealed] {
        let told = client.good("SELECT INBOX").text();
        assert!(told.contains(&format!("* {} EXISTS", corpus.len())), "{told}");
    }
    compare(&mut plain, &mut sealed, &corpus, COMMANDS);
    // Again in a new session, now from what was kept; and nothing of it lies in clear.
    let mut again = bridge.selected("INBOX");
    compare(&mut plain, &mut again, &corpus, 300);
    let leaks = files_with(scene.stage.path("home"), &[CANARY, b"boathouse"]);
    assert!(leaks.is_empty(), "{leaks:?}");
}

#[test]
fn numbers_names_and_foreign_mail_are_the_servers() {
    if !testbed::servers() {
        return;
    }
    let scene = Scene::new();
    let plain: Vec<Vec<u8>> = corpus();
    scene.put(&plain);
    let bridge = scene.bridge();
    let (mut direct, mut through) = (scene.direct(), bridge.client());
    for line in [
        "LIST \"\" \"*\"",
        "LIST \"\" %",
        "LSUB \"\" *",
        "NAMESPACE",
        "STATUS Sent (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)",
    ] {
        assert_eq!(lines(&through.good(line), "* "), lines(&direct.good(line), "* "), "{line}");
    }
    let (one, other) = (direct.good("SELECT INBOX"), through.good("SELECT INBOX"));
    for begin in ["* OK [UIDVALIDITY", "* OK [UIDNEXT"] {
        let number = |answer: &Answer| lines(answer, begin)[0].split([' ', ']']).nth(3).unwrap().to_owned();
        assert_eq!(number(&one), number(&other), "{begin}");
    }
    compare(&mut direct, &mut through, &plain, 300);
    // The structure as the server tells it, without a body.
    for line in [
        "UID FETCH 1:* (UID RFC822.SIZE INTERNALDATE)",
        "UID SEARCH ALL",
        "UID FETCH 1:* (UID MODSEQ)",
        "UID SEARCH MODSEQ 1",
        "UID SEARCH RETURN (ALL) MODSEQ 2",
        "UID SEARCH MODSEQ 1000000",
    ] {
        let of = |answer: &Answer| -> Vec<String> {
            let told = lines(answer, "* ").into_iter().filter(|line| !line.contains("] Highest"));
            told.map(|line| line.rsplit(") UID").next().unwrap().to_owned()).collect()
        };
        assert_eq!(of(&through.good(line)), of(&direct.good(line)), "{line}");
    }
    through.good("CREATE Box");
    through.good("SUBSCRIBE Box");
    through.good("RENAME Box Crate");
    assert!(direct.good("LIST \"\" *").text().contains("Crate"));
    let told = through.good("UID COPY 1:2 Crate");
    assert!(told.tagged.starts_with("OK [COPYUID ") && told.tagged.contains(" 1:2 1:2]"), "{told:?}");
    let told = through.good("UID MOVE 3 Crate");
    assert!(told.text().contains("COPYUID") && told.text().contains("EXPUNGE"), "{told:?}");
    assert!(through.say("COPY 1 Nowhere").tagged.starts_with("NO [TRYCREATE]"));
    let told = through.good("STORE 1 +FLAGS (\\Deleted $Work $SealedOK)");
    assert!(told.text().contains("\\Deleted") && told.text().contains("$Work"), "{told:?}");
    assert!(!direct.good("FETCH 1 FLAGS").text().contains("$SealedOK"));
    let told = through.good("EXPUNGE");
    assert_eq!(lines(&told, "* "), ["* 1 EXPUNGE"], "{told:?}");
    through.good("DELETE Crate");
    let refused = through.say("SELECT Crate");
    assert!(refused.tagged.starts_with("NO"), "{refused:?}");
}

#[test]
fn what_is_stored_is_sealed_before_it_leaves() {
    if !testbed::servers() {
        return;
    }
    let scene = Scene::new();
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    let canary = String::from_utf8(CANARY.to_vec()).unwrap();
    let draft = message("unsent-canary-subject", &canary);
    let big = large(3 << 20);
    let answer = append(&mut client, "INBOX", "(\\Draft \\Seen $Work) \" 7-Feb-1994 21:52:25 -0800\" ", &draft);
    assert!(answer.tagged.starts_with("OK [APPENDUID ") && answer.text().contains("* 1 EXISTS"), "{answer:?}");
    let mut direct = scene.direct();
    let validity =
        lines(&direct.good("SELECT INBOX"), "* OK [UIDVALIDITY")[0].split([' ', ']']).nth(3).unwrap().to_owned();
    assert!(answer.tagged.contains(&format!("APPENDUID {validity} 1]")), "{answer:?}");
    assert!(append(&mut client, "INBOX", "", &big).tagged.contains(" 2]"));
    assert_eq!(client.good("FETCH 2 BODY.PEEK[]").octets(), big);
    assert_eq!(client.good("FETCH 1 BODY.PEEK[]").octets(), draft);
    let told = client.good("FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)").text();
    assert!(told.contains("\\Draft") && told.contains("$Work") && told.contains("$SealedOK"), "{told}");
    assert!(told.contains("08-Feb-1994 05:52:25 +0000") && told.contains("unsent-canary-subject"), "{told}");
    assert_eq!(client.good(&format!("SEARCH TEXT {canary}")).found(), [1, 2]);
    assert!(holds(&direct.good("FETCH 1 BODY.PEEK[]").octets(), b"Sealed-Mail:"));
    assert!(append(&mut client, "Nowhere", "", &draft).tagged.starts_with("NO [TRYCREATE]"));
    let texts: [&[u8]; 2] = [CANARY, b"unsent-canary-subject"];
    let leaks = [files_with(scene.server.mail(), &texts), files_with(scene.stage.path("home"), &texts)].concat();
    assert!(leaks.is_empty(), "{leaks:?}");
}

#[test]
fn news_comes_within_a_second_while_a_program_idles() {
    if !testbed::servers() {
        return;
    }
    let scene = Scene::sealed(&[message("one", "x")]);
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    client.good("FETCH 1 ENVELOPE");
    client.send(b"IDLE");
    assert!(client.response().starts_with(b"+"));
    thread::sleep(Duration::from_millis(600));
    let mut direct = scene.direct();
    let sealed = scene.stage.good("seal", &message("two", "y"));
    append(&mut direct, "INBOX", "", &sealed);
    let began = Instant::now();
    assert_eq!(client.response(), b"* 2 EXISTS\r\n");
    let took = began.elapsed();
    println!("IDLE told it after {} ms", took.as_millis());
    client.response();
    direct.good("SELECT INBOX");
    direct.good("STORE 1 +FLAGS (\\Deleted)");
    let told = String::from_utf8(client.response()).unwrap();
    assert!(told.starts_with("* 1 FETCH") && told.contains("\\Deleted") && told.contains("$SealedOK"), "{told}");
    direct.good("EXPUNGE");
    assert_eq!(client.response(), b"* 1 EXPUNGE\r\n");
    client.raw(b"DONE\r\n");
    assert!(client.answer().tagged.starts_with("OK"));
    assert!(client.good("FETCH 1 ENVELOPE").text().contains("\"two\""));
}

#[test]
fn a_sealer_at_work_shows_neither_duplicates_nor_holes() {
    if !testbed::servers() {
        return;
    }
    let scene = Scene::new();
    let count = 60;
    let plain: Vec<Vec<u8>> = (0..count)
        .map(|number| {
            let text = format!(
                "From: b@example.net\r\nTo: alice@example.org\r\nSubject: number {number}\r\nMessage-ID: <n{number}@x>\r\n\r\n{}\r\n",
                "text ".repeat(300)
            );
            text.into_bytes()
        })
        .collect();
    scene.put(&plain);
    let bridge = scene.bridge();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            scene.stage.good("sweep inbox", b"");
            over.store(true, Ordering::SeqCst);
        });
        let mut client = bridge.selected("INBOX");
        let mut looks = 0;
        loop {
            let last = over.load(Ordering::SeqCst);
            client.good("NOOP");
            let fetched = client.good("FETCH 1:* (UID ENVELOPE)").fetched();
            let mut ids: Vec<String> = fetched
                .iter()
                .map(|(_, items)| {
                    let Some((_, Value::List(envelope))) = items.iter().find(|(name, _)| name == "ENVELOPE") else {
                        panic!("no envelope")
                    };
                    format!("{:?}", envelope[9])
                })
                .collect();
            ids.sort();
            let all = ids.len();
            ids.dedup();
            assert_eq!((ids.len(), all), (count, count), "after {looks} looks");
            looks += 1;
            if last {
                break;
            }
        }
        println!("{looks} looks while {count} messages were sealed");
    });
    let mut direct = scene.direct();
    direct.good("SELECT INBOX");
    let sealed = direct.good("FETCH 1:* BODY.PEEK[HEADER.FIELDS (SEALED-MAIL)]").text();
    assert_eq!(sealed.matches("Sealed-Mail:").count(), count, "{sealed}");
}

#[test]
fn changed_spliced_and_foreign_mail_is_never_opened() {
    if !testbed::servers() {
        return;
    }
    let scene = Scene::new();
    let (one, two) = (message("first secret", "alpha"), message("second secret", "omega"));
    let (sealed, other) = (scene.stage.good("seal", &one), scene.stage.good("seal", &two));
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    let body = |octets: &[u8]| text(octets).split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap();
    let head = |octets: &[u8]| text(octets).split_once("\r\n\r\n").map(|(head, _)| head.to_owned()).unwrap();
    // The armor's data, changed in one letter.
    let whole = text(&sealed);
    let at = whole.rfind("-----BEGIN").unwrap() + 300;
    let mut changed = whole.clone().into_bytes();
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    let spliced = format!("{}\r\n\r\n{}", head(&sealed), body(&other));
    let replayed = format!("{}\r\n\r\nplain words under another's fields\r\n", head(&sealed));
    let unsigned: String =
        head(&sealed).lines().filter(|line| !line.starts_with("Sealed-")).map(|line| format!("{line}\r\n")).collect();
    let unsigned = format!("{unsigned}\r\n{}", body(&sealed));
    let stranger = Stage::with_owner();
    let foreign = stranger.good("seal", &message("of a stranger", "x"));
    scene.put(&[sealed.clone(), changed, spliced.into(), replayed.into(), unsigned.into(), foreign.clone()]);
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    assert_eq!(client.good("FETCH 1 BODY.PEEK[]").octets(), one);
    for number in 2..=6 {
        let answer = client.say(&format!("FETCH {number} BODY.PEEK[]"));
        let told = answer.text();
        for secret in ["alpha", "omega", "of a stranger"] {
            assert!(!told.contains(secret), "{number}: {told}");
        }
        if number <= 4 {
            assert!(answer.tagged.starts_with("NO") && answer.fetched().is_empty(), "{number}: {told}");
            assert!(client.good(&format!("FETCH {number} FLAGS")).text().contains("$SealedBroken"), "{number}");
        }
    }
    assert_eq!(client.good("FETCH 6 BODY.PEEK[]").octets(), foreign);
    client.good("FETCH 6 ENVELOPE");
    assert!(client.good("FETCH 6 FLAGS").text().contains("$SealedForeign"));
    assert_eq!(client.good("SEARCH BODY omega").found(), Vec::<u32>::new());
}

#[test]
fn when_the_server_goes_the_session_says_so() {
    if !testbed::servers() {
        return;
    }
    let mut scene = Scene::sealed(&[message("one", "x"), message("two", "y")]);
    let bridge = scene.bridge();
    let (mut working, mut idling) = (bridge.selected("INBOX"), bridge.selected("INBOX"));
    idling.send(b"IDLE");
    assert!(idling.response().starts_with(b"+"));
    let validity = |client: &mut Client| lines(&client.good("SELECT INBOX"), "* OK [UIDVALIDITY");
    let before = validity(&mut working);
    scene.server.kill();
    working.send(b"FETCH 1:2 BODY.PEEK[]");
    assert!(working.response().starts_with(b"* BYE "));
    assert!(idling.response().starts_with(b"* BYE "));
    let mut waiting = Client::connect(bridge.address);
    let refused = waiting.say(&format!("LOGIN {} {}", bridge.user, bridge.password));
    assert!(refused.tagged.starts_with("NO [UNAVAILABLE]"), "{refused:?}");
    scene.server.restart();
    let mut again = bridge.client();
    assert_eq!(validity(&mut again), before);
    assert!(again.good("FETCH 1 ENVELOPE").text().contains("\"one\""));
}

#[test]
fn trouble_upstream_is_told_apart_and_told_to_the_owner() {
    if !testbed::servers() {
        return;
    }
    let scene = Scene::sealed(&[message("one", "x")]);
    let bridge = scene.bridge();
    let log_in = format!("LOGIN {} {}", bridge.user, bridge.password);
    scene.stage.write("home/secret", "wrong\n");
    let refused = Client::connect(bridge.address).say(&log_in);
    assert!(refused.tagged.starts_with("NO [CONTACTADMIN]"), "{refused:?}");
    bridge.hear("refused the login");
    scene.stage.write("home/secret", "alice-pw\n");
    let mut client = bridge.client();
    bridge.hear("there again");
    for line in ["SELECT Nowhere", "EXAMINE Nowhere"] {
        let missing = client.say(line);
        assert!(missing.tagged.starts_with("NO [NONEXISTENT]"), "{missing:?}");
    }
    client.good("SELECT INBOX");
}

#[test]
fn a_new_password_ends_the_old_one_in_a_bridge_that_runs() {
    let scene = super::scene::Scene::new();
    let (running, other) = (scene.bridge(), scene.bridge());
    let refused = Client::connect(running.address).say(&format!("LOGIN {} {}", running.user, running.password));
    assert!(refused.tagged.starts_with("NO [AUTHENTICATIONFAILED]"), "{refused:?}");
    running.hear("wrong user or password");
    Client::logged_in(running.address, &other.user, &other.password).good("SELECT INBOX");
}
