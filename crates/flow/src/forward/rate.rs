//! How many messages a minute somebody may send.
//!
//! In: who sends. Out: whether he may now. A bucket for each address of the network and for each sender; it holds a minute's worth, and fills
//! evenly. The number of buckets is limited: the fullest go, as whoever has one has sent least. In memory only.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Messages a minute; zero: as many as come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// From one address of the network (IPv6: from one /64).
    pub per_ip: u32,
    /// From one sender. The null sender is everybody's, and is not counted (RFC 5321 §4.5.5).
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
    buckets: Mutex<HashMap<Who, Bucket>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Who {
    Network(IpAddr),
    Sender(String),
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    when: Instant,
}

impl Rate {
    pub(crate) fn new(rates: Rates) -> Rate {
        Rate { rates, buckets: Mutex::default() }
    }

    /// Another message. `now`: for both buckets alike.
    pub(crate) fn may_send(&self, from: Option<IpAddr>, sender: &str, now: Instant) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST {
            // What has filled up by now says nothing any more.
            let most = f64::from(self.rates.per_ip.max(self.rates.per_sender)) / 60.0;
            buckets.retain(|_, bucket| now.duration_since(bucket.when).as_secs_f64() * most < 1.0);
            if buckets.len() >= MOST {
                buckets.clear();
            }
        }
        let network = from.map(|address| (Who::Network(network(address)), self.rates.per_ip));
        let sender = (!sender.is_empty()).then(|| (Who::Sender(sender.to_lowercase()), self.rates.per_sender));
        let each = [network, sender].into_iter().flatten().filter(|(_, rate)| *rate > 0);
        // Both are asked, so that who is over one limit does not wear out the other.
        each.fold(true, |so_far, (who, rate)| {
            let full = f64::from(rate);
            let bucket = buckets.entry(who).or_insert(Bucket { left: full, when: now });
            let gained = now.duration_since(bucket.when).as_secs_f64() * full / 60.0;
            *bucket = Bucket { left: (bucket.left + gained).min(full), when: now };
            let may = so_far && bucket.left >= 1.0;
            bucket.left -= if may { 1.0 } else { 0.0 };
            may
        })
    }
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
        assert!(!rate.may_send(Some(there), "a@b", begin), "the sender, from wherever");
        assert!(rate.may_send(Some(here), "c@d", begin));
        assert!(!rate.may_send(None, "a@b", begin + Duration::from_secs(29)));
        assert!(rate.may_send(None, "a@b", begin + Duration::from_secs(60)));
        assert!((0..57).all(|_| rate.may_send(Some(here), "", begin)));
        assert!(!rate.may_send(Some(here), "", begin), "the network");
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
