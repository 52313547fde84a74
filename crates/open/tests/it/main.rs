//! Tests of sealing and opening together: laws, forgeries, other programs, real mail.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod corpus;
mod forged;
mod golden;
mod household;
mod interop;
mod smime;
mod laws;
mod programs;
mod smoke;
mod tampering;
mod vectors;
