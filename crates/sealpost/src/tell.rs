//! What people are told: lines on stderr. That nobody listens is no error, and never a panic in the middle of work.

use std::{fmt::Display, io::Write};

/// One line.
pub fn tell(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
