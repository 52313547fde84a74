//! MTA-STS (RFC 8461): whoever forges the DNS gains nothing, and nothing by making a policy go away.

use std::path::Path;
use std::time::Duration;

use flow::forward::mx::dns::Dnssec;
use testbed::{Names, Record};

use crate::hop::Hop;
use crate::policies::{Policies, ok, policy};
use crate::world::{Authority, DOMAIN, Way, port, server};

/// A DNS in which somebody puts his own server before the true one. Its certificate is good: for its own name.
struct Forged {
    names: Names,
    evil: Hop,
    smtp: u16,
}

const RECORD: &str = "_mta-sts.provider.example";

fn forged(authority: &Authority) -> Forged {
    let (names, smtp) = (Names::serve([]), port());
    names.add(DOMAIN, Record::Mx(1, "mx.evil.example".to_owned()));
    names.add("mx.evil.example", Record::A([127, 0, 0, 66].into()));
    let evil = server(66, smtp, Some(&authority.vouch("mx.evil.example")));
    Forged { names, evil, smtp }
}

impl Forged {
    fn announce(&self) {
        self.names.add(RECORD, Record::Txt("v=STSv1; id=1;".to_owned()));
        self.names.add("mta-sts.provider.example", Record::A([127, 0, 0, 1].into()));
    }

    fn send(&self, authority: &Authority, https: u16, state: &Path) -> Option<String> {
        let way = Way { names: self.names.address(), dnssec: Dnssec::Off, authority, smtp: self.smtp, https };
        way.send(state)
    }
}

#[test]
fn a_server_that_the_policy_does_not_name_gets_nothing() {
    let authority = Authority::new("web");
    let forged = forged(&authority);
    let host = authority.vouch("mta-sts.provider.example");
    let policies = Policies::serve(&host, ok(&policy("enforce", "mx1.provider.example", 86_400)));
    forged.announce();
    let state = tempfile::tempdir().unwrap();
    assert_eq!(forged.send(&authority, policies.port, state.path()).as_deref(), Some("Untrusted"));
    assert!(forged.evil.all().is_empty());
    assert_eq!(policies.asked(), 1);
    // The true one is named, and gets it, also if it is worse by number.
    forged.names.add(DOMAIN, Record::Mx(99, "mx1.provider.example".to_owned()));
    forged.names.add("mx1.provider.example", Record::A([127, 0, 0, 11].into()));
    let good = server(11, forged.smtp, Some(&authority.vouch("mx1.provider.example")));
    assert_eq!(forged.send(&authority, policies.port, state.path()), None);
    assert_eq!((good.all().len(), forged.evil.all().len()), (1, 0));
    assert_eq!(policies.asked(), 1, "a policy that is fresh is not asked for again");
}

#[test]
fn a_policy_that_is_known_does_not_go_away() {
    let authority = Authority::new("web");
    let state = tempfile::tempdir().unwrap();
    let host = authority.vouch("mta-sts.provider.example");
    let enforce = ok(&policy("enforce", "*.provider.example", 86_400));
    let policies = Policies::serve(&host, enforce);
    let before = forged(&authority);
    before.announce();
    assert_eq!(before.send(&authority, policies.port, state.path()).as_deref(), Some("Untrusted"));
    // A new process; the record is gone, the host is not reached. Then: the record says there is something new, which nobody gets.
    for text in [None, Some("v=STSv1; id=2;")] {
        let after = forged(&authority);
        text.into_iter().for_each(|text| after.names.add(RECORD, Record::Txt(text.to_owned())));
        assert_eq!(after.send(&authority, port(), state.path()).as_deref(), Some("Untrusted"), "{text:?}");
        assert!(after.evil.all().is_empty());
    }
    // Whoever never knew it cannot know it.
    let never = tempfile::tempdir().unwrap();
    let after = forged(&authority);
    assert_eq!(after.send(&authority, port(), never.path()), None);
}

#[test]
fn a_policy_ends_when_it_said() {
    let authority = Authority::new("web");
    let state = tempfile::tempdir().unwrap();
    let host = authority.vouch("mta-sts.provider.example");
    let policies = Policies::serve(&host, ok(&policy("enforce", "mx1.provider.example", 2)));
    let before = forged(&authority);
    before.announce();
    assert_eq!(before.send(&authority, policies.port, state.path()).as_deref(), Some("Untrusted"));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(forged(&authority).send(&authority, port(), state.path()), None);
}

#[test]
fn what_is_no_policy_forbids_nothing() {
    let authority = Authority::new("web");
    let good = policy("enforce", "mx1.provider.example", 86_400);
    let right = "mta-sts.provider.example";
    for (what, host, answer) in [
        ("testing", right, ok(&policy("testing", "mx1.provider.example", 86_400))),
        ("none", right, ok(&policy("none", "mx1.provider.example", 86_400))),
        ("another host's", "www.provider.example", ok(&good)),
        ("not there", right, ok(&good).replace("200 OK", "404 Not Found")),
        ("elsewhere", right, ok(&good).replace("200 OK", "301 Moved\r\nLocation: https://mta-sts.provider.example/")),
        ("no text", right, ok(&good).replace("text/plain", "text/html")),
        ("endless", right, ok(&format!("{good}{}", "x: y\r\n".repeat(20_000)))),
        ("nonsense", right, ok("hello")),
    ] {
        let forged = forged(&authority);
        let policies = Policies::serve(&authority.vouch(host), answer);
        forged.announce();
        let state = tempfile::tempdir().unwrap();
        assert_eq!(forged.send(&authority, policies.port, state.path()), None, "{what}");
    }
}
