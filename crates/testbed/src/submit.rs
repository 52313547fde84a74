//! Mail handed to a server as a program would: one message, one connection, no cleverness. In: an envelope and octets. Out: what the server answered.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Which language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// One answer.
    Smtp,
    /// One answer for each recipient.
    Lmtp,
}

/// Hands a message over; the last answer for each recipient: to RCPT where that was refused. `octets` are sent as they are by BDAT where the server
/// takes that, else by DATA; then they must be lines.
pub fn submit(
    language: Language,
    to: SocketAddr,
    from: &str,
    recipients: &[&str],
    octets: &[u8],
) -> io::Result<Vec<String>> {
    let stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.set_nodelay(true)?;
    let mut talk = Talk { reader: BufReader::new(stream.try_clone()?), stream };
    talk.answer()?;
    let offered = talk.ask(if language == Language::Lmtp { "LHLO test" } else { "EHLO test" })?;
    let counted = offered.contains("BINARYMIME");
    let body = if counted { " BODY=BINARYMIME" } else { "" };
    let utf8 = if from.is_ascii() && recipients.iter().all(|one| one.is_ascii()) { "" } else { " SMTPUTF8" };
    let mail = talk.ask(&format!("MAIL FROM:<{from}>{body}{utf8}"))?;
    if !mail.starts_with('2') {
        return Ok(vec![mail; recipients.len()]);
    }
    let mut answers = Vec::new();
    for recipient in recipients {
        answers.push(talk.ask(&format!("RCPT TO:<{recipient}>"))?);
    }
    if answers.iter().any(|answer| answer.starts_with('2')) {
        if counted {
            talk.stream.write_all(format!("BDAT {} LAST\r\n", octets.len()).as_bytes())?;
            talk.stream.write_all(octets)?;
        } else {
            talk.ask("DATA")?;
            let mut lines = Vec::with_capacity(octets.len() + 64);
            for line in octets.split_inclusive(|&octet| octet == b'\n') {
                lines.extend_from_slice(if line.starts_with(b".") { b"." } else { b"" });
                lines.extend_from_slice(line);
            }
            lines.extend_from_slice(b".\r\n");
            talk.stream.write_all(&lines)?;
        }
        let one = if language == Language::Smtp { Some(talk.answer()?) } else { None };
        for answer in answers.iter_mut().filter(|answer| answer.starts_with('2')) {
            *answer = match &one {
                Some(one) => one.clone(),
                None => talk.answer()?,
            };
        }
    }
    let _ = talk.ask("QUIT");
    Ok(answers)
}

struct Talk {
    reader: BufReader<TcpStream>,
    stream: TcpStream,
}

impl Talk {
    fn ask(&mut self, line: &str) -> io::Result<String> {
        self.stream.write_all(format!("{line}\r\n").as_bytes())?;
        self.answer()
    }

    /// An answer, as one line.
    fn answer(&mut self) -> io::Result<String> {
        let mut answer = String::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            answer.push_str(line.trim_end());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(answer);
            }
            answer.push(' ');
        }
    }
}
