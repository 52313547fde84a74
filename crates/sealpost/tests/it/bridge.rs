//! The bridge as mail programs see it: RFC 3501 word by word, next to a real Dovecot, and with other people's clients.

mod client;
mod bounds;
mod copies;
mod lists;
mod scene;
mod protocol;
mod storing;
mod numbers;
mod refusing;
mod programs;
mod differential;
mod terminal;
mod searching;
mod newcomer;
mod account;
mod extensions;
mod upstream;
mod rates;
mod shielded;
