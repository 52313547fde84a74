//! Tests of the whole: the house's arrows, and the program as it is typed.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]
#![expect(unreachable_pub, reason = "tests have no public API; `pub` marks what a module shows to the others")]

mod house;
mod program;
mod cli;
mod keys;
mod smime;
mod bad_input;
mod batch;
mod flow;
mod account;
mod gateway;
mod delivery;
mod faults;
#[cfg(feature = "forward")]
mod forward;
#[cfg(feature = "forward")]
mod full;
#[cfg(feature = "forward")]
mod operator;
mod demo;
mod bridge;
