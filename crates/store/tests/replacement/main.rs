//! The replacement of messages in a Maildir, cut off at every step, killed, disturbed by others, out of space.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod scene;

mod between;
mod crash;
mod doubles;
mod full;
mod kill;
mod races;
