//! What a mail server shows.
//!
//! In: packets. Out: commands, read; and the events that are made of them. What cannot be read is an error, never a guess: mail would pass that
//! nobody has looked at.

use std::net::{IpAddr, SocketAddr};

use memchr::memchr_iter;

use crate::milter::packet::Packet;
use crate::smtp::{MailFrom, RcptTo};

/// What a mail server shows.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A client has connected to it. Needs no answer.
    Connect(Peer),
    /// The client has said its name. Needs no answer.
    Helo(String),
    /// A message begins. To be answered.
    Mail(MailFrom),
    /// It is for this recipient. To be answered.
    Rcpt(RcptTo),
    /// Its content comes. To be answered.
    Data,
    /// A header field. Needs no answer.
    Header {
        /// Before the colon.
        name: Vec<u8>,
        /// All that is behind the colon, lines parted by CRLF, without the last line end.
        value: Vec<u8>,
    },
    /// The header section is over. To be answered.
    EndOfHeaders,
    /// A piece of the body. To be answered.
    Body(Vec<u8>),
    /// The message is whole. To be answered, after the changes; the octets are the last ones of the body (Postfix sends small bodies only here).
    EndOfMessage(Vec<u8>),
    /// The message is given up. Needs no answer.
    Abort,
    /// A command that the mail server does not know. Needs no answer.
    Unknown,
    /// The client has gone, and another one comes by the same connection. Needs no answer.
    NextConnection,
    /// It is over.
    Quit,
}

/// A client of the mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name, as the mail server found it; an address in brackets, as a rule, where it found none.
    pub name: String,
    /// Where it is.
    pub address: PeerAddress,
}

/// Where a client of the mail server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// By TCP.
    Tcp(SocketAddr),
    /// By a unix socket.
    Unix(String),
    /// Not told, or not to be read.
    Unknown,
}

/// A packet, read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Negotiate(Vec<u8>),
    Macros(Vec<u8>),
    Connect(Peer),
    Helo(String),
    /// None: an address that cannot be read.
    Mail(Option<MailFrom>),
    Rcpt(Option<RcptTo>),
    Data,
    Header(Vec<u8>, Vec<u8>),
    EndOfHeaders,
    Body(Vec<u8>),
    End(Vec<u8>),
    Abort,
    Unknown,
    NextConnection,
    Quit,
}

impl Command {
    /// None: no packet of this protocol.
    pub(crate) fn parse(packet: Packet) -> Option<Command> {
        let data = packet.data;
        Some(match packet.command {
            b'O' => Command::Negotiate(data),
            b'D' => Command::Macros(data),
            b'C' => Command::Connect(peer(&data)?),
            b'H' => Command::Helo(text(words(&data)?.next()?)),
            b'M' => Command::Mail(MailFrom::parse(&format!("FROM:{}", path(&data)?))),
            b'R' => Command::Rcpt(RcptTo::parse(&format!("TO:{}", path(&data)?))),
            b'T' => Command::Data,
            b'L' => {
                let mut words = words(&data)?;
                let (name, value) = (words.next().filter(|name| !name.is_empty())?, words.next()?);
                if words.next().is_some() {
                    return None;
                }
                Command::Header(name.to_vec(), lines(value))
            }
            b'N' => Command::EndOfHeaders,
            b'B' => Command::Body(data),
            b'E' => Command::End(data),
            b'A' => Command::Abort,
            b'U' => Command::Unknown,
            b'K' => Command::NextConnection,
            b'Q' => Command::Quit,
            _ => return None,
        })
    }
}

/// Words that end in NUL, each.
fn words(data: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    Some(data.strip_suffix(b"\0")?.split(|octet| *octet == 0))
}

fn text(octets: &[u8]) -> String {
    let letter = |letter: char| if letter.is_control() { '?' } else { letter };
    String::from_utf8_lossy(octets).chars().map(letter).collect()
}

/// An address and its parameters, as they stand in a command of SMTP.
fn path(data: &[u8]) -> Option<String> {
    let mut line = String::new();
    for word in words(data)? {
        let word = std::str::from_utf8(word).unwrap_or("\0");
        if line.is_empty() && !word.starts_with('<') {
            // quirk: Postfix shows addresses as they were typed, which is without brackets sometimes.
            line = format!("<{word}>");
        } else {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        }
    }
    Some(line)
}

/// quirk: mail servers part the lines of a field by LF alone.
fn lines(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut start = 0;
    for at in memchr_iter(b'\n', value) {
        let before = value.get(start..at).unwrap_or_default();
        out.extend_from_slice(before.strip_suffix(b"\r").unwrap_or(before));
        out.extend_from_slice(b"\r\n");
        start = at.saturating_add(1);
    }
    out.extend_from_slice(value.get(start..).unwrap_or_default());
    out
}

fn peer(data: &[u8]) -> Option<Peer> {
    let end = memchr::memchr(0, data)?;
    let name = text(data.get(..end)?);
    let (family, rest) = data.get(end.checked_add(1)?..)?.split_first()?;
    let address = match family {
        b'4' | b'6' => {
            let (port, rest) = rest.split_first_chunk()?;
            let address = text(words(rest)?.next()?);
            let address: Option<IpAddr> = address.strip_prefix("IPv6:").unwrap_or(&address).parse().ok();
            let port = u16::from_be_bytes(*port);
            address.map_or(PeerAddress::Unknown, |address| PeerAddress::Tcp(SocketAddr::new(address, port)))
        }
        b'L' => {
            let (_, rest) = rest.split_first_chunk::<2>()?;
            PeerAddress::Unix(text(words(rest)?.next()?))
        }
        _ => PeerAddress::Unknown,
    };
    Some(Peer { name, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(command: u8, data: &[u8]) -> Option<Command> {
        Command::parse(Packet { command, data: data.to_vec() })
    }

    #[test]
    fn commands_are_read() {
        let tcp = |name: &str, address: &str| {
            let address = address.parse().map_or(PeerAddress::Unknown, PeerAddress::Tcp);
            Some(Command::Connect(Peer { name: name.to_owned(), address }))
        };
        let header = |name: &[u8], value: &[u8]| Some(Command::Header(name.to_vec(), value.to_vec()));
        for (command, data, read) in [
            (b'C', &b"mx.example\x004\x00\x19192.0.2.1\0"[..], tcp("mx.example", "192.0.2.1:25")),
            (b'C', b"mx\x006\x01\x00IPv6:2001:db8::1\0", tcp("mx", "[2001:db8::1]:256")),
            (b'C', b"mx\x006\x01\x002001:db8::1\0", tcp("mx", "[2001:db8::1]:256")),
            (b'C', b"localhost\x004\x00\x19nonsense\0", tcp("localhost", "")),
            (b'C', b"localhost\0U", tcp("localhost", "")),
            (b'C', b"localhost\0", None),
            (b'C', b"localhost\x004\x00", None),
            (b'C', b"localhost\x004\x00\x19192.0.2.1", None),
            (b'C', b"localhost", None),
            (b'H', b"me\n\0", Some(Command::Helo("me?".to_owned()))),
            (b'H', b"me", None),
            (b'L', b"Subject\0a\n\tb\0", header(b"Subject", b"a\r\n\tb")),
            (b'L', b"Subject\0 a\r\n b\0", header(b"Subject", b" a\r\n b")),
            (b'L', b"X\0\0", header(b"X", b"")),
            (b'L', b"\0x\0", None),
            (b'L', b"Subject\0", None),
            (b'L', b"Subject\0x", None),
            (b'L', b"Subject\0x\0y\0", None),
            (b'E', b"", Some(Command::End(Vec::new()))),
            (b'x', b"", None),
            (0, b"", None),
        ] {
            assert_eq!(parse(command, data), read, "{command} {data:?}");
        }
    }

    #[test]
    fn envelopes_are_read() {
        for (data, address, parameters) in [
            (&b"<a@b>\0"[..], Some("a@b"), 0),
            (b"<>\0SIZE=12\0BODY=8BITMIME\0RET=HDRS\0", Some(""), 1),
            (b"a@b\0SIZE=12\0", Some("a@b"), 0),
            ("<ä@b>\0SMTPUTF8\0".as_bytes(), Some("ä@b"), 0),
            (b"<\xff@b>\0", None, 0),
            (b"Name <a@b>\0", None, 0),
            (b"<a\r\nRCPT@b>\0", None, 0),
            (b"<a@b>\0X\r\n=1\0", None, 0),
            (b"\0", Some(""), 0),
        ] {
            let Some(Command::Mail(mail)) = parse(b'M', data) else { panic!("{data:?}") };
            let read = mail.as_ref().map(|mail| (mail.address.as_str(), mail.parameters.len()));
            assert_eq!(read, address.map(|address| (address, parameters)), "{data:?}");
        }
        assert_eq!(parse(b'M', b""), None);
        assert_eq!(parse(b'M', b"<a@b>"), None);
        let Some(Command::Rcpt(Some(to))) = parse(b'R', b"<c@d>\0NOTIFY=NEVER\0") else { panic!("no recipient") };
        assert_eq!((to.address.as_str(), to.parameters.len()), ("c@d", 1));
        assert_eq!(parse(b'R', b"<>\0"), Some(Command::Rcpt(None)));
    }
}
