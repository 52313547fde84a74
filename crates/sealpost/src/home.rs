//! The home: config and keys on disk, and nothing else knows their file names. `--home DIR`, `$SEALPOST_HOME`, or the XDG
//! default. Secrets are written 0600 in a 0700 directory, new files only, synced before they are named.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use base64_simd::STANDARD;
use seal::{Certificate, Enrolment, Scheme};
use sealed::{
    field::{decode_exact, encode_id},
    identity::AccountId,
    signature::{SealerKey, SealerPublic, Trust},
    tag_list::TagList,
};
use zeroize::Zeroizing;

use crate::failure::{DoingWhat, Exit, Failure};

/// A home directory.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
}

const CONFIG: &str = "config.toml";
#[cfg(feature = "open")]
const P12: &str = "mailbox.p12";
const STATE: &str = "state.db";
const BACKUP: &str = "backup";
#[cfg(feature = "open")]
const BRIDGE_PASSWORD: &str = "keys/bridge.password";
#[cfg(feature = "open")]
const BRIDGE_KEY: &str = "keys/bridge.key.pem";
#[cfg(feature = "open")]
const BRIDGE_CERTIFICATE: &str = "keys/bridge.certificate.pem";
const KEYS: &str = "keys";
/// OpenPGP, and X.509: there is one of them.
const MAILBOX_SECRETS: [(Scheme, &str); 2] =
    [(Scheme::Pgp, "keys/mailbox.secret.asc"), (Scheme::Smime, "keys/mailbox.secret.pem")];
const SEALER: &str = "keys/sealer.secret";
const DEDUP: &str = "keys/dedup.secret";
const TRUSTED: &str = "keys/trusted-sealers";
const OWNERS: &str = "keys/owners";
const MORE_SECRETS: &str = "keys/more";

const SEALER_PUBLIC_FIELD: &str = "Sealed-Sealer";
const SEALER_SECRET_FIELD: &str = "Sealed-Sealer-Secret";
const DEDUP_FIELD: &str = "Sealed-Dedup-Secret";

impl Home {
    /// `named`: as given with `--home`.
    pub fn find(named: Option<&Path>) -> Result<Self, Failure> {
        let from_environment = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = named
            .map(Path::to_path_buf)
            .or_else(|| from_environment("SEALPOST_HOME"))
            .or_else(|| from_environment("XDG_CONFIG_HOME").map(|config| config.join("sealpost")))
            .or_else(|| from_environment("HOME").map(|home| home.join(".config/sealpost")));
        let root =
            root.ok_or_else(|| Failure::new(Exit::Config, "no home directory is known").hint("name one: --home DIR"))?;
        Ok(Self { root: std::path::absolute(&root).unwrap_or(root) })
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    #[cfg(feature = "open")]
    /// Where the mailbox key is put for other programs, unless its owner says another place.
    pub fn p12(&self) -> PathBuf {
        self.root.join(P12)
    }

    /// The config file.
    pub fn config(&self) -> PathBuf {
        self.root.join(CONFIG)
    }

    /// The state database.
    pub fn state(&self) -> PathBuf {
        self.root.join(STATE)
    }

    /// Where a flow keeps originals for a while, encrypted to the owner.
    pub fn backup(&self, flow: &str) -> PathBuf {
        self.root.join(BACKUP).join(file_name(flow))
    }

    /// Where a flow that forwards notes what stands in its way, while it runs.
    #[cfg(feature = "forward")]
    pub fn plight(&self, flow: &str) -> PathBuf {
        self.root.join(format!("flow-{}.plight", file_name(flow)))
    }

    /// The hash of the bridge's password.
    #[cfg(feature = "open")]
    pub fn bridge_password(&self) -> PathBuf {
        self.root.join(BRIDGE_PASSWORD)
    }

    /// The bridge's certificate with its key.
    #[cfg(feature = "open")]
    pub fn bridge_key(&self) -> PathBuf {
        self.root.join(BRIDGE_KEY)
    }

    /// The same certificate without the key, for mail programs.
    #[cfg(feature = "open")]
    pub fn bridge_certificate(&self) -> PathBuf {
        self.root.join(BRIDGE_CERTIFICATE)
    }

    /// A path of the config: one that is relative begins in the home.
    pub fn at(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }

    /// Refuses what needs a home, where there is none.
    pub fn must_exist(&self) -> Result<(), Failure> {
        if self.root.is_dir() {
            return Ok(());
        }
        Err(Failure::new(Exit::Config, format_args!("there is no home in {}", self.root.display()))
            .hint("make one first: `sealpost init --address YOU@EXAMPLE`, or `sealpost init --sealer`"))
    }

    /// Was a key made or imported here?
    pub fn is_initialised(&self) -> bool {
        self.root.join(SEALER).exists()
    }

    /// Makes the directories; an existing home is refused.
    pub fn create(&self) -> Result<(), Failure> {
        if self.is_initialised() || MAILBOX_SECRETS.iter().any(|(_, file)| self.root.join(file).exists()) {
            return Err(Failure::new(Exit::Config, format_args!("there are keys in {} already", self.root.display()))
                .hint("they are never overwritten; choose another --home"));
        }
        for directory in [self.root.clone(), self.root.join(KEYS), self.root.join(OWNERS)] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&directory)
                .doing(Exit::Config, format_args!("cannot make {}", directory.display()))?;
        }
        Ok(())
    }

    /// Writes a new sealer key and dedup secret.
    pub fn write_sealer(&self, sealer: &SealerKey) -> Result<(), Failure> {
        let seed = Zeroizing::new(STANDARD.encode_to_string(sealer.seed()));
        write_new(&self.root.join(SEALER), format!("{SEALER_SECRET_FIELD}: v=1; k={}\n", *seed).as_bytes(), 0o600)?;
        let dedup: Zeroizing<[u8; 32]> = Zeroizing::new(sealed::identity::random());
        let dedup = Zeroizing::new(STANDARD.encode_to_string(*dedup));
        write_new(&self.root.join(DEDUP), format!("{DEDUP_FIELD}: v=1; k={}\n", *dedup).as_bytes(), 0o600)?;
        self.trust_sealer(sealer.public())
    }

    /// This home's sealer key.
    pub fn sealer(&self) -> Result<SealerKey, Failure> {
        let seed = self.secret_line(SEALER, SEALER_SECRET_FIELD)?;
        SealerKey::from_seed(&seed).map_err(|_| damaged(SEALER))
    }

    /// The account's dedup secret.
    pub fn dedup(&self) -> Result<[u8; 32], Failure> {
        Ok(*self.secret_line(DEDUP, DEDUP_FIELD)?)
    }

    #[cfg(feature = "open")]
    /// Writes the owner's secret key, locked or not, and the public enrolment beside it.
    pub fn write_mailbox(&self, scheme: Scheme, secret: &str, address: &str, enrolment: &str) -> Result<(), Failure> {
        for (_, file) in MAILBOX_SECRETS.iter().filter(|(kind, _)| *kind == scheme) {
            write_new(&self.root.join(file), secret.as_bytes(), 0o600)?;
        }
        self.write_owner(address, enrolment.as_bytes())
    }

    #[cfg(feature = "open")]
    /// The owner's secret keys: the mailbox key first, then imported ones. Empty on a machine that only seals.
    pub fn secrets(&self) -> Result<Vec<Zeroizing<Vec<u8>>>, Failure> {
        let mut secrets = Vec::new();
        for (_, file) in MAILBOX_SECRETS {
            match fs::read(self.root.join(file)) {
                Ok(octets) => secrets.push(Zeroizing::new(octets)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).doing(Exit::Config, "cannot read the mailbox key"),
            }
        }
        for file in files_in(&self.root.join(MORE_SECRETS))? {
            secrets.push(Zeroizing::new(fs::read(&file).doing(Exit::Config, "cannot read an imported key")?));
        }
        Ok(secrets)
    }

    #[cfg(feature = "open")]
    /// Adds an imported secret key. `name`: its fingerprint.
    pub fn add_secret(&self, scheme: Scheme, name: &str, secret: &str) -> Result<PathBuf, Failure> {
        let directory = self.root.join(MORE_SECRETS);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .doing(Exit::Config, "cannot make a directory")?;
        let kind = match scheme {
            Scheme::Pgp => "asc",
            Scheme::Smime => "pem",
        };
        let path = directory.join(format!("{name}.secret.{kind}"));
        write_new(&path, secret.as_bytes(), 0o600)?;
        Ok(path)
    }

    /// Keeps an owner's enrolment or certificate, under the address.
    pub fn write_owner(&self, address: &str, enrolment: &[u8]) -> Result<(), Failure> {
        replace(&self.owner_file(address)?, enrolment, 0o644)
    }

    /// The enrolment file of an address.
    pub fn owner_file(&self, address: &str) -> Result<PathBuf, Failure> {
        let plain = !address.is_empty() && !address.starts_with('.') && !address.contains(['/', '\0', '\n']);
        if !plain {
            return Err(Failure::new(Exit::Usage, "this address cannot be a file name").hint("use a plain address"));
        }
        Ok(self.root.join(OWNERS).join(format!("{}.enrolment", address.to_ascii_lowercase())))
    }

    /// The enrolment of an address.
    pub fn owner(&self, address: &str) -> Result<Enrolment, Failure> {
        let file = self.owner_file(address)?;
        let octets = fs::read(&file).map_err(|_| {
            Failure::new(Exit::Config, format_args!("no enrolment of this owner: {}", file.display()))
                .hint("on the owner's machine: `sealpost key enrolment`; here: `sealpost key import FILE`")
        })?;
        Ok(Enrolment::parse(&octets, crate::clock::now())?)
    }

    /// Addresses of all owners known here.
    pub fn owners(&self) -> Result<Vec<String>, Failure> {
        let names = files_in(&self.root.join(OWNERS))?;
        let name = |file: PathBuf| Some(file.file_name()?.to_str()?.strip_suffix(".enrolment")?.to_owned());
        Ok(names.into_iter().filter_map(name).collect())
    }

    /// The only owner, for commands that need one and were told none.
    pub fn only_owner(&self) -> Result<Enrolment, Failure> {
        match self.owners()?.as_slice() {
            [owner] => self.owner(owner),
            [] => Err(Failure::new(Exit::Config, format_args!("there are no keys in {}", self.root.display()))
                .hint("make some: `sealpost init --address YOU@EXAMPLE`, or name a certificate: --cert FILE")),
            _ => Err(Failure::new(Exit::Usage, "there is more than one owner here").hint("name one: --to ADDRESS")),
        }
    }

    /// Pinned sealers; accounts of all owners.
    pub fn trust(&self) -> Result<Trust, Failure> {
        let text = match fs::read_to_string(self.root.join(TRUSTED)) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).doing(Exit::Config, "cannot read the trusted sealers"),
        };
        let mut trust = Trust::default();
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            trust.sealers.push(parse_sealer(line).ok_or_else(|| damaged(TRUSTED))?);
        }
        for owner in self.owners()? {
            let octets = fs::read(self.owner_file(&owner)?).doing(Exit::Config, "cannot read an enrolment")?;
            trust.accounts.push(Certificate::account_named_in(&octets)?);
        }
        Ok(trust)
    }

    /// Pins a sealer; pinning it again changes nothing.
    pub fn trust_sealer(&self, sealer: &SealerPublic) -> Result<(), Failure> {
        let path = self.root.join(TRUSTED);
        let mut text = fs::read_to_string(&path).unwrap_or_default();
        let line = sealer_line(sealer);
        if !text.lines().any(|known| known == line) {
            text.push_str(&line);
            text.push('\n');
            replace(&path, text.as_bytes(), 0o644)?;
        }
        Ok(())
    }

    /// Is anything in the key directory readable by others?
    pub fn loose_permissions(&self) -> Vec<PathBuf> {
        let mut files = vec![self.root.join(SEALER), self.root.join(DEDUP)];
        files.extend(MAILBOX_SECRETS.iter().map(|(_, file)| self.root.join(file)));
        files.extend(files_in(&self.root.join(MORE_SECRETS)).unwrap_or_default());
        files.retain(|file| fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0));
        files
    }

    fn secret_line(&self, file: &str, field: &str) -> Result<Zeroizing<[u8; 32]>, Failure> {
        let path = self.root.join(file);
        let text = fs::read_to_string(&path).map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "make a home first: `sealpost init --address YOU@EXAMPLE`, or `sealpost init --sealer` on a mail server"
                }
                _ => "the user that runs this program must own the home and all that is in it",
            };
            Failure::new(Exit::Config, format_args!("cannot read {}: {error}", path.display())).hint(hint)
        })?;
        let text = Zeroizing::new(text);
        let value =
            text.trim().strip_prefix(field).and_then(|rest| rest.strip_prefix(':')).ok_or_else(|| damaged(file))?;
        let tags = TagList::parse(value.as_bytes()).ok_or_else(|| damaged(file))?;
        tags.get("k").and_then(decode_exact).map(Zeroizing::new).ok_or_else(|| damaged(file))
    }
}

/// The line by which an owner pins a sealer (format A2).
pub fn sealer_line(sealer: &SealerPublic) -> String {
    let key = STANDARD.encode_to_string(sealer.octets());
    format!("{SEALER_PUBLIC_FIELD}: v=1; s={}; k={key}", encode_id(&sealer.id().0))
}

/// Reads such a line.
pub fn parse_sealer(line: &str) -> Option<SealerPublic> {
    let value = line.trim().strip_prefix(SEALER_PUBLIC_FIELD)?.strip_prefix(':')?;
    let tags = TagList::parse(value.as_bytes())?;
    let sealer = SealerPublic::from_octets(decode_exact(tags.get("k")?)?);
    (tags.get("v")? == b"1" && tags.get("s")? == encode_id(&sealer.id().0).as_bytes()).then_some(sealer)
}

#[cfg(feature = "open")]
const RECOVERY_FIELD: &str = "Sealed-Recovery";

#[cfg(feature = "open")]
/// What stands above the armor of a recovery key, so that the file alone opens the owner's mail: the account that it is
/// for, and the sealer to believe. `gpg --import` passes over it.
pub fn recovery_preface(account: AccountId, sealer: &SealerPublic) -> String {
    format!("{RECOVERY_FIELD}: v=1; acct={}\n{}\n\n", encode_id(&account.0), sealer_line(sealer))
}

#[cfg(feature = "open")]
/// Accounts and sealers that a key file names above its armor.
pub fn parse_preface(octets: &[u8]) -> Trust {
    let text = String::from_utf8_lossy(octets);
    let above = text.split("-----BEGIN").next().unwrap_or_default();
    let account = |line: &str| {
        let tags = TagList::parse(line.strip_prefix(RECOVERY_FIELD)?.strip_prefix(':')?.as_bytes())?;
        sealed::field::decode_id(tags.get("acct")?).map(AccountId)
    };
    Trust {
        accounts: above.lines().filter_map(account).collect(),
        sealers: above.lines().filter_map(parse_sealer).collect(),
    }
}

/// An account's short name for people.
pub fn account_name(account: AccountId) -> String {
    account.0.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Writes a file that must not exist yet, synced.
pub fn write_new(path: &Path, octets: &[u8], mode: u32) -> Result<(), Failure> {
    let what = || format!("cannot write {}", path.display());
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).doing(Exit::Config, what())?;
    file.write_all(octets).and_then(|()| file.sync_all()).doing(Exit::Config, what())?;
    sync_parent(path)
}

/// Replaces a file at once: readers see the old one or the new one.
pub fn replace(path: &Path, octets: &[u8], mode: u32) -> Result<(), Failure> {
    let what = || format!("cannot write {}", path.display());
    let parent = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(parent)
        .doing(Exit::Config, what())?;
    file.write_all(octets).and_then(|()| file.as_file().sync_all()).doing(Exit::Config, what())?;
    file.persist(path).doing(Exit::Config, what())?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> Result<(), Failure> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|directory| directory.sync_all()).doing(Exit::Config, "cannot sync a directory")
}

fn files_in(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).doing(Exit::Config, format_args!("cannot read {}", directory.display())),
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    Ok(files)
}

/// A flow's name is free text, a file's is not.
fn file_name(flow: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    match !flow.is_empty() && flow.chars().all(plain) {
        true => flow.to_owned(),
        false => flow.bytes().map(|octet| format!("{octet:02x}")).collect::<String>() + ".x",
    }
}

fn damaged(file: &str) -> Failure {
    Failure::new(Exit::Config, format_args!("{file} in the home is damaged")).hint("bring it back from a backup")
}
