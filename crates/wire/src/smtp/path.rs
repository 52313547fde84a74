//! Who a message is from and whom it is for: the arguments of MAIL and RCPT (RFC 5321 §4.1.2), with their parameters.
//!
//! In: the text after the verb. Out: address and parameters, or that it is none. An address is kept as it was written, and so is every
//! parameter: whoever hands the message on must not make another envelope of it. Never decides whether an address exists.

use crate::smtp::limit;

/// A parameter of an extension (RFC 5321 §4.1.1.11), as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// In upper case.
    pub name: String,
    /// After the `=`, if there is one.
    pub value: Option<String>,
}

/// What the content of a message may hold (RFC 6152, RFC 3030), the least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Body {
    /// ASCII in lines.
    #[default]
    SevenBit,
    /// Any octets in lines.
    EightBitMime,
    /// Any octets.
    BinaryMime,
}

/// The argument of MAIL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailFrom {
    /// Without its brackets; empty: the null sender of notices (RFC 5321 §4.5.5).
    pub address: String,
    /// Octets, as the sender announced them (RFC 1870).
    pub size: Option<u64>,
    /// What the content may hold.
    pub body: Body,
    /// Addresses and header fields may hold UTF-8 (RFC 6531).
    pub smtputf8: bool,
    /// All others: RET, ENVID (RFC 3461), REQUIRETLS (RFC 8689), AUTH (RFC 4954), …
    pub parameters: Vec<Parameter>,
}

/// The argument of RCPT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RcptTo {
    /// Without its brackets.
    pub address: String,
    /// NOTIFY, ORCPT (RFC 3461), …
    pub parameters: Vec<Parameter>,
}

impl MailFrom {
    /// `argument`: what follows `MAIL`.
    pub fn parse(argument: &str) -> Option<MailFrom> {
        let (address, rest) = path(argument, "FROM:")?;
        let mut mail = MailFrom { address: address.to_owned(), ..MailFrom::default() };
        for parameter in parameters(rest)? {
            let value = parameter.value.as_deref();
            match parameter.name.as_str() {
                "SIZE" => mail.size = Some(value?.parse().ok()?),
                "BODY" => {
                    mail.body = match value?.to_ascii_uppercase().as_str() {
                        "7BIT" => Body::SevenBit,
                        "8BITMIME" => Body::EightBitMime,
                        "BINARYMIME" => Body::BinaryMime,
                        _ => return None,
                    }
                }
                "SMTPUTF8" if value.is_none() => mail.smtputf8 = true,
                _ => mail.parameters.push(parameter),
            }
        }
        Some(mail)
    }

    /// What [`MailFrom::parse`] reads, without SIZE.
    pub fn argument(&self) -> String {
        let mut text = format!("FROM:<{}>", self.address);
        match self.body {
            Body::SevenBit => {}
            Body::EightBitMime => text.push_str(" BODY=8BITMIME"),
            Body::BinaryMime => text.push_str(" BODY=BINARYMIME"),
        }
        if self.smtputf8 {
            text.push_str(" SMTPUTF8");
        }
        self.parameters.iter().for_each(|parameter| parameter.write(&mut text));
        text
    }
}

impl RcptTo {
    /// `argument`: what follows `RCPT`.
    pub fn parse(argument: &str) -> Option<RcptTo> {
        let (address, rest) = path(argument, "TO:")?;
        if address.is_empty() {
            return None;
        }
        Some(RcptTo { address: address.to_owned(), parameters: parameters(rest)? })
    }

    /// What [`RcptTo::parse`] reads.
    pub fn argument(&self) -> String {
        let mut text = format!("TO:<{}>", self.address);
        self.parameters.iter().for_each(|parameter| parameter.write(&mut text));
        text
    }
}

impl Parameter {
    /// As it stands in a command.
    pub(crate) fn write(&self, to: &mut String) {
        to.push(' ');
        to.push_str(&self.name);
        if let Some(value) = &self.value {
            to.push('=');
            to.push_str(value);
        }
    }
}

/// `FROM:<address>`: the address, and what follows. A source route (RFC 5321 appendix C) is passed over.
fn path<'a>(argument: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let start = argument.get(..word.len())?;
    if !start.eq_ignore_ascii_case(word) {
        return None;
    }
    // quirk: many clients write a blank after the colon.
    let rest = argument.get(word.len()..)?.trim_start_matches(' ').strip_prefix('<')?;
    let end = end_of_path(rest)?;
    let address = rest.get(..end)?;
    let address = match address.strip_prefix('@').and_then(|route| route.split_once(':')) {
        Some((_, address)) => address,
        None => address,
    };
    let rest = rest.get(end.checked_add(1)?..)?;
    let sane = address.len() <= limit::ADDRESS && (rest.is_empty() || rest.starts_with(' '));
    sane.then_some((address, rest))
}

/// The `>` that is not within a quoted local part. No octet that could end a line, or a command, is in an address.
fn end_of_path(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if letter.is_control() => return None,
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => return Some(at),
            ' ' | '<' if !quoted => return None,
            _ => {}
        }
    }
    None
}

fn parameters(text: &str) -> Option<Vec<Parameter>> {
    let mut list: Vec<Parameter> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let first = name.chars().next()?;
        let plain = first.is_ascii_alphanumeric() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        // RFC 6531 §3.3 lets UTF-8 into values.
        let good = value.is_none_or(|value| !value.is_empty() && !value.chars().any(|c| c.is_control() || c == '='));
        let name = name.to_ascii_uppercase();
        let again = list.iter().any(|parameter| parameter.name == name);
        if !plain || !good || again || list.len() >= limit::PARAMETERS {
            return None;
        }
        list.push(Parameter { name, value: value.map(str::to_owned) });
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_and_recipients_are_read() {
        let mail = MailFrom::parse("FROM:<a@b.example> SIZE=12 body=8bitmime SMTPUTF8 RET=HDRS ENVID=x+2By");
        let mail = mail.unwrap_or_default();
        assert_eq!((mail.address.as_str(), mail.size, mail.body), ("a@b.example", Some(12), Body::EightBitMime));
        assert!(mail.smtputf8 && mail.parameters.len() == 2);
        let mut text = String::new();
        mail.parameters.iter().for_each(|parameter| parameter.write(&mut text));
        assert_eq!(text, " RET=HDRS ENVID=x+2By");
        let again = MailFrom::parse(&mail.argument()).unwrap_or_default();
        assert_eq!(again, MailFrom { size: None, ..mail });
        for (argument, address) in [
            ("FROM:<>", ""),
            ("from: <a@b>", "a@b"),
            ("FROM:<\"a b>\\\"c\"@d>", "\"a b>\\\"c\"@d"),
            ("FROM:<@x,@y:a@b>", "a@b"),
            ("FROM:<jörg@bücher.example> SMTPUTF8", "jörg@bücher.example"),
        ] {
            let mail = MailFrom::parse(argument);
            assert_eq!(mail.as_ref().map(|mail| mail.address.as_str()), Some(address), "{argument}");
        }
        for argument in [
            "",
            "FROM",
            "FROM:a@b",
            "FROM:<a@b",
            "FROM:<a b@c>",
            "FROM:<a@b>SIZE=1",
            "FROM:<a@b> SIZE=x",
            "FROM:<a@b> SIZE",
            "FROM:<a@b> BODY=9BIT",
            "FROM:<a@b> SIZE=1 SIZE=2",
            "FROM:<a@b> X=",
            "FROM:<a@b> =x",
            "FROM:<a@b> X=1=2",
            "FROM:<a\r@b>",
            "FROM:<a@b> X=\u{7}",
            "TO:<a@b>",
        ] {
            assert_eq!(MailFrom::parse(argument), None, "{argument:?}");
        }
        let to = RcptTo::parse("TO:<a+b@c> NOTIFY=NEVER ORCPT=rfc822;a@c").unwrap_or_default();
        assert_eq!((to.address.as_str(), to.parameters.len()), ("a+b@c", 2));
        assert!(RcptTo::parse("TO:<>").is_none() && RcptTo::parse("TO:<a@b> NOTIFY=").is_none());
        assert!(RcptTo::parse(&format!("TO:<{}@b>", "a".repeat(limit::ADDRESS))).is_none());
        assert!(RcptTo::parse("TO:<postmaster>").is_some());
    }
}
