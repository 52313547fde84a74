//! What is typed for a forwarder: commands on its queue, and for its DKIM key.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::option::Json;

#[derive(Subcommand, Debug)]
pub enum QueueCommand {
    /// Show what waits, what failed, and why
    List {
        #[command(flatten)]
        flow: QueueFlow,
        #[command(flatten)]
        json: Json,
    },
    /// Have it tried now, also what failed
    Retry {
        /// Which one, as `queue list` shows it
        #[arg(conflicts_with = "all")]
        id: Option<String>,
        /// All of them
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        flow: QueueFlow,
    },
    /// Write the sealed copy to standard output; what is in it only its owner can read
    Cat {
        /// Which one, as `queue list` shows it
        id: String,
        #[command(flatten)]
        flow: QueueFlow,
    },
    /// Remove it for good; nobody is told
    Drop {
        /// Which one, as `queue list` shows it
        id: String,
        #[command(flatten)]
        flow: QueueFlow,
    },
}

#[derive(Args, Debug)]
pub struct QueueFlow {
    /// The flow whose queue it is [default: the only one that forwards mail]
    #[arg(long, value_name = "NAME")]
    pub flow: Option<String>,
}

#[derive(Args, Debug)]
pub struct DkimArguments {
    /// The private key, PEM: `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`, or `-algorithm ED25519`
    pub file: PathBuf,
    /// The domain that signs: the forwarder's
    #[arg(long)]
    pub domain: String,
    /// The name of the key in the DNS
    #[arg(long)]
    pub selector: String,
}
