//! Sweeps over real Maildirs.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod crash;
mod disturber;
mod full;
mod kill;
mod ordinary;
mod scene;
