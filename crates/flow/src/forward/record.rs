//! What is kept with a copy in the spool, so that it is proved after a restart: hashes, who sealed it, for whom.
//!
//! In: the hashes of what was opened before it was kept (format A6). Out: octets, and back. A copy may wait while its forwarder gets another key, or its owner
//! another certificate: what waits stays good. Whoever writes into the spool must not choose whose signature is asked for: an HMAC holds it all together.

use aws_lc_rs::{constant_time, hmac};
use seal::Expectation;
use sealed::identity::AccountId;
use sealed::signature::SealerPublic;

const MAC: usize = 16;

/// Who sealed a copy, for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) account: AccountId,
    pub(crate) sealer: SealerPublic,
}

/// For the spool. `secret`: all nodes of a forwarder have the same.
pub(crate) fn write(secret: &[u8; 32], expectation: &Expectation, who: &Who) -> Vec<u8> {
    let mut octets = expectation.to_octets();
    octets.extend_from_slice(&who.account.0);
    octets.extend_from_slice(who.sealer.octets());
    let mac: [u8; MAC] = cut(secret, &octets);
    octets.extend_from_slice(&mac);
    octets
}

/// From the spool. What does not say who sealed it, or with another secret, was sealed by whoever seals `now`, or by nobody.
pub(crate) fn read(secret: &[u8; 32], octets: &[u8], now: Who) -> Option<(Expectation, Who)> {
    let (said, mac) = octets.split_last_chunk::<MAC>()?;
    let own: [u8; MAC] = cut(secret, said);
    let is_ours = constant_time::verify_slices_are_equal(&own, mac).is_ok();
    let named = said.split_last_chunk::<32>().and_then(|(rest, sealer)| {
        let (rest, account) = rest.split_last_chunk::<16>()?;
        let who = Who { account: AccountId(*account), sealer: SealerPublic::from_octets(*sealer) };
        Some((Expectation::from_octets(rest)?, who))
    });
    match named {
        Some((expectation, who)) => Some((expectation, if is_ours { who } else { now })),
        None => Expectation::from_octets(octets).map(|expectation| (expectation, now)),
    }
}

/// The first octets of a MAC (RFC 2104 §5).
fn cut(secret: &[u8; 32], octets: &[u8]) -> [u8; MAC] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut context = hmac::Context::with_key(&key);
    context.update(b"sealpost spool record 1\0");
    context.update(octets);
    context.sign().as_ref().first_chunk().copied().unwrap_or([0; MAC])
}

#[cfg(test)]
mod tests {
    use sealed::identity::{MessageId, Profile};

    use super::*;

    fn who(number: u8) -> Who {
        Who { account: AccountId([number; 16]), sealer: SealerPublic::from_octets([number; 32]) }
    }

    #[test]
    fn who_sealed_it_stays_and_is_not_for_others_to_say() {
        let expectation = Expectation {
            id: MessageId([1; 16]),
            sequence: 2,
            original: [3; 32],
            key: [4; 32],
            content: [5; 32],
            fields: [6; 32],
            profile: Profile::ALL[0],
        };
        let record = write(&[7; 32], &expectation, &who(1));
        assert_eq!(read(&[7; 32], &record, who(2)), Some((expectation.clone(), who(1))));
        // With another secret, or changed: whoever seals now must have signed it.
        assert_eq!(read(&[8; 32], &record, who(2)), Some((expectation.clone(), who(2))));
        let mut changed = record.clone();
        if let Some(octet) = changed.get_mut(expectation.to_octets().len()) {
            *octet ^= 1;
        }
        assert_eq!(read(&[7; 32], &changed, who(2)), Some((expectation.clone(), who(2))));
        // As it was kept before.
        assert_eq!(read(&[7; 32], &expectation.to_octets(), who(2)), Some((expectation, who(2))));
        for octets in [&record[1..], &[][..], &[0; 300][..]] {
            assert_eq!(read(&[7; 32], octets, who(2)), None);
        }
    }
}
