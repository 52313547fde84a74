//! Tests of sealing and opening together: laws, forgeries, other programs, real mail.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod forged;
mod household;
mod laws;
mod programs;
mod tampering;
