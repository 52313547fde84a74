//! Sealing one message (format §4.7): read, encrypt, wrap the session key, sign, open again and compare, write.
//!
//! In: an original that can be read twice, recipients, a sealer's key. Out: the sealed message, and what proves a stored
//! copy of it. Memory stays constant: the ciphertext goes to a spool that the caller gives, since the header that comes
//! first needs the hash of all that follows. The original is never changed and never written in clear.

use std::{
    io::{self, Read, Seek, Write},
    sync::mpsc,
    thread,
};

use aws_lc_rs::digest;
use mail::{HeaderSection, Scanner, body_structure, header_section_end};
use sealed::{
    armor::{ArmorWriter, Checksum},
    content::ContentWriter,
    field::{FieldError, Mark, SealedFields},
    field_blob,
    identity::{AccountId, Hash, MessageId, Profile, sha256},
    index::{Index, Way},
    limit,
    literal::{self, Last},
    original::recover,
    outer,
    packet::join_wrapped_keys,
    payload,
    session::SessionKey,
    signature::{Envelope, Origin, SealerKey, SealerPublic},
    spool::SpoolWriter,
};

use crate::{
    copies,
    deflate::{self, Deflate},
    list_view,
    policy::Policy,
    proof::{Expectation, ProofError, Proved},
    wrap::RecipientKey,
};

/// Everything about one sealing besides the message.
pub struct Settings<'a> {
    /// Whose mail it is.
    pub account: AccountId,
    /// Keys that can open it; the recovery key among them.
    pub recipients: &'a [RecipientKey],
    /// Who seals.
    pub sealer: &'a SealerKey,
    /// How the content is encrypted.
    pub profile: Profile,
    /// What stays outside.
    pub policy: Policy,
    /// Whether large mail is compressed.
    pub compression: Compression,
    /// How sizes are hidden.
    pub padding: Padding,
    /// How the sealed message gets its id.
    pub id: NewId<'a>,
    /// The sealer's running number for this account; 0 = not counted.
    pub sequence: u64,
    /// Now, Unix seconds.
    pub time: u64,
    /// Where it is sealed.
    pub way: Way,
    /// Where the message lies, for the list view.
    pub place: Place,
}

/// How a sealed message gets its id.
#[derive(Clone, Copy)]
pub enum NewId<'a> {
    /// A random one (delivery, single messages).
    Random,
    /// The one that these octets have in this place (A7), so that they cannot be sealed there twice unnoticed.
    OfPlace {
        /// The account's dedup secret, shared by its sealers.
        dedup: &'a [u8; 32],
        /// Mailbox name.
        mailbox: &'a [u8],
        /// UIDVALIDITY and UID, or the unique part of a Maildir name.
        occurrence: &'a [u8],
    },
}

impl NewId<'_> {
    fn of(self, original: &Hash) -> MessageId {
        match self {
            Self::Random => MessageId::random(),
            Self::OfPlace { dedup, mailbox, occurrence } => {
                MessageId::of_place(dedup, mailbox, occurrence, original)
            }
        }
    }
}

/// Where a message lies at sealing; information for the list view.
#[derive(Clone, Default, Debug)]
pub struct Place {
    /// IMAP INTERNALDATE.
    pub internal_date: Option<String>,
    /// Mailbox name.
    pub mailbox: Option<String>,
    /// Flags and keywords.
    pub flags: Vec<String>,
    /// Authentication-Results of the trusted receiving system.
    pub authentication_results: Option<String>,
    /// MAIL FROM, and the RCPT TO that this copy is for.
    pub envelope: Vec<String>,
}

/// Whether mail from 256 KiB on is compressed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Compression {
    /// Yes, unless it shrinks so much that readers would take it for a bomb.
    #[default]
    Auto,
    /// No.
    Never,
}

/// How the size of a message is hidden.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Padding {
    /// At least 1 KiB, then PADMÉ: at most 12 % more.
    #[default]
    Bucket,
    /// Not at all.
    None,
}

/// Why a message could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Nothing to wrap the session key to.
    #[error("no certificate to seal to")]
    NoRecipient,
    /// A recipient's key does not take a session key.
    #[error(transparent)]
    Recipient(#[from] crate::wrap::BadKey),
    /// Larger than the format allows.
    #[error("the message is larger than {} bytes", limit::MAX_ORIGINAL)]
    TooLarge,
    /// Our header fields would be too large: too many recipients.
    #[error("too many recipients for the header fields: {0}")]
    TooManyRecipients(FieldError),
    /// The original changed while it was read.
    #[error("the message changed while it was being read")]
    Changed,
    /// What was encrypted does not open to the original. This is a bug or broken hardware; the original must be kept.
    #[error("the sealed message does not open to the original; the original was kept")]
    SelfCheck,
    /// The original could not be read.
    #[error("cannot read the message: {0}")]
    Read(#[source] io::Error),
    /// The spool could not be used.
    #[error("cannot spool the ciphertext: {0}")]
    Spool(#[source] io::Error),
    /// The sealed message could not be written.
    #[error("cannot write the sealed message: {0}")]
    Write(#[source] io::Error),
}

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

/// Mail of so many octets is compressed.
const COMPRESS_FROM: u64 = 256 * 1024;
/// Octets read at a time.
const STEP: usize = 64 * 1024;
/// Octets at the beginning of a message in which its header section is looked for.
const MAX_HEADER: usize = 1024 * 1024;
/// BODYSTRUCTURE of more octets is left out of the list view.
const MAX_BODY_STRUCTURE: usize = 2048;

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
    let mut survey = Survey::read(original, &spool, settings.compression)?;
    let section = survey.header();
    let id = settings.id.of(&survey.hash);
    let outer_fields = settings.policy.outer_fields(&section, id, settings.time);
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
    let bodies = settings.recipients.iter().map(|recipient| recipient.wrap(&key, settings.profile));
    let wrapped = join_wrapped_keys(&bodies.collect::<Result<Vec<_>, _>>()?);

    let place = spool().map_err(SealError::Spool)?;
    let (mut content, content_hash) = if survey.length < CHECK_MEANWHILE {
        let mut content = write_content(original, &mut survey, &frame, place, &key, settings)?;
        content.rewind().map_err(SealError::Spool)?;
        let hash = self_check(&mut content, &key, &origin, settings.profile)?;
        (content, hash)
    } else {
        thread::scope(|scope| {
            let (to, from) = mpsc::sync_channel(PIECES_IN_FLIGHT);
            let checking = scope.spawn(|| {
                self_check(Pieces { from, piece: io::Cursor::default() }, &key, &origin, settings.profile)
            });
            let tee = Tee { place, to };
            let content = write_content(original, &mut survey, &frame, tee, &key, settings);
            let place = content.map(|tee| tee.place);
            let hash = checking.join().unwrap_or(Err(SealError::SelfCheck));
            Ok::<_, SealError>((place?, hash?))
        })?
    };

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

/// What one reading of the original tells.
struct Survey<S> {
    length: u64,
    hash: Hash,
    /// The beginning of the message, with the header section.
    prefix: Vec<u8>,
    structure: Option<String>,
    compressed: Option<sealed::spool::SpoolReader<S>>,
}

impl<S: Read + Write + Seek> Survey<S> {
    fn read(
        original: &mut (impl Read + Seek),
        spool: &impl Fn() -> io::Result<S>,
        compression: Compression,
    ) -> Result<Self, SealError> {
        let expected = original.seek(io::SeekFrom::End(0)).map_err(SealError::Read)?;
        original.rewind().map_err(SealError::Read)?;
        if expected > limit::MAX_ORIGINAL {
            return Err(SealError::TooLarge);
        }
        let compress = compression == Compression::Auto && expected >= COMPRESS_FROM;
        let mut deflate =
            if compress { Some(Deflate::new(SpoolWriter::new(spool().map_err(SealError::Spool)?))) } else { None };
        let most = if compress { deflate::BATCH } else { STEP };
        let size = usize::try_from(expected).unwrap_or(most).clamp(1, most);
        let mut step = zeroize::Zeroizing::new(vec![0; size]);
        let mut prefix = Vec::with_capacity(size);
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut scanner = Scanner::new();
        let mut length = 0;
        loop {
            let count = fill(original, &mut step).map_err(SealError::Read)?;
            let octets = step.get(..count).unwrap_or_default();
            if octets.is_empty() {
                break;
            }
            let mut look = || {
                hash.update(octets);
                scanner.feed(octets);
            };
            match &mut deflate {
                Some(deflate) => deflate.write(octets, look).map_err(SealError::Spool)?,
                None => look(),
            }
            let room = MAX_HEADER - prefix.len().min(MAX_HEADER);
            prefix.extend_from_slice(octets.get(..room).unwrap_or(octets));
            length += count as u64;
        }
        if length != expected {
            return Err(SealError::Changed);
        }
        let compressed = deflate.map(Deflate::finish).transpose().map_err(SealError::Spool)?;
        let hash = hash.finish().as_ref().try_into().map_err(|_| SealError::SelfCheck)?;
        let structure = body_structure(&scanner.finish(), MAX_BODY_STRUCTURE);
        Ok(Self { length, hash, prefix, structure, compressed })
    }

    /// The header section, as far as it is whole within the prefix.
    fn header(&self) -> HeaderSection<'_> {
        let whole = self.prefix.len() as u64 == self.length;
        let end = header_section_end(&self.prefix).unwrap_or_else(|| {
            // A larger header section: what stands before the last line that surely began a new field.
            if whole { self.prefix.len() } else { whole_fields(&self.prefix) }
        });
        HeaderSection::parse(self.prefix.get(..end).unwrap_or_default())
    }

    fn index(&self, origin: &Origin, settings: &Settings<'_>) -> Vec<u8> {
        let preview = self.prefix.get(..mail::MAX_PREVIEW_INPUT.min(self.prefix.len())).and_then(mail::preview);
        let mut index = Index {
            length: origin.length,
            hash: origin.hash,
            time: origin.time,
            sequence: origin.sequence,
            internal_date: settings.place.internal_date.clone(),
            mailbox: settings.place.mailbox.clone(),
            flags: settings.place.flags.clone(),
            authentication_results: settings.place.authentication_results.clone(),
            body_structure: self.structure.clone(),
            preview,
            origin: settings.way,
            envelope: settings.place.envelope.clone(),
            ..Index::default()
        };
        if index.body_structure.is_none() {
            index.omitted.push("bodystructure".to_owned());
        }
        list_view::write(index, &self.header())
    }
}

/// Up to the last line that begins a new field.
fn whole_fields(prefix: &[u8]) -> usize {
    let mut end = prefix.len();
    while let Some(newline) = memchr::memrchr(b'\n', prefix.get(..end).unwrap_or_default()) {
        if prefix.get(newline + 1).is_some_and(|octet| !matches!(octet, b' ' | b'\t')) {
            return newline + 1;
        }
        end = newline;
    }
    0
}

/// Encrypts head, original, tail and padding, and gives `to` back.
fn write_content<S: Read + Write + Seek, W: Write>(
    original: &mut (impl Read + Seek),
    survey: &mut Survey<S>,
    frame: &payload::Frame,
    to: W,
    key: &SessionKey,
    settings: &Settings<'_>,
) -> Result<W, SealError> {
    let around = (frame.head.len() + frame.tail.len()) as u64;
    let payload = survey.length + around;
    let compressed = survey.compressed.take().filter(|deflated| {
        deflated.length().saturating_mul(limit::STORE_ABOVE_RATIO) >= survey.length
    });
    match compressed {
        Some(deflated) => write_compressed(deflated, payload, frame, to, key, settings),
        None => {
            let padded = padded(payload, settings.padding);
            let header = literal::literal_header(padded).ok_or(SealError::TooLarge)?;
            let length = header.len() as u64 + padded;
            original.rewind().map_err(SealError::Read)?;
            let mut writer =
                ContentWriter::begin(to, settings.profile, key, length).map_err(SealError::Spool)?;
            writer.write_all(&header).map_err(SealError::Spool)?;
            writer.write_all(&frame.head).map_err(SealError::Spool)?;
            copy(original, survey.length, &mut writer)?;
            writer.write_all(&frame.tail).map_err(SealError::Spool)?;
            payload::write_padding(&mut writer, padded - payload).map_err(SealError::Spool)?;
            writer.finish().map_err(SealError::Spool)
        }
    }
}

/// The same, compressed: stored blocks for what stands before and after, the deflated original between them, and a
/// padding that makes the compressed size a bucket exactly (format §7.3).
fn write_compressed<S: Read + Write + Seek, W: Write>(
    mut deflated: sealed::spool::SpoolReader<S>,
    payload: u64,
    frame: &payload::Frame,
    to: W,
    key: &SessionKey,
    settings: &Settings<'_>,
) -> Result<W, SealError> {
    let before = literal::stored_length(literal::LITERAL_HEADER + frame.head.len()) as u64 + deflated.length();
    let least = before + literal::stored_length(frame.tail.len()) as u64;
    let total = padded(least, settings.padding);
    let after = usize::try_from(total - before).map_err(|_| SealError::TooLarge)?;
    let (blocks, octets) = literal::stored_exactly(after).ok_or(SealError::TooLarge)?;
    let padding = octets.checked_sub(frame.tail.len()).ok_or(SealError::TooLarge)?;
    let literal = literal::literal_header(payload + padding as u64).ok_or(SealError::TooLarge)?;
    let header = literal::compressed_header(total).ok_or(SealError::TooLarge)?;

    let mut writer = ContentWriter::begin(to, settings.profile, key, header.len() as u64 + total)
        .map_err(SealError::Spool)?;
    let head = [&literal[..], &frame.head].concat();
    let mut tail = frame.tail.clone();
    payload::write_padding(&mut tail, padding as u64).map_err(SealError::Spool)?;
    writer
        .write_all(&header)
        .and_then(|()| literal::write_stored(&mut writer, &head, literal::stored_blocks(head.len()), Last::No))
        .map_err(SealError::Spool)?;
    let length = deflated.length();
    copy(&mut deflated, length, &mut writer)?;
    literal::write_stored(&mut writer, &tail, blocks, Last::Yes).map_err(SealError::Spool)?;
    writer.finish().map_err(SealError::Spool)
}

fn padded(length: u64, padding: Padding) -> u64 {
    match padding {
        Padding::Bucket => payload::bucket(length),
        Padding::None => length,
    }
}

/// Copies exactly `length` octets; more or fewer mean that the original changed since it was surveyed.
fn copy(from: &mut impl Read, length: u64, to: &mut impl Write) -> Result<(), SealError> {
    let size = usize::try_from(length).unwrap_or(STEP).clamp(1, STEP);
    let mut step = zeroize::Zeroizing::new(vec![0; size]);
    let mut left = length;
    loop {
        let count = read_some(from, &mut step).map_err(SealError::Read)?;
        left = left.checked_sub(count as u64).ok_or(SealError::Changed)?;
        if count == 0 {
            return if left == 0 { Ok(()) } else { Err(SealError::Changed) };
        }
        to.write_all(step.get(..count).unwrap_or_default()).map_err(SealError::Spool)?;
    }
}

/// Opens C and compares: SHA-256 of C.
fn self_check(content: impl Read, key: &SessionKey, origin: &Origin, profile: Profile) -> Result<Hash, SealError> {
    let mut hashed = Hashed { from: content, hash: digest::Context::new(&digest::SHA256) };
    let recovered = recover(&mut hashed, profile, key, &mut io::sink()).map_err(|_| SealError::SelfCheck)?;
    if recovered.origin != *origin {
        return Err(SealError::SelfCheck);
    }
    hashed.hash.finish().as_ref().try_into().map_err(|_| SealError::SelfCheck)
}

/// From this size on, the self-check runs on another core while the rest is still being encrypted.
const CHECK_MEANWHILE: u64 = 1024 * 1024;
/// Pieces of ciphertext that wait for the self-check at most.
const PIECES_IN_FLIGHT: usize = 4;

/// Ciphertext to the spool and to the self-check.
struct Tee<S> {
    place: S,
    to: mpsc::SyncSender<Vec<u8>>,
}

impl<S: Write> Write for Tee<S> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.place.write_all(octets)?;
        // The check may have ended with an error already; it tells so itself.
        let _ = self.to.send(octets.to_vec());
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.place.flush()
    }
}

/// The self-check's end of it.
struct Pieces {
    from: mpsc::Receiver<Vec<u8>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Read for Pieces {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(to)?;
            if count > 0 || to.is_empty() {
                return Ok(count);
            }
            match self.from.recv() {
                Ok(piece) => self.piece = io::Cursor::new(piece),
                Err(mpsc::RecvError) => return Ok(0),
            }
        }
    }
}

struct Hashed<R> {
    from: R,
    hash: digest::Context,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(to)?;
        self.hash.update(to.get(..count).unwrap_or_default());
        Ok(count)
    }
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

fn write_message(
    out: &mut impl Write,
    display: &[u8],
    fields: &SealedFields,
    content: &mut (impl Read + Seek),
) -> Result<(), SealError> {
    let frame = outer::Frame::new(display, fields).map_err(SealError::TooManyRecipients)?;
    let checksum = match fields.mark.profile {
        Profile::Pgp1 => Checksum::Crc24,
        Profile::Pgp2 => Checksum::Absent,
    };
    content.rewind().map_err(SealError::Spool)?;
    out.write_all(&frame.head).map_err(SealError::Write)?;
    let mut armor = ArmorWriter::begin(&mut *out, &fields.key, checksum).map_err(SealError::Write)?;
    let mut step = vec![0; STEP];
    // What the spool gives now must still be what was checked.
    let mut hash = digest::Context::new(&digest::SHA256);
    loop {
        let count = read_some(content, &mut step).map_err(SealError::Spool)?;
        let octets = step.get(..count).unwrap_or_default();
        if octets.is_empty() {
            break;
        }
        hash.update(octets);
        armor.write(octets).map_err(SealError::Write)?;
    }
    if hash.finish().as_ref() != fields.mark.content_hash {
        return Err(SealError::SelfCheck);
    }
    let out = armor.finish().map_err(SealError::Write)?;
    out.write_all(&frame.tail).map_err(SealError::Write)
}

/// Reads until `to` is full or the end comes.
fn fill(from: &mut impl Read, to: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = to.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match read_some(from, rest)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// One read that was not interrupted; 0 at the end.
fn read_some(from: &mut impl Read, to: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(to) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
