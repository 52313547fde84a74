//! What is not taken: other people's mail, too much of it, what goes in circles.

use std::sync::Arc;

use flow::forward::Rates;
use testbed::{Language, submit};
use wire::smtp::{Dialect, Reply};

use crate::hop::{Hop, Say};
use crate::scene::Scene;
use crate::station::{ME, Station, choice, hop, mail, until};

#[test]
fn it_is_no_open_relay_and_has_limits() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let target = Hop::start(Dialect::Smtp, 1 << 20, Arc::new(|_| Say::Reply(Reply::new(250, (2, 0, 0), "ok"))));
    let mut choice = choice(&scene, hop(target.address, None));
    (choice.rates, choice.trusts) = (Rates { per_ip: 8, per_sender: 3 }, false);
    let station = Station::open(&scene, choice);
    let to = |from: &str, to: &[&str]| submit(Language::Smtp, station.address, from, to, &mail(1)).unwrap();
    for stranger in ["you@other.example", "me%other.example@my.example", "\"you@other.example\"@my.example", "me"] {
        let said = to("", &[stranger]);
        assert!(said[0].starts_with("550 5.7.1"), "{stranger}: {said:?}");
    }
    let said = to("", &["you@other.example", ME, "me+news@my.example"]);
    assert!(said[0].starts_with("550 5.7.1") && said[1].starts_with("250") && said[2].starts_with("250"), "{said:?}");
    until("it arrived", || station.count("arrived") == 1);
    assert_eq!(target.all()[0].to.len(), 1, "two addresses of one owner, one message");
    // Five of the address's eight are gone.
    let circle = [b"Received: from a by b; now\r\n".repeat(51), mail(2)].concat();
    let said = submit(Language::Smtp, station.address, "", &[ME], &circle).unwrap();
    assert!(said[0].starts_with("554 5.4.6"), "{said:?}");
    let marked = [b"Delivered-To: Me@my.example\r\n".to_vec(), mail(2)].concat();
    let said = submit(Language::Smtp, station.address, "", &[ME], &marked).unwrap();
    assert!(said[0].starts_with("554 5.4.6"), "{said:?}");
    assert!(to("", &[ME])[0].starts_with("250"));
    let said = to("", &[ME]);
    assert!(said[0].starts_with("450 4.7.1") || said[0].starts_with("503"), "{said:?}");
    assert_eq!(station.count("arrived"), 1);
}
