//! In the forwarder's own name: what it believes of strangers, and what others may believe of it.

use std::sync::Arc;

use flow::forward::Own;
use flow::forward::checks::Checks;
use flow::forward::dkim::Signer;
use flow::forward::resolver::Resolver;
use flow::forward::return_path::ReturnPath;
use flow::forward::rewrite::Forwarder;
use flow::forward::verdict::Strictness;
use testbed::{Language, Names, Record, submit};
use wire::smtp::{Dialect, Reply};

use crate::hop::{Hop, Say};
use crate::scene::Scene;
use crate::station::{ME, Station, choice, hop, mail, open_sealed, until};

/// A key for tests, which signs nothing else.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END PRIVATE KEY-----\n";

fn own() -> Own {
    Own {
        forwarder: Forwarder::new("forward@my.example", "gw.my.example").unwrap(),
        signer: Signer::new("my.example").unwrap().with_key("s1", KEY.as_bytes()).unwrap(),
        return_path: ReturnPath::new(&[3; 32], "my.example"),
    }
}

#[test]
fn outside_it_speaks_for_itself_and_bounces_become_notes() {
    let names = Names::serve([
        ("example.com", Record::Txt("v=spf1 ip4:127.0.0.0/8 -all".to_owned())),
        ("_dmarc.example.com", Record::Txt("v=DMARC1; p=reject".to_owned())),
        ("other.example", Record::Txt("v=spf1 -all".to_owned())),
        ("_dmarc.other.example", Record::Txt("v=DMARC1; p=reject".to_owned())),
    ]);
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let target = Hop::start(Dialect::Smtp, 1 << 20, Arc::new(|_| Say::Reply(Reply::new(250, (2, 0, 0), "ok"))));
    let mut choice = choice(&scene, hop(target.address, Some("me@provider.example")));
    let checks = Checks::new(Resolver::at(names.address()).unwrap(), "gw.my.example");
    (choice.checks, choice.own, choice.trusts) = (Some((checks, Strictness::Reject)), Some(own()), false);
    let station = Station::open(&scene, choice);
    let said = station.send(&mail(1));
    assert!(said.starts_with("250"), "{said}");
    until("it arrived", || station.count("arrived") == 1);
    let taken = target.all().remove(0);
    let outer = String::from_utf8_lossy(&taken.octets).into_owned();
    assert!(outer.contains("From: \"Eve at example.com via gw.my.example\" <forward@my.example>\r\n"), "{outer}");
    assert!(outer.contains("DKIM-Signature: ") && outer.contains("d=my.example"), "{outer}");
    assert!(taken.from.address.starts_with("bounce+") && taken.from.address.ends_with("@my.example"), "{taken:?}");
    assert_eq!(taken.to[0].address, "me@provider.example");
    assert_eq!(open_sealed(&scene, &taken.octets).unwrap(), mail(1));
    let keys = scene.keyring();
    let opened = open::open(&mut &taken.octets[..], std::io::Cursor::new(Vec::new()), &keys, &scene.trust()).unwrap();
    let verdict = opened.index.authentication_results.clone().unwrap();
    assert!(verdict.starts_with("gw.my.example;") && verdict.contains("dmarc=pass"), "{verdict}");
    // Whoever claims to be somebody else is refused while he is there.
    let forged = String::from_utf8(mail(2)).unwrap().replace("eve@example.com", "eve@other.example");
    let said = submit(Language::Smtp, station.address, "eve@other.example", &[ME], forged.as_bytes()).unwrap();
    assert!(said[0].starts_with("550 5.7.1"), "{said:?}");
    // A bounce is a note to the owner, a forged one is nothing.
    let said = submit(Language::Smtp, station.address, "", &[&taken.from.address], b"From: x@y\r\n\r\nbounced\r\n");
    assert!(said.unwrap()[0].starts_with("250"));
    until("the owner is told", || target.all().len() == 2);
    let note = target.all().remove(1);
    let text = String::from_utf8(open_sealed(&scene, &note.octets).unwrap()).unwrap();
    assert!(note.from.address.is_empty() && text.contains("given a message back"), "{text}");
    for forged in [taken.from.address.replacen("bounce+", "bounce+a", 1), "bounce+x@my.example".to_owned()] {
        let said = submit(Language::Smtp, station.address, "", &[&forged], b"From: x@y\r\n\r\nx\r\n").unwrap();
        assert!(said[0].starts_with("550 5.7.1"), "{said:?}");
    }
    let said = submit(Language::Smtp, station.address, "eve@example.com", &[&taken.from.address], &mail(3)).unwrap();
    assert!(said[0].starts_with("550 5.7.1"), "only bounces come there: {said:?}");
}
