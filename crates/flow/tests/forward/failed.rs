//! What the target refuses does not fill the queue for ever, and never goes unsaid.

use std::sync::Arc;
use std::time::Duration;

use flow::forward::{Kind, Schedule};
use wire::smtp::{Dialect, Reply};

use crate::hop::{Hop, Say};
use crate::scene::Scene;
use crate::station::{CANARY, Station, choice, discard, hop, listed, mail, open_sealed, until};

/// It takes notes, which have the null sender, and nothing else.
fn refusing() -> Hop {
    let refuses = |taken: &crate::hop::Taken| {
        let code = if taken.from.address.is_empty() { 250 } else { 550 };
        Say::Reply(Reply::new(code, (code / 100, 7, 1), "as you like it"))
    };
    Hop::start(Dialect::Smtp, 1 << 20, Arc::new(refuses))
}

fn notes(scene: &Scene, target: &Hop) -> Vec<String> {
    target.all().iter().map(|one| String::from_utf8(open_sealed(scene, &one.octets).unwrap()).unwrap()).collect()
}

fn schedule() -> Schedule {
    Schedule::new(vec![Duration::from_millis(200)], None).clearing_every(Duration::from_millis(300))
}

#[test]
fn what_has_lain_for_long_goes_after_its_owner_was_told() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let target = refusing();
    let mut choice = choice(&scene, hop(target.address, None));
    choice.schedule = schedule().leaving(Some(Duration::from_secs(6)));
    let station = Station::open(&scene, choice);
    for number in 0..3 {
        assert!(station.send(&mail(number)).starts_with("250"));
    }
    until("they failed", || station.count("failed") == 3);
    until("they are gone", || listed(&scene).is_empty());
    let told = notes(&scene, &target);
    let many: Vec<&String> = told.iter().filter(|note| note.contains("will be removed")).collect();
    assert!(!many.is_empty(), "{told:?}");
    let counts = many.iter().filter_map(|note| note.split("\r\n\r\n").nth(1)?.split(' ').next()?.parse::<u64>().ok());
    assert_eq!((counts.sum::<u64>(), station.count("removed")), (3, 3), "{many:?}");
    assert!(many.iter().all(|note| note.contains("queue cat -- ID") && !note.contains(CANARY)), "{many:?}");
    assert!(station.told.lock().unwrap().iter().filter(|told| told.contains("Removed")).count() == 3);
}

#[test]
fn when_there_is_too_much_of_it_no_more_is_taken_and_nothing_goes() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let target = refusing();
    let mut choice = choice(&scene, hop(target.address, None));
    choice.schedule = schedule().leaving(None).with_most_refused(1 << 30, 8);
    let station = Station::open(&scene, choice);
    for number in 0..9 {
        assert!(station.send(&mail(number)).starts_with("250"));
        until("it failed", || station.count("failed") == number as u64 + 1);
    }
    until("no more is taken", || station.send(&mail(100)).starts_with("452"));
    let told = |note: &String| note.contains("messages for you") && note.contains("no\r\nmore is taken");
    until("the owner is told", || notes(&scene, &target).iter().any(told));
    let lying: Vec<_> = listed(&scene).into_iter().filter(|item| item.kind == Kind::Mail).collect();
    assert!(lying.len() >= 9 && station.count("removed") == 0, "{}", lying.len());
    for item in lying.iter().skip(8) {
        assert!(discard(&scene, item.id));
    }
    until("mail is taken again", || station.send(&mail(200)).starts_with("250"));
}

/// A copy that is tried for days makes a line in the log when it fails, and another when it fails for another reason.
#[test]
fn a_copy_that_is_tried_again_and_again_is_told_of_once() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let full = Arc::<std::sync::atomic::AtomicBool>::default();
    let asked = Arc::clone(&full);
    let say = move |_: &crate::hop::Taken| match asked.load(std::sync::atomic::Ordering::Relaxed) {
        true => Say::Reply(Reply::new(452, (4, 2, 2), "full")),
        false => Say::Reply(Reply::new(451, (4, 3, 0), "later")),
    };
    let target = Hop::start(Dialect::Smtp, 1 << 20, Arc::new(say));
    let station = Station::open(&scene, choice(&scene, hop(target.address, None)));
    assert!(station.send(&mail(1)).starts_with("250"));
    until("it was tried often", || station.count("retried") >= 5);
    let told = |why: &str| station.told.lock().unwrap().iter().filter(|told| told.contains(why)).count();
    assert_eq!(told("NotNow"), 1);
    full.store(true, std::sync::atomic::Ordering::Relaxed);
    let before = station.count("retried");
    until("it was tried often again", || station.count("retried") >= before + 5);
    assert_eq!((told("NotNow"), told("Full")), (1, 1));
}
