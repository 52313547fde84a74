//! The return path of forwarded mail: one of our own for each message, which nobody else can make (VERP, with an HMAC).
//!
//! In: which message, whose. Out: `bounce+TOKEN@domain`, and back. The token is day, owner, message and HMAC-SHA256 over them,
//! cut to 80 bits, in base32, since local parts may lose their case on the way: 60 octets, within the 64 of RFC 5321 §4.5.3.1.1.
//!
//! Not SRS: that puts the sender's address where every server on the way reads it, whatever the policy hides, and lets a bounce go
//! back to an address that may be forged. What comes back here becomes a note to the owner, and nothing else.

use aws_lc_rs::{constant_time, hmac};
use data_encoding::{BASE32_NOPAD, BASE32_NOPAD_NOCASE};
use wire::smtp::Reply;

/// How long a bounce is believed, days. Servers try for five days as a rule (RFC 5321 §4.5.4.1), and some of them hold what they
/// bounce for as long again.
pub const VALID_DAYS: u16 = 14;

/// After how many days of waiting a copy has another one: as long as servers put strangers off, they must see the same.
const RENEWED_DAYS: u16 = 5;

const PREFIX: &str = "bounce+";
const DAY: usize = 2;
const OWNER: usize = 5;
const ID: usize = 16;
const MAC: usize = 10;
const TOKEN: usize = DAY + OWNER + ID + MAC;
/// Seconds.
const ONE_DAY: u64 = 86_400;

/// Makes return paths and knows them again. No `Debug`: it holds a secret.
pub struct ReturnPath {
    key: hmac::Key,
    domain: String,
}

/// Whose message it was, as far as a return path tells: compare with [`ReturnPath::owner`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OwnerTag([u8; OWNER]);

/// What a return path says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned {
    /// Whose message.
    pub owner: OwnerTag,
    /// Which.
    pub id: [u8; ID],
    /// The day on which it was first handed on, days since 1970, modulo 65,536.
    pub day: u16,
}

/// Why an address is no return path that is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReturnPathError {
    /// It has not the form of one.
    #[error("not a return path")]
    NotOurs,
    /// It was not made here.
    #[error("a forged return path")]
    Forged,
    /// It is too old.
    #[error("an expired return path")]
    Expired,
    /// Mail with a sender: nothing but bounces is taken there (RFC 5321 §4.5.5).
    #[error("not a bounce")]
    NotABounce,
}

impl ReturnPathError {
    /// What the session is told. Always permanent: nobody is helped by trying again.
    pub fn reply(self) -> Reply {
        match self {
            Self::NotOurs => Reply::new(550, (5, 1, 1), "no such recipient"),
            // Nothing that helps to find out which guesses come near.
            Self::Forged | Self::Expired => Reply::new(550, (5, 7, 1), "not a bounce of mail from here"),
            Self::NotABounce => Reply::new(550, (5, 7, 1), "only bounces are taken here"),
        }
    }
}

impl ReturnPath {
    /// `secret`: all nodes of a forwarder have the same. `domain`: where bounces come in; its MX is the forwarder.
    pub fn new(secret: &[u8; 32], domain: &str) -> ReturnPath {
        ReturnPath { key: hmac::Key::new(hmac::HMAC_SHA256, secret), domain: domain.to_ascii_lowercase() }
    }

    /// How the owner of an address is named in return paths: it says nothing to others.
    pub fn owner(&self, address: &str) -> OwnerTag {
        let mac = self.mac(b"owner", address.to_lowercase().as_bytes());
        OwnerTag(cut(&mac))
    }

    /// The return path of one message. `address`: whose it is; `now`: Unix seconds. Made once, when the message is queued: a server
    /// that puts strangers off must see the same one when it comes again (but see [`Self::renewed`]).
    pub fn encode(&self, address: &str, id: [u8; ID], now: u64) -> String {
        let mut token = Vec::with_capacity(TOKEN);
        token.extend_from_slice(&day(now).to_be_bytes());
        token.extend_from_slice(&self.owner(address).0);
        token.extend_from_slice(&id);
        let mac: [u8; MAC] = cut(&self.mac(b"token", &token));
        token.extend_from_slice(&mac);
        format!("{PREFIX}{}@{}", BASE32_NOPAD.encode(&token).to_ascii_lowercase(), self.domain)
    }

    /// The return path for another try. None: the same one, as a rule; a new one where the copy has waited so long that what comes back would come back too
    /// late, or where this one was not made with this secret, for this domain. `owner`: an address of the copy's owner; `id`: the copy's.
    pub(crate) fn renewed(&self, path: &str, owner: &str, id: [u8; ID], now: u64) -> Option<String> {
        let age = self.made_on(path).map(|made_on| day(now).wrapping_sub(made_on));
        // A clock that was set back makes no difference.
        let stays = age.is_some_and(|age| age <= RENEWED_DAYS || age >= u16::MAX / 2);
        (!stays).then(|| self.encode(owner, id, now))
    }

    /// When a return path was made here; none: it was not.
    fn made_on(&self, path: &str) -> Option<u16> {
        let token = BASE32_NOPAD_NOCASE.decode(self.token(path)?.as_bytes()).ok()?;
        let (said, mac) = token.split_last_chunk::<MAC>()?;
        let own: [u8; MAC] = cut(&self.mac(b"token", said));
        constant_time::verify_slices_are_equal(&own, mac).ok()?;
        said.first_chunk::<DAY>().map(|made_on| u16::from_be_bytes(*made_on))
    }

    /// Whether an address has the form of a return path, so that it is for [`Self::decode`] and not for the directory.
    pub fn looks_like_ours(&self, address: &str) -> bool {
        self.token(address).is_some()
    }

    /// What a recipient address says, if mail with this sender may come to it. `mail_from` is empty for a bounce; `now`: Unix seconds.
    pub fn decode(&self, mail_from: &str, address: &str, now: u64) -> Result<Returned, ReturnPathError> {
        let token = self.token(address).ok_or(ReturnPathError::NotOurs)?;
        let token = BASE32_NOPAD_NOCASE.decode(token.as_bytes()).map_err(|_| ReturnPathError::Forged)?;
        let (said, mac) = token.split_last_chunk::<MAC>().ok_or(ReturnPathError::Forged)?;
        let own: [u8; MAC] = cut(&self.mac(b"token", said));
        constant_time::verify_slices_are_equal(&own, mac).map_err(|_| ReturnPathError::Forged)?;
        let (made_on, rest) = said.split_first_chunk::<DAY>().ok_or(ReturnPathError::Forged)?;
        let (owner, id) = rest.split_first_chunk::<OWNER>().ok_or(ReturnPathError::Forged)?;
        let id = <[u8; ID]>::try_from(id).map_err(|_| ReturnPathError::Forged)?;
        let made_on = u16::from_be_bytes(*made_on);
        // Clocks of two nodes may differ: one day ahead is believed.
        if day(now).wrapping_add(1).wrapping_sub(made_on) > VALID_DAYS + 1 {
            return Err(ReturnPathError::Expired);
        }
        if !mail_from.is_empty() {
            return Err(ReturnPathError::NotABounce);
        }
        Ok(Returned { owner: OwnerTag(*owner), id, day: made_on })
    }

    /// The token of an address of ours.
    fn token<'a>(&self, address: &'a str) -> Option<&'a str> {
        let (local, domain) = address.rsplit_once('@')?;
        let (prefix, token) = local.split_at_checked(PREFIX.len())?;
        (domain.eq_ignore_ascii_case(&self.domain) && prefix.eq_ignore_ascii_case(PREFIX)).then_some(token)
    }

    /// `label` keeps the two uses of the key apart.
    fn mac(&self, label: &[u8], octets: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"sealpost return path 1");
        context.update(&[0]);
        context.update(label);
        context.update(&[0]);
        context.update(octets);
        context.sign()
    }
}

fn day(now: u64) -> u16 {
    u16::try_from(now / ONE_DAY % (1 << 16)).unwrap_or_default()
}

/// The first octets of a MAC (RFC 2104 §5).
fn cut<const N: usize>(mac: &hmac::Tag) -> [u8; N] {
    mac.as_ref().first_chunk::<N>().copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_795_426_830;

    fn ours() -> ReturnPath {
        ReturnPath::new(&[7; 32], "fwd.example.net")
    }

    #[test]
    fn what_was_made_comes_back() {
        let path = ours().encode("Alice@example.net", [9; 16], NOW);
        assert!(path.starts_with("bounce+") && path.ends_with("@fwd.example.net") && path.is_ascii(), "{path}");
        assert!(path.split('@').next().expect("local part").len() <= 64, "{path}");
        assert!(!path.contains("alice"));
        for address in [path.clone(), path.to_uppercase()] {
            let back = ours().decode("", &address, NOW + 5 * ONE_DAY).expect("ours");
            assert_eq!((back.owner, back.id), (ours().owner("alice@example.net"), [9; 16]));
            assert_ne!(back.owner, ours().owner("bob@example.net"));
        }
    }

    #[test]
    fn what_has_waited_for_long_is_believed_for_as_long_again() {
        let path = ours().encode("alice@example.net", [9; 16], NOW);
        for days in [0, 1, 5] {
            assert_eq!(ours().renewed(&path, "alice@example.net", [9; 16], NOW + days * ONE_DAY), None);
        }
        assert_eq!(ours().renewed(&path, "alice@example.net", [9; 16], NOW - 2 * ONE_DAY), None);
        let later = NOW + 20 * ONE_DAY;
        let renewed = ours().renewed(&path, "alice@example.net", [9; 16], later).expect("old");
        let back = ours().decode("", &renewed, later + 14 * ONE_DAY).expect("ours");
        assert_eq!((back.id, back.owner), ([9; 16], ours().owner("alice@example.net")));
    }

    /// The owner gave the forwarder another name or another secret while copies waited.
    #[test]
    fn what_was_made_in_another_name_or_with_another_secret_is_made_anew() {
        let moved = ReturnPath::new(&[7; 32], "other.example");
        let secret = ReturnPath::new(&[8; 32], "fwd.example.net");
        for old in [moved.encode("alice@example.net", [9; 16], NOW), secret.encode("alice@example.net", [9; 16], NOW)]
            .into_iter()
            .chain(["eve@example.com".to_owned()])
        {
            let renewed = ours().renewed(&old, "alice@example.net", [9; 16], NOW).expect("another one");
            assert_eq!(ours().decode("", &renewed, NOW).expect("ours").id, [9; 16]);
        }
    }

    #[test]
    fn what_was_not_made_here_is_refused() {
        let path = ours().encode("alice@example.net", [9; 16], NOW);
        let check = |address: &str, from: &str, now, error| {
            assert_eq!(ours().decode(from, address, now), Err(error), "{address}");
        };
        check(&path, "", NOW + 15 * ONE_DAY, ReturnPathError::Expired);
        check(&path, "", NOW - 2 * ONE_DAY, ReturnPathError::Expired);
        assert!(ours().decode("", &path, NOW + 14 * ONE_DAY).is_ok());
        assert!(ours().decode("", &path, NOW - ONE_DAY).is_ok());
        check(&path, "eve@example.com", NOW, ReturnPathError::NotABounce);
        check(&path.replace("fwd.", "www."), "", NOW, ReturnPathError::NotOurs);
        check("alice@fwd.example.net", "", NOW, ReturnPathError::NotOurs);
        check("bounce+@fwd.example.net", "", NOW, ReturnPathError::Forged);
        let other = ReturnPath::new(&[8; 32], "fwd.example.net").encode("alice@example.net", [9; 16], NOW);
        check(&other, "", NOW, ReturnPathError::Forged);
        assert!(ReturnPathError::Forged.reply().is_permanent());
    }

    proptest! {
        #[test]
        fn every_message_has_its_own(id: [u8; 16], address in "[a-z]{1,80}@[a-z.]{1,100}", now in 0..1u64 << 40) {
            let path = ours().encode(&address, id, now);
            let back = ours().decode("", &path, now).expect("ours");
            prop_assert_eq!(back.id, id);
            prop_assert_eq!(back.owner, ours().owner(&address));
        }

        #[test]
        fn one_changed_letter_is_a_forgery(at in 0usize..53, letter in "[a-z2-7]") {
            let path = ours().encode("alice@example.net", [9; 16], NOW);
            let at = PREFIX.len() + at;
            let mut forged = path.clone();
            forged.replace_range(at..=at, &letter);
            prop_assume!(forged != path);
            prop_assert!(ours().decode("", &forged, NOW).is_err());
        }

        #[test]
        fn no_address_breaks_it(address: String, token: String, now: u64) {
            let _ = ours().decode("", &address, now);
            let _ = ours().decode("", &format!("bounce+{token}@fwd.example.net"), now);
        }
    }
}
