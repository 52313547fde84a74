//! Sealpost: your mail stays on their server; only you can read it. Arguments in, one command run, an exit code out.

#![expect(unreachable_pub, reason = "a program has no public API; `pub` marks what a module shows to the others")]

#[cfg(not(target_os = "linux"))]
compile_error!("Sealpost is made for Linux for now");

mod clock;
mod args;
mod tell;
mod failure;
mod stop;
mod home;
#[cfg(feature = "open")]
mod passphrase;
mod spool;
mod config;
mod progress;
mod keys;
mod secret;
mod accounts;
mod flows;
mod directories;
mod deliveries;
#[cfg(feature = "forward")]
mod forwards;
#[cfg(feature = "forward")]
mod obstacles;
mod metrics;
mod explain;
#[cfg(feature = "open")]
mod mailboxes;
mod notify;
mod command;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = match args::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(failure::Exit::Usage as u8) } else { ExitCode::SUCCESS };
        }
    };
    no_core_dumps();
    match command::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// A core dump would write keys and mail to disk.
fn no_core_dumps() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // Refused only where the limit is lower already.
    let _ = setrlimit(Resource::Core, none);
}
