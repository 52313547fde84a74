//! `directory`: whose keys mail is sealed to on delivery. Entries are added only if a trial message could be sealed to them. The addresses that are
//! printed are those that somebody asked about.

use flow::directory::{Address, Directory, DirectoryError, Entry, Lookup, Owner, Tried, Unusable, trial, try_owner};
use serde::Serialize;

use crate::{
    args::{DirectoryCommand, Where},
    clock,
    command::{deliver::wait_for, print, print_json},
    config::{Config, Flow},
    directories,
    failure::{DoingWhat, Exit, Failure, with_causes},
    home::Home,
    tell::tell,
};

/// Runs a directory command.
pub fn run(home: &Home, command: &DirectoryCommand) -> Result<(), Failure> {
    match command {
        DirectoryCommand::Add { address, file, alias_of, force, place } => {
            let directory = find(home, place)?;
            let name = name(address)?;
            match (file, alias_of) {
                (Some(file), None) => add(home, &directory, &name, file, *force),
                (None, Some(other)) => {
                    let other = self::name(other)?;
                    if let (Lookup::Unknown, false) = (wait_for(directory.lookup(other.as_str()))?, *force) {
                        return Err(Failure::new(
                            Exit::Data,
                            format_args!("{} is not in the directory", other.as_str()),
                        )
                        .hint("add it first, or say --force"));
                    }
                    let entry = Entry::Alias(other.as_str().to_owned());
                    wait_for(directory.source().put(&name, &entry))?;
                    tell(format_args!("Mail for {} is sealed as mail for {}.", name.as_str(), other.as_str()));
                    Ok(())
                }
                _ => Err(Failure::new(Exit::Usage, "name either a file or --alias-of ADDRESS")
                    .hint("`sealpost directory add alice@example.org alice.enrolment`")),
            }
        }
        DirectoryCommand::List { json, place } => list(home, &find(home, place)?, Listing::All, json.json),
        DirectoryCommand::Check { json, place } => list(home, &find(home, place)?, Listing::Troubles, json.json),
        DirectoryCommand::Remove { address, place } => {
            let name = name(address)?;
            match wait_for(find(home, place)?.source().remove(&name))? {
                true => {
                    tell(format_args!("{} is not in the directory any more.", name.as_str()));
                    Ok(())
                }
                false => Err(Failure::new(Exit::Data, format_args!("{} is not in the directory", name.as_str()))
                    .hint("`sealpost directory list` shows who is")),
            }
        }
    }
}

/// The directory that was named, or that of the flow, or of the only flow that has one.
pub fn find(home: &Home, place: &Where) -> Result<Directory, Failure> {
    if let Some(name) = &place.directory {
        return directories::open(home, name);
    }
    let config = Config::read(home)?;
    let of = |flow: &Flow| match flow {
        Flow::Delivery(flow) => Some(flow.certificates.clone()),
        Flow::Mailboxes(_) | Flow::Forward(_) => None,
    };
    let found: Vec<String> = match &place.flow {
        Some(name) => of(config.flow(name)?).into_iter().collect(),
        None => config.flow.values().filter_map(of).collect(),
    };
    match found.as_slice() {
        [one] => directories::open(home, one),
        [first, rest @ ..] if rest.iter().all(|other| other == first) => directories::open(home, first),
        [] => Err(Failure::new(Exit::Usage, "no flow has a recipient directory")
            .hint("name one: --directory certs, --directory sqlite:recipients.db, --directory postgres://…")),
        _ => Err(Failure::new(Exit::Usage, "there is more than one directory").hint("name one: --flow NAME")),
    }
}

fn name(text: &str) -> Result<Address, Failure> {
    Address::parse(text).ok_or_else(|| {
        Failure::new(Exit::Usage, "this is no address").hint("`user@example.org`, or `@example.org` for a whole domain")
    })
}

fn add(home: &Home, directory: &Directory, name: &Address, file: &std::path::Path, force: bool) -> Result<(), Failure> {
    let octets = std::fs::read(file).doing(Exit::Config, format_args!("cannot read {}", file.display()))?;
    let owner = Owner::parse(&octets, clock::now()).map_err(|why| {
        // What is wrong with which key, if the file can be read that far.
        let said = seal::Enrolment::parse(&octets, clock::now()).err().map(|error| with_causes(&error));
        unusable(why, said)
    })?;
    let said = names(&owner);
    if !force && !said.is_empty() && !said.iter().any(|text| is_named(text, name.as_str())) {
        return Err(Failure::new(
            Exit::Data,
            format_args!("the file is for {}, not for {}", said.join(", "), name.as_str()),
        )
        .hint("whoever holds its key would read this mail; if that is right, say --force"));
    }
    let before = match wait_for(standing(directory, name))? {
        Some(Entry::Keys(octets)) => Owner::parse(&octets, clock::now())
            .map_or_else(|why| vec![format!("an entry that was of no use: {why}")], |owner| owner.fingerprints()),
        Some(Entry::Alias(other)) => vec![format!("an alias of {other}")],
        None => Vec::new(),
    };
    let keys = match try_owner(&owner, &home.sealer()?) {
        Tried::Good { keys, .. } => keys,
        _ => return Err(unusable(Unusable::Unfit, None)),
    };
    wait_for(directory.source().put(name, &Entry::Keys(octets)))?;
    tell(format_args!("Mail for {} is sealed from now on; a trial message was. Its keys:", name.as_str()));
    for key in &keys {
        tell(format_args!("  {key}"));
    }
    for gone in before.iter().filter(|before| !keys.contains(before)) {
        tell(format_args!("It replaces {gone}."));
    }
    if let Some(expires) = owner.expires {
        tell(format_args!("until {}", clock::shown(expires)));
    }
    tell("Compare them with what the owner sees: `sealpost key list`, `gpg --fingerprint`.");
    Ok(())
}

/// What stands under a name now. A directory that is not there yet is made by the first entry.
async fn standing(directory: &Directory, name: &Address) -> Result<Option<Entry>, DirectoryError> {
    match directory.source().find(&[name.as_str().to_owned()]).await {
        Err(DirectoryError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        found => found,
    }
}

/// For whom a file says that it is.
fn names(owner: &Owner) -> Vec<String> {
    let ids = owner.enrolment.used().flat_map(|certificate| certificate.user_ids.iter());
    let mut names: Vec<String> =
        owner.enrolment.addresses.iter().chain(ids).filter(|text| text.contains('@')).cloned().collect();
    names.sort();
    names.dedup();
    names
}

/// Is it this address, or somebody of this domain (`@example.org`)? `text`: an address, or a user id with one.
fn is_named(text: &str, name: &str) -> bool {
    let inner = text.rsplit_once('<').and_then(|(_, rest)| rest.strip_suffix('>')).unwrap_or(text);
    let Some(said) = Address::parse(inner) else { return false };
    said.names().iter().any(|said| said == name) || (name.starts_with('@') && said.as_str().ends_with(name))
}

fn unusable(why: Unusable, said: Option<String>) -> Failure {
    let hint = match why {
        Unusable::Expired => {
            "get the owner's new file: `sealpost key enrolment`, or `gpg --export --armor ADDRESS`; with gpg, subkeys are renewed on their own: `gpg --quick-set-expire FINGERPRINT 1y '*'`"
        }
        Unusable::Revoked => "get the owner's new file: `sealpost key enrolment`, or `gpg --export --armor ADDRESS`",
        Unusable::Secret => "the owner must hand in the public file only: `sealpost key enrolment`, `gpg --export`",
        _ => "let the owner write it again: `sealpost key enrolment`, or `gpg --export --armor ADDRESS`",
    };
    let why = said.unwrap_or_else(|| why.to_string());
    Failure::new(Exit::Data, format_args!("no mail can be sealed to this: {why}")).hint(hint)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Listing {
    All,
    Troubles,
}

#[derive(Serialize)]
struct Line {
    address: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    days_left: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable: Option<String>,
}

fn list(home: &Home, directory: &Directory, listing: Listing, json: bool) -> Result<(), Failure> {
    let now = clock::now();
    let (mut lines, mut all, mut broken) = (Vec::new(), 0_u64, 0_u64);
    let mut each = |address: &str, tried: Tried| {
        let days_left = tried.days_left(now);
        let mut line = Line { address: address.to_owned(), keys: Vec::new(), expires: None, days_left, unusable: None };
        match tried {
            Tried::Good { keys, expires } => (line.keys, line.expires) = (keys, expires),
            Tried::Unusable(why) => line.unusable = Some(why.to_string()),
            Tried::Forbidden => line.unusable = Some("its file may not be read by this user".to_owned()),
            Tried::Gone => return,
        }
        all += 1;
        broken += u64::from(line.unusable.is_some());
        if listing == Listing::All || line.unusable.is_some() || days_left.is_some() {
            lines.push(line);
        }
    };
    wait_for(trial::try_all(directory, &home.sealer()?, &mut each))?;
    if json {
        print_json(&lines)?;
    } else {
        let mut text: String = lines.iter().map(text).collect();
        if listing == Listing::Troubles {
            text.push_str(&format!("{all} entries tried, {broken} cannot be sealed to\n"));
        }
        print(&text)?;
    }
    if listing == Listing::Troubles && broken > 0 {
        return Err(Failure::new(Exit::Config, format_args!("{broken} entries cannot be sealed to"))
            .hint("each is named above; mail for it is treated as `on-failure` says"));
    }
    Ok(())
}

fn text(line: &Line) -> String {
    let state = match (&line.unusable, line.days_left, line.expires) {
        (Some(why), ..) => format!("UNUSABLE: {why}"),
        (None, Some(0), _) => "ends within a day".to_owned(),
        (None, Some(1), _) => "ends in 1 day".to_owned(),
        (None, Some(days), _) => format!("ends in {days} days"),
        (None, None, Some(expires)) => format!("until {}", clock::shown(expires)),
        (None, None, None) => "good".to_owned(),
    };
    let key = line.keys.first().map(|key| format!("  {key}")).unwrap_or_default();
    format!("{:<40}  {state}{key}\n", line.address)
}
