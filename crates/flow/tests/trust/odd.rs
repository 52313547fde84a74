//! No message, no word of a client, no record breaks the checks.

use flow::forward::checks::{Checks, Client};
use flow::forward::evidence::Evidence;
use flow::forward::resolver::Resolver;
use flow::forward::verdict::Strictness;
use proptest::prelude::*;
use testbed::{Names, Record};

use crate::author::{HOST, STRANGER, mail, run};

const FIELDS: [&str; 8] = [
    "DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=s1; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=YQ==;",
    "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=example.org; s=s1; b=YQ==",
    "ARC-Message-Signature: i=1; a=rsa-sha256; d=example.org; s=s1; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=YQ==",
    "ARC-Authentication-Results: i=1; mx.example.org; spf=pass",
    "Authentication-Results: mx.my.example; none",
    "From: Alice <alice@example.org>",
    "Received: from a by b",
    "Subject: x",
];

fn check(names: &Names, helo: &str, mail_from: &str, mail: &[u8]) -> String {
    run(async {
        let checks = Checks::new(Resolver::at(names.address()).unwrap(), HOST);
        let evidence = Evidence::read(&mut &mail[..]).unwrap();
        let verdict = checks.check(&Client { ip: STRANGER, helo, mail_from }, &evidence).await;
        let _ = verdict.action(Strictness::Reject);
        verdict.authentication_results().to_owned()
    })
}

fn sound(results: &str) {
    assert!(results.starts_with("mx.my.example; "), "{results}");
    assert!(results.len() <= 700 && results.bytes().all(|octet| matches!(octet, b' '..=b'~')), "{results}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_octets_break_the_checks(octets: Vec<u8>, helo: String, mail_from: String) {
        let names = Names::serve([]);
        sound(&check(&names, &helo, &mail_from, &octets));
    }

    #[test]
    fn no_mixture_of_fields_breaks_the_checks(
        picked in prop::collection::vec((0..FIELDS.len(), any::<prop::sample::Index>(), any::<u8>()), 1..12),
        record in "(v=DKIM1; |v=DMARC1; |k=rsa; |p=[A-Za-z0-9+/=]{0,80}|t=s; |h=sha256; |p=reject; |[ -~]{0,20}){0,6}",
        spf in "v=spf1( [-~?+]?(a|mx|ptr|exists|include|ip4|ip6|all|redirect|exp)[:=/]?[ -~]{0,20}){0,8}",
    ) {
        let names = Names::serve([
            ("s1._domainkey.example.org", Record::Txt(record.clone())),
            ("_dmarc.example.org", Record::Txt(record)),
            ("example.org", Record::Txt(spf)),
        ]);
        let mut mail_with = Vec::new();
        for (field, at, octet) in picked {
            let mut field = FIELDS[field].as_bytes().to_vec();
            let at = at.index(field.len());
            field[at] = octet;
            mail_with.extend_from_slice(&field);
            mail_with.extend_from_slice(b"\r\n");
        }
        mail_with.extend_from_slice(&mail("alice@example.org"));
        sound(&check(&names, "mail.example.org", "alice@example.org", &mail_with));
    }
}
