//! How many messages a minute somebody may send.
//!
//! In: who sends. Out: whether he may now. A bucket for each address of the network and for each sender there; it holds a minute's worth, and fills
//! evenly. The number of buckets is limited: the full ones go, and if there are none, whoever is new waits. In memory only.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Messages a minute; zero: as many as come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// From one address of the network (IPv6: from one /64).
    pub per_ip: u32,
    /// From one sender at one address. The null sender is everybody's, and is not counted (RFC 5321 §4.5.5).
    pub per_sender: u32,
}

impl Default for Rates {
    fn default() -> Rates {
        Rates { per_ip: 120, per_sender: 60 }
    }
}

/// Buckets that are kept.
const MOST: usize = 20_000;

/// What was sent of late.
pub(crate) struct Rate {
    rates: Rates,
    networks: Mutex<HashMap<IpAddr, Bucket>>,
    senders: Mutex<HashMap<(Option<IpAddr>, String), Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    when: Instant,
}

impl Rate {
    pub(crate) fn new(rates: Rates) -> Rate {
        Rate { rates, networks: Mutex::default(), senders: Mutex::default() }
    }

    /// Another message. `now`: for all buckets alike. Who is over the limit of his network makes no bucket of a sender; and a sender's bucket is one of his
    /// network's, so that nobody uses up another one's by his name.
    pub(crate) fn may_send(&self, from: Option<IpAddr>, sender: &str, now: Instant) -> bool {
        let network = from.map(network);
        let (per_ip, per_sender) = (self.rates.per_ip, self.rates.per_sender);
        if network.is_some_and(|network| !take(&mut lock(&self.networks), network, per_ip, now)) {
            return false;
        }
        sender.is_empty() || take(&mut lock(&self.senders), (network, sender.to_lowercase()), per_sender, now)
    }
}

/// One out of a bucket, if there is one.
fn take<W: Eq + Hash>(buckets: &mut HashMap<W, Bucket>, who: W, rate: u32, now: Instant) -> bool {
    if rate == 0 {
        return true;
    }
    let full = f64::from(rate);
    let filled =
        |bucket: &Bucket| (bucket.left + now.duration_since(bucket.when).as_secs_f64() * full / 60.0).min(full);
    if buckets.len() >= MOST && !buckets.contains_key(&who) {
        // What is full again says nothing any more.
        buckets.retain(|_, bucket| filled(bucket) < full);
        if buckets.len() >= MOST {
            // More at once than there is room for: whoever is not known waits.
            return false;
        }
    }
    let bucket = buckets.entry(who).or_insert(Bucket { left: full, when: now });
    let left = filled(bucket);
    let may = left >= 1.0;
    *bucket = Bucket { left: if may { left - 1.0 } else { left }, when: now };
    may
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A host has a whole /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_minutes_worth_and_then_as_it_fills() {
        let rate = Rate::new(Rates { per_ip: 60, per_sender: 2 });
        let begin = Instant::now();
        let (here, there) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        assert!(rate.may_send(Some(here), "a@b", begin) && rate.may_send(Some(here), "A@b", begin));
        assert!(!rate.may_send(Some(here), "a@b", begin), "the sender");
        assert!(rate.may_send(Some(there), "a@b", begin), "somebody else, or he himself from elsewhere");
        assert!(rate.may_send(Some(here), "c@d", begin));
        assert!(!rate.may_send(Some(here), "a@b", begin + Duration::from_secs(15)));
        assert!(rate.may_send(Some(here), "a@b", begin + Duration::from_secs(40)));
        let rate = Rate::new(Rates { per_ip: 60, per_sender: 2 });
        assert!((0..60).all(|_| rate.may_send(Some(here), "", begin)));
        assert!((0..100).all(|number| !rate.may_send(Some(here), &format!("{number}@b"), begin)), "the network");
        assert!(lock(&rate.senders).is_empty());
        let unlimited = Rate::new(Rates { per_ip: 0, per_sender: 0 });
        assert!((0..1000).all(|_| unlimited.may_send(Some(here), "a@b", begin)));
    }

    #[test]
    fn a_host_has_a_whole_network_of_ipv6() {
        let address = |text: &str| text.parse::<IpAddr>().map(network);
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
    }
}
