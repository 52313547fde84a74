//! `index` and `search`: the encrypted index of a Maildir, and queries to it.

use std::sync::atomic::AtomicBool;

use reader::{Anew, IndexError, Indexed, Query, QueryError};

use crate::{
    args::{IndexArguments, SearchArguments},
    command::{bridge, print, print_json, shelf},
    config::Config,
    failure::{Exit, Failure, with_causes},
    flows,
    home::Home,
    progress::Bar,
};

/// Characters of a sender that are shown.
const FROM: usize = 26;

/// Brings the index up to date.
pub fn index(home: &Home, arguments: &IndexArguments) -> Result<(), Failure> {
    let stop = flows::asked_to_stop()?;
    let settings = shelf::settings(home, &arguments.place)?;
    let anew = if arguments.rebuild { Anew::Yes } else { Anew::No };
    let indexed = update(home, &settings, anew, &stop)?;
    if arguments.json.json {
        print_json(&indexed)?;
    } else {
        let Indexed { added, kept, removed, .. } = indexed;
        print(&format!("{added} messages indexed, {kept} were already, {removed} are gone\n"))?;
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
    let stop = flows::asked_to_stop()?;
    let settings = shelf::settings(home, &arguments.place)?;
    reader::Index::open(&settings)?;
    update(home, &settings, Anew::No, &stop)?;
    let hits = reader::search(&settings, &query)?;
    if arguments.json.json {
        return print_json(&hits);
    }
    let mut text = String::new();
    for hit in &hits {
        let from: String = hit.from.chars().take(FROM).collect();
        let day = reader::day(hit.arrived);
        text.push_str(&format!("{}/{}  {day}  {from:<FROM$}  {}\n", hit.mailbox, hit.uid, hit.subject));
    }
    print(&text)
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

fn update(home: &Home, settings: &reader::Settings, anew: Anew, stop: &AtomicBool) -> Result<Indexed, Failure> {
    let config = Config::read(home)?;
    let to = config.bridge.as_ref().and_then(|bridge| bridge.to.as_deref());
    let with = bridge::seal_with(home, to)?;
    let mut watcher = shelf::Watcher(Bar::new("indexing", 0));
    let indexed = reader::index(settings, with.as_ref(), anew, &mut watcher, stop);
    watcher.0.finish();
    Ok(indexed?)
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        let (exit, hint) = match &error {
            IndexError::None => (Exit::Config, "make it: `sealpost index`"),
            IndexError::Damaged => (Exit::Data, "make it again: `sealpost index --rebuild`"),
            IndexError::NoSealer => (Exit::Config, "run this in a home that `sealpost init --address` made"),
            IndexError::Unavailable => {
                (Exit::Temporary, "is the disk full? it can be made again: `sealpost index --rebuild`")
            }
            _ => (Exit::Temporary, "`sealpost check` looks at config, keys and mailboxes"),
        };
        Self::new(exit, with_causes(&error)).hint(hint)
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        Self::new(Exit::Usage, error)
            .hint("words, \"phrases\", from: to: subject: before:2024-01-31 after:2024-01-31 has:attachment")
    }
}
