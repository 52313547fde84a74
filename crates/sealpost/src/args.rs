//! The command line as it is typed. What is meant is worked out by the commands.

mod option;
#[cfg(feature = "forward")]
mod forward;
mod key;
#[cfg(feature = "open")]
mod reading;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

#[cfg(feature = "forward")]
pub use self::forward::{DkimArguments, QueueCommand, QueueFlow};
pub use self::key::{EnrolmentArguments, Export, Import, Key};
pub use self::option::{Json, NewPassphrase, Passphrase, Policy, Scheme, Where};
#[cfg(feature = "open")]
pub use self::reading::{
    Bridge, ExportFormat, ExportMail, FlowSecret, Headers, Held, HeldSecret, IndexArguments, ListArguments, MailPlace,
    MessageName, OneMessage, Open, Restore, SearchArguments, Undo,
};

/// Your mail stays on their server; only you can read it.
#[derive(Parser, Debug)]
#[command(name = "sealpost", version, about, max_term_width = 100, propagate_version = true)]
pub struct Arguments {
    /// Where config, keys and state are [default: $SEALPOST_HOME, then the XDG config directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Show the whole story on this machine: sample mail sealed, listed and opened again
    #[cfg(feature = "open")]
    Demo(Demo),
    /// Make keys and a config
    Init(Init),
    /// Seal one message, or every file of a folder
    Seal(Seal),
    /// Open one sealed message, or every file of a folder
    #[cfg(feature = "open")]
    Open(Open),
    /// Show the protected header fields of a sealed message; its header section is enough
    #[cfg(feature = "open")]
    Headers(Headers),
    /// Say what a message is, without any secret
    Inspect(Json),
    /// Show what a sweep would do, without doing it
    Plan(FlowJson),
    /// Seal the existing mail of a flow, once
    Sweep(FlowJson),
    /// Seal the mail of flows as it comes, until asked to end
    Watch(Flows),
    /// Seal the mail of every flow in config.toml as it comes, until asked to end: what a service runs
    Run,
    /// Show what is sealed, left, skipped and failed
    Status(StatusArguments),
    /// Open every sealed message of a flow and report what does not hold
    #[cfg(feature = "open")]
    Verify(FlowSecret),
    /// The way out: put the originals of a flow back and seal nothing more
    #[cfg(feature = "open")]
    Undo(Undo),
    /// Bring originals back from the backup that a flow of an account keeps
    #[cfg(feature = "open")]
    Restore(Restore),
    /// List the mail of a mailbox: number, date, sender, subject, from header sections alone
    #[cfg(feature = "open")]
    List(ListArguments),
    /// Show a message as text
    #[cfg(feature = "open")]
    Show(OneMessage),
    /// Print a message octet by octet: of a sealed one its original
    #[cfg(feature = "open")]
    Cat(OneMessage),
    /// Write mail out in clear: mbox files, a Maildir, or one file a message
    #[cfg(feature = "open")]
    Export(ExportMail),
    /// Make the search index, or bring it up to date: encrypted on disk, opened by the mailbox key alone
    #[cfg(feature = "open")]
    Index(IndexArguments),
    /// Search: words, "phrases", from: to: subject: before: after: has:attachment
    #[cfg(feature = "open")]
    Search(SearchArguments),
    /// Let mail programs on this machine read sealed mail as if it were plain: an IMAP server over a Maildir or an account
    #[cfg(feature = "open")]
    Bridge(Bridge),
    /// List, export, import and trust keys
    #[command(subcommand)]
    Key(Key),
    /// Say whose keys mail is sealed to on delivery
    #[command(subcommand)]
    Directory(DirectoryCommand),
    /// Look at held mail, and let it go: where the holding key is, not on the mail server
    #[cfg(feature = "open")]
    #[command(subcommand)]
    Held(Held),
    /// Look at what a forwarder has taken and not handed on yet; have it tried, or drop it
    #[cfg(feature = "forward")]
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Look at config, keys and mailboxes; say what is wrong and what to do
    Check(Check),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a directory
    #[command(hide = true)]
    Man {
        /// Where
        directory: PathBuf,
    },
}

#[derive(Args, Debug)]
pub struct Demo {
    /// Keep everything here [default: a temporary directory that is kept]
    pub directory: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Init {
    /// The owner's address
    #[arg(long, required_unless_present = "sealer")]
    pub address: Option<String>,
    /// A home for a machine that only seals: no secret of the owner
    #[arg(long, conflicts_with_all = ["address", "recovery"])]
    pub sealer: bool,
    /// Write the recovery key to this file, outside the home [default: print it once]
    #[arg(long, value_name = "FILE")]
    pub recovery: Option<PathBuf>,
    /// A file with another passphrase for the recovery key [default: the same]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["no_passphrase", "sealer"])]
    pub recovery_passphrase_file: Option<PathBuf>,
    /// Keys in the newer format (RFC 9580), which many mail programs cannot read yet
    #[arg(long)]
    pub v6: bool,
    /// S/MIME instead of OpenPGP: keys with self-signed certificates, and a .p12 file for phones and mail programs
    #[arg(long, conflicts_with_all = ["v6", "sealer"])]
    pub smime: bool,
    /// Where the .p12 file is written [default: mailbox.p12 in the home]
    #[arg(long, value_name = "FILE", requires = "smime")]
    pub p12: Option<PathBuf>,
    /// A file whose first line is the password of the .p12 file [default: one is drawn and printed once]
    #[arg(long, value_name = "FILE", requires = "smime")]
    pub p12_passphrase_file: Option<PathBuf>,
    /// A program that the owner reads with; may be repeated
    #[arg(long = "reader", value_name = "NAME", conflicts_with = "sealer")]
    pub readers: Vec<String>,
    #[command(flatten)]
    pub passphrase: NewPassphrase,
}

#[derive(Args, Debug)]
pub struct Seal {
    /// A certificate or enrolment to seal to; may be repeated [default: the owner in the home]
    #[arg(long = "cert", value_name = "FILE")]
    pub certificates: Vec<PathBuf>,
    /// Which owner in the home, when there are several
    #[arg(long, value_name = "ADDRESS", conflicts_with = "certificates")]
    pub to: Option<String>,
    /// What kind of message to make [default: as enrolled, else what the certificates are for]
    #[arg(long, value_enum)]
    pub scheme: Option<Scheme>,
    /// What stays readable outside [default: as enrolled, else baseline]
    #[arg(long, value_enum)]
    pub policy: Option<Policy>,
    /// Whether mail from 256 KiB on is compressed
    #[arg(long, value_enum, default_value_t)]
    pub compress: Compress,
    /// Seal every file of IN to a file of the same name in OUT
    #[arg(long, num_args = 2, value_names = ["IN", "OUT"])]
    pub batch: Option<Vec<PathBuf>>,
    /// The envelope recipient: seal as a recipient directory says, for the pipe of a mail server
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["certificates", "to", "batch", "policy", "scheme"])]
    pub rcpt: Option<String>,
    /// The envelope sender; empty for notices
    #[arg(long, value_name = "ADDRESS", requires = "rcpt", default_value = "")]
    pub sender: String,
    #[command(flatten)]
    pub place: Where,
}

#[derive(ValueEnum, Clone, Copy, Default, Debug)]
pub enum Compress {
    /// When it pays
    #[default]
    Auto,
    /// Not at all
    Never,
}

#[derive(Args, Debug)]
pub struct FlowJson {
    /// Name of the flow in config.toml
    pub flow: String,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Args, Debug)]
pub struct Flows {
    /// Names of flows in config.toml
    #[arg(required = true, value_name = "FLOW")]
    pub flows: Vec<String>,
}

#[derive(Args, Debug)]
pub struct StatusArguments {
    /// Name of the flow [default: all of them]
    pub flow: Option<String>,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Args, Debug)]
pub struct Check {
    #[command(flatten)]
    pub passphrase: Passphrase,
    #[command(flatten)]
    pub json: Json,
}

#[derive(Subcommand, Debug)]
pub enum DirectoryCommand {
    /// Take in an owner's enrolment or certificate, or an alias; a trial message is sealed first
    Add {
        /// The recipient's address; `@example.org` for a whole domain
        address: String,
        /// The enrolment or certificate
        #[arg(conflicts_with = "alias_of")]
        file: Option<PathBuf>,
        /// Treat mail for this address as mail for another one
        #[arg(long, value_name = "ADDRESS")]
        alias_of: Option<String>,
        /// Even if the file says that it is for another address, or the alias leads nowhere yet
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        place: Where,
    },
    /// Show all entries
    List {
        #[command(flatten)]
        json: Json,
        #[command(flatten)]
        place: Where,
    },
    /// Remove an entry
    Remove {
        /// The address
        address: String,
        #[command(flatten)]
        place: Where,
    },
    /// Try every entry, and name those that end soon or cannot be used
    Check {
        #[command(flatten)]
        json: Json,
        #[command(flatten)]
        place: Where,
    },
}
