//! `queue`: what a forwarder has taken and not handed on yet. The addresses that are shown are those of the SMTP envelope: what is in the messages
//! nobody here can read.

use std::collections::BTreeMap;
use std::io::{self, Seek, Write};

use flow::forward::{Item, Kind, Obstacle, Spool, SpoolError, Standing, Which};
use sealed::field::{decode_id, encode_id};
use sealed::identity::MessageId;
use serde::Serialize;
use tempfile::SpooledTempFile;

use crate::{
    args::{QueueCommand, QueueFlow},
    clock,
    command::{print, print_json},
    config::{Config, Flow, forward::Forward},
    failure::{DoingWhat, Exit, Failure, with_causes},
    forwards,
    home::Home,
    tell::tell,
};

/// Items that one list shows; the oldest ones.
const MOST: usize = 10_000;
/// Ciphertext that is kept in memory, octets.
const IN_MEMORY: usize = 1024 * 1024;

/// Runs a queue command.
pub fn run(home: &Home, command: &QueueCommand) -> Result<(), Failure> {
    match command {
        QueueCommand::List { flow, json } => {
            let spool = find(home, flow)?;
            let strangers = strangers(&spool, &Config::read(home)?)?;
            // Before the list: that nothing of this flow waits is not all then.
            for (name, count) in &strangers {
                tell(stranger(name, *count));
            }
            let nothing = if strangers.is_empty() { "nothing waits\n" } else { "nothing else waits\n" };
            list(&spool, json.json, nothing)
        }
        QueueCommand::Retry { id, all, flow } => {
            let spool = find(home, flow)?;
            let which = match (id, all) {
                (Some(id), _) => Which::One(parse(id)?),
                (None, true) => Which::All,
                (None, false) => {
                    return Err(Failure::new(Exit::Usage, "name a message, or say --all")
                        .hint("`sealpost queue list` shows their ids"));
                }
            };
            let count = wait_for(spool.retry(which))?;
            if count == 0 && id.is_some() {
                return Err(unknown());
            }
            match count {
                0 => tell("There is no copy to be tried."),
                1 => tell("1 copy is tried now, if the flow runs, or else when it does."),
                _ => tell(format_args!("{count} copies are tried now, if the flow runs, or else when it does.")),
            }
            Ok(())
        }
        QueueCommand::Cat { id, flow } => cat(&find(home, flow)?, parse(id)?),
        QueueCommand::Drop { id, flow } => {
            let id = parse(id)?;
            match wait_for(find(home, flow)?.discard(id))? {
                true => {
                    tell("It is gone for good.");
                    Ok(())
                }
                false => Err(unknown()),
            }
        }
    }
}

fn unknown() -> Failure {
    Failure::new(Exit::Data, "no such copy waits, or it is being handed on at this moment")
        .hint("`sealpost queue list` shows what there is")
}

fn parse(text: &str) -> Result<MessageId, Failure> {
    decode_id(text.as_bytes()).map(MessageId).ok_or_else(|| {
        Failure::new(Exit::Usage, "this is no id of a message").hint("`sealpost queue list` shows their ids")
    })
}

/// The queue of the flow that was named, or of the only one that has one.
fn find(home: &Home, which: &QueueFlow) -> Result<Spool, Failure> {
    let config = Config::read(home)?;
    let mut found = Vec::new();
    for (name, flow) in &config.flow {
        if let Flow::Forward(flow) = flow
            && which.flow.as_ref().is_none_or(|named| named == name)
        {
            found.push((name, &**flow));
        }
    }
    let of = |(name, flow): &(&String, &Forward)| forwards::spool(home, name, &flow.queue);
    match found.as_slice() {
        [one] => of(one),
        [] => Err(Failure::new(Exit::Usage, "there is no such flow that forwards mail")
            .hint("a flow forwards if its `source` says `for`; docs/forwarder.md shows one")),
        _ => Err(Failure::new(Exit::Usage, "several flows forward mail").hint("name one: --flow NAME")),
    }
}

/// Flows that have copies in this place and are not in config.toml, and how many: nobody hands those on.
pub fn strangers(spool: &Spool, config: &Config) -> Result<BTreeMap<String, u64>, Failure> {
    let flows = wait_for(spool.flows())?;
    Ok(flows.into_iter().filter(|(name, _)| !config.flow.contains_key(name)).collect())
}

/// What must be said of one.
pub fn stranger(name: &str, count: u64) -> String {
    format!(
        "{count} of a flow `{name}`, which config.toml does not know: nobody hands them on. Was it renamed? Give it its old name until they are gone"
    )
}

#[derive(Serialize)]
struct Line {
    id: String,
    state: &'static str,
    kind: &'static str,
    from: String,
    to: String,
    octets: u64,
    received: i64,
    next_try: Option<i64>,
    tries: u32,
    reason: Option<String>,
    reply: Option<String>,
}

/// `nothing`: what is said of an empty one.
fn list(spool: &Spool, json: bool, nothing: &str) -> Result<(), Failure> {
    let lines: Vec<Line> = wait_for(spool.list(MOST))?.into_iter().map(line).collect();
    if json {
        return print_json(&lines);
    }
    let texts: String = lines.iter().map(text).collect();
    print(if texts.is_empty() { nothing } else { &texts })
}

/// For whoever wants a copy that its target will not take.
fn cat(spool: &Spool, id: MessageId) -> Result<(), Failure> {
    let item = wait_for(spool.list(MOST))?.into_iter().find(|item| item.id == id).ok_or_else(unknown)?;
    let mut copy = wait_for(spool.copy(&item, SpooledTempFile::new(IN_MEMORY)))?;
    let mut out = io::stdout().lock();
    copy.rewind().doing(Exit::Temporary, "cannot read the copy")?;
    io::copy(&mut copy, &mut out).and_then(|_| out.flush()).doing(Exit::Temporary, "cannot write to standard output")
}

fn line(item: Item) -> Line {
    Line {
        id: encode_id(&item.id.0),
        state: match item.standing {
            Standing::Waiting => "waiting",
            Standing::UnderWay => "under-way",
            Standing::Failed => "failed",
        },
        kind: match item.kind {
            Kind::Mail => "mail",
            Kind::Note => "note",
        },
        from: item.from,
        to: item.to,
        octets: item.length,
        received: item.received.0,
        next_try: (item.standing == Standing::Waiting).then_some(item.due.0),
        tries: item.tries,
        reason: item.why,
        reply: item.said,
    }
}

fn text(line: &Line) -> String {
    let shown = |at: i64| clock::shown_exactly(u64::try_from(at).unwrap_or_default());
    let why = line.reason.as_deref().map_or("", |code| match Obstacle::of(code) {
        Some(obstacle) => obstacle.text(),
        None => code,
    });
    let next = line.next_try.map(|at| format!("; next try {}", shown(at))).unwrap_or_default();
    let from = if line.from.is_empty() { "<>" } else { &line.from };
    let Line { id, state, octets, to, tries, .. } = line;
    let note = if line.kind == "note" { ", a note of ours" } else { "" };
    let reply = line.reply.as_deref().map(|reply| format!(" ({reply})")).unwrap_or_default();
    let why = if why.is_empty() { String::new() } else { format!(": {why}{reply}") };
    let came = shown(line.received);
    format!("{id}  {state}{why}\n  {from} -> {to}{note}; {octets} octets; came {came}; tries: {tries}{next}\n")
}

/// Waits for an answer of a spool.
pub fn wait_for<T>(work: impl Future<Output = Result<T, SpoolError>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.doing(Exit::Unavailable, "cannot begin")?;
    runtime.block_on(work).map_err(|error| {
        let hint = match &error {
            SpoolError::Newer => "use the newer version of this program",
            SpoolError::Foreign => "name another file: this one belongs to another program",
            _ => "is the database there, and may you read and write it?",
        };
        Failure::new(Exit::Unavailable, with_causes(&error)).hint(hint)
    })
}
