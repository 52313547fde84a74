//! What is to be done after an error: the one joint between our errors and exit codes, 4xx and 5xx, retries.
//!
//! In: nothing. Out: three words, for every crate from here up. Never: why.

/// What is to be done after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// The same may work later, without anybody doing anything.
    Retry,
    /// The same will never work: what was asked for is wrong or not allowed.
    Refuse,
    /// Nothing more works until somebody mends something: a full disk, a damaged database.
    Stop,
}
