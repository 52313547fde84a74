//! DANE (RFC 7672): a certificate that DNSSEC vouches for, and no other; an answer that is false is none.

use std::sync::Arc;

use flow::forward::mx::dns::Dnssec;

use crate::signed::Signed;
use crate::world::{Authority, DOMAIN, Identity, Way, port, server};

const HOST: &str = "mx1.provider.example";

/// A provider in a signed zone, with one server; what it shows, what is said of it. What became of a message, and how many the server has.
fn send(host: &str, identity: &Identity, publish: impl FnOnce(&Signed, u16)) -> (Option<String>, usize) {
    let (names, smtp, web) = (Signed::serve(), port(), Authority::new("web"));
    names.mx(DOMAIN, 10, host);
    names.a(host, 11);
    publish(&names, smtp);
    let hop = server(11, smtp, Some(identity));
    let state = tempfile::tempdir().unwrap();
    let dnssec = Dnssec::From(Arc::clone(&names.keys));
    let way = Way { names: names.address, dnssec, authority: &web, smtp, https: port() };
    let met = way.send(state.path());
    (met, hop.all().len())
}

#[test]
fn the_certificate_that_is_named_is_enough() {
    // No authority that anybody knows.
    let shown = Authority::new("own").vouch(HOST);
    let named = |names: &Signed, port: u16| names.tlsa(HOST, port, 3, 1, &shown.spki);
    assert_eq!(send(HOST, &shown, named), (None, 1));
    let named = |names: &Signed, port: u16| names.tlsa(HOST, port, 3, 0, &shown.der);
    assert_eq!(send(HOST, &shown, named), (None, 1));
}

#[test]
fn another_certificate_is_not() {
    let (shown, named) = (Authority::new("own").vouch(HOST), Authority::new("own").vouch(HOST));
    let publish = |names: &Signed, port: u16| names.tlsa(HOST, port, 3, 1, &named.spki);
    assert_eq!(send(HOST, &shown, publish), (Some("Untrusted".to_owned()), 0));
    // Nothing is said: then the authorities count, and they do not know it.
    assert_eq!(send(HOST, &shown, |_, _| {}), (Some("Untrusted".to_owned()), 0));
    // What is said cannot be used: the same.
    let publish = |names: &Signed, port: u16| names.tlsa(HOST, port, 1, 1, &shown.spki);
    assert_eq!(send(HOST, &shown, publish), (Some("Untrusted".to_owned()), 0));
}

#[test]
fn what_is_not_signed_is_not_believed() {
    let host = "mx1.unsigned.example";
    let shown = Authority::new("own").vouch(host);
    let publish = |names: &Signed, port: u16| names.tlsa(host, port, 3, 1, &shown.spki);
    assert_eq!(send(host, &shown, publish), (Some("Untrusted".to_owned()), 0));
}

#[test]
fn an_answer_that_is_false_is_none() {
    let shown = Authority::new("own").vouch(HOST);
    for forged in [format!("_PORT._tcp.{HOST}"), HOST.to_owned(), DOMAIN.to_owned()] {
        let publish = |names: &Signed, port: u16| {
            names.tlsa(HOST, port, 3, 1, &shown.spki);
            names.forge(&forged.replace("PORT", &port.to_string()));
        };
        assert_eq!(send(HOST, &shown, publish), (Some("Nameless".to_owned()), 0), "{forged}");
    }
}
