//! Maildir: a tree of mailboxes, each three directories of one file a message.
//!
//! In: the path of a Maildir, with Maildir++ (`.Name`) or nested folders below it. Out: mailboxes, messages, and the
//! replacement of a message in place. Standards: D. J. Bernstein's maildir(5) text, Maildir++ (Courier), Dovecot's file
//! name letters. Other programs may rename, move or delete any file at any instant; nothing here trusts a name it saw.
//! Never: a lock that others must obey, an index, a change to a message's octets.

mod name;

mod folder;

mod tree;

mod lock;

mod stage;

mod publish;

mod deliver;

mod handle;

mod create;

mod retire;

mod recover;

pub use create::CreateError;
pub use deliver::{Delivered, deliver};
pub use folder::{ABSENCE_PASSES, CHASES, Identity, Mailbox, Message, Messages, Place, ScanError, Stat};
pub use lock::LockError;
pub use name::{FileName, Flags, MAX_NAME, NameError, Unique};
pub use publish::{Durable, Publish, PublishError, Published};
pub use recover::{Comparison, RecoverError, Recovered, Recovery, recover};
pub use retire::{Outcome, RetireError, Retired};
pub use stage::{Proven, ReadBackError, Replacer, SYNC_THREADS, StageError, Staged, Staging, Unsynced};
pub use tree::{LeftOut, ListError, Listing, MAX_DEPTH, MAX_MAILBOXES, Maildir, OpenMaildirError, Reason};
