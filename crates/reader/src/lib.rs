//! Sealed mailboxes, read: verify, undo.
