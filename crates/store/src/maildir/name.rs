//! File names of a Maildir: `unique`, `unique:2,FLAGS`, and whatever others have put there.
//!
//! In: a file name as octets. Out: its parts; and the octets again. Format: maildir(5), Dovecot's extra letters and
//! fields. Never drops a letter it does not know, never decides that a strange name is no mail.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Longest file name of the usual file systems, in octets.
pub const MAX_NAME: usize = 255;

/// The part of a file name that stays the same for the life of a message: all before the first `:`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unique(Box<[u8]>);

/// A message's flags: a set of ASCII letters.
///
/// maildir(5) gives D(raft) F(lagged) P(assed) R(eplied) S(een) T(rashed) a meaning, Dovecot uses a-z for the keywords of
/// its `dovecot-keywords` file; all others are kept as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(Vec<u8>);

/// A file name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    unique: Unique,
    info: Info,
}

/// Why a name cannot be that of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing before the first colon.
    #[error("a message file name without a unique part")]
    Empty,
    /// maildir(5): readers skip names that start with a dot.
    #[error("a file name that starts with a dot")]
    Hidden,
    /// A slash or a NUL, or for a unique name a colon.
    #[error("a file name with an octet that cannot be in it")]
    Octet,
    /// More than [`MAX_NAME`].
    #[error("a file name longer than {MAX_NAME} octets")]
    TooLong,
}

impl Unique {
    /// Checks that these octets can be a unique name.
    pub fn parse(octets: &[u8]) -> Result<Unique, NameError> {
        check(octets)?;
        if octets.contains(&b':') { Err(NameError::Octet) } else { Ok(Unique(octets.into())) }
    }

    /// Its octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Unique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl Flags {
    /// Draft.
    pub const DRAFT: u8 = b'D';
    /// Seen.
    pub const SEEN: u8 = b'S';
    /// Trashed: to be removed at the next expunge.
    pub const TRASHED: u8 = b'T';

    /// The letters among these octets; anything else is left out.
    pub fn from_letters(letters: &[u8]) -> Flags {
        let mut set: Vec<u8> = letters.iter().copied().filter(u8::is_ascii_alphabetic).collect();
        set.sort_unstable();
        set.dedup();
        Flags(set)
    }

    /// Whether that letter is set.
    pub fn contains(&self, letter: u8) -> bool {
        self.0.binary_search(&letter).is_ok()
    }

    /// These flags and one more.
    pub fn with(&self, letter: u8) -> Flags {
        Flags::from_letters(&[self.letters(), &[letter]].concat())
    }

    /// The letters in ASCII order, each once, as maildir(5) asks.
    pub fn letters(&self) -> &[u8] {
        &self.0
    }

    /// What `ours` must become after what happened to `theirs` since both were `base`: what was set there is set, what was
    /// cleared there is cleared, everything else stays.
    pub fn merge(base: &Flags, theirs: &Flags, ours: &Flags) -> Flags {
        let set = theirs.0.iter().filter(|&&letter| !base.contains(letter));
        let kept = ours.0.iter().filter(|&&letter| theirs.contains(letter) || !base.contains(letter));
        Flags::from_letters(&set.chain(kept).copied().collect::<Vec<u8>>())
    }

    /// Letters of both.
    pub fn common(&self, other: &Flags) -> Flags {
        Flags(self.0.iter().copied().filter(|&letter| other.contains(letter)).collect())
    }

    /// These flags without that letter.
    pub fn without(&self, letter: u8) -> Flags {
        Flags(self.0.iter().copied().filter(|&other| other != letter).collect())
    }
}

impl FileName {
    /// A name for a message in `cur/`.
    pub fn flagged(unique: Unique, flags: Flags) -> FileName {
        FileName { unique, info: Info::Flags { flags, rest: Box::default() } }
    }

    /// A name for a message in `new/` or `tmp/`.
    pub fn plain(unique: Unique) -> FileName {
        FileName { unique, info: Info::None }
    }

    /// Takes a file name apart.
    ///
    /// The first colon ends the unique name, whatever follows it, as Dovecot has it: no unique name may hold one.
    pub fn parse(name: &OsStr) -> Result<FileName, NameError> {
        let name = name.as_bytes();
        check(name)?;
        let mut parts = name.splitn(2, |&octet| octet == b':');
        let unique = Unique::parse(parts.next().unwrap_or_default())?;
        let info = match parts.next() {
            None => Info::None,
            Some(info) => match info.strip_prefix(b"2,") {
                None => Info::Other(info.into()),
                Some(fields) => {
                    let end = fields.iter().position(|octet| !octet.is_ascii_alphabetic()).unwrap_or(fields.len());
                    let (letters, rest) = fields.split_at_checked(end).unwrap_or((fields, &[]));
                    Info::Flags { flags: Flags::from_letters(letters), rest: rest.into() }
                }
            },
        };
        Ok(FileName { unique, info })
    }

    /// The file name again, with the flags in ASCII order.
    pub fn write(&self) -> OsString {
        let unique = self.unique.as_bytes();
        OsString::from_vec(match &self.info {
            Info::None => unique.to_vec(),
            Info::Flags { flags, rest } => [unique, b":2,", flags.letters(), rest].concat(),
            Info::Other(info) => [unique, b":", info].concat(),
        })
    }

    /// What stays when flags change.
    pub fn unique(&self) -> &Unique {
        &self.unique
    }

    /// The flags; none if the name has no `:2,`.
    pub fn flags(&self) -> Flags {
        match &self.info {
            Info::Flags { flags, .. } => flags.clone(),
            Info::None | Info::Other(_) => Flags::default(),
        }
    }

    /// The same message's name with other flags; fields after the letters stay, an unknown `:1,` part goes.
    pub fn with_flags(&self, flags: Flags) -> FileName {
        let rest = match &self.info {
            Info::Flags { rest, .. } => rest.clone(),
            Info::None | Info::Other(_) => Box::default(),
        };
        FileName { unique: self.unique.clone(), info: Info::Flags { flags, rest } }
    }
}

/// What follows the first colon.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Info {
    None,
    /// `2,` and letters; then what is no letter, as `,W=123`, verbatim.
    Flags {
        flags: Flags,
        rest: Box<[u8]>,
    },
    /// maildir(5): `1,` is "experimental". Verbatim.
    Other(Box<[u8]>),
}

fn check(name: &[u8]) -> Result<(), NameError> {
    match name.first() {
        None => Err(NameError::Empty),
        Some(b'.') => Err(NameError::Hidden),
        _ if name.len() > MAX_NAME => Err(NameError::TooLong),
        _ if name.iter().any(|octet| matches!(octet, 0 | b'/')) => Err(NameError::Octet),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;
    use proptest::prelude::*;

    fn unique() -> impl Strategy<Value = Unique> {
        "[^.:/\\x00][^:/\\x00]{0,40}".prop_map(|text| Unique::parse(text.as_bytes()).unwrap())
    }

    fn info() -> impl Strategy<Value = Info> {
        let letters = prop::collection::vec(any::<u8>(), 0..9).prop_map(|letters| Flags::from_letters(&letters));
        let rest = "(|[^a-zA-Z/\\x00][^/\\x00]{0,8})".prop_map(|rest| rest.into_bytes().into());
        let other =
            "(|[^2/\\x00][^/\\x00]{0,8}|2|2[^,/\\x00]{0,8})".prop_map(|other| Info::Other(other.into_bytes().into()));
        prop_oneof![Just(Info::None), (letters, rest).prop_map(|(flags, rest)| Info::Flags { flags, rest }), other]
    }

    proptest! {
        #[test]
        fn parse_undoes_write(unique in unique(), info in info()) {
            let name = FileName { unique, info };
            prop_assert_eq!(FileName::parse(&name.write()), Ok(name));
        }

        #[test]
        fn any_octets_parse_or_are_refused(octets in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(name) = FileName::parse(OsStr::from_bytes(&octets)) {
                prop_assert_eq!(FileName::parse(&name.write()), Ok(name.clone()));
                prop_assert!(octets.starts_with(name.unique().as_bytes()));
            }
        }

        #[test]
        fn names_near_the_standard_parse(name in "[a-z.:,2/]{0,12}(:2,)?[A-Za-z,]{0,6}") {
            let _ = FileName::parse(OsStr::new(&name));
        }

        #[test]
        fn merging_takes_over_exactly_the_changes(base: u64, theirs: u64, ours: u64) {
            let flags = |bits: u64| Flags::from_letters(&(0u8..26).filter(|bit| bits >> bit & 1 == 1).map(|bit| b'A' + bit).collect::<Vec<_>>());
            let changed = base ^ theirs;
            let expected = (ours & !changed) | (theirs & changed);
            prop_assert_eq!(Flags::merge(&flags(base), &flags(theirs), &flags(ours)), flags(expected));
        }
    }

    #[test]
    fn names_are_taken_apart() {
        type Parts = (&'static str, &'static str, &'static str);
        let table: &[(&str, Result<Parts, NameError>)] = &[
            ("1.M2P3Q4.host", Ok(("1.M2P3Q4.host", "", "1.M2P3Q4.host"))),
            ("u:2,", Ok(("u", "", "u:2,"))),
            ("u:2,SRab", Ok(("u", "RSab", "u:2,RSab"))),
            ("u,S=5,W=6:2,SS,x=1", Ok(("u,S=5,W=6", "S", "u,S=5,W=6:2,S,x=1"))),
            ("u:1,S", Ok(("u", "", "u:1,S"))),
            ("u:b:2,S", Ok(("u", "", "u:b:2,S"))),
            ("u:", Ok(("u", "", "u:"))),
            ("", Err(NameError::Empty)),
            (":2,S", Err(NameError::Empty)),
            (".u:2,S", Err(NameError::Hidden)),
            ("a/b", Err(NameError::Octet)),
        ];
        for (name, expected) in table {
            let parsed = FileName::parse(OsStr::new(name));
            let found = parsed.as_ref().map_err(|error| *error).map(|parsed| {
                let letters = String::from_utf8(parsed.flags().letters().to_vec()).unwrap();
                (
                    String::from_utf8(parsed.unique().as_bytes().to_vec()).unwrap(),
                    letters,
                    parsed.write().into_string().unwrap(),
                )
            });
            let expected = expected.map(|(unique, letters, written)| (unique.into(), letters.into(), written.into()));
            assert_eq!(found, expected, "{name}");
        }
        let trashed = FileName::parse(OsStr::new("u:2,aS,x")).unwrap();
        assert_eq!(trashed.with_flags(trashed.flags().with(Flags::TRASHED)).write(), "u:2,STa,x");
        assert_eq!(FileName::parse(OsStr::new(&"x".repeat(256))), Err(NameError::TooLong));
    }
}
