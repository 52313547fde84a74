//! Why a message is not taken from its sender: for the log and for counters. What he is told himself says no more than he must know.

use store::ledger::Code;
use wire::smtp::server::Refused;

use crate::forward::obstacle::Obstacle;

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its sender sends too much.
    Rate,
    /// It is for somebody else.
    Relay,
    /// It is a bounce of nothing that was sent here.
    Bounce,
    /// It goes in circles.
    Loop,
    /// Its author's domain wants it refused.
    Dmarc,
    /// It has not one author.
    Author,
    /// The DNS did not say what its author's domain wants.
    Dns,
    /// It is larger than is taken.
    Size,
    /// It asks for what is not offered.
    Parameter,
    /// It has too many recipients.
    Recipients,
    /// It cannot be sealed, or read: no space for temporary files.
    Sealing,
    /// It cannot be kept.
    Spool,
    /// The target does not take it.
    Target(Obstacle),
}

/// All but those of the target.
const OWN: [Refusal; 12] = [
    Refusal::Rate,
    Refusal::Relay,
    Refusal::Bounce,
    Refusal::Loop,
    Refusal::Dmarc,
    Refusal::Author,
    Refusal::Dns,
    Refusal::Size,
    Refusal::Parameter,
    Refusal::Recipients,
    Refusal::Sealing,
    Refusal::Spool,
];

impl Refusal {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Refusal> {
        OWN.into_iter().chain(Obstacle::ALL.into_iter().map(Refusal::Target))
    }

    /// How many there are.
    pub(crate) const COUNT: usize = OWN.len() + Obstacle::ALL.len();

    /// For the log and counters.
    pub fn code(self) -> Code {
        match self {
            Refusal::Rate => Code::new("rate"),
            Refusal::Relay => Code::new("relay"),
            Refusal::Bounce => Code::new("bounce"),
            Refusal::Loop => Code::new("loop"),
            Refusal::Dmarc => Code::new("dmarc"),
            Refusal::Author => Code::new("author"),
            Refusal::Dns => Code::new("dns"),
            Refusal::Size => Code::new("size"),
            Refusal::Parameter => Code::new("parameter"),
            Refusal::Recipients => Code::new("recipients"),
            Refusal::Sealing => Code::new("sealing"),
            Refusal::Spool => Code::new("spool"),
            Refusal::Target(obstacle) => obstacle.code(),
        }
    }
}

impl From<Obstacle> for Refusal {
    fn from(obstacle: Obstacle) -> Refusal {
        Refusal::Target(obstacle)
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Refusal {
        match refused {
            Refused::Size => Refusal::Size,
            Refused::Parameter => Refusal::Parameter,
            Refused::Recipients => Refusal::Recipients,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_have_one_code() {
        let codes: BTreeSet<&str> = Refusal::all().map(|refusal| refusal.code().as_str()).collect();
        assert_eq!(codes.len(), Refusal::COUNT);
    }
}
