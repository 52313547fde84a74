//! What is typed to open and read mail, and to put it back.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::option::{Json, Passphrase, Where};

#[derive(Args, Debug)]
pub struct Open {
    /// A secret key to open with [default: the keys in the home]
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// A sealer to trust besides those in the home: the file that its `key export --sealer` printed
    #[arg(long, value_name = "FILE")]
    pub trust_sealer: Option<PathBuf>,
    #[command(flatten)]
    pub passphrase: Passphrase,
    /// Open every file of IN to a file of the same name in OUT
    #[arg(long, num_args = 2, value_names = ["IN", "OUT"])]
    pub batch: Option<Vec<PathBuf>>,
}

#[derive(Args, Debug)]
pub struct Headers {
    /// A secret key to open with [default: the keys in the home]
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// A sealer to trust besides those in the home
    #[arg(long, value_name = "FILE")]
    pub trust_sealer: Option<PathBuf>,
    #[command(flatten)]
    pub passphrase: Passphrase,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Args, Debug)]
pub struct FlowSecret {
    /// Name of the flow in config.toml
    pub flow: String,
    #[command(flatten)]
    pub passphrase: Passphrase,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Args, Debug)]
pub struct Undo {
    #[command(flatten)]
    pub flow: FlowSecret,
    /// Confirm that no other machine seals this account; needed where the server keeps no keywords
    #[arg(long)]
    pub no_other_sealer: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

#[derive(Args, Debug)]
pub struct Restore {
    #[command(flatten)]
    pub flow: FlowSecret,
    /// Only what was sealed on this day (UTC) or later
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = crate::clock::day)]
    pub since: Option<i64>,
    /// Into this directory, one file each [default: the account]
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct ListArguments {
    /// The mailbox [default: INBOX]
    pub mailbox: Option<String>,
    /// The same, as other commands take it
    #[arg(long = "mailbox", value_name = "NAME", conflicts_with = "mailbox")]
    pub named: Option<String>,
    /// Show the mailboxes instead, and how many messages each holds
    #[arg(long, conflicts_with_all = ["mailbox", "named", "last"])]
    pub mailboxes: bool,
    /// Only the last N
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub last: Option<usize>,
    #[command(flatten)]
    pub place: MailPlace,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Args, Debug)]
pub struct MailPlace {
    /// The Maildir [default: as in config.toml]
    #[arg(long, value_name = "PATH", conflicts_with = "account")]
    pub maildir: Option<PathBuf>,
    /// The account, as config.toml names it [default: as in config.toml]
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
    #[command(flatten)]
    pub passphrase: Passphrase,
}

#[derive(Args, Debug)]
pub struct OneMessage {
    /// Its number, as `sealpost list` shows it, or MAILBOX/NUMBER, as `sealpost search` does
    #[arg(value_name = "[MAILBOX/]NUMBER")]
    pub number: MessageName,
    /// Its mailbox [default: INBOX]
    #[arg(long, value_name = "NAME")]
    pub mailbox: Option<String>,
    #[command(flatten)]
    pub place: MailPlace,
}

/// What names a message on the command line.
#[cfg(feature = "open")]
#[derive(Clone, Debug)]
pub struct MessageName {
    pub mailbox: Option<String>,
    pub number: u32,
}

impl std::str::FromStr for MessageName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (mailbox, number) = match text.rsplit_once('/') {
            Some((mailbox, number)) => (Some(mailbox.to_owned()), number),
            None => (None, text),
        };
        let number = number.parse().map_err(|_| "a message is named NUMBER or MAILBOX/NUMBER")?;
        Ok(Self { mailbox, number })
    }
}

#[derive(Args, Debug)]
pub struct ExportMail {
    /// Into this directory, a file or a folder for each mailbox
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// In which form
    #[arg(long, value_enum, default_value_t)]
    pub format: ExportFormat,
    /// Which mailbox; may be repeated [default: all]
    #[arg(long = "mailbox", value_name = "NAME")]
    pub mailboxes: Vec<String>,
    #[command(flatten)]
    pub place: MailPlace,
}

#[derive(ValueEnum, Clone, Copy, Default, Debug)]
pub enum ExportFormat {
    /// MAILBOX.mbox
    #[default]
    Mbox,
    /// A Maildir with the same mailboxes, flags and times
    Maildir,
    /// MAILBOX/NUMBER.eml
    Eml,
}

#[derive(Args, Debug)]
pub struct IndexArguments {
    /// Throw it away and make it again
    #[arg(long)]
    pub rebuild: bool,
    #[command(flatten)]
    pub place: MailPlace,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Args, Debug)]
pub struct SearchArguments {
    /// What to search for: all of it must be there
    #[arg(required = true, num_args = 1..)]
    pub query: Vec<String>,
    /// Only in this mailbox
    #[arg(long, value_name = "NAME")]
    pub mailbox: Option<String>,
    /// At most so many, the newest
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub limit: Option<usize>,
    /// Answer from the index as it is, and look at no mailbox
    #[arg(long)]
    pub as_it_is: bool,
    #[command(flatten)]
    pub place: MailPlace,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Args, Debug)]
pub struct Bridge {
    #[command(flatten)]
    pub place: MailPlace,
    /// Where to listen, on this machine [default: as in config.toml, else 127.0.0.1:1143]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    pub listen: Option<std::net::SocketAddr>,
    /// Make a new password; the old one no longer works, in a bridge that runs neither
    #[arg(long)]
    pub new_password: bool,
}

/// How many.
fn count(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|count| *count > 0).ok_or("a number from 1 on")
}

/// Where to listen.
fn address(text: &str) -> Result<std::net::SocketAddr, String> {
    text.parse().map_err(|_| match text.trim_start_matches(':').parse::<u16>() {
        Ok(port) => format!("write 127.0.0.1:{port}"),
        Err(_) => "an address and a port, as 127.0.0.1:1143".to_owned(),
    })
}

#[derive(Subcommand, Debug)]
pub enum Held {
    /// Show what is held: when, from whom, for whom
    List {
        /// The Maildir with the held mail
        maildir: PathBuf,
        #[command(flatten)]
        secret: HeldSecret,
        #[command(flatten)]
        json: Json,
    },
    /// Seal held mail to those it is for, hand it on, and remove it here
    Release {
        /// The Maildir with the held mail
        maildir: PathBuf,
        /// Where it goes: `lmtp:HOST:PORT`, `smtp:HOST:PORT`, or a Maildir
        #[arg(long, value_name = "PLACE")]
        to: String,
        /// Only what is for this address
        #[arg(long, value_name = "ADDRESS")]
        rcpt: Option<String>,
        #[command(flatten)]
        place: Where,
        #[command(flatten)]
        secret: HeldSecret,
    },
}

#[derive(Args, Debug)]
pub struct HeldSecret {
    /// The sealer that held it: the file that its `key export --sealer` printed [default: those trusted here]
    #[arg(long, value_name = "FILE")]
    pub trust_sealer: Option<PathBuf>,
    #[command(flatten)]
    pub passphrase: Passphrase,
}
