//! Verdicts on mail that comes in: true, forged, not to be checked.

use flow::forward::verdict::{Action, Authors, Said, Strictness, Wish};
use mail_auth::arc::ArcSealer;
use mail_auth::common::crypto::{RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::{ArcOutput, AuthenticatedMessage, AuthenticationResults};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use testbed::{Names, Record};

use crate::author::{SERVER, STRANGER, check, domain, mail, rsa, signed};

fn code(action: &Action) -> Option<u16> {
    match action {
        Action::Refuse(reply, _) => Some(reply.code()),
        _ => None,
    }
}

#[test]
fn true_mail_is_taken() {
    let names = Names::serve([]);
    let author = domain(&names, "example.org", "reject");
    let mail = signed(&author, &mail("Alice <alice@example.org>"));
    let verdict = check(&names, SERVER, "alice@example.org", &mail);
    assert_eq!((verdict.spf, verdict.dkim, verdict.dmarc), (Said::Pass, Said::Pass, Said::Pass), "{verdict:?}");
    assert_eq!((verdict.authors, verdict.wish), (Authors::One, Wish::Reject));
    assert_eq!(
        verdict.authentication_results(),
        "mx.my.example; dmarc=pass header.from=example.org policy.dmarc=reject; spf=pass smtp.mailfrom=example.org; \
         dkim=pass header.d=example.org header.s=s1"
    );
    for strictness in [Strictness::Report, Strictness::Tag, Strictness::Reject] {
        assert_eq!(verdict.action(strictness), Action::Take);
    }
}

#[test]
fn either_of_the_two_is_enough() {
    let names = Names::serve([]);
    let author = domain(&names, "example.org", "reject");
    let plain = mail("alice@example.org");
    // Forwarded by a stranger in his own name: the signature still speaks. Handed in by the author's server: that does.
    for (ip, from, mail) in
        [(STRANGER, "x@other.example", signed(&author, &plain)), (SERVER, "alice@example.org", plain)]
    {
        let verdict = check(&names, ip, from, &mail);
        assert_eq!(verdict.dmarc, Said::Pass, "{verdict:?}");
        assert_eq!(verdict.action(Strictness::Reject), Action::Take);
    }
}

#[test]
fn a_spoofed_author_is_refused() {
    let names = Names::serve([]);
    domain(&names, "bank.example", "reject");
    domain(&names, "shop.example", "quarantine");
    domain(&names, "lax.example", "none");
    let evil = domain(&names, "evil.example", "reject");
    // Eve has a domain with everything in order. It is not the one in From.
    let spoofed = |from: &str| check(&names, SERVER, "eve@evil.example", &signed(&evil, &mail(from)));
    let verdict = spoofed("\"Your bank\" <info@bank.example>");
    assert_eq!((verdict.spf, verdict.dkim, verdict.dmarc), (Said::Pass, Said::Pass, Said::Fail));
    assert_eq!(code(&verdict.action(Strictness::Reject)), Some(550));
    assert_eq!(verdict.action(Strictness::Tag), Action::Mark);
    assert_eq!(verdict.action(Strictness::Report), Action::Take);
    let verdict = spoofed("info@shop.example");
    assert_eq!((verdict.dmarc, verdict.action(Strictness::Reject)), (Said::Fail, Action::Mark));
    let verdict = spoofed("info@lax.example");
    assert_eq!((verdict.dmarc, verdict.action(Strictness::Reject)), (Said::Fail, Action::Take));
    // A domain below one that wishes it.
    let verdict = spoofed("info@below.bank.example");
    assert_eq!(code(&verdict.action(Strictness::Reject)), Some(550));
}

#[test]
fn a_changed_octet_is_seen() {
    let names = Names::serve([]);
    let author = domain(&names, "example.org", "reject");
    let mail = signed(&author, &mail("alice@example.org"));
    let changed = String::from_utf8(mail).unwrap().replace("ber-secret", "ber-Secret");
    let verdict = check(&names, STRANGER, "x@other.example", changed.as_bytes());
    assert_eq!((verdict.dkim, verdict.dmarc), (Said::Neutral, Said::Fail), "{verdict:?}");
    assert_eq!(code(&verdict.action(Strictness::Reject)), Some(550));
}

#[test]
fn an_unclear_author_is_refused() {
    let names = Names::serve([]);
    let evil = domain(&names, "evil.example", "none");
    domain(&names, "bank.example", "reject");
    let unclear = |header: &str| {
        let text = String::from_utf8(mail("eve@evil.example")).unwrap();
        let text = text.replace("From: eve@evil.example\r\n", header);
        let verdict = check(&names, SERVER, "eve@evil.example", &signed(&evil, text.as_bytes()));
        assert_eq!(verdict.authors, Authors::Unclear, "{header}: {verdict:?}");
        assert_eq!(code(&verdict.action(Strictness::Reject)), Some(550), "{header}");
        assert_eq!(verdict.action(Strictness::Tag), Action::Mark, "{header}");
    };
    unclear("From: info@bank.example\r\nFrom: eve@evil.example\r\n");
    unclear("From: eve@evil.example\r\nfrom : info@bank.example\r\n");
    unclear("From: info@bank.example, eve@evil.example\r\n");
    unclear("From: Group: info@bank.example, eve@evil.example;\r\n");
    unclear("From: somebody\r\n");
    unclear("From:\r\n");
    unclear("Sender: eve@evil.example\r\n");
}

#[test]
fn a_domain_that_only_looks_like_one_is_no_way_around_its_policy() {
    let names = Names::serve([]);
    domain(&names, "bank.example", "reject");
    for author in [
        "boss@bank.example.",
        "boss@bank.example..",
        "boss@bank.example\u{a0}",
        "boss@.bank.example",
        "boss@'bank.example",
    ] {
        let verdict = check(&names, STRANGER, "eve@evil.example", &mail(author));
        assert_eq!(code(&verdict.action(Strictness::Reject)), Some(550), "{author:?}: {verdict:?}");
    }
    let long = format!("boss@{}.bank.example", "a".repeat(64));
    assert_eq!(code(&check(&names, STRANGER, "eve@evil.example", &mail(&long)).action(Strictness::Reject)), Some(550));
}

#[test]
fn a_field_that_claims_to_be_ours_marks_the_message() {
    let names = Names::serve([]);
    let author = domain(&names, "example.org", "reject");
    let honest = signed(&author, &mail("alice@example.org"));
    let claimed = [&b"Authentication-Results: (really) MX.my.example; dmarc=pass\r\n"[..], &honest].concat();
    let verdict = check(&names, SERVER, "alice@example.org", &claimed);
    assert_eq!((verdict.forged, verdict.action(Strictness::Reject)), (1, Action::Mark));
    assert_eq!(verdict.action(Strictness::Report), Action::Take);
}

#[test]
fn when_the_dns_does_not_answer_the_next_try_tells() {
    let names = Names::serve([("_dmarc.example.org", Record::Fails)]);
    let verdict = check(&names, SERVER, "x@other.example", &mail("alice@example.org"));
    assert_eq!((verdict.dmarc, verdict.wish), (Said::TempError, Wish::Unknown), "{verdict:?}");
    assert_eq!(code(&verdict.action(Strictness::Reject)), Some(451));
    assert_eq!(verdict.action(Strictness::Tag), Action::Take);

    // Its key cannot be asked for: it might be true.
    let names = Names::serve([]);
    let author = domain(&names, "example.org", "reject");
    let mail = signed(&author, &mail("alice@example.org"));
    let names = Names::serve([
        ("s1._domainkey.example.org", Record::Fails),
        ("_dmarc.example.org", Record::Txt("v=DMARC1; p=reject".to_owned())),
    ]);
    let verdict = check(&names, STRANGER, "x@other.example", &mail);
    assert_eq!((verdict.dkim, verdict.dmarc), (Said::TempError, Said::TempError), "{verdict:?}");
    assert_eq!(code(&verdict.action(Strictness::Reject)), Some(451));
    assert_eq!(verdict.action(Strictness::Tag), Action::Mark);
}

#[test]
fn nobody_makes_a_failure_of_the_dns_to_get_through() {
    let names = Names::serve([("slow._domainkey.evil.example", Record::Fails)]);
    domain(&names, "bank.example", "reject");
    let field = |domain: &str, selector: &str| {
        format!(
            "DKIM-Signature: v=1; a=rsa-sha256; d={domain}; s={selector}; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=YQ==;\r\n"
        )
    };
    let long = "x".repeat(70);
    for fields in [field("evil.example", "slow"), field("bank.example", &long), field("bank.example", "a b")] {
        let mail = [fields.as_bytes(), b"From: info@bank.example\r\n\r\n"].concat();
        let verdict = check(&names, STRANGER, "eve@evil.example", &mail);
        assert_eq!(verdict.dmarc, Said::Fail, "{fields}: {verdict:?}");
        assert_eq!(code(&verdict.action(Strictness::Reject)), Some(550));
    }
}

#[test]
fn many_signatures_ask_few_questions() {
    let names = Names::serve([]);
    let author = domain(&names, "example.org", "reject");
    let mut mail = signed(&author, &mail("alice@example.org"));
    for number in 0..200 {
        let field = format!(
            "DKIM-Signature: v=1; a=rsa-sha256; d=d{number}.example; s=s; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=YQ==;\r\n"
        );
        mail.splice(0..0, field.into_bytes());
    }
    let verdict = check(&names, STRANGER, "x@other.example", &mail);
    assert_eq!(verdict.dmarc, Said::Pass, "the author's own is looked at first: {verdict:?}");
    assert!(names.asked() < 40, "{}", names.asked());
}

#[test]
fn spf_as_its_standard_says() {
    let names = Names::serve([]);
    let spf = |domain: &str, record: &str| {
        names.add(domain, Record::Txt(record.to_owned()));
        check(&names, SERVER, &format!("a@{domain}"), &mail("a@nothing.example")).spf
    };
    names.add("host.example", Record::A("192.0.2.1".parse().unwrap()));
    names.add("fails.example", Record::Fails);
    names.add("mx.example", Record::Mx(10, "host.example".to_owned()));
    assert_eq!(spf("a.example", "v=spf1 a:host.example -all"), Said::Pass);
    assert_eq!(spf("b.example", "v=spf1 mx:mx.example ~all"), Said::Pass);
    assert_eq!(spf("c.example", "v=spf1 ~all"), Said::SoftFail);
    assert_eq!(spf("d.example", "v=spf1 ?all"), Said::Neutral);
    assert_eq!(spf("e.example", "v=spf1 -all"), Said::Fail);
    assert_eq!(spf("f.example", "v=spf1 ip4:not-an-address -all"), Said::PermError);
    assert_eq!(spf("g.example", "v=spf1 a:fails.example -all"), Said::TempError);
    assert_eq!(spf("h.example", "v=spf1 include:nowhere.example -all"), Said::PermError);
    assert_eq!(spf("i.example", "something else"), Said::None);
    assert_eq!(check(&names, SERVER, "a@nowhere.example", &mail("a@nothing.example")).spf, Said::None);
    // RFC 7208 §4.5: two records.
    assert_eq!(spf("e.example", "v=spf1 ip4:192.0.2.1 -all"), Said::PermError);
    // §4.6.4: more than ten look-ups, in a line and in a circle.
    let many: String = (0..11).map(|number| format!("a:h{number}.example ")).collect();
    for number in 0..11 {
        names.add(&format!("h{number}.example"), Record::A("198.51.100.9".parse().unwrap()));
    }
    assert_eq!(spf("j.example", &format!("v=spf1 {many} ip4:192.0.2.1 -all")), Said::PermError);
    assert_eq!(spf("k.example", "v=spf1 include:k.example -all"), Said::PermError);
}

#[test]
fn a_bounce_is_checked_by_the_name_of_its_server() {
    let names = Names::serve([("mail.example.org", Record::Txt("v=spf1 ip4:192.0.2.1 -all".to_owned()))]);
    let verdict = check(&names, SERVER, "", &mail("mailer-daemon@example.org"));
    assert_eq!(verdict.spf, Said::Pass);
    assert!(verdict.authentication_results().contains("spf=pass smtp.helo=mail.example.org"), "{verdict:?}");
}

#[test]
fn sha_1_is_not_believed() {
    let names = Names::serve([]);
    let author = domain(&names, "example.org", "reject");
    let mail = String::from_utf8(signed(&author, &mail("alice@example.org"))).unwrap();
    let verdict = check(&names, STRANGER, "x@other.example", mail.replace("rsa-sha256", "rsa-sha1").as_bytes());
    assert_eq!((verdict.dkim, verdict.dmarc), (Said::Policy, Said::Fail), "{verdict:?}");
}

#[test]
fn without_dmarc_the_envelope_is_heard() {
    let names = Names::serve([("old.example", Record::Txt("v=spf1 -all".to_owned()))]);
    let verdict = check(&names, STRANGER, "a@old.example", &mail("a@old.example"));
    assert_eq!((verdict.spf, verdict.dmarc), (Said::Fail, Said::None));
    assert_eq!(verdict.action(Strictness::Reject), Action::Mark);
}

#[test]
fn a_chain_is_told_and_overrules_nothing() {
    let names = Names::serve([]);
    domain(&names, "example.org", "reject");
    domain(&names, "list.example", "none");
    let original = mail("alice@example.org");
    let key = PrivateKeyDer::from_pem_slice(rsa().as_bytes()).unwrap();
    let message = AuthenticatedMessage::parse(&original).unwrap();
    let found = AuthenticationResults::new("list.example");
    let chain = ArcSealer::from_key(RsaKey::<Sha256>::from_key_der(key).unwrap())
        .domain("list.example")
        .selector("s1")
        .headers(["From", "Subject"])
        .seal(&message, &found, &ArcOutput::default())
        .unwrap();
    let sealed = [chain.to_header().as_bytes(), &original].concat();
    let verdict = check(&names, STRANGER, "x@list.example", &sealed);
    assert_eq!((verdict.arc, verdict.dmarc), (Said::Pass, Said::Fail), "{verdict:?}");
    assert!(verdict.authentication_results().ends_with("; arc=pass"), "{verdict:?}");
    assert_eq!(code(&verdict.action(Strictness::Reject)), Some(550));
    let broken = String::from_utf8(sealed).unwrap().replace("plans", "plains");
    assert_eq!(check(&names, STRANGER, "x@list.example", broken.as_bytes()).arc, Said::Fail);
}
