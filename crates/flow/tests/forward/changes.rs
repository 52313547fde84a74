//! What waits while its forwarder gets other keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flow::forward::dkim::Signer;
use flow::forward::return_path::ReturnPath;
use flow::forward::rewrite::Forwarder;
use flow::forward::{Own, Standing};
use sealed::signature::SealerKey;
use testbed::{Language, submit};
use wire::smtp::{Dialect, Reply};

use crate::hop::{Hop, Say};
use crate::scene::Scene;
use crate::station::{Choice, Station, choice, hop, listed, mail, open_sealed, until};

/// In the name of this domain; `number` makes keys and secrets others.
fn own(domain: &str, number: u8) -> Own {
    let key = base64_of_ed25519(number);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
    Own {
        forwarder: Forwarder::new(&format!("forward@{domain}"), "gw.my.example").unwrap(),
        signer: Signer::new(domain).unwrap().with_key(&format!("s{number}"), pem.as_bytes()).unwrap(),
        return_path: ReturnPath::new(&[number; 32], domain),
    }
}

/// PKCS #8 of a key whose seed is 32 times the letter `number` (RFC 8410 §7).
fn base64_of_ed25519(number: u8) -> String {
    let octets =
        [b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec(), vec![number; 32]].concat();
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let word = |three: &[u8]| u32::from_be_bytes([0, three[0], three[1], three[2]]);
    let letters = |word: u32| [18, 12, 6, 0].map(|shift| LETTERS[(word >> shift & 63) as usize] as char);
    octets.chunks_exact(3).flat_map(|three| letters(word(three))).collect()
}

/// Another sealer key, at a reload and at a restart; and the forwarder's name, its signing key and the secret of its return paths besides.
#[test]
fn what_waits_goes_out_right_when_the_keys_are_others() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let takes = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&takes);
    let say = move |_: &crate::hop::Taken| match asked.load(Ordering::Relaxed) {
        true => Say::Reply(Reply::new(250, (2, 0, 0), "ok")),
        false => Say::Reply(Reply::new(451, (4, 3, 0), "later")),
    };
    let target = Hop::start(Dialect::Smtp, 1 << 20, Arc::new(say));
    let keys = |number: u8| Choice {
        own: Some(own("my.example", number)),
        sealer: (number > 0).then(|| SealerKey::from_seed(&[number; 32]).unwrap()),
        ..choice(&scene, hop(target.address, Some("me@provider.example")))
    };
    let station = Station::open(&scene, keys(0));
    assert!(station.send(&mail(1)).starts_with("250"));
    until("it waits", || listed(&scene).iter().any(|item| item.standing == Standing::Waiting && item.tries > 0));
    station.reload(&scene, keys(1));
    // The first message that is sealed with the new key shows that it counts.
    until("the new key counts", || {
        let number = 10 + usize::try_from(station.count("kept")).unwrap();
        assert!(station.send(&mail(number)).starts_with("250"));
        listed(&scene).iter().any(|item| own("my.example", 1).return_path.decode("", &item.from, now()).is_ok())
    });
    drop(station);
    let station = Station::open(&scene, keys(2));
    let waiting = listed(&scene).len();
    takes.store(true, Ordering::Relaxed);
    until("all arrived", || station.count("arrived") + station.count("failed") >= waiting as u64);
    assert_eq!(station.count("failed"), 0, "{:?}", station.told.lock().unwrap());
    let first = target.all().into_iter().find(|one| open_sealed(&scene, &one.octets) == Some(mail(1))).unwrap();
    let head = String::from_utf8_lossy(&first.octets[..2000]).into_owned();
    assert!(head.contains("DKIM-Signature: ") && head.contains("s=s2;"), "signed with the key of now: {head}");
    for one in target.all() {
        assert!(own("my.example", 2).return_path.decode("", &one.from.address, now()).is_ok(), "{}", one.from.address);
    }
    // What comes back of it is believed.
    let failed = "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\
                  Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n\
                  Final-Recipient: rfc822; a@b\r\nAction: failed\r\nStatus: 5.2.2\r\n\r\n--b--\r\n";
    let said = submit(Language::Smtp, station.address, "", &[&first.from.address], failed.as_bytes()).unwrap();
    assert!(said[0].starts_with("250"), "{said:?}");
    until("it is back", || listed(&scene).iter().any(|item| item.why.as_deref() == Some("returned")));
}

fn now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}
