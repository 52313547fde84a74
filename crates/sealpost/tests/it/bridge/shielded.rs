//! TLS and compression between mail programs and the bridge, with other people's programs: curl, openssl, Python.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use super::{
    account,
    client::Client,
    scene::{Bridge, Scene, message},
    upstream::resident,
};
use crate::program::is_there;

/// A bridge with these words in its config.
fn bridge(words: &str) -> (Scene, Bridge) {
    let scene = Scene::sealed(&[message("for a shield", "behind a shield"), message("two", &"again ".repeat(90_000))]);
    let path = scene.stage.path("home/config.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{config}{words}\n")).unwrap();
    let bridge = scene.bridge();
    (scene, bridge)
}

/// What a Python script says; its arguments: port, user, password, the certificate.
fn python(script: &str, scene: &Scene, bridge: &Bridge) -> String {
    let certificate = scene.stage.path("home/keys/bridge.certificate.pem");
    let mut command = Command::new("python3");
    command.args(["-c", script, &bridge.address.port().to_string(), &bridge.user, &bridge.password]).arg(certificate);
    let run = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{out}{err}");
    out.into_owned()
}

const STARTTLS: &str = r#"
import imaplib, socket, ssl, sys
port, user, password, certificate = int(sys.argv[1]), *sys.argv[2:5]
M = imaplib.IMAP4('127.0.0.1', port)
assert 'STARTTLS' in M.capabilities and 'LOGINDISABLED' in M.capabilities and 'AUTH=PLAIN' not in M.capabilities
M.starttls(ssl.create_default_context(cafile=certificate))
assert 'AUTH=PLAIN' in M.capabilities and 'STARTTLS' not in M.capabilities, M.capabilities
M.login(user, password)
M.select('INBOX')
assert b'behind a shield' in M.fetch('1', '(BODY[])')[1][0][1]
assert M.append('Sent', None, None, b'Subject: x\r\n\r\n' + b'y' * 300000)[0] == 'OK'
assert len(M.fetch('2', '(BODY[])')[1][0][1]) > 500000
assert b'COMPRESS' not in M.capability()[1][0]
M.logout()
# Another certificate is not believed.
M = imaplib.IMAP4('127.0.0.1', port)
try:
    M.starttls(ssl.create_default_context())
    sys.exit('believed')
except ssl.SSLError:
    pass
# What is sent along with STARTTLS is not obeyed within TLS.
plain = socket.create_connection(('127.0.0.1', port))
plain.recv(1000)
plain.sendall(b'a STARTTLS\r\nb CAPABILITY\r\n')
assert plain.recv(1000).startswith(b'a BAD')
print('done')
"#;

#[test]
fn a_password_comes_only_within_starttls_where_that_is_wished() {
    if !is_there("python3", "--version") {
        return;
    }
    let (scene, bridge) = bridge("tls = \"starttls\"");
    let mut client = Client::connect(bridge.address);
    let told = client.say("CAPABILITY").text();
    assert!(told.contains("STARTTLS LOGINDISABLED") && !told.contains("AUTH="), "{told}");
    for line in [format!("LOGIN {} {}", bridge.user, bridge.password), "AUTHENTICATE PLAIN".to_owned()] {
        let refused = client.say(&line);
        assert!(refused.tagged.starts_with("NO [PRIVACYREQUIRED]"), "{refused:?}");
    }
    assert!(client.say("SELECT INBOX").tagged.starts_with("BAD"));
    assert_eq!(python(STARTTLS, &scene, &bridge), "done\n");
    let mode = |name: &str| fs::metadata(scene.stage.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("home/keys/bridge.key.pem"), 0o600);
    let public = fs::read_to_string(scene.stage.path("home/keys/bridge.certificate.pem")).unwrap();
    assert!(public.contains("BEGIN CERTIFICATE") && !public.contains("KEY"), "{public}");
    // It stays the same.
    let certificate = |told: &str| told.lines().find(|line| line.contains("SHA-256")).unwrap().to_owned();
    let before = certificate(&bridge.told);
    drop(bridge);
    assert_eq!(certificate(&scene.bridge().told), before);
}

#[test]
fn tls_from_the_first_octet_is_spoken_with_curl_and_openssl() {
    if !is_there("curl", "--version") || !is_there("openssl", "version") {
        return;
    }
    let (scene, bridge) = bridge("tls = \"tls\"");
    let certificate = scene.stage.path("home/keys/bridge.certificate.pem");
    let login = format!("{}:{}", bridge.user, bridge.password);
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("imaps://{host}:{}/INBOX;UID=1", bridge.address.port());
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-m", "60", "-4", "-u", &login, "--cacert"]).arg(&certificate).arg(url);
        let run = curl.output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        assert!(run.status.success() && said.contains("behind a shield"), "{said}");
    }
    let run = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(&certificate)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    let fingerprint = said.trim().rsplit('=').next().unwrap();
    assert!(fingerprint.len() == 95 && bridge.told.contains(fingerprint), "{said}{}", bridge.told);
    for (version, works) in [("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-brief", "-verify_return_error", version, "-connect", &bridge.address.to_string()]);
        let run = openssl.arg("-CAfile").arg(&certificate).stdin(std::process::Stdio::null()).output().unwrap();
        assert_eq!(run.status.success(), works, "{version}: {}", String::from_utf8_lossy(&run.stderr));
    }
    // Who speaks no TLS gets nothing, and hinders nobody.
    let mut plain = std::net::TcpStream::connect(bridge.address).unwrap();
    std::io::Write::write_all(&mut plain, b"a LOGIN x y\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = std::io::Read::read_to_end(&mut plain, &mut answer);
    assert!(!answer.starts_with(b"*"), "{answer:?}");
}

const DEFLATE: &str = r#"
import imaplib, socket, sys, time, zlib
port, user, password = int(sys.argv[1]), *sys.argv[2:4]
S = socket.create_connection(('127.0.0.1', port))
S.settimeout(60)
plain = S.makefile('rb')
plain.readline()
S.sendall(b'a LOGIN %s %s\r\n' % (user.encode(), password.encode()))
assert b'COMPRESS=DEFLATE' in plain.readline()
S.sendall(b'b COMPRESS LZMA\r\n')
assert plain.readline().startswith(b'b BAD')
# What comes before the answer may be deflated or not: nobody knows.
S.sendall(b'c COMPRESS DEFLATE\r\nd NOOP\r\n')
assert plain.readline().startswith(b'c BAD') and plain.readline().startswith(b'd OK')
S.sendall(b'e COMPRESS DEFLATE\r\n')
assert plain.readline().startswith(b'e OK')
pack, unpack, held, came = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15), b'', 0
def send(octets, flush=zlib.Z_SYNC_FLUSH):
    S.sendall(pack.compress(octets) + pack.flush(flush))
def line():
    global held, came
    while b'\n' not in held:
        octets = S.recv(65536)
        if not octets:
            return b''
        came += len(octets)
        held += unpack.decompress(octets)
    one, held = held.split(b'\n', 1)
    return one + b'\n'
def until(tag):
    lines = [line()]
    while not lines[-1].startswith(tag + b' '):
        assert lines[-1], lines
        lines.append(line())
    return lines
send(b'f COMPRESS DEFLATE\r\n')
assert b'COMPRESSIONACTIVE' in until(b'f')[-1]
send(b'g CAPABILITY\r\n')
assert b'COMPRESS=' not in until(b'g')[0]
send(b'h SELECT INBOX\r\ni FETCH 2 BODY.PEEK[]\r\n')
until(b'h')
came = 0
text = b''.join(until(b'i'))
assert len(text) > 500000 and came < 50000, (len(text), came)
# A literal that waits, a large message, and news while idling.
send(b'j APPEND INBOX {14}\r\n')
assert line().startswith(b'+')
send(b'Subject: x\r\n\r\n' + b'\r\n')
assert b' OK' in until(b'j')[-1]
mail = b'Subject: large\r\n\r\n' + b'z' * 3000000 + b'\r\n'
send(b'k APPEND INBOX {%d+}\r\n' % len(mail) + mail + b'\r\n')
assert b' OK' in until(b'k')[-1]
send(b'l FETCH 4 BODY.PEEK[]\r\n')
assert mail in b''.join(until(b'l'))
send(b'm IDLE\r\n')
assert line().startswith(b'+')
other = imaplib.IMAP4('127.0.0.1', port)
other.login(user, password)
assert other.append('INBOX', None, None, b'Subject: y\r\n\r\ny\r\n')[0] == 'OK'
assert line() == b'* 5 EXISTS\r\n'
send(b'DONE\r\n')
until(b'm')
# A bomb: a gigabyte that is one line.
try:
    for _ in range(1024):
        send(b'x' * (1 << 20))
except OSError:
    pass
try:
    while line():
        pass
except OSError:
    pass
assert other.noop()[0] == 'OK'
print('done')
"#;

#[test]
fn a_program_may_have_everything_deflated() {
    if !is_there("python3", "--version") {
        return;
    }
    let (scene, bridge) = bridge("");
    assert_eq!(python(DEFLATE, &scene, &bridge), "done\n");
    let resident = resident(&bridge);
    assert!(resident < 120 << 10, "{resident} KiB resident");
}

#[test]
fn the_way_to_the_server_is_deflated_where_the_owner_wishes_it() {
    if !testbed::servers() {
        return;
    }
    let version = Command::new("dovecot").arg("--version").output().map(|run| run.stdout).unwrap_or_default();
    // Later ones need no plugin for it.
    let plugin = if version.starts_with(b"2.3") { "protocol imap {\n  mail_plugins = zlib imap_zlib\n}\n" } else { "" };
    let extra = plugin.to_owned();
    let scene = account::Scene::with(testbed::Options { extra, ..testbed::Options::default() });
    let mails = [message("deflated", "x"), message("two", &"again ".repeat(300_000))];
    let sealed: Vec<Vec<u8>> = mails.iter().map(|mail| scene.stage.good("seal", mail)).collect();
    scene.put(&sealed);
    if !scene.direct().good("CAPABILITY").text().contains("COMPRESS=DEFLATE") {
        eprintln!("skipped: this Dovecot does not compress");
        return;
    }
    let path = scene.stage.path("home/config.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("tls = \"off\"", "tls = \"off\"\ncompress = \"auto\"")).unwrap();
    let bridge = scene.bridge();
    let mut client = bridge.selected("INBOX");
    for (number, mail) in mails.iter().enumerate() {
        assert_eq!(&client.good(&format!("FETCH {} BODY.PEEK[]", number + 1)).octets(), mail);
    }
    let stored = message("stored", &"deflated on its way ".repeat(100_000));
    assert!(account::append(&mut client, "INBOX", "", &stored).tagged.starts_with("OK [APPENDUID "));
    assert_eq!(client.good("FETCH 3 BODY.PEEK[]").octets(), stored);
    client.send(b"IDLE");
    assert!(client.response().starts_with(b"+"));
    std::thread::sleep(std::time::Duration::from_millis(600));
    account::append(&mut scene.direct(), "INBOX", "", &sealed[0]);
    assert_eq!(client.response(), b"* 4 EXISTS\r\n");
    // The flow, too.
    scene.stage.good("sweep inbox", b"");
}

#[test]
fn names_in_utf8_are_spoken_after_they_were_enabled() {
    let scene = Scene::sealed(&[message("one", "x")]);
    let bridge = scene.bridge();
    let (mut client, mut other) = (bridge.client(), bridge.client());
    assert!(client.say("CAPABILITY").text().contains("UTF8=ACCEPT"));
    client.good("CREATE \"Gr\u{fc}n\"");
    assert!(client.good("LIST \"\" *").text().contains("Gr&APw-n"));
    assert!(client.good("ENABLE UTF8=ACCEPT").text().contains("* ENABLED UTF8=ACCEPT\r\n"));
    let told = client.good("LIST \"\" \"Gr\u{fc}*\" RETURN (STATUS (MESSAGES))").text();
    assert!(told.contains(" \"Gr\u{fc}n\"\r\n") && told.contains("* STATUS \"Gr\u{fc}n\" (MESSAGES 0)"), "{told}");
    // An ampersand is one.
    client.good("CREATE \"R&APw-D & \u{65e5}\u{672c}\"");
    let told = client.good("LSUB \"\" R*").text();
    assert!(told.contains("\"R&APw-D & \u{65e5}\u{672c}\""), "{told}");
    assert!(other.good("LIST \"\" R*").text().contains("R&-APw-D &- &ZeVnLA-"));
    let mail = "From: \u{e9}@example.org\r\nSubject: na\u{ef}ve\r\n\r\ntext\r\n";
    client.send(format!("APPEND \"Gr\u{fc}n\" (\\Seen) UTF8 (~{{{}+}}\r\n{mail})", mail.len()).as_bytes());
    let answer = client.answer();
    assert!(answer.tagged.starts_with("OK [APPENDUID"), "{answer:?}");
    client.good("SELECT \"Gr\u{fc}n\"");
    assert_eq!(client.good("FETCH 1 BODY.PEEK[]").octets(), mail.as_bytes());
    assert_eq!(client.good("SEARCH SUBJECT \"NA\u{cf}VE\"").found(), [1]);
    assert!(client.say("SEARCH CHARSET UTF-8 ALL").tagged.starts_with("BAD"));
    // Not enabled, not understood.
    let refused = other.say("APPEND INBOX UTF8 (~{5}");
    assert!(refused.tagged.starts_with("BAD"), "{refused:?}");
    assert!(!other.good("LIST \"\" Gr*").text().contains('\u{fc}'));
}
