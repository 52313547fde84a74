//! `held`: mail that was held on a mail server, looked at and let go, where the holding key is (A16). In: a Maildir of held mail, copied or mounted
//! from the server. Out: each message sealed anew to whom it is for, handed on, and only then removed here. The holding key opens everything that was
//! held: it has no place on the server.

use std::{
    fs::{self, File},
    io::{self, BufReader, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use flow::directory::Lookup;
use open::Opened;
use seal::{NewId, OuterId, Padding};
use sealed::{index::Way, scratch::Scratch};
use serde::Serialize;
use tempfile::SpooledTempFile;
use wire::smtp::{
    Dialect, MailFrom, Place, RcptTo, Shape,
    client::{Content, NextHop, Pool},
};

use crate::{
    args::{self, HeldSecret, Where},
    clock,
    command::{deliver::wait_for, directory, print, print_json},
    failure::{DoingWhat, Exit, Failure, with_causes},
    home::Home,
    keys::Reading,
    tell::tell,
};

/// Ciphertext that is kept in memory, octets.
const IN_MEMORY: usize = 1024 * 1024;

/// Runs a command.
pub fn run(home: &Home, command: &args::Held) -> Result<(), Failure> {
    match command {
        args::Held::List { maildir, secret, json } => list(home, maildir, secret, json.json),
        args::Held::Release { maildir, to, rcpt, place, secret } => {
            Release::new(home, to, place, secret)?.all(maildir, rcpt.as_deref())
        }
    }
}

#[derive(Serialize)]
struct Line {
    file: PathBuf,
    held: u64,
    from: String,
    to: String,
    size: u64,
}

fn list(home: &Home, maildir: &Path, secret: &HeldSecret, json: bool) -> Result<(), Failure> {
    let reading = reading(home, secret)?;
    let (mut lines, mut broken) = (Vec::new(), 0_u64);
    for file in messages(maildir)? {
        match open_file(&file, &reading) {
            Ok(opened) => {
                let (from, to) = envelope(&opened);
                let index = &opened.index;
                lines.push(Line { file, held: index.time, from, to, size: index.length });
            }
            Err(failure) => {
                broken += 1;
                tell(format_args!("{}: {}", file.display(), failure.error));
            }
        }
    }
    if json {
        print_json(&lines)?;
    } else {
        let shown =
            |line: &Line| format!("{}  {:>10}  {}  ->  {}\n", clock::shown(line.held), line.size, line.from, line.to);
        print(&lines.iter().map(shown).collect::<String>())?;
    }
    not_opened(broken)
}

fn not_opened(broken: u64) -> Result<(), Failure> {
    match broken {
        0 => Ok(()),
        count => Err(Failure::new(Exit::Data, format_args!("{count} held messages stay where they are"))
            .hint("each is named above, with the reason")),
    }
}

/// Lets held mail go.
struct Release<'a> {
    home: &'a Home,
    reading: Reading,
    directory: flow::directory::Directory,
    to: Target,
}

enum Target {
    Maildir(PathBuf),
    Hop(Arc<Pool>, tokio::runtime::Runtime),
}

impl<'a> Release<'a> {
    fn new(home: &'a Home, to: &str, place: &Where, secret: &HeldSecret) -> Result<Self, Failure> {
        let hop = |dialect, text: &str| -> Result<Target, Failure> {
            let place: Place = text.parse().doing(Exit::Usage, format_args!("{text:?} is no address"))?;
            let mut next = NextHop::new(place, dialect, "localhost".to_owned());
            if !next.place.is_near() {
                next.security = wire::smtp::client::Security::StartTls;
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            Ok(Target::Hop(Arc::new(Pool::new(next)), runtime.doing(Exit::Unavailable, "cannot begin")?))
        };
        let to = match to.split_once(':') {
            Some(("lmtp", place)) => hop(Dialect::Lmtp, place)?,
            Some(("smtp", place)) => hop(Dialect::Smtp, place)?,
            _ => Target::Maildir(PathBuf::from(to)),
        };
        Ok(Self { home, reading: reading(home, secret)?, directory: directory::find(home, place)?, to })
    }

    fn all(&self, maildir: &Path, rcpt: Option<&str>) -> Result<(), Failure> {
        let (mut released, mut left, mut stay) = (0_u64, 0_u64, 0_u64);
        for file in messages(maildir)? {
            match self.one(&file, rcpt) {
                Ok(true) => released += 1,
                Ok(false) => left += 1,
                Err(failure) => {
                    stay += 1;
                    tell(format_args!("{}: {}", file.display(), failure.error));
                }
            }
        }
        let others = if left > 0 { format!(", {left} are for others") } else { String::new() };
        tell(format_args!("{released} released{others}"));
        not_opened(stay)
    }

    /// False: it is for somebody else.
    fn one(&self, file: &Path, rcpt: Option<&str>) -> Result<bool, Failure> {
        let opened = open_file(file, &self.reading)?;
        let (from, to) = envelope(&opened);
        if to.is_empty() {
            return Err(Failure::new(Exit::Data, "it does not say whom it is for"));
        }
        if rcpt.is_some_and(|rcpt| !rcpt.eq_ignore_ascii_case(&to)) {
            return Ok(false);
        }
        let owner = match wait_for(self.directory.lookup(&to))? {
            Lookup::Owner(owner) => owner,
            Lookup::Unknown => return Err(Failure::new(Exit::Config, "there is no key for whom it is for yet")),
            Lookup::Unusable(why) => return Err(Failure::new(Exit::Config, why)),
        };
        let mut original = Scratch::new(opened.length(), Arc::new(crate::spool::place));
        opened.write(&mut original).doing(Exit::Temporary, "cannot read it")?;
        let mut original = original.finish().doing(Exit::Temporary, "cannot read it")?;
        let sealer = self.home.sealer()?;
        let settings = seal::Settings {
            account: owner.account,
            recipients: &owner.recipients,
            sealer: &sealer,
            profile: owner.enrolment.profile(),
            policy: owner.enrolment.policy,
            outer_id: OuterId::Kept,
            outer_from: None,
            compression: seal::Compression::Auto,
            padding: Padding::Bucket,
            id: NewId::Random,
            sequence: 0,
            time: clock::now(),
            way: Way::Delivery,
            place: seal::Place { envelope: vec![from.clone(), to.clone()], ..seal::Place::default() },
        };
        let mut copy = SpooledTempFile::new(IN_MEMORY);
        seal::seal(&mut original, crate::spool::place, &mut copy, &settings)?;
        self.put(copy, from, to)?;
        // It is where it belongs, and durable there; here it is not needed any more.
        fs::remove_file(file).doing(Exit::Temporary, "released, but it could not be removed here")?;
        Ok(true)
    }

    fn put(&self, mut copy: SpooledTempFile, from: String, to: String) -> Result<(), Failure> {
        copy.flush().doing(Exit::Temporary, "cannot write the sealed message")?;
        let length = copy.seek(SeekFrom::End(0)).doing(Exit::Temporary, "cannot read the sealed message")?;
        copy.rewind().doing(Exit::Temporary, "cannot read the sealed message")?;
        match &self.to {
            Target::Maildir(path) => {
                let delivered = store::maildir::deliver(path, |out| io::copy(&mut copy, out).map(|_| ()));
                delivered.map(|_| ()).doing(Exit::Temporary, format_args!("cannot deliver to {}", path.display()))
            }
            Target::Hop(pool, runtime) => {
                let smtputf8 = !from.is_ascii() || !to.is_ascii();
                let from = MailFrom { address: from, smtputf8, ..MailFrom::default() };
                let to = [RcptTo { address: to, ..RcptTo::default() }];
                let content = Content { length, shape: Shape::Lines, octets: Box::new(copy) };
                let replies = runtime.block_on(pool.deliver(&from, &to, None, content));
                let replies = replies.map_err(|error| Failure::new(Exit::Temporary, with_causes(&error)))?;
                match replies.first() {
                    Some(reply) if reply.is_positive() => Ok(()),
                    Some(reply) => Err(Failure::new(
                        Exit::Temporary,
                        format_args!("the next server refuses it ({})", reply.code()),
                    )),
                    None => Err(Failure::new(Exit::Temporary, "the next server does not answer")),
                }
            }
        }
    }
}

fn reading(home: &Home, secret: &HeldSecret) -> Result<Reading, Failure> {
    Reading::find(home, None, secret.trust_sealer.as_deref(), secret.passphrase.passphrase_file.as_deref())
}

fn open_file(file: &Path, reading: &Reading) -> Result<Opened<SpooledTempFile>, Failure> {
    let octets = File::open(file).doing(Exit::Temporary, "cannot be read")?;
    let mut octets = BufReader::with_capacity(64 * 1024, octets);
    Ok(open::open(&mut octets, SpooledTempFile::new(IN_MEMORY), &reading.keys, &reading.trust)?)
}

fn envelope(opened: &Opened<SpooledTempFile>) -> (String, String) {
    let mut envelope = opened.index.envelope.iter().cloned();
    (envelope.next().unwrap_or_default(), envelope.next().unwrap_or_default())
}

/// Files of a Maildir, the oldest first.
fn messages(maildir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for folder in ["cur", "new"] {
        let folder = maildir.join(folder);
        let entries = fs::read_dir(&folder)
            .doing(Exit::Config, format_args!("cannot read {}", folder.display()))
            .map_err(|failure| failure.hint("name the Maildir from `hold = { maildir = … }`, or a copy of it"))?;
        files.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    files
        .sort_by_key(|file: &PathBuf| (fs::metadata(file).and_then(|metadata| metadata.modified()).ok(), file.clone()));
    Ok(files)
}
