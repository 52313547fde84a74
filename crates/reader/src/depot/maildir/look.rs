//! Files of a Maildir, looked at and opened. In: a message of a mailbox. Out: what `view` says of it.

use std::io::BufReader;

use sealed::outer::read_header_section;
use store::{Mailbox, Message};

use crate::depot::view::{Body, Look, Trouble, look};
use crate::settings::Settings;

/// Octets of a file that are read at first.
const READ_BUFFER: usize = 8 << 10;

/// Looks at the header section.
pub(crate) fn look_at_file(settings: &Settings, mailbox: &Mailbox, message: &mut Message) -> Result<Look, Trouble> {
    let file = mailbox.open(message)?.ok_or(Trouble::Gone)?;
    let mut file = BufReader::with_capacity(READ_BUFFER, file);
    let header = read_header_section(&mut file)?.map(|(header, _)| header);
    Ok(look(settings, header))
}

/// The file.
pub(crate) fn body_of_file(mailbox: &Mailbox, message: &mut Message) -> Result<Body, Trouble> {
    let file = mailbox.open(message)?.ok_or(Trouble::Gone)?;
    Ok(Body { length: file.metadata()?.len(), octets: Box::new(file) })
}
