//! Opening: the sealer's signature is verified with a pinned key before a private key is touched; then either the list
//! view alone ([`headers`]), or everything ([`open`]). All or nothing: an error means that no octet was released (format
//! §4.8, §14).

use std::io::{self, BufRead, Read, Seek, Write};

use mail::HeaderSection;
use sealed::{
    armor::ArmorError,
    field::{FieldError, SealedFields},
    field_blob::{self, BlobError},
    identity::{AccountId, Hash, MessageId, sha256},
    index::Index,
    original::{Recovered, recover},
    outer::{Outer, OuterError},
    session::SessionKey,
    signature::{Envelope, Trust},
};

use crate::unwrap::{Keyring, UnwrapError};

/// Why a message was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is no sealed message.
    #[error("not a sealed message: {0}")]
    NotSealed(FieldError),
    /// It is damaged or was changed.
    #[error("the sealed message is damaged: {0}")]
    Damaged(OuterError),
    /// No pinned sealer made it.
    #[error("sealed by a sealer that is not trusted here")]
    UnknownSealer,
    /// It names a pinned sealer, but the signature is another's, or it is for another account.
    #[error("the sealer's signature does not verify for this account")]
    Signature,
    /// No key here opens it.
    #[error(transparent)]
    Unwrap(#[from] UnwrapError),
    /// The protected header fields.
    #[error(transparent)]
    Fields(#[from] BlobError),
    /// What is inside.
    #[error("the content is damaged: {0}")]
    Content(io::Error),
    /// Inside and outside do not belong together.
    #[error("the content belongs to another message")]
    Mixed,
    /// The message could not be read, the ciphertext not spooled, or the original not written.
    #[error("cannot read or write: {0}")]
    Io(#[source] io::Error),
}

/// The protected header fields and what else a list needs, from a message's header section alone.
pub fn headers(header: &[u8], keys: &Keyring, trust: &Trust) -> Result<Index, OpenError> {
    headers_with_id(header, keys, trust).map(|(index, _)| index)
}

/// The same, and the id that the sealer signed with them: no two sealed messages have the same.
pub fn headers_with_id(header: &[u8], keys: &Keyring, trust: &Trust) -> Result<(Index, MessageId), OpenError> {
    let fields = SealedFields::parse(&HeaderSection::parse(header)).map_err(OpenError::NotSealed)?;
    verify_envelope(&fields, trust)?;
    let key = keys.unwrap(&fields.key, fields.mark.profile)?;
    Ok((index(&fields, &key)?, fields.mark.id))
}

/// A verified message, not yet written anywhere.
pub struct Opened<S> {
    /// Inside: protected header section and origin.
    pub inside: Recovered,
    /// The list view.
    pub index: Index,
    /// The three fields.
    pub fields: SealedFields,
    content: S,
    key: SessionKey,
}

/// Verifies a whole message. `spool`: an empty place for the ciphertext.
pub fn open<S: Read + Write + Seek>(
    message: &mut impl BufRead,
    mut spool: S,
    keys: &Keyring,
    trust: &Trust,
) -> Result<Opened<S>, OpenError> {
    let outer = Outer::read(message, &mut spool).map_err(|error| match error {
        OuterError::Fields(fields) => OpenError::NotSealed(fields),
        // A full disk is no damage.
        OuterError::Io(error) | OuterError::Armor(ArmorError::Sink(error)) => OpenError::Io(error),
        other => OpenError::Damaged(other),
    })?;
    let account = verify_envelope(&outer.fields, trust)?;
    let key = keys.unwrap(&outer.fields.key, outer.fields.mark.profile)?;
    let index = index(&outer.fields, &key)?;
    spool.rewind().map_err(OpenError::Io)?;
    let inside = recover(&mut spool, outer.fields.mark.profile, &key, &mut io::sink()).map_err(OpenError::Content)?;
    let mut own_account = trust.clone();
    own_account.accounts = vec![account];
    let belongs = inside.origin.id == outer.fields.mark.id
        && inside.origin.hash == index.hash
        && inside.origin.length == index.length
        && inside.is_signed_by_pinned(&own_account);
    if !belongs {
        return Err(OpenError::Mixed);
    }
    Ok(Opened { inside, index, fields: outer.fields, content: spool, key })
}

impl<S: Read + Seek> Opened<S> {
    /// Octets of the original.
    pub fn length(&self) -> u64 {
        self.inside.origin.length
    }

    /// SHA-256 of the original.
    pub fn hash(&self) -> &Hash {
        &self.inside.origin.hash
    }

    /// Writes the original. The ciphertext is decrypted once more; were it changed since, that is an error.
    pub fn write(mut self, to: &mut impl Write) -> Result<(), OpenError> {
        self.content.rewind().map_err(OpenError::Io)?;
        let again = recover(&mut self.content, self.fields.mark.profile, &self.key, to).map_err(OpenError::Io)?;
        if again.origin == self.inside.origin { Ok(()) } else { Err(OpenError::Mixed) }
    }
}

/// The envelope signature, before any private key is used: whose account it is for.
fn verify_envelope(fields: &SealedFields, trust: &Trust) -> Result<AccountId, OpenError> {
    let mark = &fields.mark;
    let sealer = trust.sealer(mark.sealer).ok_or(OpenError::UnknownSealer)?;
    let (key, blob) = (sha256(&fields.key), sha256(&fields.fields));
    let verified = trust.accounts.iter().find(|&&account| {
        let envelope = Envelope {
            profile: mark.profile,
            account,
            id: mark.id,
            content: &mark.content_hash,
            key: &key,
            fields: &blob,
        };
        sealer.verifies(&envelope.transcript(sealer.id()), &mark.signature)
    });
    verified.copied().ok_or(OpenError::Signature)
}

fn index(fields: &SealedFields, key: &SessionKey) -> Result<Index, OpenError> {
    let mark = &fields.mark;
    Ok(field_blob::open(&fields.fields, key, mark.profile, mark.id, &mark.content_hash)?)
}
