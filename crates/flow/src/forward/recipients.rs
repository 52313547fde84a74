//! Whom a forwarder takes mail for; everybody else is refused, so that it is no open relay (RFC 5321 §7.9, RFC 2505 §2.1).
//!
//! In: addresses and domains, as the configuration says; what RCPT says. Out: yes or no. All of them are one owner's.

/// Addresses (`me@my.example`) and domains (`@my.example`), in lower case.
#[derive(Clone, Debug, Default)]
pub struct Recipients(Vec<String>);

impl Recipients {
    /// As they are written.
    pub fn new(list: impl IntoIterator<Item = String>) -> Recipients {
        Recipients(list.into_iter().map(|one| one.to_lowercase()).collect())
    }

    /// An address of the owner's: the first that is one, else `postmaster` of his domain.
    pub(crate) fn owner(&self) -> String {
        let address = self.0.iter().find(|one| !one.starts_with('@'));
        address.cloned().or_else(|| self.0.first().map(|domain| format!("postmaster{domain}"))).unwrap_or_default()
    }

    /// Is mail taken for it? Also with what follows a `+` (RFC 5233).
    pub(crate) fn has(&self, address: &str) -> bool {
        let address = address.to_lowercase();
        // RFC 5321 §4.5.1: `RCPT TO:<Postmaster>`, without a domain.
        let Some((local, domain)) = address.rsplit_once('@') else { return address == "postmaster" };
        // `user%elsewhere@here` and `elsewhere!user@here` once meant: hand it on.
        if local.contains(['%', '!', '@', '"']) || local.is_empty() {
            return false;
        }
        let user = local.split('+').next().unwrap_or(local);
        let names = [address.as_str(), &format!("{user}@{domain}"), &format!("@{domain}")].map(str::to_owned);
        // RFC 5321 §4.5.1: whoever takes mail for a domain takes it for this one, too.
        let is_postmaster = local == "postmaster" && self.serves(domain);
        is_postmaster || self.0.iter().any(|one| names.contains(one))
    }

    /// Is any mail of a domain taken?
    fn serves(&self, domain: &str) -> bool {
        self.0.iter().any(|one| one.rsplit_once('@').is_some_and(|(_, served)| served == domain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owners_addresses_are_taken() {
        let recipients = Recipients::new(["Me@My.example".to_owned(), "@all.example".to_owned()]);
        for (address, taken) in [
            ("me@my.example", true),
            ("ME+news@MY.EXAMPLE", true),
            ("you@my.example", false),
            ("Postmaster@my.example", true),
            ("postmaster@all.example", true),
            ("Postmaster", true),
            ("postmaster@elsewhere.example", false),
            ("any@all.example", true),
            ("any@sub.all.example", false),
            ("other%elsewhere@all.example", false),
            ("elsewhere!other@all.example", false),
            ("\"a@b\"@all.example", false),
            ("me@my.example@evil.example", false),
            ("@all.example", false),
            ("me", false),
            ("", false),
        ] {
            assert_eq!(recipients.has(address), taken, "{address}");
        }
    }
}
