//! What is fuzzed of `wire`: the commands of mail programs. As in `targets.rs`; the smoke test of the `wire` crate calls it, too.

use std::io::Read;

use wire::imap::server::{Connection, Incoming, MAX_BAD, Names};

/// Commands as a mail program may send them: each octet is read once, however they come; nothing panics, and nothing goes on for ever.
pub fn imap_commands(octets: &[u8]) {
    let told = |source: &mut dyn Read| -> Vec<String> {
        let mut connection = Connection::new(source, Vec::new());
        // Half of them after ENABLE UTF8=ACCEPT.
        if octets.len() % 2 == 1 {
            connection.speak(Names::Utf8);
        }
        let mut told = Vec::new();
        loop {
            let incoming = connection.incoming().expect("octets can be read");
            match incoming {
                Incoming::Command(tag, command) => told.push(format!("{tag} {:?}", command.stage())),
                Incoming::Append(tag, order, literal) => {
                    told.push(format!("{tag} {order:?}"));
                    let mut taken = 0_u64;
                    let mut into = |piece: &[u8]| {
                        taken += piece.len() as u64;
                        Ok(())
                    };
                    if connection.message(&order, literal, &mut into, &mut || false).is_err() {
                        return told;
                    }
                    assert_eq!(taken, order.length);
                }
                Incoming::Bad(tag, why) => told.push(format!("{tag:?} {why}")),
                Incoming::Nothing | Incoming::Gone | Incoming::Closed => return told,
            }
            assert!(told.len() <= octets.len() + MAX_BAD as usize);
        }
    };
    let whole = told(&mut &*octets);
    let (first, last) = octets.split_at(octets.len() / 2);
    assert_eq!(told(&mut first.chain(last)), whole);
}
