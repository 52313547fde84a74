//! Sealed Maildirs listed, verified, and unsealed again.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod crash;
#[path = "../../../flow/tests/it/disturber.rs"]
mod disturber;
mod kill;
mod mangled;
mod ordinary;
#[expect(dead_code, reason = "the tests of `flow` need more of it")]
#[path = "../../../flow/tests/it/scene.rs"]
mod scene;

use scene::{FLOW, Kind, Mail, Scene};

/// What the reader is given of a scene.
fn settings(scene: &Scene) -> reader::Settings {
    let writer = scene.settings();
    reader::Settings {
        flow: FLOW.to_owned(),
        maildir: scene.mail(),
        mailboxes: Vec::new(),
        state: writer.state,
        temporary: writer.temporary,
        keys: scene.keyring(),
        trust: scene.trust(),
    }
}

fn undo(scene: &Scene) -> reader::Undone {
    reader::undo(&settings(scene), &mut (), &false.into()).unwrap()
}

/// The same mail once nothing of the pinned sealer's is sealed any more.
fn unsealed(mails: &[Mail]) -> Vec<Mail> {
    let open = |mail: &Mail| match mail.kind {
        Kind::Sealed => Mail { kind: Kind::Open, stored: None, ..mail.clone() },
        _ => mail.clone(),
    };
    mails.iter().map(open).collect()
}
