//! What is known of mailboxes that are not open. In: how they stood and stand (STATUS), how they are listed. Out: whether a message that was seen in one is still there.

use std::collections::HashSet;

use wire::imap::Listed;

/// Whether no message has gone from a mailbox: so many came at most as UIDs were given, and so many more there are (RFC 3501 §2.3.1.1).
pub(crate) fn none_has_gone(then: &[u8], now: &[u8]) -> bool {
    let numbers = |octets: &[u8]| -> Option<[u32; 3]> {
        let number = |at: usize| Some(u32::from_be_bytes(octets.get(at..at.checked_add(4)?)?.try_into().ok()?));
        Some([number(0)?, number(4)?, number(8)?])
    };
    let (Some([validity, next, count]), Some(now)) = (numbers(then), numbers(now)) else { return false };
    let came = now[1].checked_sub(next);
    validity == now[0] && came.is_some() && came == now[2].checked_sub(count)
}

/// Mailboxes that show what lies in others.
pub(crate) fn views_of(listed: &[Listed]) -> HashSet<String> {
    let is_view = |listed: &&Listed| {
        let is = |word: &str| listed.attributes.iter().any(|attribute| attribute.eq_ignore_ascii_case(word));
        is("\\All") || is("\\Flagged") || is("\\Important")
    };
    listed.iter().filter(is_view).map(|listed| listed.name.wire().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_whole_if_as_many_came_as_there_are_more() {
        let stand = |numbers: [u32; 3]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>();
        for (now, expected) in [
            ([7, 10, 4], true),
            ([7, 12, 6], true),
            // One went; one came, one went; UIDs were given to what is gone already.
            ([7, 10, 3], false),
            ([7, 11, 4], false),
            ([7, 12, 5], false),
            ([8, 10, 4], false),
            ([7, 9, 3], false),
        ] {
            assert_eq!(none_has_gone(&stand([7, 10, 4]), &stand(now)), expected, "{now:?}");
        }
        assert!(!none_has_gone(&[], &stand([7, 10, 4])));
    }
}
