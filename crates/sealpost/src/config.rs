//! `config.toml` as it is written, and what is meant by it. Unknown keys are refused with their line and a suggestion.

mod known;
mod value;
mod whom;
pub mod account;
pub mod delivery;
#[cfg(feature = "forward")]
pub mod forward;
#[cfg(not(feature = "forward"))]
#[path = "config/no_forward.rs"]
pub mod forward;
mod written;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Deserialize;

#[cfg(feature = "open")]
pub use self::known::nearest_of;
use self::{account::Account, delivery::Delivery, forward::Forward, known::meant, written::WrittenFlow};
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
    /// Where counters are told.
    pub metrics: Option<Metrics>,
    /// The bridge for mail programs.
    #[cfg_attr(not(feature = "open"), expect(dead_code, reason = "a machine that only seals has no bridge"))]
    pub bridge: Option<Bridge>,
}

/// `[bridge] maildir = "/path"` or `account = "name"`
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(feature = "open"), expect(dead_code, reason = "a machine that only seals has no bridge"))]
pub struct Bridge {
    /// Where mail programs connect to.
    pub listen: Option<std::net::SocketAddr>,
    /// The Maildir.
    pub maildir: Option<PathBuf>,
    /// The account, in place of a Maildir.
    pub account: Option<String>,
    /// Whose mail it is, where there are several owners: what mail programs store is sealed to.
    pub to: Option<String>,
    /// The name to log in with.
    pub user: Option<String>,
    /// What the search index holds.
    pub index: Option<Indexing>,
    /// How the way to mail programs is protected.
    pub tls: Option<delivery::HopTls>,
}

/// `[bridge] index = "all"` or `"opened"`
#[derive(Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Indexing {
    /// Every message: those that were never opened are fetched in the background.
    All,
    /// What was opened.
    Opened,
}

/// `[metrics] listen = "127.0.0.1:9464"`
#[derive(Deserialize, Clone, Copy, Debug)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Where HTTP is answered: `/metrics`, `/healthz`.
    pub listen: std::net::SocketAddr,
}

/// Mail taken from a source, sealed, put into a sink.
#[derive(Deserialize, Debug)]
#[serde(try_from = "WrittenFlow")]
pub enum Flow {
    /// Mail that lies in mailboxes.
    Mailboxes(Mailboxes),
    /// Mail that passes by.
    Delivery(Box<Delivery>),
    /// Mail that is forwarded.
    Forward(Box<Forward>),
}

/// A flow of mail that lies in mailboxes.
#[derive(Debug)]
pub struct Mailboxes {
    /// Where mail is taken.
    pub source: Source,
    /// For whom and how it is sealed.
    pub seal: Seal,
    /// Where it is put.
    pub sink: Sink,
    /// How long originals are kept, encrypted to the owner; zero: not at all.
    pub backup: Duration,
}

/// Where mail is taken.
#[derive(Debug)]
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

/// `seal = { to = "alice@example.org", … }`
#[derive(Debug)]
pub struct Seal {
    /// The owner.
    pub to: String,
    /// What stays outside; the enrolment says what when this does not.
    pub policy: Option<seal::Policy>,
    /// PGP/MIME.
    pub scheme: Option<seal::Scheme>,
    /// `auto` or `never`.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// The sealed message takes the original's place.
    InPlace,
    /// It goes to one mailbox of the account.
    Folder(String),
}

impl Flow {
    /// The accounts that it names.
    pub fn accounts(&self) -> impl Iterator<Item = &str> {
        let named = match self {
            Self::Mailboxes(Mailboxes { source: Source { place: Place::Account(account), .. }, .. }) => {
                [Some(account), None]
            }
            Self::Forward(forward) => forward.accounts(),
            Self::Mailboxes(_) | Self::Delivery(_) => [None, None],
        };
        named.into_iter().flatten().map(String::as_str)
    }
}

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
            match meant(error.message()) {
                Some(known) => failure.hint(format_args!("did you mean `{known}`?")),
                None => failure.hint("docs/config.md explains every key"),
            }
        })?;
        for (flow, settings) in &config.flow {
            for account in settings.accounts() {
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

    /// A flow of mail that lies in mailboxes, by its name.
    pub fn mailboxes(&self, name: &str) -> Result<&Mailboxes, Failure> {
        match self.flow(name)? {
            Flow::Mailboxes(flow) => Ok(flow),
            Flow::Delivery(_) | Flow::Forward(_) => {
                Err(Failure::new(Exit::Config, format_args!("flow {name} seals mail that passes by; none lies there"))
                    .hint(format_args!(
                        "`sealpost watch {name}` runs it, `sealpost status {name}` says what came of it"
                    )))
            }
        }
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;

    #[test]
    fn durations_and_days_are_read() {
        let config = |grace: &str, since: &str| {
            toml::from_str::<Config>(&format!(
                "[flow.a]\nsource = {{ maildir = \"/m\", grace = \"{grace}\", since = \"{since}\" }}\n\
                 seal = {{ to = \"a@b\" }}\nsink = \"in-place\"\n"
            ))
        };
        let good = config("15m", "1970-01-02").unwrap();
        let source = &good.mailboxes("a").unwrap().source;
        assert_eq!((source.grace, source.since), (Duration::from_secs(900), Some(86_400)));
        assert!(config("15", "1970-01-02").is_err() && config("1s", "yesterday").is_err());
    }

    #[test]
    fn a_flow_is_of_a_maildir_or_of_an_account() {
        const ACCOUNT: &str = "[account.work]\naddress = \"a@b\"\nimap = \"imaps://h\"\npassword = { env = \"P\" }\n";
        let read = |source: &str, sink: &str, more: &str| {
            let text = format!(
                "{ACCOUNT}[flow.a]\nsource = {{ {source} }}\nseal = {{ to = \"a@b\" }}\nsink = {sink}\n{more}\n"
            );
            Config::parse(&text, "c").map(|mut config| match config.flow.remove("a").unwrap() {
                Flow::Mailboxes(flow) => flow,
                Flow::Delivery(_) | Flow::Forward(_) => panic!("a flow of mailboxes"),
            })
        };
        let (in_place, folder) = ("\"in-place\"", "{ folder = \"Sealed\" }");
        let work = "account = \"work\"";
        let maildir = "maildir = \"/m\"";
        let seconds = |flow: Mailboxes| (flow.source.grace.as_secs(), flow.backup.as_secs());
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
            (work, "{ foldr = \"x\" }", "", "unknown field `foldr`"),
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
