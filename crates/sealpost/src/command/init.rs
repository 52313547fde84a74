//! `init`: keys and a config. Nothing is overwritten, and nothing counts as made before a trial message was sealed to it
//! and opened again with each key, read back from where it was written.

#[cfg(feature = "open")]
use std::path::{Path, PathBuf};

use sealed::signature::SealerKey;

use crate::{
    args::Init,
    failure::{Exit, Failure},
    home::{self, Home},
    tell::tell,
};

/// Makes a home.
pub fn run(home: &Home, init: &Init) -> Result<(), Failure> {
    match &init.address {
        None => sealer_only(home),
        #[cfg(feature = "open")]
        Some(_) => {
            let Made { recovery, p12 } = make(home, init)?;
            tell(format_args!("Made a home in {}.", home.root().display()));
            tell("A trial message was sealed and opened with the mailbox key and with the recovery key.");
            if let Some(P12 { file, drawn }) = p12 {
                tell(format_args!("For phones and mail programs: import {}, then delete it.", file.display()));
                if init.readers.is_empty() {
                    tell(
                        "Apple's programs do not open the RSA padding that is the default, others may not. Say what you read with:",
                    );
                    tell("  sealpost key enrolment --reader ios-mail > mine && sealpost key import mine");
                }
                if let Some(password) = drawn {
                    tell(format_args!("Its password, shown once: {}", *password));
                }
            }
            match &init.recovery {
                Some(file) => {
                    tell(format_args!("The recovery key is in {}: take it off this machine.", file.display()))
                }
                None => {
                    tell(
                        "This is the recovery key, printed once. Keep it on paper or on a stick, not on this machine.",
                    );
                    crate::command::print(&recovery).map_err(|failure| {
                        failure.hint(
                            "the recovery key was not shown and is lost: throw this home away and make another one",
                        )
                    })?;
                }
            }
            tell("Without the mailbox key or the recovery key nobody can open your mail, nor can we.");
            Ok(())
        }
        #[cfg(not(feature = "open"))]
        Some(_) => Err(Failure::new(Exit::Usage, "this program only seals: it cannot make an owner's keys")
            .hint("make them on the owner's machine, and here: `sealpost init --sealer`")),
    }
}

/// What was made beside the home.
#[cfg(feature = "open")]
pub struct Made {
    /// The recovery key, armored.
    pub recovery: zeroize::Zeroizing<String>,
    /// The mailbox key for other programs, with S/MIME.
    pub p12: Option<P12>,
}

/// A PKCS #12 file.
#[cfg(feature = "open")]
pub struct P12 {
    /// Where it is.
    pub file: PathBuf,
    /// Its password, unless the owner chose it.
    pub drawn: Option<zeroize::Zeroizing<String>>,
}

/// An owner's home, made without a word.
#[cfg(feature = "open")]
pub fn make(home: &Home, init: &Init) -> Result<Made, Failure> {
    if let Some(recovery) = &init.recovery {
        refuse_inside(home, recovery)?;
    }
    if let Some(file) = init.p12.as_ref().filter(|file| file.exists()) {
        return Err(Failure::new(Exit::Usage, format_args!("{} exists already", file.display()))
            .hint("it is never overwritten; name another file"));
    }
    owner::make(home, init, init.address.as_deref().unwrap_or_default())
}

fn sealer_only(home: &Home) -> Result<(), Failure> {
    home.create()?;
    home.write_sealer(&SealerKey::generate())?;
    home::write_new(&home.config(), CONFIG.as_bytes(), 0o600)?;
    tell(format_args!("Made a sealer's home in {}: it holds nothing that could open mail.", home.root().display()));
    tell(
        "Next, on a mail server: a flow in config.toml, `sealpost directory add ADDRESS ENROLMENT` for each owner, `sealpost check`.",
    );
    tell("Next, for one owner's mailbox: `sealpost key import ENROLMENT` with his public file, and a flow.");
    tell("In both cases give the owners what `sealpost key export --sealer` prints, to pin.");
    Ok(())
}

#[cfg(feature = "open")]
fn refuse_inside(home: &Home, recovery: &Path) -> Result<(), Failure> {
    let parent = recovery.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if settled(parent).starts_with(settled(home.root())) {
        return Err(Failure::new(Exit::Usage, "the recovery key must not lie in the home that it is to outlive")
            .hint("name a file elsewhere: another disk, a USB stick; or print it"));
    }
    if recovery.exists() {
        return Err(Failure::new(Exit::Usage, format_args!("{} exists already", recovery.display()))
            .hint("it is never overwritten; name another file"));
    }
    Ok(())
}

#[cfg(feature = "open")]
/// Where a path leads, also when its end is not there yet: the home is made after this is asked.
fn settled(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut there = absolute.ancestors();
    let found =
        there.find_map(|ancestor| Some((std::fs::canonicalize(ancestor).ok()?, absolute.strip_prefix(ancestor).ok()?)));
    found.map(|(ancestor, rest)| ancestor.join(rest)).unwrap_or(absolute)
}

/// The config that a new home gets.
pub const CONFIG: &str = "\
# Sealpost. One flow = take mail from a source, seal it, put it in a sink.
# `sealpost check` says whether this file is right.

# [flow.archive]
# source = { maildir = \"/home/me/Maildir\" }        # all but drafts, junk and trash
# seal   = { to = \"me@example.org\" }
# sink   = \"in-place\"
#
# then:  sealpost plan archive   ·   sealpost sweep archive   ·   sealpost status archive

# [account.work]
# address  = \"me@example.org\"
# imap     = \"imaps://imap.example.org\"
# password = { command = \"pass show mail/work\" }    # or { file = }, { env = }, { token-command = } for OAuth
#
# [flow.inbox]
# source = { account = \"work\" }                     # all but drafts, junk and trash
# seal   = { to = \"me@example.org\" }
# sink   = \"in-place\"
#
# then:  sealpost check   ·   sealpost plan inbox   ·   sealpost sweep inbox   ·   sealpost watch inbox

# Mail for an address of your own, taken in here, sealed, and put into the account above (docs/forwarder.md; a build with
# `--features forward`):
#
# [flow.forward]
# source = { smtp = \"0.0.0.0:25\", for = [\"me@my.example\"], hello = \"mx.my.example\",
#            tls-certificate = \"tls/fullchain.pem\", tls-key = \"tls/key.pem\" }
# seal   = { to = \"me@my.example\" }
# sink   = { account = \"work\", mailbox = \"INBOX\" }
#
# then:  sealpost check   ·   sealpost run   ·   sealpost status forward   ·   sealpost queue list
";

#[cfg(feature = "open")]
mod owner {
    use std::{io::Cursor, path::Path};

    use open::{Algorithm, AnySecretKey, Keyring, SecretKey, X509SecretKey};
    use seal::{Compression, Enrolment, NewId, Padding, Policy, Settings};
    use sealed::{
        index::Way,
        signature::{SealerKey, Trust},
    };
    use zeroize::Zeroizing;

    use super::{CONFIG, Made, P12};
    use crate::{
        args::Init,
        clock,
        failure::{DoingWhat, Exit, Failure},
        home::{self, Home},
        passphrase,
    };

    /// Makes the keys.
    pub(super) fn make(home: &Home, init: &Init, address: &str) -> Result<Made, Failure> {
        if !address.contains('@') || address.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
            return Err(
                Failure::new(Exit::Usage, "this is no mail address").hint("for example: --address alice@example.org")
            );
        }
        home.owner_file(address)?;
        home.create()?;
        let protection = if init.passphrase.no_passphrase {
            None
        } else {
            Some(passphrase::choose(init.passphrase.passphrase_file.as_deref())?)
        };
        let recovery_protection = match &init.recovery_passphrase_file {
            Some(file) => Some(passphrase::choose(Some(file))?),
            None => protection.clone(),
        };
        let protection = protection.as_deref().map(String::as_str);
        let recovery_protection = recovery_protection.as_deref().map(String::as_str);
        let make = |protection: Option<&str>| -> Result<(AnySecretKey, Zeroizing<String>), Failure> {
            let key = generate(init, address)?;
            let armored = key.relock(None, protection)?.armored()?;
            Ok((key, armored))
        };
        let (mailbox, mailbox_armored) = make(protection)?;
        let (recovery, recovery_armored) = make(recovery_protection)?;
        let enrolment = enrolment(address, init, &mailbox, &recovery)?;
        let sealer = SealerKey::generate();
        let account = mailbox.account()?;
        let recovery_text =
            Zeroizing::new(format!("{}{}", home::recovery_preface(account, sealer.public()), *recovery_armored));

        // What was written is read back: a key that exists only in memory proves nothing.
        let recovery_kept = match &init.recovery {
            Some(file) => {
                home::write_new(file, recovery_text.as_bytes(), 0o600)?;
                read_back(file)?
            }
            None => recovery_text.clone(),
        };
        let p12 = match &mailbox {
            AnySecretKey::X509(key) => Some(write_p12(home, init, key)?),
            AnySecretKey::OpenPgp(_) => None,
        };
        home.write_mailbox(mailbox.scheme(), &mailbox_armored, address, &enrolment)?;
        let mailbox_kept = home.secrets()?;
        let mailbox_kept = mailbox_kept.first().map_or(&[][..], |octets| octets);
        let kept = home.owner(address)?;
        let of_home = Trust { accounts: vec![account], sealers: vec![sealer.public().clone()] };
        trial(&kept, mailbox_kept, protection, &sealer, &of_home)?;
        // The recovery key must do with what its own file says: the home may be gone.
        let of_recovery = home::parse_preface(recovery_kept.as_bytes());
        trial(&kept, recovery_kept.as_bytes(), recovery_protection, &sealer, &of_recovery)?;
        // The sealer key is written last: without it, the home does not count as made.
        home.write_sealer(&sealer)?;
        home::write_new(&home.config(), CONFIG.as_bytes(), 0o600)?;
        Ok(Made { recovery: recovery_text, p12 })
    }

    fn generate(init: &Init, address: &str) -> Result<AnySecretKey, Failure> {
        if init.smime {
            return Ok(AnySecretKey::X509(X509SecretKey::generate(address, clock::now())?));
        }
        let algorithm = if init.v6 { Algorithm::V6X25519 } else { Algorithm::V4Curve25519 };
        Ok(AnySecretKey::OpenPgp(Box::new(SecretKey::generate(address, algorithm)?)))
    }

    /// Writes the mailbox key for other programs, and reads it back.
    fn write_p12(home: &Home, init: &Init, key: &X509SecretKey) -> Result<P12, Failure> {
        let file = init.p12.clone().unwrap_or_else(|| home.p12());
        let (password, drawn) = match &init.p12_passphrase_file {
            Some(named) => (passphrase::choose(Some(named))?, None),
            None => {
                let password = passphrase::draw();
                (password.clone(), Some(password))
            }
        };
        home::write_new(&file, &key.to_p12(None, &password)?, 0o600)?;
        let octets =
            std::fs::read(&file).map(Zeroizing::new).doing(Exit::Temporary, "cannot read the .p12 file back")?;
        let back = X509SecretKey::from_p12(&octets, &password)?;
        if back.fingerprint()? != key.fingerprint()? {
            return Err(Failure::new(Exit::Temporary, "the .p12 file does not hold the key")
                .hint("throw this home away and try again; if it stays so, this is a bug: please report it"));
        }
        Ok(P12 { file, drawn })
    }

    fn read_back(file: &Path) -> Result<Zeroizing<String>, Failure> {
        std::fs::read_to_string(file).map(Zeroizing::new).doing(Exit::Temporary, "cannot read the recovery key back")
    }

    fn enrolment(
        address: &str,
        init: &Init,
        mailbox: &AnySecretKey,
        recovery: &AnySecretKey,
    ) -> Result<String, Failure> {
        let armored = format!("{}{}", mailbox.certificate_armored()?, recovery.certificate_armored()?);
        let mut enrolment = Enrolment::parse(armored.as_bytes(), clock::now())?;
        enrolment.addresses.push(address.to_owned());
        enrolment.readers.clone_from(&init.readers);
        Ok(enrolment.write(&armored))
    }

    /// Seals a trial message to all, opens it with one.
    fn trial(
        enrolment: &Enrolment,
        secret: &[u8],
        passphrase: Option<&str>,
        sealer: &SealerKey,
        trust: &Trust,
    ) -> Result<(), Failure> {
        const TRIAL: &[u8] = b"From: trial@sealpost.invalid\r\nSubject: trial\r\n\r\nIt opens.\r\n";
        let account = enrolment.account().ok_or_else(|| Failure::new(Exit::Temporary, "the enrolment was not kept"))?;
        let recipients = enrolment.recipients();
        let settings = Settings {
            account,
            recipients: &recipients,
            sealer,
            profile: enrolment.profile(),
            policy: Policy::default(),
            outer_id: seal::OuterId::Kept,
            outer_from: None,
            compression: Compression::Never,
            padding: Padding::Bucket,
            id: NewId::Random,
            sequence: 0,
            time: clock::now(),
            way: Way::Client,
            place: seal::Place::default(),
        };
        let mut sealed = Vec::new();
        seal::seal(&mut Cursor::new(TRIAL), || Ok(Cursor::new(Vec::new())), &mut sealed, &settings)?;
        let mut keys = Keyring::default();
        keys.add(AnySecretKey::parse(secret)?.unlock(passphrase)?);
        let mut original = Vec::new();
        open::open(&mut sealed.as_slice(), Cursor::new(Vec::new()), &keys, trust)?.write(&mut original)?;
        if original == TRIAL {
            Ok(())
        } else {
            Err(Failure::new(Exit::Temporary, "the trial message did not come back")
                .hint("throw this home away and try again; if it stays so, this is a bug: please report it"))
        }
    }
}
