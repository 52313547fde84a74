//! Backups that a flow kept: sealed messages in files of mbox format (RFC 4155).
//!
//! In: a directory. Out: each message of each file in it, oldest file first, one at a time. No line of a sealed message begins with
//! `From `, so that there is nothing to unescape. Never opens a message.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use sealed::scratch::{NewPlace, Scratch, Scratched};

/// What separates two messages, as flows write it.
const SEPARATOR: &[u8] = b"From sealpost Thu Jan  1 00:00:00 1970\r\n";
/// Octets read at a time.
const READ_BUFFER: usize = 64 * 1024;

/// The backup files of a directory, by name, which begins with the time they were made.
pub(crate) fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let is_ours = entry.path().extension().is_some_and(|extension| extension == "mbox");
        if is_ours && entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// The messages of one file.
pub(crate) struct Messages {
    file: BufReader<File>,
    /// A separator was read.
    inside: bool,
}

impl Messages {
    pub(crate) fn of(file: &Path) -> io::Result<Messages> {
        Ok(Messages { file: BufReader::with_capacity(READ_BUFFER, File::open(file)?), inside: false })
    }

    /// The next one.
    pub(crate) fn next(&mut self, place: &NewPlace<File>) -> io::Result<Option<Scratched<File>>> {
        let mut line = Vec::new();
        while !self.inside {
            if self.line(&mut line)? == 0 {
                return Ok(None);
            }
            self.inside = line == SEPARATOR;
        }
        self.inside = false;
        let mut message = Scratch::new(0, NewPlace::clone(place));
        // An empty line ends a message and is no part of it: it waits until more comes.
        let (mut waits, mut begins) = (false, true);
        while self.line(&mut line)? > 0 {
            if begins && line == SEPARATOR {
                self.inside = true;
                break;
            }
            if std::mem::take(&mut waits) {
                message.write_all(b"\r\n")?;
            }
            if begins && line == b"\r\n" {
                waits = true;
            } else {
                message.write_all(&line)?;
            }
            begins = line.ends_with(b"\n");
        }
        message.finish().map(Some)
    }

    /// A line, or as much of one as fits; its length.
    fn line(&mut self, line: &mut Vec<u8>) -> io::Result<usize> {
        line.clear();
        let most = u64::try_from(READ_BUFFER).unwrap_or(u64::MAX);
        (&mut self.file).take(most).read_until(b'\n', line)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;
    use std::sync::Arc;

    #[test]
    fn messages_come_apart_as_they_were_put_together() {
        let home = tempfile::tempdir().unwrap();
        let long = [vec![b'x'; 3 * READ_BUFFER], b"\r\n".to_vec()].concat();
        let table: [&[&[u8]]; 5] = [
            &[],
            &[b"A: 1\r\n\r\nx\r\n"],
            &[b"A: 1\r\n\r\nx\r\n\r\n\r\n", b"B: 2\r\n\r\n"],
            &[&long, b"", b"C: 3\r\n"],
            &[b"From sealpost, a line\r\n"],
        ];
        for messages in table {
            let mut octets = Vec::new();
            for message in messages {
                octets.extend_from_slice(&[SEPARATOR, message, b"\r\n"].concat());
            }
            let path = home.path().join("a.mbox");
            fs::write(&path, octets).unwrap();
            assert_eq!(files(home.path()).unwrap(), std::slice::from_ref(&path));
            let place: NewPlace<File> = Arc::new(tempfile::tempfile);
            let mut reader = Messages::of(&path).unwrap();
            for message in messages {
                let mut found = Vec::new();
                reader.next(&place).unwrap().unwrap().read_to_end(&mut found).unwrap();
                assert_eq!(&found, message);
            }
            assert!(reader.next(&place).unwrap().is_none());
        }
    }
}
