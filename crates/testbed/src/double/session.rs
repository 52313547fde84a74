//! One connection to a double. In: commands. Out: what they do to the store, and the answers (RFC 9051 §6, §7; extensions where they are done).

use std::{
    io::{self, ErrorKind, Write},
    net::TcpStream,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use super::character::Character;
use super::command::{Command, Piece, Word, base64};
use super::fetch;
use super::search::{self, Candidate};
use super::selected::{Place, Selected};
use super::set::written;
use super::store::{Store, labelled, locked};
use crate::frame::{Frames, hang_up, literal};

/// How often an idling session looks for news.
const IDLE_LOOK: Duration = Duration::from_millis(10);
/// A literal that runs on may have this many octets where only LITERAL- is announced (RFC 7888 §5).
const LITERAL_MINUS: u64 = 4096;

pub(crate) struct Session {
    stream: Arc<TcpStream>,
    frames: Frames,
    store: Arc<Mutex<Store>>,
    character: Character,
    authenticated: bool,
    selected: Option<Selected>,
    /// The client showed that it knows CONDSTORE (RFC 7162 §3.1).
    modseqs: bool,
    out: Vec<u8>,
}

/// What follows a command.
enum Next {
    /// Status and text of the tagged answer.
    Answer(String),
    /// The connection is dropped.
    Drop,
}

type Reply = Result<String, String>;

/// A command, or the answer to what never became one.
enum Read {
    Command(Command),
    Broken(String),
    End,
}

impl Session {
    pub(crate) fn new(stream: TcpStream, store: Arc<Mutex<Store>>) -> Session {
        let stream = Arc::new(stream);
        let character = locked(&store).character;
        let frames = Frames::over(Arc::clone(&stream));
        Session {
            stream,
            frames,
            store,
            character,
            authenticated: false,
            selected: None,
            modseqs: false,
            out: Vec::new(),
        }
    }

    /// Until the client goes, or is dropped.
    pub(crate) fn run(mut self) {
        self.say(&format!("* OK [CAPABILITY {}] double ready", self.character.capabilities()));
        let _ = self.serve();
        hang_up(&self.stream);
        // What the client still sends must not turn our last answer into a reset.
        while self.frames.some(u64::MAX).is_ok_and(|octets| !octets.is_empty()) {}
    }

    fn serve(&mut self) -> io::Result<()> {
        self.flush()?;
        loop {
            let command = match self.read()? {
                Read::Command(command) => command,
                Read::Broken(answer) => {
                    self.say(&answer);
                    self.flush()?;
                    continue;
                }
                Read::End => return Ok(()),
            };
            match self.obey(&command)? {
                Next::Drop => {
                    self.flush()?;
                    return Ok(());
                }
                Next::Answer(answer) => {
                    // Sequence numbers must not change under these (RFC 9051 §7.5.1).
                    if !["FETCH", "STORE", "SEARCH"].contains(&command.verb.as_str()) {
                        self.news();
                    }
                    self.say(&format!("{} {answer}", command.tag));
                    self.flush()?;
                }
            }
        }
    }

    fn read(&mut self) -> io::Result<Read> {
        let mut pieces = Vec::new();
        let mut broken = None;
        loop {
            let Some(line) = self.frames.line()? else { return Ok(Read::End) };
            let text = line.strip_suffix(b"\r\n").or(line.strip_suffix(b"\n")).unwrap_or(&line);
            let Some(literal) = literal(&line) else {
                pieces.push(Piece::Line(text.to_vec()));
                break;
            };
            let head = text.iter().rposition(|&octet| octet == b'{').map_or(text, |at| &text[..at]);
            if pieces.is_empty() && broken.is_none() {
                broken = self.refusal(head, literal.size, literal.runs_on);
            }
            if let (Some(answer), false) = (&broken, literal.runs_on) {
                return Ok(Read::Broken(answer.clone()));
            }
            if !literal.runs_on {
                self.say("+ go on");
                self.flush()?;
            }
            let Some(octets) = self.frames.exactly(literal.size)? else { return Ok(Read::End) };
            pieces.push(Piece::Line(head.to_vec()));
            pieces.push(Piece::Literal(octets));
        }
        if let Some(answer) = broken {
            return Ok(Read::Broken(answer));
        }
        Ok(Command::read(pieces).map_or_else(|| Read::Broken("* BAD not a command".to_owned()), Read::Command))
    }

    /// The answer to a literal that is not taken.
    fn refusal(&self, head: &[u8], size: u64, runs_on: bool) -> Option<String> {
        let tag = String::from_utf8_lossy(head.split(|&octet| octet == b' ').next().unwrap_or_default()).into_owned();
        if size > self.character.append_limit() {
            return Some(format!("{tag} NO [TOOBIG] the message is too large"));
        }
        let minus = self.character.announces("LITERAL-");
        (runs_on && minus && size > LITERAL_MINUS).then(|| format!("{tag} BAD the literal is too large to run on"))
    }

    fn obey(&mut self, command: &Command) -> io::Result<Next> {
        let verb = command.verb.as_str();
        let refused = {
            let mut store = locked(&self.store);
            store.commands.push(verb.to_owned());
            let meant = store.refused.iter().find(|(refused, _)| refused == "*" || refused == verb);
            meant.map(|(_, answer)| answer.clone())
        };
        if let Some(answer) = refused {
            return Ok(Next::Answer(answer));
        }
        let words = &command.words;
        let reply = match verb {
            "CAPABILITY" => {
                self.say(&format!("* CAPABILITY {}", self.character.capabilities()));
                Ok("OK done".to_owned())
            }
            "NOOP" | "CHECK" => Ok("OK done".to_owned()),
            "ID" => {
                self.say("* ID (\"name\" \"double\")");
                Ok("OK done".to_owned())
            }
            "LOGOUT" => {
                self.say(&format!("* BYE until next time\r\n{} OK done", command.tag));
                return Ok(Next::Drop);
            }
            "LOGIN" => self.login(words),
            "AUTHENTICATE" => self.authenticate(words)?,
            _ if !self.authenticated => Err("BAD log in first".to_owned()),
            "APPEND" => return Ok(self.append(words)),
            "IDLE" => return self.idle(),
            "ENABLE" if self.character.announces("ENABLE") => self.enable(words),
            "NAMESPACE" => {
                self.say("* NAMESPACE ((\"\" \"/\")) NIL NIL");
                Ok("OK done".to_owned())
            }
            "LIST" | "LSUB" => self.list(verb, words),
            "STATUS" => self.status(words),
            "CREATE" => self.create(words),
            "DELETE" => self.delete(words),
            "SUBSCRIBE" | "UNSUBSCRIBE" => Ok("OK done".to_owned()),
            "SELECT" | "EXAMINE" => self.select(words, verb == "EXAMINE"),
            _ if self.selected.is_none() => Err("BAD select a mailbox first".to_owned()),
            "FETCH" | "UID FETCH" => self.fetch(words, verb != "FETCH"),
            "STORE" | "UID STORE" => self.store(words, verb != "STORE"),
            "COPY" | "UID COPY" => self.copy(words, verb != "COPY", false),
            "MOVE" | "UID MOVE" => self.copy(words, verb != "MOVE", true),
            "SEARCH" | "UID SEARCH" => self.search(words, verb != "SEARCH"),
            "EXPUNGE" => self.expunge(None),
            "UID EXPUNGE" if self.character.announces("UIDPLUS") => self.expunge(words.first()),
            "CLOSE" => self.close(),
            "UNSELECT" => {
                self.selected = None;
                Ok("OK done".to_owned())
            }
            _ => Err("BAD unknown command".to_owned()),
        };
        Ok(Next::Answer(reply.unwrap_or_else(|error| error)))
    }

    fn login(&mut self, words: &[Word]) -> Reply {
        let given: Vec<Option<String>> = words.iter().map(Word::text).collect();
        let right = [Some("alice".to_owned()), Some("alice-pw".to_owned())];
        self.admit(given == right)
    }

    fn admit(&mut self, right: bool) -> Reply {
        if !right {
            return Err("NO [AUTHENTICATIONFAILED] invalid credentials".to_owned());
        }
        self.authenticated = true;
        Ok(format!("OK [CAPABILITY {}] welcome", self.character.capabilities()))
    }

    /// PLAIN (RFC 4616) and XOAUTH2, with or without an initial response (RFC 4959).
    fn authenticate(&mut self, words: &[Word]) -> io::Result<Reply> {
        let Some(mechanism) = words.first().and_then(Word::text) else { return Ok(bad()) };
        let response = match words.get(1).and_then(Word::text) {
            Some(response) => response,
            None => match self.challenge("")? {
                Some(response) => response,
                None => return Ok(bad()),
            },
        };
        let Some(said) = base64(&response) else { return Ok(bad()) };
        Ok(match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => self.admit(said == b"\0alice\0alice-pw" || said == b"alice\0alice\0alice-pw"),
            "XOAUTH2" if said == b"user=alice\x01auth=Bearer alice-token\x01\x01" => self.admit(true),
            "XOAUTH2" => {
                // {"status":"400"}; the client answers with an empty line.
                self.challenge("eyJzdGF0dXMiOiI0MDAifQ==")?;
                self.admit(false)
            }
            _ => Err("NO unknown mechanism".to_owned()),
        })
    }

    fn challenge(&mut self, text: &str) -> io::Result<Option<String>> {
        self.say(&format!("+ {text}"));
        self.flush()?;
        let line = self.frames.line()?;
        Ok(line.map(|line| String::from_utf8_lossy(&line).trim().to_owned()).filter(|line| line != "*"))
    }

    fn enable(&mut self, words: &[Word]) -> Reply {
        let known = words.iter().any(|word| word.is("CONDSTORE")) && self.character.announces("CONDSTORE");
        self.modseqs |= known;
        self.say(if known { "* ENABLED CONDSTORE" } else { "* ENABLED" });
        Ok("OK done".to_owned())
    }

    /// With the special uses of RFC 6154, always.
    fn list(&mut self, verb: &str, words: &[Word]) -> Reply {
        let words: Vec<&Word> = words.iter().collect();
        let (only_special, words) = match words.split_first() {
            Some((Word::List(options), rest)) => (options.iter().any(|word| word.is("SPECIAL-USE")), rest.to_vec()),
            _ => (false, words),
        };
        let [reference, pattern, ..] = words.as_slice() else { return bad() };
        let reference = reference.text().unwrap_or_default();
        let patterns: Vec<String> = pattern.texts().iter().map(|pattern| format!("{reference}{pattern}")).collect();
        if patterns == [""] {
            self.say(&format!("* {verb} (\\Noselect) \"/\" \"\""));
            return Ok("OK done".to_owned());
        }
        let store = locked(&self.store);
        let mut lines = Vec::new();
        if self.character.is_gmail() && patterns.iter().any(|pattern| matches("[Gmail]", pattern)) && !only_special {
            lines.push(format!("* {verb} (\\HasChildren \\Noselect) \"/\" \"[Gmail]\""));
        }
        for (name, mailbox) in &store.mailboxes {
            let meant = patterns.iter().any(|pattern| matches(name, pattern));
            if !meant || (only_special && mailbox.special.is_empty()) {
                continue;
            }
            let parent = store.mailboxes.keys().any(|other| other.starts_with(&format!("{name}/")));
            let children = if parent { "\\HasChildren" } else { "\\HasNoChildren" };
            let special = match (mailbox.special, self.character.announces("SPECIAL-USE")) {
                ("", _) | (_, false) => String::new(),
                (special, true) => format!(" {special}"),
            };
            let name = name.replace('\\', "\\\\").replace('"', "\\\"");
            lines.push(format!("* {verb} ({children}{special}) \"/\" \"{name}\""));
        }
        drop(store);
        lines.iter().for_each(|line| self.say(line));
        Ok("OK done".to_owned())
    }

    fn status(&mut self, words: &[Word]) -> Reply {
        let [name, items] = words else { return bad() };
        let name = mailbox_name(name)?;
        let store = locked(&self.store);
        let mailbox = store.mailboxes.get(&name).ok_or_else(nonexistent)?;
        let messages = || mailbox.entries.iter().map(|entry| &store.messages[&entry.1]);
        let mut values = Vec::new();
        for item in items.texts() {
            let item = item.to_ascii_uppercase();
            let value = match item.as_str() {
                "MESSAGES" => mailbox.entries.len() as u64,
                "RECENT" => 0,
                "UIDNEXT" => u64::from(mailbox.next),
                "UIDVALIDITY" => u64::from(mailbox.validity),
                "UNSEEN" => messages().filter(|message| !message.has("\\Seen")).count() as u64,
                "DELETED" => messages().filter(|message| message.has("\\Deleted")).count() as u64,
                "SIZE" => messages().map(|message| message.octets.len() as u64).sum(),
                "HIGHESTMODSEQ" if self.character.announces("CONDSTORE") => store.modseq,
                "APPENDLIMIT" => self.character.append_limit(),
                _ => return bad(),
            };
            values.push(format!("{item} {value}"));
        }
        drop(store);
        self.say(&format!("* STATUS \"{name}\" ({})", values.join(" ")));
        Ok("OK done".to_owned())
    }

    fn create(&mut self, words: &[Word]) -> Reply {
        let name = mailbox_name(words.first().ok_or_else(bad_text)?)?;
        let mut store = locked(&self.store);
        if store.mailboxes.contains_key(&name) {
            return Err("NO [ALREADYEXISTS] there is one".to_owned());
        }
        store.create(name.trim_end_matches('/'), "");
        Ok("OK done".to_owned())
    }

    fn delete(&mut self, words: &[Word]) -> Reply {
        let name = mailbox_name(words.first().ok_or_else(bad_text)?)?;
        let mut store = locked(&self.store);
        let entries = store.mailboxes.get(&name).filter(|_| name != "INBOX").ok_or_else(nonexistent)?.entries.clone();
        for (_, number) in entries {
            store.take(&name, number);
        }
        store.mailboxes.remove(&name);
        Ok("OK done".to_owned())
    }

    fn select(&mut self, words: &[Word], read_only: bool) -> Reply {
        self.selected = None;
        let name = mailbox_name(words.first().ok_or_else(bad_text)?)?;
        let modseqs = self.character.announces("CONDSTORE");
        if words.get(1).and_then(Word::list).is_some_and(|words| words.iter().any(|word| word.is("CONDSTORE"))) {
            if !modseqs {
                return bad();
            }
            self.modseqs = true;
        }
        let store = locked(&self.store);
        let selected = Selected::open(&store, &name, read_only).ok_or_else(nonexistent)?;
        let mailbox = store.mailboxes.get(&name).ok_or_else(nonexistent)?;
        let any = if self.character.keeps_keywords() { " \\*" } else { "" };
        let flags = "\\Answered \\Flagged \\Deleted \\Seen \\Draft";
        let permanent = if read_only { String::new() } else { format!("{flags}{any}") };
        let lines = format!(
            "* FLAGS ({flags})\r\n* OK [PERMANENTFLAGS ({permanent})] kept\r\n* {} EXISTS\r\n* 0 RECENT\r\n\
             * OK [UIDVALIDITY {}] valid\r\n* OK [UIDNEXT {}] next\r\n* OK [{}] modseqs",
            mailbox.entries.len(),
            mailbox.validity,
            mailbox.next,
            if modseqs { format!("HIGHESTMODSEQ {}", store.modseq) } else { "NOMODSEQ".to_owned() },
        );
        drop(store);
        self.say(&lines);
        self.selected = Some(selected);
        Ok(format!("OK [READ-{}] selected", if read_only { "ONLY" } else { "WRITE" }))
    }

    /// All messages of one command or none (RFC 3502 §6.3.11).
    fn append(&mut self, words: &[Word]) -> Next {
        let answer = |reply: Reply| Next::Answer(reply.unwrap_or_else(|error| error));
        let Some((name, rest)) = words.split_first() else { return answer(bad()) };
        let name = match mailbox_name(name) {
            Ok(name) => name,
            Err(error) => return answer(Err(error)),
        };
        let Some(messages) = to_append(rest) else { return answer(bad()) };
        if messages.len() > 1 && !self.character.announces("MULTIAPPEND") {
            return answer(bad());
        }
        let mut store = locked(&self.store);
        if !store.mailboxes.contains_key(&name) {
            return answer(Err("NO [TRYCREATE] no such mailbox".to_owned()));
        }
        let size: u64 = messages.iter().map(|message| message.octets.len() as u64).sum();
        match self.character {
            Character::OverQuota(most) if store.size() + size > most => {
                return answer(Err("NO [OVERQUOTA] the quota is used up".to_owned()));
            }
            Character::LateAppend(after) if !store.is_prompt => {
                let late = Arc::clone(&self.store);
                thread::spawn(move || {
                    thread::sleep(after);
                    let mut store = locked(&late);
                    for message in messages {
                        store.append(&name, &message.octets, &message.flags, message.date.as_deref());
                    }
                });
                return Next::Drop;
            }
            _ => {}
        }
        let placed: Vec<_> = messages
            .iter()
            .filter_map(|message| store.append(&name, &message.octets, &message.flags, message.date.as_deref()))
            .collect();
        let uids: Vec<u32> = placed.iter().map(|placed| placed.uid).collect();
        let validity = placed.first().map_or(0, |placed| placed.validity);
        let plus = self.character.announces("UIDPLUS");
        let code = if plus { format!("[APPENDUID {validity} {}] ", written(&uids)) } else { String::new() };
        answer(Ok(format!("OK {code}stored")))
    }

    fn idle(&mut self) -> io::Result<Next> {
        self.say("+ idling");
        self.flush()?;
        self.stream.set_read_timeout(Some(IDLE_LOOK))?;
        let line = loop {
            match self.frames.line() {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    self.news();
                    self.flush()?;
                }
                line => break line?,
            }
        };
        self.stream.set_read_timeout(None)?;
        Ok(match line {
            None => Next::Drop,
            Some(line) if line.eq_ignore_ascii_case(b"DONE\r\n") => Next::Answer("OK done".to_owned()),
            Some(_) => Next::Answer("BAD DONE was expected".to_owned()),
        })
    }

    fn places(&self, store: &Store, set: &Word, by_uid: bool) -> Result<Vec<Place>, String> {
        let selected = self.selected.as_ref().ok_or_else(bad_text)?;
        set.text().and_then(|set| selected.pick(store, &set, by_uid)).ok_or_else(bad_text)
    }

    fn fetch(&mut self, words: &[Word], by_uid: bool) -> Reply {
        let [set, items, modifiers @ ..] = words else { return bad() };
        let mut items = fetch::items(items).ok_or_else(bad_text)?;
        let since = match modifiers.first().and_then(Word::list) {
            Some([word, number]) if word.is("CHANGEDSINCE") && self.character.announces("CONDSTORE") => {
                Some(number.text().and_then(|text| text.parse::<u64>().ok()).ok_or_else(bad_text)?)
            }
            Some(_) => return bad(),
            None => None,
        };
        let asks = items.iter().any(|item| matches!(item, fetch::Item::Modseq));
        let gmail = items.iter().any(|item| matches!(item, fetch::Item::GmailMessage | fetch::Item::GmailLabels));
        if (asks && !self.character.announces("CONDSTORE")) || (gmail && !self.character.is_gmail()) {
            return bad();
        }
        self.modseqs |= asks || since.is_some();
        if since.is_some() && !asks {
            items.push(fetch::Item::Modseq);
        }
        if by_uid && !items.iter().any(|item| matches!(item, fetch::Item::Uid)) {
            items.insert(0, fetch::Item::Uid);
        }
        let places = self.places(&locked(&self.store), set, by_uid)?;
        for place in places {
            let store = Arc::clone(&self.store);
            let mut store = locked(&store);
            let reads = fetch::reads(&items) && self.selected.as_ref().is_some_and(|selected| !selected.read_only);
            let Some(message) = store.messages.get_mut(&place.number) else { continue };
            if since.is_some_and(|since| message.modseq <= since) {
                continue;
            }
            if reads && !message.has("\\Seen") {
                message.flags.push("\\Seen".to_owned());
                store.touch(place.number);
            }
            let labels = store.labels(place.number);
            let octets = fetch::answer(place.sequence, place.uid, &store.messages[&place.number], &labels, &items);
            if let Some(selected) =
                self.selected.as_mut().filter(|_| items.iter().any(|item| matches!(item, fetch::Item::Flags)))
            {
                selected.told(&store, place.uid);
            }
            drop(store);
            self.out.extend(octets);
            if self.out.len() > 1 << 20 {
                self.flush().map_err(|_| bad_text())?;
            }
        }
        Ok("OK done".to_owned())
    }

    fn writable(&self) -> Result<String, String> {
        let selected = self.selected.as_ref().ok_or_else(bad_text)?;
        if selected.read_only { Err("NO [READ-ONLY] only examined".to_owned()) } else { Ok(selected.name.clone()) }
    }

    /// With UNCHANGEDSINCE (RFC 7162 §3.1.3).
    fn store(&mut self, words: &[Word], by_uid: bool) -> Reply {
        self.writable()?;
        let [set, rest @ ..] = words else { return bad() };
        let (unchanged, rest) = match rest {
            [Word::List(modifier), rest @ ..] => {
                let number = modifier.get(1).and_then(Word::text).and_then(|text| text.parse::<u64>().ok());
                let known = modifier.first().is_some_and(|word| word.is("UNCHANGEDSINCE"));
                if !known || number.is_none() || !self.character.announces("CONDSTORE") {
                    return bad();
                }
                self.modseqs = true;
                (number, rest)
            }
            rest => (None, rest),
        };
        let [item, values @ ..] = rest else { return bad() };
        let item = item.text().ok_or_else(bad_text)?.to_ascii_uppercase();
        let (item, silent) = item.strip_suffix(".SILENT").map_or((item.as_str(), false), |item| (item, true));
        let (sign, what) = match item.split_at_checked(1) {
            Some((sign @ ("+" | "-"), what)) => (sign, what),
            _ => ("", item),
        };
        let values: Vec<String> = values.iter().flat_map(Word::texts).collect();
        if what != "FLAGS" && !(what == "X-GM-LABELS" && self.character.is_gmail()) {
            return bad();
        }
        let shared = Arc::clone(&self.store);
        let mut store = locked(&shared);
        let mut modified = Vec::new();
        for place in self.places(&store, set, by_uid)? {
            let Some(message) = store.messages.get_mut(&place.number) else { continue };
            if unchanged.is_some_and(|unchanged| message.modseq > unchanged) {
                modified.push(if by_uid { place.uid } else { place.sequence });
                continue;
            }
            if what == "X-GM-LABELS" {
                relabel(&mut store, place.number, sign, &values);
            } else {
                let values = store.permitted(&values);
                let Some(message) = store.messages.get_mut(&place.number) else { continue };
                match sign {
                    "+" => message.add(&values),
                    "-" => message.remove(&values),
                    _ => message.flags = values,
                }
                store.touch(place.number);
            }
            self.show(&store, place, what, silent);
        }
        let code = if modified.is_empty() { String::new() } else { format!("[MODIFIED {}] ", written(&modified)) };
        Ok(format!("OK {code}done"))
    }

    /// The FETCH that follows a STORE.
    fn show(&mut self, store: &Store, place: Place, what: &str, silent: bool) {
        let Some(message) = store.messages.get(&place.number) else { return };
        if let Some(selected) = self.selected.as_mut() {
            selected.told(store, place.uid);
        }
        let mut items = vec![fetch::Item::Uid];
        if !silent {
            items.push(if what == "FLAGS" { fetch::Item::Flags } else { fetch::Item::GmailLabels });
        }
        if self.modseqs {
            items.push(fetch::Item::Modseq);
        }
        if items.len() > 1 {
            self.out.extend(fetch::answer(place.sequence, place.uid, message, &store.labels(place.number), &items));
        }
    }

    fn copy(&mut self, words: &[Word], by_uid: bool, moves: bool) -> Reply {
        let [set, name] = words else { return bad() };
        let name = mailbox_name(name)?;
        let from =
            if moves { self.writable()? } else { self.selected.as_ref().map_or(String::new(), |own| own.name.clone()) };
        let shared = Arc::clone(&self.store);
        let mut store = locked(&shared);
        if !store.mailboxes.contains_key(&name) {
            return Err("NO [TRYCREATE] no such mailbox".to_owned());
        }
        let places = self.places(&store, set, by_uid)?;
        if let (Character::OverQuota(most), false) = (self.character, moves) {
            let size: u64 = places.iter().map(|place| store.messages[&place.number].octets.len() as u64).sum();
            if store.size() + size > most {
                return Err("NO [OVERQUOTA] the quota is used up".to_owned());
            }
        }
        let mut uids = (Vec::new(), Vec::new());
        let mut validity = 0;
        for place in &places {
            let placed = store.copy(place.number, &name);
            validity = placed.validity;
            uids.0.push(place.uid);
            uids.1.push(placed.uid);
            // quirk: Gmail: nothing is moved out of All Mail but into Trash and Spam, which `put` does.
            if moves && from != name && !(self.character.is_gmail() && from == super::character::ALL_MAIL) {
                store.take(&from, place.number);
            }
        }
        drop(store);
        if !self.character.announces("UIDPLUS") || uids.0.is_empty() {
            return Ok("OK done".to_owned());
        }
        let code = format!("[COPYUID {validity} {} {}]", written(&uids.0), written(&uids.1));
        if moves {
            // RFC 6851 §4.3: before the EXPUNGEs.
            self.say(&format!("* OK {code} moved"));
            return Ok("OK done".to_owned());
        }
        Ok(format!("OK {code} done"))
    }

    fn search(&mut self, words: &[Word], by_uid: bool) -> Reply {
        let words = match words {
            [word, _charset, rest @ ..] if word.is("CHARSET") => rest,
            words => words,
        };
        let selected = self.selected.as_ref().ok_or_else(bad_text)?;
        let store = locked(&self.store);
        let mut found = String::from("* SEARCH");
        for place in selected.all(&store) {
            let labels = store.labels(place.number);
            let candidate = Candidate {
                sequence: place.sequence,
                uid: place.uid,
                last_sequence: selected.last_sequence(),
                last_uid: selected.last_uid(),
                message: &store.messages[&place.number],
                labels: &labels,
            };
            if search::all(words, &candidate).ok_or_else(bad_text)? {
                found += &format!(" {}", if by_uid { place.uid } else { place.sequence });
            }
        }
        drop(store);
        self.say(&found);
        Ok("OK done".to_owned())
    }

    /// Of all messages, or of a set of UIDs (RFC 4315 §2.1).
    fn expunge(&mut self, set: Option<&Word>) -> Reply {
        let name = self.writable()?;
        let mut store = locked(&self.store);
        let places = match set {
            Some(set) => self.places(&store, set, true)?,
            None => self.selected.as_ref().map(|selected| selected.all(&store)).unwrap_or_default(),
        };
        for place in places {
            if store.messages.get(&place.number).is_some_and(|message| message.has("\\Deleted")) {
                store.expunge(&name, place.number);
            }
        }
        Ok("OK done".to_owned())
    }

    fn close(&mut self) -> Reply {
        if self.writable().is_ok() {
            self.expunge(None)?;
        }
        self.selected = None;
        Ok("OK done".to_owned())
    }

    fn news(&mut self) {
        if let Some(selected) = &mut self.selected {
            let news = selected.news(&locked(&self.store), self.modseqs);
            self.out.extend(news.bytes());
        }
    }

    fn say(&mut self, line: &str) {
        self.out.extend(line.bytes());
        self.out.extend(b"\r\n");
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.stream).write_all(&std::mem::take(&mut self.out))
    }
}

struct ToAppend {
    octets: Vec<u8>,
    flags: Vec<String>,
    date: Option<String>,
}

/// `[flags] [date] literal`, once or more. `None` for anything else, and for an empty message.
fn to_append(mut words: &[Word]) -> Option<Vec<ToAppend>> {
    let mut messages = Vec::new();
    while !words.is_empty() {
        let mut flags = Vec::new();
        let mut date = None;
        if let [Word::List(list), rest @ ..] = words {
            flags = list.iter().filter_map(Word::text).collect();
            words = rest;
        }
        if let [Word::Quoted(text), rest @ ..] = words {
            date = Some(text.clone());
            words = rest;
        }
        let [Word::Literal(octets), rest @ ..] = words else { return None };
        if octets.is_empty() {
            return None;
        }
        messages.push(ToAppend { octets: octets.clone(), flags, date });
        words = rest;
    }
    (!messages.is_empty()).then_some(messages)
}

fn relabel(store: &mut Store, number: u64, sign: &str, labels: &[String]) {
    let names: Vec<String> = labels.iter().map(|label| labelled(label)).collect();
    if sign != "+" {
        let now: Vec<String> = store.labels(number).iter().map(|label| labelled(label)).collect();
        for name in now.iter().filter(|name| names.contains(name) == (sign == "-")) {
            store.take(name, number);
        }
    }
    if sign != "-" {
        for name in &names {
            if !store.mailboxes.contains_key(name) {
                store.create(name, "");
            }
            store.put(name, number);
        }
    }
}

fn mailbox_name(word: &Word) -> Result<String, String> {
    let name = word.text().ok_or_else(bad_text)?;
    Ok(if name.eq_ignore_ascii_case("INBOX") { "INBOX".to_owned() } else { name })
}

/// `*` is anything, `%` anything within one level (RFC 9051 §6.3.9).
fn matches(name: &str, pattern: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return name.is_empty() };
    let rest = &pattern[first.len_utf8()..];
    match first {
        '*' | '%' => {
            let end = if first == '*' { name.len() } else { name.find('/').unwrap_or(name.len()) };
            (0..=end).any(|at| name.get(at..).is_some_and(|tail| matches(tail, rest)))
        }
        _ => name.strip_prefix(first).is_some_and(|tail| matches(tail, rest)),
    }
}

fn bad_text() -> String {
    "BAD not understood".to_owned()
}

fn bad() -> Reply {
    Err(bad_text())
}

fn nonexistent() -> String {
    "NO [NONEXISTENT] no such mailbox".to_owned()
}
