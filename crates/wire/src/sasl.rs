//! Authentication exchanges.
//!
//! In: credentials, the mechanisms that a server offers, its challenges (already out of base64). Out: the mechanism
//! chosen and the answers. PLAIN (RFC 4616), SCRAM-SHA-256 (RFC 5802, RFC 7677), LOGIN (no RFC), OAUTHBEARER (RFC
//! 7628), XOAUTH2 (Google's). Never: a secret in an error or kept longer than its line; SASLprep (RFC 4013), for which
//! reason SCRAM is taken for an ASCII name and password only, if there is another way.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::limit;

/// Who logs in, and with what.
#[derive(Clone)]
pub enum Credentials {
    /// A password, also one made for an application.
    Password {
        /// The account.
        user: String,
        /// Its password.
        password: Zeroizing<String>,
    },
    /// An OAuth 2 access token.
    Token {
        /// The account.
        user: String,
        /// Its token.
        token: Zeroizing<String>,
    },
}

/// Why an exchange went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum SaslError {
    #[error("{0}")]
    Protocol(&'static str),
    #[error("{0}")]
    Limit(&'static str),
    #[error("{0}")]
    Unsupported(&'static str),
}

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    ScramSha256,
    Plain,
    Login,
    OauthBearer,
    Xoauth2,
}

impl Mechanism {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::OauthBearer => "OAUTHBEARER",
            Self::Xoauth2 => "XOAUTH2",
        }
    }

    /// The best one for the credentials among those offered.
    pub(crate) fn choose(credentials: &Credentials, offered: impl Fn(&str) -> bool) -> Option<Self> {
        let order: &[Self] = match credentials {
            Credentials::Token { .. } => &[Self::OauthBearer, Self::Xoauth2],
            Credentials::Password { user, password } if user.is_ascii() && password.is_ascii() => {
                &[Self::ScramSha256, Self::Plain, Self::Login]
            }
            Credentials::Password { .. } => &[Self::Plain, Self::Login, Self::ScramSha256],
        };
        order.iter().copied().find(|mechanism| offered(mechanism.name()))
    }
}

/// An exchange under way.
pub(crate) enum Exchange<'a> {
    /// One answer says it all. What the server then asks is told with a fixed answer: it is on its way to refuse.
    Once {
        answer: Zeroizing<Vec<u8>>,
        sent: bool,
        afterwards: &'static [u8],
    },
    Login {
        user: &'a str,
        password: &'a str,
        round: u32,
    },
    Scram(Box<Scram<'a>>),
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(
        mechanism: Mechanism,
        credentials: &'a Credentials,
        host: &str,
        port: u16,
    ) -> Result<Self, SaslError> {
        let (user, secret) = match credentials {
            Credentials::Password { user, password } => (user, password),
            Credentials::Token { user, token } => (user, token),
        };
        // NUL and ^A are what the messages below are divided by.
        if user.contains(['\0', '\u{1}']) || secret.contains(['\0', '\u{1}']) {
            return Err(SaslError::Unsupported("a control character in the user name or the password"));
        }
        let once = |answer: Vec<u8>, afterwards| Self::Once { answer: Zeroizing::new(answer), sent: false, afterwards };
        Ok(match mechanism {
            Mechanism::Plain => {
                let mut answer = Vec::with_capacity(user.len().saturating_add(secret.len()).saturating_add(2));
                for part in ["", user.as_str()] {
                    answer.extend_from_slice(part.as_bytes());
                    answer.push(0);
                }
                answer.extend_from_slice(secret.as_bytes());
                once(answer, b"")
            }
            Mechanism::Login => Self::Login { user, password: secret, round: 0 },
            Mechanism::ScramSha256 => Self::Scram(Box::new(Scram::new(user, secret, &nonce()?))),
            Mechanism::OauthBearer => {
                let user = escaped(user);
                let head = format!("n,a={user},\u{1}host={host}\u{1}port={port}\u{1}auth=Bearer ");
                // RFC 7628 §3.2.3: a refusal in words is answered by one ^A.
                once([head.as_bytes(), secret.as_bytes(), b"\x01\x01"].concat(), b"\x01")
            }
            Mechanism::Xoauth2 => {
                let head = format!("user={user}\u{1}auth=Bearer ");
                once([head.as_bytes(), secret.as_bytes(), b"\x01\x01"].concat(), b"")
            }
        })
    }

    /// Whether the client speaks first, so that an initial response can be sent (RFC 4959).
    pub(crate) fn speaks_first(&self) -> bool {
        !matches!(self, Self::Login { .. })
    }

    /// The answer to a challenge. An initial response is the answer to an empty one.
    pub(crate) fn answer(&mut self, challenge: &[u8]) -> Result<Zeroizing<Vec<u8>>, SaslError> {
        match self {
            Self::Once { answer, sent: sent @ false, .. } => {
                *sent = true;
                Ok(std::mem::take(answer))
            }
            Self::Once { afterwards, .. } => Ok(Zeroizing::new(afterwards.to_vec())),
            Self::Login { user, password, round } => {
                *round = round.saturating_add(1);
                match *round {
                    1 => Ok(Zeroizing::new(user.as_bytes().to_vec())),
                    2 => Ok(Zeroizing::new(password.as_bytes().to_vec())),
                    _ => Err(SaslError::Protocol("one challenge too many")),
                }
            }
            Self::Scram(scram) => scram.answer(challenge),
        }
    }

    /// What the server added to its OK (RFC 5802 §5: its proof may come there) or nothing; whether the server has
    /// proved what the mechanism wants it to prove.
    pub(crate) fn finish(&self) -> Result<(), SaslError> {
        match self {
            Self::Scram(scram) if !matches!(scram.state, State::Proved) => {
                Err(SaslError::Protocol("the server did not prove that it knows the password"))
            }
            _ => Ok(()),
        }
    }
}

/// The client's half of SCRAM-SHA-256 without channel binding.
pub(crate) struct Scram<'a> {
    password: &'a str,
    nonce: String,
    /// `client-first-message-bare`
    first: String,
    state: State,
}

enum State {
    Start,
    /// The client's first message is sent.
    First,
    /// The client's proof is sent; the server's must be this.
    Final(Box<(hmac::Key, Vec<u8>)>),
    Proved,
}

/// `gs2-header`: the client does not bind to a channel. `y` would say that it could.
const GS2: &str = "n,,";

impl<'a> Scram<'a> {
    fn new(user: &str, password: &'a str, nonce: &str) -> Self {
        let first = format!("n={},r={nonce}", escaped(user));
        Self { password, nonce: nonce.to_owned(), first, state: State::Start }
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Zeroizing<Vec<u8>>, SaslError> {
        match &self.state {
            State::Start => {
                self.state = State::First;
                Ok(Zeroizing::new(format!("{GS2}{}", self.first).into_bytes()))
            }
            State::First => {
                let (answer, state) = self.prove(challenge)?;
                self.state = state;
                Ok(answer)
            }
            State::Final(proof_of) => {
                let (key, message) = &**proof_of;
                let text = std::str::from_utf8(challenge).map_err(|_| BROKEN)?;
                let proof = text.split(',').find_map(|part| part.strip_prefix("v=")).ok_or(BROKEN)?;
                let proof = base64_simd::STANDARD.decode_to_vec(proof).map_err(|_| BROKEN)?;
                hmac::verify(key, message, &proof)
                    .map_err(|_| SaslError::Protocol("the server's proof that it knows the password is wrong"))?;
                self.state = State::Proved;
                Ok(Zeroizing::new(Vec::new()))
            }
            State::Proved => Err(SaslError::Protocol("one challenge too many")),
        }
    }

    /// RFC 5802 §3.
    fn prove(&self, server_first: &[u8]) -> Result<(Zeroizing<Vec<u8>>, State), SaslError> {
        let server_first = std::str::from_utf8(server_first).map_err(|_| BROKEN)?;
        let mut parts = server_first.split(',');
        let nonce = parts.next().and_then(|part| part.strip_prefix("r=")).ok_or(BROKEN)?;
        let salt = parts.next().and_then(|part| part.strip_prefix("s=")).ok_or(BROKEN)?;
        let iterations = parts.next().and_then(|part| part.strip_prefix("i=")).ok_or(BROKEN)?;
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(SaslError::Protocol("the server did not keep to the nonce"));
        }
        let salt = base64_simd::STANDARD.decode_to_vec(salt).map_err(|_| BROKEN)?;
        let iterations = iterations.parse::<NonZeroU32>().map_err(|_| BROKEN)?;
        if iterations.get() > limit::SCRAM_ITERATIONS {
            return Err(SaslError::Limit("SCRAM iterations"));
        }
        // RFC 7677 §4: fewer would make the password easier to guess for whoever poses as the server.
        if iterations.get() < 4096 {
            return Err(SaslError::Protocol("fewer than 4096 SCRAM iterations"));
        }
        let mut salted = Zeroizing::new([0_u8; digest::SHA256_OUTPUT_LEN]);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, self.password.as_bytes(), &mut *salted);
        let salted = hmac::Key::new(hmac::HMAC_SHA256, &*salted);

        let without_proof = format!("c={},r={nonce}", base64_simd::STANDARD.encode_to_string(GS2));
        let message = format!("{},{server_first},{without_proof}", self.first).into_bytes();
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, stored_key.as_ref()), &message);
        let proof: Zeroizing<Vec<u8>> =
            Zeroizing::new(client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect());
        let proof = Zeroizing::new(base64_simd::STANDARD.encode_to_string(proof.as_slice()));
        let server_key = hmac::sign(&salted, b"Server Key");
        let server_key = hmac::Key::new(hmac::HMAC_SHA256, server_key.as_ref());
        let answer = format!("{without_proof},p={}", proof.as_str()).into_bytes();
        Ok((Zeroizing::new(answer), State::Final(Box::new((server_key, message)))))
    }
}

const BROKEN: SaslError = SaslError::Protocol("a challenge that SCRAM does not know");

/// `saslname`: comma and equals sign are what the messages are divided by (RFC 5802 §5.1).
fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn nonce() -> Result<String, SaslError> {
    let mut octets = [0_u8; 18];
    SystemRandom::new().fill(&mut octets).map_err(|_| SaslError::Unsupported("this machine gives no randomness"))?;
    Ok(base64_simd::STANDARD.encode_to_string(octets))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail loudly")]
mod tests {
    use super::*;

    // RFC 7677 §3
    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                                p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn scram() -> Exchange<'static> {
        let mut scram = Exchange::Scram(Box::new(Scram::new("user", "pencil", "rOprNGfwEbeRWgbNEkqO")));
        assert_eq!(scram.answer(b"").unwrap().as_slice(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        scram
    }

    #[test]
    fn the_vector_of_rfc_7677() {
        let mut scram = scram();
        assert_eq!(scram.answer(SERVER_FIRST.as_bytes()).unwrap().as_slice(), CLIENT_FINAL.as_bytes());
        assert!(scram.finish().is_err());
        assert_eq!(scram.answer(SERVER_FINAL.as_bytes()).unwrap().as_slice(), b"");
        scram.finish().unwrap();
        assert!(scram.answer(b"").is_err());
    }

    #[test]
    fn a_false_server_is_found_out() {
        for first in [
            "",
            "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4095",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=2000001",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0",
            "r=rOprNGfwEbeRWgbNEkqOx,s=*,i=4096",
            "m=x,r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        ] {
            assert!(scram().answer(first.as_bytes()).is_err(), "{first}");
        }
        for last in ["", "e=other-error", "v=", "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="] {
            let mut scram = scram();
            scram.answer(SERVER_FIRST.as_bytes()).unwrap();
            assert!(scram.answer(last.as_bytes()).is_err(), "{last}");
            assert!(scram.finish().is_err());
        }
    }

    #[test]
    fn messages_of_one_round() {
        let password = Credentials::Password { user: "a=b,c".into(), password: Zeroizing::new("pw".into()) };
        let token = Credentials::Token { user: "a=b,c".into(), token: Zeroizing::new("tok".into()) };
        check(Mechanism::Plain, &password, b"\0a=b,c\0pw", b"");
        check(
            Mechanism::OauthBearer,
            &token,
            b"n,a=a=3Db=2Cc,\x01host=h.example\x01port=993\x01auth=Bearer tok\x01\x01",
            b"\x01",
        );
        check(Mechanism::Xoauth2, &token, b"user=a=b,c\x01auth=Bearer tok\x01\x01", b"");
        check(Mechanism::Login, &password, b"a=b,c", b"pw");
    }

    fn check(mechanism: Mechanism, credentials: &Credentials, first: &[u8], second: &[u8]) {
        let mut exchange = Exchange::new(mechanism, credentials, "h.example", 993).unwrap();
        assert_eq!(exchange.answer(b"").unwrap().as_slice(), first);
        assert_eq!(exchange.answer(b"").unwrap().as_slice(), second);
        exchange.finish().unwrap();
    }

    #[test]
    fn the_best_offer_is_taken() {
        let password = |password: &str| Credentials::Password {
            user: "user".into(),
            password: Zeroizing::new(password.to_owned()),
        };
        let token = Credentials::Token { user: "user".into(), token: Zeroizing::new("tok".into()) };
        for (credentials, offered, expected) in [
            (password("pw"), "PLAIN LOGIN SCRAM-SHA-256", Some(Mechanism::ScramSha256)),
            (password("pw"), "LOGIN PLAIN OAUTHBEARER", Some(Mechanism::Plain)),
            (password("pw"), "LOGIN", Some(Mechanism::Login)),
            (password("pw"), "XOAUTH2 SCRAM-SHA-1", None),
            (password("pä"), "PLAIN SCRAM-SHA-256", Some(Mechanism::Plain)),
            (password("pä"), "SCRAM-SHA-256", Some(Mechanism::ScramSha256)),
            (token.clone(), "PLAIN XOAUTH2", Some(Mechanism::Xoauth2)),
            (token.clone(), "XOAUTH2 OAUTHBEARER", Some(Mechanism::OauthBearer)),
            (token, "PLAIN", None),
        ] {
            let offers = |name: &str| offered.split(' ').any(|one| one == name);
            assert_eq!(Mechanism::choose(&credentials, offers), expected, "{offered}");
        }
    }

    #[test]
    fn what_divides_is_refused() {
        for (user, secret) in [("a\0b", "pw"), ("a", "p\0w"), ("a", "p\u{1}w")] {
            let credentials = Credentials::Token { user: user.into(), token: Zeroizing::new(secret.into()) };
            for mechanism in [Mechanism::Plain, Mechanism::Xoauth2, Mechanism::OauthBearer, Mechanism::ScramSha256] {
                assert!(Exchange::new(mechanism, &credentials, "h", 1).is_err());
            }
        }
    }
}
