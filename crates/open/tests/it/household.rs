//! What the tests of this crate share: an owner with mailbox and recovery key, a sealer, and one `seal` and one `open`
//! with everything at its defaults.

use std::{io::Cursor, sync::OnceLock};

use open::{Algorithm, Keyring, OpenError, SecretKey, X509SecretKey};
use seal::{Certificate, Compression, Enrolment, Padding, Policy, RecipientKey, SealError, Sealing, Settings};
use sealed::{
    identity::{AccountId, Profile},
    index::{Index, Way},
    signature::{SealerKey, Trust},
};

pub(crate) struct Household {
    pub(crate) mailbox: SecretKey,
    pub(crate) recovery: SecretKey,
    pub(crate) recipients: Vec<RecipientKey>,
    pub(crate) account: AccountId,
    pub(crate) sealer: SealerKey,
    pub(crate) keys: Keyring,
    pub(crate) trust: Trust,
    pub(crate) profile: Profile,
    pub(crate) policy: Policy,
    pub(crate) compression: Compression,
    pub(crate) padding: Padding,
}

pub(crate) const NOW: u64 = 1_795_424_400;

pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

impl Household {
    pub(crate) fn new() -> Self {
        Self::of(Algorithm::V4Curve25519)
    }

    pub(crate) fn of(algorithm: Algorithm) -> Self {
        let mailbox = SecretKey::generate("alice@example.org", algorithm).unwrap();
        let recovery = SecretKey::generate("alice@example.org", algorithm).unwrap();
        let certificates: Vec<Certificate> =
            [&mailbox, &recovery].iter().map(|key| key.certificate(now()).unwrap()).collect();
        let sealer = SealerKey::generate();
        let mut keys = Keyring::default();
        keys.add(mailbox.unlock(None).unwrap());
        let account = certificates[0].account();
        Self {
            recipients: certificates.iter().map(|certificate| certificate.recipient.clone()).collect(),
            account,
            trust: Trust { accounts: vec![account], sealers: vec![sealer.public().clone()] },
            sealer,
            keys,
            mailbox,
            recovery,
            profile: if algorithm == Algorithm::V6X25519 { Profile::Pgp2 } else { Profile::Pgp1 },
            policy: Policy::Baseline,
            compression: Compression::Auto,
            padding: Padding::Bucket,
        }
    }

    /// An owner with S/MIME keys; `number` 0 or 1: two owners that have no key in common.
    pub(crate) fn smime(profile: Profile, number: usize) -> Self {
        static KEYS: OnceLock<[X509SecretKey; 4]> = OnceLock::new();
        let keys = KEYS.get_or_init(|| [0; 4].map(|_| X509SecretKey::generate("alice@example.org", now()).unwrap()));
        Self { profile, ..Self::with_x509(&[&keys[2 * number], &keys[2 * number + 1]], &[]) }
    }

    /// An owner with these keys, the first one in the keyring; otherwise what an enrolment with these readers says.
    pub(crate) fn with_x509(keys: &[&X509SecretKey], readers: &[&str]) -> Self {
        let lines: String = readers.iter().map(|reader| format!("Reader: {reader}\n")).collect();
        let certificates: String = keys.iter().map(|key| key.certificate_armored().unwrap()).collect();
        let enrolment = format!("Sealed-Enrolment: v=1\nScheme: smime\n{lines}\n{certificates}");
        let enrolment = Enrolment::parse(enrolment.as_bytes(), now()).unwrap();
        let account = enrolment.account().unwrap();
        let household = Self::new();
        let mut keyring = Keyring::default();
        keyring.add(keys[0].unlock(None).unwrap());
        Self {
            account,
            recipients: enrolment.recipients(),
            profile: enrolment.profile(),
            trust: Trust { accounts: vec![account], ..household.trust },
            keys: keyring,
            ..household
        }
    }

    pub(crate) fn settings(&self) -> Settings<'_> {
        Settings {
            account: self.account,
            recipients: &self.recipients,
            sealer: &self.sealer,
            profile: self.profile,
            policy: self.policy,
            outer_id: seal::OuterId::Kept,
            outer_from: None,
            compression: self.compression,
            padding: self.padding,
            id: seal::NewId::Random,
            sequence: 7,
            time: NOW,
            way: Way::Client,
            place: seal::Place::default(),
        }
    }

    pub(crate) fn seal_to(&self, original: &[u8], out: &mut Vec<u8>) -> Result<Sealing, SealError> {
        seal::seal(&mut Cursor::new(original), || Ok(Cursor::new(Vec::new())), out, &self.settings())
    }

    pub(crate) fn seal(&self, original: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.seal_to(original, &mut out).unwrap();
        out
    }

    pub(crate) fn open(&self, message: &[u8]) -> Result<Vec<u8>, OpenError> {
        open_with(message, &self.keys, &self.trust)
    }

    pub(crate) fn headers(&self, message: &[u8]) -> Result<Index, OpenError> {
        open::headers(message, &self.keys, &self.trust)
    }
}

pub(crate) fn open_with(message: &[u8], keys: &Keyring, trust: &Trust) -> Result<Vec<u8>, OpenError> {
    let mut message = message;
    let opened = open::open(&mut message, Cursor::new(Vec::new()), keys, trust)?;
    let mut original = Vec::new();
    opened.write(&mut original)?;
    Ok(original)
}

/// Numbers that look random and are the same in every run (xorshift64*).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `below`.
    pub(crate) fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
    }
}
