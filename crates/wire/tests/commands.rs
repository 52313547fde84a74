//! Commands of mail programs, mutated (`fuzz/src/wire_targets.rs`): the same in every run. SEALPOST_LONG=1 multiplies them by fifty, SEALPOST_INPUTS says
//! how many.

#[path = "../../../fuzz/src/wire_targets.rs"]
#[expect(unreachable_pub, reason = "public for the fuzz target")]
mod wire_targets;

const INPUTS: usize = 5_000;

const SEEDS: [&[u8]; 12] = [
    b"a LOGIN alice {4+}\r\nword\r\nb SELECT INBOX\r\nc UID FETCH 1:*,7 (UID FLAGS BODY.PEEK[1.2.HEADER.FIELDS (A B)]<0.9>)\r\n",
    b"a APPEND INBOX (\\Seen $x) \" 7-Feb-1994 21:52:25 -0800\" {5+}\r\nabcde\r\nb NOOP\r\n",
    b"a UID SEARCH CHARSET UTF-8 OR (SUBJECT {2+}\r\nxy NOT SEEN) SENTSINCE 1-Feb-1994 HEADER X \"\"\r\n",
    b"a STORE 1:2 +FLAGS.SILENT (\\Deleted)\r\nb UID EXPUNGE 3\r\nc MOVE 1 \"Tom &- Jerry\"\r\n",
    b"a LIST \"\" \"%\"\r\nb STATUS x (MESSAGES UNSEEN)\r\nc IDLE\r\nd LOGOUT\r\n",
    b"a SELECT INBOX (QRESYNC (67890007 9006 41:211,214:541 (1,3 5,7)))\r\nb UID FETCH 1:* (FLAGS MODSEQ) (CHANGEDSINCE 12 VANISHED)\r\n",
    b"a STORE 1 (UNCHANGEDSINCE 320162338) +FLAGS x\r\nb UID SORT RETURN (MIN ALL) (REVERSE DATE SUBJECT) UTF-8 OLDER 9 MODSEQ \"/x\" all 7\r\n",
    b"a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (INBOX \"a/%\") RETURN (CHILDREN STATUS (MESSAGES HIGHESTMODSEQ))\r\nb THREAD REFERENCES UTF-8 ALL\r\n",
    b"a FETCH 1 (PREVIEW (LAZY) BINARY.PEEK[1.2]<0.9> BINARY.SIZE[1])\r\nb APPEND x ~{3+}\r\na\0b\r\nc NOOP\r\n",
    b"a STARTTLS\r\nb COMPRESS DEFLATE\r\nc ENABLE UTF8=ACCEPT QRESYNC\r\nd LSUB \"\" \xc3\xa9%\r\n",
    b"a APPEND \"\xc3\xa9\" (\\Seen) UTF8 (~{5+}\r\nabcde)\r\nb LIST \"\" (\"\xc3\xa9*\")\r\nc SEARCH TEXT \"\xc3\xa9 & x\"\r\n",
    b"a AUTHENTICATE PLAIN AGEAYg==\r\nb {99999999999}\r\n( ) ((((\r\n",
];

#[test]
fn mutated_commands_are_read_alike_and_never_panic() {
    let named = std::env::var("SEALPOST_INPUTS").ok().and_then(|inputs| inputs.parse().ok());
    let long = if std::env::var_os("SEALPOST_LONG").is_some() { INPUTS * 50 } else { INPUTS };
    let inputs: usize = named.unwrap_or(long);
    let mut dice = 0x5eed_5eed_u64;
    let mut below = |limit: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        usize::try_from(dice % limit as u64).unwrap_or_default()
    };
    for number in 0..inputs {
        let mut octets = SEEDS.get(number % SEEDS.len()).copied().unwrap_or_default().to_vec();
        for _ in 0..below(6) {
            let at = below(octets.len());
            match below(4) {
                0 => octets[at] = b"\r\n{}()\"\\*% +09\0\xff"[below(16)],
                1 => drop(octets.remove(at)),
                2 => octets.insert(at, b"\r\n{}()\"\\*% +09\0\xff"[below(16)]),
                _ => octets.truncate(at.max(1)),
            }
            if octets.is_empty() {
                break;
            }
        }
        wire_targets::imap_commands(&octets);
    }
}
