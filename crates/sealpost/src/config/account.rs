//! `[account.NAME]` as it is written, and what is meant by it: an IMAP account. In: TOML. Out: where the server is (RFC 8314,
//! and STARTTLS of RFC 2595), whom to trust, where the secret comes from. A secret never stands in the config, and no error
//! repeats what was written where one belongs.

use std::{fmt, path::PathBuf};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};
use store::imap::Compress;
use wire::imap::{Endpoint, Security};

/// An IMAP account.
#[derive(Deserialize, Debug)]
#[serde(try_from = "Written")]
pub struct Account {
    /// The name to log in with.
    pub user: String,
    /// Where the server is.
    pub endpoint: Endpoint,
    /// Where the secret comes from.
    pub password: Password,
    /// A PEM file of authorities that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of the only certificate that is trusted.
    pub pin: Option<[u8; 32]>,
    /// Whether connections are compressed.
    pub compress: Compress,
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// What a command prints.
    Command(String),
    /// The first line of a file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// An OAuth 2 access token, which a command prints.
    TokenCommand(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    address: String,
    imap: String,
    user: Option<String>,
    password: Password,
    ca_file: Option<PathBuf>,
    pin: Option<String>,
    #[serde(default)]
    tls: Tls,
    #[serde(default)]
    compress: WrittenCompress,
}

#[derive(Deserialize, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum WrittenCompress {
    Auto,
    #[default]
    Never,
}

#[derive(Deserialize, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Tls {
    #[default]
    Required,
    Off,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenPassword {
    command: Option<String>,
    file: Option<PathBuf>,
    env: Option<String>,
    token_command: Option<String>,
    keyring: Option<serde::de::IgnoredAny>,
}

const PLACES: &str =
    "a password is told by { command = \"…\" }, { file = \"…\" }, { env = \"…\" } or { token-command = \"…\" }";

impl TryFrom<Written> for Account {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let Written { address, imap, user, password, ca_file, pin, tls, compress } = written;
        let user = user.unwrap_or(address);
        if user.is_empty() {
            return Err("the user is empty");
        }
        let pin = pin.map(|pin| parse_pin(&pin).ok_or("a pin is written \"sha256:\" and 64 hexadecimal digits"));
        let compress = match compress {
            WrittenCompress::Auto => Compress::Auto,
            WrittenCompress::Never => Compress::Never,
        };
        Ok(Self { endpoint: endpoint(&imap, tls)?, pin: pin.transpose()?, user, password, ca_file, compress })
    }
}

/// `imaps://host[:993]`, `imap://host[:143]`.
fn endpoint(url: &str, tls: Tls) -> Result<Endpoint, &'static str> {
    const SHAPE: &str =
        "the server is written \"imaps://imap.example.org\", or \"imap://imap.example.org\" for STARTTLS";
    let (scheme, rest) = url.split_once("://").ok_or(SHAPE)?;
    let (security, standard) = match (scheme, tls) {
        ("imaps", Tls::Required) => (Security::Tls, 993),
        ("imap", Tls::Required) => (Security::StartTls, 143),
        ("imap", Tls::Off) => (Security::Plain, 143),
        ("imaps", Tls::Off) => return Err("imaps:// is TLS: with tls = \"off\" write imap://"),
        _ => return Err(SHAPE),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('@') {
        return Err("the user is named with `user`, not in the server's address");
    }
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, after)) => (host, Some(after.strip_prefix(':').ok_or(SHAPE)?)),
        None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    let plain = |letter: char| letter.is_ascii_alphanumeric() || ".-_:%".contains(letter);
    if host.is_empty() || !host.chars().all(plain) {
        return Err(SHAPE);
    }
    let port = port.map_or(Ok(standard), |port| port.parse().map_err(|_| SHAPE))?;
    // Names are resolved when the connection is made, and refused then if they lead elsewhere.
    let is_near = host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if security == Security::Plain && !is_near {
        return Err("tls = \"off\" is taken for this machine only: localhost, 127.0.0.1, [::1]");
    }
    Ok(Endpoint { host: host.to_owned(), port, security })
}

/// `sha256:HEX`; with colons between the octets, as other programs print it.
fn parse_pin(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .strip_prefix("sha256:")?
        .chars()
        .filter(|letter| *letter != ':')
        .map(|letter| letter.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let octets: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |sum, digit| sum << 4 | digit)).collect();
    octets.try_into().ok().filter(|_| digits.len() == 64)
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(PasswordVisitor)
    }
}

/// Reads a table; whatever else stands there may be a password, and is not repeated.
struct PasswordVisitor;

impl<'de> Visitor<'de> for PasswordVisitor {
    type Value = Password;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(PLACES)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Password, E> {
        Err(E::custom(format_args!("no password stands in this file; {PLACES}")))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Password, E> {
        self.visit_str("")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Password, A::Error> {
        let written = WrittenPassword::deserialize(MapAccessDeserializer::new(map)).map_err(|error| {
            let is_shown = error.to_string().starts_with("unknown field");
            if is_shown { error } else { A::Error::custom(PLACES) }
        })?;
        if written.keyring.is_some() {
            return Err(A::Error::custom(
                "`keyring` is not built yet; name a command that asks it: { command = \"…\" }",
            ));
        }
        match (written.command, written.file, written.env, written.token_command) {
            (Some(command), None, None, None) => Ok(Password::Command(command)),
            (None, Some(file), None, None) => Ok(Password::File(file)),
            (None, None, Some(name), None) => Ok(Password::Env(name)),
            (None, None, None, Some(command)) => Ok(Password::TokenCommand(command)),
            _ => Err(A::Error::custom(format_args!("{PLACES}: one of them"))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;

    fn read(imap: &str, password: &str, more: &str) -> Result<Account, String> {
        let text = format!("address = \"a@b\"\nimap = \"{imap}\"\npassword = {password}\n{more}\n");
        toml::from_str::<Account>(&text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn servers_are_written_as_addresses() {
        use Security::{Plain, StartTls, Tls};
        for (imap, tls, host, port, security) in [
            ("imaps://h.example", "required", "h.example", 993, Tls),
            ("imaps://h.example/", "required", "h.example", 993, Tls),
            ("imaps://h.example:1993", "required", "h.example", 1993, Tls),
            ("imap://h.example", "required", "h.example", 143, StartTls),
            ("imap://h.example:1143", "required", "h.example", 1143, StartTls),
            ("imap://localhost:1143", "off", "localhost", 1143, Plain),
            ("imap://127.0.0.1", "off", "127.0.0.1", 143, Plain),
            ("imap://[::1]:1143", "off", "::1", 1143, Plain),
            ("imaps://[2001:db8::1]", "required", "2001:db8::1", 993, Tls),
        ] {
            let account = read(imap, "{ env = \"P\" }", &format!("tls = \"{tls}\"")).unwrap();
            assert_eq!(account.endpoint, Endpoint { host: host.to_owned(), port, security }, "{imap}");
            assert_eq!(account.user, "a@b");
        }
        for (imap, tls, says) in [
            ("h.example", "required", "the server is written"),
            ("http://h.example", "required", "the server is written"),
            ("imaps://", "required", "the server is written"),
            ("imaps://h.example:99999", "required", "the server is written"),
            ("imaps://h.example/INBOX", "required", "the server is written"),
            ("imaps://[::1]x", "required", "the server is written"),
            ("imaps://alice@h.example", "required", "`user`"),
            ("imap://h.example", "off", "this machine only"),
            ("imap://10.0.0.1", "off", "this machine only"),
            ("imaps://127.0.0.1", "off", "write imap://"),
            ("imaps://h.example", "no", "unknown variant `no`"),
        ] {
            let error = read(imap, "{ env = \"P\" }", &format!("tls = \"{tls}\"")).unwrap_err();
            assert!(error.contains(says), "{imap}: {error}");
        }
    }

    #[test]
    fn passwords_are_told_by_where_they_are_and_never_repeated() {
        let password = |written: &str| read("imaps://h", written, "").map(|account| account.password);
        assert_eq!(password("{ command = \"c\" }").unwrap(), Password::Command("c".to_owned()));
        assert_eq!(password("{ file = \"f\" }").unwrap(), Password::File("f".into()));
        assert_eq!(password("{ env = \"E\" }").unwrap(), Password::Env("E".to_owned()));
        assert_eq!(password("{ token-command = \"t\" }").unwrap(), Password::TokenCommand("t".to_owned()));
        for (written, says) in [
            ("\"swordfish\"", "no password stands in this file"),
            ("1234567", "no password stands in this file"),
            ("[\"swordfish\"]", "a password is told by"),
            ("{ keyring = \"swordfish\" }", "`keyring` is not built yet"),
            ("{ keyring = true }", "`keyring` is not built yet"),
            ("{ command = \"c\", file = \"f\" }", "one of them"),
            ("{}", "one of them"),
            ("{ command = 1234567 }", "a password is told by"),
            ("{ comand = \"c\" }", "unknown field `comand`"),
        ] {
            let error = password(written).unwrap_err();
            assert!(error.contains(says), "{written}: {error}");
            assert!(!error.contains("swordfish") && !error.contains("1234567"), "{written}: {error}");
        }
    }

    #[test]
    fn pins_are_read() {
        let digits = "00ff".repeat(16);
        let spaced = vec!["AB"; 32].join(":");
        let pin = |pin: &str| read("imaps://h", "{ env = \"P\" }", &format!("pin = \"{pin}\"")).map(|one| one.pin);
        assert_eq!(pin(&format!("sha256:{digits}")).unwrap().unwrap()[..4], [0, 255, 0, 255]);
        assert_eq!(pin(&format!("sha256:{spaced}")).unwrap().unwrap(), [0xab; 32]);
        for wrong in [
            digits.as_str(),
            "sha256:",
            "sha256:00",
            "sha1:00",
            &format!("sha256:{digits}0"),
            &format!("sha256:{digits}é"),
        ] {
            assert!(pin(wrong).unwrap_err().contains("a pin is written"), "{wrong}");
        }
    }
}
