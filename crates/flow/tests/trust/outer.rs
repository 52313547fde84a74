//! The outer message: From rewritten, signed by the forwarder. And what was signed by the author still is, once it is opened.

use std::io::Cursor;
use std::process::Command;

use flow::forward::dkim::{KeyError, Signer};
use flow::forward::rewrite::{Author, Forwarder};
use flow::forward::verdict::{Action, Said, Strictness};
use mail::HeaderSection;
use seal::Policy;
use testbed::Names;

use crate::author::{SERVER, STRANGER, check, domain, ed25519, mail, publish, rsa, signed};
use crate::scene::{Scene, now};

/// The sealed message with a forwarder's From.
fn sealed(scene: &Scene, original: &[u8], policy: Policy, results: &str) -> Vec<u8> {
    let settings = scene.settings();
    let recipients: Vec<_> = settings.enrolment.certificates.iter().map(|found| found.recipient.clone()).collect();
    let ours = Forwarder::new("forward@my.example", "mx.my.example").unwrap();
    let how = seal::Settings {
        account: settings.enrolment.account().unwrap(),
        recipients: &recipients,
        sealer: &scene.sealer(),
        profile: settings.enrolment.profile(),
        policy,
        outer_id: seal::OuterId::Kept,
        outer_from: ours.instead_of(&HeaderSection::parse(original), policy, Author::Unsuspected),
        compression: settings.compression,
        padding: settings.padding,
        id: seal::NewId::Random,
        sequence: 0,
        time: now(),
        way: sealed::index::Way::Delivery,
        place: seal::Place { authentication_results: Some(results.to_owned()), ..seal::Place::default() },
    };
    let mut out = Vec::new();
    seal::seal(&mut Cursor::new(original), || Ok(Cursor::new(Vec::new())), &mut out, &how).unwrap();
    out
}

fn ours(names: &Names) -> Signer {
    let signer = Signer::new("my.example").unwrap();
    let signer = signer.with_key("rsa", rsa().as_bytes()).unwrap().with_key("ed", ed25519().as_bytes()).unwrap();
    publish(names, &signer);
    signer
}

#[test]
fn the_authors_signature_survives_inside_and_ours_stands_outside() {
    let scene_at = tempfile::tempdir().unwrap();
    let scene = Scene::new(scene_at.path());
    let names = Names::serve([]);
    let author = domain(&names, "example.org", "reject");
    let signer = ours(&names);
    names.add("_dmarc.my.example", testbed::Record::Txt("v=DMARC1; p=reject".to_owned()));
    let original = signed(&author, &mail("Alice <alice@example.org>"));
    let verdict = check(&names, SERVER, "alice@example.org", &original);
    for policy in [Policy::Open, Policy::Baseline, Policy::Shy, Policy::Hidden] {
        let sealed = sealed(&scene, &original, policy, verdict.authentication_results());
        let outer = signed(&signer, &sealed);

        // As the owner's provider sees it: from our server, or from a relay's.
        let seen = check(&names, STRANGER, "bounce@relay.example", &outer);
        assert_eq!((seen.dkim, seen.dmarc), (Said::Pass, Said::Pass), "{seen:?}");
        assert!(seen.authentication_results().contains("header.d=my.example header.s=rsa"), "{seen:?}");
        assert!(seen.authentication_results().contains("header.d=my.example header.s=ed"), "{seen:?}");
        let header = String::from_utf8(HeaderSection::parse(&outer).octets().to_vec()).unwrap();
        assert!(signer.is_aligned_with("forward@my.example"));
        match policy {
            Policy::Open | Policy::Baseline => {
                assert!(
                    header.contains("From: \"Alice at example.org via mx.my.example\" <forward@my.example>\r\n"),
                    "{header}"
                );
                assert!(header.contains("Reply-To: alice@example.org\r\n"), "{header}");
            }
            Policy::Shy | Policy::Hidden => {
                assert!(header.contains("From: forward@my.example\r\n"), "{header}");
                assert!(!header.contains("lice@example.org") && !header.contains("Alice"), "{header}");
            }
        }
        assert_eq!(HeaderSection::parse(&outer).all("From").count(), 1);

        // As the owner reads it.
        let opened = open::open(&mut &outer[..], Cursor::new(Vec::new()), &scene.keyring(), &scene.trust()).unwrap();
        assert_eq!(opened.index.authentication_results.as_deref(), Some(verdict.authentication_results()));
        let mut back = Vec::new();
        opened.write(&mut back).unwrap();
        assert_eq!(back, original);
        let again = check(&names, STRANGER, "x@other.example", &back);
        assert_eq!((again.dkim, again.dmarc), (Said::Pass, Said::Pass), "{again:?}");
        assert_eq!(again.action(Strictness::Reject), Action::Take);
    }
}

#[test]
fn a_verdict_cannot_be_hidden_behind_long_fields() {
    let scene_at = tempfile::tempdir().unwrap();
    let scene = Scene::new(scene_at.path());
    let original = format!(
        "From: {}eve@evil.example\r\nSubject: {}\r\nTo: {}\r\nReferences: {}\r\n\r\nx\r\n",
        "<a@b> ".repeat(600),
        "long ".repeat(900),
        "somebody@example.net, ".repeat(300),
        "<1@example.net> ".repeat(300)
    );
    let results = format!("mx.my.example; dmarc=fail header.from={}", "x".repeat(600));
    let sealed = sealed(&scene, original.as_bytes(), Policy::Baseline, &results);
    let opened = open::open(&mut &sealed[..], Cursor::new(Vec::new()), &scene.keyring(), &scene.trust()).unwrap();
    assert_eq!(opened.index.authentication_results.as_deref(), Some(results.as_str()));
}

#[test]
fn what_is_added_outside_breaks_our_signature() {
    let names = Names::serve([]);
    let signer = ours(&names);
    let outer = signed(&signer, &mail("forward@my.example"));
    for added in [
        "From: eve@evil.example\r\n",
        "Subject: pay\r\n",
        "Reply-To: eve@evil.example\r\n",
        "Content-Type: text/html\r\n",
    ] {
        let changed = [added.as_bytes(), &outer].concat();
        assert_ne!(check(&names, STRANGER, "x@other.example", &changed).dkim, Said::Pass, "{added}");
    }
}

/// OpenDKIM asks the system's name server: here it finds ours, in a mount namespace with a resolv.conf of its own. That needs root.
#[test]
fn opendkim_verifies_our_signature() {
    let server = "127.0.0.153:53".parse().unwrap();
    let looked = Command::new("unshare").args(["-m", "sh", "-c", "command -v opendkim-testmsg"]).output();
    let there = looked.is_ok_and(|output| output.status.success());
    let Some(names) = there.then(|| Names::serve_at(server, [])).flatten() else {
        assert!(std::env::var_os("SEALPOST_ALL_PROGRAMS").is_none(), "opendkim-testmsg, unshare and port 53");
        println!("SKIPPED: needs opendkim-testmsg, unshare and port 53 on loopback: OpenDKIM was not asked");
        return;
    };
    let at = tempfile::tempdir().unwrap();
    let scene = Scene::new(at.path());
    let signer = Signer::new("my.example").unwrap().with_key("rsa", rsa().as_bytes()).unwrap();
    publish(&names, &signer);
    let results = "mx.my.example; dmarc=pass";
    let outer = signed(&signer, &sealed(&scene, &mail("Alice <alice@example.org>"), Policy::Baseline, results));
    std::fs::write(at.path().join("resolv.conf"), "nameserver 127.0.0.153\n").unwrap();
    let verify = |message: &[u8]| {
        std::fs::write(at.path().join("message"), message).unwrap();
        let script = "mount --bind resolv.conf /etc/resolv.conf && exec opendkim-testmsg < message";
        Command::new("unshare").args(["-m", "sh", "-c", script]).current_dir(at.path()).output().unwrap()
    };
    let verified = verify(&outer);
    assert!(verified.status.success(), "{verified:?}");
    assert!(names.asked() > 0, "it asked us");
    let changed = String::from_utf8(outer).unwrap().replace("via mx", "via xx");
    assert!(!verify(changed.as_bytes()).status.success());
}

#[test]
fn unsuitable_keys_are_refused() {
    let signer =
        |selector: &str, pem: &str| Signer::new("my.example").unwrap().with_key(selector, pem.as_bytes()).map(|_| ());
    assert_eq!(signer("s", rsa()), Ok(()));
    assert_eq!(signer("s", "no key"), Err(KeyError::NotAKey));
    assert_eq!(signer("a;b", rsa()), Err(KeyError::NotASelector));
    assert_eq!(Signer::new("a b").map(|_| ()), Err(KeyError::NotADomain));
    let aligned = Signer::new("my.example").unwrap();
    for (address, expected) in
        [("a@my.example", true), ("a@fwd.MY.example", true), ("a@notmy.example", false), ("a", false)]
    {
        assert_eq!(aligned.is_aligned_with(address), expected, "{address}");
    }
}

#[test]
fn one_octet_at_a_time_or_all_at_once_is_the_same_to_the_signer() {
    struct Dribble<'a>(&'a [u8]);
    impl std::io::Read for Dribble<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let count = into.len().min(1);
            std::io::Read::read(&mut self.0, &mut into[..count])
        }
    }
    let names = Names::serve([]);
    let signer = ours(&names);
    let mail = mail("forward@my.example");
    let fields = signer.sign(&mut Dribble(&mail)).unwrap();
    let verdict = check(&names, STRANGER, "x@other.example", &[fields, mail].concat());
    assert_eq!(verdict.dkim, Said::Pass, "{verdict:?}");
}
