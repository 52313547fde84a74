//! A recipient directory, as it is named: a folder, `sqlite:PATH`, `postgres://…`. In: the name. Out: the directory; nothing is asked yet.

use std::path::Path;

use flow::directory::{Directory, Source};

use crate::{
    failure::{DoingWhat, Exit, Failure},
    home::Home,
};

/// The directory of that name. Relative paths begin in the home.
pub fn open(home: &Home, name: &str) -> Result<Directory, Failure> {
    let source = if name.starts_with("postgres://") || name.starts_with("postgresql://") {
        Source::postgres(name).doing(Exit::Config, "the recipient directory cannot be used").map_err(|failure| {
            failure.hint("write \"postgres://user@host/database\"; a build for it: `--features postgres`")
        })?
    } else if let Some(path) = name.strip_prefix("sqlite:") {
        Source::sqlite(home.at(Path::new(path)))
    } else {
        Source::folder(home.at(Path::new(name)))
    };
    Ok(Directory::new(source))
}
