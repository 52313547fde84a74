//! Sealing one message (format §4.7): read, encrypt, wrap the session key, sign, open again and compare, write.
//!
//! In: an original that can be read twice, recipients, a sealer's key. Out: the sealed message, and what proves a stored
//! copy of it. Memory stays constant: the ciphertext goes to a spool that the caller gives, since the header that comes
//! first needs the hash of all that follows. The original is never changed and never written in clear.

use std::io::{self, Read, Seek, Write};

use aws_lc_rs::digest;
use sealed::{
    armor::{ArmorWriter, Checksum},
    field::{Mark, SealedFields},
    field_blob,
    identity::{AccountId, Encryption, Hash, Seipd, sha256},
    outer, payload,
    session::SessionKey,
    signature::{Envelope, Origin, SealerPublic},
    smime::BodyWriter,
};

use crate::{
    copies,
    encrypt::encrypt,
    error::SealError,
    proof::{Expectation, ProofError, Proved},
    recipient::wrap_to_all,
    settings::{Compression, Settings},
    survey::{STEP, Survey, read_some},
};

/// What is kept of a sealing until its stored copy is proved. The session key in it is wiped with it.
pub struct Sealing {
    key: SessionKey,
    account: AccountId,
    sealer: SealerPublic,
    expectation: Expectation,
}

impl Sealing {
    /// What to journal before the copy is stored.
    pub fn expectation(&self) -> &Expectation {
        &self.expectation
    }

    /// The copy, read back from where it is stored, is ours and opens to the original. `spool` takes the ciphertext.
    pub fn prove(
        &self,
        copy: &mut impl io::BufRead,
        spool: &mut (impl Read + Write + Seek),
    ) -> Result<Proved, ProofError> {
        self.expectation.prove_with_key(copy, spool, self.account, &self.sealer, &self.key)
    }
}

/// Seals `original` and writes the sealed message to `out`. `spool` gives an empty place for ciphertext, which nobody
/// else may see change; it is asked for one or two.
pub fn seal<S: Read + Write + Seek>(
    original: &mut (impl Read + Seek),
    spool: impl Fn() -> io::Result<S>,
    out: &mut impl Write,
    settings: &Settings<'_>,
) -> Result<Sealing, SealError> {
    if settings.recipients.is_empty() {
        return Err(SealError::NoRecipient);
    }
    let mut survey = Survey::read(original, &spool, compression(settings))?;
    let section = survey.header();
    let id = settings.id.of(&survey.hash);
    let outer_fields =
        settings.policy.outer_fields(&section, id, settings.time, settings.outer_id, settings.outer_from.as_ref());
    let origin = Origin {
        account: settings.account,
        id,
        length: survey.length,
        hash: survey.hash,
        time: settings.time,
        sequence: settings.sequence,
    };
    let copies = copies::protected(&section);
    let index = survey.index(&origin, settings);
    let frame = payload::Frame::new(&outer_fields, &copies, &origin, settings.way, settings.sealer);
    drop(section);

    let key = SessionKey::generate();
    let wrapped = wrap_to_all(settings.recipients, &key, settings.profile)?;

    let place = spool().map_err(SealError::Spool)?;
    let (mut content, content_hash) = encrypt(original, &mut survey, &frame, place, &key, &origin, settings)?;

    let blob = field_blob::seal(&index, &key, settings.profile, id, &content_hash);
    let expectation = Expectation {
        id,
        sequence: settings.sequence,
        original: survey.hash,
        key: sha256(&wrapped),
        content: content_hash,
        fields: sha256(&blob),
        profile: settings.profile,
    };
    let fields = sign(&expectation, wrapped, blob, settings);
    write_message(out, &outer_fields, &fields, &mut content)?;
    Ok(Sealing { key, account: settings.account, sealer: settings.sealer.public().clone(), expectation })
}

fn sign(expectation: &Expectation, wrapped: Vec<u8>, blob: Vec<u8>, settings: &Settings<'_>) -> SealedFields {
    let sealer = settings.sealer.public().id();
    let envelope = Envelope {
        profile: expectation.profile,
        account: settings.account,
        id: expectation.id,
        content: &expectation.content,
        key: &expectation.key,
        fields: &expectation.fields,
    };
    let mark = Mark {
        profile: expectation.profile,
        id: expectation.id,
        content_hash: expectation.content,
        sealer,
        signature: settings.sealer.sign(&envelope.transcript(sealer)),
    };
    SealedFields { mark, key: wrapped, fields: blob }
}

/// CMS has no compression that mail programs read.
fn compression(settings: &Settings<'_>) -> Compression {
    match settings.profile.encryption() {
        Encryption::OpenPgp(_) => settings.compression,
        Encryption::Cms(_) => Compression::Never,
    }
}

fn write_message(
    out: &mut impl Write,
    display: &[u8],
    fields: &SealedFields,
    content: &mut (impl Read + Seek),
) -> Result<(), SealError> {
    let frame = outer::Frame::new(display, fields).map_err(SealError::TooManyRecipients)?;
    let length = content.seek(io::SeekFrom::End(0)).map_err(SealError::Spool)?;
    content.rewind().map_err(SealError::Spool)?;
    out.write_all(&frame.head).map_err(SealError::Write)?;
    let out = match fields.mark.profile.encryption() {
        Encryption::OpenPgp(version) => {
            let checksum = match version {
                Seipd::V1 => Checksum::Crc24,
                Seipd::V2 => Checksum::Absent,
            };
            let mut armor = ArmorWriter::begin(&mut *out, &fields.key, checksum).map_err(SealError::Write)?;
            write_content(content, &fields.mark.content_hash, |octets| armor.write(octets))?;
            armor.finish()
        }
        Encryption::Cms(cipher) => {
            let mut body = BodyWriter::begin(&mut *out, cipher, &fields.key, length).map_err(SealError::Write)?;
            write_content(content, &fields.mark.content_hash, |octets| body.write(octets))?;
            body.finish()
        }
    };
    out.and_then(|out| out.write_all(&frame.tail)).map_err(SealError::Write)
}

/// Hands on what the spool gives, which must still be what was checked.
fn write_content(
    content: &mut impl Read,
    expected: &Hash,
    mut write: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), SealError> {
    let mut step = vec![0; STEP];
    let mut hash = digest::Context::new(&digest::SHA256);
    loop {
        let count = read_some(content, &mut step).map_err(SealError::Spool)?;
        let octets = step.get(..count).unwrap_or_default();
        if octets.is_empty() {
            break;
        }
        hash.update(octets);
        write(octets).map_err(SealError::Write)?;
    }
    if hash.finish().as_ref() == expected { Ok(()) } else { Err(SealError::SelfCheck) }
}
