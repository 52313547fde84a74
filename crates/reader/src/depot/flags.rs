//! Flags of a Maildir and of IMAP (maildir(5), RFC 3501 §2.3.2). In: letters of a file name and keywords that are kept beside it. Out: flags as a mail program
//! sees them, and back. State of sealed mail is shown by keywords that are made up here and never kept (A17).

use store::Flags;
use wire::imap::server::{Flag, StoreKind};

use super::selected::{Item, Recent, Standing};
use super::view::View;

/// Letters and what they mean.
const LETTERS: [(u8, Flag); 5] =
    [(b'R', Flag::Answered), (b'F', Flag::Flagged), (b'T', Flag::Deleted), (b'S', Flag::Seen), (b'D', Flag::Draft)];
/// The keyword that maildir(5) has a letter for: passed on to somebody.
const FORWARDED: (u8, &str) = (b'P', "$Forwarded");
/// Keywords that tell the state of sealed mail.
const STATES: [&str; 4] = ["$SealedOK", "$SealedForeign", "$SealedBroken", COPY];
const COPY: &str = "$SealedCopy";
/// Keywords of one message; more are not kept.
pub(crate) const MAX_KEYWORDS: usize = 64;

/// What mail programs are told they may set.
pub(crate) const PERMANENT: &str = "\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded \\*";

/// The flags as IMAP writes them, between parentheses.
pub(crate) fn text(item: &Item) -> String {
    let (system, keywords): (Vec<&str>, Vec<&str>) =
        item.flags.iter().map(String::as_str).partition(|flag| flag.starts_with('\\'));
    let recent = (item.recent == Recent::Yes).then(|| Flag::Recent.text());
    let words = system.into_iter().chain(recent).chain(keywords).chain(states(item));
    words.collect::<Vec<&str>>().join(" ")
}

/// The flags that letters and keywords mean.
pub(crate) fn of_file(letters: &Flags, keywords: &[String]) -> Vec<String> {
    let known = LETTERS.iter().map(|(letter, flag)| (*letter, flag.text())).chain([FORWARDED]);
    let words = known.filter(|(letter, _)| letters.contains(*letter)).map(|(_, text)| text.to_owned());
    words.chain(keywords.iter().cloned()).collect()
}

/// What is shown of the state of sealed mail.
fn states(item: &Item) -> impl Iterator<Item = &str> {
    let is_copy = item.standing == Standing::Copy && item.view.is_some_and(View::is_original);
    item.view.and_then(state).into_iter().chain(is_copy.then_some(COPY))
}

fn state(view: View) -> Option<&'static str> {
    match view {
        View::AsItLies => None,
        View::Original => Some("$SealedOK"),
        View::Foreign => Some("$SealedForeign"),
        View::Broken => Some("$SealedBroken"),
    }
}

/// Flags as a server tells them: without `\Recent`, and without keywords that only this bridge may show.
pub(crate) fn of_server(mut flags: Vec<String>) -> Vec<String> {
    flags.retain(|flag| {
        let is = |other: &str| other.eq_ignore_ascii_case(flag);
        !is(Flag::Recent.text()) && !STATES.iter().any(|state| is(state))
    });
    flags
}

/// Whether a keyword tells the state of sealed mail.
pub(crate) fn is_state(flag: &Flag) -> bool {
    STATES.iter().any(|state| state.eq_ignore_ascii_case(flag.text()))
}

/// Whether a message has a flag.
pub(crate) fn has(flag: &Flag, item: &Item) -> bool {
    match flag {
        Flag::Recent => item.recent == Recent::Yes,
        flag => item.has(flag.text()) || states(item).any(|state| state.eq_ignore_ascii_case(flag.text())),
    }
}

/// Flags as they are stored: without those that are made up here, and without `\Recent`, which is for the server to set.
pub(crate) fn stored(flags: &[Flag]) -> Vec<String> {
    let kept = flags
        .iter()
        .map(Flag::text)
        .filter(|text| *text != Flag::Recent.text() && !STATES.iter().any(|state| state.eq_ignore_ascii_case(text)));
    kept.map(str::to_owned).collect()
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

/// The letters of flags as they are written.
pub(crate) fn letters_of(words: &[String]) -> Flags {
    let known = LETTERS.iter().map(|(letter, flag)| (*letter, flag.text())).chain([FORWARDED]);
    let has = |text: &str| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    Flags::from_letters(&known.filter(|(_, text)| has(text)).map(|(letter, _)| letter).collect::<Vec<u8>>())
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
        flags.extend(words(&["$Forwarded", "x", "X", "$SealedOK", "$sealedcopy"]));
        assert_eq!(letters(&flags).letters(), b"PRS");
        assert_eq!(keywords(&flags), ["x"]);
        let words = of_file(&letters(&flags), &keywords(&flags));
        let view = Some(View::Original);
        let item = Item {
            uid: 1,
            flags: words,
            view,
            recent: Recent::Yes,
            standing: Standing::Only,
            size: None,
            modseq: None,
        };
        assert_eq!(text(&item), "\\Answered \\Seen \\Recent $Forwarded x $SealedOK");
        assert!(has(&Flag::Keyword("$sealedok".to_owned()), &item) && has(&Flag::Seen, &item));
        assert!(!has(&Flag::Keyword("$sealedcopy".to_owned()), &item));
        let item = Item { standing: Standing::Copy, ..item };
        assert!(has(&Flag::Keyword("$sealedcopy".to_owned()), &item) && text(&item).ends_with("$SealedOK $SealedCopy"));
        assert_eq!(stored(&flags), ["\\Seen", "\\Answered", "$Forwarded", "x", "X"]);
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
