//! The laws of trust that are fuzzed (`fuzz/src/trust_targets.rs`), each with some hundred mutated inputs: the same in every run.

use rand::{RngCore, SeedableRng, rngs::StdRng};

use crate::author::{ed25519, rsa};

#[path = "../../../../fuzz/src/trust_targets.rs"]
#[expect(unreachable_pub, reason = "public for the fuzz targets")]
#[expect(clippy::expect_used, reason = "a law panics")]
mod laws;

const INPUTS: usize = 300;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "evidence" => [
            "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=a.example; s=s; h=from:to; bh=YQ==; b=YQ==\r\nFrom: A <a@a.example>\r\n\r\nx\r\n",
            "ARC-Seal: i=1; a=rsa-sha256; d=a.example; s=s; cv=none; b=YQ==\r\nARC-Message-Signature: i=1; a=rsa-sha256; d=a.example; s=s; h=from; bh=YQ==; b=YQ==\r\n\
             ARC-Authentication-Results: i=1; mx.a.example; spf=pass\r\nFrom: a@a.example\r\n\r\n",
            "Authentication-Results: mx.my.example (x); dkim=pass header.d=\"a.example\"\r\nAuthentication-Results: MX.my.example 1; none\r\nFrom: a@b, c@d\r\nFrom: e@f\r\n\r\n",
        ]
        .map(|text| text.as_bytes().to_vec())
        .into(),
        "return_path" => vec![b"bounce+ABCDEFGHIJKLMNOPQRSTUVWXYZ234567@my.example".to_vec()],
        "mta_sts" => vec![
            b"version: STSv1\r\nmode: enforce\r\nmx: mx1.a.example\r\nmx: *.a.example\r\nmax_age: 86400\r\n".to_vec(),
            b"v=STSv1; id=20260101;".to_vec(),
        ],
        _ => vec![rsa().as_bytes().to_vec(), ed25519().into_bytes()],
    }
}

fn mutate(seed: &[u8], dice: &mut StdRng) -> Vec<u8> {
    let mut octets = seed.to_vec();
    for _ in 0..1 + dice.next_u32() % 6 {
        let at = dice.next_u32() as usize % (octets.len() + 1);
        let other = dice.next_u32();
        match other % 4 {
            0 if at < octets.len() => octets[at] = (other >> 8) as u8,
            1 => octets.insert(at, b"\r\n;=: \"@."[(other >> 8) as usize % 8]),
            2 => octets.truncate(at.max(octets.len() / 2)),
            _ => {
                let end = (at + (other >> 8) as usize % 40).min(octets.len());
                let part = octets[at..end].to_vec();
                octets.splice(at..at, part);
            }
        }
    }
    octets
}

#[test]
fn the_laws_hold() {
    let mut dice = StdRng::seed_from_u64(7);
    for (target, law) in laws::ALL {
        for seed in seeds(target) {
            law(&seed);
            for _ in 0..INPUTS {
                law(&mutate(&seed, &mut dice));
            }
        }
        law(b"");
    }
}
