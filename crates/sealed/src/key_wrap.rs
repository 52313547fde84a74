//! Between a shared secret and a session key: the key derivations and AES key wrap of OpenPGP's elliptic-curve
//! recipients (RFC 9580 §5.1.5, §5.1.6, §11.4; RFC 3394). Octets in, octets out; used the same way by who wraps and by
//! who unwraps. No certificate, no secret key, no curve.

use aes::cipher::{Block, BlockDecrypt, BlockEncrypt, KeyInit};
use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest, hkdf,
    key_wrap::{AES_128, AES_256, AesKek, KeyWrap},
};
use zeroize::Zeroizing;

use crate::session::SessionKey;

/// A curve of an ECDH key (RFC 9580 §9.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Curve {
    /// Curve25519Legacy.
    Curve25519Legacy,
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
}

/// Hash of the key derivation, named in the certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KdfHash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// Cipher of the key wrap, named in the certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WrapCipher {
    /// AES-128.
    Aes128,
    /// AES-192: what GnuPG writes for P-384.
    Aes192,
    /// AES-256.
    Aes256,
}

/// Everything besides the shared secret that an ECDH recipient's key encryption key depends on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EcdhParameters {
    /// The key's curve.
    pub curve: Curve,
    /// Hash of the derivation.
    pub hash: KdfHash,
    /// Cipher of the wrap.
    pub cipher: WrapCipher,
    /// Fingerprint of the encryption subkey, 20 (v4) or 32 (v6) octets.
    pub fingerprint: Vec<u8>,
}

/// A wrapped session key could not be unwrapped.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the session key is not wrapped to this key")]
pub struct NotWrappedToThis;

/// Symmetric cipher id of AES-256 (RFC 9580 §9.3).
pub const AES_256_ID: u8 = 9;
/// ECDH (RFC 9580 §9.1).
pub const ECDH_ID: u8 = 18;
/// X25519 (RFC 9580 §9.1).
pub const X25519_ID: u8 = 25;
/// RSA (RFC 9580 §9.1).
pub const RSA_ID: u8 = 1;

impl EcdhParameters {
    /// Pads and wraps what a PKESK carries (RFC 9580 §11.5).
    pub fn wrap(&self, shared_secret: &[u8], plain: &[u8]) -> Vec<u8> {
        let padding = 8 - plain.len() % 8;
        let mut padded = Zeroizing::new(plain.to_vec());
        padded.resize(plain.len() + padding, padding as u8);
        wrap(self.cipher, &self.key(shared_secret), &padded)
    }

    /// Unwraps and unpads.
    pub fn unwrap(&self, shared_secret: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotWrappedToThis> {
        let mut plain = unwrap(self.cipher, &self.key(shared_secret), wrapped)?;
        let padding = usize::from(*plain.last().ok_or(NotWrappedToThis)?);
        let length = plain.len().checked_sub(padding).ok_or(NotWrappedToThis)?;
        if padding == 0 || plain.iter().skip(length).any(|&octet| usize::from(octet) != padding) {
            return Err(NotWrappedToThis);
        }
        plain.truncate(length);
        Ok(plain)
    }

    fn key(&self, shared_secret: &[u8]) -> Zeroizing<Vec<u8>> {
        let (algorithm, hash_id) = match self.hash {
            KdfHash::Sha256 => (&digest::SHA256, 8),
            KdfHash::Sha384 => (&digest::SHA384, 9),
            KdfHash::Sha512 => (&digest::SHA512, 10),
        };
        let (cipher_id, length) = match self.cipher {
            WrapCipher::Aes128 => (7, 16),
            WrapCipher::Aes192 => (8, 24),
            WrapCipher::Aes256 => (9, 32),
        };
        let oid: &[u8] = match self.curve {
            Curve::Curve25519Legacy => &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x97, 0x55, 0x01, 0x05, 0x01],
            Curve::P256 => &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
            Curve::P384 => &[0x2b, 0x81, 0x04, 0x00, 0x22],
            Curve::P521 => &[0x2b, 0x81, 0x04, 0x00, 0x23],
        };
        let mut context = digest::Context::new(algorithm);
        context.update(&[0, 0, 0, 1]);
        context.update(shared_secret);
        context.update(&[oid.len() as u8]);
        context.update(oid);
        context.update(&[ECDH_ID, 3, 1, hash_id, cipher_id]);
        context.update(b"Anonymous Sender    ");
        context.update(&self.fingerprint);
        let derived = context.finish();
        Zeroizing::new(derived.as_ref().iter().take(length).copied().collect())
    }
}

/// Wraps a session key to an X25519 recipient (RFC 9580 §5.1.6).
pub fn wrap_x25519(ephemeral: &[u8; 32], recipient: &[u8; 32], shared_secret: &[u8], key: &SessionKey) -> Vec<u8> {
    wrap(WrapCipher::Aes128, &*x25519_key(ephemeral, recipient, shared_secret), key.octets())
}

/// Unwraps a session key of an X25519 recipient.
pub fn unwrap_x25519(
    ephemeral: &[u8; 32],
    recipient: &[u8; 32],
    shared_secret: &[u8],
    wrapped: &[u8],
) -> Result<SessionKey, NotWrappedToThis> {
    let plain = unwrap(WrapCipher::Aes128, &*x25519_key(ephemeral, recipient, shared_secret), wrapped)?;
    SessionKey::from_octets(&plain).ok_or(NotWrappedToThis)
}

/// The octets that a PKESK encrypts, where the key algorithm takes a checksum (RFC 9580 §5.1): with the cipher in
/// front in version 3, without it in version 6.
pub fn with_checksum(key: &SessionKey, cipher: Option<u8>) -> Zeroizing<Vec<u8>> {
    let mut plain = Zeroizing::new(Vec::with_capacity(35));
    plain.extend(cipher);
    plain.extend_from_slice(key.octets());
    plain.extend_from_slice(&checksum(key.octets()));
    plain
}

/// Undoes [`with_checksum`]; any other cipher than AES-256 is refused.
pub fn without_checksum(plain: &[u8], cipher: Option<u8>) -> Result<SessionKey, NotWrappedToThis> {
    let rest = match cipher {
        Some(expected) => plain.strip_prefix(&[expected]).ok_or(NotWrappedToThis)?,
        None => plain,
    };
    let (key, found) = rest.split_last_chunk::<2>().ok_or(NotWrappedToThis)?;
    if checksum(key) != *found {
        return Err(NotWrappedToThis);
    }
    SessionKey::from_octets(key).ok_or(NotWrappedToThis)
}

fn checksum(octets: &[u8]) -> [u8; 2] {
    octets.iter().fold(0_u16, |sum, &octet| sum.wrapping_add(u16::from(octet))).to_be_bytes()
}

fn x25519_key(ephemeral: &[u8; 32], recipient: &[u8; 32], shared_secret: &[u8]) -> Zeroizing<[u8; 16]> {
    struct Sixteen;
    impl hkdf::KeyType for Sixteen {
        fn len(&self) -> usize {
            16
        }
    }
    let input = Zeroizing::new([ephemeral, recipient, shared_secret].concat());
    let mut key = Zeroizing::new([0; 16]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
        .extract(&input)
        .expand(&[b"OpenPGP X25519"], Sixteen)
        .and_then(|octets| octets.fill(&mut *key))
        .expect("16 octets are a length HKDF gives");
    key
}

fn wrap(cipher: WrapCipher, key: &[u8], plain: &[u8]) -> Vec<u8> {
    let Some(kek) = kek(cipher, key) else { return wrap_192(key, plain) };
    let mut wrapped = vec![0; plain.len() + 8];
    kek.wrap(plain, &mut wrapped).expect("a multiple of eight octets can be wrapped");
    wrapped
}

fn unwrap(cipher: WrapCipher, key: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotWrappedToThis> {
    // Session keys have at most 40 octets with their padding; wrapped ones eight more.
    if wrapped.len() > 128 {
        return Err(NotWrappedToThis);
    }
    let length = wrapped.len().checked_sub(8).ok_or(NotWrappedToThis)?;
    let Some(kek) = kek(cipher, key) else { return unwrap_192(key, wrapped) };
    let mut plain = Zeroizing::new(vec![0; length.max(16)]);
    let count = kek.unwrap(wrapped, &mut plain).map_err(|_| NotWrappedToThis)?.len();
    plain.truncate(count);
    Ok(plain)
}

/// None for AES-192, which aws-lc does not offer here.
fn kek(cipher: WrapCipher, key: &[u8]) -> Option<AesKek> {
    let cipher = match cipher {
        WrapCipher::Aes128 => &AES_128,
        WrapCipher::Aes192 => return None,
        WrapCipher::Aes256 => &AES_256,
    };
    Some(AesKek::new(cipher, key).expect("the derivation gives a key of the cipher's length"))
}

/// RFC 3394 §2.2.1 with AES-192. `plain`: a multiple of eight octets.
fn wrap_192(key: &[u8], plain: &[u8]) -> Vec<u8> {
    let cipher = aes::Aes192::new_from_slice(key).expect("the derivation gives a key of the cipher's length");
    let (halves, _) = plain.as_chunks::<8>();
    let mut registers: Zeroizing<Vec<[u8; 8]>> = Zeroizing::new(halves.to_vec());
    let mut check = INITIAL;
    let mut step = 0_u64;
    for _ in 0..ROUNDS {
        for register in registers.iter_mut() {
            step += 1;
            let mut block = Block::<aes::Aes192>::default();
            block[..8].copy_from_slice(&check);
            block[8..].copy_from_slice(register);
            cipher.encrypt_block(&mut block);
            check.copy_from_slice(&block[..8]);
            check = (u64::from_be_bytes(check) ^ step).to_be_bytes();
            register.copy_from_slice(&block[8..]);
        }
    }
    [&[check], registers.as_slice()].concat().concat()
}

/// RFC 3394 §2.2.2 with AES-192.
fn unwrap_192(key: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotWrappedToThis> {
    let cipher = aes::Aes192::new_from_slice(key).expect("the derivation gives a key of the cipher's length");
    let (halves, rest) = wrapped.as_chunks::<8>();
    let (first, registers) = halves.split_first().ok_or(NotWrappedToThis)?;
    if !rest.is_empty() || registers.len() < 2 {
        return Err(NotWrappedToThis);
    }
    let mut check = *first;
    let mut registers: Zeroizing<Vec<[u8; 8]>> = Zeroizing::new(registers.to_vec());
    let mut step = ROUNDS * registers.len() as u64;
    for _ in 0..ROUNDS {
        for register in registers.iter_mut().rev() {
            let mut block = Block::<aes::Aes192>::default();
            block[..8].copy_from_slice(&(u64::from_be_bytes(check) ^ step).to_be_bytes());
            block[8..].copy_from_slice(register);
            cipher.decrypt_block(&mut block);
            check.copy_from_slice(&block[..8]);
            register.copy_from_slice(&block[8..]);
            step -= 1;
        }
    }
    verify_slices_are_equal(&check, &INITIAL).map_err(|_| NotWrappedToThis)?;
    Ok(Zeroizing::new(registers.concat()))
}

/// RFC 3394 §2.2.3.1.
const INITIAL: [u8; 8] = [0xa6; 8];
const ROUNDS: u64 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(hexadecimal: &str) -> Vec<u8> {
        let digits = hexadecimal.as_bytes().chunks(2);
        digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex")).collect()
    }

    /// RFC 3394 §4.1, §4.2, §4.3, §4.4, §4.6.
    #[test]
    fn test_vectors_of_the_standard() {
        let data = "00112233445566778899AABBCCDDEEFF0001020304050607";
        let more = "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F";
        let key = "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F";
        let table = [
            (WrapCipher::Aes128, &data[..32], "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5"),
            (WrapCipher::Aes192, &data[..32], "96778B25AE6CA435F92B5B97C050AED2468AB8A17AD84E5D"),
            (WrapCipher::Aes192, data, "031D33264E15D33268F24EC260743EDCE1C6C7DDEE725A936BA814915C6762D2"),
            (
                WrapCipher::Aes256,
                more,
                "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21",
            ),
        ];
        for (cipher, plain, wrapped) in table {
            let length = match cipher {
                WrapCipher::Aes128 => 16,
                WrapCipher::Aes192 => 24,
                WrapCipher::Aes256 => 32,
            };
            let key = &octets(key)[..length];
            assert_eq!(wrap(cipher, key, &octets(plain)), octets(wrapped), "{cipher:?}");
            assert_eq!(
                unwrap(cipher, key, &octets(wrapped)).map(|plain| plain.to_vec()),
                Ok(octets(plain)),
                "{cipher:?}"
            );
            for at in 0..wrapped.len() / 2 {
                let mut changed = octets(wrapped);
                changed[at] ^= 1;
                assert!(unwrap(cipher, key, &changed).is_err(), "{cipher:?}, octet {at}");
                assert!(unwrap(cipher, key, &changed[..at]).is_err(), "{cipher:?}, cut at {at}");
            }
        }
    }
}
