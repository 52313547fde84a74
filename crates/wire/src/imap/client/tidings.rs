//! What a server tells of the selected mailbox unasked, in the order in which it was told (RFC 3501 §7.3, §7.4).
//!
//! In: untagged responses. Out: messages that are gone and flags that changed, by number. Never more than [`MAX`]: then the count is lost, and who keeps a list of
//! messages makes it anew.

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tiding {
    /// The message of this number is gone; those behind it moved up.
    Gone(u32),
    /// It has these flags, and this change number, if that was told.
    Flags(u32, Vec<String>, Option<u64>),
}

/// All that was told.
#[derive(Debug, Default)]
pub struct Tidings {
    told: Vec<Tiding>,
    lost: bool,
    any_gone: bool,
}

/// Tidings that are kept.
const MAX: usize = 200_000;

impl Tidings {
    /// Each in its turn; `None`: there were too many, or some cannot be counted.
    pub fn told(self) -> Option<Vec<Tiding>> {
        (!self.lost).then_some(self.told)
    }

    /// Whether any message went.
    pub fn any_gone(&self) -> bool {
        self.any_gone
    }

    pub(super) fn gone(&mut self, number: u32) {
        self.any_gone = true;
        self.push(Tiding::Gone(number));
    }

    pub(super) fn flags(&mut self, number: u32, flags: &[String], modseq: Option<u64>) {
        self.push(Tiding::Flags(number, flags.to_vec(), modseq));
    }

    pub(super) fn lose_count(&mut self) {
        self.any_gone = true;
        self.lost = true;
        self.told = Vec::new();
    }

    fn push(&mut self, tiding: Tiding) {
        if self.told.len() >= MAX {
            self.lost = true;
            self.told = Vec::new();
        } else if !self.lost {
            self.told.push(tiding);
        }
    }
}
