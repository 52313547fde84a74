//! `config.toml` as it is written, and what is meant by it. Unknown keys are refused with their line and a suggestion.

pub mod account;
mod value;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Deserialize;

use self::account::Account;
use crate::{
    failure::{Exit, Failure},
    home::Home,
};

/// The whole file.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Named IMAP accounts.
    #[serde(default)]
    pub account: BTreeMap<String, Account>,
    /// Named flows.
    #[serde(default)]
    pub flow: BTreeMap<String, Flow>,
}

/// Mail taken from a source, sealed, put into a sink.
#[derive(Deserialize, Debug)]
#[serde(try_from = "WrittenFlow")]
pub struct Flow {
    /// Where mail is taken.
    pub source: Source,
    /// For whom and how it is sealed.
    pub seal: Seal,
    /// Where it is put.
    pub sink: Sink,
    /// How long originals are kept, encrypted to the owner; zero: not at all.
    pub backup: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFlow {
    source: Source,
    seal: Seal,
    sink: Sink,
    #[serde(default, deserialize_with = "value::duration_or_off")]
    backup: Option<Duration>,
}

/// Where mail is taken.
#[derive(Deserialize, Debug)]
#[serde(try_from = "WrittenSource")]
pub struct Source {
    /// A Maildir or an account.
    pub place: Place,
    /// Mailbox patterns; empty: all but drafts, junk and trash.
    pub mailboxes: Vec<String>,
    /// Younger mail is left alone.
    pub grace: Duration,
    /// Mail that arrived earlier is left alone: `2020-12-31`.
    pub since: Option<i64>,
    /// Larger mail is left alone, in octets.
    pub max_size: Option<u64>,
}

/// `{ maildir = "/path", … }` or `{ account = "work", … }`
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// Path of a Maildir.
    Maildir(PathBuf),
    /// Name of an `[account.NAME]`.
    Account(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenSource {
    maildir: Option<PathBuf>,
    account: Option<String>,
    #[serde(default)]
    mailboxes: Vec<String>,
    #[serde(default, deserialize_with = "value::duration")]
    grace: Option<Duration>,
    #[serde(default, deserialize_with = "value::day")]
    since: Option<i64>,
    #[serde(default)]
    max_size: Option<u64>,
}

/// `seal = { to = "alice@example.org", … }`
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// The owner.
    pub to: String,
    /// What stays outside; the enrolment says what when this does not.
    #[serde(default, deserialize_with = "value::word")]
    pub policy: Option<seal::Policy>,
    /// PGP/MIME.
    #[serde(default, deserialize_with = "value::word")]
    pub scheme: Option<seal::Scheme>,
    /// `auto` or `never`.
    #[serde(default)]
    pub compress: Compress,
}

/// Whether large mail is compressed.
#[derive(Deserialize, Clone, Copy, Default, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Compress {
    /// When it pays.
    #[default]
    Auto,
    /// Not at all.
    Never,
}

/// `sink = "in-place"` or `sink = { folder = "Sealed" }`
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Sink {
    /// The sealed message takes the original's place.
    InPlace,
    /// It goes to one mailbox of the account.
    Folder(String),
}

/// How long an account has had a message before it is sealed, unless the config says otherwise: rules of the server and
/// other programs come first.
const GRACE: Duration = Duration::from_secs(60);
/// How long originals are kept, unless the config says otherwise.
const BACKUP: Duration = Duration::from_secs(7 * 86_400);

impl TryFrom<WrittenSource> for Source {
    type Error = &'static str;

    fn try_from(written: WrittenSource) -> Result<Self, Self::Error> {
        let (place, grace) = match (written.maildir, written.account) {
            (Some(maildir), None) => (Place::Maildir(maildir), Duration::ZERO),
            (None, Some(account)) => (Place::Account(account), GRACE),
            (Some(_), Some(_)) => return Err("a source is either `maildir` or `account`, not both"),
            (None, None) => return Err("a source needs `maildir` or `account`"),
        };
        Ok(Self {
            place,
            mailboxes: written.mailboxes,
            grace: written.grace.unwrap_or(grace),
            since: written.since,
            max_size: written.max_size,
        })
    }
}

impl TryFrom<WrittenFlow> for Flow {
    type Error = &'static str;

    fn try_from(written: WrittenFlow) -> Result<Self, Self::Error> {
        let WrittenFlow { source, seal, sink, backup } = written;
        let backup = match (&source.place, &sink, backup) {
            (Place::Maildir(_), Sink::Folder(_), _) => return Err("a `folder` takes mail of an account only"),
            (Place::Maildir(_), _, Some(_)) => {
                return Err("`backup` is for flows of an account; copy a Maildir with your own means");
            }
            (Place::Maildir(_), ..) => Duration::ZERO,
            (Place::Account(_), _, backup) => backup.unwrap_or(BACKUP),
        };
        Ok(Self { source, seal, sink, backup })
    }
}

/// Keys and words that a config may hold, for suggestions.
const KNOWN: [&str; 33] = [
    "flow",
    "source",
    "seal",
    "sink",
    "backup",
    "maildir",
    "mailboxes",
    "grace",
    "since",
    "max-size",
    "to",
    "policy",
    "scheme",
    "compress",
    "in-place",
    "folder",
    "account",
    "address",
    "imap",
    "user",
    "password",
    "command",
    "file",
    "env",
    "token-command",
    "ca-file",
    "pin",
    "tls",
    "required",
    "off",
    "auto",
    "never",
    "baseline",
];

impl Config {
    /// Reads a home's config. A home without one has no flows.
    pub fn read(home: &Home) -> Result<Self, Failure> {
        let path = home.config();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => {
                return Err(Failure::new(Exit::Config, format_args!("cannot read {}: {error}", path.display())));
            }
        };
        Self::parse(&text, &path.display().to_string())
    }

    /// The text of a config; `name` is what errors call the file.
    pub fn parse(text: &str, name: &str) -> Result<Self, Failure> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1));
            let failure =
                Failure::new(Exit::Config, format_args!("{name}, line {line}: {}", error.message().replace('\n', " ")));
            let is_unknown = ["unknown field", "unknown variant"].iter().any(|what| error.message().starts_with(what));
            let unknown = error.message().split('`').nth(1).filter(|_| is_unknown);
            match unknown.and_then(nearest) {
                Some(known) => failure.hint(format_args!("did you mean `{known}`?")),
                None => failure.hint("docs/config.md explains every key"),
            }
        })?;
        for (flow, Flow { source, .. }) in &config.flow {
            if let Place::Account(account) = &source.place {
                config.account(account).map_err(|failure| Failure {
                    error: format!("{name}: flow {flow}: {}", failure.error),
                    ..failure
                })?;
            }
        }
        Ok(config)
    }

    /// An account by its name.
    pub fn account(&self, name: &str) -> Result<&Account, Failure> {
        self.account.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.account.keys().map(String::as_str).collect();
            let hint = match names.as_slice() {
                [] => format!("write an [account.{name}] with `address`, `imap` and `password`"),
                names => format!("there are: {}", names.join(", ")),
            };
            Failure::new(Exit::Config, format_args!("there is no [account.{name}]")).hint(hint)
        })
    }

    /// A flow by its name.
    pub fn flow(&self, name: &str) -> Result<&Flow, Failure> {
        self.flow.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.flow.keys().map(String::as_str).collect();
            let hint = if names.is_empty() {
                "config.toml has no [flow.NAME] yet".to_owned()
            } else {
                format!("there are: {}", names.join(", "))
            };
            Failure::new(Exit::Config, format_args!("no flow named {name}")).hint(hint)
        })
    }
}

/// The known key that differs least.
fn nearest(word: &str) -> Option<&'static str> {
    let distance = |known: &str| {
        let mut row: Vec<usize> = (0..=known.len()).collect();
        for (i, a) in word.chars().enumerate() {
            let mut diagonal = i;
            if let Some(first) = row.first_mut() {
                *first = i + 1;
            }
            for (j, b) in known.chars().enumerate() {
                let above = row.get(j + 1).copied().unwrap_or_default();
                let left = row.get(j).copied().unwrap_or_default();
                let best = (diagonal + usize::from(a != b)).min(above + 1).min(left + 1);
                diagonal = above;
                if let Some(cell) = row.get_mut(j + 1) {
                    *cell = best;
                }
            }
        }
        row.last().copied().unwrap_or_default()
    };
    KNOWN
        .into_iter()
        .map(|known| (distance(known), known))
        .min()
        .filter(|(distance, _)| *distance <= 2)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;

    #[test]
    fn keys_that_are_nearly_right_get_a_suggestion() {
        assert_eq!(nearest("mailboxs"), Some("mailboxes"));
        assert_eq!(nearest("sorce"), Some("source"));
        assert_eq!(nearest("pasword"), Some("password"));
        assert_eq!(nearest("banana"), None);
    }

    #[test]
    fn durations_and_days_are_read() {
        let config = |grace: &str, since: &str| {
            toml::from_str::<Config>(&format!(
                "[flow.a]\nsource = {{ maildir = \"/m\", grace = \"{grace}\", since = \"{since}\" }}\n\
                 seal = {{ to = \"a@b\" }}\nsink = \"in-place\"\n"
            ))
        };
        let good = config("15m", "1970-01-02").unwrap();
        assert_eq!(good.flow["a"].source.grace, Duration::from_secs(900));
        assert_eq!(good.flow["a"].source.since, Some(86_400));
        assert!(config("15", "1970-01-02").is_err() && config("1s", "yesterday").is_err());
    }

    #[test]
    fn a_flow_is_of_a_maildir_or_of_an_account() {
        const ACCOUNT: &str = "[account.work]\naddress = \"a@b\"\nimap = \"imaps://h\"\npassword = { env = \"P\" }\n";
        let read = |source: &str, sink: &str, more: &str| {
            let text = format!(
                "{ACCOUNT}[flow.a]\nsource = {{ {source} }}\nseal = {{ to = \"a@b\" }}\nsink = {sink}\n{more}\n"
            );
            Config::parse(&text, "c").map(|mut config| config.flow.remove("a").unwrap())
        };
        let (in_place, folder) = ("\"in-place\"", "{ folder = \"Sealed\" }");
        let work = "account = \"work\"";
        let maildir = "maildir = \"/m\"";
        let seconds = |flow: Flow| (flow.source.grace.as_secs(), flow.backup.as_secs());
        // What is meant: grace and backup.
        for (source, sink, more, meant) in [
            (work, in_place, "", (60, 604_800)),
            (work, folder, "backup = \"2d\"", (60, 172_800)),
            (work, in_place, "backup = \"off\"", (60, 0)),
            (work, in_place, "backup = \"0d\"", (60, 0)),
            ("account = \"work\", grace = \"0s\"", in_place, "", (0, 604_800)),
            (maildir, in_place, "", (0, 0)),
        ] {
            assert_eq!(seconds(read(source, sink, more).unwrap()), meant, "{source} {sink} {more}");
        }
        assert_eq!(read(work, folder, "").unwrap().sink, Sink::Folder("Sealed".to_owned()));
        // What is refused, and with which words.
        for (source, sink, more, says) in [
            ("account = \"work\", maildir = \"/m\"", in_place, "", "not both"),
            ("grace = \"1s\"", in_place, "", "needs `maildir` or `account`"),
            ("account = \"wrok\"", in_place, "", "flow a: there is no [account.wrok]"),
            (maildir, folder, "", "`folder` takes mail of an account only"),
            (maildir, in_place, "backup = \"7d\"", "`backup` is for flows of an account"),
            (work, in_place, "backup = \"week\"", "a duration is"),
            (work, "\"inplace\"", "", "unknown variant `inplace`"),
            (work, "{ foldr = \"x\" }", "", "unknown variant `foldr`"),
            ("acount = \"work\"", in_place, "", "unknown field `acount`"),
        ] {
            let failure = read(source, sink, more).unwrap_err();
            assert!(failure.error.contains(says), "{source} {sink} {more}: {}", failure.error);
        }
        let failure = read("acount = \"work\"", in_place, "").unwrap_err();
        assert!(
            failure.error.contains("c, line 6: ") && failure.hint.contains("did you mean `account`?"),
            "{failure:?}"
        );
    }
}
