//! What is believed of a message that comes in: SPF (RFC 7208), DKIM (RFC 6376), DMARC (RFC 9989, which replaces 7489), ARC (RFC 8617).
//!
//! In: who hands it in, what he says, what the message shows ([`Evidence`]). Out: a [`Verdict`], and what follows from it. A forwarder signs in
//! its own name what it hands on, so whatever it does not question now, nobody can question later.
//!
//! The verdict travels as INDEX 9 of the sealed message (format §4.5): encrypted, signed by the sealer. Nothing is added to the message itself.
//! Never names anybody in an error or a log.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use mail::{AddressList, HeaderSection};
use mail_auth::common::crypto::Algorithm;
use mail_auth::dmarc::Policy;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{AuthenticatedMessage, DkimOutput, DkimResult, DmarcOutput, DmarcResult, SpfOutput, SpfResult};
use tokio::time::timeout;

use crate::forward::evidence::Evidence;
use crate::forward::resolver::Resolver;
use crate::forward::results::{self, Entry, Said};
use crate::forward::verdict::{Authors, Verdict, Wish};

/// How long each of the checks may ask (RFC 7208 §4.6.4: at least 20 seconds).
const PATIENCE: Duration = Duration::from_secs(20);
/// Signatures that are looked at, those of the author's domain first; each costs a question to the DNS (RFC 6376 §8.4).
const MAX_SIGNATURES: usize = 8;

/// Checks mail.
pub struct Checks {
    resolver: Resolver,
    authserv_id: String,
}

/// Who hands a message in.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// The address of the server that reached us first: of the session, or what a trusted one says (XFORWARD).
    pub ip: IpAddr,
    /// What it calls itself (HELO, EHLO, LHLO).
    pub helo: &'a str,
    /// MAIL FROM; empty for a bounce.
    pub mail_from: &'a str,
}

impl Checks {
    /// `host`: our name in the results (authserv-id, RFC 8601 §2.5); one that nobody else uses.
    pub fn new(resolver: Resolver, host: &str) -> Checks {
        Checks { resolver, authserv_id: host.to_owned() }
    }

    /// Whether the DNS answers at all.
    pub(crate) async fn can_ask(&self) -> bool {
        self.resolver.answers().await
    }

    /// Checks a message. Takes as long as the DNS does, 80 seconds at most.
    pub async fn check(&self, client: &Client<'_>, evidence: &Evidence) -> Verdict {
        // What is parsed here comes from strangers, also by the DNS: a bug there is a check that failed, not a session that dies.
        let checked = AssertUnwindSafe(self.ask(client, evidence)).catch_unwind().await;
        checked.unwrap_or_else(|_| Verdict::failed(&self.authserv_id))
    }

    async fn ask(&self, client: &Client<'_>, evidence: &Evidence) -> Verdict {
        let section = evidence.section();
        let forged = results::forged(&section, &self.authserv_id);
        let spf = self.spf(client).await;
        let Some(mut message) = evidence.message() else {
            let entries = [spf_entry(&spf, client)];
            let results = results::write(&self.authserv_id, &entries);
            let (dkim, dmarc, arc) = (Said::None, Said::None, Said::None);
            let authors = Authors::Unclear;
            return Verdict {
                authors,
                spf: said_of_spf(spf.result()),
                dkim,
                dmarc,
                wish: Wish::Nothing,
                arc,
                forged,
                results,
            };
        };
        let authors = one_author(&section, &message);
        let set_aside = set_aside(&mut message);
        let (dkim, dkim_ended) = match timeout(PATIENCE, self.resolver.authenticator().verify_dkim(&message)).await {
            Ok(outputs) => (outputs, Ended::InTime),
            Err(_) => (Vec::new(), Ended::TooLate),
        };
        let domain = domain_of(client);
        let asked = DmarcParameters::new(&message, &dkim, domain, &spf);
        let dmarc = timeout(PATIENCE, self.resolver.authenticator().verify_dmarc(asked)).await.ok();
        let (dmarc_said, wish) = said_of_dmarc(dmarc.as_ref(), dkim_ended);
        let arc = if message.as_headers.is_empty() {
            Said::None
        } else {
            let output = timeout(PATIENCE, self.resolver.authenticator().verify_arc(&message)).await;
            output.map_or(Said::TempError, |output| said_of_dkim(output.result()))
        };
        let dkim_said = match dkim_ended {
            Ended::TooLate => Said::TempError,
            Ended::InTime => best(&dkim, set_aside),
        };

        let mut entries = vec![dmarc_entry(dmarc_said, wish, dmarc.as_ref()), spf_entry(&spf, client)];
        let signatures: Vec<(Said, &str, &str)> = dkim.iter().filter_map(signature).collect();
        let (passed, others): (Vec<_>, Vec<_>) = signatures.into_iter().partition(|(said, ..)| *said == Said::Pass);
        entries.extend(passed.into_iter().chain(others).map(dkim_entry));
        if dkim.is_empty() {
            entries.push(Entry { method: "dkim", said: dkim_said, properties: Vec::new() });
        }
        if arc != Said::None {
            entries.push(Entry { method: "arc", said: arc, properties: Vec::new() });
        }
        let results = results::write(&self.authserv_id, &entries);
        Verdict {
            authors,
            spf: said_of_spf(spf.result()),
            dkim: dkim_said,
            dmarc: dmarc_said,
            wish,
            arc,
            forged,
            results,
        }
    }

    /// For a bounce, the name that the client gives itself is what is checked (RFC 7208 §2.4).
    async fn spf(&self, client: &Client<'_>) -> SpfOutput {
        let domain = domain_of(client);
        let ask = async {
            if self.resolver.has_two_spf_records(domain).await {
                return SpfOutput::new(domain.to_owned()).with_result(SpfResult::PermError);
            }
            let asked = if client.mail_from.is_empty() {
                SpfParameters::verify_ehlo(client.ip, client.helo, &self.authserv_id)
            } else {
                SpfParameters::verify_mail_from(client.ip, client.helo, &self.authserv_id, client.mail_from)
            };
            self.resolver.authenticator().verify_spf(asked).await
        };
        let late = || SpfOutput::new(domain.to_owned()).with_result(SpfResult::TempError);
        timeout(PATIENCE, ask).await.unwrap_or_else(|_| late())
    }
}

/// What is seen of a message without asking anybody: whether it has one author, how many signatures are to be asked for, how many fields claim to be ours.
pub fn glance(evidence: &Evidence, authserv_id: &str) -> (Authors, usize, usize) {
    let section = evidence.section();
    let forged = results::forged(&section, authserv_id);
    let Some(mut message) = evidence.message() else { return (Authors::Unclear, 0, forged) };
    let authors = one_author(&section, &message);
    set_aside(&mut message);
    (authors, message.dkim_headers.len(), forged)
}

/// Whether a check came to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    InTime,
    TooLate,
}

fn domain_of<'a>(client: &Client<'a>) -> &'a str {
    client.mail_from.rsplit_once('@').map_or(client.helo, |(_, domain)| domain)
}

/// One field, of one domain, and the library reads the same domain there as we do: what is checked is what is shown.
fn one_author(section: &HeaderSection<'_>, message: &AuthenticatedMessage<'_>) -> Authors {
    let mut fields = section.all("From");
    let (Some(field), None) = (fields.next(), fields.next()) else { return Authors::Unclear };
    let value = field.unfolded();
    let list = AddressList::parse(&value);
    let mut ours: Vec<String> = list
        .addresses()
        .filter_map(|address| Some(String::from_utf8_lossy(address.domain()?).to_lowercase()))
        .collect();
    let theirs = message.from.iter().filter_map(|address| address.rsplit_once('@'));
    let mut theirs: Vec<String> = theirs.map(|(_, domain)| domain.to_lowercase()).collect();
    for domains in [&mut ours, &mut theirs] {
        domains.sort_unstable();
        domains.dedup();
    }
    // A domain that the DNS cannot be asked for has no policy to fail, and may look like one that has.
    if ours.len() == 1 && ours == theirs && ours.iter().all(|domain| is_domain(domain)) {
        Authors::One
    } else {
        Authors::Unclear
    }
}

/// Puts aside signatures that must not be believed (SHA-1, RFC 8301 §3.1), that name nothing in the DNS, or that are too many.
/// What the first of them was, for the report.
fn set_aside(message: &mut AuthenticatedMessage<'_>) -> Option<Said> {
    let author = message.from.first().and_then(|address| address.rsplit_once('@')).map(|(_, domain)| domain.to_owned());
    let author = author.unwrap_or_default();
    let mut first = None;
    message.dkim_headers.retain(|signature| {
        let signature = &signature.header;
        let why = if signature.a == Algorithm::RsaSha1 {
            Some(Said::Policy)
        } else if !is_name(&signature.d) || !is_name(&signature.s) {
            Some(Said::PermError)
        } else {
            None
        };
        first = first.or(why);
        why.is_none()
    });
    // Those that can speak for the author come first.
    message.dkim_headers.sort_by_key(|signature| !is_related(&signature.header.d, &author));
    message.dkim_headers.truncate(MAX_SIGNATURES);
    first
}

/// Is one of two domains the other, or below it?
fn is_related(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_lowercase(), other.to_lowercase());
    let below =
        |name: &str, top: &str| name.strip_suffix(top).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    below(&one, &other) || below(&other, &one)
}

/// A name that can be asked for: otherwise the library calls it a failure of the DNS, which it is not.
/// Letters, digits, hyphens and underscores between dots, as a domain of mail is written; letters of any language (RFC 5890).
fn is_domain(domain: &str) -> bool {
    let fits = |label: &str| label.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_'));
    is_name(domain) && domain.split('.').all(fits)
}

fn is_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| (1..=63).contains(&label.len()) && !label.contains(char::is_whitespace))
}

fn said_of_spf(result: SpfResult) -> Said {
    match result {
        SpfResult::Pass => Said::Pass,
        SpfResult::Fail => Said::Fail,
        SpfResult::SoftFail => Said::SoftFail,
        SpfResult::Neutral => Said::Neutral,
        SpfResult::TempError => Said::TempError,
        SpfResult::PermError => Said::PermError,
        SpfResult::None => Said::None,
    }
}

fn said_of_dkim(result: &DkimResult) -> Said {
    match result {
        DkimResult::Pass => Said::Pass,
        DkimResult::Neutral(_) => Said::Neutral,
        DkimResult::Fail(_) => Said::Fail,
        DkimResult::PermError(_) => Said::PermError,
        DkimResult::TempError(_) => Said::TempError,
        DkimResult::None => Said::None,
    }
}

/// `output`: none when it did not come in time.
fn said_of_dmarc(output: Option<&DmarcOutput>, dkim: Ended) -> (Said, Wish) {
    let Some(output) = output else { return (Said::TempError, Wish::Unknown) };
    let said = match output.result() {
        DmarcResult::Pass => Said::Pass,
        DmarcResult::Fail(_) => Said::Fail,
        DmarcResult::TempError(_) => Said::TempError,
        DmarcResult::PermError(_) => Said::PermError,
        DmarcResult::None => Said::None,
    };
    // A signature that was not looked at might have spoken for the author.
    let said = if dkim == Ended::TooLate && said == Said::Fail { Said::TempError } else { said };
    let wish = match output.policy() {
        _ if output.dmarc_record().is_none() && said == Said::TempError => Wish::Unknown,
        Policy::Reject => Wish::Reject,
        Policy::Quarantine => Wish::Quarantine,
        Policy::None | Policy::Unspecified => Wish::Nothing,
    };
    (said, wish)
}

/// The best of all signatures, or what there was instead.
fn best(outputs: &[DkimOutput<'_>], set_aside: Option<Said>) -> Said {
    const ORDER: [Said; 5] = [Said::Pass, Said::TempError, Said::Fail, Said::Neutral, Said::PermError];
    let found = |said: &Said| outputs.iter().any(|output| said_of_dkim(output.result()) == *said);
    ORDER.into_iter().find(found).or(set_aside).unwrap_or(Said::None)
}

fn signature<'a>(output: &'a DkimOutput<'_>) -> Option<(Said, &'a str, &'a str)> {
    let signature = output.signature()?;
    Some((said_of_dkim(output.result()), &signature.d, &signature.s))
}

fn dkim_entry<'a>((said, domain, selector): (Said, &'a str, &'a str)) -> Entry<'a> {
    Entry { method: "dkim", said, properties: vec![("header.d", domain), ("header.s", selector)] }
}

fn spf_entry<'a>(output: &SpfOutput, client: &Client<'a>) -> Entry<'a> {
    let property = if client.mail_from.is_empty() { "smtp.helo" } else { "smtp.mailfrom" };
    Entry { method: "spf", said: said_of_spf(output.result()), properties: vec![(property, domain_of(client))] }
}

fn dmarc_entry<'a>(said: Said, wish: Wish, output: Option<&'a DmarcOutput>) -> Entry<'a> {
    let domain = output.map(DmarcOutput::domain).filter(|domain| !domain.is_empty());
    let mut properties: Vec<(&'static str, &str)> = domain.map(|domain| ("header.from", domain)).into_iter().collect();
    match wish {
        Wish::Reject => properties.push(("policy.dmarc", "reject")),
        Wish::Quarantine => properties.push(("policy.dmarc", "quarantine")),
        Wish::Nothing | Wish::Unknown => {}
    }
    Entry { method: "dmarc", said, properties }
}
