//! The fields blob F (format §4.5): INDEX encrypted under a key derived from the session key, bound to the content.
//! HKDF-SHA-256 (RFC 5869) with a fresh salt per blob, AES-256-GCM; the nonce is zero because no derived key is used twice.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};
use zeroize::Zeroizing;

use crate::{
    identity::{Hash, MessageId, Profile, random},
    index::Index,
    limit,
    session::SessionKey,
};

/// The plaintext is padded with zero octets to a multiple of this.
pub const PADDING: usize = 256;
/// Version, algorithm, salt, tag.
pub const OVERHEAD: usize = 2 + SALT + TAG;

const SALT: usize = 32;
const TAG: usize = 16;
const VERSION: u8 = 1;
const AES_256_GCM_ID: u8 = 1;

/// The blob is not what was sealed with this session key for this message.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BlobError {
    /// Too short, too long, or of an unknown version.
    #[error("the protected header fields are malformed")]
    Malformed,
    /// The key, the message or the content is another one, or the blob was changed.
    #[error("the protected header fields do not belong to this message or were changed")]
    Forged,
}

/// Octets of the largest INDEX for which F fits in `parts` parts of `Sealed-Fields`.
pub fn index_capacity(parts: usize) -> usize {
    (crate::field::fields_capacity(parts) - OVERHEAD) / PADDING * PADDING - 4
}

/// Encrypts `index`. `content`: SHA-256 of C.
pub fn seal(index: &[u8], key: &SessionKey, profile: Profile, id: MessageId, content: &Hash) -> Vec<u8> {
    let salt: [u8; SALT] = random();
    let info = info(profile, id);
    let mut plain = Zeroizing::new(Vec::with_capacity(index.len() + 4 + PADDING + TAG));
    plain.extend_from_slice(&(index.len() as u32).to_be_bytes());
    plain.extend_from_slice(index);
    let padded = plain.len().next_multiple_of(PADDING);
    plain.resize(padded, 0);
    let tag = derive(key, &salt, &info)
        .seal_in_place_separate_tag(zero_nonce(), Aad::from(associated(&info, content)), &mut plain)
        .expect("AES-GCM takes a plaintext of this size");
    let mut blob = Vec::with_capacity(OVERHEAD + plain.len());
    blob.extend_from_slice(&[VERSION, AES_256_GCM_ID]);
    blob.extend_from_slice(&salt);
    blob.extend_from_slice(&plain);
    blob.extend_from_slice(tag.as_ref());
    blob
}

/// Decrypts and reads a blob.
pub fn open(
    blob: &[u8],
    key: &SessionKey,
    profile: Profile,
    id: MessageId,
    content: &Hash,
) -> Result<Index, BlobError> {
    if blob.len() > limit::MAX_FIELDS_BLOB {
        return Err(BlobError::Malformed);
    }
    let rest = blob.strip_prefix(&[VERSION, AES_256_GCM_ID]).ok_or(BlobError::Malformed)?;
    let (salt, sealed) = rest.split_first_chunk::<SALT>().ok_or(BlobError::Malformed)?;
    let info = info(profile, id);
    let mut octets = Zeroizing::new(sealed.to_vec());
    let plain = derive(key, salt, &info)
        .open_in_place(zero_nonce(), Aad::from(associated(&info, content)), &mut octets)
        .map_err(|_| BlobError::Forged)?;
    let (length, rest) = plain.split_first_chunk::<4>().ok_or(BlobError::Malformed)?;
    let length = u32::from_be_bytes(*length) as usize;
    let (index, padding) = rest.split_at_checked(length).ok_or(BlobError::Malformed)?;
    if !plain.len().is_multiple_of(PADDING) || padding.iter().any(|&octet| octet != 0) {
        return Err(BlobError::Malformed);
    }
    Index::parse(index).map_err(|_| BlobError::Malformed)
}

fn info(profile: Profile, id: MessageId) -> Vec<u8> {
    let mut info = Vec::with_capacity(40);
    info.extend_from_slice(b"sealed-mail/1 fields\0");
    info.push(profile.octet());
    info.extend_from_slice(&id.0);
    info
}

fn associated(info: &[u8], content: &Hash) -> Vec<u8> {
    [info, content].concat()
}

fn derive(key: &SessionKey, salt: &[u8], info: &[u8]) -> LessSafeKey {
    let info = [info];
    let derived = Salt::new(HKDF_SHA256, salt).extract(key.octets());
    let derived = derived.expand(&info, &AES_256_GCM).expect("32 octets are a length HKDF gives");
    LessSafeKey::new(UnboundKey::from(derived))
}

fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}
