//! `seal`: one message from stdin to stdout, or every file of a folder. What is sealed or end-to-end encrypted already
//! passes through unchanged.

use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

use seal::{NewId, Padding, Settings};
use sealed::{
    index::Way,
    recognise::{What, recognise},
    signature::Trust,
};

use crate::{
    args::Seal,
    clock,
    command::batch,
    failure::{DoingWhat, Exit, Failure},
    home::Home,
    keys::Recipients,
    spool::{self, Original},
    tell::tell,
};

/// Seals.
pub fn run(home: &Home, arguments: &Seal) -> Result<(), Failure> {
    let sealer = Sealer::new(home, arguments)?;
    match arguments.batch.as_deref() {
        Some([from, to]) => batch::run("sealing", from, to, &|from, to| {
            let mut original = Original::from_file(from).doing(Exit::Temporary, "cannot read the file")?;
            let mut to = BufWriter::with_capacity(64 * 1024, to);
            sealer.one(&mut original, &mut to).map(|_| ())?;
            to.flush().doing(Exit::Temporary, "cannot write the sealed message")
        }),
        _ => {
            let mut original = Original::from_stdin()?;
            let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
            if sealer.one(&mut original, &mut out)? == Done::PassedThrough {
                tell("sealpost: note: already encrypted: passed through unchanged");
            }
            out.flush().doing(Exit::Temporary, "cannot write to standard output")
        }
    }
}

/// What became of a message.
#[derive(PartialEq, Eq)]
enum Done {
    Sealed,
    PassedThrough,
}

/// Everything that one run of the command seals with.
struct Sealer {
    recipients: Recipients,
    trust: Trust,
    policy: seal::Policy,
    compression: seal::Compression,
}

impl Sealer {
    fn new(home: &Home, arguments: &Seal) -> Result<Self, Failure> {
        let recipients = Recipients::find(home, &arguments.certificates, arguments.to.as_deref())?;
        let mut trust = home.trust()?;
        trust.accounts = vec![recipients.account];
        Ok(Self {
            policy: arguments.policy.map_or(recipients.enrolment.policy, Into::into),
            compression: arguments.compress.into(),
            recipients,
            trust,
        })
    }

    fn one(&self, original: &mut (impl Read + Seek), out: &mut impl Write) -> Result<Done, Failure> {
        let what = recognise(&mut BufReader::with_capacity(64 * 1024, &mut *original), &self.trust);
        let what = what.doing(Exit::Temporary, "cannot read the message")?;
        original.rewind().doing(Exit::Temporary, "cannot read the message")?;
        if matches!(what, What::Sealed(_) | What::SealedByUnknown(_) | What::EndToEnd(_)) {
            io::copy(original, out).doing(Exit::Temporary, "cannot write the message")?;
            return Ok(Done::PassedThrough);
        }
        let settings = Settings {
            account: self.recipients.account,
            recipients: &self.recipients.keys,
            sealer: &self.recipients.sealer,
            profile: self.recipients.enrolment.profile(),
            policy: self.policy,
            outer_id: seal::OuterId::Kept,
            compression: self.compression,
            padding: Padding::Bucket,
            id: NewId::Random,
            // One message at a time has no order: it is not counted (A9).
            sequence: 0,
            time: clock::now(),
            way: Way::Delivery,
            place: seal::Place::default(),
        };
        seal::seal(original, spool::place, out, &settings)?;
        Ok(Done::Sealed)
    }
}
