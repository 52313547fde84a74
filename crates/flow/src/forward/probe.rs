//! Whether a target can be reached and takes mail, without any mail.
//!
//! In: a sink. Out: what stands in the way, if anything. An account is logged in to, and its mailbox opened for writing; a server is greeted.

use std::path::PathBuf;
use std::sync::Arc;

use crate::forward::obstacle::Obstacle;
use crate::forward::settings::Sink;
use crate::forward::spool::Spool;
use crate::forward::target::Target;

/// Tries it. `spool`: where copies for it lie; `hello`: our own name; `temporary`: a directory for unlinked files.
pub async fn probe(sink: Sink, spool: Spool, hello: &str, temporary: PathBuf) -> Result<(), Obstacle> {
    if let Sink::Maildir(path) = &sink {
        // It is made with the first copy, if it is not there.
        let is_one = ["cur", "new", "tmp"].iter().all(|folder| path.join(folder).is_dir());
        let can_be = !path.exists() && path.parent().is_some_and(std::path::Path::is_dir);
        return if is_one || can_be { Ok(()) } else { Err(Obstacle::NoMailbox) };
    }
    let target = Target::new(sink, hello, String::new(), None, temporary, &Arc::new(spool));
    let target = target.map_err(|_| Obstacle::Unwritable)?;
    target.greet().await;
    target.plight().map_or(Ok(()), |plight| Err(plight.obstacle))
}
