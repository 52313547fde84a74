//! Copies handed to a domain's own mail servers: who is tried, who is believed, and what somebody gains who lies. Names come from servers of the test,
//! certificates from authorities of the test; every server is on loopback.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

#[expect(dead_code, reason = "the tests of a Maildir need more of it")]
#[path = "../it/scene.rs"]
mod scene;

#[expect(dead_code, reason = "the tests of a delivery need more of it")]
#[path = "../delivery/hop.rs"]
mod hop;

#[expect(dead_code, reason = "the tests of other sinks need more of it")]
#[path = "../forward/station.rs"]
mod station;

mod policies;
mod signed;
mod world;

mod dane;
mod hosts;
mod sts;
