//! Which of a domain's servers take a copy.

use flow::forward::mx::dns::Dnssec;
use testbed::{Names, Record};

use crate::world::{Authority, DOMAIN, Way, port, server};

fn mx(names: &Names, preference: u16, host: &str, last: u8) {
    names.add(DOMAIN, Record::Mx(preference, host.to_owned()));
    names.add(host, Record::A([127, 0, 0, last].into()));
}

fn way<'a>(names: &Names, authority: &'a Authority, smtp: u16) -> Way<'a> {
    Way { names: names.address(), dnssec: Dnssec::Off, authority, smtp, https: port() }
}

#[test]
fn the_best_that_answers_takes_it() {
    let (names, authority, smtp) = (Names::serve([]), Authority::new("web"), port());
    // Nobody listens at the first, the second does not want to talk TLS, the third is good, the fourth is never asked.
    (1..=4).for_each(|number| mx(&names, u16::from(number) * 10, &format!("mx{number}.{DOMAIN}"), number + 10));
    let plain = server(12, smtp, None);
    let good = server(13, smtp, Some(&authority.vouch(&format!("mx3.{DOMAIN}"))));
    let last = server(14, smtp, Some(&authority.vouch(&format!("mx4.{DOMAIN}"))));
    let state = tempfile::tempdir().unwrap();
    assert_eq!(way(&names, &authority, smtp).send(state.path()), None);
    assert_eq!((plain.all().len(), good.all().len(), last.all().len()), (0, 1, 0));
    let taken = good.all().remove(0);
    assert_eq!(taken.to[0].address, format!("me@{DOMAIN}"));
}

#[test]
fn nobody_gets_it_who_does_not_prove_his_name() {
    let (authority, other) = (Authority::new("web"), Authority::new("nobody's"));
    let host = format!("mx1.{DOMAIN}");
    for (what, identity, why) in [
        ("in clear", None, "Unreachable"),
        ("another name", Some(authority.vouch("mx.evil.example")), "Untrusted"),
        ("another authority", Some(other.vouch(&host)), "Untrusted"),
    ] {
        let (names, smtp) = (Names::serve([]), port());
        mx(&names, 10, &host, 11);
        let hop = server(11, smtp, identity.as_ref());
        let state = tempfile::tempdir().unwrap();
        let met = way(&names, &authority, smtp).send(state.path());
        assert_eq!(met.as_deref(), Some(why), "{what}");
        assert!(hop.all().is_empty(), "{what}");
    }
}

#[test]
fn a_domain_that_takes_no_mail_gets_none() {
    let (authority, smtp) = (Authority::new("web"), port());
    let state = tempfile::tempdir().unwrap();
    // RFC 7505. Whoever sends is told at once: somebody must mend the config.
    let names = Names::serve([]);
    names.add(DOMAIN, Record::Mx(0, String::new()));
    let met = way(&names, &authority, smtp).send(state.path()).unwrap();
    assert!(met.starts_with("451 4.3.5"), "{met}");
    let met = way(&Names::serve([]), &authority, smtp).send(state.path()).unwrap();
    assert!(met.starts_with("451 4.3.5"), "no such domain: {met}");
    let names = Names::serve([(DOMAIN, Record::Fails)]);
    assert_eq!(way(&names, &authority, smtp).send(state.path()).as_deref(), Some("Nameless"));
    // RFC 5321 §5.1: without a record it is its own server.
    let names = Names::serve([(DOMAIN, Record::A([127, 0, 0, 11].into()))]);
    let hop = server(11, smtp, Some(&authority.vouch(DOMAIN)));
    assert_eq!(way(&names, &authority, smtp).send(state.path()), None);
    assert_eq!(hop.all().len(), 1);
}
