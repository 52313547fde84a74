//! LIST and LSUB as a mail program is answered (RFC 3501 §6.3.8, RFC 5258, RFC 5819, RFC 6154). In: patterns and options, the mailboxes of a depot. Out: a line for
//! each, and its STATUS if that was asked for.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use wire::MailboxName;
use wire::imap::Listed;
use wire::imap::server::{Form, ListOrder, Names, Return, Selection, push_mailbox};

use crate::answer::{Answer, push_delimiter};
use crate::depot::{Depot, Listing};

/// What the special uses are called (RFC 6154 §2, RFC 8457).
const USES: [&str; 8] = ["\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Important", "\\Junk", "\\Sent", "\\Trash"];

/// Answers LSUB.
pub(crate) fn lsub(depot: &mut dyn Depot, pattern: &str, names: Names, out: &mut dyn Write) -> io::Result<Answer> {
    match depot.list(Listing::Subscribed, pattern) {
        Ok(all) => {
            for listed in &all {
                write_listed("LSUB", (listed, names), "", out)?;
            }
            Ok(Answer::ok("done"))
        }
        Err(answer) => Ok(answer),
    }
}

/// Answers LIST. `told`: the mailboxes that were named.
pub(crate) fn list(
    depot: &mut dyn Depot,
    order: &ListOrder,
    names: Names,
    told: &mut Vec<MailboxName>,
    out: &mut dyn Write,
) -> io::Result<Answer> {
    let chosen = match choose(depot, order) {
        Ok(chosen) => chosen,
        Err(answer) => return Ok(answer),
    };
    let asked = order.returns.iter().find_map(|one| match one {
        Return::Status(items) => Some(items),
        _ => None,
    });
    for (listed, children) in &chosen {
        let below = if *children == Below::Subscribed { " (\"CHILDINFO\" (\"SUBSCRIBED\"))" } else { "" };
        write_listed("LIST", (listed, names), below, out)?;
        told.push(listed.name.clone());
        let can_be_opened = !listed
            .attributes
            .iter()
            .any(|attribute| ["\\Noselect", "\\NonExistent"].iter().any(|other| attribute.eq_ignore_ascii_case(other)));
        if let Some(items) = asked.filter(|_| can_be_opened) {
            // One that cannot be told of is not (RFC 5819 §2).
            if let bad @ Answer::Bad(_) = depot.status(&listed.name, items, names, out)? {
                return Ok(bad);
            }
        }
    }
    Ok(Answer::ok("done"))
}

/// Whether there are subscribed mailboxes below one, of which is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Below {
    Nothing,
    Subscribed,
}

fn choose(depot: &mut dyn Depot, order: &ListOrder) -> Result<Vec<(Listed, Below)>, Answer> {
    let mut all = Vec::new();
    for pattern in &order.patterns {
        all.append(&mut depot.list(Listing::All, pattern)?);
    }
    let mut seen = HashSet::new();
    all.retain(|listed| seen.insert(listed.name.clone()));
    if order.form == Form::Plain {
        return Ok(all.into_iter().map(|listed| (listed, Below::Nothing)).collect());
    }
    let only_subscribed = order.select.contains(&Selection::Subscribed);
    let recursive = order.select.contains(&Selection::Recursive);
    let mut subscribed: HashMap<MailboxName, Listed> = HashMap::new();
    if only_subscribed || order.returns.contains(&Return::Subscribed) {
        // What LSUB tells of a mailbox that is only above a subscribed one is marked so (RFC 3501 §6.3.9).
        let any = ["*".to_owned()];
        for pattern in if recursive { any.as_slice() } else { order.patterns.as_slice() } {
            let listed = depot.list(Listing::Subscribed, pattern)?.into_iter();
            let listed = listed.filter(|listed| !has(listed, "\\Noselect"));
            subscribed.extend(listed.map(|listed| (listed.name.clone(), listed)));
        }
    }
    if only_subscribed && !recursive {
        let mut missing: Vec<Listed> =
            subscribed.values().filter(|listed| !seen.contains(&listed.name)).cloned().collect();
        missing.sort_by(|one, other| one.name.cmp(&other.name));
        all.extend(missing.into_iter().map(|listed| Listed { attributes: vec!["\\NonExistent".to_owned()], ..listed }));
    }
    let mut ordered: Vec<&str> = subscribed.keys().map(MailboxName::wire).collect();
    ordered.sort_unstable();
    let mut chosen = Vec::new();
    for mut listed in all {
        let is_subscribed = subscribed.contains_key(&listed.name);
        let is_special = listed.attributes.iter().any(|one| USES.iter().any(|other| one.eq_ignore_ascii_case(other)));
        let fits = order.select.iter().all(|one| match one {
            Selection::Subscribed => is_subscribed,
            Selection::SpecialUse => is_special,
            Selection::Remote | Selection::Recursive => true,
        });
        let start = listed.delimiter.map(|delimiter| format!("{}{delimiter}", listed.name.wire()));
        let has_below = |start: &String| {
            let first = ordered.partition_point(|name| *name < start.as_str());
            ordered.get(first).is_some_and(|name| name.starts_with(start.as_str()))
        };
        let below = match start {
            Some(start) if recursive && only_subscribed && has_below(&start) => Below::Subscribed,
            _ => Below::Nothing,
        };
        if !fits && below == Below::Nothing {
            continue;
        }
        if is_subscribed {
            listed.attributes.push("\\Subscribed".to_owned());
        }
        chosen.push((listed, below));
    }
    Ok(chosen)
}

fn has(listed: &Listed, attribute: &str) -> bool {
    listed.attributes.iter().any(|other| other.eq_ignore_ascii_case(attribute))
}

fn write_listed(verb: &str, (listed, names): (&Listed, Names), more: &str, out: &mut dyn Write) -> io::Result<()> {
    let mut line = format!("* {verb} ({}) ", listed.attributes.join(" ")).into_bytes();
    push_delimiter(&mut line, listed.delimiter);
    line.push(b' ');
    push_mailbox(&mut line, &listed.name, names);
    line.extend_from_slice(more.as_bytes());
    line.extend_from_slice(b"\r\n");
    out.write_all(&line)
}
