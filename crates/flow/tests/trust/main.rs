//! Trust of a forwarder: mail that comes in is checked, what goes out is signed. The DNS is a name server of the test on loopback.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

#[expect(dead_code, reason = "the tests of a Maildir need more of it")]
#[path = "../it/scene.rs"]
mod scene;

mod author;

mod checks;
mod odd;
mod outer;
mod smoke;
