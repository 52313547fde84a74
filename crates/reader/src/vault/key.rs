//! The index's key: random, kept as a sealed message beside the index, so that the owner's key, and nothing else, opens it; by the same steps and with the
//! same checks as any sealed mail. In: what seals, what opens. Out: a key in memory. Never the key on disk in clear.

use std::fs::{self, File};
use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use aws_lc_rs::hmac;
use base64_simd::STANDARD;
use sealed::identity::random;
use zeroize::Zeroizing;

use crate::means::SealWith;
use crate::opening::open_whole;
use crate::settings::Settings;

const HEADER: &str = "Subject: key of the search index\r\n\r\n";

/// Where the key lies.
pub(crate) fn path(settings: &Settings) -> PathBuf {
    settings.state.with_file_name("index.key")
}

/// What is derived from the key. No `Debug`: it is as secret.
pub(crate) struct Keys {
    /// Seals records.
    pub(super) records: LessSafeKey,
    /// Makes names that say nothing of what they name.
    pub(super) names: hmac::Key,
}

/// The key that is there; `None`: there is none that opens with our keys.
pub(crate) fn read(settings: &Settings) -> Option<Keys> {
    let file = File::open(path(settings)).ok()?;
    let opened = open_whole(settings, file).ok()?;
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(opened.length().min(1_024)).ok()?));
    if opened.length() > 1_024 {
        return None;
    }
    opened.write(&mut *text).ok()?;
    let encoded = text.strip_prefix(HEADER.as_bytes())?.trim_ascii();
    let octets = Zeroizing::new(STANDARD.decode_to_vec(encoded).ok()?);
    let records = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &octets).ok()?);
    let names = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &octets), b"sealpost index names");
    Some(Keys { records, names: hmac::Key::new(hmac::HMAC_SHA256, names.as_ref()) })
}

/// Makes a new key, in place of the one that may be there.
pub(crate) fn make(settings: &Settings, with: &SealWith) -> io::Result<()> {
    let octets: Zeroizing<[u8; 32]> = Zeroizing::new(random());
    let encoded = Zeroizing::new(STANDARD.encode_to_string(octets.as_slice()));
    let text = Zeroizing::new(format!("{HEADER}{}\r\n", *encoded).into_bytes());
    let how = with.how(seal::Policy::Hidden, seal::Place::default());
    let mut sealed = Vec::new();
    seal::seal(&mut Cursor::new(text.as_slice()), || settings.spool(), &mut sealed, &how)
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let path = path(settings);
    let parent = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    file.write_all(&sealed)?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    fs::File::open(parent)?.sync_all()
}
