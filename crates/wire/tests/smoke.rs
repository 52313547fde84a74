//! The laws of mail sessions that are fuzzed (`fuzz/src/sessions.rs`), each with some hundred mutated inputs: the same in every run.
//! SEALPOST_LONG=1 multiplies them by fifty.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use rand::{Rng, SeedableRng, rngs::StdRng};

#[path = "../../../fuzz/src/sessions.rs"]
#[expect(unreachable_pub, reason = "public for the fuzz targets")]
#[expect(clippy::expect_used, reason = "a law panics")]
mod sessions;

const INPUTS: usize = 400;

/// Valid inputs of every target, as it were its corpus.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let packet = |command: u8, data: &[u8]| {
        [&u32::try_from(data.len() + 1).unwrap().to_be_bytes()[..], &[command], data].concat()
    };
    match target {
        "smtp_server" | "lmtp_server" => {
            let hello = if target == "lmtp_server" { "LHLO" } else { "EHLO" };
            [
                "MAIL FROM:<a@b> SIZE=10 BODY=8BITMIME\r\nRCPT TO:<c@d> NOTIFY=NEVER\r\nDATA\r\n..x\r\n.\r\nRSET\r\nQUIT\r\n",
                "MAIL FROM:<>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nBDAT 3\r\nabcBDAT 2 LAST\r\n\n\rQUIT\r\n",
                "NOOP\r\nVRFY x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\na\n.\nb\r\n.\r\nMAIL FROM:<\"q w\"@b>\r\n",
            ]
            .map(|rest| format!("{hello} me\r\n{rest}").into_bytes())
            .into()
        }
        "smtp_client" => [
            "220 hi\r\n250-x\r\n250 SIZE 100\r\n250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n",
            "220 hi\r\n250 x\r\n250 ok\r\n550 no\r\n503 no\r\n",
        ]
        .map(|text| text.as_bytes().to_vec())
        .into(),
        _ => vec![
            [
                packet(b'O', &[6_u32, 0x1ff, 0x1f_ffff].map(u32::to_be_bytes).concat()),
                packet(b'C', b"host\x004\0\x19127.0.0.1\0"),
                packet(b'H', b"me\0"),
                packet(b'M', b"<a@b>\0"),
                packet(b'R', b"<c@d>\0"),
                packet(b'T', b""),
                packet(b'L', b"Subject\0x\0"),
                packet(b'N', b""),
                packet(b'B', b"text\r\n"),
                packet(b'E', b""),
                packet(b'Q', b""),
            ]
            .concat(),
        ],
    }
}

/// A few octets changed, cut out, put in, or doubled.
fn mutate(seed: &[u8], dice: &mut StdRng) -> Vec<u8> {
    const PIECES: [&[u8]; 12] = [
        b"\r\n",
        b"\n",
        b"\r",
        b".",
        b"\r\n.\r\n",
        b"\0",
        b"BDAT 9 LAST\r\n",
        b"DATA\r\n",
        b"250 ok\r\n",
        b"354 go\r\n",
        b"\xff",
        b"RSET\r\n",
    ];
    let mut octets = seed.to_vec();
    for _ in 0..dice.gen_range(1..4) {
        let at = dice.gen_range(0..=octets.len());
        let until = dice.gen_range(at..=octets.len().min(at + 12));
        match dice.gen_range(0..4) {
            0 => drop(octets.drain(at..until)),
            1 => octets.splice(at..at, PIECES[dice.gen_range(0..PIECES.len())].iter().copied()).for_each(drop),
            2 => {
                let doubled = octets[at..until].to_vec();
                octets.splice(at..at, doubled).for_each(drop);
            }
            _ => octets.splice(at..until, (at..until).map(|_| dice.r#gen::<u8>())).for_each(drop),
        }
    }
    octets
}

#[test]
fn the_laws_hold_for_mutated_sessions() {
    let inputs = if std::env::var_os("SEALPOST_LONG").is_some() { INPUTS * 50 } else { INPUTS };
    for (name, law) in sessions::ALL {
        let mut dice = StdRng::seed_from_u64(7);
        for seed in seeds(name) {
            law(&seed);
            // Clients wait for answers that do not come.
            let inputs = if name == "smtp_client" { inputs / 4 } else { inputs };
            for _ in 0..inputs {
                law(&mutate(&seed, &mut dice));
            }
        }
    }
}
