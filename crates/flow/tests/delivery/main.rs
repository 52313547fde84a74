//! Mail sealed on its way: real servers on both sides, policies, odd mail, next servers that fail.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

#[expect(dead_code, reason = "the tests of a Maildir need more of it")]
#[path = "../it/scene.rs"]
mod scene;

mod gate;
mod hop;

mod directory;
mod milter;
mod odd;
mod partial;
mod policies;
mod servers;
