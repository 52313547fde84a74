//! `key`: list, export, import, trust-sealer, enrolment, dkim.

#[cfg(feature = "forward")]
use flow::forward::dkim::{KeyError, Signer};
use seal::Enrolment;
use sealed::field::encode_id;
use serde::Serialize;

use crate::{
    args::{EnrolmentArguments, Export, Import, Key},
    clock,
    command::{print, print_json},
    failure::{DoingWhat, Exit, Failure},
    home::{self, Home, account_name},
    keys::read_sealer,
    tell::tell,
};

/// Runs a key command.
pub fn run(home: &Home, key: &Key) -> Result<(), Failure> {
    match key {
        Key::List(json) => list(home, json.json),
        Key::Export(export) => self::export(home, export),
        Key::Import(import) => self::import(home, import),
        Key::TrustSealer { file } => {
            let sealer = read_sealer(file)?;
            if !home.root().join("keys").is_dir() {
                return Err(no_home(home));
            }
            home.trust_sealer(&sealer)?;
            tell(format_args!("Mail sealed by {} is believed now.", encode_id(&sealer.id().0)));
            Ok(())
        }
        Key::Enrolment(enrolment) => self::enrolment(home, enrolment),
        #[cfg(feature = "forward")]
        Key::Dkim(key) => dkim(key),
    }
}

#[derive(Serialize)]
struct Listed {
    owners: Vec<Owner>,
    secret_keys: Vec<Secret>,
    trusted_sealers: Vec<String>,
    own_sealer: Option<String>,
}

#[derive(Serialize)]
struct Owner {
    address: String,
    account: String,
    policy: &'static str,
    profile: &'static str,
    certificates: Vec<Listing>,
}

#[derive(Serialize)]
struct Listing {
    fingerprint: String,
    role: &'static str,
    expires: Option<u64>,
}

#[derive(Serialize)]
struct Secret {
    fingerprint: String,
    under_passphrase: bool,
}

#[cfg(feature = "forward")]
fn dkim(key: &crate::args::DkimArguments) -> Result<(), Failure> {
    let pem = zeroize::Zeroizing::new(std::fs::read(&key.file).doing(Exit::Config, "cannot read the key")?);
    let signer = Signer::new(&key.domain).and_then(|signer| signer.with_key(&key.selector, &pem));
    let signer = signer.map_err(|error| {
        let hint = match error {
            KeyError::NotADomain | KeyError::NotASelector => {
                "letters, digits, `-` and `_`, with dots between: --domain my.example --selector s1"
            }
            KeyError::NotAKey | KeyError::Unsuitable | KeyError::TooShort => {
                "make one: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out dkim.pem"
            }
        };
        Failure::new(Exit::Config, error).hint(hint)
    })?;
    print(&format!("{}\n", signer.dns_records().join("\n")))
}

fn list(home: &Home, json: bool) -> Result<(), Failure> {
    let mut owners = Vec::new();
    for address in home.owners()? {
        match home.owner(&address) {
            Ok(enrolment) => owners.push(owner(address, &enrolment)),
            Err(failure) => tell(format_args!("sealpost: warning: {address}: {}", failure.error)),
        }
    }
    let own_sealer = home.sealer().ok().map(|sealer| encode_id(&sealer.public().id().0));
    let trusted_sealers = home.trust()?.sealers.iter().map(|sealer| encode_id(&sealer.id().0)).collect();
    let listed = Listed { owners, secret_keys: secrets(home)?, trusted_sealers, own_sealer };
    if json { print_json(&listed) } else { print(&listed.text()) }
}

fn owner(address: String, enrolment: &Enrolment) -> Owner {
    let listing = |(position, certificate): (usize, &seal::Certificate)| Listing {
        fingerprint: certificate.name(),
        role: match position {
            0 => "mailbox",
            1 => "recovery",
            _ => "further",
        },
        expires: certificate.expires,
    };
    Owner {
        account: enrolment.account().map(account_name).unwrap_or_default(),
        policy: enrolment.policy.word(),
        profile: enrolment.profile().word(),
        certificates: enrolment.certificates.iter().enumerate().map(listing).collect(),
        address,
    }
}

#[cfg(feature = "open")]
fn secrets(home: &Home) -> Result<Vec<Secret>, Failure> {
    let mut secrets = Vec::new();
    for octets in home.secrets()? {
        let key = open::AnySecretKey::parse(&octets)?;
        let fingerprint = key.fingerprint()?.iter().map(|octet| format!("{octet:02X}")).collect();
        secrets.push(Secret { fingerprint, under_passphrase: key.is_locked() });
    }
    Ok(secrets)
}

#[cfg(not(feature = "open"))]
fn secrets(_: &Home) -> Result<Vec<Secret>, Failure> {
    Ok(Vec::new())
}

impl Listed {
    fn text(&self) -> String {
        let mut text = String::new();
        for owner in &self.owners {
            text.push_str(&format!(
                "{}  (policy {}, profile {}, account {})\n",
                owner.address, owner.policy, owner.profile, owner.account
            ));
            for certificate in &owner.certificates {
                let until = certificate
                    .expires
                    .map_or("does not expire".to_owned(), |end| format!("until {}", clock::shown(end)));
                text.push_str(&format!("  {:8}  {}  {until}\n", certificate.role, certificate.fingerprint));
            }
        }
        for secret in &self.secret_keys {
            let lock = if secret.under_passphrase { "under a passphrase" } else { "NOT under a passphrase" };
            text.push_str(&format!("secret key  {}  {lock}\n", secret.fingerprint));
        }
        for sealer in &self.trusted_sealers {
            let own = if self.own_sealer.as_ref() == Some(sealer) { "  (this home)" } else { "" };
            text.push_str(&format!("trusted sealer  {sealer}{own}\n"));
        }
        text
    }
}

fn armored_enrolment(home: &Home, to: Option<&str>) -> Result<(Enrolment, String), Failure> {
    let address = match (to, home.owners()?.as_slice()) {
        (Some(address), _) => address.to_owned(),
        (None, [only]) => only.clone(),
        _ => {
            return Err(home
                .only_owner()
                .err()
                .unwrap_or_else(|| Failure::new(Exit::Usage, "name an owner: --to ADDRESS")));
        }
    };
    let enrolment = home.owner(&address)?;
    let octets = std::fs::read(home.owner_file(&address)?).doing(Exit::Config, "cannot read the enrolment")?;
    let text = String::from_utf8_lossy(&octets);
    let armored = text.find("-----BEGIN").and_then(|start| text.get(start..)).unwrap_or_default().to_owned();
    if enrolment.certificates.iter().any(|certificate| certificate.scheme() == seal::Scheme::Pgp) {
        return Ok((enrolment, armored));
    }
    // A file as it was imported may hold the chain of a certificate, or be none of text.
    let pem = enrolment.certificates.iter().map(|certificate| seal::x509::pem(&certificate.octets));
    let pem = pem.collect::<Result<String, _>>()?;
    Ok((enrolment, pem))
}

fn export(home: &Home, export: &Export) -> Result<(), Failure> {
    if export.sealer {
        return print(&format!("{}\n", home::sealer_line(home.sealer()?.public())));
    }
    #[cfg(feature = "open")]
    if export.secret {
        use crate::passphrase;
        let octets = match &export.key {
            Some(file) => zeroize::Zeroizing::new(
                std::fs::read(file).doing(Exit::Config, format_args!("cannot read {}", file.display()))?,
            ),
            None => home.secrets()?.into_iter().next().ok_or_else(|| {
                Failure::new(Exit::Config, "there is no secret key here").hint("it is on the owner's machine")
            })?,
        };
        let key = open::AnySecretKey::parse(&octets)?;
        let old = if key.is_locked() {
            Some(passphrase::ask(export.old_passphrase_file.as_deref(), "the mailbox key")?)
        } else {
            None
        };
        let new = if export.passphrase.no_passphrase {
            None
        } else {
            Some(passphrase::choose(export.passphrase.passphrase_file.as_deref())?)
        };
        let (old, new) = (old.as_deref().map(String::as_str), new.as_deref().map(String::as_str));
        return match (&key, new) {
            (open::AnySecretKey::OpenPgp(key), new) => {
                let new = new.map(|passphrase| (passphrase, open::Lock::Iterated));
                print(&key.relock(old, new)?.armored()?)
            }
            (open::AnySecretKey::X509(key), Some(password)) => {
                crate::command::print_octets(&key.to_p12(old, password)?)
            }
            (open::AnySecretKey::X509(key), None) => print(&key.relock(old, None)?.armored()?),
        };
    }
    let (_, armored) = armored_enrolment(home, export.to.as_deref())?;
    let mailbox = armored.find("-----END").and_then(|end| armored.get(end..)?.find('\n').map(|line| end + line + 1));
    print(mailbox.and_then(|end| armored.get(..end)).unwrap_or(&armored))
}

fn enrolment(home: &Home, wishes: &EnrolmentArguments) -> Result<(), Failure> {
    let (mut enrolment, armored) = armored_enrolment(home, wishes.to.as_deref())?;
    if let Some(policy) = wishes.policy {
        enrolment.policy = policy.into();
    }
    if !wishes.readers.is_empty() {
        enrolment.readers.clone_from(&wishes.readers);
    }
    print(&enrolment.write(&armored))
}

fn import(home: &Home, import: &Import) -> Result<(), Failure> {
    let octets =
        std::fs::read(&import.file).doing(Exit::Config, format_args!("cannot read {}", import.file.display()))?;
    let octets = zeroize::Zeroizing::new(octets);
    if !home.is_initialised() {
        return Err(no_home(home));
    }
    #[cfg(feature = "open")]
    if open::X509SecretKey::is_p12(&octets) {
        return import_p12(home, import, &octets);
    }
    match Enrolment::parse(&octets, clock::now()) {
        Ok(enrolment) => import_owner(home, import, &octets, &enrolment),
        Err(seal::EnrolmentError::Certificate(seal::CertificateError::Secret)) => import_secret(home, import, &octets),
        Err(error) => Err(error.into()),
    }
}

fn no_home(home: &Home) -> Failure {
    Failure::new(Exit::Config, format_args!("there is no home in {}", home.root().display()))
        .hint("make one first: `sealpost init --address YOU@EXAMPLE`, or `sealpost init --sealer`")
}

fn import_owner(home: &Home, import: &Import, octets: &[u8], enrolment: &Enrolment) -> Result<(), Failure> {
    let from_user_id = || named_address(enrolment.certificates.first()?);
    let address = import.address.clone().or_else(|| enrolment.addresses.first().cloned()).or_else(from_user_id);
    let address = address.ok_or_else(|| {
        Failure::new(Exit::Usage, "the certificate names no address").hint("say whose it is: --address ADDRESS")
    })?;
    home.write_owner(&address, octets)?;
    tell(format_args!("Mail for {address} can be sealed now, to:"));
    for certificate in &enrolment.certificates {
        tell(format_args!("  {}", certificate.name()));
    }
    tell("Compare the fingerprints with the owner by another way.");
    Ok(())
}

/// The address in a certificate's first user id.
fn named_address(certificate: &seal::Certificate) -> Option<String> {
    let user_id = certificate.user_ids.first()?;
    let address = user_id.rsplit_once('<').map_or(user_id.as_str(), |(_, rest)| rest.trim_end_matches('>'));
    // The name of an X.509 subject may hold one, but is none.
    (address.contains('@') && !address.contains(['=', ' '])).then(|| address.to_owned())
}

/// A PKCS #12 file: its key opens mail from now on, and mail is sealed to its certificate, unless the home knows better.
#[cfg(feature = "open")]
fn import_p12(home: &Home, import: &Import, octets: &[u8]) -> Result<(), Failure> {
    let password = crate::passphrase::ask(import.old_passphrase_file.as_deref(), "the .p12 file")?;
    let key = open::X509SecretKey::from_p12(octets, &password)?;
    let certificate = key.certificate_armored()?;
    let enrolment = Enrolment::parse(certificate.as_bytes(), clock::now());
    let new_passphrase = new_passphrase(import)?;
    keep(home, &open::AnySecretKey::X509(key), "", None, new_passphrase.as_deref().map(String::as_str))?;
    // A certificate that has expired still opens old mail.
    let enrolment = match enrolment {
        Ok(enrolment) => enrolment,
        Err(error) => {
            tell(format_args!("No mail is sealed to its certificate: {error}."));
            return Ok(());
        }
    };
    let address = import.address.clone().or_else(|| named_address(enrolment.certificates.first()?));
    let known = address.as_ref().is_some_and(|address| home.owner_file(address).is_ok_and(|file| file.exists()));
    match address {
        None => tell("It names no address, so no mail is sealed to it: import its certificate with --address ADDRESS."),
        Some(address) if known => {
            tell(format_args!("What {address} is sealed to stays as it is: import a certificate to change it."));
        }
        Some(_) => import_owner(home, import, certificate.as_bytes(), &enrolment)?,
    }
    Ok(())
}

#[cfg(feature = "open")]
fn new_passphrase(import: &Import) -> Result<Option<zeroize::Zeroizing<String>>, Failure> {
    if import.passphrase.no_passphrase {
        return Ok(None);
    }
    crate::passphrase::choose(import.passphrase.passphrase_file.as_deref()).map(Some)
}

/// Keeps a secret key among those that are tried, under another passphrase. `above`: what its file says above it.
#[cfg(feature = "open")]
fn keep(
    home: &Home,
    key: &open::AnySecretKey,
    above: &str,
    old: Option<&str>,
    new: Option<&str>,
) -> Result<(), Failure> {
    let locked = key.relock(old, new)?;
    let name: String = key.fingerprint()?.iter().map(|octet| format!("{octet:02X}")).collect();
    let kept = zeroize::Zeroizing::new(format!("{above}{}", *locked.armored()?));
    let path = home.add_secret(key.scheme(), &name, &kept)?;
    tell(format_args!("Imported {name} into {}; `open` tries it from now on.", path.display()));
    Ok(())
}

#[cfg(feature = "open")]
fn import_secret(home: &Home, import: &Import, octets: &[u8]) -> Result<(), Failure> {
    use crate::passphrase;
    let key = open::AnySecretKey::parse(octets)?;
    let old = if key.is_locked() {
        Some(passphrase::ask(import.old_passphrase_file.as_deref(), "the key to import")?)
    } else {
        None
    };
    let old = old.as_deref().map(String::as_str);
    key.unlock(old)?;
    let new = new_passphrase(import)?;
    // What a recovery key says above its armor stays with it.
    let text = String::from_utf8_lossy(octets);
    let above = text.split("-----BEGIN").next().filter(|above| above.starts_with("Sealed-")).unwrap_or_default();
    keep(home, &key, above, old, new.as_deref().map(String::as_str))
}

#[cfg(not(feature = "open"))]
fn import_secret(_: &Home, _: &Import, _: &[u8]) -> Result<(), Failure> {
    Err(Failure::new(Exit::Refused, "this is a secret key, and this program only seals")
        .hint("import it on the owner's machine; here, import the public enrolment"))
}
