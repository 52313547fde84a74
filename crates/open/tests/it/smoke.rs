//! The laws that are fuzzed (`fuzz/src/targets.rs`), each with some thousand mutated inputs: the same in every run.
//! SEALPOST_LONG=1 multiplies them by fifty.

use open::X509SecretKey;
use sealed::{
    cms_content::CmsWriter,
    content::ContentWriter,
    identity::{CmsCipher, Seipd},
    index::Index,
    literal::{compressed_header, literal_header},
    session::SessionKey,
};

use crate::{
    household::{Dice, Household},
    programs::{armor as armor_of, find},
};

#[path = "../../../../fuzz/src/targets.rs"]
#[expect(unreachable_pub, reason = "public for the fuzz targets")]
mod targets;

const INPUTS: usize = 5000;

fn inputs() -> usize {
    if std::env::var_os("SEALPOST_LONG").is_some() { INPUTS * 50 } else { INPUTS }
}

/// Valid inputs of every target, as it were its corpus.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let [(sealed, original), (another, _), ..] = targets::GOLDEN;
    let header = mail::HeaderSection::parse(sealed).octets().to_vec();
    let fields = sealed::field::SealedFields::parse(&mail::HeaderSection::parse(sealed)).unwrap();
    let sealed = sealed.to_vec();
    let text = |octets: &[u8]| octets.to_vec();
    match target {
        "tag_list" => vec![
            text(b"v=1; p=pgp1; id=AAAA; bh=BBBB=; s=CC; sig=DDDD"),
            text(b" v=1; n=1/2;\r\n d=AAAA\r\n BBBB; "),
            text(b"v = 1 ; a = ed25519"),
        ],
        "header_fields" => {
            let split =
                Household::new().seal(&[&b"To: "[..], &b"somebody@example.net, ".repeat(200), b"\r\n\r\n"].concat());
            vec![header, mail::HeaderSection::parse(&split).octets().to_vec()]
        }
        "packets" => {
            vec![fields.key, [&[0xca, 3, b'P', b'G', b'P', 0xc1, 1, 3, 0xd2, 0xff, 0, 0, 0, 2, 1, 9][..]].concat()]
        }
        "index" => {
            let full = Index {
                fields: b"Subject: x\r\n".to_vec(),
                internal_date: Some("x".into()),
                mailbox: Some("INBOX".into()),
                flags: vec!["\\Seen".into()],
                preview: Some("ä".into()),
                envelope: vec!["a".into(), "b".into()],
                omitted: vec!["preview".into()],
                ..Index::default()
            };
            vec![full.write(), Index::default().write()]
        }
        "armor" => vec![armor_of(&sealed).to_vec(), sealed],
        "content" | "original" => {
            let key = SessionKey::from_octets(&[9; 32]).unwrap();
            let plain = vec![7; 3000];
            let encrypted = |version| {
                let mut writer = ContentWriter::begin(Vec::new(), version, &key, plain.len() as u64).unwrap();
                std::io::Write::write_all(&mut writer, &plain).unwrap();
                writer.finish().unwrap()
            };
            let cms = |cipher| {
                let mut writer = CmsWriter::begin(Vec::new(), cipher, &key).unwrap();
                std::io::Write::write_all(&mut writer, &plain).unwrap();
                writer.finish().unwrap()
            };
            vec![encrypted(Seipd::V1), encrypted(Seipd::V2), cms(CmsCipher::Cbc), cms(CmsCipher::Gcm)]
        }
        "literal" => {
            let literal = [&literal_header(400).unwrap()[..], &[b'x'; 400]].concat();
            let mut deflated = Vec::new();
            sealed::literal::write_stored(&mut deflated, &literal, 1, sealed::literal::Last::Yes).unwrap();
            let header = compressed_header(deflated.len() as u64).unwrap();
            vec![literal, [&header[..], &deflated].concat()]
        }
        "payload" => {
            let origin = sealed::signature::Origin {
                account: sealed::identity::AccountId([1; 16]),
                id: sealed::identity::MessageId([2; 16]),
                length: 5,
                hash: [3; 32],
                time: 4,
                sequence: 5,
            };
            let sealer = sealed::signature::SealerKey::from_seed(&[1; 32]).unwrap();
            let way = sealed::index::Way::Client;
            let frame = sealed::payload::Frame::new(b"From: a@b\r\n", b"Subject: x\r\n", &origin, way, &sealer);
            vec![[frame.head.as_slice(), b"hello", &frame.tail, b"      \r\n"].concat()]
        }
        "recognise" | "outer" | "open_mutated" => {
            let base64 = String::from_utf8(sealed.clone()).unwrap();
            let encoded = base64_simd::STANDARD.encode_to_string(armor_of(&sealed));
            let lines: Vec<&str> =
                encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
            let base64 = base64
                .replace(std::str::from_utf8(armor_of(&sealed)).unwrap(), &(lines.join("\r\n") + "\r\n"))
                .replace("Content-Description: OpenPGP encrypted message", "Content-Transfer-Encoding: base64");
            let smime = b"Content-Type: application/pkcs7-mime\r\n\r\n\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03\xa0\x80\x30\x80";
            let ours = targets::GOLDEN.iter().filter(|(sealed, _)| find(sealed, b"p=cms").is_some());
            let ours = ours.map(|(sealed, _)| sealed.to_vec());
            [sealed, base64.into_bytes(), smime.to_vec(), another.to_vec()].into_iter().chain(ours).collect()
        }
        "seal_open" => vec![original.to_vec(), sealed],
        "keys" => {
            let household = Household::new();
            let certificate = household.mailbox.certificate_armored().unwrap().into_bytes();
            let enrolment =
                [b"Sealed-Enrolment: v=1\nAddress: a@b\nPolicy: shy\nReader: gnupg\n\n", &certificate[..]].concat();
            let binary = household.mailbox.certificate(crate::household::now()).unwrap().octets;
            let x509 = X509SecretKey::parse(targets::SMIME_KEYS[1]).unwrap();
            let pem = x509.certificate_armored().unwrap().into_bytes();
            let der = seal::x509::blocks(&pem).unwrap().remove(0);
            let smime = [b"Sealed-Enrolment: v=1\nScheme: smime\nReader: gpgsm\n\n", &pem[..]].concat();
            let keys = targets::SMIME_KEYS.map(<[u8]>::to_vec).into_iter();
            [targets::KEY.to_vec(), certificate, enrolment, binary, pem, der, smime].into_iter().chain(keys).collect()
        }
        other => panic!("no inputs for {other}"),
    }
}

/// One to four changes: bits, octets, cuts, repetitions, pieces of another input, words that mean something.
fn mutated(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    const WORDS: [&[u8]; 16] = [
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"\xff\xff\xff\xff",
        b"--",
        b"=",
        b";",
        b"v=1",
        b"-----BEGIN PGP MESSAGE-----\r\n",
        b"-----END PGP MESSAGE-----\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Sealed-Mail: ",
        b"n=1/64;",
        b"\xd2\xff",
        b"\x1b",
    ];
    let mut octets = seeds[dice.roll(seeds.len())].clone();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(octets.len() + 1);
        let length = (1 + dice.roll(40)).min(octets.len() - at);
        match dice.roll(8) {
            0 | 1 if at < octets.len() => octets[at] ^= 1 << dice.roll(8),
            2 if at < octets.len() => octets[at] = dice.roll(256) as u8,
            3 => drop(octets.drain(at..at + length)),
            4 => {
                let piece = octets[at..at + length].to_vec();
                octets.splice(at..at, piece);
            }
            5 => {
                let other = &seeds[dice.roll(seeds.len())];
                let from = dice.roll(other.len() + 1);
                let piece = other[from..other.len().min(from + 200)].to_vec();
                octets.splice(at..at, piece);
            }
            6 => {
                octets.splice(at..at, WORDS[dice.roll(WORDS.len())].iter().copied());
            }
            _ => octets.truncate(at),
        }
    }
    octets
}

fn smoke(target: &str) {
    let (_, law) = targets::ALL.iter().find(|(name, _)| *name == target).unwrap();
    let seeds = seeds(target);
    seeds.iter().for_each(|seed| law(seed));
    law(b"");
    let mut dice = Dice::new(20_261_123);
    for number in 0..inputs() {
        let input = mutated(&seeds, &mut dice);
        if let Err(panic) = std::panic::catch_unwind(|| law(&input)) {
            let path = std::env::temp_dir().join(format!("sealpost-smoke-{target}-{number}"));
            std::fs::write(&path, &input).unwrap();
            println!("{target} failed with input {number}, kept in {}", path.display());
            std::panic::resume_unwind(panic);
        }
    }
}

macro_rules! smoke_tests {
    ($($name:ident),*) => {
        $(#[test] fn $name() { smoke(stringify!($name)); })*

        #[test]
        fn every_target_is_here() {
            let here = [$(stringify!($name)),*];
            let all: Vec<&str> = targets::ALL.iter().map(|(name, _)| *name).collect();
            assert_eq!(all, here);
        }
    };
}

smoke_tests!(
    tag_list,
    header_fields,
    packets,
    index,
    armor,
    content,
    literal,
    payload,
    original,
    recognise,
    outer,
    open_mutated,
    seal_open,
    keys
);
