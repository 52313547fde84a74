//! `demo`: the whole story on this machine. Sample mail in a Maildir, sealed on disk, subjects listed from headers only,
//! searched for in every byte on disk, opened again byte for byte. Nothing is printed that was not checked in this run.

use std::{
    collections::BTreeMap,
    fs,
    io::{Cursor, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use mail::{HeaderSection, decode_words};
use sealed::outer::read_header_section;

use crate::{
    args::{Demo, Init, NewPassphrase},
    command::{init, print},
    config::Config,
    failure::{DoingWhat, Exit, Failure},
    flows,
    home::{self, Home},
    keys::Reading,
};

/// The sample mails, written for this project.
const SAMPLES: [(&str, &[u8]); 11] = [
    ("plain", include_bytes!("../../../../testdata/samples/plain.eml")),
    ("html-attachment", include_bytes!("../../../../testdata/samples/html-attachment.eml")),
    ("calendar", include_bytes!("../../../../testdata/samples/calendar.eml")),
    ("eight-bit", include_bytes!("../../../../testdata/samples/eight-bit.eml")),
    ("eight-bit-latin1", include_bytes!("../../../../testdata/samples/eight-bit-latin1.eml")),
    ("signed", include_bytes!("../../../../testdata/samples/signed.eml")),
    ("broken", include_bytes!("../../../../testdata/samples/broken.eml")),
    ("thread-1", include_bytes!("../../../../testdata/samples/thread-1.eml")),
    ("thread-2", include_bytes!("../../../../testdata/samples/thread-2.eml")),
    ("newsletter", include_bytes!("../../../../testdata/samples/newsletter.eml")),
    ("long-subject", include_bytes!("../../../../testdata/samples/long-subject.eml")),
];
/// Stands once in the body of every sample, in clear.
const CANARY: &[u8] = b"canary-7f3a-only-the-owner-reads-this";
const ADDRESS: &str = "alice@example.org";
const FLOW: &str = "demo";
/// The first sample's moment of arrival: Unix seconds.
const ARRIVED: u64 = 1_790_000_000;

/// Tells the story.
pub fn run(demo: &Demo) -> Result<(), Failure> {
    let started = Instant::now();
    let scene = Scene::build(demo.directory.as_deref())?;
    let Scene { root, maildir, home } = &scene;

    say("Sealpost: your mail stays on their server; only you can read it.\n")?;
    say(&format!("1. {} sample mails arrive in a Maildir, as any mail server keeps them.\n", SAMPLES.len()))?;
    let before = listed(maildir, outer_view)?;
    table("   What the provider sees", &before)?;
    let readable = files_with_canary(root)?;
    claim(readable.len() == SAMPLES.len(), "every sample can be read on disk before it is sealed")?;
    say(&format!("   A line that stands in every mail is readable in {} files on disk.\n\n", readable.len()))?;

    say("2. sealpost sweep: each is sealed, read back, compared, and only then takes the original's place.\n")?;
    let stop = Arc::default();
    let settings = flows::settings(home, &Config::read(home)?, FLOW, &stop)?;
    let swept = flow::sweep(&settings, &mut (), &stop)?;
    claim(swept.sealed.messages == SAMPLES.len() as u64, "every sample was sealed")?;
    let reading = Reading::find(home, None, None, None)?;
    table("   What the provider sees now", &listed(maildir, outer_view)?)?;
    let inner = listed(maildir, |header| {
        let index = open::headers(header, &reading.keys, &reading.trust)?;
        Ok(shown(&index.fields))
    })?;
    table("   What you see, from the headers alone: no body was read", &inner)?;
    claim(without_order(&inner) == without_order(&before), "the list shows every true sender and Subject")?;

    say("3. The same line is searched for in every byte of every file: mail, state, keys.\n")?;
    let leaks = files_with_canary(root)?;
    claim(leaks.is_empty(), "no sealed mail can be read on disk")?;
    say(&format!("   Found in {} files.\n\n", leaks.len()))?;

    say("4. Every mail is opened again and compared with what arrived.\n")?;
    let opened = opened(maildir, &reading)?;
    let arrived: BTreeMap<&[u8], &str> = SAMPLES.iter().map(|(name, octets)| (*octets, *name)).collect();
    claim(opened.len() == SAMPLES.len(), "every mail is there once")?;
    for (name, octets) in SAMPLES {
        claim(opened.iter().filter(|original| original.as_slice() == octets).count() == 1, name)?;
    }
    let octets: usize = arrived.keys().map(|octets| octets.len()).sum();
    say(&format!("   {} of {} are the same, octet for octet ({octets} in all).\n", opened.len(), SAMPLES.len()))?;
    claim(kept(maildir)?, "flags and dates were kept")?;
    say("   Flags and dates are as they were.\n\n")?;

    say(&summary(root, started))
}

/// Where it plays.
struct Scene {
    root: PathBuf,
    maildir: PathBuf,
    home: Home,
}

impl Scene {
    fn build(directory: Option<&Path>) -> Result<Self, Failure> {
        let root = match directory {
            Some(directory) => new_directory(directory)?,
            None => tempfile::Builder::new()
                .prefix("sealpost-demo-")
                .tempdir()
                .doing(Exit::Temporary, "cannot make a temporary directory")?
                .keep(),
        };
        let maildir = root.join("Maildir");
        for folder in ["cur", "new", "tmp"] {
            fs::create_dir_all(maildir.join(folder)).doing(Exit::Temporary, "cannot make the Maildir")?;
        }
        for (position, (name, octets)) in SAMPLES.iter().enumerate() {
            let (folder, flags) = if position % 3 == 2 { ("new", "") } else { ("cur", ":2,S") };
            let arrived = ARRIVED + position as u64 * 3600;
            let file = maildir.join(folder).join(format!("{arrived}.M{position}P1.example,S={}{flags}", octets.len()));
            fs::write(&file, octets).doing(Exit::Temporary, format_args!("cannot write the sample {name}"))?;
            let moment = std::time::UNIX_EPOCH + std::time::Duration::from_secs(arrived);
            let dated = fs::File::options().write(true).open(&file).and_then(|file| file.set_modified(moment));
            dated.doing(Exit::Temporary, "cannot date a sample")?;
        }
        let home = Home::find(Some(&root.join("home")))?;
        // The keys of a demo need no passphrase: they open nothing but the samples.
        let init = Init {
            address: Some(ADDRESS.to_owned()),
            sealer: false,
            recovery: Some(root.join("recovery-key.asc")),
            recovery_passphrase_file: None,
            v6: false,
            smime: false,
            p12: None,
            p12_passphrase_file: None,
            readers: Vec::new(),
            passphrase: NewPassphrase { passphrase_file: None, no_passphrase: true },
        };
        init::make(&home, &init)?;
        let path = toml::Value::String(maildir.display().to_string());
        let config = format!(
            "[flow.{FLOW}]\nsource = {{ maildir = {path} }}\nseal   = {{ to = \"{ADDRESS}\" }}\nsink   = \"in-place\"\n"
        );
        home::replace(&home.config(), config.as_bytes(), 0o600)?;
        Ok(Self { root, maildir, home })
    }
}

fn new_directory(directory: &Path) -> Result<PathBuf, Failure> {
    let taken = fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some());
    if taken {
        return Err(Failure::new(Exit::Usage, format_args!("{} is not empty", directory.display()))
            .hint("name a new directory, or none: then a temporary one is made"));
    }
    fs::create_dir_all(directory).doing(Exit::Usage, format_args!("cannot make {}", directory.display()))?;
    fs::canonicalize(directory).doing(Exit::Usage, "cannot find the directory")
}

/// Sender and Subject, as a mail program would list them.
type Row = (String, String);

fn listed(maildir: &Path, view: impl Fn(&[u8]) -> Result<Row, Failure>) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for file in mails(maildir)? {
        let file = fs::File::open(&file).doing(Exit::Temporary, "cannot read a mail")?;
        let mut from = std::io::BufReader::with_capacity(4096, file);
        let header = read_header_section(&mut from).doing(Exit::Temporary, "cannot read a mail")?;
        let (header, _) = header.ok_or_else(|| Failure::new(Exit::Data, "a header section is too large"))?;
        rows.push(view(&header)?);
    }
    Ok(rows)
}

fn outer_view(header: &[u8]) -> Result<Row, Failure> {
    Ok(shown(header))
}

fn shown(header: &[u8]) -> Row {
    let section = HeaderSection::parse(header);
    let field = |name| section.first(name).map(|field| decode_words(&field.unfolded())).unwrap_or_default();
    (field("From"), field("Subject"))
}

fn without_order(rows: &[Row]) -> Vec<Row> {
    let mut rows = rows.to_vec();
    rows.sort();
    rows
}

fn table(title: &str, rows: &[Row]) -> Result<(), Failure> {
    let mut text = format!("{title}:\n");
    for (from, subject) in rows {
        text.push_str(&format!("     {:<32}  {}\n", cut(from, 32), cut(subject, 60)));
    }
    text.push('\n');
    say(&text)
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(std::iter::once('…')).collect()
}

/// Files of the Maildir in the order of their arrival.
fn mails(maildir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for folder in ["cur", "new", "tmp"] {
        for entry in fs::read_dir(maildir.join(folder)).doing(Exit::Temporary, "cannot list the Maildir")? {
            let path = entry.doing(Exit::Temporary, "cannot list the Maildir")?.path();
            let arrived = fs::metadata(&path).and_then(|metadata| metadata.modified());
            files.push((arrived.doing(Exit::Temporary, "cannot look at a mail")?, path));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// Every file below a directory in which the canary stands.
fn files_with_canary(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).doing(Exit::Temporary, "cannot list a directory")? {
            let path = entry.doing(Exit::Temporary, "cannot list a directory")?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut octets = Vec::new();
            let read = fs::File::open(&path).and_then(|mut file| file.read_to_end(&mut octets));
            read.doing(Exit::Temporary, "cannot read a file")?;
            if octets.windows(CANARY.len()).any(|window| window == CANARY) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn opened(maildir: &Path, reading: &Reading) -> Result<Vec<Vec<u8>>, Failure> {
    let mut originals = Vec::new();
    for file in mails(maildir)? {
        let octets = fs::read(&file).doing(Exit::Temporary, "cannot read a mail")?;
        let opened = open::open(&mut octets.as_slice(), Cursor::new(Vec::new()), &reading.keys, &reading.trust)?;
        let mut original = Vec::new();
        opened.write(&mut original)?;
        originals.push(original);
    }
    Ok(originals)
}

/// The same flags and dates as in the beginning?
fn kept(maildir: &Path) -> Result<bool, Failure> {
    let mut as_they_were = true;
    for (position, file) in mails(maildir)?.iter().enumerate() {
        let modified = fs::metadata(file)
            .and_then(|metadata| metadata.modified())
            .doing(Exit::Temporary, "cannot look at a mail")?;
        let seconds = modified.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let seen = file.to_string_lossy().ends_with(":2,S");
        as_they_were &= seconds == ARRIVED + position as u64 * 3600 && seen == (position % 3 != 2);
    }
    Ok(as_they_were)
}

fn summary(root: &Path, started: Instant) -> String {
    let root = root.display();
    format!(
        "All of it was checked in this run, in {:.1} s.\n\n\
         Look for yourself:\n\
         \x20 the sealed mail       {root}/Maildir\n\
         \x20 keys and config       {root}/home\n\
         \x20 the recovery key      {root}/recovery-key.asc   (yours would lie in a drawer)\n\n\
         \x20 sealpost --home {root}/home status {FLOW}\n\
         \x20 sealpost --home {root}/home open < MAIL\n\
         \x20 sealpost --home {root}/home undo {FLOW}\n",
        started.elapsed().as_secs_f64()
    )
}

fn say(text: &str) -> Result<(), Failure> {
    print(text)
}

/// What is printed next is true, or the demo ends here.
fn claim(holds: bool, what: &str) -> Result<(), Failure> {
    if holds {
        return Ok(());
    }
    Err(Failure::new(Exit::Data, format_args!("the demo's claim does not hold: {what}"))
        .hint("this is a bug: please report it"))
}
