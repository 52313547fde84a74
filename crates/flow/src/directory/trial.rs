//! Every entry tried: does a message sealed to it open again?
//!
//! In: a directory, a sealer. Out: for each address what stands there, until when it works, and whether a small message could be sealed to it and
//! proved with its session key. Nothing is kept of that message.

use std::io::{BufReader, Cursor, ErrorKind};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use seal::{Compression, NewId, OuterId, Padding};
use sealed::index::Way;
use sealed::signature::SealerKey;

use crate::directory::entry::DirectoryError;
use crate::directory::lookup::{Directory, Lookup};
use crate::directory::owner::{Owner, Unusable};

/// What came of trying an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// Mail can be sealed to it.
    Good {
        /// Fingerprints of its keys.
        keys: Vec<String>,
        /// When the first of them expires, Unix seconds.
        expires: Option<u64>,
    },
    /// It cannot.
    Unusable(Unusable),
    /// We may not read it.
    Forbidden,
    /// It went away meanwhile.
    Gone,
}

/// How long a list of entries may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Entries that are read at once.
const PAGE: usize = 500;
/// Days before its end on which a key is spoken of.
pub const WARNED_DAYS: [u64; 3] = [30, 7, 1];

impl Tried {
    /// Whole days until the first key expires, if it does so within the warned time.
    pub fn days_left(&self, now: u64) -> Option<u64> {
        let Tried::Good { expires: Some(expires), .. } = self else { return None };
        let days = expires.saturating_sub(now) / 86_400;
        (days <= WARNED_DAYS.into_iter().max().unwrap_or_default()).then_some(days)
    }
}

/// Tries all of them, in the order of their addresses.
pub async fn try_all(
    directory: &Directory,
    sealer: &SealerKey,
    each: &mut (dyn FnMut(&str, Tried) + Send),
) -> Result<(), DirectoryError> {
    let mut after = String::new();
    loop {
        let page = tokio::time::timeout(PATIENCE, directory.source().list(&after, PAGE)).await;
        let page = page.map_err(|_| DirectoryError::TimedOut)??;
        let Some(last) = page.last().cloned() else { return Ok(()) };
        for address in &page {
            let tried = match directory.lookup(address).await {
                Ok(Lookup::Unknown) => Tried::Gone,
                Ok(Lookup::Unusable(unusable)) => Tried::Unusable(unusable),
                Ok(Lookup::Owner(owner)) => try_owner(&owner, sealer),
                // Of one file; the others may be well.
                Err(DirectoryError::Io(error)) if error.kind() == ErrorKind::PermissionDenied => Tried::Forbidden,
                Err(error) => return Err(error),
            };
            each(address, tried);
        }
        after = last;
    }
}

/// Seals a small message and opens it with its session key.
pub fn try_owner(owner: &Owner, sealer: &SealerKey) -> Tried {
    const TRIAL: &[u8] = b"From: trial@sealed.invalid\r\nSubject: trial\r\n\r\nIs this readable to its owner?\r\n";
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let settings = seal::Settings {
        account: owner.account,
        recipients: &owner.recipients,
        sealer,
        profile: owner.enrolment.profile(),
        policy: owner.enrolment.policy,
        outer_id: OuterId::Kept,
        outer_from: None,
        compression: Compression::Never,
        padding: Padding::Bucket,
        id: NewId::Random,
        sequence: 0,
        time: now,
        way: Way::Delivery,
        place: seal::Place::default(),
    };
    let mut out = Vec::new();
    let place = || Ok(Cursor::new(Vec::new()));
    let sealing = seal::seal(&mut Cursor::new(TRIAL), place, &mut out, &settings);
    let proved = sealing
        .ok()
        .and_then(|sealing| sealing.prove(&mut BufReader::new(out.as_slice()), &mut Cursor::new(Vec::new())).ok());
    match proved {
        Some(_) => Tried::Good { keys: owner.fingerprints(), expires: owner.expires },
        None => Tried::Unusable(Unusable::Unfit),
    }
}
