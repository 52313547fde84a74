//! Sealed mail in Maildirs and accounts listed, verified, and unsealed again; restored from backups.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

#[path = "../../../flow/tests/imap/account.rs"]
mod account;
mod backups;
mod crash;
#[path = "../../../flow/tests/it/disturber.rs"]
mod disturber;
mod imap;
mod imap_faults;
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
        source: reader::Source::Maildir(scene.mail()),
        mailboxes: Vec::new(),
        state: writer.state,
        temporary: writer.temporary,
        keys: scene.keyring(),
        trust: scene.trust(),
    }
}

fn undo(scene: &Scene) -> reader::Undone {
    reader::undo(&settings(scene), &mut (), &Default::default()).unwrap()
}

/// The same mail once nothing of the pinned sealer's is sealed any more.
fn unsealed(mails: &[Mail]) -> Vec<Mail> {
    let open = |mail: &Mail| match mail.kind {
        Kind::Sealed => Mail { kind: Kind::Open, stored: None, ..mail.clone() },
        _ => mail.clone(),
    };
    mails.iter().map(open).collect()
}

/// The same of an account, by any way to its server.
fn settings_of(account: &account::Account, server: std::net::SocketAddr) -> reader::Settings {
    let flow::Route::Imap(route) = account.settings_by(server).route else { unreachable!("a route to an account") };
    let source = reader::Imap { account: route.account, sink: None, sealers: reader::Sealers::MayRun };
    reader::Settings { source: reader::Source::Imap(source), ..settings(&account.scene) }
}
