//! The directory in its three places: the same answers, and never "not known" for "does not answer".

use flow::directory::{Address, Directory, DirectoryError, Entry, Lookup, Source, Tried, Unusable, try_all};
use testbed::{Language, submit};
use wire::smtp::Dialect;

use crate::gate::{ALICE, Gate, certificate, choice, delivered};
use crate::scene::Scene;

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn said(found: Result<Lookup, DirectoryError>) -> String {
    match found {
        Ok(Lookup::Owner(_)) => "owner".to_owned(),
        Ok(Lookup::Unknown) => "unknown".to_owned(),
        Ok(Lookup::Unusable(unusable)) => format!("{unusable:?}"),
        Err(_) => "no answer".to_owned(),
    }
}

/// The same for every place.
async fn behaves(scene: &Scene, source: Source) {
    let directory = Directory::new(source);
    let keys = certificate(scene);
    let put = async |name: &str, entry: Entry| {
        directory.source().put(&Address::parse(name).unwrap(), &entry).await.unwrap();
    };
    assert_eq!(said(directory.lookup(ALICE).await), "unknown");
    put(ALICE, Entry::Keys(keys.clone())).await;
    put("@catch.test", Entry::Keys(keys.clone())).await;
    put("info@example.test", Entry::Alias(ALICE.to_owned())).await;
    put("@old.test", Entry::Alias("info@example.test".to_owned())).await;
    put("lost@example.test", Entry::Alias("nobody@example.test".to_owned())).await;
    put("ring@example.test", Entry::Alias("gnir@example.test".to_owned())).await;
    put("gnir@example.test", Entry::Alias("ring@example.test".to_owned())).await;
    put("broken@example.test", Entry::Keys(b"hello".to_vec())).await;
    for (address, expected) in [
        (ALICE, "owner"),
        ("Alice@Example.TEST", "owner"),
        ("alice+shop@example.test", "owner"),
        ("anybody@catch.test", "owner"),
        ("info@example.test", "owner"),
        ("info+x@example.test", "owner"),
        ("somebody@old.test", "owner"),
        ("lost@example.test", "Alias"),
        ("ring@example.test", "Alias"),
        ("broken@example.test", "Unreadable"),
        ("bob@example.test", "unknown"),
        ("alice@example.test.evil", "unknown"),
        ("../certs/alice@example.test", "unknown"),
        ("", "unknown"),
        ("postmaster", "unknown"),
    ] {
        assert_eq!(said(directory.lookup(address).await), expected, "{address}");
    }
    let sealer = scene.sealer();
    let mut tried = Vec::new();
    try_all(&directory, &sealer, &mut |address, one| tried.push((address.to_owned(), one))).await.unwrap();
    assert_eq!(tried.len(), 8);
    assert!(tried.is_sorted_by(|one, other| one.0 < other.0));
    let good = tried.iter().filter(|(_, one)| matches!(one, Tried::Good { .. })).count();
    assert_eq!(good, 4, "{tried:?}");
    assert!(tried.contains(&("broken@example.test".to_owned(), Tried::Unusable(Unusable::Unreadable))));
    let name = Address::parse("broken@example.test").unwrap();
    assert!(directory.source().remove(&name).await.unwrap() && !directory.source().remove(&name).await.unwrap());
    assert_eq!(said(directory.lookup("broken@example.test").await), "unknown");
    put("bob@example.test", Entry::Keys(keys)).await;
    assert_eq!(said(directory.lookup("bob@example.test").await), "owner", "at once");
}

#[test]
fn a_folder_and_sqlite_answer_alike() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    std::fs::create_dir(home.path().join("certs")).unwrap();
    wait(behaves(&scene, Source::folder(home.path().join("certs"))));
    wait(behaves(&scene, Source::sqlite(home.path().join("recipients.db"))));
    let other = store::Database::open(&home.path().join("state.db")).unwrap();
    drop(other);
    let foreign = Directory::new(Source::sqlite(home.path().join("state.db")));
    assert!(matches!(wait(foreign.lookup(ALICE)), Err(DirectoryError::Foreign)));
}

#[test]
fn what_is_no_file_or_half_of_one_hinders_nobody() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let certs = home.path().join("certs");
    std::fs::create_dir(&certs).unwrap();
    // Opened for reading, it waits for whoever writes.
    let fifo = certs.join("fifo@example.test.asc");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let alice = certs.join(format!("{ALICE}.enrolment"));
    std::fs::write(&alice, certificate(&scene)).unwrap();
    let directory = Directory::new(Source::folder(certs.clone()));
    assert_eq!(said(wait(directory.lookup("fifo@example.test"))), "unknown");
    assert_eq!(said(wait(directory.lookup(ALICE))), "owner");
    // As it is for a moment when another file is copied over it. What was found is fresh for five seconds.
    std::fs::write(&alice, &certificate(&scene)[..300]).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(5100));
    assert_eq!(said(wait(directory.lookup(ALICE))), "owner");
    assert_eq!(said(wait(Directory::new(Source::folder(certs)).lookup(ALICE))), "Unreadable");
}

#[test]
fn many_entries_in_sqlite() {
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    let path = home.path().join("recipients.db");
    let directory = Directory::new(Source::sqlite(path.clone()));
    assert_eq!(said(wait(directory.lookup(ALICE))), "unknown");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("BEGIN").unwrap();
    for number in 0..50_000 {
        let text = "INSERT INTO recipient (address, enrolment) VALUES (?1, ?2)";
        connection.execute(text, rusqlite::params![format!("user{number}@example.test"), certificate(&scene)]).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
    for number in [0, 7, 49_999] {
        assert_eq!(said(wait(directory.lookup(&format!("user{number}@example.test")))), "owner");
    }
    assert_eq!(said(wait(directory.lookup("user50000@example.test"))), "unknown");
    assert_eq!(wait(directory.source().list("user4", 3)).unwrap().len(), 3);
}

#[cfg(feature = "postgres")]
#[test]
fn postgres_answers_alike_and_is_never_mistaken_for_empty() {
    use crate::gate::assert_nothing_readable;
    if !testbed::servers() {
        return;
    }
    let mut server = testbed::Postgres::start();
    let home = tempfile::tempdir().unwrap();
    let scene = Scene::new(home.path());
    // Two nodes begin at once.
    let both = [Source::postgres(&server.url()).unwrap(), Source::postgres(&server.url()).unwrap()];
    let none = vec![ALICE.to_owned()];
    wait(async {
        let (one, other) = tokio::join!(both[0].find(&none), both[1].find(&none));
        assert_eq!((one.unwrap(), other.unwrap()), (None, None));
    });
    let [source, _] = both;
    wait(behaves(&scene, source));

    let mut choice = choice(home.path(), Dialect::Lmtp, flow::delivery::Sink::Maildir(home.path().join("sink")));
    choice.source = Source::postgres(&server.url()).unwrap();
    let gate = Gate::open(&scene, choice);
    let ask = |to: &str| {
        submit(Language::Lmtp, gate.address, "eve@example.com", &[to], &crate::gate::mail(1)).unwrap().remove(0)
    };
    assert!(ask(ALICE).starts_with("250"));
    server.stop();
    // Known a moment ago: his key is his key. Not asked before: nobody knows.
    assert!(ask(ALICE).starts_with("250"));
    for address in ["info@example.test", "nobody@example.test"] {
        let said = ask(address);
        assert!(said.starts_with("451 4.3.0"), "{address}: {said}");
    }
    server.restart();
    assert!(ask("info@example.test").starts_with("250"));
    assert!(ask("nobody@example.test").starts_with("451 4.7.5"));
    assert_eq!(delivered(&home.path().join("sink")).len(), 3);
    drop(gate);
    assert_nothing_readable(home.path());
    assert_nothing_readable(server.directory());
}
