//! Other people's clients: Python's imaplib and curl.

use std::{fs, process::Command};

use super::{
    account,
    scene::{Bridge, Scene, message},
};
use crate::program::{Stage, holds, is_there, samples};

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
    python(&Scene::sealed(&samples).bridge(), samples.len());
    if testbed::servers() {
        python(&account::Scene::sealed(&samples).bridge(), samples.len());
    }
}

fn python(bridge: &Bridge, count: usize) {
    let (host, port) = (bridge.address.ip().to_string(), bridge.address.port().to_string());
    let run =
        Command::new("python3").args(["-c", SCRIPT, &host, &port, &bridge.user, &bridge.password]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{out}{err}");
    assert_eq!(out.lines().count(), count, "{out}");
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
    curl(&scene.bridge(), &scene.stage, &body);
    if testbed::servers() {
        let scene = account::Scene::sealed(std::slice::from_ref(&body));
        curl(&scene.bridge(), &scene.stage, &body);
    }
}

fn curl(bridge: &Bridge, stage: &Stage, body: &[u8]) {
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
    let file = stage.write("upload.eml", message("uploaded", "by curl"));
    curl(&["-T", file.to_str().unwrap(), &url("Sent")]);
    assert!(String::from_utf8_lossy(&curl(&[&url("Sent;UID=1")])).contains("Subject: uploaded"));
}

#[test]
fn mbsync_takes_an_account_home_and_brings_what_is_new() {
    if !is_there("mbsync", "--version") || !testbed::servers() {
        return;
    }
    let mails: Vec<Vec<u8>> = (0..20).map(|number| message(&format!("number {number}"), "by mbsync")).collect();
    let scene = account::Scene::sealed(&mails);
    let bridge = scene.bridge();
    let stage = &scene.stage;
    let folder = stage.path("near");
    fs::create_dir(&folder).unwrap();
    let (host, port) = (bridge.address.ip(), bridge.address.port());
    let config = stage.write(
        "mbsyncrc",
        format!(
            "IMAPStore far\nHost {host}\nPort {port}\nUser {}\nPass {}\nSSLType None\nAuthMechs LOGIN\n\n\
             MaildirStore near\nSubFolders Verbatim\nPath {}/\nInbox {}/INBOX\n\n\
             Channel all\nFar :far:\nNear :near:\nPatterns INBOX Sent\nCreate Near\nSyncState *\n",
            bridge.user,
            bridge.password,
            folder.display(),
            folder.display(),
        ),
    );
    let sync = || {
        let run = Command::new("mbsync").arg("-c").arg(&config).arg("-a").output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    };
    let inbox = || -> Vec<Vec<u8>> {
        let places = ["new", "cur"].map(|place| folder.join("INBOX").join(place));
        let entries = places.iter().flat_map(|place| fs::read_dir(place).unwrap());
        entries.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
    };
    sync();
    let came = inbox();
    assert_eq!(came.len(), mails.len());
    assert!(came.iter().all(|mail| holds(mail, b"by mbsync") && !holds(mail, b"Sealed-Mail:")));
    // Again: nothing is new. Then a message that was written here goes up, and lies there sealed.
    sync();
    assert_eq!(inbox().len(), mails.len());
    let written = String::from_utf8(message("written near", "a-canary-from-here")).unwrap().replace("\r\n", "\n");
    fs::write(folder.join("INBOX/cur/1.2.here:2,S"), written).unwrap();
    sync();
    let mut through = bridge.selected("INBOX");
    let found = through.good("SEARCH SUBJECT \"written near\"").found();
    assert_eq!(found, [21]);
    let leaks = super::scene::files_with(scene.server.mail(), &[b"a-canary-from-here"]);
    assert!(leaks.is_empty(), "{leaks:?}");
}
