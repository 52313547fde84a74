//! Every fault, in front of a good double: what the client sees, and what the server did.

use std::{net::TcpListener, time::Duration};

use testbed::{Action, Character, Double, Faults, Rule, Which};

use crate::client::{Client, append};

const MAIL: &str = "Subject: one\r\n\r\n0123456789\r\n";

fn between(rules: Vec<Rule>) -> (Double, Faults, Client) {
    let double = Double::start(Character::Plain);
    let faults = Faults::between(double.address(), rules);
    let client = Client::alice(faults.address());
    (double, faults, client)
}

fn rule(command: &'static str, which: Which, action: Action) -> Rule {
    Rule { command, which, action }
}

/// One APPEND that meets `action`: the client's view, and how many messages are stored then.
#[test]
fn each_fault_does_what_it_says() {
    let check = |action: Action, literal: &str, expected: &str, stored: usize| {
        let (double, faults, mut client) = between(vec![rule("APPEND", Which::Nth(2), action.clone())]);
        assert!(client.say(&append("Sent", "", MAIL)).contains("OK"));
        client.send(&format!("APPEND INBOX {{{}{literal}}}", MAIL.len()));
        let waits = literal.is_empty();
        let goes_on = if waits { client.line() } else { String::new() };
        if !waits || goes_on.starts_with('+') {
            client.raw(&format!("{MAIL}\r\n"));
        }
        let answer = if waits && !goes_on.starts_with('+') { goes_on } else { client.answer() };
        assert_eq!(answer, expected, "{action:?} {literal:?}");
        assert_eq!(double.messages("INBOX").len(), stored, "{action:?} {literal:?}");
        assert_eq!(faults.fired(), [format!("APPEND 2: {action:?}")]);
        // The next connection is a good one.
        assert!(Client::alice(faults.address()).say(&append("Sent", "", MAIL)).contains("OK"));
    };
    for literal in ["", "+"] {
        check(Action::Before, literal, "<closed>", 0);
        check(Action::CutLiteral(5), literal, "<closed>", 0);
        check(Action::CutLiteral(5000), literal, "<closed>", 0);
        check(Action::LoseAnswer, literal, "<closed>", 1);
        check(Action::HalfAnswer, literal, "t3 OK [APPENDUID<closed>", 1);
        check(Action::Reset, literal, "<reset>", 1);
        check(Action::No, literal, "t3 NO injected fault\r\n", 0);
        check(Action::Bad, literal, "t3 BAD injected fault\r\n", 0);
        check(Action::Delay(Duration::from_millis(1)), literal, "t3 OK [APPENDUID 101 1] stored\r\n", 1);
    }
    let (double, _faults, mut client) = between(vec![rule("APPEND", Which::All, Action::Bye)]);
    assert_eq!(client.say(&append("INBOX", "", MAIL)), "* BYE going down\r\n<closed>");
    assert!(double.messages("INBOX").is_empty());
}

#[test]
fn what_hangs_keeps_the_connection_and_lets_others_by() {
    let (double, _faults, mut client) = between(vec![rule("APPEND", Which::Nth(1), Action::Hang)]);
    client.send(&append("INBOX", "", MAIL));
    assert!(client.say("NOOP").starts_with("t3 OK"));
    assert!(double.messages("INBOX").is_empty());
}

#[test]
fn an_answer_is_cut_within_its_literals() {
    let (double, _faults, mut client) = between(vec![rule("UID FETCH", Which::All, Action::CutAnswer(35))]);
    for _ in 0..2 {
        double.deliver("INBOX", MAIL.as_bytes(), &[], "17-Jul-1996 02:44:25 -0700");
    }
    client.say("SELECT INBOX");
    let answer = client.say("UID FETCH 1:* BODY.PEEK[]");
    let first = format!("* 1 FETCH (UID 1 BODY[] {{28}}\r\n{MAIL})\r\n");
    assert_eq!(answer, format!("{first}* 2 FETCH (UID 2 BODY[] {{28}}\r\nSubject<closed>"));
}

#[test]
fn rules_count_over_all_connections() {
    let rules = vec![rule("NOOP", Which::Every(3), Action::No), rule("*", Which::Nth(1), Action::No)];
    let double = Double::start(Character::Plain);
    let faults = Faults::between(double.address(), rules);
    assert!(Client::connect(faults.address()).say("NOOP").contains("NO"));
    let mut client = Client::connect(faults.address());
    let answers: Vec<bool> = (0..5).map(|_| client.say("NOOP").contains("OK")).collect();
    assert_eq!(answers, [true, false, true, true, false]);
    faults.clear();
    assert!((0..9).all(|_| client.say("NOOP").contains("OK")));
}

#[test]
fn chance_is_the_same_for_the_same_seed() {
    let run = |seed| {
        let (_double, faults, mut client) =
            between(vec![rule("NOOP", Which::Chance { seed, per_mille: 300 }, Action::Bad)]);
        (0..100).for_each(|_| drop(client.say("NOOP")));
        faults.fired()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
    assert!((10..60).contains(&run(7).len()));
}

#[test]
fn pipelined_commands_and_literals_keep_their_order() {
    let (double, _faults, mut client) = between(vec![rule("APPEND", Which::Nth(3), Action::No)]);
    let all: String =
        (1..=20).map(|at| format!("p{at} {}\r\n", append("INBOX", "", &format!("n: {at}\r\n\r\n")))).collect();
    client.raw(&all);
    assert!(client.say("SELECT INBOX").contains("* 19 EXISTS"));
    let stored: Vec<Vec<u8>> = double.messages("INBOX").into_iter().map(|message| message.octets).collect();
    let expected: Vec<Vec<u8>> =
        (1..=20).filter(|at| *at != 3).map(|at| format!("n: {at}\r\n\r\n").into_bytes()).collect();
    assert_eq!(stored, expected);
}

#[test]
fn stripped_capabilities_are_gone_until_everything_passes() {
    let (_double, faults, mut client) = between(vec![Rule::strip(&["UIDPLUS", "MOVE"])]);
    assert!(!client.greeting.contains("UIDPLUS") && client.greeting.contains("NAMESPACE UNSELECT IDLE"));
    assert!(!client.say(&append("INBOX", "", MAIL)).contains("APPENDUID"));
    client.say("SELECT INBOX");
    assert!(client.say("UID EXPUNGE 1").contains("BAD") && client.say("UID MOVE 1 Trash").contains("BAD"));
    faults.clear();
    assert!(client.say("UID EXPUNGE 1").contains("BAD") && faults.fired().is_empty());
    faults.pass();
    assert!(client.say("UID MOVE 1 Trash").contains("COPYUID"));
}

#[test]
fn without_a_server_connections_end_at_once() {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let faults = Faults::between(address, Vec::new());
    assert_eq!(Client::connect(faults.address()).greeting, "<closed>");
}
