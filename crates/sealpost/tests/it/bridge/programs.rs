//! Other people's clients: Python's imaplib and curl.

use std::process::Command;

use super::scene::{Scene, message};
use crate::program::{is_there, samples};

const SCRIPT: &str = r#"
import imaplib, email, email.policy, sys
host, port, user, password = sys.argv[1:5]
M = imaplib.IMAP4(host, int(port))
M.login(user, password)
assert ('OK', [b'done']) == M.noop()
names = [line.decode().split(' "/" ')[1] for line in M.list()[1]]
assert {'INBOX', 'Sent', 'Trash'} <= set(names), names
typ, data = M.select('INBOX')
count = int(data[0])
subjects = []
for number in range(1, count + 1):
    typ, data = M.fetch(str(number), '(UID FLAGS RFC822.SIZE BODY.PEEK[])')
    assert typ == 'OK', data
    octets = data[0][1]
    assert ('RFC822.SIZE %d ' % len(octets)).encode() in data[0][0], data[0][0]
    subjects.append(email.message_from_bytes(octets, policy=email.policy.default)['subject'])
typ, data = M.uid('SEARCH', None, 'TEXT', '"canary-7f3a"')
assert len(data[0].split()) == count, data
draft = b'From: a@example.org\r\nTo: b@example.org\r\nSubject: from imaplib\r\n\r\nkept as it was\r\n'
typ, data = M.append('Sent', '\\Seen', imaplib.Time2Internaldate(0), draft)
assert typ == 'OK', data
M.select('Sent')
typ, data = M.fetch('1', '(BODY[])')
assert data[0][1] == draft
typ, data = M.uid('COPY', '1', 'Trash')
assert typ == 'OK', data
M.store('1', '+FLAGS', '\\Deleted')
assert M.expunge() == ('OK', [b'1'])
M.logout()
print('\n'.join(subjects))
"#;

#[test]
fn python_reads_stores_copies_and_expunges() {
    if !is_there("python3", "--version") {
        return;
    }
    let samples: Vec<Vec<u8>> = samples().into_iter().map(|(_, octets)| octets).collect();
    let scene = Scene::sealed(&samples);
    let bridge = scene.bridge();
    let (host, port) = (bridge.address.ip().to_string(), bridge.address.port().to_string());
    let run =
        Command::new("python3").args(["-c", SCRIPT, &host, &port, &bridge.user, &bridge.password]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{out}{err}");
    assert_eq!(out.lines().count(), samples.len(), "{out}");
    assert!(out.contains("The boathouse key is under the blue flower pot"), "{out}");
    assert!(out.contains("La ecografía"), "{out}");
}

#[test]
fn curl_lists_fetches_and_stores() {
    if !is_there("curl", "--version") {
        return;
    }
    let body = message("for curl", "curl reads this");
    let scene = Scene::sealed(std::slice::from_ref(&body));
    let bridge = scene.bridge();
    let curl = |arguments: &[&str]| {
        let login = format!("{}:{}", bridge.user, bridge.password);
        let run = Command::new("curl").args(["-s", "-S", "-u", &login]).args(arguments).output().unwrap();
        assert!(run.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
        run.stdout
    };
    let url = |rest: &str| format!("imap://{}/{rest}", bridge.address);
    assert!(String::from_utf8_lossy(&curl(&[&url("")])).contains("INBOX"));
    assert_eq!(curl(&[&url("INBOX;UID=1")]), body);
    assert!(String::from_utf8_lossy(&curl(&[&url("INBOX?SUBJECT%20curl")])).contains("* SEARCH 1"));
    let file = scene.stage.write("upload.eml", message("uploaded", "by curl"));
    curl(&["-T", file.to_str().unwrap(), &url("Sent")]);
    assert!(String::from_utf8_lossy(&curl(&[&url("Sent;UID=1")])).contains("Subject: uploaded"));
}
