//! `index` and `search`: the encrypted index of a mailbox, and queries to it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use reader::{Anew, IndexError, Indexed, OPERATORS, Query, QueryError, ReachError, ShelfError, Stand, VaultError};

use crate::{
    args::{IndexArguments, SearchArguments},
    command::{print, print_json, shelf},
    config::{Config, nearest_of},
    failure::{Exit, Failure, with_causes},
    home::Home,
    mailboxes,
    progress::Bar,
    stop,
    tell::tell,
};

/// Characters of a sender that are shown.
const FROM: usize = 26;

/// Brings the index up to date.
pub fn index(home: &Home, arguments: &IndexArguments) -> Result<(), Failure> {
    let stop = stop::asked_to_stop()?;
    let settings = mailboxes::settings(home, &Config::read(home)?, &arguments.place, &stop)?;
    let anew = if arguments.rebuild { Anew::Yes } else { Anew::No };
    let indexed = update(home, &settings, anew, &stop)?;
    if stop.load(Ordering::Relaxed) {
        let Indexed { added, .. } = indexed;
        return Err(Failure::stopped().hint(format!("{added} messages were indexed; `sealpost index` goes on")));
    }
    if arguments.json.json {
        print_json(&indexed)?;
    } else {
        let Indexed { added, kept, removed, .. } = indexed;
        print(&format!("{added} messages indexed, {kept} were already, {removed} are gone\n"))?;
    }
    if let Some(warning) = left_out(&indexed) {
        return Err(
            Failure::new(Exit::Temporary, warning).hint("the others are indexed; it is tried again the next time")
        );
    }
    match indexed.failed {
        0 => Ok(()),
        failed => Err(Failure::new(Exit::Data, format_args!("{failed} messages do not open or cannot be read"))
            .hint("`sealpost verify FLOW` names them; the others are indexed")),
    }
}

/// Searches, in what is there now.
pub fn search(home: &Home, arguments: &SearchArguments) -> Result<(), Failure> {
    let query = Query::parse(&typed(&arguments.query))?;
    let stop = stop::asked_to_stop()?;
    let settings = mailboxes::settings(home, &Config::read(home)?, &arguments.place, &stop)?;
    if arguments.as_it_is {
        // Nobody may take silence for an answer.
        let Stand { messages, incomplete } = reader::stand(&settings)?;
        let lacks = if incomplete > 0 { format!("; {incomplete} mailboxes are not complete") } else { String::new() };
        tell(format_args!("sealpost: the index holds {messages} messages{lacks}"));
    } else {
        bring_up_to_date(home, &settings, &stop)?;
    }
    let mut hits = reader::search(&settings, &query)?;
    if let Some(name) = &arguments.mailbox {
        let is_inbox = name.eq_ignore_ascii_case("INBOX");
        let names = reader::mailboxes(&settings)?;
        if !is_inbox && !names.contains(name) {
            return Err(ShelfError::NoMailbox { asked: name.clone(), names }.into());
        }
        hits.retain(|hit| hit.mailbox == *name || (is_inbox && hit.mailbox == "INBOX"));
    }
    hits.truncate(arguments.limit.unwrap_or(usize::MAX));
    if arguments.json.json {
        return print_json(&hits);
    }
    if hits.is_empty() {
        tell("sealpost: nothing found");
    }
    let mut text = String::new();
    for hit in &hits {
        let from = shelf::padded(&shelf::sender(&hit.from, FROM), FROM);
        let subject = shelf::squeezed(&hit.subject);
        text.push_str(&format!("{}/{}  {}  {from}  {subject}\n", hit.mailbox, hit.uid, hit.date));
    }
    print(&text)
}

/// What is missing is said: nobody may take silence for an answer.
fn bring_up_to_date(home: &Home, settings: &reader::Settings, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
    let indexed = update(home, settings, Anew::No, stop)?;
    if let Some(warning) = left_out(&indexed) {
        tell(format_args!("sealpost: {warning}, and are not searched"));
    }
    if indexed.failed > 0 {
        tell(format_args!("sealpost: {} messages do not open or cannot be read, and are not searched", indexed.failed));
    }
    if indexed.foreign > 0 {
        tell(format_args!(
            "sealpost: {} new messages are sealed by nobody trusted here, or not to your key: nothing within is searched",
            indexed.foreign
        ));
        tell(format_args!("sealpost: hint: {}", shelf::TRUST));
    }
    if stop.load(Ordering::Relaxed) {
        return Err(Failure::new(Exit::Temporary, "stopped, as asked, before everything was indexed")
            .hint("`sealpost index` goes on; `sealpost search --as-it-is` answers from what there is"));
    }
    Ok(())
}

fn left_out(indexed: &Indexed) -> Option<String> {
    match indexed.left_out.as_slice() {
        [] => None,
        names => Some(format!("{} mailboxes cannot be opened", names.len())),
    }
}

/// The shell has taken the quotation marks away: an argument with blanks is a phrase.
fn typed(words: &[String]) -> String {
    let whole = |word: &String| match word.split_once(':') {
        _ if word.contains('"') || !word.contains(char::is_whitespace) => word.clone(),
        Some((operator, value)) if !operator.contains(char::is_whitespace) => format!("{operator}:\"{value}\""),
        _ => format!("\"{word}\""),
    };
    match words {
        // One argument is a query as a whole.
        [query] => query.clone(),
        words => words.iter().map(whole).collect::<Vec<_>>().join(" "),
    }
}

fn update(home: &Home, settings: &reader::Settings, anew: Anew, stop: &Arc<AtomicBool>) -> Result<Indexed, Failure> {
    let config = Config::read(home)?;
    let to = config.bridge.as_ref().and_then(|bridge| bridge.to.as_deref());
    let with = mailboxes::seal_with(home, to)?;
    let mut watcher = shelf::Watcher(Bar::new("indexing", 0));
    let indexed = reader::index(settings, with.as_ref(), anew, &mut watcher, stop);
    watcher.0.finish();
    Ok(indexed?)
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        const AS_IT_IS: &str = "`sealpost search --as-it-is` answers from what was indexed before";
        if stop::is_stopped() && matches!(error, IndexError::Reach(_) | IndexError::Mail) {
            return Self::stopped();
        }
        let (exit, hint) = match &error {
            IndexError::Reach(reach @ ReachError::Account(_)) => {
                let (exit, hint) = mailboxes::of_reaching(reach);
                return Self::new(exit, with_causes(&error)).hint(format!("{hint}; {AS_IT_IS}"));
            }
            IndexError::Mail => {
                return Self::new(Exit::Temporary, with_causes(&error)).hint(format!("try again; {AS_IT_IS}"));
            }
            IndexError::Vault(VaultError::None) => (Exit::Config, "make it: `sealpost index`"),
            IndexError::Vault(VaultError::Damaged) => (Exit::Data, "make it again: `sealpost index --rebuild`"),
            IndexError::NoSealer => (Exit::Config, "run this in a home that `sealpost init --address` made"),
            IndexError::Vault(_) => {
                (Exit::Temporary, "is the disk full? it can be made again: `sealpost index --rebuild`")
            }
            IndexError::Reach(error) => mailboxes::of_reaching(error),
            _ => (Exit::Temporary, "`sealpost check` looks at config, keys and mailboxes"),
        };
        Self::new(exit, with_causes(&error)).hint(hint)
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        const ALL: &str = "words, \"phrases\", from: to: subject: before:2024-01-31 after:2024-01-31 has:attachment";
        let hint = match &error {
            QueryError::Operator(word) => match nearest_of(word, OPERATORS.into_iter()) {
                Some(near) => format!("did you mean `{near}:`? There are {ALL}"),
                None => format!("there are {ALL}; a word with a colon in it is written as a phrase"),
            },
            _ => ALL.to_owned(),
        };
        Self::new(Exit::Usage, error).hint(hint)
    }
}
