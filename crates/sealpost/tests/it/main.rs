//! Tests of the whole: the house's arrows, and the program as it is typed.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]
#![expect(unreachable_pub, reason = "tests have no public API; `pub` marks what a module shows to the others")]

mod bad_input;
mod batch;
mod cli;
mod demo;
mod flow;
mod house;
mod keys;
mod program;
