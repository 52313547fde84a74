//! Options that several commands take.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Args, Debug)]
pub struct NewPassphrase {
    /// A file whose first line is the passphrase
    #[arg(long, value_name = "FILE", conflicts_with = "no_passphrase")]
    pub passphrase_file: Option<PathBuf>,
    /// Leave the secret unprotected
    #[arg(long)]
    pub no_passphrase: bool,
}

#[derive(Args, Debug)]
pub struct Passphrase {
    /// A file whose first line is the passphrase [default: ask on the terminal]
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Json {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum Scheme {
    /// PGP/MIME
    Pgp,
    /// S/MIME
    Smime,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum Policy {
    /// Everything that is shown, the Subject too
    Open,
    /// Who and when, not what about
    Baseline,
    /// Addresses without names, no time zone
    Shy,
    /// Nothing but that there is a mail
    Hidden,
}

#[derive(Args, Debug)]
pub struct Where {
    /// A folder, `sqlite:PATH`, or `postgres://…` [default: the flow's]
    #[arg(long, value_name = "WHERE")]
    pub directory: Option<String>,
    /// The flow whose directory it is [default: the only one that has one]
    #[arg(long, value_name = "NAME", conflicts_with = "directory")]
    pub flow: Option<String>,
}
