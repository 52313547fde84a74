//! `config.toml` as it is written, and what is meant by it. Unknown keys are refused with their line and a suggestion.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Deserialize;

use crate::{
    failure::{Exit, Failure},
    home::Home,
};

/// The whole file.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Named flows.
    #[serde(default)]
    pub flow: BTreeMap<String, Flow>,
}

/// Mail taken from a source, sealed, put into a sink.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// Where mail is taken.
    pub source: Source,
    /// For whom and how it is sealed.
    pub seal: Seal,
    /// Where it is put.
    pub sink: Sink,
}

/// `source = { maildir = "/path", … }`
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Source {
    /// Path of a Maildir.
    pub maildir: PathBuf,
    /// Mailbox patterns; empty: all but drafts, junk and trash.
    #[serde(default)]
    pub mailboxes: Vec<String>,
    /// Younger mail is left alone.
    #[serde(default, deserialize_with = "duration")]
    pub grace: Option<Duration>,
    /// Mail that arrived earlier is left alone: `2020-12-31`.
    #[serde(default, deserialize_with = "day")]
    pub since: Option<i64>,
    /// Larger mail is left alone, in octets.
    #[serde(default)]
    pub max_size: Option<u64>,
}

/// `seal = { to = "alice@example.org", … }`
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// The owner.
    pub to: String,
    /// What stays outside; the enrolment says what when this does not.
    #[serde(default, deserialize_with = "word")]
    pub policy: Option<seal::Policy>,
    /// PGP/MIME.
    #[serde(default, deserialize_with = "word")]
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

/// `sink = "in-place"`
#[derive(Deserialize, Clone, Copy, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum Sink {
    /// The sealed message takes the original's place.
    InPlace,
}

/// Keys that a config may hold, for suggestions.
const KNOWN: [&str; 14] = [
    "flow",
    "source",
    "seal",
    "sink",
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
        toml::from_str(&text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1));
            let failure =
                Failure::new(Exit::Config, format_args!("{}, line {line}: {}", path.display(), error.message()));
            let unknown = error.message().split('`').nth(1).filter(|_| error.message().starts_with("unknown field"));
            match unknown.and_then(nearest) {
                Some(known) => failure.hint(format_args!("did you mean `{known}`?")),
                None => failure.hint("docs/config.md explains every key"),
            }
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

/// `90s`, `15m`, `2h`, `7d`.
fn duration<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    let parsed = text.char_indices().next_back().and_then(|(end, unit)| {
        let number: u64 = text.get(..end)?.parse().ok()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        number.checked_mul(seconds).map(Duration::from_secs)
    });
    parsed.map(Some).ok_or_else(|| serde::de::Error::custom("a duration is a number and s, m, h or d: \"60s\""))
}

/// `2020-12-31`, as Unix seconds.
fn day<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    let text = String::deserialize(from)?;
    let format = time::macros::format_description!("[year]-[month]-[day]");
    let day =
        time::Date::parse(&text, &format).map_err(|_| serde::de::Error::custom("a day is written \"2020-12-31\""))?;
    Ok(Some(day.midnight().assume_utc().unix_timestamp()))
}

fn word<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    String::deserialize(from)?.parse().map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_nearly_right_get_a_suggestion() {
        assert_eq!(nearest("mailboxs"), Some("mailboxes"));
        assert_eq!(nearest("sorce"), Some("source"));
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
        let good = config("15m", "1970-01-02").expect("a config");
        assert_eq!(good.flow["a"].source.grace, Some(Duration::from_secs(900)));
        assert_eq!(good.flow["a"].source.since, Some(86_400));
        assert!(config("15", "1970-01-02").is_err() && config("1s", "yesterday").is_err());
    }
}
