//! Where mail is taken from. Each source knows nothing of any sink.

pub(crate) mod maildir;
