//! One room per command; here they are only told apart.

mod batch;
#[cfg(feature = "open")]
mod open;
mod inspect;
mod init;
mod key;
mod deliver;
mod directory;
mod seal;
#[cfg(feature = "forward")]
mod queue;
#[cfg(feature = "forward")]
mod forward;
mod bulk;
mod watch;
mod check;
#[cfg(feature = "open")]
mod reading;
#[cfg(feature = "open")]
mod held;
#[cfg(feature = "open")]
mod bridge;
#[cfg(feature = "open")]
mod shelf;
#[cfg(feature = "open")]
mod search;
#[cfg(feature = "open")]
mod demo;

use clap::CommandFactory;

use crate::{
    args::{Arguments, Command},
    failure::{DoingWhat, Exit, Failure},
    home::Home,
};

/// Runs the command that was typed.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let home = || Home::find(arguments.home.as_deref());
    match arguments.command {
        #[cfg(feature = "open")]
        Command::Demo(demo) => demo::run(&demo),
        Command::Init(init) => init::run(&home()?, &init),
        Command::Seal(seal) => seal::run(&home()?, &seal),
        #[cfg(feature = "open")]
        Command::Open(open) => open::open(&home()?, &open),
        #[cfg(feature = "open")]
        Command::Headers(headers) => open::headers(&home()?, &headers),
        Command::Inspect(json) => inspect::run(&home()?, json.json),
        Command::Key(key) => key::run(&home()?, &key),
        Command::Plan(flow) => bulk::plan(&home()?, &flow.flow, flow.json.json),
        Command::Sweep(flow) => bulk::sweep(&home()?, &flow.flow, flow.json.json),
        Command::Status(status) => bulk::status(&home()?, status.flow.as_deref(), status.json.json),
        Command::Watch(flows) => watch::watch(&home()?, &flows.flows),
        Command::Run => watch::run(&home()?),
        #[cfg(feature = "open")]
        Command::Verify(flow) => reading::verify(&home()?, &flow),
        #[cfg(feature = "open")]
        Command::Undo(undo) => reading::undo(&home()?, &undo),
        #[cfg(feature = "open")]
        Command::Restore(restore) => reading::restore(&home()?, &restore),
        #[cfg(feature = "open")]
        Command::List(arguments) => shelf::list(&home()?, &arguments),
        #[cfg(feature = "open")]
        Command::Show(arguments) => shelf::show(&home()?, &arguments),
        #[cfg(feature = "open")]
        Command::Cat(arguments) => shelf::cat(&home()?, &arguments),
        #[cfg(feature = "open")]
        Command::Export(arguments) => shelf::export(&home()?, &arguments),
        #[cfg(feature = "open")]
        Command::Index(arguments) => search::index(&home()?, &arguments),
        #[cfg(feature = "open")]
        Command::Search(arguments) => search::search(&home()?, &arguments),
        #[cfg(feature = "open")]
        Command::Bridge(arguments) => bridge::run(&home()?, &arguments),
        Command::Directory(command) => directory::run(&home()?, &command),
        #[cfg(feature = "open")]
        Command::Held(held) => held::run(&home()?, &held),
        #[cfg(feature = "forward")]
        Command::Queue(command) => queue::run(&home()?, &command),
        Command::Check(check) => check::run(&home()?, &check),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "sealpost", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
        Command::Man { directory } => std::fs::create_dir_all(&directory)
            .and_then(|()| clap_mangen::generate_to(Arguments::command(), &directory))
            .doing(Exit::Temporary, format_args!("cannot write to {}", directory.display())),
    }
}

/// Prints a value as JSON on stdout.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).doing(Exit::Temporary, "cannot print")?;
    print(&format!("{text}\n"))
}

/// Prints on stdout.
fn print(text: &str) -> Result<(), Failure> {
    print_octets(text.as_bytes())
}

/// The same for what is no text. A reader that has had enough and is gone is no error.
fn print_octets(octets: &[u8]) -> Result<(), Failure> {
    use std::io::{ErrorKind, Write};
    let mut out = std::io::stdout().lock();
    match out.write_all(octets).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.doing(Exit::Temporary, "cannot write to standard output"),
    }
}
