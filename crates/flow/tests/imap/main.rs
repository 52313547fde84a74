//! Mail of an IMAP account, sealed: real servers, doubles of others, faults between.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

#[expect(dead_code, reason = "the tests of a Maildir need more of it")]
#[path = "../it/scene.rs"]
mod scene;

mod account;

mod crash;
mod culprit;
mod doubles;
mod faults;
mod ordinary;
mod rivals;
mod second;
mod user;
mod watch;
