//! Mail that is held: sealed to the holding certificate, kept in a Maildir until somebody who has its key releases it (A16).
//!
//! In: a message and why it is held. Out: a receipt, once the sealed copy would survive power loss. The holding key is a master
//! key for what was held; it has no place on this machine, and nothing here could open what it keeps.

use std::io;

use crate::delivery::accepted::Accepted;
use crate::delivery::counts::Counts;
use crate::delivery::mail::Mail;
use crate::delivery::sealing::{Encrypted, Whose, seal};
use crate::delivery::settings::{Hold, Settings};
use crate::delivery::trouble::Trouble;

/// Seals and keeps. `envelope`: MAIL FROM and RCPT TO, which releasing needs; they are inside the encryption. Blocks.
pub(crate) fn hold(
    settings: &Settings,
    counts: &Counts,
    hold: &Hold,
    mail: &Mail,
    envelope: Vec<String>,
) -> Result<Accepted, Trouble> {
    let enrolment = &hold.enrolment;
    let whose = Whose {
        account: enrolment.account().ok_or(Trouble::Unusable)?,
        recipients: enrolment.recipients(),
        profile: enrolment.profile(),
        // Where and to whom, too: whoever finds this folder learns nothing.
        policy: seal::Policy::Hidden,
    };
    // What its author has encrypted is sealed once more: the envelope must be kept with it, and only here it can be.
    let mut copy = seal(&settings.how(), counts, mail, &whose, envelope, Encrypted::IsSealed)?;
    let kept = store::maildir::deliver(&hold.maildir, |to| io::copy(&mut copy.octets, to).map(|_| ()));
    kept.map(Accepted::kept).map_err(|_| Trouble::Engine)
}
