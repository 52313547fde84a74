//! Names of messages on a server, as the journal keeps them.
//!
//! In: UIDVALIDITY and UID (RFC 9051 §2.3.1.1), or octets from the journal. Out: the other of both. Never guesses: octets of
//! another version are no name.

use std::fmt;

/// A message in a mailbox: the same as long as the mailbox lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Key {
    /// UIDVALIDITY.
    pub validity: u32,
    /// UID.
    pub uid: u32,
}

impl Key {
    /// For the journal.
    pub fn to_octets(self) -> [u8; 8] {
        let mut octets = [0; 8];
        let (validity, uid) = octets.split_at_mut(4);
        validity.copy_from_slice(&self.validity.to_be_bytes());
        uid.copy_from_slice(&self.uid.to_be_bytes());
        octets
    }

    /// From the journal.
    pub fn from_octets(octets: &[u8]) -> Option<Key> {
        let (validity, uid) = octets.split_first_chunk::<4>()?;
        Some(Key { validity: u32::from_be_bytes(*validity), uid: u32::from_be_bytes(uid.try_into().ok()?) })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.validity, self.uid)
    }
}

/// Where a copy is to be found, written down before it is put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// UIDVALIDITY of the target.
    pub validity: u32,
    /// No UID of the target below this one is the copy's: its UIDNEXT, or less, when it was put.
    pub from_uid: u32,
    /// What the caller tells its copies by; may be empty.
    pub mark: Vec<u8>,
    /// What tells the original from all others; the caller's.
    pub fingerprint: Vec<u8>,
    /// Octets of the original.
    pub original_length: u64,
    /// Octets of the copy.
    pub copy_length: u64,
    /// The original's flags that were put with the copy.
    pub flags: Vec<String>,
    /// The target's name.
    pub mailbox: String,
}

/// Version of [`Whereabouts::to_octets`].
const VERSION: u8 = 1;

impl Whereabouts {
    /// For the journal: version, validity, UID, both lengths, then mark, fingerprint, flags (joined by spaces), mailbox, each
    /// after its length in two octets.
    pub fn to_octets(&self) -> Vec<u8> {
        let flags = self.flags.join(" ");
        let mut octets = vec![VERSION];
        octets.extend_from_slice(&self.validity.to_be_bytes());
        octets.extend_from_slice(&self.from_uid.to_be_bytes());
        octets.extend_from_slice(&self.original_length.to_be_bytes());
        octets.extend_from_slice(&self.copy_length.to_be_bytes());
        for part in [&self.mark[..], &self.fingerprint, flags.as_bytes(), self.mailbox.as_bytes()] {
            let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
            octets.extend_from_slice(&length.to_be_bytes());
            octets.extend_from_slice(part.get(..usize::from(length)).unwrap_or(part));
        }
        octets
    }

    /// From the journal.
    pub fn from_octets(octets: &[u8]) -> Option<Whereabouts> {
        let ([VERSION], rest) = octets.split_first_chunk()? else { return None };
        let (validity, rest) = rest.split_first_chunk()?;
        let (from_uid, rest) = rest.split_first_chunk()?;
        let (original_length, rest) = rest.split_first_chunk()?;
        let (copy_length, rest) = rest.split_first_chunk()?;
        let (mark, rest) = part(rest)?;
        let (fingerprint, rest) = part(rest)?;
        let (flags, rest) = part(rest)?;
        let (mailbox, []) = part(rest)? else { return None };
        let flags = std::str::from_utf8(flags).ok()?;
        Some(Whereabouts {
            validity: u32::from_be_bytes(*validity),
            from_uid: u32::from_be_bytes(*from_uid),
            mark: mark.to_vec(),
            fingerprint: fingerprint.to_vec(),
            original_length: u64::from_be_bytes(*original_length),
            copy_length: u64::from_be_bytes(*copy_length),
            flags: flags.split_ascii_whitespace().map(str::to_owned).collect(),
            mailbox: String::from_utf8(mailbox.to_vec()).ok()?,
        })
    }
}

fn part(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_journaled_comes_back() {
        let key = Key { validity: 7, uid: u32::MAX };
        assert_eq!(Key::from_octets(&key.to_octets()), Some(key));
        assert_eq!(Key::from_octets(b"1234567"), None);
        let place = Whereabouts {
            validity: 1,
            from_uid: 2,
            mark: vec![0, 1, 2],
            fingerprint: vec![9; 32],
            original_length: 77,
            copy_length: 300,
            flags: vec!["\\Seen".into(), "$Forwarded".into()],
            mailbox: "Archive/ü".into(),
        };
        let octets = place.to_octets();
        assert_eq!(Whereabouts::from_octets(&octets), Some(place));
        for cut in 0..octets.len() {
            assert_eq!(Whereabouts::from_octets(&octets[..cut]), None, "{cut}");
        }
    }
}
