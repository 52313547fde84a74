//! A forwarder as whoever runs it sees it: what `check` finds, what `status`, `/healthz` and the log say stands in the way, what SIGHUP takes anew.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
};

use rustix::process::Signal;
use testbed::{Dovecot, Format, Language, Names, submit};

use crate::{
    forward::{ME, configure, mail, stage},
    gateway::{ask, end, free, get, inbox, run, until},
    program::Stage,
};

fn change(stage: &Stage, from: &str, to: &str) {
    let text = fs::read_to_string(stage.path("gate/config.toml")).unwrap();
    assert!(text.contains(from), "{text}");
    stage.write("gate/config.toml", text.replace(from, to));
}

fn send(listen: SocketAddr, to: &str, number: usize) -> String {
    submit(Language::Smtp, listen, "eve@example.com", &[to], &mail(number)).unwrap().remove(0)
}

#[test]
fn check_tries_what_run_needs() {
    if !testbed::servers() {
        return;
    }
    let stage = stage(&["gate"]);
    let (listen, names, store) = (free(), Names::serve([]), Dovecot::start(Format::Maildir));
    configure(&stage, "gate", listen, store.imap(), "", "");
    change(&stage, "for =", &format!("resolver = \"{}\", for =", names.address()));
    let text = stage.text("--home gate check", b"");
    assert!(text.contains(&format!("ok       flow forward: listener: {listen}")), "{text}");
    assert!(text.contains("flow forward: DNS: the resolver answers"), "{text}");
    assert!(text.contains("flow forward: target: mailbox INBOX: logged in, it can be written"), "{text}");
    assert!(names.asked() > 0, "a real question");
    // Each of these is wrong, and is named with what to do.
    let begun = fs::read_to_string(stage.path("gate/config.toml")).unwrap();
    let silent = Names::serve([]).address();
    for (from, to, says) in [
        (names.address().to_string(), silent.to_string(), "the resolver does not answer"),
        (store.imap().to_string(), free().to_string(), "cannot be reached"),
        ("{ retry".to_owned(), "{ spool = \"sqlite:nowhere/spool.db\", retry".to_owned(), "nowhere"),
    ] {
        stage.write("gate/config.toml", begun.replace(&from, &to));
        let found = stage.run("--home gate check", b"");
        let text = String::from_utf8_lossy(&found.out).into_owned();
        assert!(found.code == 78 && text.contains(says), "{says}: {text}");
    }
    stage.write("gate/config.toml", begun);
    stage.write("gate/secret", "wrong\n");
    let found = String::from_utf8_lossy(&stage.run("--home gate check", b"").out).into_owned();
    assert!(found.contains("there is no login at the target") && found.contains("renew the password"), "{found}");
}

#[test]
fn a_key_that_others_can_read_or_that_is_short_is_refused() {
    let stage = stage(&["gate"]);
    let flow = "[flow.forward]\nsource = { smtp = \"127.0.0.1:2525\", for = [\"me@my.example\"], checks = \"off\" }\n\
                seal = { to = \"alice@example.org\" }\n\
                sink = { mx = \"provider.example\", to = \"me@provider.example\", from = \"f@my.example\", \
                dkim-selector = \"s1\", dkim-key = \"dkim.pem\" }\n";
    stage.write("gate/config.toml", flow);
    let make = |bits: &str| {
        let file = stage.path("gate/dkim.pem");
        let option = format!("rsa_keygen_bits:{bits}");
        let made = std::process::Command::new("openssl")
            .args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", &option, "-out"])
            .arg(&file)
            .status();
        assert!(made.unwrap().success());
        file
    };
    let file = make("2048");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let found = String::from_utf8_lossy(&stage.run("--home gate check", b"").out).into_owned();
    assert!(found.contains("others can read the dkim-key") && found.contains("chmod 600"), "{found}");
    stage.bad("--home gate run", b"", 78, "others can read the dkim-key");
    let file = make("1024");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    stage.bad("--home gate run", b"", 78, "an RSA key below 2048 bits");
}

#[test]
fn what_stands_in_the_way_is_said() {
    if !testbed::servers() {
        return;
    }
    let stage = stage(&["gate"]);
    let (listen, metrics) = (free(), free());
    let store = Dovecot::start(Format::Maildir);
    configure(&stage, "gate", listen, store.imap(), "", &format!("[metrics]\nlisten = \"{metrics}\""));
    stage.write("gate/secret", "wrong\n");
    let forwarder = run(&stage, "gate", listen);
    until("it is known", || {
        get(metrics, "/healthz")
            .contains("there is no login at the target: it refuses ours, or our password cannot be read, since")
    });
    assert!(get(metrics, "/healthz").starts_with("HTTP/1.1 503"));
    until("the senders are told", || send(listen, ME, 1).starts_with("451 4.3.5"));
    until("it is noted", || stage.text("--home gate status forward", b"").contains("there is no login at the target"));
    let status = stage.json("--home gate status forward --json", b"");
    assert_eq!(status["forward"]["obstacle"]["reason"], "login", "{status}");
    assert!(send(listen, "somebody@else.example", 2).starts_with("550"));
    let told = get(metrics, "/metrics");
    assert!(told.contains("sealpost_refusals_total{flow=\"forward\",reason=\"relay\"} 1\n"), "{told}");
    assert!(told.contains("sealpost_obstacle{flow=\"forward\",reason=\"login\"} 1\n"), "{told}");
    let log = end(forwarder);
    assert!(log.contains("renew the password") && log.contains("event=rejected reason=relay"), "{log}");
    assert!(!log.contains("else.example") && !log.contains(ME), "{log}");
    // Mended.
    stage.write("gate/secret", "alice-pw\n");
    let forwarder = run(&stage, "gate", listen);
    assert!(send(listen, ME, 3).starts_with("250"));
    until("it is there", || inbox(store.imap()).len() == 1);
    until("all is well", || get(metrics, "/healthz").contains("well"));
    let status = stage.json("--home gate status forward --json", b"");
    assert!(status["forward"]["obstacle"].is_null(), "{status}");
    end(forwarder);
}

/// Whoever has no message under way is told that it ends, wherever his session stands.
#[test]
fn sessions_that_are_idle_do_not_hold_up_the_end() {
    let stage = stage(&["gate"]);
    let listen = free();
    configure(&stage, "gate", listen, free(), "", "");
    let forwarder = run(&stage, "gate", listen);
    let mut sessions = Vec::new();
    for commands in [
        &[][..],
        &["EHLO x\r\n"],
        &["EHLO x\r\n", "MAIL FROM:<a@b>\r\n"],
        &["EHLO x\r\n", "MAIL FROM:<a@b>\r\n", "RCPT TO:<me@my.example>\r\n"],
        &["EHL"],
    ] {
        let mut stream = TcpStream::connect(listen).unwrap();
        let mut answer = [0; 2000];
        assert!(stream.read(&mut answer).unwrap() > 0);
        for command in commands {
            stream.write_all(command.as_bytes()).unwrap();
            if command.ends_with('\n') {
                assert!(stream.read(&mut answer).unwrap() > 0);
            }
        }
        sessions.push((commands, stream));
    }
    ask(&forwarder, Signal::TERM);
    for (commands, mut stream) in sessions {
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.ends_with("421 4.3.2 ending\r\n"), "{commands:?}: {said}");
    }
    let ended = forwarder.wait_with_output().unwrap();
    assert!(ended.status.success());
}

#[test]
fn what_is_read_again_counts_and_what_is_wrong_changes_nothing() {
    if !testbed::servers() {
        return;
    }
    let stage = stage(&["gate"]);
    let (listen, store) = (free(), Dovecot::start(Format::Maildir));
    configure(&stage, "gate", listen, store.imap(), "", "");
    let forwarder = run(&stage, "gate", listen);
    assert!(send(listen, "you@my.example", 1).starts_with("550"));
    // Something is wrong: nothing of it counts.
    let begun = fs::read_to_string(stage.path("gate/config.toml")).unwrap();
    let wider = begun.replace("[\"me@my.example\"]", "[\"@my.example\"]");
    stage.write("gate/config.toml", wider.replace("for =", "tls-certificate = \"no\", tls-key = \"no\", for ="));
    ask(&forwarder, Signal::HUP);
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(send(listen, "you@my.example", 1).starts_with("550"));
    stage.write("gate/config.toml", wider);
    ask(&forwarder, Signal::HUP);
    until("it counts", || send(listen, "you@my.example", 1).starts_with("250"));
    until("it is there", || inbox(store.imap()).len() == 1);
    let log = end(forwarder);
    assert!(log.contains("goes on as it was: cannot read"), "{log}");
    assert!(log.contains("the config was read again"), "{log}");
}
