//! Tests of the whole: the house's arrows, and the program as it is typed.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod house;
