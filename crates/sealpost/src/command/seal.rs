//! `seal`: one message from stdin to stdout, or every file of a folder. What is sealed or end-to-end encrypted already
//! passes through unchanged.

use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

use seal::{NewId, Padding, Settings};
use sealed::{
    index::Way,
    recognise::{What, recognise},
    signature::Trust,
};

use flow::directory::Lookup;

use crate::{
    args::Seal,
    clock,
    command::{batch, deliver::wait_for, directory},
    failure::{DoingWhat, Exit, Failure},
    home::Home,
    keys::Recipients,
    spool::{self, Original},
    tell::tell,
};

/// Seals.
pub fn run(home: &Home, arguments: &Seal) -> Result<(), Failure> {
    if arguments.rcpt.is_none() && (arguments.place.directory.is_some() || arguments.place.flow.is_some()) {
        // Else a slip in a mail server's configuration would seal everybody's mail to one.
        return Err(Failure::new(Exit::Usage, "a directory is named, and no recipient")
            .hint("add --rcpt ADDRESS, the envelope recipient"));
    }
    let sealer = match &arguments.rcpt {
        Some(rcpt) => Sealer::of_recipient(home, arguments, rcpt)?,
        None => Sealer::new(home, arguments)?,
    };
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
    /// MAIL FROM and RCPT TO, where a mail server told them.
    envelope: Vec<String>,
}

impl Sealer {
    /// For the envelope recipient, as the directory says. A mail server keeps the message on 75, and gives it back on the others.
    fn of_recipient(home: &Home, arguments: &Seal, rcpt: &str) -> Result<Self, Failure> {
        let directory = directory::find(home, &arguments.place)?;
        let found = wait_for(directory.lookup(rcpt)).map_err(|failure| Failure { exit: Exit::Temporary, ..failure })?;
        let owner = match found {
            Lookup::Owner(owner) => owner,
            Lookup::Unknown => {
                return Err(Failure::new(Exit::Temporary, "no key to seal this recipient's mail to")
                    .hint("`sealpost directory add ADDRESS FILE` takes the owner's enrolment in"));
            }
            Lookup::Unusable(why) => {
                return Err(Failure::new(Exit::Temporary, why)
                    .hint("get the owner's new file: `sealpost directory add ADDRESS FILE`"));
            }
        };
        let mut trust = home.trust()?;
        trust.accounts = vec![owner.account];
        Ok(Self {
            policy: owner.enrolment.policy,
            compression: arguments.compress.into(),
            recipients: Recipients {
                enrolment: owner.enrolment.clone(),
                keys: owner.recipients.clone(),
                account: owner.account,
                sealer: home.sealer()?,
            },
            trust,
            envelope: vec![arguments.sender.clone(), rcpt.to_owned()],
        })
    }

    fn new(home: &Home, arguments: &Seal) -> Result<Self, Failure> {
        let scheme = arguments.scheme.map(Into::into);
        let recipients = Recipients::find(home, &arguments.certificates, arguments.to.as_deref(), scheme)?;
        let mut trust = home.trust()?;
        trust.accounts = vec![recipients.account];
        Ok(Self {
            policy: arguments.policy.map_or(recipients.enrolment.policy, Into::into),
            compression: arguments.compress.into(),
            recipients,
            trust,
            envelope: Vec::new(),
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
            outer_from: None,
            compression: self.compression,
            padding: Padding::Bucket,
            id: NewId::Random,
            // One message at a time has no order: it is not counted (A9).
            sequence: 0,
            time: clock::now(),
            way: Way::Delivery,
            place: seal::Place { envelope: self.envelope.clone(), ..seal::Place::default() },
        };
        seal::seal(original, spool::place, out, &settings)?;
        Ok(Done::Sealed)
    }
}
