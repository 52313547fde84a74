//! What both sides agree upon before anything else: which changes may be asked for, and which steps are shown.
//!
//! In: what the mail server offers, what is needed and what is wished. Out: the agreement, or the name of what is missing. Never asks for what was
//! not offered: a mail server breaks off then.

/// Changes that may be asked for (`SMFIF_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions(u32);

/// Each of them, with its name for errors.
const NAMES: [(Actions, &str); 7] = [
    (Actions::ADD_HEADERS, "adding header fields"),
    (Actions::REPLACE_BODY, "replacing the body"),
    (Actions::ADD_RECIPIENTS, "adding recipients"),
    (Actions::DELETE_RECIPIENTS, "deleting recipients"),
    (Actions::CHANGE_HEADERS, "changing header fields"),
    (Actions::QUARANTINE, "quarantine"),
    (Actions::CHANGE_SENDER, "changing the sender"),
];

impl Actions {
    /// None.
    pub const NONE: Actions = Actions(0);
    /// Header fields may be added.
    pub const ADD_HEADERS: Actions = Actions(0x01);
    /// The body may be replaced.
    pub const REPLACE_BODY: Actions = Actions(0x02);
    /// Recipients may be added.
    pub const ADD_RECIPIENTS: Actions = Actions(0x04);
    /// Recipients may be deleted.
    pub const DELETE_RECIPIENTS: Actions = Actions(0x08);
    /// Header fields may be changed and deleted.
    pub const CHANGE_HEADERS: Actions = Actions(0x10);
    /// The message may be held.
    pub const QUARANTINE: Actions = Actions(0x20);
    /// The sender may be changed.
    pub const CHANGE_SENDER: Actions = Actions(0x40);

    /// These and those.
    #[must_use]
    pub const fn with(self, others: Actions) -> Actions {
        Actions(self.0 | others.0)
    }

    /// Are all of those among these?
    pub const fn has(self, others: Actions) -> bool {
        self.0 & others.0 == others.0
    }

    /// The name of the first one of `others` that is not among these.
    pub(crate) fn missing(self, others: Actions) -> Option<&'static str> {
        let lacks = |one: &&(Actions, &str)| others.has(one.0) && !self.has(one.0);
        NAMES.iter().find(lacks).map(|(_, name)| *name)
    }
}

/// What is shown, and what is answered (`SMFIP_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Steps(u32);

impl Steps {
    /// Header fields need no answer.
    pub(crate) const SILENT_HEADERS: Steps = Steps(0x80);
    /// Commands that are not known are not shown.
    const NO_UNKNOWN: Steps = Steps(0x100);
    /// The rest of a body may be skipped.
    pub(crate) const SKIP: Steps = Steps(0x400);
    /// The connection needs no answer.
    pub(crate) const SILENT_CONNECT: Steps = Steps(0x1000);
    /// The greeting needs no answer.
    pub(crate) const SILENT_HELO: Steps = Steps(0x2000);
    /// A blank behind the colon of a header field is shown, and none is added.
    pub(crate) const LEADING_BLANK: Steps = Steps(0x10_0000);
    /// All that is of use here.
    const WISHED: Steps = Steps(
        Steps::SILENT_HEADERS.0
            | Steps::NO_UNKNOWN.0
            | Steps::SKIP.0
            | Steps::SILENT_CONNECT.0
            | Steps::SILENT_HELO.0
            | Steps::LEADING_BLANK.0,
    );

    pub(crate) const fn has(self, others: Steps) -> bool {
        self.0 & others.0 == others.0
    }
}

/// What was agreed upon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agreement {
    version: u32,
    pub(crate) actions: Actions,
    pub(crate) steps: Steps,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disagreement {
    /// The offer cannot be read, or is of a version before the second.
    Unreadable,
    /// The mail server does not offer this.
    Lacks(&'static str),
}

/// The version that is spoken here, and the oldest one that is understood.
const VERSIONS: std::ops::RangeInclusive<u32> = 2..=6;

impl Agreement {
    /// `offer`: version, actions and steps of the mail server.
    pub(crate) fn of(offer: &[u8], needs: Actions, wishes: Actions) -> Result<Agreement, Disagreement> {
        let (version, actions, steps) = numbers(offer).ok_or(Disagreement::Unreadable)?;
        if version < *VERSIONS.start() {
            return Err(Disagreement::Unreadable);
        }
        if let Some(name) = Actions(actions).missing(needs) {
            return Err(Disagreement::Lacks(name));
        }
        Ok(Agreement {
            version: version.min(*VERSIONS.end()),
            actions: Actions(actions & needs.with(wishes).0),
            steps: Steps(steps & Steps::WISHED.0),
        })
    }

    /// As it is told to the mail server.
    pub(crate) fn octets(self) -> Vec<u8> {
        [self.version, self.actions.0, self.steps.0].into_iter().flat_map(u32::to_be_bytes).collect()
    }
}

fn numbers(octets: &[u8]) -> Option<(u32, u32, u32)> {
    let (version, rest) = octets.split_first_chunk()?;
    let (actions, rest) = rest.split_first_chunk()?;
    // What may follow is said by later versions.
    let (steps, _) = rest.split_first_chunk()?;
    Some((u32::from_be_bytes(*version), u32::from_be_bytes(*actions), u32::from_be_bytes(*steps)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(version: u32, actions: u32, steps: u32) -> Vec<u8> {
        [version, actions, steps].into_iter().flat_map(u32::to_be_bytes).collect()
    }

    #[test]
    fn nothing_is_asked_for_that_was_not_offered() {
        let needs = Actions::REPLACE_BODY.with(Actions::CHANGE_HEADERS);
        let wishes = Actions::QUARANTINE;
        for (offered, agreed) in [
            (offer(6, 0x1ff, 0x1f_ffff), Ok(offer(6, 0x32, 0x10_3580))),
            (offer(6, 0x12, 0), Ok(offer(6, 0x12, 0))),
            (offer(9, u32::MAX, u32::MAX), Ok(offer(6, 0x32, 0x10_3580))),
            (offer(2, 0x3f, 0x7f), Ok(offer(2, 0x32, 0))),
            (offer(6, 0x02, 0), Err(Disagreement::Lacks("changing header fields"))),
            (offer(6, 0, 0), Err(Disagreement::Lacks("replacing the body"))),
            (offer(1, 0x1ff, 0), Err(Disagreement::Unreadable)),
            (vec![0; 11], Err(Disagreement::Unreadable)),
            (Vec::new(), Err(Disagreement::Unreadable)),
        ] {
            let got = Agreement::of(&offered, needs, wishes).map(Agreement::octets);
            assert_eq!(got, agreed, "{offered:?}");
        }
    }
}
