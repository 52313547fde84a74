//! Capabilities taken away. In: lines of a server that has them. Out: those of a server without; and which commands such a server does not know.

/// The capabilities that a server is made to lack.
#[derive(Clone, Default)]
pub(crate) struct Strip(Vec<String>);

impl Strip {
    pub(crate) fn of(words: impl IntoIterator<Item = &'static str>) -> Strip {
        Strip(words.into_iter().map(str::to_ascii_uppercase).collect())
    }

    fn lacks(&self, capability: &str) -> bool {
        // APPENDLIMIT stands for APPENDLIMIT=n too.
        let capability = capability.to_ascii_uppercase();
        self.0.iter().any(|own| *own == capability || capability.starts_with(&format!("{own}=")))
    }

    /// Whether such a server answers BAD.
    pub(crate) fn refuses(&self, verb: &str, line: &[u8]) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let line = String::from_utf8_lossy(line).to_ascii_uppercase();
        let last = verb.strip_prefix("UID ").unwrap_or(verb);
        let modifiers = ["(CONDSTORE", "CHANGEDSINCE", "MODSEQ", "QRESYNC"];
        let needed = match verb {
            "UID EXPUNGE" => "UIDPLUS",
            _ if last == "MOVE" || last == "REPLACE" => last,
            "IDLE" | "ID" | "ENABLE" | "NAMESPACE" | "UNSELECT" | "STARTTLS" => verb,
            "AUTHENTICATE" => {
                return line.split_whitespace().nth(2).is_some_and(|word| self.lacks(&format!("AUTH={word}")));
            }
            "SELECT" | "EXAMINE" | "UID FETCH" | "FETCH" | "UID STORE" | "STORE" | "UID SEARCH" | "SEARCH"
                if modifiers.iter().any(|word| line.contains(word)) =>
            {
                if line.contains("QRESYNC") {
                    "QRESYNC"
                } else {
                    "CONDSTORE"
                }
            }
            _ => "",
        };
        self.lacks(needed) || (line.trim_end().ends_with("+}") && (self.lacks("LITERAL+") || self.lacks("LITERAL-")))
    }

    /// A line of the server, without what it would not say.
    pub(crate) fn line(&self, line: &[u8]) -> Vec<u8> {
        if self.0.is_empty() {
            return line.to_vec();
        }
        let mut text: String = line.iter().map(|&octet| char::from(octet)).collect();
        if let Some(start) =
            text.find("CAPABILITY ").filter(|&at| text.starts_with("* CAPABILITY ") || text[..at].ends_with('['))
        {
            let end = start + text[start..].find([']', '\r', '\n']).unwrap_or(text.len() - start);
            let kept: Vec<&str> = text[start..end].split(' ').filter(|word| !self.lacks(word)).collect();
            text = [&text[..start], &kept.join(" "), &text[end..]].concat();
        }
        if self.lacks("UIDPLUS") {
            text = without_code(&without_code(&text, "[APPENDUID "), "[COPYUID ");
        }
        if self.lacks("CONDSTORE")
            && let Some((start, end)) = code(&text, "[HIGHESTMODSEQ ")
        {
            text = [&text[..start], "[NOMODSEQ]", &text[end..]].concat();
        }
        if self.lacks("SPECIAL-USE") && text.starts_with("* LIST (") {
            for word in ["\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash"] {
                let end = text.find(')').unwrap_or(text.len());
                text = text[..end].replace(&format!(" {word}"), "").replace(word, "") + &text[end..];
            }
        }
        text.chars().filter_map(|letter| u8::try_from(letter).ok()).collect()
    }
}

/// Where a response code stands.
fn code(text: &str, name: &str) -> Option<(usize, usize)> {
    let start = text.find(name)?;
    Some((start, start + text[start..].find(']')? + 1))
}

fn without_code(text: &str, name: &str) -> String {
    match code(text, name) {
        Some((start, end)) => [&text[..start], text[end..].trim_start_matches(' ')].concat(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_what_is_stripped() {
        let check = |words: &[&'static str], line: &str, expected: &str| {
            let stripped = Strip::of(words.iter().copied()).line(line.as_bytes());
            assert_eq!(String::from_utf8_lossy(&stripped), expected);
        };
        check(&["UIDPLUS"], "* CAPABILITY IMAP4rev1 UIDPLUS\r\n", "* CAPABILITY IMAP4rev1\r\n");
        check(&["MOVE"], "* OK [CAPABILITY IMAP4rev1 MOVE IDLE] hi\r\n", "* OK [CAPABILITY IMAP4rev1 IDLE] hi\r\n");
        check(&["IDLE"], "a OK [CAPABILITY IMAP4rev1 IDLE] hi\r\n", "a OK [CAPABILITY IMAP4rev1] hi\r\n");
        check(&["APPENDLIMIT"], "* CAPABILITY APPENDLIMIT=9 X\r\n", "* CAPABILITY X\r\n");
        check(&["UIDPLUS"], "a OK [APPENDUID 1 2] done\r\n", "a OK done\r\n");
        check(&["UIDPLUS"], "* OK [COPYUID 1 2 3] moved\r\n", "* OK moved\r\n");
        check(&["CONDSTORE"], "* OK [HIGHESTMODSEQ 7] x\r\n", "* OK [NOMODSEQ] x\r\n");
        check(&["SPECIAL-USE"], "* LIST (\\A \\Sent) \"/\" \\Sent\r\n", "* LIST (\\A) \"/\" \\Sent\r\n");
        check(&["MOVE"], "* 1 FETCH (FLAGS (\\Seen))\r\n", "* 1 FETCH (FLAGS (\\Seen))\r\n");
    }

    #[test]
    fn commands_of_what_is_stripped_are_refused() {
        let check = |words: &[&'static str], verb: &str, line: &str, expected: bool| {
            assert_eq!(Strip::of(words.iter().copied()).refuses(verb, line.as_bytes()), expected, "{words:?} {line}");
        };
        check(&["UIDPLUS"], "UID EXPUNGE", "a UID EXPUNGE 1\r\n", true);
        check(&["UIDPLUS"], "EXPUNGE", "a EXPUNGE\r\n", false);
        check(&["MOVE"], "UID MOVE", "a UID MOVE 1 x\r\n", true);
        check(&["UIDPLUS"], "UID MOVE", "a UID MOVE 1 x\r\n", false);
        check(&["CONDSTORE"], "UID STORE", "a UID STORE 1 (UNCHANGEDSINCE 3) FLAGS ()\r\n", true);
        check(&["CONDSTORE"], "UID STORE", "a UID STORE 1 FLAGS ()\r\n", false);
        check(&["LITERAL+"], "APPEND", "a APPEND x {3+}\r\n", true);
        check(&["LITERAL+"], "APPEND", "a APPEND x {3}\r\n", false);
        check(&["AUTH=PLAIN"], "AUTHENTICATE", "a AUTHENTICATE PLAIN x\r\n", true);
    }
}
