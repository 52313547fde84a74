//! The bridge's own password: made here, shown once, kept as a hash (PBKDF2, RFC 8018). It is random, so that nobody can guess it; the hash is so that the
//! file gives nothing away. Never compares in a time that depends on what is right.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use base64_simd::STANDARD;
use sealed::identity::random;
use zeroize::Zeroizing;

/// What is kept of a password. No `Debug`.
#[derive(Clone)]
pub struct Password {
    salt: [u8; 16],
    hash: [u8; 32],
}

/// A password that was just made: the one moment at which it can be shown.
pub struct NewPassword {
    /// To be typed into mail programs.
    pub text: Zeroizing<String>,
    /// To be kept.
    pub password: Password,
}

/// The kept text is not one.
#[derive(Debug, thiserror::Error)]
#[error("the bridge's password file is damaged")]
pub struct PasswordError;

/// Rounds of the hash. It need not be slow: there are 2^100 passwords.
const ROUNDS: NonZeroU32 = match NonZeroU32::new(10_000) {
    Some(rounds) => rounds,
    None => NonZeroU32::MIN,
};
/// Letters and digits that are not mistaken for each other.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const FIELD: &str = "Sealed-Bridge-Password: v=1; ";

impl NewPassword {
    /// Makes one: 20 letters in groups of five.
    pub fn generate() -> Self {
        let octets: Zeroizing<[u8; 20]> = Zeroizing::new(random());
        let mut text = Zeroizing::new(String::with_capacity(24));
        for (place, octet) in octets.iter().enumerate() {
            if place > 0 && place % 5 == 0 {
                text.push('-');
            }
            text.push(LETTERS.get(usize::from(octet % 32)).map_or('a', |letter| char::from(*letter)));
        }
        let salt = random();
        let password = Password { salt, hash: hash(&salt, text.as_bytes()) };
        Self { text, password }
    }
}

impl Password {
    /// Whether that is it.
    pub fn is(&self, typed: &[u8]) -> bool {
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::verify(algorithm, ROUNDS, &self.salt, typed, &self.hash).is_ok()
    }

    /// The line that is kept.
    pub fn write(&self) -> String {
        format!("{FIELD}s={}; h={}\n", STANDARD.encode_to_string(self.salt), STANDARD.encode_to_string(self.hash))
    }

    /// Reads that line.
    pub fn parse(line: &str) -> Result<Self, PasswordError> {
        let rest = line.trim().strip_prefix(FIELD.trim_end()).ok_or(PasswordError)?;
        let (mut salt, mut hash) = (None, None);
        for tag in rest.split(';') {
            match tag.trim().split_once('=') {
                Some(("s", text)) => salt = decode(text),
                Some(("h", text)) => hash = decode(text),
                _ => return Err(PasswordError),
            }
        }
        Ok(Self { salt: salt.ok_or(PasswordError)?, hash: hash.ok_or(PasswordError)? })
    }
}

fn hash(salt: &[u8; 16], typed: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, typed, &mut hash);
    hash
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    STANDARD.decode_to_vec(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;

    #[test]
    fn a_password_is_known_by_its_line_and_is_not_in_it() {
        let made = NewPassword::generate();
        assert_eq!(made.text.len(), 23);
        assert_ne!(*made.text, *NewPassword::generate().text);
        let line = made.password.write();
        assert!(!line.contains(made.text.as_str()));
        let kept = Password::parse(&line).unwrap();
        assert!(kept.is(made.text.as_bytes()));
        for wrong in ["", "x", &made.text[1..], &made.text.to_uppercase()] {
            assert!(!kept.is(wrong.as_bytes()), "{wrong}");
        }
        for damaged in ["", "x", &line[..line.len() - 6], &line.replace("h=", "g="), &line.replace("v=1", "v=2")] {
            assert!(Password::parse(damaged).is_err(), "{damaged}");
        }
    }
}
