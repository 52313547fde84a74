//! Flags of a Maildir and of IMAP (maildir(5), RFC 3501 §2.3.2). In: letters of a file name and keywords that are kept beside it. Out: flags as a mail program
//! sees them, and back. State of sealed mail is shown by keywords that are made up here and never kept (A17).

use store::Flags;
use wire::imap::server::{Flag, StoreKind};

use super::view::View;

/// Letters and what they mean.
const LETTERS: [(u8, Flag); 5] =
    [(b'R', Flag::Answered), (b'F', Flag::Flagged), (b'T', Flag::Deleted), (b'S', Flag::Seen), (b'D', Flag::Draft)];
/// The keyword that maildir(5) has a letter for: passed on to somebody.
const FORWARDED: (u8, &str) = (b'P', "$Forwarded");
/// Keywords that tell the state of sealed mail.
const STATES: [&str; 3] = ["$SealedOK", "$SealedForeign", "$SealedBroken"];
/// Keywords of one message; more are not kept.
pub(crate) const MAX_KEYWORDS: usize = 64;

/// What mail programs are told they may set.
pub(crate) const PERMANENT: &str = "\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded \\*";

/// The flags as IMAP writes them, between parentheses.
pub(crate) fn text(letters: &Flags, keywords: &[String], view: Option<View>, recent: Recent) -> String {
    let mut words: Vec<&str> = Vec::new();
    words.extend(LETTERS.iter().filter(|(letter, _)| letters.contains(*letter)).map(|(_, flag)| flag.text()));
    if recent == Recent::Yes {
        words.push(Flag::Recent.text());
    }
    if letters.contains(FORWARDED.0) {
        words.push(FORWARDED.1);
    }
    words.extend(keywords.iter().map(String::as_str));
    words.extend(state(view));
    words.join(" ")
}

/// Whether nobody has seen the message in an earlier session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recent {
    /// Nobody has.
    Yes,
    /// Somebody may have.
    No,
}

fn state(view: Option<View>) -> Option<&'static str> {
    match view? {
        View::AsItLies => None,
        View::Original => Some("$SealedOK"),
        View::Foreign => Some("$SealedForeign"),
        View::Broken => Some("$SealedBroken"),
    }
}

/// Whether a message has a flag.
pub(crate) fn has(flag: &Flag, letters: &Flags, keywords: &[String], view: Option<View>, recent: Recent) -> bool {
    match flag {
        Flag::Recent => recent == Recent::Yes,
        Flag::Keyword(word) if word.eq_ignore_ascii_case(FORWARDED.1) => letters.contains(FORWARDED.0),
        Flag::Keyword(word) => {
            keywords.iter().any(|other| other.eq_ignore_ascii_case(word))
                || state(view).is_some_and(|state| state.eq_ignore_ascii_case(word))
        }
        system => letters.contains(letter(system).unwrap_or_default()),
    }
}

fn letter(flag: &Flag) -> Option<u8> {
    match flag {
        Flag::Keyword(word) if word.eq_ignore_ascii_case(FORWARDED.1) => Some(FORWARDED.0),
        _ => LETTERS.iter().find(|(_, other)| other == flag).map(|(letter, _)| *letter),
    }
}

/// The letters of flags.
pub(crate) fn letters(flags: &[Flag]) -> Flags {
    Flags::from_letters(&flags.iter().filter_map(letter).collect::<Vec<u8>>())
}

/// The keywords among flags that are kept.
pub(crate) fn keywords(flags: &[Flag]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for flag in flags {
        if let Flag::Keyword(word) = flag
            && letter(flag).is_none()
            && !STATES.iter().any(|state| state.eq_ignore_ascii_case(word))
            && !words.iter().any(|other| other.eq_ignore_ascii_case(word))
            && words.len() < MAX_KEYWORDS
        {
            words.push(word.clone());
        }
    }
    words
}

/// What letters become by STORE. Letters that IMAP does not know stay.
pub(crate) fn store_letters(now: &Flags, kind: StoreKind, flags: &[Flag]) -> Flags {
    let stored = letters(flags);
    match kind {
        StoreKind::Add => stored.letters().iter().fold(now.clone(), |now, letter| now.with(*letter)),
        StoreKind::Remove => stored.letters().iter().fold(now.clone(), |now, letter| now.without(*letter)),
        StoreKind::Replace => {
            let known = |letter: &u8| *letter == FORWARDED.0 || LETTERS.iter().any(|(other, _)| other == letter);
            let kept = now.letters().iter().copied().filter(|letter| !known(letter));
            Flags::from_letters(&kept.chain(stored.letters().iter().copied()).collect::<Vec<u8>>())
        }
    }
}

/// What keywords become by STORE.
pub(crate) fn store_keywords(now: &[String], kind: StoreKind, flags: &[Flag]) -> Vec<String> {
    let stored = keywords(flags);
    let among = |words: &[String], word: &String| words.iter().any(|other| other.eq_ignore_ascii_case(word));
    match kind {
        StoreKind::Replace => stored,
        StoreKind::Remove => now.iter().filter(|word| !among(&stored, word)).cloned().collect(),
        StoreKind::Add => {
            let new = stored.iter().filter(|word| !among(now, word));
            now.iter().chain(new).take(MAX_KEYWORDS).cloned().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<Flag> {
        words.iter().map(|word| Flag::Keyword((*word).to_owned())).collect()
    }

    #[test]
    fn flags_go_both_ways_and_states_are_never_kept() {
        let mut flags = vec![Flag::Seen, Flag::Answered, Flag::Recent];
        flags.extend(words(&["$Forwarded", "x", "X", "$SealedOK"]));
        assert_eq!(letters(&flags).letters(), b"PRS");
        assert_eq!(keywords(&flags), ["x"]);
        let text = text(&letters(&flags), &keywords(&flags), Some(View::Original), Recent::Yes);
        assert_eq!(text, "\\Answered \\Seen \\Recent $Forwarded x $SealedOK");
    }

    #[test]
    fn store_adds_removes_replaces_and_keeps_what_it_does_not_know() {
        let now = Flags::from_letters(b"FSa");
        let with =
            |kind, flags: &[Flag]| String::from_utf8_lossy(store_letters(&now, kind, flags).letters()).into_owned();
        assert_eq!(with(StoreKind::Add, &[Flag::Deleted]), "FSTa");
        assert_eq!(with(StoreKind::Remove, &[Flag::Seen, Flag::Draft]), "Fa");
        assert_eq!(with(StoreKind::Replace, &[Flag::Draft]), "Da");
        let now = vec!["x".to_owned(), "y".to_owned()];
        assert_eq!(store_keywords(&now, StoreKind::Add, &words(&["Y", "z"])), ["x", "y", "z"]);
        assert_eq!(store_keywords(&now, StoreKind::Remove, &words(&["X"])), ["y"]);
        assert_eq!(store_keywords(&now, StoreKind::Replace, &words(&["z"])), ["z"]);
    }
}
