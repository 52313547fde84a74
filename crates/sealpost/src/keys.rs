//! Keys put together for a command: whom to seal to, what to open with.

use std::path::Path;

use seal::{Enrolment, RecipientKey};
use sealed::{identity::AccountId, signature::SealerKey};

use crate::{
    args, clock,
    failure::{DoingWhat, Exit, Failure},
    home::Home,
};

/// Whom to seal to.
pub struct Recipients {
    pub enrolment: Enrolment,
    pub keys: Vec<RecipientKey>,
    pub account: AccountId,
    pub sealer: SealerKey,
}

impl Recipients {
    /// From files named on the command line, or the owner in the home.
    pub fn find(
        home: &Home,
        files: &[std::path::PathBuf],
        to: Option<&str>,
        scheme: Option<seal::Scheme>,
    ) -> Result<Self, Failure> {
        let enrolment = match (files, to) {
            ([], Some(address)) => home.owner(address)?,
            ([], None) => home.only_owner()?,
            (files, _) => {
                let mut all: Option<Enrolment> = None;
                for file in files {
                    let octets =
                        std::fs::read(file).doing(Exit::Config, format_args!("cannot read {}", file.display()))?;
                    let mut enrolment = Enrolment::parse(&octets, clock::now())?;
                    match &mut all {
                        None => all = Some(enrolment),
                        Some(first) if first.scheme != enrolment.scheme => {
                            let hint = "name certificates of one kind";
                            return Err(Failure::new(Exit::Usage, seal::WrapError::OtherKind).hint(hint));
                        }
                        Some(first) => first.certificates.append(&mut enrolment.certificates),
                    }
                }
                all.ok_or_else(|| Failure::new(Exit::Usage, "no certificate was named"))?
            }
        };
        let enrolment = match scheme {
            Some(scheme) => enrolment.of_scheme(scheme)?,
            None => enrolment,
        };
        // Whoever has no home yet still seals, with a key for this run only: who opens must be told to trust it.
        let sealer = if home.is_initialised() {
            home.sealer()?
        } else {
            return Err(Failure::new(
                Exit::Config,
                format_args!("there is no sealer key in {}", home.root().display()),
            )
            .hint("make one: `sealpost init --sealer`, or `sealpost init --address YOU@EXAMPLE`"));
        };
        let account =
            enrolment.account().ok_or_else(|| Failure::new(Exit::Config, "the enrolment names no certificate"))?;
        let keys = enrolment.recipients();
        Ok(Self { enrolment, keys, account, sealer })
    }
}

impl From<args::Policy> for seal::Policy {
    fn from(policy: args::Policy) -> Self {
        match policy {
            args::Policy::Open => Self::Open,
            args::Policy::Baseline => Self::Baseline,
            args::Policy::Shy => Self::Shy,
            args::Policy::Hidden => Self::Hidden,
        }
    }
}

impl From<args::Scheme> for seal::Scheme {
    fn from(scheme: args::Scheme) -> Self {
        match scheme {
            args::Scheme::Pgp => Self::Pgp,
            args::Scheme::Smime => Self::Smime,
        }
    }
}

impl From<args::Compress> for seal::Compression {
    fn from(compress: args::Compress) -> Self {
        match compress {
            args::Compress::Auto => Self::Auto,
            args::Compress::Never => Self::Never,
        }
    }
}

/// What to open with.
#[cfg(feature = "open")]
pub struct Reading {
    pub keys: open::Keyring,
    pub trust: sealed::signature::Trust,
}

#[cfg(feature = "open")]
impl Reading {
    /// The keys of the home, or a key file; the sealers of the home, and one more.
    pub fn find(
        home: &Home,
        key: Option<&Path>,
        trust_sealer: Option<&Path>,
        passphrase_file: Option<&Path>,
    ) -> Result<Self, Failure> {
        let mut trust = home.trust()?;
        if let Some(file) = trust_sealer {
            trust.sealers.push(read_sealer(file)?);
        }
        let secrets = match key {
            Some(file) => {
                let octets = std::fs::read(file).doing(Exit::Config, format_args!("cannot read {}", file.display()))?;
                vec![zeroize::Zeroizing::new(octets)]
            }
            None => home.secrets()?,
        };
        if secrets.is_empty() {
            return Err(Failure::new(
                Exit::Config,
                format_args!("there is no secret key in {}", home.root().display()),
            )
            .hint("run this where the mailbox key is, or bring it here: `sealpost key import FILE`"));
        }
        let mut keys = open::Keyring::default();
        let mut passphrase = None;
        for octets in &secrets {
            // A recovery key says whose mail it opens, and whom to believe.
            let preface = crate::home::parse_preface(octets);
            trust.accounts.extend(preface.accounts);
            trust.sealers.extend(preface.sealers);
            let secret = open::AnySecretKey::parse(octets)?;
            let account = secret.account()?;
            if !trust.accounts.contains(&account) {
                trust.accounts.push(account);
            }
            if secret.is_locked() && passphrase.is_none() {
                let what = key.map_or_else(|| "the mailbox key".to_owned(), |file| file.display().to_string());
                passphrase = Some(crate::passphrase::ask(passphrase_file, &what)?);
            }
            keys.add(secret.unlock(passphrase.as_deref().map(String::as_str))?);
        }
        Ok(Self { keys, trust })
    }
}

/// A sealer's public line, from a file or standard input (`-`).
pub fn read_sealer(file: &Path) -> Result<sealed::signature::SealerPublic, Failure> {
    let text =
        if file == Path::new("-") { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(file) };
    let text = text.doing(Exit::Config, format_args!("cannot read {}", file.display()))?;
    text.lines().find_map(crate::home::parse_sealer).ok_or_else(|| {
        Failure::new(Exit::Data, "no sealer key in it").hint("on the sealing machine: `sealpost key export --sealer`")
    })
}

#[cfg(feature = "open")]
impl From<open::KeyError> for Failure {
    fn from(error: open::KeyError) -> Self {
        use open::KeyError;
        let (exit, hint) = match error {
            KeyError::Unparsable => (
                Exit::Config,
                "export it again: `gpg --export-secret-keys --armor ADDRESS`; an S/MIME key as .p12, or in PEM as PKCS #8",
            ),
            KeyError::NoCertificate => (Exit::Config, "put key and certificate into one file: `cat key.pem cert.pem`"),
            KeyError::OtherCertificate => (Exit::Config, "find the certificate that was issued for this key"),
            KeyError::P12 => (Exit::Refused, "try again; whoever made the file chose its password"),
            KeyError::Passphrase => (
                Exit::Refused,
                "try again; there is no way around a lost passphrase, but the recovery key may have another one",
            ),
            KeyError::Locked => (Exit::Config, "name a file that holds the passphrase: --passphrase-file FILE"),
            KeyError::CannotDecrypt => (Exit::Config, "name a key that mail was sealed to"),
            KeyError::Making => (Exit::Temporary, "try again; if it stays so, this is a bug: please report it"),
        };
        Self::new(exit, error).hint(hint)
    }
}
