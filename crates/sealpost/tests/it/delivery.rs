//! A mail server's gateway as its admin types it: directory, pipe, service, held mail.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use rustix::process::Signal;
use testbed::{Language, submit};

use crate::{
    gateway::{ALICE, ask, configure, end, files, free, get, mail, run, stage, until},
    program::CANARY,
};

#[test]
fn a_directory_is_kept_from_the_command_line() {
    let stage = stage();
    for place in ["certs", "sqlite:recipients.db"] {
        let line = |rest: &str| format!("--home gate directory {rest} --directory {place}");
        stage.good(&line("add Alice@Example.org alice.enrolment"), b"");
        stage.good(&line("add info@example.org --alias-of alice@example.org"), b"");
        let list = stage.json(&line("list --json"), b"");
        assert_eq!((list[0]["address"].as_str(), list[1]["address"].as_str()), (Some(ALICE), Some("info@example.org")));
        assert_eq!(list[0]["keys"].as_array().unwrap().len(), 2, "{list}");
        assert!(stage.text(&line("check"), b"").contains("2 entries tried, 0 cannot be sealed to"));
        stage.write("wrong", "hello");
        stage.bad(&line("add bob@example.org alice.enrolment"), b"", 65, "the file is for alice@example.org");
        stage.bad(&line("add bob@example.org --alias-of carol@example.org"), b"", 65, "is not in the directory");
        stage.bad(&line("add bob@example.org wrong"), b"", 65, "no mail can be sealed to this");
        stage.bad(&line("add bob@example.org home/keys/mailbox.secret.asc"), b"", 65, "secret key");
        stage.bad(&line("add @ alice.enrolment"), b"", 64, "no address");
        stage.bad(&line("add bob@example.org"), b"", 64, "--alias-of");
        stage.good(&line("add lost@example.org --alias-of nobody@example.org --force"), b"");
        let checked = stage.run(&line("check"), b"");
        assert!(checked.code == 78 && checked.err.contains("1 entries cannot be sealed to"), "{checked}");
        stage.good(&line("remove lost@example.org"), b"");
        stage.bad(&line("remove lost@example.org"), b"", 65, "not in the directory");
    }
    stage.bad("--home gate directory list", b"", 64, "no flow has a recipient directory");
    stage.write("gate/foreign.db", fs::read(stage.path("gate/recipients.db")).unwrap());
    let state = rusqlite::Connection::open(stage.path("gate/foreign.db")).unwrap();
    state.pragma_update(None, "application_id", 7).unwrap();
    drop(state);
    stage.bad("--home gate directory list --directory sqlite:foreign.db", b"", 69, "another program");
}

#[test]
fn a_pipe_seals_to_the_envelope_recipient() {
    let stage = stage();
    stage.good("--home gate directory add alice@example.org alice.enrolment --directory certs", b"");
    let sealed =
        stage.good("--home gate seal --rcpt Alice+x@example.org --sender eve@example.com --directory certs", &mail(1));
    assert_eq!(stage.good("open", &sealed), mail(1));
    stage.bad("--home gate seal --rcpt bob@example.org --directory certs", &mail(1), 75, "no key to seal");
    stage.bad("--home gate seal --directory certs", &mail(1), 64, "no recipient");
    stage.bad("--home gate seal --rcpt bob@example.org --directory nowhere", &mail(1), 75, "directory");
}

#[test]
fn a_gateway_runs_reloads_counts_and_drains() {
    let stage = stage();
    let (listen, metrics) = (free(), free());
    let more = format!("[metrics]\nlisten = \"{metrics}\"");
    configure(&stage, "gate", listen, "certificates = \"certs\"", "{ maildir = \"out\" }", &more);
    stage.good("--home gate directory add alice@example.org alice.enrolment", b"");
    stage.good("--home gate check", b"");
    stage.bad("--home gate sweep delivery", b"", 78, "seals mail that passes by");
    let gateway = run(&stage, "gate", listen);
    let ask_for = |to: &str| submit(Language::Lmtp, listen, "eve@example.com", &[to], &mail(1)).unwrap().remove(0);
    assert!(ask_for(ALICE).starts_with("250") && ask_for("bob@example.org").starts_with("451 4.7.5"));
    assert!(get(metrics, "/healthz").starts_with("HTTP/1.1 200"));
    let counters = get(metrics, "/metrics");
    assert!(counters.contains("sealpost_copies_total{flow=\"delivery\",outcome=\"sealed\"} 1\n"), "{counters}");
    assert!(counters.contains("sealpost_troubles_total{flow=\"delivery\",reason=\"no-key\"} 1\n"), "{counters}");
    assert!(get(metrics, "/x").starts_with("HTTP/1.1 404"));
    // Another policy, without a new process; a broken config changes nothing.
    configure(
        &stage,
        "gate",
        listen,
        "certificates = \"certs\", on-failure = \"reject\"",
        "{ maildir = \"out\" }",
        &more,
    );
    ask(&gateway, Signal::HUP);
    until("the new policy counts", || ask_for("bob@example.org").starts_with("550 5.7.5"));
    // So does a directory that is not there; another door counts from the next start, and is told of.
    configure(&stage, "gate", listen, "certificates = \"nowhere\"", "{ maildir = \"out\" }", &more);
    ask(&gateway, Signal::HUP);
    thread::sleep(Duration::from_millis(300));
    assert!(ask_for(ALICE).starts_with("250"));
    configure(
        &stage,
        "gate",
        free(),
        "certificates = \"certs\", on-failure = \"reject\"",
        "{ maildir = \"out\" }",
        &more,
    );
    ask(&gateway, Signal::HUP);
    thread::sleep(Duration::from_millis(300));
    stage.write("gate/config.toml", "[flow");
    ask(&gateway, Signal::HUP);
    thread::sleep(Duration::from_millis(300));
    assert!(ask_for("bob@example.org").starts_with("550 5.7.5"));
    configure(&stage, "gate", listen, "certificates = \"certs\"", "{ maildir = \"out\" }", &more);
    // A message that is under way when it is asked to end is taken, and an idle session is told.
    let mut slow = TcpStream::connect(listen).unwrap();
    slow.write_all(b"LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubject: x\r\n").unwrap();
    thread::sleep(Duration::from_millis(300));
    ask(&gateway, Signal::TERM);
    thread::sleep(Duration::from_millis(300));
    assert!(TcpStream::connect(listen).is_err(), "no more connections");
    slow.write_all(b"\r\nlate\r\n.\r\n").unwrap();
    let mut said = String::new();
    slow.read_to_string(&mut said).unwrap();
    assert!(said.contains("250 2.0.0 delivered") && said.contains("421 4.3.2"), "{said}");
    let ended = gateway.wait_with_output().unwrap();
    let log = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success() && log.matches("goes on as it was").count() == 2, "{log}");
    assert!(log.contains("goes on listening at"), "{log}");
    assert!(log.contains("flow=delivery outcome=deferred code=451 reason=no-key"), "{log}");
    assert!(!log.contains("alice") && !log.contains("bob") && !log.contains("canary"), "{log}");
    let out = files(&stage.path("gate/out/new"));
    assert_eq!(out.len(), 3);
    let status = stage.json("--home gate status delivery --json", b"");
    assert_eq!(status["delivery"]["copies"]["sealed"], 3, "{status}");
    assert!(stage.text("--home gate status", b"").contains("copies sealed and taken by the next server"));
}

#[test]
fn the_owner_is_told_what_was_found_out_about_a_sender() {
    let stage = stage();
    let listen = free();
    stage.good("--home gate directory add alice@example.org alice.enrolment --directory certs", b"");
    let source = format!("source = {{ lmtp = \"{listen}\", authserv-id = \"mx.example.org\" }}");
    let rest = "seal = { certificates = \"certs\" }\nsink = { maildir = \"out\" }\n";
    stage.write("gate/config.toml", format!("[flow.delivery]\n{source}\n{rest}"));
    let gateway = run(&stage, "gate", listen);
    let found = b"Authentication-Results: mx.example.org; dmarc=fail header.from=example.com\r\n";
    let octets = [&found[..], &mail(1)].concat();
    let said = submit(Language::Lmtp, listen, "eve@example.com", &[ALICE], &octets).unwrap();
    assert!(said[0].starts_with("250"), "{said:?}");
    end(gateway);
    let sealed = fs::read(&files(&stage.path("gate/out/new"))[0]).unwrap();
    let shown = stage.json("headers --json", &sealed);
    assert_eq!(shown["authentication_results"], "mx.example.org; dmarc=fail header.from=example.com");
    assert_eq!(shown["envelope"], serde_json::json!(["eve@example.com", ALICE]));
    let outcome = stage.run("headers", &sealed);
    assert!(outcome.err.contains("found out about the sender: mx.example.org; dmarc=fail"), "{outcome}");
}

#[test]
fn held_mail_is_let_go_where_its_key_is() {
    let stage = stage();
    // Whoever may release has a home of his own, on another machine.
    stage.good("--home keeper init --address keeper@example.org --no-passphrase --recovery keeper.asc", b"");
    let enrolment = stage.good("--home keeper key enrolment", b"");
    stage.write("gate/holding.enrolment", enrolment);
    stage.good("--home keeper key trust-sealer gate.sealer", b"");
    let keeper = stage.good("--home keeper key export --sealer", b"");
    stage.write("keeper.sealer", keeper);
    stage.good("key trust-sealer keeper.sealer", b"");
    let listen = free();
    let seal = "certificates = \"certs\", on-failure = \"hold\", \
                hold = { certificate = \"holding.enrolment\", maildir = \"held\" }";
    configure(&stage, "gate", listen, seal, "{ maildir = \"out\" }", "");
    fs::create_dir(stage.path("gate/certs")).unwrap();
    let gateway = run(&stage, "gate", listen);
    // A header as long as the list view, so that nothing of it crowds out whom it is for.
    let long = [format!("References: {}\r\n", "<a@b> ".repeat(3000)).as_bytes(), &mail(1)].concat();
    for (number, octets) in [mail(0), long.clone()].iter().enumerate() {
        let to = if number == 0 { "bob@example.org" } else { ALICE };
        let said = submit(Language::Lmtp, listen, "eve@example.com", &[to], octets).unwrap();
        assert!(said[0].starts_with("250 2.0.0 held"), "{said:?}");
    }
    end(gateway);
    for file in files(&stage.path("gate")) {
        let octets = fs::read(&file).unwrap();
        for secret in [CANARY, b"eve@example.com", b"bob@example.org"] {
            let shown = String::from_utf8_lossy(secret).into_owned();
            assert!(!octets.windows(secret.len()).any(|part| part == secret), "{shown} in {}", file.display());
        }
    }
    // The gateway cannot list it; the keeper can.
    stage.bad("--home gate held list gate/held", b"", 78, "no secret key");
    let list = stage.json("--home keeper held list gate/held --json", b"");
    assert_eq!((list[0]["to"].as_str(), list[1]["to"].as_str()), (Some("bob@example.org"), Some(ALICE)), "{list}");
    stage.good("--home keeper directory add alice@example.org alice.enrolment --directory certs", b"");
    let line = "--home keeper held release gate/held --directory certs --to released";
    let outcome = stage.run(line, b"");
    assert!(outcome.code == 65 && outcome.err.contains("no key for whom it is for yet"), "{outcome}");
    assert_eq!(files(&stage.path("gate/held")).len(), 1);
    let released = files(&stage.path("released/new"));
    assert_eq!(released.len(), 1);
    assert!(stage.good("open", &fs::read(&released[0]).unwrap()) == long);
    // Bob's key arrives; his mail goes by LMTP.
    stage.good("--home keeper directory add bob@example.org alice.enrolment --force --directory certs", b"");
    configure(&stage, "gate", listen, "certificates = \"certs\"", "{ maildir = \"out\" }", "");
    fs::copy(stage.path("alice.enrolment"), stage.path("gate/certs/bob@example.org.enrolment")).unwrap();
    let gateway = run(&stage, "gate", listen);
    stage.good(&format!("--home keeper held release gate/held --directory certs --to lmtp:{listen}"), b"");
    end(gateway);
    assert!(files(&stage.path("gate/held")).is_empty());
    let out = files(&stage.path("gate/out/new"));
    assert!(out.len() == 1 && stage.good("open", &fs::read(&out[0]).unwrap()) == mail(0));
}
