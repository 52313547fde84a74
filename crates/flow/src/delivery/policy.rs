//! What happens to mail that cannot be sealed: by recipient, by domain, or for all.
//!
//! In: words of the configuration. Out: one of four answers. Whatever is not said is `defer`; nothing but the word `pass` lets a
//! message go on in clear.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::delivery::trouble::Trouble;

/// What happens to a message that cannot be sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It stays with the server that has it, which tries again: 4xx.
    #[default]
    Defer,
    /// It is sealed to the holding certificate and kept until somebody releases it (A16).
    Hold,
    /// Its sender gets it back: 5xx.
    Reject,
    /// It goes on in clear.
    Pass,
}

/// Not one of the four words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("on-failure is \"defer\", \"hold\", \"reject\" or \"pass\"")]
pub struct UnknownAnswer;

impl FromStr for OnFailure {
    type Err = UnknownAnswer;

    fn from_str(word: &str) -> Result<OnFailure, UnknownAnswer> {
        match word {
            "defer" => Ok(OnFailure::Defer),
            "hold" => Ok(OnFailure::Hold),
            "reject" => Ok(OnFailure::Reject),
            "pass" => Ok(OnFailure::Pass),
            _ => Err(UnknownAnswer),
        }
    }
}

/// The answers of a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    general: OnFailure,
    /// By address, and by domain with its `@`; in lower case.
    exceptions: BTreeMap<String, OnFailure>,
}

impl Policy {
    /// `exceptions`: answers for an address (`bob@example.org`) or a domain (`@example.org`).
    pub fn new(general: OnFailure, exceptions: impl IntoIterator<Item = (String, OnFailure)>) -> Policy {
        let exceptions = exceptions.into_iter().map(|(whom, answer)| (whom.to_lowercase(), answer));
        Policy { general, exceptions: exceptions.collect() }
    }

    /// Is this answer among them?
    pub fn has(&self, answer: OnFailure) -> bool {
        self.general == answer || self.exceptions.values().any(|one| *one == answer)
    }

    /// The answer to a trouble with one recipient's copy.
    ///
    /// What passes by itself is never rejected and never passed on in clear: the message is as safe a minute later, and a
    /// database that is restarted must not send anybody's mail back, or open.
    ///
    /// `names`: all under which something may be said of the recipient, the nearest first
    /// ([`Directory::names`](crate::directory::Directory::names)): a sender must not choose the answer by how he writes an address.
    pub fn answer(&self, names: &[String], trouble: Trouble) -> OnFailure {
        let named = names.iter().find_map(|name| self.exceptions.get(name));
        match *named.unwrap_or(&self.general) {
            OnFailure::Reject | OnFailure::Pass if trouble.passes() => OnFailure::Defer,
            answer => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Address;

    #[test]
    fn the_nearest_answer_counts_and_passing_trouble_is_deferred() {
        let exceptions = [("Bob@Example.org", OnFailure::Hold), ("@example.org", OnFailure::Reject)];
        let exceptions = exceptions.map(|(whom, answer)| (whom.to_owned(), answer));
        let policy = Policy::new(OnFailure::Pass, exceptions);
        for (address, trouble, answer) in [
            ("bob@example.org", Trouble::NoKey, OnFailure::Hold),
            ("bob@example.org", Trouble::DirectoryDown, OnFailure::Hold),
            ("bob+shop@example.org", Trouble::NoKey, OnFailure::Hold),
            ("\"bob\"@example.org", Trouble::NoKey, OnFailure::Hold),
            ("bob@example.org.", Trouble::NoKey, OnFailure::Hold),
            ("ann@EXAMPLE.ORG", Trouble::Expired, OnFailure::Reject),
            ("ann@example.org", Trouble::DirectoryDown, OnFailure::Defer),
            ("ann@example.com", Trouble::Engine, OnFailure::Pass),
            ("ann@example.com", Trouble::DirectoryDown, OnFailure::Defer),
            ("postmaster", Trouble::NoKey, OnFailure::Pass),
            ("", Trouble::NoKey, OnFailure::Pass),
        ] {
            let names = Address::parse(address).map(|address| address.names()).unwrap_or_default();
            assert_eq!(policy.answer(&names, trouble), answer, "{address} {trouble:?}");
        }
        assert_eq!(Policy::default().answer(&["a@b".to_owned()], Trouble::NoKey), OnFailure::Defer);
        assert!(policy.has(OnFailure::Hold) && !policy.has(OnFailure::Defer));
        assert!(Policy::default().has(OnFailure::Defer) && !Policy::default().has(OnFailure::Pass));
    }
}
