//! What is shown of a message: its original, or the file as it lies (format §14.1).
//!
//! In: a message, wherever it lies. Out: the list view of a sealed message that a pinned sealer made and our key opens, from its header section alone; or the whole
//! original. Everything else is shown untouched. Never uses a private key before a pinned sealer's signature.

use std::io::{self, Read};
use std::ops::Deref;

use open::OpenError;
use sealed::identity::MessageId;
use sealed::index::Index;
use store::maildir::ScanError;

use super::original::Original;
use crate::opening::open_whole;
use crate::settings::Settings;

/// How a message is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// As it lies: it is not sealed.
    AsItLies,
    /// Its original.
    Original,
    /// As it lies: sealed, but by nobody we trust, or not for us, or not whole.
    Foreign,
    /// Not at all: its original was shown, and does not open now (A17).
    Broken,
}

/// A look at the header section.
#[derive(Clone)]
pub(crate) enum Look {
    /// It is shown as it lies; its header section, if it is not larger than a sealed message's.
    File(View, Option<Vec<u8>>),
    /// Its original is shown.
    Sealed(Box<Listed>),
}

/// The list view of a sealed message, and which one it is of.
#[derive(Clone)]
pub(crate) struct Listed {
    pub(crate) id: MessageId,
    index: Index,
}

/// A message as it lies.
pub(crate) struct Body {
    /// Octets.
    pub(crate) length: u64,
    /// The octets.
    pub(crate) octets: Box<dyn Read>,
}

/// Why a message is not shown.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It is gone.
    Gone,
    /// Its original does not open.
    Broken,
    /// The disk, the memory.
    Io,
}

impl Listed {
    pub(crate) fn new(id: MessageId, index: Index) -> Self {
        Self { id, index }
    }
}

impl Deref for Listed {
    type Target = Index;

    fn deref(&self) -> &Index {
        &self.index
    }
}

impl From<io::Error> for Trouble {
    fn from(_: io::Error) -> Self {
        Trouble::Io
    }
}

impl From<ScanError> for Trouble {
    fn from(_: ScanError) -> Self {
        Trouble::Io
    }
}

impl View {
    /// The number that the state database keeps.
    pub(crate) fn number(self) -> u8 {
        match self {
            View::AsItLies => 0,
            View::Original => 1,
            View::Foreign => 2,
            View::Broken => 3,
        }
    }

    /// The view of a number; unknown ones are none.
    pub(crate) fn of_number(number: u8) -> Option<Self> {
        [View::AsItLies, View::Original, View::Foreign, View::Broken].into_iter().find(|view| view.number() == number)
    }

    /// Whether the octets that are shown are the original's.
    pub(crate) fn is_original(self) -> bool {
        matches!(self, View::Original | View::Broken)
    }
}

/// Whether the list view holds every field of all these names.
pub(crate) fn holds_all(index: &Index, names: &[Vec<u8>]) -> bool {
    names.iter().all(|name| index.holds_all(&String::from_utf8_lossy(name)))
}

impl Look {
    /// Whether fields of these names are shown without the body.
    pub(crate) fn shows(&self, names: &[Vec<u8>]) -> bool {
        match self {
            Look::File(_, header) => header.is_some(),
            Look::Sealed(index) => holds_all(index, names),
        }
    }

    /// How it is shown.
    pub(crate) fn view(&self) -> View {
        match self {
            Look::File(view, _) => *view,
            Look::Sealed(_) => View::Original,
        }
    }
}

/// Looks at a header section; `None`: it is larger than a sealed message's.
pub(crate) fn look(settings: &Settings, header: Option<Vec<u8>>) -> Look {
    let Some(header) = header else { return Look::File(View::AsItLies, None) };
    match open::headers_with_id(&header, &settings.keys, &settings.trust) {
        Ok((index, id)) => Look::Sealed(Box::new(Listed::new(id, index))),
        Err(OpenError::NotSealed(_)) => Look::File(View::AsItLies, Some(header)),
        Err(_) => Look::File(View::Foreign, Some(header)),
    }
}

/// The whole message, as it is shown.
pub(crate) fn whole(settings: &Settings, body: Body, look: &Look) -> Result<Original, Trouble> {
    let Body { length, mut octets } = body;
    match look {
        Look::File(..) => Original::take(length, settings.spools(), |to| Ok(io::copy(&mut octets, to).map(drop)?)),
        Look::Sealed(index) => {
            let opened = open_whole(settings, octets).map_err(|error| Trouble::of_opening(&error))?;
            // Another may have been put in its place meanwhile, or handed to us.
            if *opened.hash() != index.hash {
                return Err(Trouble::Broken);
            }
            Original::take(opened.length(), settings.spools(), |to| {
                opened.write(to).map_err(|error| Trouble::of_opening(&error))
            })
        }
    }
}

impl Trouble {
    fn of_opening(error: &OpenError) -> Self {
        match error {
            OpenError::Io(_) => Trouble::Io,
            _ => Trouble::Broken,
        }
    }
}
