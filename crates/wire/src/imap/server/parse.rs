//! One command, parsed (RFC 3501 §9 `command`). In: its octets, literals in their places. Out: its tag and what it asks, or why it
//! cannot be read. Never does what it says.

use zeroize::Zeroizing;

use super::command::{AppendOrder, Asked, Closing, Command, Resume, Silence, Since, StoreKind, Vanished, Which};
use super::cursor::{Cursor, Names, Why, is_atom};
use super::date::DateTime;
use super::flag::Flag;
use super::list::{ListOrder, pattern, reference, status_items};
use super::search::SearchKey;
use super::section::FetchItem;
use super::set::SequenceSet;
use super::sort::{ReturnItem, parse_algorithm, parse_keys, parse_returns};
use crate::mailbox_name::MailboxName;

/// A tag and its command. The tag is known even where the command is wrong.
pub(crate) struct Parsed {
    pub(crate) tag: Option<String>,
    pub(crate) command: Result<Command, Why>,
}

pub(crate) fn parse(octets: &[u8], names: Names) -> Parsed {
    let mut from = Cursor::speaking(octets, names);
    match tag(&mut from) {
        Ok(tag) => Parsed { tag: Some(tag), command: command(&mut from) },
        Err(why) => Parsed { tag: None, command: Err(why) },
    }
}

/// The order of an APPEND whose message follows as a literal: `octets` end with `{123}` or `{123+}`.
pub(crate) fn parse_append(octets: &[u8], names: Names) -> Option<(String, Result<AppendOrder, Why>)> {
    let mut from = Cursor::speaking(octets, names);
    let tag = tag(&mut from).ok()?;
    from.space().ok()?;
    if from.word().ok()? != "APPEND" || !from.eat(b' ') {
        return None;
    }
    // The mailbox itself may be the literal that follows.
    if from.peek() == Some(b'{') && !octets.contains(&b'\n') {
        return None;
    }
    Some((tag, append(&mut from)))
}

fn append(from: &mut Cursor<'_>) -> Result<AppendOrder, Why> {
    let mailbox = mailbox(from)?;
    from.space()?;
    let mut flags = Vec::new();
    if from.peek() == Some(b'(') {
        flags = Flag::parse_list(from)?;
        from.space()?;
    }
    let mut date = None;
    if from.peek() == Some(b'"') {
        date = Some(DateTime::parse(from)?);
        from.space()?;
    }
    // `UTF8 (~{…}` (RFC 6855 §4): the message's header section may hold UTF-8, as any may.
    let mut closing = Closing::Line;
    if from.names() == Names::Utf8 && matches!(from.peek(), Some(b'U' | b'u')) {
        if from.word()? != "UTF8" {
            return Err("a message comes as a literal");
        }
        from.space()?;
        from.expect(b'(')?;
        closing = Closing::Parenthesis;
    }
    // RFC 3516 §4.4: with a tilde it may hold NULs; without one we take them too.
    from.eat(b'~');
    from.expect(b'{').map_err(|_| "a message comes as a literal")?;
    let digits = from.run(|octet| octet.is_ascii_digit())?;
    let length = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or("too large")?;
    from.eat(b'+');
    from.expect(b'}')?;
    from.end()?;
    Ok(AppendOrder { mailbox, flags, date, length, closing })
}

fn tag(from: &mut Cursor<'_>) -> Result<String, Why> {
    let tag = from.run(|octet| (is_atom(octet) || octet == b']') && octet != b'+' && octet.is_ascii())?;
    if tag.len() > 100 { Err("a tag is too long") } else { Ok(String::from_utf8_lossy(tag).into_owned()) }
}

const WITH_ARGUMENTS: [&str; 24] = [
    "LOGIN",
    "AUTHENTICATE",
    "ID",
    "ENABLE",
    "SELECT",
    "EXAMINE",
    "CREATE",
    "DELETE",
    "RENAME",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "LIST",
    "LSUB",
    "STATUS",
    "EXPUNGE",
    "SEARCH",
    "SORT",
    "THREAD",
    "FETCH",
    "STORE",
    "COPY",
    "MOVE",
    "APPEND",
    "COMPRESS",
];

fn command(from: &mut Cursor<'_>) -> Result<Command, Why> {
    from.space()?;
    let mut word = from.word()?;
    let mut which = Which::Numbers;
    if word == "UID" {
        from.space()?;
        word = from.word()?;
        which = Which::Uids;
        if !matches!(word.as_str(), "FETCH" | "STORE" | "SEARCH" | "SORT" | "THREAD" | "COPY" | "MOVE" | "EXPUNGE") {
            return Err("no such command with UIDs");
        }
    }
    let command = match word.as_str() {
        "CAPABILITY" => Command::Capability,
        "NOOP" => Command::Noop,
        "LOGOUT" => Command::Logout,
        "STARTTLS" => Command::StartTls,
        "NAMESPACE" => Command::Namespace,
        "IDLE" => Command::Idle,
        "CHECK" => Command::Check,
        "CLOSE" => Command::Close,
        "UNSELECT" => Command::Unselect,
        "EXPUNGE" if which == Which::Numbers => Command::Expunge(None),
        known if WITH_ARGUMENTS.contains(&known) => {
            from.space()?;
            with_arguments(known, which, from)?
        }
        _ => return Err("no such command"),
    };
    from.end()?;
    Ok(command)
}

fn with_arguments(word: &str, which: Which, from: &mut Cursor<'_>) -> Result<Command, Why> {
    Ok(match word {
        "LOGIN" => {
            let user = from.astring()?;
            from.space()?;
            Command::Login(user, Zeroizing::new(from.astring()?))
        }
        "AUTHENTICATE" => {
            let mechanism = from.word()?;
            let is_base64 = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'=');
            let initial = if from.eat(b' ') { Some(Zeroizing::new(from.run(is_base64)?.to_vec())) } else { None };
            Command::Authenticate(mechanism, initial)
        }
        "ID" => {
            id(from)?;
            Command::Id
        }
        "ENABLE" => {
            let mut names = vec![from.word()?];
            while from.eat(b' ') {
                names.push(from.word()?);
            }
            Command::Enable(names)
        }
        "SELECT" => Command::Select(mailbox(from)?, resume(from)?),
        "EXAMINE" => Command::Examine(mailbox(from)?, resume(from)?),
        "CREATE" => Command::Create(mailbox(from)?),
        "DELETE" => Command::Delete(mailbox(from)?),
        "RENAME" => {
            let name = mailbox(from)?;
            from.space()?;
            Command::Rename(name, mailbox(from)?)
        }
        "SUBSCRIBE" => Command::Subscribe(mailbox(from)?),
        "UNSUBSCRIBE" => Command::Unsubscribe(mailbox(from)?),
        "LIST" => Command::List(ListOrder::parse(from)?),
        "LSUB" => Command::Lsub(joined_pattern(from)?),
        "STATUS" => status(from)?,
        "EXPUNGE" => Command::Expunge(Some(SequenceSet::parse(from)?)),
        "SEARCH" => search(which, from)?,
        "SORT" => {
            let returns = parse_returns(from)?;
            // RFC 5182 knows it of SEARCH alone.
            if returns.iter().flatten().any(|item| *item == ReturnItem::Save) {
                return Err("only SEARCH saves what it finds");
            }
            let keys = parse_keys(from)?;
            from.space()?;
            let Asked { charset, key, .. } = asked(from)?;
            Command::Sort(which, keys, Asked { returns, charset, key })
        }
        "THREAD" => {
            let algorithm = parse_algorithm(from)?;
            from.space()?;
            Command::Thread(which, algorithm, asked(from)?)
        }
        "FETCH" => {
            let set = SequenceSet::parse(from)?;
            from.space()?;
            let items = FetchItem::parse_all(from)?;
            Command::Fetch(which, set, items, since(which, from)?)
        }
        "STORE" => store(which, from)?,
        "COMPRESS" => match from.word()?.as_str() {
            "DEFLATE" => Command::Compress,
            _ => return Err("no such compression"),
        },
        "COPY" | "MOVE" => {
            let set = SequenceSet::parse(from)?;
            from.space()?;
            let to = mailbox(from)?;
            if word == "COPY" { Command::Copy(which, set, to) } else { Command::Move(which, set, to) }
        }
        "APPEND" => return Err("a message comes as a literal"),
        _ => return Err("no such command"),
    })
}

fn mailbox(from: &mut Cursor<'_>) -> Result<MailboxName, Why> {
    let name = String::from_utf8(from.astring()?).map_err(|_| "a mailbox name is not text")?;
    // quirk: programs that speak UTF-8 here unasked are understood; the answer is in modified UTF-7 all the same.
    let is_utf7 = from.names() == Names::Utf7 && name.is_ascii();
    Ok(if is_utf7 { MailboxName::from_wire(&name) } else { MailboxName::from_utf8(&name) })
}

/// Reference and pattern (RFC 3501 §6.3.9); the hierarchy is `/`.
fn joined_pattern(from: &mut Cursor<'_>) -> Result<String, Why> {
    let reference = reference(from)?;
    from.space()?;
    Ok(reference + &pattern(from)?)
}

fn status(from: &mut Cursor<'_>) -> Result<Command, Why> {
    let name = mailbox(from)?;
    from.space()?;
    Ok(Command::Status(name, status_items(from)?))
}

/// `(CONDSTORE)` or `(QRESYNC (…))` behind a mailbox's name (RFC 7162 §3.1.8, §3.2.5).
fn resume(from: &mut Cursor<'_>) -> Result<Resume, Why> {
    if !from.eat(b' ') {
        return Ok(Resume::Nothing);
    }
    from.expect(b'(')?;
    let mut resume = Resume::Nothing;
    loop {
        match from.word()?.as_str() {
            "CONDSTORE" if resume == Resume::Nothing => resume = Resume::Changes,
            "CONDSTORE" => {}
            "QRESYNC" => {
                from.space()?;
                resume = quick(from)?;
            }
            _ => return Err("no such option"),
        }
        if !from.eat(b' ') {
            break;
        }
    }
    from.expect(b')')?;
    Ok(resume)
}

fn quick(from: &mut Cursor<'_>) -> Result<Resume, Why> {
    from.expect(b'(')?;
    let validity = from.number()?;
    from.space()?;
    let modseq = from.modseq()?;
    if validity == 0 || modseq == 0 {
        return Err("a number is missing");
    }
    let mut known = None;
    if from.eat(b' ') {
        if from.peek() != Some(b'(') {
            known = Some(SequenceSet::parse_ranges(from)?);
        }
        // Pairs of numbers and UIDs would spare us to name what is gone; we name it all the same.
        if (known.is_none() || from.eat(b' ')) && from.eat(b'(') {
            SequenceSet::parse_ranges(from)?;
            from.space()?;
            SequenceSet::parse_ranges(from)?;
            from.expect(b')')?;
        }
    }
    from.expect(b')')?;
    Ok(Resume::From { validity, modseq, known })
}

/// `(CHANGEDSINCE 7 VANISHED)` behind the items of FETCH (RFC 7162 §3.1.4.1, §3.2.6).
fn since(which: Which, from: &mut Cursor<'_>) -> Result<Option<Since>, Why> {
    if !from.eat(b' ') {
        return Ok(None);
    }
    from.expect(b'(')?;
    let (mut modseq, mut vanished) = (None, Vanished::Untold);
    loop {
        match from.word()?.as_str() {
            "CHANGEDSINCE" if modseq.is_none() => {
                from.space()?;
                modseq = Some(from.modseq()?);
            }
            "VANISHED" if which == Which::Uids => vanished = Vanished::Told,
            _ => return Err("no such option"),
        }
        if !from.eat(b' ') {
            break;
        }
    }
    from.expect(b')')?;
    let modseq = modseq.filter(|modseq| *modseq > 0).ok_or("a change number is missing")?;
    Ok(Some(Since { modseq, vanished }))
}

fn search(which: Which, from: &mut Cursor<'_>) -> Result<Command, Why> {
    let returns = parse_returns(from)?;
    let before = from.rest();
    let mut charset = None;
    if from.word().is_ok_and(|word| word == "CHARSET") {
        from.space()?;
        charset = Some(String::from_utf8_lossy(&from.astring()?).to_ascii_uppercase());
        from.space()?;
    } else {
        from.back_to(before);
    }
    Ok(Command::Search(which, Asked { returns, charset, key: SearchKey::parse_all(from, 0)? }))
}

/// A charset, which must stand there in SORT and THREAD, and search keys.
fn asked(from: &mut Cursor<'_>) -> Result<Asked, Why> {
    let charset = Some(String::from_utf8_lossy(&from.astring()?).to_ascii_uppercase());
    from.space()?;
    Ok(Asked { returns: None, charset, key: SearchKey::parse_all(from, 0)? })
}

fn store(which: Which, from: &mut Cursor<'_>) -> Result<Command, Why> {
    let set = SequenceSet::parse(from)?;
    from.space()?;
    let mut unchanged = None;
    if from.eat(b'(') {
        if from.word()? != "UNCHANGEDSINCE" {
            return Err("no such option");
        }
        from.space()?;
        unchanged = Some(from.modseq()?);
        from.expect(b')')?;
        from.space()?;
    }
    let kind = match (from.eat(b'+'), from.eat(b'-')) {
        (true, false) => StoreKind::Add,
        (false, true) => StoreKind::Remove,
        (false, false) => StoreKind::Replace,
        (true, true) => return Err("syntax"),
    };
    let silence = match from.word()?.as_str() {
        "FLAGS" => Silence::Loud,
        "FLAGS.SILENT" => Silence::Silent,
        _ => return Err("only flags are stored"),
    };
    from.space()?;
    Ok(Command::Store(which, set, unchanged, kind, silence, Flag::parse_list(from)?))
}

/// `NIL` or pairs of strings (RFC 2971 §3.1).
fn id(from: &mut Cursor<'_>) -> Result<(), Why> {
    if !from.eat(b'(') {
        return if from.word()? == "NIL" { Ok(()) } else { Err("syntax") };
    }
    while !from.eat(b')') {
        match from.peek() {
            Some(b'"' | b'{') => drop(from.string()?),
            _ if from.word()? == "NIL" => {}
            _ => return Err("syntax"),
        }
        from.eat(b' ');
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_octets_panic(
            verb in prop_oneof![Just("FETCH 1 "), Just("SEARCH "), Just("STORE 1 "), Just("LIST "), Just("APPEND "), Just("")],
            pieces in prop::collection::vec(
                prop_oneof![
                    Just(&b"BODY["[..]), Just(&b"{3}\r\n"[..]), Just(&b"{99999999999}"[..]), Just(&b"\""[..]), Just(&b"("[..]), Just(&b") "[..]),
                    Just(&b"NOT "[..]), Just(&b"1:*,"[..]), Just(&b"\\Seen "[..]), Just(&b"<0.1>"[..]), Just(&b"\xff\0"[..]), Just(&b"HEADER.FIELDS ("[..]),
                    Just(&b"ON 1-Jan-2000 "[..]), Just(&b"OR "[..]), Just(&b"]"[..]), Just(&b"INBOX "[..]),
                ],
                0..12,
            ),
            rest in prop::collection::vec(any::<u8>(), 0..8),
        ) {
            let octets = [b"a ", verb.as_bytes(), &pieces.concat(), &rest].concat();
            let _ = parse(&octets, Names::Utf8);
            let _ = parse_append(&octets, Names::Utf8);
        }
    }

    fn is_read(text: &str) -> Result<(), Why> {
        parse(text.as_bytes(), Names::Utf7).command.map(drop)
    }

    #[test]
    fn the_examples_of_rfc_3501_are_read() {
        for text in [
            "abcd CAPABILITY",
            "a002 NOOP",
            "A023 LOGOUT",
            "a001 AUTHENTICATE GSSAPI",
            "a001 AUTHENTICATE PLAIN AGEAYg==",
            "a001 LOGIN SMITH SESAME",
            "a001 LOGIN {5}\r\nSMITH {6}\r\nSES ME",
            "A142 SELECT INBOX",
            "A932 EXAMINE blurdybloop",
            "A003 CREATE owatagusiam/",
            "A683 DELETE blurdybloop",
            "A683 RENAME blurdybloop sarasoop",
            "A002 SUBSCRIBE #news.comp.mail.mime",
            "A101 LIST \"\" \"\"",
            "A102 LIST #news.comp.mail.misc \"\"",
            "A202 LIST ~/Mail/ %",
            "A002 LSUB \"#news.\" \"comp.mail.*\"",
            "A042 STATUS blurdybloop (UIDNEXT MESSAGES)",
            "FXXZ CHECK",
            "A341 CLOSE",
            "A202 EXPUNGE",
            "A282 SEARCH FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"",
            "A284 SEARCH CHARSET UTF-8 TEXT {6}\r\nXXXXXX",
            "A283 SEARCH TEXT \"string not in mailbox\"",
            "A282 SEARCH RETURN (MIN COUNT) FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"",
            "A284 UID SEARCH RETURN () CHARSET UTF-8 OLDER 300 YOUNGER 1",
            "A282 SORT (SUBJECT) UTF-8 SINCE 1-Feb-1994",
            "A283 UID SORT (SUBJECT REVERSE DATE) UTF-8 ALL",
            "E01 UID SORT RETURN (COUNT ALL) (ARRIVAL CC FROM SIZE TO) US-ASCII 1:*",
            "A283 THREAD ORDEREDSUBJECT UTF-8 SINCE 5-MAR-2000",
            "A284 UID THREAD REFERENCES US-ASCII TEXT \"gewp\"",
            "A1 UID SEARCH OR (SEEN 1:3) UID 7:* LARGER 100 HEADER X-A \"\"",
            "A654 FETCH 2:4 (FLAGS BODY[HEADER.FIELDS (DATE FROM)])",
            "A FETCH 1 FULL",
            "A FETCH 1 BODY.PEEK[1.2.HEADER.FIELDS.NOT (A {1}\r\nB)]<0.10>",
            "A FETCH 1 (RFC822 RFC822.SIZE RFC822.HEADER BODY BODY[] BODY[3.MIME])",
            "A003 STORE 2:4 +FLAGS (\\Deleted)",
            "A003 STORE 2:4 -FLAGS.SILENT \\Seen $Forwarded",
            "A003 COPY 2:4 MEETING",
            "A999 UID FETCH 4827313:4828442 FLAGS",
            "A UID EXPUNGE 3000:3002",
            "A UID MOVE 42:69 foo",
            "a023 ID (\"name\" \"sodr\" \"version\" NIL)",
            "a023 ID NIL",
            "t1 ENABLE CONDSTORE X",
            "A142 SELECT INBOX (CONDSTORE)",
            "A02 SELECT INBOX (QRESYNC (67890007 20050715194045000 41,43:211,214:541))",
            "A03 SELECT INBOX (QRESYNC (67890007 90060115194045000 41:211,214:541))",
            "B04 SELECT INBOX (QRESYNC (67890007 90060115194045000 1:29997 (5000,7500,9000,9990:9999 15000,22500,27000,29970,29973)))",
            "B04 EXAMINE INBOX (CONDSTORE QRESYNC (67890007 9))",
            "s100 UID FETCH 1:* (FLAGS) (CHANGEDSINCE 12345)",
            "s100 UID FETCH 300:500 (FLAGS) (CHANGEDSINCE 12345 VANISHED)",
            "d105 STORE 7,5,9 (UNCHANGEDSINCE 320162338) +FLAGS.SILENT (\\Deleted)",
            "a STORE 100:150 (UNCHANGEDSINCE 0) +FLAGS x",
            "a SEARCH MODSEQ \"/flags/\\\\draft\" all 620162338",
            "t SEARCH OR NOT MODSEQ 720162338 LARGER 50000",
            "A042 STATUS blurdybloop (UIDNEXT MESSAGES HIGHESTMODSEQ APPENDLIMIT)",
            "a FETCH 1 (MODSEQ PREVIEW PREVIEW (LAZY) BINARY.PEEK[1.2]<0.9> BINARY[] BINARY.SIZE[1])",
            "a FETCH 1 PREVIEW (LAZY)",
            "a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (\"INBOX\" Drafts \"Sent/%\") RETURN (CHILDREN STATUS (MESSAGES UNSEEN) SPECIAL-USE)",
            "a LIST () \"\" % RETURN ()",
        ] {
            assert_eq!(is_read(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for text in [
            "",
            " ",
            "a",
            "+ NOOP",
            "a FOO",
            "a NOOP x",
            "a SELECT",
            "a LOGIN x",
            "a LOGIN \"x y",
            "a LOGIN \"x\\y\" z",
            "a FETCH 1",
            "a FETCH 0 FLAGS",
            "a FETCH 1 (FLAGS",
            "a FETCH 1 BODY[MIME]",
            "a FETCH 1 BODY[1.]",
            "a FETCH 1 BODY[0]",
            "a FETCH 1 BODY[]<0.0>",
            "a FETCH 1 ENVELOPES",
            "a SEARCH",
            "a SEARCH (ALL",
            "a SEARCH NOT",
            "a SEARCH OR ALL",
            "a SEARCH RETURN (MIN MIN) ALL",
            "a SORT RETURN (SAVE) (SUBJECT) UTF-8 ALL",
            "a SEARCH RETURN (MIN)",
            "a SEARCH OLDER 0",
            "a SORT (SUBJECT) ALL",
            "a SORT () UTF-8 ALL",
            "a SORT (REVERSE) UTF-8 ALL",
            "a SORT (X) UTF-8 ALL",
            "a THREAD JWZ UTF-8 ALL",
            "a SEARCH SINCE yesterday",
            "a STORE 1 FLAGS (\\Foo)",
            "a STORE 1 FLAG x",
            "a STATUS x ()",
            "a SELECT x (FOO)",
            "a SELECT x ()",
            "a SELECT x (QRESYNC (0 5))",
            "a SELECT x (QRESYNC (5 0))",
            "a FETCH 1 FLAGS (CHANGEDSINCE 0)",
            "a FETCH 1 FLAGS (CHANGEDSINCE 5 VANISHED)",
            "a UID FETCH 1 FLAGS (VANISHED)",
            "a FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)",
            "a FETCH 1 PREVIEW (FAST)",
            "a FETCH 1 BINARY[1.MIME]",
            "a FETCH 1 BINARY.SIZE[1]<0.1>",
            "a LIST (RECURSIVEMATCH) \"\" *",
            "a LIST \"\" * RETURN (FOO)",
            "a LIST \"\" ()",
            "a STORE 1 (UNCHANGED 5) FLAGS x",
            "a UID NOOP",
            "a APPEND x",
            "a SELECT {9}\r\nx",
        ] {
            assert!(is_read(text).is_err(), "{text}");
        }
        let deep = format!("a SEARCH {}ALL", "NOT ".repeat(10_000));
        assert_eq!(is_read(&deep), Err("search keys nest too deep"));
        let deep = format!("a SEARCH {}", "(".repeat(10_000));
        assert_eq!(is_read(&deep), Err("search keys nest too deep"));
    }

    #[test]
    fn sections_are_named_in_the_answer_as_they_were_asked() {
        for (asked, name) in [
            ("BODY.PEEK[]", "BODY[]"),
            ("body[1.2.mime]<5.10>", "BODY[1.2.MIME]<5>"),
            ("BODY[HEADER.FIELDS (Date \"X A\")]", "BODY[HEADER.FIELDS (Date \"X A\")]"),
            ("RFC822.TEXT", "RFC822.TEXT"),
        ] {
            let parsed = parse(format!("a FETCH 1 {asked}").as_bytes(), Names::Utf7);
            let Ok(Command::Fetch(_, _, items, _)) = parsed.command else { panic!("{asked}") };
            let [FetchItem::Section(section)] = items.as_slice() else { panic!("{asked}") };
            assert_eq!(section.name, name);
        }
    }

    #[test]
    fn appends_are_known_before_their_message() {
        let order = |text: &str| parse_append(text.as_bytes(), Names::Utf7);
        let (tag, read) = order("A3 APPEND saved (\\Seen \\Draft) \" 7-Feb-1994 21:52:25 -0800\" {310}").expect("one");
        let read = read.expect("well-formed");
        assert_eq!((tag.as_str(), read.length, read.flags.len(), read.date.is_some()), ("A3", 310, 2, true));
        assert!(order("A3 APPEND {5}").is_none(), "its mailbox is to come");
        let (_, read) = order("A3 APPEND {5}\r\nsaved {7+}").expect("one");
        assert_eq!(read.map(|order| order.length), Ok(7));
        assert!(order("A3 APPEND saved ~{7}").expect("one").1.is_ok());
        assert!(order("A3 LOGIN a {7}").is_none());
    }
}
