//! SEARCH (RFC 9051 §6.4.4, X-GM-EXT-1). In: the criteria and one message. Out: whether it is meant.

use super::command::Word;
use super::message::{Stored, day_of};
use super::set::Set;

/// A message where the search sees it.
pub(crate) struct Candidate<'a> {
    pub(crate) sequence: u32,
    pub(crate) uid: u32,
    pub(crate) last_sequence: u32,
    pub(crate) last_uid: u32,
    pub(crate) message: &'a Stored,
    pub(crate) labels: &'a [String],
}

/// All criteria at once; `None` for one that is not known here.
pub(crate) fn all(words: &[Word], candidate: &Candidate) -> Option<bool> {
    let mut rest = words.iter();
    let mut meant = true;
    while rest.len() > 0 {
        // Every criterion is read, so that an unknown one is an error whatever the others say.
        meant &= one(&mut rest, candidate)?;
    }
    Some(meant)
}

fn one(words: &mut std::slice::Iter<Word>, candidate: &Candidate) -> Option<bool> {
    let word = words.next()?;
    if let Some(list) = word.list() {
        return all(list, candidate);
    }
    let key = word.text()?.to_ascii_uppercase();
    let message = candidate.message;
    let mut text = || words.next().and_then(Word::text);
    let contains = |haystack: &str, needle: &str| haystack.to_ascii_lowercase().contains(&needle.to_ascii_lowercase());
    let field = |name: &str, needle: &str| message.field(name).is_some_and(|value| contains(&value, needle));
    Some(match key.as_str() {
        "ALL" => true,
        "ANSWERED" | "DELETED" | "DRAFT" | "FLAGGED" | "SEEN" => message.has(&format!("\\{key}")),
        "UNANSWERED" | "UNDELETED" | "UNDRAFT" | "UNFLAGGED" | "UNSEEN" => !message.has(&format!("\\{}", &key[2..])),
        "KEYWORD" => message.has(&text()?),
        "UNKEYWORD" => !message.has(&text()?),
        "RECENT" | "NEW" => false,
        "OLD" => true,
        "NOT" => !one(words, candidate)?,
        "OR" => one(words, candidate)? | one(words, candidate)?,
        "UID" => Set::read(&text()?, candidate.last_uid)?.has(candidate.uid),
        "LARGER" => message.octets.len() as u64 > text()?.parse().ok()?,
        "SMALLER" => (message.octets.len() as u64) < text()?.parse().ok()?,
        "BEFORE" => day_of(&message.date)? < day_of(&text()?)?,
        "ON" => day_of(&message.date)? == day_of(&text()?)?,
        "SINCE" => day_of(&message.date)? >= day_of(&text()?)?,
        "HEADER" => field(&text()?, &text()?),
        "SUBJECT" | "FROM" | "TO" | "CC" | "BCC" => field(&key, &text()?),
        "TEXT" => contains(&String::from_utf8_lossy(&message.octets), &text()?),
        "BODY" => contains(&String::from_utf8_lossy(message.text()), &text()?),
        "MODSEQ" => message.modseq >= text()?.parse().ok()?,
        "X-GM-MSGID" | "X-GM-THRID" => message.number == text()?.parse().ok()?,
        "X-GM-LABELS" => {
            let label = text()?;
            candidate.labels.iter().any(|own| own.eq_ignore_ascii_case(&label))
        }
        "X-GM-RAW" => {
            let id = text()?.strip_prefix("rfc822msgid:")?.trim_matches(['<', '>']).to_owned();
            message.field("Message-ID").is_some_and(|own| own.trim_matches(['<', '>']) == id)
        }
        _ => Set::read(&key, candidate.last_sequence)?.has(candidate.sequence),
    })
}
