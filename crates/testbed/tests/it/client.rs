//! The least client: says a line, and returns all that comes until its tagged answer or the end.

use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    count: u32,
    /// What the server said first.
    pub(crate) greeting: String,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("a server");
        // A test that waits for nothing must end, somewhen.
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let mut client = Client { stream: BufReader::new(stream), count: 0, greeting: String::new() };
        client.greeting = client.line();
        client
    }

    /// Logged in as alice.
    pub(crate) fn alice(address: SocketAddr) -> Client {
        let mut client = Client::connect(address);
        let answer = client.say("LOGIN alice alice-pw");
        assert!(answer.contains("OK"), "{answer}");
        client
    }

    /// The answer ends with `<closed>` or `<reset>` where the connection did.
    pub(crate) fn say(&mut self, line: &str) -> String {
        self.send(line);
        self.answer()
    }

    pub(crate) fn send(&mut self, line: &str) {
        self.count += 1;
        self.raw(&format!("t{} {line}\r\n", self.count));
    }

    pub(crate) fn raw(&mut self, octets: &str) {
        // What cannot be sent is seen when reading.
        let _ = self.stream.get_mut().write_all(octets.as_bytes());
    }

    /// Up to the tagged answer of the last command.
    pub(crate) fn answer(&mut self) -> String {
        let tag = format!("t{} ", self.count);
        let mut all = String::new();
        loop {
            let line = self.line();
            all += &line;
            if line.starts_with(&tag) || !line.ends_with('\n') {
                return all;
            }
        }
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        let end = match self.stream.read_until(b'\n', &mut line) {
            Ok(_) if line.ends_with(b"\n") => "",
            Ok(_) => "<closed>",
            Err(error) if error.kind() == ErrorKind::ConnectionReset => "<reset>",
            Err(error) => panic!("{error}"),
        };
        String::from_utf8_lossy(&line).into_owned() + end
    }
}

/// APPEND with a literal that runs on.
pub(crate) fn append(mailbox: &str, rest: &str, message: &str) -> String {
    format!("APPEND \"{mailbox}\" {rest}{{{}+}}\r\n{message}", message.len())
}
