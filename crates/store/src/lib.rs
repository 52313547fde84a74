//! A mailbox wherever it lies: list, read, put, replace with a journal.
