//! Flags and dates as a server says them.
//!
//! In: flags before and after, INTERNALDATE. Out: what to set on the copy, an instant. RFC 9051 §2.3.2, §9 `date-time`. Never
//! changes anything itself.

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::clock::UnixSeconds;

/// What somebody changed while we were at work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Changes {
    /// To be set.
    pub added: Vec<String>,
    /// To be taken away.
    pub removed: Vec<String>,
}

impl Changes {
    /// From what the flags were to what they are.
    pub fn between(before: &[String], after: &[String]) -> Changes {
        Changes { added: missing(after, before), removed: missing(before, after) }
    }

    /// Nothing changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// Flags of an original that its copy gets, too: not `\Recent`, which nobody can set, and not our lock.
pub(super) fn to_carry(flags: &[String], lock: &str) -> Vec<String> {
    let ours = |flag: &&String| !flag.eq_ignore_ascii_case("\\Recent") && !flag.eq_ignore_ascii_case(lock);
    flags.iter().filter(ours).cloned().collect()
}

/// Whether a mailbox takes a keyword that it does not know yet, or knows that one (RFC 9051 §7.1 PERMANENTFLAGS).
pub fn is_lockable(permanent: &[String], new_keywords: bool, lock: &str) -> bool {
    new_keywords || has(permanent, lock)
}

/// Whether the flag is set; letter case is no matter.
pub(super) fn has(flags: &[String], flag: &str) -> bool {
    flags.iter().any(|other| other.eq_ignore_ascii_case(flag))
}

/// Flags of `all` that are not in `others`.
pub(super) fn missing(all: &[String], others: &[String]) -> Vec<String> {
    all.iter().filter(|flag| !has(others, flag)).cloned().collect()
}

/// INTERNALDATE, as Unix seconds. `None` if it is no date.
pub fn parse_date(text: &str) -> Option<UnixSeconds> {
    const FORMAT: &[BorrowedFormatItem<'_>] = format_description!(
        "[day padding:none]-[month repr:short]-[year] [hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
    );
    let at = OffsetDateTime::parse(text.trim(), FORMAT).ok()?;
    Some(UnixSeconds(at.unix_timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn changes_are_what_differs() {
        let changes = Changes::between(&list("\\Seen a b"), &list("\\seen b c"));
        assert_eq!(changes, Changes { added: list("c"), removed: list("a") });
        assert!(Changes::between(&list("\\Seen"), &list("\\SEEN")).is_empty());
        assert_eq!(to_carry(&list("\\Recent $sealing x"), "$Sealing"), list("x"));
    }

    #[test]
    fn dates_are_instants() {
        let table = [
            ("23-Nov-2026 09:00:00 +0000", Some(1_795_424_400)),
            (" 1-Jan-1970 01:00:00 +0100", Some(0)),
            ("01-Jan-1970 00:00:00 -0030", Some(1800)),
            ("1-Foo-1970 00:00:00 +0000", None),
            ("", None),
        ];
        for (text, seconds) in table {
            assert_eq!(parse_date(text), seconds.map(UnixSeconds), "{text}");
        }
    }
}
