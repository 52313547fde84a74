//! What was found out about a message, and what follows from it.
//!
//! In: the results of the checks, how strictly they are applied. Out: take it, mark it, or what its sender's server is told. Nobody else is
//! told anything: there is no mail back to an address that may be forged.

use std::str::FromStr;

use wire::smtp::Reply;

use crate::forward::refusal::Refusal;
pub use crate::forward::results::Said;
use crate::forward::results::{self, Entry};

/// How strictly a verdict is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// It is told, and nothing else.
    Report,
    /// What its domain would have refused or put aside is marked.
    Tag,
    /// What its domain would have refused is refused; what it would have put aside is marked.
    #[default]
    Reject,
}

impl FromStr for Strictness {
    type Err = UnknownStrictness;

    fn from_str(word: &str) -> Result<Self, UnknownStrictness> {
        match word {
            "report" => Ok(Self::Report),
            "tag" => Ok(Self::Tag),
            "reject" => Ok(Self::Reject),
            _ => Err(UnknownStrictness),
        }
    }
}

/// None of the words there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of: report, tag, reject")]
pub struct UnknownStrictness;

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes on.
    Take,
    /// It goes on, marked: `rewrite::Author::Unverified` outside; where there are keywords, `$Junk`.
    Mark,
    /// Its sender's server is told no, or not now. Nobody else is told anything.
    Refuse(Reply, Refusal),
}

/// Whether there is one author, as RFC 5322 §3.6 wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authors {
    /// There is: one field, addresses of one domain, and all who read it read the same.
    One,
    /// There is not: mail programs may show whom they like.
    Unclear,
}

/// What the author's domain wants done with mail that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    Nothing,
    /// It is put aside.
    Quarantine,
    /// It is refused.
    Reject,
    /// The DNS did not say.
    Unknown,
}

/// What was found out.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Whether there is one author.
    pub authors: Authors,
    /// Is the client one of the envelope sender's?
    pub spf: Said,
    /// The best of the signatures.
    pub dkim: Said,
    /// Does one of the two speak for the author's domain?
    pub dmarc: Said,
    /// What that domain wants, if not.
    pub wish: Wish,
    /// The chain of those who handed it on. Told only: whom to trust is nobody's to say here.
    pub arc: Said,
    /// How many fields claim to be ours.
    pub forged: usize,
    pub(super) results: String,
}

impl Verdict {
    /// The value of `Authentication-Results`, on one line: what belongs into [`seal::Place`].
    pub fn authentication_results(&self) -> &str {
        &self.results
    }

    /// What becomes of the message.
    pub fn action(&self, strictness: Strictness) -> Action {
        if strictness == Strictness::Reject {
            let refuse = |code, enhanced, text, why| Action::Refuse(Reply::new(code, enhanced, text), why);
            if self.authors == Authors::Unclear {
                return refuse(550, (5, 7, 1), "the message must have one From field, of one domain", Refusal::Author);
            }
            match (self.dmarc, self.wish) {
                (Said::Fail, Wish::Reject) => {
                    return refuse(550, (5, 7, 1), "refused as the author's domain wishes (DMARC)", Refusal::Dmarc);
                }
                // RFC 7208 §2.6.6, RFC 9989 §5.3.6: it may be true; the next try tells.
                (Said::TempError, wish) if wish != Wish::Nothing => {
                    return refuse(451, (4, 4, 3), "the author's domain cannot be asked now", Refusal::Dns);
                }
                _ => {}
            }
        }
        let marked = strictness != Strictness::Report && self.is_suspect();
        if marked { Action::Mark } else { Action::Take }
    }

    /// Whether something speaks against the author.
    fn is_suspect(&self) -> bool {
        let wished = matches!(self.wish, Wish::Quarantine | Wish::Reject);
        let disowned = wished && matches!(self.dmarc, Said::Fail | Said::TempError);
        // Without DMARC, the envelope's domain is the only one that was heard.
        let sender_denied = self.dmarc == Said::None && self.spf == Said::Fail && self.dkim != Said::Pass;
        self.authors == Authors::Unclear || disowned || sender_denied || self.forged > 0
    }

    /// Nothing could be found out.
    pub(super) fn failed(authserv_id: &str) -> Verdict {
        let entry = |method| Entry { method, said: Said::TempError, properties: Vec::new() };
        Verdict {
            authors: Authors::One,
            spf: Said::TempError,
            dkim: Said::TempError,
            dmarc: Said::TempError,
            wish: Wish::Unknown,
            arc: Said::TempError,
            forged: 0,
            results: results::write(authserv_id, &[entry("dmarc"), entry("spf"), entry("dkim")]),
        }
    }
}
