//! Where mail is handed over, and in which of the two languages.
//!
//! In: text. Out: an address of TCP, or the path of a socket. Nothing is opened.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The language of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// One answer for a message (RFC 5321).
    Smtp,
    /// One answer for each recipient (RFC 2033).
    Lmtp,
}

/// Where mail is handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `host:port`.
    Tcp(String),
    /// `unix:/path`.
    Unix(PathBuf),
}

/// Neither `host:port` nor `unix:/path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address is \"host:port\" or \"unix:/path\"")]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Place, NoPlace> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(NoPlace) } else { Ok(Place::Unix(PathBuf::from(path))) };
        }
        let (host, port) = text.rsplit_once(':').ok_or(NoPlace)?;
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
        let good = match inner {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.chars().all(plain),
        };
        match port.parse::<u16>() {
            Ok(1..) if good => Ok(Place::Tcp(text.to_owned())),
            _ => Err(NoPlace),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(address) => to.write_str(address),
            Place::Unix(path) => write!(to, "unix:{}", path.display()),
        }
    }
}

impl Place {
    /// The host, without port and brackets; none for a path.
    pub fn host(&self) -> Option<&str> {
        match self {
            Place::Tcp(address) => {
                let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
                Some(host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host))
            }
            Place::Unix(_) => None,
        }
    }

    /// Does what is sent there stay on this machine, whatever names resolve to?
    pub fn is_near(&self) -> bool {
        self.host().is_none_or(|host| {
            host.eq_ignore_ascii_case("localhost")
                || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_written() {
        for (text, host, near) in [
            ("127.0.0.1:24", Some("127.0.0.1"), true),
            ("mail.example.org:2525", Some("mail.example.org"), false),
            ("LocalHost:25", Some("LocalHost"), true),
            ("[::1]:24", Some("::1"), true),
            ("[2001:db8::1]:24", Some("2001:db8::1"), false),
            ("unix:/run/lmtp", None, true),
            ("unix:lmtp", None, true),
        ] {
            let place: Result<Place, NoPlace> = text.parse();
            assert_eq!(place.as_ref().map(ToString::to_string), Ok(text.to_owned()));
            let place = place.unwrap_or(Place::Tcp(String::new()));
            assert_eq!((place.host(), place.is_near()), (host, near), "{text}");
        }
        for text in ["", "127.0.0.1", ":24", "h:0", "h:70000", "unix:", "[::1:24", "[h]:24", "a b:25", "h:25x"] {
            assert_eq!(text.parse::<Place>(), Err(NoPlace), "{text}");
        }
    }
}
