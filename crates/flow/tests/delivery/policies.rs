//! Each trouble, each answer: the reply, where the message is, and that nobody reads it who should not.

use std::fs;
use std::sync::Arc;

use flow::delivery::{OnFailure, Policy, Sink};
use testbed::{Language, submit};
use wire::smtp::{Dialect, Reply};

use crate::gate::{
    ALICE, BOB, Gate, assert_nothing_readable, choice, delivered, enrol, hop, mail, open_sealed, policy,
};
use crate::hop::{Hop, Say};
use crate::scene::Scene;

const ANSWERS: [OnFailure; 4] = [OnFailure::Defer, OnFailure::Hold, OnFailure::Reject, OnFailure::Pass];

/// What is answered first of all, and how many messages are sealed or in clear in the sink, or held.
fn check(what: &str, entry: Option<&[u8]>, answer: OnFailure, expected: (&str, usize, usize)) {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let sink = scene.home.join("sink");
    let mut choice = choice(home.path(), Dialect::Lmtp, Sink::Maildir(sink.clone()));
    choice.policy = policy(answer);
    if let Some(entry) = entry {
        fs::write(home.path().join("certs").join(format!("{BOB}.asc")), entry).unwrap();
    }
    let gate = Gate::open(&scene, choice);
    let original = mail(1);
    let said = submit(Language::Lmtp, gate.address, "eve@example.com", &[BOB], &original).unwrap();
    let held: Vec<Vec<u8>> =
        delivered(&scene.home.join("held")).iter().map(|one| open_sealed(&scene, one).unwrap()).collect();
    let clear = delivered(&sink).into_iter().filter(|one| *one == original).count();
    assert_eq!((&said[0][..9], clear, held.len()), expected, "{what} {answer:?}: {said:?}");
    assert!(held.iter().all(|one| *one == original));
    drop(gate);
    if answer != OnFailure::Pass {
        assert_nothing_readable(home.path());
    }
}

#[test]
fn nobody_chooses_the_answer_by_how_he_writes_an_address() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let sink = scene.home.join("sink");
    let mut choice = choice(home.path(), Dialect::Lmtp, Sink::Maildir(sink.clone()));
    choice.policy = Policy::new(OnFailure::Pass, [(BOB.to_owned(), OnFailure::Reject)]);
    fs::write(home.path().join("certs/sales@example.test.alias"), BOB).unwrap();
    let gate = Gate::open(&scene, choice);
    let (user, domain) = BOB.split_once('@').unwrap();
    for to in [
        BOB.to_uppercase(),
        format!("{user}+x@{domain}"),
        format!("\"{user}\"@{domain}"),
        "sales@example.test".to_owned(),
    ] {
        let said = submit(Language::Lmtp, gate.address, "eve@example.com", &[&to], &mail(1)).unwrap();
        assert!(said[0].starts_with("550 5.7.5"), "{to}: {said:?}");
    }
    assert!(delivered(&sink).is_empty());
    drop(gate);
    assert_nothing_readable(home.path());
}

#[test]
fn what_cannot_be_sealed_goes_where_the_policy_says() {
    for answer in ANSWERS {
        let expected = |deferred, rejected| match answer {
            OnFailure::Defer => (deferred, 0, 0),
            OnFailure::Hold => ("250 2.0.0", 0, 1),
            OnFailure::Reject => (rejected, 0, 0),
            OnFailure::Pass => ("250 2.0.0", 1, 0),
        };
        check("no key", None, answer, expected("451 4.7.5", "550 5.7.5"));
        check("no certificate", Some(b"hello"), answer, expected("451 4.7.5", "550 5.7.5"));
        check(
            "half a file",
            Some(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDM"),
            answer,
            expected("451 4.7.5", "550 5.7.5"),
        );
        check("secret", Some(b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n"), answer, expected("451 4.7.5", "550 5.7.5"));
    }
}

#[test]
fn a_directory_that_is_gone_defers_or_holds_and_never_rejects_or_passes() {
    for answer in ANSWERS {
        let home = tempfile::tempdir().unwrap();
        let scene = Scene::new(home.path());
        let mut choice = choice(home.path(), Dialect::Lmtp, Sink::Maildir(scene.home.join("sink")));
        choice.policy = policy(answer);
        enrol(&scene, ALICE);
        fs::rename(home.path().join("certs"), home.path().join("away")).unwrap();
        let gate = Gate::open(&scene, choice);
        let ask = || submit(Language::Lmtp, gate.address, "eve@example.com", &[ALICE], &mail(1)).unwrap().remove(0);
        let said = ask();
        let expected = if answer == OnFailure::Hold { "250 2.0.0" } else { "451 4.3.0" };
        assert_eq!(&said[..9], expected, "{answer:?}: {said}");
        assert!(gate.controls.health.ill().is_some());
        assert!(delivered(&scene.home.join("sink")).is_empty());
        // It comes back, and so does the mail.
        fs::rename(home.path().join("away"), home.path().join("certs")).unwrap();
        assert!(ask().starts_with("250"));
        assert_eq!((delivered(&scene.home.join("sink")).len(), gate.controls.health.ill()), (1, None));
        drop(gate);
        assert_nothing_readable(home.path());
    }
}

#[test]
fn the_nearest_exception_counts() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mut choice = choice(home.path(), Dialect::Lmtp, Sink::Maildir(scene.home.join("sink")));
    let exceptions = [(BOB, OnFailure::Hold), ("@example.test", OnFailure::Reject)];
    choice.policy = Policy::new(OnFailure::Defer, exceptions.map(|(whom, answer)| (whom.to_owned(), answer)));
    let gate = Gate::open(&scene, choice);
    let recipients = [BOB, "carol@example.test", "dave@example.com"];
    let said = submit(Language::Lmtp, gate.address, "", &recipients, &mail(1)).unwrap();
    let codes: Vec<&str> = said.iter().map(|said| &said[..3]).collect();
    assert_eq!(codes, ["250", "550", "451"], "{said:?}");
    for (name, count) in [("held", 1), ("rejected", 1), ("deferred", 1), ("no-key", 3), ("sealed", 0)] {
        assert_eq!(gate.outcome(name), count, "{name}: {:?}", gate.notes.lock().unwrap());
    }
}

#[test]
fn a_sealed_copy_that_is_too_large_for_the_next_server() {
    for (answer, expected) in [
        (OnFailure::Defer, "452 4.3.4"),
        (OnFailure::Reject, "552 5.3.4"),
        (OnFailure::Hold, "250 2.0.0"),
        (OnFailure::Pass, "250 2.0.0"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let scene = Scene::new(home.path());
        let next = Hop::start(Dialect::Lmtp, 6000, Arc::new(|_: &_| Say::Reply(Reply::new(250, (2, 0, 0), "taken"))));
        let mut choice = choice(home.path(), Dialect::Lmtp, hop(Dialect::Lmtp, next.address));
        choice.policy = policy(answer);
        enrol(&scene, ALICE);
        let gate = Gate::open(&scene, choice);
        // The original would fit; its sealed copy does not.
        let original = [mail(1), b"line of text, and more of it\r\n".repeat(180)].concat();
        let said = submit(Language::Lmtp, gate.address, "eve@example.com", &[ALICE], &original).unwrap();
        assert_eq!(&said[0][..9], expected, "{answer:?}: {said:?}");
        let clear = next.all().iter().filter(|one| one.octets == original).count();
        assert_eq!(clear, usize::from(answer == OnFailure::Pass));
        assert_eq!(delivered(&scene.home.join("held")).len(), usize::from(answer == OnFailure::Hold));
    }
}

#[test]
fn no_space_for_what_comes_leaves_it_with_its_sender() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    enrol(&scene, ALICE);
    // A file where a Maildir is to be: nothing can be written there.
    fs::write(scene.home.join("sink"), b"").unwrap();
    let gate = Gate::open(&scene, choice(home.path(), Dialect::Lmtp, Sink::Maildir(scene.home.join("sink"))));
    let said = submit(Language::Lmtp, gate.address, "eve@example.com", &[ALICE], &mail(1)).unwrap();
    assert!(said[0].starts_with("452 4.3.1"), "{said:?}");
    // And no place for temporary files: small mail needs none, large mail is deferred.
    fs::remove_file(scene.home.join("sink")).unwrap();
    fs::remove_dir_all(scene.home.join("tmp")).unwrap();
    let said = submit(Language::Lmtp, gate.address, "eve@example.com", &[ALICE], &mail(1)).unwrap();
    assert!(said[0].starts_with("250"), "{said:?}");
    let large = [mail(2), vec![b'x'; 2_000_000]].concat();
    let said = submit(Language::Lmtp, gate.address, "eve@example.com", &[ALICE], &large).unwrap();
    assert!(said[0].starts_with("45"), "{said:?}");
    assert_eq!(delivered(&scene.home.join("sink")).len(), 1);
}
