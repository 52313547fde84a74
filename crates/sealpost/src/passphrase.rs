//! Where a passphrase comes from: a file that was named, or the terminal. Never an argument or an environment variable
//! that holds it, and there is no agent.

use std::{io::IsTerminal, path::Path};

use zeroize::Zeroizing;

use crate::failure::{DoingWhat, Exit, Failure};

/// The passphrase of existing keys. `file`: as named with `--passphrase-file`.
pub fn ask(file: Option<&Path>, what: &str) -> Result<Zeroizing<String>, Failure> {
    match file {
        Some(file) => from_file(file),
        None => prompt(&format!("Passphrase for {what}: ")),
    }
}

/// A passphrase for new keys: asked for twice.
pub fn choose(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    let passphrase = match file {
        Some(file) => from_file(file)?,
        None => {
            let first = prompt("New passphrase: ")?;
            let again = prompt("The same again: ")?;
            if *first != *again {
                return Err(Failure::new(Exit::Usage, "the two passphrases differ").hint("run the command again"));
            }
            first
        }
    };
    if passphrase.is_empty() {
        let hint = "choose one, or ask for unprotected keys in that word: --no-passphrase";
        return Err(Failure::new(Exit::Usage, "the passphrase is empty").hint(hint));
    }
    Ok(passphrase)
}

/// A password of 100 random bits, for something that a weak derivation protects. It is typed once, on a phone perhaps.
#[cfg(feature = "open")]
pub fn draw() -> Zeroizing<String> {
    // No letter that looks like another one, or like a digit.
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let octets: Zeroizing<[u8; 20]> = Zeroizing::new(sealed::identity::random());
    let mut password = Zeroizing::new(String::with_capacity(32));
    for (position, octet) in octets.iter().enumerate() {
        if position > 0 && position.is_multiple_of(5) {
            password.push('-');
        }
        password.push(char::from(LETTERS[usize::from(octet % 32)]));
    }
    password
}

/// The first line.
fn from_file(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = std::fs::read_to_string(file)
        .doing(Exit::Config, format_args!("cannot read the passphrase file {}", file.display()))?;
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

fn prompt(text: &str) -> Result<Zeroizing<String>, Failure> {
    if !std::io::stderr().is_terminal() || std::fs::File::open("/dev/tty").is_err() {
        return Err(Failure::new(Exit::Config, "a passphrase is needed, and there is no terminal to ask on")
            .hint("name a file that holds it: --passphrase-file FILE"));
    }
    let typed = rpassword::prompt_password(text).map(Zeroizing::new);
    // Ctrl-C: a key here, or a signal that was heard. The terminal is as it was again.
    let is_interrupted = typed.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::Interrupted);
    if is_interrupted || crate::stop::is_stopped() {
        return Err(Failure::new(Exit::Interrupted, "no passphrase was given"));
    }
    typed.doing(Exit::Config, "cannot ask for the passphrase")
}
