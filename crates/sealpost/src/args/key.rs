//! What is typed after `key`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::option::{Json, NewPassphrase, Policy};

#[derive(Subcommand, Debug)]
pub enum Key {
    /// Show the keys of this home
    List(Json),
    /// Print the owner's certificate, secret key, or the sealer's public key
    Export(Export),
    /// Take in a secret key, or an owner's enrolment or certificate
    Import(Import),
    /// Believe a sealer: the file that its `key export --sealer` printed
    TrustSealer {
        /// The file; `-` for standard input
        file: PathBuf,
    },
    /// Write the public file that a sealer needs
    Enrolment(EnrolmentArguments),
    /// Print what must stand in the DNS for a forwarder's DKIM key
    #[cfg(feature = "forward")]
    Dkim(crate::args::DkimArguments),
}

#[derive(Args, Debug)]
pub struct Export {
    /// The secret key, for stock mail programs, under a passphrase of its own
    #[cfg(feature = "open")]
    #[arg(long, conflicts_with = "sealer")]
    pub secret: bool,
    /// The public half of the sealer key, for the owner to pin
    #[arg(long)]
    pub sealer: bool,
    /// Another secret key than the home's: a recovery key, for example
    #[cfg(feature = "open")]
    #[arg(long, value_name = "FILE", requires = "secret")]
    pub key: Option<PathBuf>,
    /// The passphrase that the key is under now [default: ask on the terminal]
    #[cfg(feature = "open")]
    #[arg(long, value_name = "FILE")]
    pub old_passphrase_file: Option<PathBuf>,
    #[cfg(feature = "open")]
    #[command(flatten)]
    pub passphrase: NewPassphrase,
    /// Which owner, when there are several
    #[arg(long, value_name = "ADDRESS")]
    pub to: Option<String>,
}

#[derive(Args, Debug)]
pub struct Import {
    /// The file
    pub file: PathBuf,
    /// Under which address an owner's bare certificate is kept [default: as enrolled, else its user id]
    #[arg(long)]
    pub address: Option<String>,
    /// The passphrase that the secret key is under, or the password of the .p12 file [default: ask on the terminal]
    #[arg(long, value_name = "FILE")]
    pub old_passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    pub passphrase: NewPassphrase,
}

#[derive(Args, Debug)]
pub struct EnrolmentArguments {
    /// What stays readable outside
    #[arg(long, value_enum)]
    pub policy: Option<Policy>,
    /// A program that the owner reads with; may be repeated
    #[arg(long = "reader", value_name = "NAME")]
    pub readers: Vec<String>,
    /// Which owner, when there are several
    #[arg(long, value_name = "ADDRESS")]
    pub to: Option<String>,
}
