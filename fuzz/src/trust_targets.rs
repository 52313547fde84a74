//! What is fuzzed of a forwarder's trust: signatures, chains and results in a message (DKIM, ARC, Authentication-Results), addresses that bounces come
//! to, policies of mail servers. As in `targets.rs`; the smoke test of the `flow` crate calls it, too.

use std::io::Read;

use flow::forward::checks::glance;
use flow::forward::dkim::Signer;
use flow::forward::evidence::Evidence;
use flow::forward::mx::policy::{self, Policy};
use flow::forward::return_path::ReturnPath;

/// Takes anything; panics when something that always holds does not.
pub type Law = fn(&[u8]);

/// All of them, by the names of the fuzz targets.
pub const ALL: [(&str, Law); 4] =
    [("evidence", evidence), ("return_path", return_path), ("mta_sts", mta_sts), ("dkim_key", dkim_key)];

/// A message: what is seen of its author, signatures and chains does not depend on how it comes.
pub fn evidence(octets: &[u8]) {
    let seen = |source: &mut dyn Read| {
        let evidence = Evidence::read(&mut &mut *source).expect("octets can be read");
        glance(&evidence, "mx.my.example")
    };
    let whole = seen(&mut &*octets);
    let (first, last) = octets.split_at(octets.len() / 2);
    assert_eq!(seen(&mut first.chain(last)), whole);
}

/// An address that a bounce is for: only what was made here is taken for ours, and it leads back.
pub fn return_path(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let ours = ReturnPath::new(&[7; 32], "my.example");
    assert!(ours.decode("", &text, 1_800_000_000).is_err(), "nobody guesses one");
    let mut id = [0; 16];
    id.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
    let made = ours.encode("me@my.example", id, 1_800_000_000);
    assert!(ours.looks_like_ours(&made));
    assert_eq!(ours.decode("", &made, 1_800_000_000).expect("ours").id, id);
}

/// A policy: one that is read allows no host that it does not name.
pub fn mta_sts(octets: &[u8]) {
    let _ = policy::id([octets].into_iter());
    let Some(policy) = Policy::parse(&String::from_utf8_lossy(octets)) else { return };
    if policy.mode == policy::Mode::Enforce {
        assert!(!policy.allows("a-host-that-nobody-named.invalid-and-long.example"));
    }
}

/// A file that may be a key: a record comes from one that signs.
pub fn dkim_key(octets: &[u8]) {
    let Ok(signer) = Signer::new("my.example").expect("a name").with_key("s1", octets) else { return };
    assert_eq!(signer.dns_records().len(), 1);
    assert!(signer.sign(&mut &b"From: a@my.example\r\n\r\n"[..]).is_ok());
}
