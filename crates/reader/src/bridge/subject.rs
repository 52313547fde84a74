//! The base subject (RFC 5256 §2.1), and the form in which SORT and THREAD compare texts (i;unicode-casemap, RFC 5051). In: decoded text. Out: what is left of a
//! subject without the marks of replies and forwards, and whether there were any. Never an error: any text has a base.

use unicode_normalization::UnicodeNormalization;

/// The form in which texts are compared: title case, character by character, taken apart.
pub(crate) fn casemap(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    text.chars().map(title).nfkd().collect()
}

/// Where title case is one character.
fn title(letter: char) -> char {
    match letter {
        '\u{1c4}'..='\u{1c6}' => '\u{1c5}',
        '\u{1c7}'..='\u{1c9}' => '\u{1c8}',
        '\u{1ca}'..='\u{1cc}' => '\u{1cb}',
        '\u{1f1}'..='\u{1f3}' => '\u{1f2}',
        // Georgian has capitals and no title case.
        '\u{10d0}'..='\u{10ff}' => letter,
        _ => {
            let mut upper = letter.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(only), None) => only,
                _ => letter,
            }
        }
    }
}

/// Whether a subject had the mark of a reply or a forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Answers {
    #[default]
    Nothing,
    Something,
}

/// The base of a decoded subject, in the form in which it is compared.
pub(crate) fn base(subject: &str) -> (String, Answers) {
    let words: Vec<&str> = subject.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()).collect();
    let joined = words.join(" ");
    let mut text = joined.as_str();
    let mut answers = Answers::Nothing;
    loop {
        text = text.trim_end_matches(' ');
        while let Some(rest) = without_end(text, "(fwd)") {
            answers = Answers::Something;
            text = rest.trim_end_matches(' ');
        }
        loop {
            text = text.trim_start_matches(' ');
            if let Some(rest) = without_mark(text) {
                answers = Answers::Something;
                text = rest;
                continue;
            }
            // No mark behind all of them is none behind any: they are looked through once.
            while let Some(rest) = without_blob(text).filter(|rest| !rest.is_empty()) {
                text = rest;
            }
            break;
        }
        match without_start(text, "[fwd:").and_then(|rest| without_end(rest, "]")) {
            Some(rest) => {
                answers = Answers::Something;
                text = rest;
            }
            None => return (casemap(text), answers),
        }
    }
}

/// `*subj-blob subj-refwd`
fn without_mark(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(further) = without_blob(rest) {
        rest = further;
    }
    let rest = ["re", "fwd", "fw"].iter().find_map(|mark| without_start(rest, mark))?.trim_start_matches(' ');
    let rest = without_blob(rest).unwrap_or(rest);
    rest.strip_prefix(':')
}

/// `"[" *BLOBCHAR "]" *WSP`
fn without_blob(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('[')?;
    let end = inside.find(['[', ']'])?;
    let rest = inside.get(end..)?.strip_prefix(']')?;
    Some(rest.trim_start_matches(' '))
}

fn without_start<'t>(text: &'t str, start: &str) -> Option<&'t str> {
    let (before, after) = text.split_at_checked(start.len())?;
    before.eq_ignore_ascii_case(start).then_some(after)
}

fn without_end<'t>(text: &'t str, end: &str) -> Option<&'t str> {
    let (before, after) = text.split_at_checked(text.len().checked_sub(end.len())?)?;
    after.eq_ignore_ascii_case(end).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_of_subjects() {
        for (subject, expected, answers) in [
            ("", "", Answers::Nothing),
            ("Hello  there", "HELLO THERE", Answers::Nothing),
            ("Re: Hello", "HELLO", Answers::Something),
            ("RE : [x] Hello", "HELLO", Answers::Something),
            ("re[2]: Hello", "HELLO", Answers::Something),
            ("Fwd: FW: Re: Hello", "HELLO", Answers::Something),
            ("[list] Re: [list] Hello", "HELLO", Answers::Something),
            ("[list] Hello", "HELLO", Answers::Nothing),
            ("[a][b] [c]", "[C]", Answers::Nothing),
            ("Hello (fwd) (FWD)  ", "HELLO", Answers::Something),
            ("[Fwd: Re: Hello]", "HELLO", Answers::Something),
            ("[fwd: [fwd: Hello (fwd)]]", "HELLO", Answers::Something),
            ("Regarding: Hello", "REGARDING: HELLO", Answers::Nothing),
            ("Re", "RE", Answers::Nothing),
            ("Re:", "", Answers::Something),
            ("[unclosed Re: x", "[UNCLOSED RE: X", Answers::Nothing),
            ("Grüße", "GRU\u{308}ßE", Answers::Nothing),
            ("\u{1c4}", "D\u{7a}\u{30c}", Answers::Nothing),
        ] {
            assert_eq!(base(subject), (expected.to_owned(), answers), "{subject}");
        }
        let long = format!("{}x", "[a]".repeat(50_000));
        assert_eq!(base(&long).0, "X");
    }
}
