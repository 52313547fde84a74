//! The same mail twice: plain, read from a Dovecot directly; sealed, read through the bridge. Generated FETCH and SEARCH commands must be answered alike.

use std::{fs, path::Path};

use super::{
    client::{Client, Value},
    scene::{Scene, put},
};
use crate::program::samples;

/// Commands of each kind.
pub const COMMANDS: usize = 1_500;

/// The corpus: the samples with CRLF and with LF, generated mail, odd structures.
pub fn corpus() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    for (_, octets) in samples() {
        let unix: Vec<u8> = String::from_utf8_lossy(&octets).replace("\r\n", "\n").into_bytes();
        if std::str::from_utf8(&octets).is_ok() {
            all.push(unix);
        }
        all.push(octets);
    }
    all.extend(testbed::corpus::mails(24));
    let inner = "From: i@example.org\r\nTo: x@example.org\r\nSubject: inner one\r\nDate: Fri, 1 Jan 2016 10:00:00 +0000\r\n\r\ninner text\r\n";
    all.push(
        format!(
            "From: f@example.org\r\nTo: t@example.org\r\nSubject: forwarded\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=\"xx\"\r\n\r\n--xx\r\nContent-Type: text/plain\r\n\r\nsee below\r\n\
             --xx\r\nContent-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n{inner}\r\n--xx--\r\n"
        )
        .into_bytes(),
    );
    all.push(
        b"From: d@example.org\nSubject: digest\nContent-Type: multipart/digest; boundary=dd\n\n--dd\n\nSubject: d1\n\nbody d1\n\
          --dd\n\nSubject: d2\n\nbody d2\n--dd--\n"
            .to_vec(),
    );
    let thread = [
        ("Plan", "m1", "", "3 Mar 2026 10:00:00 +0000"),
        ("Re: Plan", "m2", "<m1@t>", "3 Mar 2026 10:00:00 -0700"),
        ("RE: [list] plan (fwd)", "m3", "<m1@t> <gone@t>", "3 Mar 2026 12:00:00 +0000"),
        ("Another", "m4", "<gone@t>", "4 Mar 2026 12:00:00 +0000"),
        ("[Fwd: Plan]", "m5", "", "2 Mar 2026 12:00:00 +0000"),
        ("Alone", "m6", "<m6@t>", "4 Mar 2026 12:00 EST"),
        ("Re: Boats", "m7", "", "1 Mar 2026 12:00:00 +0000"),
        ("Boats", "m8", "", "5 Mar 2026 12:00:00 +0000"),
        ("boats", "m9", "", "6 Mar 2026 12:00:00 +0000"),
        ("R: loop", "l1", "<l2@t>", "6 Mar 2026 13:00:00 +0000"),
        ("loop", "l2", "<l1@t>", "6 Mar 2026 14:00:00 +0000"),
        ("=?utf-8?Q?=C3=84pfel?=", "u1", "<n1@t> <n2@t>", "7 Mar 2026 14:00:00 +0000"),
        ("=?iso-8859-1?Q?AW:_=E4pfel?=", "u2", "<n1@t> <n3@t>", "7 Mar 2026 15:00:00 +0000"),
    ];
    for (number, (subject, id, references, date)) in thread.iter().enumerate() {
        let field = if number % 2 == 0 { "References" } else { "In-Reply-To" };
        all.push(
            format!(
                "From: \"Sender {number}\" <s{}@example.org>\r\nTo: t{}@example.org\r\nCc: Zoe <z{number}@example.org>\r\n\
                 Subject: {subject}\r\nDate: {date}\r\nMessage-ID: <{id}@t>\r\n{field}: {references}\r\n\r\nthread {number}\r\n",
                number % 4,
                number % 3,
            )
            .into_bytes(),
        );
    }
    all.push(b"Subject: no body at all\r\n\r\n".to_vec());
    all.push(b"Subject: header only, no empty line\r\n".to_vec());
    all.push(b"From: <a@b>, \"Q. Uoted\" <q@example.org>\r\nTo: Group: a@example.org, b@example.org;\r\nCc:\r\nSubject: odd addresses\r\n\r\nx\r\n".to_vec());
    all.push(b"Subject: attachment\r\nContent-Type: application/octet-stream; name=\"a b.bin\"\r\nContent-Transfer-Encoding: base64\r\nContent-ID: <c@d>\r\nContent-Description: thing\r\n\r\nAAECAwQF\r\n".to_vec());
    all
}

/// Numbers without chance.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    fn set(&mut self, count: usize) -> String {
        let (a, b) = (self.below(count) + 1, self.below(count) + 1);
        match self.below(5) {
            0 => "1:*".to_owned(),
            1 => format!("{a}:{b}"),
            2 => format!("{a},{b},*"),
            _ => a.to_string(),
        }
    }

    fn items(&mut self) -> String {
        let simple =
            ["UID", "FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY", "BODYSTRUCTURE", "RFC822.HEADER"];
        let mut items = Vec::new();
        for _ in 0..=self.below(3) {
            items.push(match self.below(2) {
                0 => self.of(&simple).to_owned(),
                _ => self.section(),
            });
        }
        // The same item twice is told once by one server, twice by another.
        items.sort();
        items.dedup_by_key(|item| item.split('<').next().unwrap().to_owned());
        format!("({})", items.join(" "))
    }

    fn section(&mut self) -> String {
        let path = self.of(&["", "", "1", "2", "1.1", "1.2", "2.1", "3"]);
        let fields = "HEADER.FIELDS (SUBJECT FROM X-Canary)";
        let part = match path {
            "" => self.of(&["", "HEADER", "TEXT", fields, "HEADER.FIELDS.NOT (Received Date)"]),
            _ => self.of(&["", "", "MIME", "HEADER", "TEXT"]),
        };
        let dot = if path.is_empty() || part.is_empty() { "" } else { "." };
        let partial = match self.below(4) {
            0 => format!("<{}.{}>", self.below(400), self.below(400) + 1),
            _ => String::new(),
        };
        format!("BODY.PEEK[{path}{dot}{part}]{partial}")
    }

    fn key(&mut self, count: usize, depth: usize) -> String {
        let words = ["canary", "the", "boathouse", "inner", "text", "example", "Miso", "zzz", "subject", "hello", "e"];
        let days = ["14-Jul-2017", "20-Jul-2017", "1-Aug-2017", "3-Mar-2026", "1-Jan-2016", "1-Jun-2026"];
        match self.below(if depth > 2 { 8 } else { 11 }) {
            0 => format!("{} \"{}\"", self.of(&["SUBJECT", "FROM", "TO", "CC", "BODY", "TEXT"]), self.of(&words)),
            1 => format!("BODY \"{}\"", self.of(&words)),
            2 => format!("{} {}", self.of(&["BEFORE", "ON", "SINCE"]), self.of(&days)),
            3 => format!("{} {}", self.of(&["SENTBEFORE", "SENTON", "SENTSINCE"]), self.of(&days)),
            4 => format!("{} {}", self.of(&["LARGER", "SMALLER"]), self.below(3_000)),
            5 => self
                .of(&["SEEN", "UNSEEN", "FLAGGED", "ANSWERED", "UNANSWERED", "DELETED", "ALL", "UNDRAFT"])
                .to_owned(),
            6 => format!(
                "HEADER {} \"{}\"",
                self.of(&["Subject", "Received", "Content-Type", "X-None"]),
                self.of(&["", "a", "text"])
            ),
            7 => self.set(count),
            8 => format!("NOT {}", self.key(count, depth + 1)),
            9 => format!("OR {} {}", self.key(count, depth + 1), self.key(count, depth + 1)),
            _ => format!("({} {})", self.key(count, depth + 1), self.key(count, depth + 1)),
        }
    }

    fn order(&mut self, count: usize) -> String {
        let keys = ["ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO"];
        let key = self.key(count, 2);
        match self.below(4) {
            0 => format!("THREAD {} UTF-8 {key}", self.of(&["REFERENCES", "ORDEREDSUBJECT"])),
            1 => format!("THREAD {} UTF-8 ALL", self.of(&["REFERENCES", "ORDEREDSUBJECT"])),
            _ => {
                let mut keys: Vec<String> =
                    (0..=self.below(2)).map(|_| format!("{}{}", self.of(&["", "REVERSE "]), self.of(&keys))).collect();
                keys.dedup();
                // In Dovecot not all messages without Cc are alike.
                if keys.iter().any(|key| key.contains("CC")) {
                    keys = vec!["CC".to_owned()];
                }
                format!("SORT ({}) UTF-8 {key}", keys.join(" "))
            }
        }
    }

    fn returns(&mut self) -> String {
        let of = ["MIN", "MAX", "COUNT", "ALL", "MIN MAX", "COUNT ALL", ""];
        self.of(&of).to_owned()
    }
}

/// What may differ: names of media types and the like in upper or lower case; flags in any order, without those that say what the bridge knows; an empty string may
/// be written as NIL in a structure.
fn canonical(name: &str, value: &Value) -> Value {
    match name {
        "FLAGS" => {
            let Value::List(flags) = value else { panic!("{value:?}") };
            let kept = flags
                .iter()
                .filter(|flag| !matches!(flag, Value::Atom(flag) if flag == "\\Recent" || flag.starts_with("$Sealed")));
            let mut kept: Vec<Value> = kept.cloned().collect();
            kept.sort();
            Value::List(kept)
        }
        "BODY" | "BODYSTRUCTURE" => lower(value),
        // Dovecot shows a run of blanks as one.
        "ENVELOPE" if one(value).contains("undisclosed recipients") => {
            Value::Atom("several words that are no address".to_owned())
        }
        "ENVELOPE" => blanks(value),
        // To which part the line end before a delimiter belongs when a multipart ends within another: RFC 2046 §5.1.1 says to the delimiter.
        part if ["BODY[1", "BODY[2"].iter().any(|start| part.starts_with(start)) => match value {
            Value::Text(text) => Value::Text(text.trim_ascii_end().to_vec()),
            other => other.clone(),
        },
        // What a piece that ends in the midst of the last line end has of it.
        part if part.contains("FIELDS.NOT") && part.ends_with('>') => match value {
            Value::Text(text) => Value::Text(text.trim_ascii_end().to_vec()),
            other => other.clone(),
        },
        _ => value.clone(),
    }
}

fn blanks(value: &Value) -> Value {
    match value {
        Value::Text(text) => Value::Text(
            text.split(|octet| *octet == b' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(&b' '),
        ),
        Value::List(values) => Value::List(values.iter().map(blanks).collect()),
        atom => atom.clone(),
    }
}

fn lower(value: &Value) -> Value {
    match value {
        Value::Atom(atom) => Value::Atom(atom.to_ascii_lowercase()),
        Value::Text(text) => Value::Text(text.to_ascii_lowercase()),
        Value::List(values) => Value::List(values.iter().map(lower).collect()),
    }
}

fn answers(client: &mut Client, line: &str) -> Vec<(u32, Vec<(String, Value)>)> {
    let mut fetched = client.good(line).fetched();
    for (_, items) in &mut fetched {
        for (name, value) in items.iter_mut() {
            *value = canonical(name, value);
            // Names of fields that were asked for: as asked, or in upper case.
            *name = name.to_ascii_uppercase();
        }
        items.sort();
    }
    fetched
}

pub fn own(path: &Path, like: &Path) {
    use std::os::unix::fs::MetadataExt;
    let owner = fs::metadata(like).unwrap();
    let mut all = vec![path.to_path_buf()];
    while let Some(path) = all.pop() {
        let _ = std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid()));
        if path.is_dir() {
            all.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

#[test]
fn sealed_mail_through_the_bridge_is_as_plain_mail_in_dovecot() {
    if !testbed::servers() {
        return;
    }
    let corpus = corpus();
    let scene = Scene::sealed(&corpus);
    let dovecot = testbed::Dovecot::start(testbed::Format::Maildir);
    let mut plain = Client::logged_in(dovecot.imap(), "alice", "alice-pw");
    plain.good("SELECT INBOX");
    plain.good("UNSELECT");
    put(&dovecot.mail().join("Maildir"), &corpus);
    own(&dovecot.mail().join("Maildir"), &dovecot.mail());
    let bridge = scene.bridge();
    let mut sealed = bridge.client();
    for client in [&mut plain, &mut sealed] {
        let told = client.good("SELECT INBOX").text();
        assert!(told.contains(&format!("* {} EXISTS", corpus.len())), "{told}");
    }
    compare(&mut plain, &mut sealed, &corpus, COMMANDS);
}

/// Generated commands to both.
pub fn compare(plain: &mut Client, sealed: &mut Client, corpus: &[Vec<u8>], commands: usize) {
    let broken =
        corpus.iter().position(|mail| crate::program::holds(mail, b"Content-Transfer-Encoding: 7-bit")).unwrap();
    let broken = u32::try_from(broken).unwrap() + 1;
    let mut dice = Dice(0x5eed_5eed_5eed_5eed);
    let mut differ = Vec::new();
    for _ in 0..commands {
        let which = dice.of(&["", "UID "]);
        let line = format!("{which}FETCH {} {}", dice.set(corpus.len()), dice.items());
        let (expected, found) = (answers(plain, &line), answers(sealed, &line));
        if expected != found {
            let pair = expected.iter().zip(&found).find(|(a, b)| a != b);
            differ.push(format!(
                "{line}\n  Dovecot {:?}\n  bridge  {:?}",
                pair.map(|pair| show(pair.0)),
                pair.map(|pair| show(pair.1))
            ));
        }
        let line = format!("{which}SEARCH {}", dice.key(corpus.len(), 0));
        // A transfer encoding that nobody knows: Dovecot searches nothing of such a part, we search it as it is.
        let of = |client: &mut Client| -> Vec<u32> {
            client.good(&line).found().into_iter().filter(|number| *number != broken).collect()
        };
        let (expected, found) = (of(plain), of(sealed));
        if expected != found {
            differ.push(format!("{line}\n  Dovecot {expected:?}\n  bridge  {found:?}"));
        }
    }
    for _ in 0..commands / 3 {
        let which = dice.of(&["", "UID "]);
        let order = dice.order(corpus.len());
        let (returns, key) = (dice.returns(), dice.key(corpus.len(), 1));
        for line in [format!("{which}{order}"), format!("{which}SEARCH RETURN ({returns}) {key}")] {
            // See above.
            if line.contains("TEXT") || line.contains("BODY") {
                continue;
            }
            // Words that are no address count for one of two things in To.
            let of = |client: &mut Client| -> String {
                let told = untagged(client, &line);
                if !line.contains(" TO") && !line.contains("(TO") {
                    return told;
                }
                let number = broken.to_string();
                told.split(' ').filter(|word| *word != number).collect::<Vec<_>>().join(" ")
            };
            let (expected, found) = (of(plain), of(sealed));
            if expected != found {
                differ.push(format!("{line}\n  Dovecot {expected:?}\n  bridge  {found:?}"));
            }
        }
    }
    assert!(
        differ.is_empty(),
        "{} of {} differ:\n{}",
        differ.len(),
        2 * commands,
        differ[..differ.len().min(12)].join("\n")
    );
}

/// What SORT, THREAD or SEARCH was answered with, without the tag.
fn untagged(client: &mut Client, line: &str) -> String {
    let answer = client.good(line);
    let lines = answer.untagged.iter().map(|line| String::from_utf8_lossy(line).into_owned());
    let told = lines.filter(|line| ["* SORT", "* THREAD", "* ESEARCH"].iter().any(|verb| line.starts_with(verb)));
    let told: String = told.collect();
    match told.split_once("(TAG ").and_then(|(_, rest)| rest.split_once(')')) {
        Some((_, rest)) => rest.trim_end().to_owned(),
        None => told.trim_end().to_owned(),
    }
}

fn show((number, items): &(u32, Vec<(String, Value)>)) -> String {
    let texts = items.iter().map(|(name, value)| format!("{name} = {}", one(value)));
    format!("{number}: {}", texts.collect::<Vec<_>>().join("; "))
}

fn one(value: &Value) -> String {
    match value {
        Value::Atom(atom) => atom.clone(),
        Value::Text(text) => format!("{:?}", String::from_utf8_lossy(&text[..text.len().min(300)])),
        Value::List(values) => format!("({})", values.iter().map(one).collect::<Vec<_>>().join(" ")),
    }
}
