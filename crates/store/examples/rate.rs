//! Measures replacements a second in a fresh Maildir under the directory given, with every sync.
//!
//! `rate DIRECTORY [MESSAGES [BATCH [OCTETS]]]`. Prints one line; the copy is the original with one octet changed.
#![expect(clippy::unwrap_used, reason = "a measurement run by hand")]

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Instant;

use store::journal::{Begin, State};
use store::maildir::Publish;
use store::{Database, Journal, Maildir, Message, Proof, Published, Replacer, Retired, UnixSeconds, Unsynced};

struct Compared;

impl Proof for Compared {}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, or: usize| arguments.get(index).map_or(or, |text| text.parse().unwrap());
    let home = PathBuf::from(arguments.first().unwrap()).join(format!("rate-{}", std::process::id()));
    let (messages, batch, octets) = (number(1, 5_000), number(2, 100), number(3, 8_192));
    for part in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(home.join("mail").join(part)).unwrap();
    }
    for message in 0..messages {
        std::fs::write(home.join(format!("mail/cur/{message}.x.host:2,S")), vec![b'x'; octets]).unwrap();
    }
    let maildir = Maildir::open(&home.join("mail")).unwrap();
    let inbox = maildir.inbox();
    let replacer = Replacer::open(maildir, &home).unwrap();
    let database = Database::open(&home.join("state.db")).unwrap();
    let journal = Journal::on(&database);
    let originals: Vec<Message> = inbox.messages().unwrap().map(Result::unwrap).collect();
    let began = Instant::now();
    for originals in originals.chunks(batch) {
        replace(&replacer, journal, originals);
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{messages} messages of {octets} octets, batches of {batch}: {:.0} replacements/s",
        messages as f64 / seconds
    );
    std::fs::remove_dir_all(home).unwrap();
}

fn replace(replacer: &Replacer, journal: Journal<'_>, originals: &[Message]) {
    let inbox = replacer.maildir().inbox();
    let now = UnixSeconds::now();
    let copies: Vec<_> = originals.iter().map(|_| replacer.new_unique()).collect();
    let pairs = || originals.iter().zip(&copies);
    let row = |(original, copy): (&'_ Message, &'_ store::Unique)| {
        (original.unique().as_bytes().to_vec(), copy.as_bytes().to_vec())
    };
    let names: Vec<_> = pairs().map(row).collect();
    let begin: Vec<Begin<'_>> = names
        .iter()
        .map(|(original, copy)| Begin { mailbox: "INBOX", original, copy, expectation: &[0; 128] })
        .collect();
    let ids = journal.begin("rate", &begin, now).unwrap();
    let written = pairs().map(|(original, copy)| {
        let mut octets = Vec::new();
        inbox.open(&mut original.clone()).unwrap().unwrap().read_to_end(&mut octets).unwrap();
        octets[0] = b'y';
        let mut staging = replacer.stage(&inbox, original, copy).unwrap();
        staging.write_all(&octets).unwrap();
        (staging.finish().unwrap(), octets)
    });
    let written: Vec<_> = written.collect();
    let (written, octets): (Vec<_>, Vec<_>) = written.into_iter().unzip();
    let staged = Unsynced::sync_batch(written).into_iter().map(Result::unwrap).zip(octets);
    let published = staged.map(|(copy, octets)| {
        let proven = copy.read_back(|mut file| {
            let mut back = Vec::new();
            file.read_to_end(&mut back)?;
            if back == octets { Ok(Compared) } else { Err(std::io::Error::other("differs")) }
        });
        match proven.unwrap().publish().unwrap() {
            Publish::Published(copy) => copy,
            Publish::OriginalGone | Publish::OriginalChanged => {
                panic!("somebody else is in this Maildir")
            }
        }
    });
    let durable = Published::make_durable(published.collect()).unwrap();
    let announced = journal.announce(&ids, now).unwrap();
    let retired = durable.into_iter().map(|copy| copy.retire(replacer, &announced).unwrap()).collect();
    Retired::make_durable(retired).unwrap();
    journal.advance(&ids, State::Done, now).unwrap();
}
