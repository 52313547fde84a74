//! Originals kept for a while, encrypted to the owner, outside the mail server.
//!
//! In: the sealed copies of a batch. Out: one file with all of them, durable before any original goes: a mailbox in the mbox
//! format (RFC 4155), of sealed messages, which need no escaping: no line of theirs begins with `From `. Never an octet in clear.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use sealed::identity::random;
use store::UnixSeconds;
use time::OffsetDateTime;
use time::macros::format_description;

/// What separates two messages.
const SEPARATOR: &[u8] = b"From sealpost Thu Jan  1 00:00:00 1970\r\n";

/// Writes a batch; it is on disk when this returns.
pub(crate) fn keep(directory: &Path, copies: &mut [&mut (impl Read + Seek)], now: UnixSeconds) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let format = format_description!("[year][month][day]-[hour][minute][second]");
    let moment = OffsetDateTime::from_unix_timestamp(now.0).ok().and_then(|at| at.format(format).ok());
    let unique: [u8; 8] = random();
    let unique: String = unique.iter().map(|octet| format!("{octet:02x}")).collect();
    let name = format!("{}-{unique}.mbox", moment.unwrap_or_default());
    let path = directory.join(name);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let written = write(file, copies);
    if written.is_err() {
        // Half a file is of no use; what it was made for is still on the server.
        drop(fs::remove_file(&path));
    }
    written?;
    File::open(directory)?.sync_all()
}

fn write(file: File, copies: &mut [&mut (impl Read + Seek)]) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(256 * 1024, file);
    for copy in copies {
        copy.rewind()?;
        out.write_all(SEPARATOR)?;
        io::copy(copy, &mut out)?;
        out.write_all(b"\r\n")?;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// Removes files older than that.
pub(crate) fn prune(directory: &Path, keep: Duration) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let now = SystemTime::now();
    for entry in entries {
        let entry = entry?;
        let is_ours = entry.path().extension().is_some_and(|extension| extension == "mbox");
        let age = now.duration_since(entry.metadata()?.modified()?).unwrap_or_default();
        if is_ours && age > keep {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;
    use std::io::Cursor;

    #[test]
    fn a_batch_is_one_private_file_that_goes_in_its_time() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("backup/inbox");
        let (mut one, mut two) = (Cursor::new(b"A: 1\r\n\r\nx\r\n".to_vec()), Cursor::new(b"B: 2\r\n\r\n".to_vec()));
        keep(&directory, &mut [&mut one, &mut two], UnixSeconds(1_795_424_400)).unwrap();
        let files: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap()).collect();
        let [file] = files.as_slice() else { panic!("{files:?}") };
        assert!(file.file_name().to_str().unwrap().starts_with("20261123-090000-"));
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(file.path()).unwrap();
        assert_eq!(text.matches("From sealpost ").count(), 2);
        assert!(text.ends_with("B: 2\r\n\r\n\r\n"), "{text:?}");
        prune(&directory, Duration::from_secs(3600)).unwrap();
        assert!(file.path().exists());
        prune(&directory, Duration::ZERO).unwrap();
        assert!(!file.path().exists());
    }
}
