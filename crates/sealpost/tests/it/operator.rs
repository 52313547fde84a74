//! A forwarder as whoever runs it sees it: what `check` finds, what `status`, `/healthz` and the log say stands in the way, what SIGHUP takes anew.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    process::{Child, Command, Stdio},
    thread,
};

use rustix::process::Signal;
use testbed::{Character, Double, Dovecot, Format, Language, Names, submit};

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
    assert!(!found.contains("`sealpost check`"), "whoever reads it has just called it: {found}");
}

/// A server that begins in clear, answers each greeting with one line, and offers nothing.
fn in_clear() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in socket.incoming().flatten() {
            thread::spawn(move || {
                let _ = stream.write_all(b"220 hop.test ESMTP\r\n");
                let mut octets = [0; 1000];
                while stream.read(&mut octets).is_ok_and(|count| count > 0) {
                    let _ = stream.write_all(b"250 hop.test\r\n");
                }
            });
        }
    });
    address
}

/// A process that ends with this value, also when the test breaks off.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that speaks TLS from the first octet on.
fn in_tls(stage: &Stage) -> (SocketAddr, Serving) {
    let (key, certificate) = (stage.path("server.key"), stage.path("server.pem"));
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let made = openssl("req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 -keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .status();
    assert!(made.unwrap().success());
    let address = free();
    let mut serving = openssl("s_server -quiet -accept");
    let serving = serving.arg(address.to_string()).arg("-key").arg(key).arg("-cert").arg(certificate).spawn().unwrap();
    let serving = Serving(serving);
    until("it listens", || TcpStream::connect(address).is_ok());
    (address, serving)
}

#[test]
fn check_names_what_is_most_likely_wrong_with_a_server() {
    if !testbed::servers() {
        return;
    }
    let stage = stage(&["gate"]);
    let store = Dovecot::start(Format::Maildir);
    let (listen, metrics) = (free(), TcpListener::bind("127.0.0.1:0").unwrap());
    let more = format!("[metrics]\nlisten = \"{}\"", metrics.local_addr().unwrap());
    configure(&stage, "gate", listen, store.imap(), "", &more);
    change(&stage, "for =", "checks = \"off\", for =");
    let begun = fs::read_to_string(stage.path("gate/config.toml")).unwrap();
    let (clear, (tls, _serving)) = (in_clear(), in_tls(&stage));
    for (sink, says, hints) in [
        (format!("{{ smtp = \"{clear}\", tls = \"tls\" }}"), "this port begins in clear", "tls = \"starttls\""),
        (format!("{{ smtp = \"{tls}\", tls = \"starttls\" }}"), "this port speaks TLS at once", "tls = \"tls\""),
        (format!("{{ smtp = \"{clear}\", tls = \"starttls\" }}"), "offers no STARTTLS", ""),
        (format!("{{ smtp = \"{clear}\", auth = \"work\" }}"), "it offers no login (AUTH)", "take `auth` out"),
        ("{ smtp = \"nowhere.invalid:25\" }".to_owned(), "the DNS has no address for this name", "getent hosts"),
        (format!("{{ smtp = \"{}\" }}", free()), "cannot be reached", "firewall"),
    ] {
        let account = "{ account = \"work\", mailbox = \"INBOX\" }";
        assert!(begun.contains(account));
        stage.write("gate/config.toml", begun.replace(account, &sink));
        let found = stage.run("--home gate check", b"");
        let text = String::from_utf8_lossy(&found.out).into_owned();
        assert!(found.code == 78 && text.contains(says) && text.contains(hints), "{sink}: {text}");
        assert!(text.contains("metrics: somebody listens at"), "{text}");
        assert_eq!(text.contains("account work: a login for SMTP only"), sink.contains("auth"), "{text}");
    }
}

#[test]
fn check_makes_nothing_and_asks_of_an_account_no_more_than_the_flow_does() {
    if !testbed::servers() {
        return;
    }
    let stage = stage(&["gate"]);
    let store = Dovecot::start(Format::Maildir);
    configure(&stage, "gate", free(), store.imap(), "", "");
    change(&stage, "for =", "checks = \"off\", for =");
    change(&stage, "mailbox = \"INBOX\"", "mailbox = \"Sealed\"");
    for _ in 0..2 {
        let text = stage.text("--home gate check", b"");
        assert!(text.contains("mailbox Sealed: logged in; it is not there"), "{text}");
        assert!(text.contains("the flow makes it"), "{text}");
    }
    let listen = free();
    let server = Double::start(Character::NoUidPlus);
    configure(&stage, "gate", listen, server.address(), "", "");
    change(&stage, "for =", "checks = \"off\", for =");
    let text = stage.text("--home gate check", b"");
    assert!(text.contains("(UIDPLUS): not offered: each copy is looked for"), "{text}");
    assert!(text.contains("target: mailbox INBOX: logged in, it can be written"), "{text}");
    // So it is.
    let forwarder = run(&stage, "gate", listen);
    assert!(send(listen, ME, 1).starts_with("250"));
    until("it is there", || server.messages("INBOX").len() == 1);
    until("it is out of the queue", || stage.text("--home gate queue list", b"") == "nothing waits\n");
    end(forwarder);
}

#[test]
fn check_says_of_a_maildir_what_run_makes_of_it_and_makes_nothing() {
    let stage = stage(&["gate"]);
    configure(&stage, "gate", free(), free(), "", "");
    change(&stage, "for =", "checks = \"off\", for =");
    let begun = fs::read_to_string(stage.path("gate/config.toml")).unwrap();
    let (_, flow) = begun.split_once("\n\n").unwrap();
    stage.write("gate/file", "in the way");
    fs::create_dir_all(stage.path("gate/whole/tmp")).unwrap();
    fs::create_dir_all(stage.path("gate/whole/new")).unwrap();
    for (maildir, is_good, says) in [
        ("whole", true, "it is there"),
        ("deep/in/mail", true, "it is not there, and will be made"),
        ("file/mail", false, "it cannot be written"),
        ("file", false, "it cannot be written"),
    ] {
        let sink = format!("{{ maildir = \"{maildir}\" }}");
        stage.write("gate/config.toml", flow.replace("{ account = \"work\", mailbox = \"INBOX\" }", &sink));
        let found = stage.run("--home gate check", b"");
        let text = String::from_utf8_lossy(&found.out).into_owned();
        assert!((found.code == 0) == is_good && text.contains(says), "{maildir}: {text}");
        assert!(text.contains("config.toml: 0 accounts, 1 flow\n"), "{text}");
    }
    assert!(!stage.path("gate/deep").exists());
}

#[test]
fn whom_mail_is_forwarded_for_is_asked_for_where_it_is_missing() {
    let stage = stage(&["gate"]);
    configure(&stage, "gate", free(), free(), "", "");
    let begun = fs::read_to_string(stage.path("gate/config.toml")).unwrap();
    for (written, says) in [
        ("\"you@our.example\"".to_owned(), "`for` is a list, also of one address"),
        ("7".to_owned(), "expected a list of addresses"),
    ] {
        stage.write("gate/config.toml", begun.replace(&format!("[\"{ME}\"]"), &written));
        let outcome = stage.bad("--home gate run", b"", 78, says);
        assert!(!outcome.err.contains("you@our"), "{outcome}");
    }
    let without = begun.replace(&format!(", for = [\"{ME}\"]"), "").replace("queue = { retry = [\"1s\"] }\n", "");
    stage.write("gate/config.toml", without);
    stage.bad("--home gate run", b"", 78, "say for whom in `source`: for = [");
    stage.write("gate/config.toml", begun.replace("tls = \"off\"", "tls = \"starttls\""));
    let outcome = stage.bad("--home gate run", b"", 78, "unknown variant `starttls`");
    assert!(!outcome.err.contains("did you mean"), "{outcome}");
}

/// The program with a socket that was opened for it, as systemd does (sd_listen_fds(3)).
fn run_with_socket(stage: &Stage, socket: TcpListener) -> Child {
    let command = stage.command("--home gate run");
    Command::new("sh")
        .args(["-c", "export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" \"$@\" 3<&0 </dev/null"])
        .arg(command.get_program())
        .args(command.get_args())
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .current_dir(command.get_current_dir().unwrap())
        .stdin(OwnedFd::from(socket))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_socket_of_systemd_that_no_flow_takes_is_told_with_both_addresses() {
    let stage = stage(&["gate"]);
    let (socket, listen) = (TcpListener::bind("127.0.0.1:0").unwrap(), free());
    let opened = socket.local_addr().unwrap();
    configure(&stage, "gate", listen, free(), "", "");
    let forwarder = run_with_socket(&stage, socket);
    until("it listens", || TcpStream::connect(listen).is_ok());
    let log = end(forwarder);
    let says = format!("systemd has opened {opened}, where no flow listens; config.toml says {listen}");
    assert!(log.contains(&says), "{log}");
    // The same in both: nothing is to be said.
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = socket.local_addr().unwrap();
    configure(&stage, "gate", listen, free(), "", "");
    let forwarder = run_with_socket(&stage, socket);
    until("it answers", || {
        let mut greeting = [0; 3];
        TcpStream::connect(listen).is_ok_and(|mut stream| stream.read(&mut greeting).is_ok() && &greeting == b"220")
    });
    let log = end(forwarder);
    assert!(!log.contains("systemd"), "{log}");
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
    let metrics = free();
    configure(&stage, "gate", listen, store.imap(), "", &format!("[metrics]\nlisten = \"{metrics}\""));
    let forwarder = run(&stage, "gate", listen);
    // A second copy is told that it is one, and not that its ports are taken.
    stage.bad("--home gate run", b"", 75, "another process runs this flow");
    assert!(send(listen, "you@my.example", 1).starts_with("550"));
    // Something is wrong: nothing of it counts.
    let begun = fs::read_to_string(stage.path("gate/config.toml")).unwrap();
    let wider = begun.replace("[\"me@my.example\"]", "[\"@my.example\"]");
    stage.write("gate/config.toml", wider.replace("for =", "tls-certificate = \"no\", tls-key = \"no\", for ="));
    ask(&forwarder, Signal::HUP);
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(send(listen, "you@my.example", 1).starts_with("550"));
    stage.write("gate/config.toml", wider.replace(&metrics.to_string(), &free().to_string()));
    ask(&forwarder, Signal::HUP);
    until("it counts", || send(listen, "you@my.example", 1).starts_with("250"));
    until("it is there", || inbox(store.imap()).len() == 1);
    let log = end(forwarder);
    assert!(log.contains("goes on as it was: cannot read"), "{log}");
    assert!(log.contains("the config was read again"), "{log}");
    assert!(log.contains("[metrics] has changed, which counts from the next start"), "{log}");
}
