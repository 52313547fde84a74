//! Mail servers for tests: real ones on loopback ([`Dovecot`], [`Cyrus`]), doubles of those that are not to be had ([`Double`]), a
//! man in the middle that breaks things on purpose ([`Faults`]), and mail to put there ([`corpus`]).
//!
//! For tests only, so nothing here is careful: what goes wrong panics and says what. Everything is plain threads, lives on 127.0.0.1, and is gone
//! when its value is dropped. No crate may depend on this one but in `[dev-dependencies]`.

pub mod corpus;
mod directory;
mod frame;
mod names;
mod port;

mod authority;
mod daemon;

mod bench;
mod cyrus;
mod double;
mod dovecot;
mod faults;
mod postfix;
mod postgres;
mod submit;

pub use bench::{Bench, Dovecot24, Tool, dovecot24};
pub use cyrus::Cyrus;
pub use double::{Character, Dedup, Double, Message};
pub use dovecot::{Dovecot, Format, Options};
pub use faults::{Action, Faults, Rule, Which};
pub use names::{Names, Record};
pub use postfix::{Postfix, Queued};
pub use postgres::Postgres;
pub use submit::{Language, submit};

/// Whether tests that need a real server run. Only `SEALPOST_NO_SERVERS=1` makes it false, and it says so: a test asks first, and then fails
/// loudly when a server that it needs is not installed.
pub fn servers() -> bool {
    let without = std::env::var_os("SEALPOST_NO_SERVERS").is_some_and(|value| value == "1");
    if without {
        println!("SKIPPED: SEALPOST_NO_SERVERS=1, so nothing was tested with a real mail server");
    }
    !without
}
