//! Both places say the same.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::io::Write;
use std::time::Duration;

use sealed::identity::MessageId;
use store::UnixSeconds;

use super::{Announced, Back, Change, End, Kind, Lying, New, Origin, Pile, Spool, Standing, Turn, Which, Written};
use crate::delivery::sealing::Octets;
use crate::forward::met::Met;
use crate::forward::obstacle::Obstacle;
use crate::forward::said::Said;

const SOON: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(3600);

fn new(spool: &Spool, id: u8) -> Change {
    let mut octets = tempfile::spooled_tempfile(1000);
    octets.write_all(b"sealed").unwrap();
    let turn = Turn::Ours(spool.tenure());
    let (id, expectation) = (MessageId([id; 16]), vec![1]);
    let (envelope, octets) = ("FROM:<a@b>\nTO:<c@d>".to_owned(), Octets::Sealed(octets));
    let received = UnixSeconds(7);
    Change::Put(Box::new(New { id, kind: Kind::Mail, envelope, expectation, octets, length: 6, received, turn }))
}

async fn write(spool: &Spool, change: Change) -> Written {
    spool.write(vec![change]).await.1.unwrap()[0]
}

async fn announce(spool: &Spool) -> Announced {
    spool.announce(MessageId([5; 16]), UnixSeconds(8), spool.tenure(), SOON).await.unwrap()
}

/// `one` and `other`: two nodes, where there can be.
async fn check(one: &Spool, other: &Spool) {
    let said = |words| Said::of_words(words, None);
    let copy = |id: u8| MessageId([id; 16]);
    one.beat().await.unwrap();
    other.beat().await.unwrap();
    assert!(one.holds(one.tenure()) && one.confirms(one.tenure()).await);
    assert!(!one.holds(other.tenure()) && !one.confirms(other.tenure()).await);

    // What the next server has is out of the list, and comes back into it.
    assert_eq!(write(one, new(one, 1)).await, Written::Now);
    assert_eq!(one.origin(copy(1), &Back::Failed(None)).await.unwrap(), Origin::Here(UnixSeconds(7)));
    write(one, Change::Relayed(copy(1))).await;
    assert!(one.list(9).await.unwrap().is_empty());
    assert_eq!(write(one, new(one, 1)).await, Written::Before);
    one.give_back(copy(1), Back::Failed(said("552 5.2.2 full"))).await.unwrap();
    assert_eq!(one.origin(copy(1), &Back::Failed(None)).await.unwrap(), Origin::Told);
    let item = one.list(9).await.unwrap().remove(0);
    assert_eq!((item.standing, item.why.as_deref()), (Standing::Failed, Some("returned")));
    assert_eq!((item.said.as_deref(), item.tries), (Some("552 5.2.2"), 1));
    assert_eq!(one.retry(Which::One(copy(1))).await.unwrap(), 1);
    let rows = one.take(9).await.unwrap();
    assert!(rows.len() == 1 && rows[0].look && rows[0].length == 6);
    write(one, Change::Relayed(copy(1))).await;
    assert!(one.list(9).await.unwrap().is_empty(), "it has not come back a second time");

    // It comes back before it is known that it went.
    write(one, new(one, 2)).await;
    one.give_back(copy(2), Back::Failed(None)).await.unwrap();
    assert_eq!(one.list(9).await.unwrap()[0].standing, Standing::UnderWay);
    write(one, Change::Relayed(copy(2))).await;
    assert_eq!(one.list(9).await.unwrap()[0].standing, Standing::Failed);
    assert!(one.discard(copy(2)).await.unwrap());

    // It waits to be sent again, and it is known now that it need not.
    write(one, new(one, 3)).await;
    let why = Met { obstacle: Obstacle::Unknown, said: said("451 4.3.0 x") };
    write(one, Change::Later { id: copy(3), wait: LONG, why, look: true }).await;
    assert_eq!(one.list(9).await.unwrap()[0].said.as_deref(), Some("451 4.3.0"));
    one.give_back(copy(3), Back::Failed(None)).await.unwrap();
    assert_eq!(one.list(9).await.unwrap()[0].standing, Standing::Failed);
    assert!(one.discard(copy(3)).await.unwrap());

    // Once it is over, what came back is still known to have.
    assert_eq!(one.origin(copy(4), &Back::Failed(None)).await.unwrap(), Origin::Gone);
    one.give_back(copy(4), Back::Failed(None)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    one.forget(Duration::ZERO).await.unwrap();
    assert_eq!(one.origin(copy(4), &Back::Failed(None)).await.unwrap(), Origin::Told);
    assert_eq!(one.origin(copy(1), &Back::Failed(None)).await.unwrap(), Origin::Gone, "it was kept for no time");
    assert_eq!(write(one, new(one, 1)).await, Written::Before);

    // What is not kept is one node's at a time, and known when it comes again.
    assert_eq!(announce(one).await, Announced::New);
    assert_eq!(announce(one).await, Announced::Busy);
    one.withdraw(copy(5), End::NotThere, one.tenure(), SOON).await.unwrap();
    assert_eq!(announce(one).await, Announced::New);
    one.withdraw(copy(5), End::Unknown, one.tenure(), SOON).await.unwrap();
    assert_eq!(announce(one).await, Announced::Busy, "it is left alone");
    tokio::time::sleep(SOON).await;
    assert_eq!(announce(one).await, Announced::Again(UnixSeconds(8)));
    one.withdraw(copy(5), End::NotThere, one.tenure(), SOON).await.unwrap();
    assert_eq!(announce(other).await, Announced::Again(UnixSeconds(8)), "once in doubt, always in doubt");
    if one.is_shared() {
        assert_eq!(announce(one).await, Announced::Busy, "the other one lives");
    } else {
        // In a file, another node is one that was killed.
        assert_eq!(announce(one).await, Announced::Busy);
        tokio::time::sleep(SOON).await;
        assert_eq!(announce(one).await, Announced::Again(UnixSeconds(8)));
    }
    assert!(one.list(9).await.unwrap().is_empty() && one.take(9).await.unwrap().is_empty());
    write(other, Change::Done(copy(5))).await;
    assert_eq!(announce(one).await, Announced::Before);

    // What came back has not arrived: sent again, it is a new one. Its owner was told once nevertheless.
    one.give_back(copy(5), Back::Failed(None)).await.unwrap();
    assert_eq!(one.origin(copy(5), &Back::Failed(None)).await.unwrap(), Origin::Told);
    assert_eq!(announce(one).await, Announced::New);
    write(one, Change::Done(copy(5))).await;
    assert_eq!(announce(one).await, Announced::Before);
    assert_eq!(write(one, new(one, 4)).await, Written::Now, "it is only known that its owner was told");
    assert_eq!(one.origin(copy(4), &Back::Failed(None)).await.unwrap(), Origin::Here(UnixSeconds(7)));
    one.give_back(copy(4), Back::Failed(None)).await.unwrap();
    write(one, Change::Relayed(copy(4))).await;
    assert!(one.discard(copy(4)).await.unwrap());
    one.give_back(copy(4), Back::Failed(None)).await.unwrap();
    assert_eq!(write(one, new(one, 4)).await, Written::Now, "it was dropped, and its report came again");
    write(one, Change::Done(copy(4))).await;
    assert_eq!(write(one, new(one, 4)).await, Written::Before);

    // What is unclear is told once, and changes nothing; a report after it does.
    write(one, new(one, 6)).await;
    write(one, Change::Relayed(copy(6))).await;
    one.give_back(copy(6), Back::Unclear).await.unwrap();
    assert_eq!(one.origin(copy(6), &Back::Unclear).await.unwrap(), Origin::Told);
    assert!(one.list(9).await.unwrap().is_empty());
    assert_eq!(one.origin(copy(6), &Back::Failed(None)).await.unwrap(), Origin::Here(UnixSeconds(7)));
    one.give_back(copy(6), Back::Failed(None)).await.unwrap();
    assert_eq!(one.list(9).await.unwrap()[0].standing, Standing::Failed);
    one.give_back(copy(7), Back::Unclear).await.unwrap();
    assert_eq!(one.origin(copy(7), &Back::Unclear).await.unwrap(), Origin::Told);
    assert_eq!(one.origin(copy(7), &Back::Failed(None)).await.unwrap(), Origin::Gone);
    assert_eq!(write(one, new(one, 7)).await, Written::Now);
}

/// What failed: its owner is told, then it goes; what was refused beyond a bound goes, the oldest first.
async fn check_failed(spool: &Spool) {
    spool.beat().await.unwrap();
    let copy = |id: u8| MessageId([id; 16]);
    let met = |obstacle| Met { obstacle, said: None };
    for (id, obstacle) in
        [(1, Obstacle::Expired), (2, Obstacle::Refused), (3, Obstacle::Refused), (4, Obstacle::TooLarge)]
    {
        write(spool, new(spool, id)).await;
        write(spool, Change::Failed(copy(id), met(obstacle))).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    write(spool, new(spool, 5)).await;
    let sorted = |pile: Pile| {
        let mut ids: Vec<u8> = pile.ids.iter().map(|id| id.0[0]).collect();
        ids.sort_unstable();
        ids
    };
    let pile = async |which| spool.pile(which).await.unwrap();
    let untold = pile(Lying::Untold(Duration::ZERO)).await;
    assert_eq!((untold.octets, untold.came), (24, Some((UnixSeconds(7), UnixSeconds(7)))));
    assert_eq!(sorted(untold), [1, 2, 3, 4], "what waits has not failed");
    assert!(pile(Lying::Untold(LONG)).await.ids.is_empty());
    assert_eq!(sorted(pile(Lying::Beyond { octets: 100, number: 2 }).await), [2], "the oldest that was refused");
    assert_eq!(sorted(pile(Lying::Beyond { octets: 11, number: 100 }).await), [2, 3]);
    spool.told(vec![copy(1), copy(2)]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let over = |failed, told| pile(Lying::Over { failed, told });
    assert_eq!(sorted(over(Duration::ZERO, Duration::ZERO).await), [1, 2]);
    assert!(over(Duration::ZERO, LONG).await.ids.is_empty() && over(LONG, Duration::ZERO).await.ids.is_empty());
    assert_eq!(sorted(pile(Lying::Untold(Duration::ZERO)).await), [3, 4]);
    // Somebody has asked for it meanwhile: it stays, and when it fails again, its owner is told anew.
    assert_eq!(spool.retry(Which::One(copy(2))).await.unwrap(), 1);
    spool.remove(vec![copy(1), copy(2), copy(5)]).await.unwrap();
    let left: Vec<u8> = spool.list(9).await.unwrap().iter().map(|item| item.id.0[0]).collect();
    assert_eq!(left, [2, 3, 4, 5]);
    let rows = spool.take(9).await.unwrap();
    assert!(rows.len() == 1 && rows[0].length == 6 && rows[0].why.is_none());
    write(spool, Change::Failed(copy(2), met(Obstacle::Refused))).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(sorted(pile(Lying::Untold(Duration::ZERO)).await), [2, 3, 4]);
}

#[tokio::test]
async fn in_a_file() {
    let home = tempfile::tempdir().unwrap();
    let spool = || Spool::sqlite(home.path().join("spool.db"), "f");
    check(&spool(), &spool()).await;
    check_failed(&Spool::sqlite(home.path().join("failed.db"), "f")).await;
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn on_a_server() {
    if !testbed::servers() {
        return;
    }
    let database = testbed::Postgres::start();
    let spool = || Spool::postgres(&database.url(), "f").unwrap();
    check(&spool(), &spool()).await;
    // Ids are the database's, whatever the flow.
    let other = testbed::Postgres::start();
    check_failed(&Spool::postgres(&other.url(), "f").unwrap()).await;
}
