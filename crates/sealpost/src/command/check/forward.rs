//! `check` of a flow of mail that is forwarded: all that `run` needs is tried, keys, listener, DNS, queue, target. No mail is taken or sent, and
//! nothing is changed.

use std::sync::{Arc, atomic::AtomicBool};

use flow::forward::{
    Hitch, Likely, Own, Ready, Settings, Sink,
    mx::dns::{Dns, Dnssec, Silence},
    probe,
};
use wire::smtp::Place;

use super::{Finding, Verdict, good, wrong};
use crate::{
    command::forward,
    config::{Config, forward::Forward},
    deliveries::Sockets,
    failure::{Exit, Failure},
    forwards,
    home::Home,
    obstacles::mend,
};

/// Looks at everything it needs.
pub(super) fn check(
    home: &Home,
    config: &Config,
    name: &str,
    flow: &Forward,
    stop: &Arc<AtomicBool>,
    findings: &mut Vec<Finding>,
) {
    let what = format!("flow {name}");
    let settings = match forwards::settings(home, config, name, flow, &Sockets::none(), stop) {
        Ok(settings) => settings,
        Err(failure) => return findings.push(wrong(&what, failure)),
    };
    findings.push(listener(&what, &settings.listen.place));
    let of = format!("{what}: queue");
    // One that is not there yet is made by whoever runs the flow, and not by whoever looks.
    let is_new = forwards::spool_file(home, &flow.queue).is_some_and(|file| !file.exists());
    let looked = || if is_new { Ok(None) } else { forward::status(home, config, name, flow).map(Some) };
    findings.push(match writable(home, flow).and_then(|()| looked()) {
        Ok(None) => good(&of, Some("none yet".to_owned())),
        Ok(Some(status)) => match status.strangers() {
            Some(strangers) => warning(of, &strangers, "name the flow as it was called when they came"),
            None => good(&of, Some(status.sentence())),
        },
        Err(failure) => wrong(&of, failure),
    });
    if settings.session.tls.is_none() {
        let hint = "get one for this server's name (ACME), and name `tls-certificate` and `tls-key` in `source`";
        findings.push(warning(
            format!("{what}: TLS"),
            "without `tls-certificate` and `tls-key`, mail comes in clear",
            hint,
        ));
    }
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() else {
        return;
    };
    runtime.block_on(async {
        if settings.checks.is_some() || settings.own.is_some() || matches!(settings.sink, Sink::Domain { .. }) {
            names(&what, flow, &settings, findings).await;
        }
        target(&what, settings, findings).await;
    });
}

/// Whether the place can be listened at.
fn listener(what: &str, place: &Place) -> Finding {
    let what = format!("{what}: listener");
    let bound = match place {
        _ if Sockets::inherited().has(place) => return good(&what, Some(format!("{place}, opened by systemd"))),
        Place::Tcp(address) => std::net::TcpListener::bind(address.as_str()).map(|_| ()),
        Place::Unix(path) if path.exists() => Err(std::io::ErrorKind::AddrInUse.into()),
        Place::Unix(path) => {
            let folder = path.parent().unwrap_or(path);
            rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).map_err(Into::into)
        }
    };
    match bound {
        Ok(()) => good(&what, Some(place.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => warning(
            what,
            &format!("somebody listens at {place}"),
            "that is right while this flow runs, or systemd holds the socket",
        ),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => warning(
            what,
            &format!("this user may not listen at {place}"),
            "let systemd open the socket: docs/forwarder.md shows the unit",
        ),
        Err(error) => wrong(
            &what,
            Failure::new(Exit::Config, format_args!("cannot listen at {place}: {error}"))
                .hint("is the address one of this machine's? \"0.0.0.0:25\" is all of them"),
        ),
    }
}

fn writable(home: &Home, flow: &Forward) -> Result<(), Failure> {
    let Some(file) = forwards::spool_file(home, &flow.queue) else { return Ok(()) };
    let folder = file.parent().unwrap_or(&file);
    // SQLite writes beside the file, too.
    let places = [folder, file.as_path()];
    let wrong = places.iter().find(|place| {
        place.exists() && rustix::fs::access(**place, rustix::fs::Access::WRITE_OK).is_err()
            || place == &&folder && !place.exists()
    });
    wrong.map_or(Ok(()), |place| {
        Err(Failure::new(Exit::Config, format_args!("{} cannot be written", place.display()))
            .hint("give it to the user that runs this program"))
    })
}

/// One real question; and what must stand in the DNS for mail in our own name.
async fn names(what: &str, flow: &Forward, settings: &Settings, findings: &mut Vec<Finding>) {
    let of = format!("{what}: DNS");
    let hint = "name one that answers in `source`: resolver = \"127.0.0.1:53\"";
    let Ok(dns) = Dns::new(flow.resolver, &Dnssec::Off) else {
        return findings
            .push(wrong(&of, Failure::new(Exit::Config, "the DNS settings of this system cannot be used").hint(hint)));
    };
    if dns.texts(&settings.session.hello).await == Err(Silence::Fails) {
        return findings.push(wrong(&of, Failure::new(Exit::Unavailable, "the resolver does not answer").hint(hint)));
    }
    findings.push(good(&of, Some("the resolver answers".to_owned())));
    let Some(Own { forwarder, signer, .. }) = &settings.own else { return };
    for line in signer.dns_records() {
        let Some((name, rest)) = line.split_once(". IN TXT ( ") else { continue };
        let wanted: String = rest.split('"').skip(1).step_by(2).collect();
        let key = |record: &str| {
            record.split(';').filter_map(|tag| tag.trim().strip_prefix("p=")).map(|key| key.replace(' ', "")).next()
        };
        let texts = dns.texts(name).await.unwrap_or_default();
        let there = texts.iter().any(|text| key(&String::from_utf8_lossy(text)) == key(&wanted));
        findings.push(match there {
            true => good(&format!("{of}, DKIM"), Some(name.to_owned())),
            false => warning(
                format!("{of}, DKIM"),
                &format!("{name} does not publish this key"),
                "put there what `sealpost key dkim` prints; it may take an hour to be seen",
            ),
        });
    }
    let domain = forwarder.address().rsplit_once('@').map_or("", |(_, domain)| domain);
    let texts = dns.texts(domain).await.unwrap_or_default();
    let has = texts.iter().filter(|text| text.starts_with(b"v=spf1")).count();
    findings.push(match has {
        1 => good(&format!("{of}, SPF"), Some(domain.to_owned())),
        0 => warning(format!("{of}, SPF"), &format!("{domain} has no SPF record"), "docs/forwarder.md shows one"),
        _ => warning(format!("{of}, SPF"), &format!("{domain} has several SPF records, which is none"), "leave one"),
    });
}

/// The target is greeted: an account logged in to, its mailbox opened for writing.
async fn target(what: &str, settings: Settings, findings: &mut Vec<Finding>) {
    let of = format!("{what}: target");
    let (place, done) = match &settings.sink {
        Sink::Account { mailbox, .. } => (format!("mailbox {mailbox}"), "logged in, it can be written"),
        Sink::Hop { hop, .. } => (hop.place.to_string(), "it answers"),
        Sink::Domain { mx, .. } => (format!("mail servers of {}", mx.domain), "one proved its name, and answers"),
        Sink::Maildir(path) => (path.display().to_string(), "it is there"),
    };
    let is_account = matches!(settings.sink, Sink::Account { .. });
    findings.push(match probe(settings.sink).await {
        Ok(Ready::Now) => good(&of, Some(format!("{place}: {done}"))),
        Ok(Ready::OnceMade) if is_account => warning(
            of,
            &format!("{place}: logged in; it is not there"),
            "the flow makes it when it begins; if that is not wanted, correct `mailbox` in `sink`",
        ),
        Ok(Ready::OnceMade) => good(&of, Some(format!("{place}: it is not there, and will be made"))),
        Err(hitch) => {
            let (what, hint) = explain(&hitch, is_account);
            wrong(&of, Failure::new(Exit::Unavailable, format_args!("{place}: {what}")).hint(hint))
        }
    });
}

/// What is most likely wrong, and what to do.
fn explain(hitch: &Hitch, is_account: bool) -> (String, &'static str) {
    let (what, hint) = match (hitch.likely, is_account) {
        (Some(Likely::NoSuchName), _) => (
            "the DNS has no address for this name",
            "is it written as the provider names it? `getent hosts NAME` asks as this program does",
        ),
        (Some(Likely::TlsAtOnce), true) => (
            "this port speaks TLS at once",
            "write imaps:// in `imap` of the account: imap:// begins in clear (STARTTLS)",
        ),
        (Some(Likely::TlsAtOnce), false) => (
            "this port speaks TLS at once",
            "write tls = \"tls\" in `sink`, or name the port that begins in clear (587 as a rule) with tls = \"starttls\"",
        ),
        (Some(Likely::ClearFirst), true) => (
            "this port begins in clear",
            "write imap:// in `imap` of the account (STARTTLS), or name the port of imaps:// (993)",
        ),
        (Some(Likely::ClearFirst), false) => (
            "this port begins in clear",
            "write tls = \"starttls\" in `sink`, or name the port that speaks TLS at once (465 as a rule)",
        ),
        (Some(Likely::NoAuth), _) => (
            "it offers no login (AUTH)",
            "take `auth` out of `sink`, or use the port for submission (587 with tls = \"starttls\", 465 with \"tls\"): many \
             servers offer a login there alone, and within TLS",
        ),
        (None, _) => {
            let met = hitch.met.as_ref().map(|met| format!(" ({met})")).unwrap_or_default();
            return (format!("{}{met}", hitch.obstacle.text()), mend(hitch.obstacle));
        }
    };
    (what.to_owned(), hint)
}

fn warning(what: String, detail: &str, hint: &str) -> Finding {
    Finding { what, verdict: Verdict::Warning, detail: Some(detail.to_owned()), hint: Some(hint.to_owned()) }
}
