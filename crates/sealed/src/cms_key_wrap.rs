//! Between a shared secret and a session key in CMS: the key derivations and AES-256 key wrap of elliptic-curve recipients
//! (RFC 5753 §7.2, RFC 8418 §2, ANSI X9.63; RFC 3394). Octets in, octets out; used the same way by who wraps and by who
//! unwraps. No certificate, no secret key, no curve.

use aws_lc_rs::{
    digest,
    key_wrap::{AES_256, AesKek, KeyWrap},
};
use zeroize::Zeroizing;

use crate::{key_wrap::NotWrappedToThis, session::SessionKey};

/// How a key encryption key follows from a shared secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Derivation {
    /// dhSinglePass-stdDH-sha256kdf-scheme: X9.63 with SHA-256, for P-256 and X25519.
    X963Sha256,
    /// dhSinglePass-stdDH-sha384kdf-scheme: X9.63 with SHA-384, for P-384.
    X963Sha384,
}

/// Octets of a session key in AES-256 key wrap.
pub const WRAPPED: usize = 40;

/// ECC-CMS-SharedInfo (RFC 5753 §7.2): AES-256 key wrap without parameters, no user keying material, 256 bits.
const SHARED_INFO: [u8; 23] = [
    0x30, 0x15, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2d, 0xa2, 0x06, 0x04, 0x04,
    0x00, 0x00, 0x01, 0x00,
];

impl Derivation {
    /// Wraps a session key.
    pub fn wrap(self, shared_secret: &[u8], key: &SessionKey) -> [u8; WRAPPED] {
        let mut wrapped = [0; WRAPPED];
        self.kek(shared_secret).wrap(key.octets(), &mut wrapped).expect("32 octets can be wrapped");
        wrapped
    }

    /// Unwraps it.
    pub fn unwrap(self, shared_secret: &[u8], wrapped: &[u8]) -> Result<SessionKey, NotWrappedToThis> {
        if wrapped.len() != WRAPPED {
            return Err(NotWrappedToThis);
        }
        let mut plain = Zeroizing::new([0; WRAPPED]);
        let key = self.kek(shared_secret).unwrap(wrapped, &mut *plain).map_err(|_| NotWrappedToThis)?;
        SessionKey::from_octets(key).ok_or(NotWrappedToThis)
    }

    fn kek(self, shared_secret: &[u8]) -> AesKek {
        let mut key = Zeroizing::new([0; 32]);
        match self {
            Self::X963Sha256 => x963(&digest::SHA256, shared_secret, &mut key),
            Self::X963Sha384 => x963(&digest::SHA384, shared_secret, &mut key),
        }
        AesKek::new(&AES_256, &*key).expect("32 octets are an AES-256 key")
    }
}

/// One round is enough: both hashes give 32 octets or more.
fn x963(hash: &'static digest::Algorithm, shared_secret: &[u8], key: &mut [u8; 32]) {
    let mut context = digest::Context::new(hash);
    context.update(shared_secret);
    context.update(&[0, 0, 0, 1]);
    context.update(&SHARED_INFO);
    let derived = context.finish();
    for (to, from) in key.iter_mut().zip(derived.as_ref()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_comes_back_by_the_same_way_only() {
        let key = SessionKey::generate();
        let ways = [Derivation::X963Sha256, Derivation::X963Sha384];
        for way in ways {
            let wrapped = way.wrap(&[7; 32], &key);
            for other in ways {
                let back = other.unwrap(&[7; 32], &wrapped);
                assert_eq!(back.is_ok_and(|back| back.octets() == key.octets()), other == way);
            }
            assert!(way.unwrap(&[8; 32], &wrapped).is_err());
            for at in 0..WRAPPED {
                let mut changed = wrapped;
                changed[at] ^= 1;
                assert!(way.unwrap(&[7; 32], &changed).is_err(), "octet {at}");
                assert!(way.unwrap(&[7; 32], &wrapped[..at]).is_err(), "cut at {at}");
            }
        }
    }
}
