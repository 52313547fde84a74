//! A client that reads whole responses, literals in their places, and takes them apart.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

pub struct Client {
    stream: BufReader<TcpStream>,
    count: u32,
}

/// What came before and with the tagged answer.
#[derive(Debug)]
pub struct Answer {
    /// Untagged responses, literals in them.
    pub untagged: Vec<Vec<u8>>,
    /// `OK …`, `NO …`, `BAD …`
    pub tagged: String,
}

/// A value of a response.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Atom(String),
    Text(Vec<u8>),
    List(Vec<Value>),
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        // A test that waits for nothing must end, somewhen.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Client { stream: BufReader::new(stream), count: 0 };
        let greeting = client.response();
        assert!(greeting.starts_with(b"* OK"), "{}", String::from_utf8_lossy(&greeting));
        client
    }

    pub fn logged_in(address: SocketAddr, user: &str, password: &str) -> Client {
        let mut client = Client::connect(address);
        client.good(&format!("LOGIN {user} {password}"));
        client
    }

    pub fn say(&mut self, line: &str) -> Answer {
        self.send(line.as_bytes());
        self.answer()
    }

    /// What must be answered with OK.
    pub fn good(&mut self, line: &str) -> Answer {
        let answer = self.say(line);
        assert!(answer.tagged.starts_with("OK"), "{line}: {answer:?}");
        answer
    }

    pub fn send(&mut self, line: &[u8]) {
        self.count += 1;
        let tag = format!("t{} ", self.count);
        self.raw(&[tag.as_bytes(), line, b"\r\n"].concat());
    }

    pub fn raw(&mut self, octets: &[u8]) {
        let _ = self.stream.get_mut().write_all(octets);
    }

    pub fn answer(&mut self) -> Answer {
        let tag = format!("t{} ", self.count);
        let mut untagged = Vec::new();
        loop {
            let response = self.response();
            match response.strip_prefix(tag.as_bytes()) {
                Some(rest) => {
                    return Answer { untagged, tagged: String::from_utf8_lossy(rest).trim_end().to_owned() };
                }
                None if response.is_empty() => panic!("the connection ended: {untagged:?}"),
                None => untagged.push(response),
            }
        }
    }

    /// One response with its literals; empty at the end of the connection.
    pub fn response(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            self.stream.read_until(b'\n', &mut all).unwrap();
            let line = all.strip_suffix(b"\r\n").unwrap_or(&all);
            let literal = line.strip_suffix(b"}").and_then(|line| {
                let open = line.iter().rposition(|octet| *octet == b'{')?;
                std::str::from_utf8(&line[open + 1..]).ok()?.parse::<usize>().ok()
            });
            let Some(length) = literal else { return all };
            let mut octets = vec![0; length];
            self.stream.read_exact(&mut octets).unwrap();
            all.extend(octets);
        }
    }
}

impl Answer {
    pub fn text(&self) -> String {
        self.untagged.iter().map(|response| String::from_utf8_lossy(response).into_owned()).collect::<String>()
            + &self.tagged
    }

    /// FETCH responses: number, and items by name.
    pub fn fetched(&self) -> Vec<(u32, Vec<(String, Value)>)> {
        let mut all = Vec::new();
        for response in &self.untagged {
            let mut words = response.splitn(4, |octet| *octet == b' ');
            let (_, number, verb) = (words.next(), words.next().unwrap(), words.next().unwrap());
            if verb != b"FETCH" {
                continue;
            }
            let mut rest = words.next().unwrap();
            let Value::List(values) = value(&mut rest) else { panic!("no list: {response:?}") };
            assert_eq!(rest, b"\r\n", "{}", String::from_utf8_lossy(response));
            let pairs = values.chunks(2).map(|pair| match pair {
                [Value::Atom(name), value] => (name.clone(), value.clone()),
                other => panic!("{other:?}"),
            });
            all.push((std::str::from_utf8(number).unwrap().parse().unwrap(), pairs.collect()));
        }
        all
    }

    /// The one text of the one message that was fetched.
    pub fn octets(&self) -> Vec<u8> {
        let fetched = self.fetched();
        let [(_, items)] = fetched.as_slice() else { panic!("{}", self.text()) };
        let mut texts = items.iter().filter_map(|(_, value)| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        });
        texts.next().unwrap()
    }

    /// What SEARCH found.
    pub fn found(&self) -> Vec<u32> {
        let line = self.untagged.iter().find_map(|response| response.strip_prefix(b"* SEARCH")).unwrap();
        String::from_utf8_lossy(line).split_whitespace().map(|number| number.parse().unwrap()).collect()
    }
}

fn value(rest: &mut &[u8]) -> Value {
    match rest[0] {
        b'(' => {
            *rest = &rest[1..];
            let mut values = Vec::new();
            loop {
                match rest[0] {
                    b')' => {
                        *rest = &rest[1..];
                        return Value::List(values);
                    }
                    b' ' => *rest = &rest[1..],
                    _ => values.push(value(rest)),
                }
            }
        }
        b'"' => {
            let mut text = Vec::new();
            let mut at = 1;
            while rest[at] != b'"' {
                if rest[at] == b'\\' {
                    at += 1;
                }
                text.push(rest[at]);
                at += 1;
            }
            *rest = &rest[at + 1..];
            Value::Text(text)
        }
        // literal8
        b'~' => {
            *rest = &rest[1..];
            value(rest)
        }
        b'{' => {
            let end = rest.iter().position(|octet| *octet == b'}').unwrap();
            let length: usize = std::str::from_utf8(&rest[1..end]).unwrap().parse().unwrap();
            let from = end + 3;
            let text = rest[from..from + length].to_vec();
            *rest = &rest[from + length..];
            Value::Text(text)
        }
        _ => {
            let mut brackets = 0;
            let end = rest.iter().position(|octet| match octet {
                b'[' => {
                    brackets += 1;
                    false
                }
                b']' => {
                    brackets -= 1;
                    false
                }
                b' ' | b')' | b'\r' => brackets == 0,
                _ => false,
            });
            let (atom, after) = rest.split_at(end.unwrap());
            *rest = after;
            Value::Atom(String::from_utf8_lossy(atom).into_owned())
        }
    }
}
