//! A flow as it is written, whatever its kind. In: TOML. Out: a flow of the kind that its `source` says, or an error that says which words do not go
//! together.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{
        MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};

use super::{
    Compress, Flow, Mailboxes, Place, Seal, Sink, Source,
    delivery::{Delivery, Hold, WrittenDoor, WrittenHop, WrittenKeys, WrittenSink},
    forward::{Forward, Queue},
    value,
    whom::WrittenFor,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenFlow {
    source: WrittenSource,
    seal: WrittenSeal,
    #[serde(default, deserialize_with = "sink")]
    sink: Option<WrittenSink>,
    #[serde(default, deserialize_with = "value::duration_or_off")]
    backup: Option<Duration>,
    queue: Option<Queue>,
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
    #[serde(rename = "for", default, deserialize_with = "recipients")]
    recipients: Option<Vec<String>>,
    per_ip: Option<u32>,
    per_sender: Option<u32>,
    checks: Option<String>,
    resolver: Option<std::net::SocketAddr>,
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
            let or =
                "or, if it is forwarded to one owner's mailbox, say for whom in `source`: for = [\"me@my.example\"]";
            return Err(format!(
                "mail that passes by has no `to`, `policy` or `scheme`: {each}; name `certificates`; {or}"
            ));
        }
        Ok(WrittenKeys {
            certificates: self.certificates,
            on_failure: self.on_failure,
            exceptions: self.exceptions.unwrap_or_default(),
            hold: self.hold,
        })
    }
}

/// A list of addresses. Who writes a single one without brackets is shown how it is written; his address is not repeated.
fn recipients<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    struct ListVisitor;

    impl<'de> Visitor<'de> for ListVisitor {
        type Value = Vec<String>;

        fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
            to.write_str("a list of addresses: for = [\"me@my.example\"]")
        }

        fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Vec<String>, E> {
            Err(E::custom("`for` is a list, also of one address: for = [\"me@my.example\"]"))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Vec<String>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list))
        }
    }

    from.deserialize_any(ListVisitor).map(Some)
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
