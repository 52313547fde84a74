//! `config.toml` as it is written, and what is meant by it. Unknown keys are refused with their line and a suggestion.

pub mod account;
pub mod delivery;
#[cfg(feature = "forward")]
pub mod forward;
#[cfg(not(feature = "forward"))]
#[path = "config/no_forward.rs"]
pub mod forward;
mod value;

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use self::{
    account::Account,
    delivery::{Delivery, Hold, WrittenDoor, WrittenHop, WrittenKeys, WrittenSink},
    forward::{Forward, Queue, WrittenFor},
};
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFlow {
    source: WrittenSource,
    seal: WrittenSeal,
    #[serde(default, deserialize_with = "sink")]
    sink: Option<WrittenSink>,
    #[serde(default, deserialize_with = "value::duration_or_off")]
    backup: Option<Duration>,
    queue: Option<Queue>,
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

/// Everything that a source may say, whatever it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenSource {
    maildir: Option<PathBuf>,
    account: Option<String>,
    lmtp: Option<String>,
    smtp: Option<String>,
    milter: Option<String>,
    mailboxes: Option<Vec<String>>,
    #[serde(default, deserialize_with = "value::duration")]
    grace: Option<Duration>,
    #[serde(default, deserialize_with = "value::day")]
    since: Option<i64>,
    max_size: Option<u64>,
    hello: Option<String>,
    trusted: Option<Vec<String>>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    authserv_id: Option<String>,
    #[serde(rename = "for")]
    recipients: Option<Vec<String>>,
    per_ip: Option<u32>,
    per_sender: Option<u32>,
    checks: Option<String>,
    resolver: Option<std::net::SocketAddr>,
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

/// Everything that `seal` may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenSeal {
    to: Option<String>,
    #[serde(default, deserialize_with = "value::word")]
    policy: Option<seal::Policy>,
    #[serde(default, deserialize_with = "value::word")]
    scheme: Option<seal::Scheme>,
    #[serde(default)]
    compress: Compress,
    certificates: Option<String>,
    #[serde(default, deserialize_with = "value::word")]
    on_failure: Option<flow::delivery::OnFailure>,
    exceptions: Option<BTreeMap<String, String>>,
    hold: Option<Hold>,
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

/// How long an account has had a message before it is sealed, unless the config says otherwise: rules of the server and
/// other programs come first.
const GRACE: Duration = Duration::from_secs(60);
/// How long originals are kept, unless the config says otherwise.
const BACKUP: Duration = Duration::from_secs(7 * 86_400);

impl TryFrom<WrittenFlow> for Flow {
    type Error = String;

    fn try_from(written: WrittenFlow) -> Result<Self, String> {
        let WrittenFlow { mut source, seal, sink, backup, queue } = written;
        let whom = source.whom()?;
        if whom.is_none() && queue.is_some() {
            return Err("`queue` is for mail that is forwarded, whose `source` says `for`".to_owned());
        }
        if let Some(whom) = whom {
            if backup.is_some() {
                return Err("`backup` is for flows of an account".to_owned());
            }
            let forward = Forward::new(whom, source.into_door()?, seal.into_owner()?, sink, queue)?;
            return Ok(Self::Forward(Box::new(forward)));
        }
        if source.is_door() {
            if backup.is_some() {
                return Err("`backup` is for flows of an account".to_owned());
            }
            let delivery = Delivery::new(source.into_door()?, seal.compress, seal.into_keys()?, sink)?;
            return Ok(Self::Delivery(Box::new(delivery)));
        }
        let source = source.into_mailboxes()?;
        let sink = match sink {
            None => return Err("missing field `sink`".to_owned()),
            Some(WrittenSink::InPlace) => Sink::InPlace,
            Some(WrittenSink::Table(table)) => Sink::Folder(table.into_folder().ok_or(
                "mail of a mailbox is put back: sink = \"in-place\", or { folder = \"Sealed\" } for an account",
            )?),
        };
        let backup = match (&source.place, &sink, backup) {
            (Place::Maildir(_), Sink::Folder(_), _) => {
                return Err("a `folder` takes mail of an account only".to_owned());
            }
            (Place::Maildir(_), _, Some(_)) => {
                return Err("`backup` is for flows of an account; copy a Maildir with your own means".to_owned());
            }
            (Place::Maildir(_), ..) => Duration::ZERO,
            (Place::Account(_), _, backup) => backup.unwrap_or(BACKUP),
        };
        Ok(Self::Mailboxes(Mailboxes { source, seal: seal.into_owner()?, sink, backup }))
    }
}

impl Flow {
    /// The accounts that it names.
    fn accounts(&self) -> impl Iterator<Item = &str> {
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

impl WrittenSource {
    fn is_door(&self) -> bool {
        self.lmtp.is_some() || self.smtp.is_some() || self.milter.is_some()
    }

    /// For whom mail is forwarded, if it is.
    fn whom(&mut self) -> Result<Option<WrittenFor>, String> {
        let (per_ip, per_sender, resolver) = (self.per_ip, self.per_sender, self.resolver);
        let checks = self.checks.take();
        match self.recipients.take() {
            Some(recipients) => Ok(Some(WrittenFor { recipients, per_ip, per_sender, checks, resolver })),
            None if per_ip.is_some() || per_sender.is_some() || checks.is_some() || resolver.is_some() => {
                Err("`per-ip`, `per-sender`, `checks` and `resolver` are for mail that is forwarded, whose `source` says `for`".to_owned())
            }
            None => Ok(None),
        }
    }

    fn into_mailboxes(self) -> Result<Source, String> {
        let of_a_door = self.hello.is_some()
            || self.trusted.is_some()
            || self.tls_certificate.is_some()
            || self.tls_key.is_some()
            || self.authserv_id.is_some();
        if of_a_door {
            let keys = "`hello`, `trusted`, `tls-certificate`, `tls-key` and `authserv-id`";
            return Err(format!("{keys} are for mail that passes by (`lmtp`, `smtp`, `milter`)"));
        }
        let (place, grace) = match (self.maildir, self.account) {
            (Some(maildir), None) => (Place::Maildir(maildir), Duration::ZERO),
            (None, Some(account)) => (Place::Account(account), GRACE),
            (Some(_), Some(_)) => return Err("a source is either `maildir` or `account`, not both".to_owned()),
            (None, None) => {
                return Err("a source needs `maildir` or `account`; or `lmtp`, `smtp`, `milter`".to_owned());
            }
        };
        Ok(Source {
            place,
            mailboxes: self.mailboxes.unwrap_or_default(),
            grace: self.grace.unwrap_or(grace),
            since: self.since,
            max_size: self.max_size,
        })
    }

    fn into_door(self) -> Result<WrittenDoor, String> {
        if self.maildir.is_some() || self.account.is_some() {
            return Err("a source is one of `maildir`, `account`, `lmtp`, `smtp`, `milter`, not two".to_owned());
        }
        if self.mailboxes.is_some() || self.grace.is_some() || self.since.is_some() {
            return Err("`mailboxes`, `grace` and `since` are for mail that lies in mailboxes".to_owned());
        }
        Ok(WrittenDoor {
            lmtp: self.lmtp,
            smtp: self.smtp,
            milter: self.milter,
            hello: self.hello,
            max_size: self.max_size,
            trusted: self.trusted,
            tls_certificate: self.tls_certificate,
            tls_key: self.tls_key,
            authserv_id: self.authserv_id,
        })
    }
}

impl WrittenSeal {
    fn into_owner(self) -> Result<Seal, String> {
        let of_a_door = self.certificates.is_some() || self.on_failure.is_some() || self.hold.is_some();
        if of_a_door || self.exceptions.is_some() {
            let keys = "`certificates`, `on-failure`, `exceptions` and `hold`";
            return Err(format!("{keys} are for mail that passes by (`lmtp`, `smtp`, `milter`)"));
        }
        let to = self.to.ok_or("missing field `to`")?;
        Ok(Seal { to, policy: self.policy, scheme: self.scheme, compress: self.compress })
    }

    fn into_keys(self) -> Result<WrittenKeys, String> {
        if self.to.is_some() || self.policy.is_some() || self.scheme.is_some() {
            let each = "each recipient has an enrolment that says to whom and how";
            return Err(format!("mail that passes by has no `to`, `policy` or `scheme`: {each}; name `certificates`"));
        }
        Ok(WrittenKeys {
            certificates: self.certificates,
            on_failure: self.on_failure,
            exceptions: self.exceptions.unwrap_or_default(),
            hold: self.hold,
        })
    }
}

/// A word, or a table.
fn sink<'de, D: Deserializer<'de>>(from: D) -> Result<Option<WrittenSink>, D::Error> {
    struct SinkVisitor;

    impl<'de> Visitor<'de> for SinkVisitor {
        type Value = WrittenSink;

        fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
            to.write_str("\"in-place\" or a table such as { folder = \"Sealed\" }")
        }

        fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<WrittenSink, E> {
            match word {
                "in-place" => Ok(WrittenSink::InPlace),
                word => Err(E::unknown_variant(word, &["in-place"])),
            }
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WrittenSink, A::Error> {
            WrittenHop::deserialize(MapAccessDeserializer::new(map)).map(|table| WrittenSink::Table(Box::new(table)))
        }
    }

    from.deserialize_any(SinkVisitor).map(Some)
}

/// Keys and words that a config may hold, for suggestions.
const KNOWN: [&str; 73] = [
    "bridge",
    "mx",
    "dnssec",
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
    "lmtp",
    "smtp",
    "milter",
    "hello",
    "trusted",
    "tls-certificate",
    "tls-key",
    "authserv-id",
    "certificates",
    "on-failure",
    "exceptions",
    "hold",
    "certificate",
    "defer",
    "reject",
    "pass",
    "metrics",
    "listen",
    "starttls",
    "open",
    "shy",
    "hidden",
    "for",
    "per-ip",
    "per-sender",
    "auth",
    "queue",
    "spool",
    "retry",
    "expire",
    "checks",
    "resolver",
    "from",
    "dkim-selector",
    "dkim-key",
    "report",
    "tag",
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
