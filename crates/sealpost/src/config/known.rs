//! What a config may say, for whoever mistyped it. In: a word. Out: the known one that it nearly is.

/// Keys and words that a config may hold, for suggestions.
const KNOWN: [&str; 78] = [
    "index",
    "all",
    "opened",
    "keep",
    "failed",
    "bridge",
    "mx",
    "dnssec",
    "flow",
    "source",
    "seal",
    "sink",
    "backup",
    "maildir",
    "mailboxes",
    "grace",
    "since",
    "max-size",
    "to",
    "policy",
    "scheme",
    "compress",
    "in-place",
    "folder",
    "account",
    "address",
    "imap",
    "user",
    "password",
    "command",
    "file",
    "env",
    "token-command",
    "ca-file",
    "pin",
    "tls",
    "required",
    "off",
    "auto",
    "never",
    "baseline",
    "lmtp",
    "smtp",
    "milter",
    "hello",
    "trusted",
    "tls-certificate",
    "tls-key",
    "authserv-id",
    "certificates",
    "on-failure",
    "exceptions",
    "hold",
    "certificate",
    "defer",
    "reject",
    "pass",
    "metrics",
    "listen",
    "starttls",
    "open",
    "shy",
    "hidden",
    "for",
    "per-ip",
    "per-sender",
    "auth",
    "queue",
    "spool",
    "retry",
    "expire",
    "checks",
    "resolver",
    "from",
    "dkim-selector",
    "dkim-key",
    "report",
    "tag",
];

/// The known key that differs least.
pub(super) fn nearest(word: &str) -> Option<&'static str> {
    nearest_of(word, KNOWN.into_iter())
}

/// The word that differs least, if it does so by two letters at most; their case counts nothing.
pub fn nearest_of<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let word = word.to_lowercase();
    let distance = |known: &str| {
        let known = known.to_lowercase();
        let mut row: Vec<usize> = (0..=known.chars().count()).collect();
        for (i, a) in word.chars().enumerate() {
            let mut diagonal = i;
            if let Some(first) = row.first_mut() {
                *first = i + 1;
            }
            for (j, b) in known.chars().enumerate() {
                let above = row.get(j + 1).copied().unwrap_or_default();
                let left = row.get(j).copied().unwrap_or_default();
                let best = (diagonal + usize::from(a != b)).min(above + 1).min(left + 1);
                diagonal = above;
                if let Some(cell) = row.get_mut(j + 1) {
                    *cell = best;
                }
            }
        }
        row.last().copied().unwrap_or_default()
    };
    known.map(|known| (distance(known), known)).min().filter(|(distance, _)| *distance <= 2).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_nearly_right_get_a_suggestion() {
        assert_eq!(nearest("mailboxs"), Some("mailboxes"));
        assert_eq!(nearest("sorce"), Some("source"));
        assert_eq!(nearest("pasword"), Some("password"));
        assert_eq!(nearest("banana"), None);
    }
}
