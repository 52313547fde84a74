//! Faults as data: which command, which time, what happens.

use std::time::Duration;

/// One fault. Where several fit a command, the first that fires counts.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `APPEND`, `UID STORE`, `UID EXPUNGE`, `STORE`: exactly this command; `*` is any.
    pub command: &'static str,
    /// Which of these commands, counted over all connections.
    pub which: Which,
    /// What happens.
    pub action: Action,
}

impl Rule {
    /// Takes capabilities away: out of what is announced, the answers that come with them (of UIDPLUS: APPENDUID, COPYUID), and the
    /// commands (of UIDPLUS: UID EXPUNGE), which are BAD then. Without LITERAL+ a literal that runs on is BAD.
    pub fn strip(capabilities: &[&'static str]) -> Rule {
        Rule { command: "*", which: Which::All, action: Action::Strip(capabilities.to_vec()) }
    }
}

/// Which of the commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The n-th alone; the first is 1.
    Nth(u32),
    /// Every n-th.
    Every(u32),
    /// Each.
    All,
    /// By chance, the same for the same seed and order of commands.
    Chance {
        /// Of the random numbers.
        seed: u64,
        /// How many in a thousand.
        per_mille: u32,
    },
}

/// What happens. "The connection ends" means in order, as a server does that closes it; what the client sends after that is swallowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The connection ends before the server sees anything of the command.
    Before,
    /// The server gets this many octets of the command's literals, then the connection ends. With fewer, it ends before the command is complete.
    CutLiteral(u64),
    /// The client gets this many octets of the literals in the answer, then the connection ends. With fewer, the tagged answer is lost.
    CutAnswer(u64),
    /// The server carries it out, its tagged answer is lost, the connection ends.
    LoseAnswer,
    /// The same, but half of the tagged answer's line still comes.
    HalfAnswer,
    /// As `LoseAnswer`, with a TCP reset.
    Reset,
    /// The server sees nothing, the client gets NO.
    No,
    /// The server sees nothing, the client gets BAD.
    Bad,
    /// The server sees nothing, the client gets BYE, the connection ends.
    Bye,
    /// The server sees nothing, the client gets nothing, the connection stays.
    Hang,
    /// It goes on after this time.
    Delay(Duration),
    /// Capabilities that the server is made to lack, see [`Rule::strip`].
    Strip(Vec<&'static str>),
}

/// A rule with what it has seen.
pub(crate) struct Live {
    rule: Rule,
    seen: u32,
    random: u64,
}

impl Live {
    pub(crate) fn new(rule: Rule) -> Live {
        let random = if let Which::Chance { seed, .. } = rule.which { seed } else { 0 };
        Live { rule, seen: 0, random }
    }

    pub(crate) fn stripped(&self) -> &[&'static str] {
        if let Action::Strip(words) = &self.rule.action { words } else { &[] }
    }

    /// Counts a command; the fault and its name when it fires.
    pub(crate) fn meet(&mut self, verb: &str) -> Option<(Action, String)> {
        let meant = self.rule.command == "*" || self.rule.command.eq_ignore_ascii_case(verb);
        if !meant || matches!(self.rule.action, Action::Strip(_)) {
            return None;
        }
        self.seen += 1;
        let fires = match self.rule.which {
            Which::Nth(number) => self.seen == number,
            Which::Every(number) => self.seen.is_multiple_of(number),
            Which::All => true,
            Which::Chance { per_mille, .. } => self.random() % 1000 < u64::from(per_mille),
        };
        fires.then(|| (self.rule.action.clone(), format!("{verb} {}: {:?}", self.seen, self.rule.action)))
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
