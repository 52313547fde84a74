//! A spool on a PostgreSQL server, shared by nodes.

use std::sync::Arc;
use std::time::Duration;

use flow::forward::Spool;
use testbed::{Dovecot, Format, Language, Postgres, submit};
use wire::smtp::{Dialect, Reply};

use crate::hop::{Hop, Say};
use crate::scene::Scene;
use crate::station::{
    ME, Station, account, assert_nothing_readable, assert_once, choice, hop, inbox, mail, octets, until,
};

#[test]
fn two_nodes_share_a_spool_that_is_restarted() {
    if !testbed::servers() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let mut database = Postgres::start();
    let store = Dovecot::start(Format::Maildir);
    let node = || {
        let mut choice = choice(&scene, account(store.imap(), "alice", "alice-pw"));
        choice.spool = Spool::postgres(&database.url(), "forward").unwrap();
        Station::open(&scene, choice)
    };
    let nodes = [node(), node()];
    let sent: Vec<Vec<u8>> = (0..60).map(mail).collect();
    for (number, one) in sent.iter().enumerate() {
        if number == 30 {
            database.restart();
        }
        // A sender tries again, at the other node if need be.
        let mut tries = 0;
        until("it is taken", || {
            tries += 1;
            let node = &nodes[(number + tries) % 2];
            submit(Language::Smtp, node.address, "eve@example.com", &[ME], one)
                .is_ok_and(|said| said[0].starts_with("250"))
        });
    }
    until("all are there", || inbox(store.imap(), "alice").len() >= 60);
    std::thread::sleep(Duration::from_secs(1));
    assert_once(&scene, &octets(inbox(store.imap(), "alice")), sent);
    drop(nodes);
    assert_nothing_readable(home.path());
    assert_nothing_readable(database.directory());
}

/// What waits in a spool is handed on by whoever lives.
#[test]
fn a_node_hands_on_what_another_one_kept() {
    if !testbed::servers() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let database = Postgres::start();
    let node = |sink| {
        let mut choice = choice(&scene, sink);
        choice.spool = Spool::postgres(&database.url(), "forward").unwrap();
        Station::open(&scene, choice)
    };
    let sent: Vec<Vec<u8>> = (0..10).map(mail).collect();
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let first = node(hop(nowhere, None));
    sent.iter().for_each(|one| assert!(first.send(one).starts_with("250")));
    drop(first);
    let target = Hop::start(Dialect::Smtp, 1 << 20, Arc::new(|_| Say::Reply(Reply::new(250, (2, 0, 0), "ok"))));
    let second = node(hop(target.address, None));
    until("all arrived", || second.count("arrived") == 10);
    assert_once(&scene, &target.all().into_iter().map(|one| one.octets).collect::<Vec<_>>(), sent);
}
