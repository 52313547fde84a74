//! Mail forwarded: real servers behind it, targets that fail, spools in a file and on a server.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

#[expect(dead_code, reason = "the tests of a Maildir need more of it")]
#[path = "../it/scene.rs"]
mod scene;

#[expect(dead_code, reason = "the tests of a delivery need more of it")]
#[path = "../delivery/hop.rs"]
mod hop;

mod station;

mod account;
mod changes;
mod doubles;
mod failed;
mod name;
mod refusing;
mod relay;
mod shared;
