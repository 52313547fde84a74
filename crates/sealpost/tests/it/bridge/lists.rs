//! First lists of mail programs: of freshly sealed mail they need no body. What the programs ask for is taken from what they were seen to send.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use super::{
    account::{Scene, configure},
    scene::{Bridge, message},
};
use crate::program::holds;

/// Passes everything on to a server, and keeps what was sent to it.
fn listener(server: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let kept = Arc::clone(&heard);
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let far = TcpStream::connect(server).unwrap();
            let (mut back, mut to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut back, &mut to));
            let (mut near, mut far, kept) = (near, far, Arc::clone(&kept));
            thread::spawn(move || {
                let mut octets = [0; 4096];
                while let Ok(count @ 1..) = near.read(&mut octets) {
                    kept.lock().unwrap().extend_from_slice(&octets[..count]);
                    if far.write_all(&octets[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, heard)
}

const LISTS: [&str; 5] = [
    // Thunderbird
    "UID FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To Received)])",
    // mutt
    "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (DATE FROM SENDER SUBJECT TO CC MESSAGE-ID REFERENCES CONTENT-TYPE CONTENT-DESCRIPTION IN-REPLY-TO REPLY-TO LINES LIST-POST X-LABEL)])",
    // neomutt
    "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (DATE FROM SENDER SUBJECT TO CC MESSAGE-ID REFERENCES CONTENT-TYPE CONTENT-DESCRIPTION IN-REPLY-TO REPLY-TO LINES LIST-POST LIST-SUBSCRIBE LIST-UNSUBSCRIBE X-LABEL X-ORIGINAL-TO)])",
    // aerc
    "UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE BODYSTRUCTURE ENVELOPE UID BODY.PEEK[HEADER.FIELDS (FROM SUBJECT DATE)])",
    // K-9
    "UID FETCH 1:* (UID INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (date subject from content-type to cc bcc reply-to message-id references in-reply-to list-post list-unsubscribe sender X-K9mail-Identity Chat-Version)])",
];

#[test]
fn a_first_list_of_sealed_mail_fetches_no_body() {
    if !testbed::servers() {
        return;
    }
    let mut mails: Vec<Vec<u8>> = (0..40).map(|number| message(&format!("list {number}"), "a text")).collect();
    mails.push([b"X-Priority: 1 (Highest)\r\nList-Post: <mailto:x@example.org>\r\n".as_slice(), &mails[0]].concat());
    let scene = Scene::sealed(&mails);
    let (address, heard) = listener(scene.server.imap());
    configure(&scene.stage, address);
    let bridge = Bridge::start(&scene.stage);
    for list in LISTS {
        let told = bridge.selected("INBOX").good(list).text();
        assert!(told.matches("FETCH").count() == mails.len() && told.contains("list 7"), "{list}: {told}");
        assert_eq!(told.contains("X-Priority: 1 (Highest)"), list.contains("X-Priority"), "{told}");
    }
    let sent = heard.lock().unwrap().clone();
    assert!(holds(&sent, b"BODY.PEEK[HEADER]") && !holds(&sent, b"BODY.PEEK[]"), "{}", String::from_utf8_lossy(&sent));
    // One that may have the field and was not looked through for it is opened, and only that one.
    let received = "Received: from somewhere.example.net by mx.example.org with ESMTPS id 123456789; Tue, 3 Mar 2026 19:42:07 +0100\r\n";
    let with = [received.repeat(4).into_bytes(), mails[0].clone()].concat();
    let sealed = scene.stage.good("seal", &with);
    super::account::append(&mut scene.direct(), "INBOX", "", &sealed);
    let told = bridge.selected("INBOX").good(LISTS[0]).text();
    assert_eq!(told.matches("Received: from somewhere").count(), 4, "{told}");
    let sent = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
    let bodies: Vec<&str> = sent.lines().filter(|line| line.contains("BODY.PEEK[]")).collect();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert!(bodies[0].contains(&format!("UID FETCH {} ", mails.len() + 1)), "{bodies:?}");
}
