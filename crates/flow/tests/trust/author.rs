//! Authors with keys and records of their own, and what a forwarder finds out about their mail.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64_simd::STANDARD;
use flow::forward::checks::{Checks, Client};
use flow::forward::dkim::Signer;
use flow::forward::evidence::Evidence;
use flow::forward::resolver::Resolver;
use flow::forward::verdict::Verdict;
use testbed::{Names, Record};

/// Our name in the results.
pub(crate) const HOST: &str = "mx.my.example";
/// The server of every author.
pub(crate) const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// Anybody else's.
pub(crate) const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

static RSA: LazyLock<String> = LazyLock::new(|| {
    let key = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    pem(der.as_ref())
});

/// A private key, PEM.
pub(crate) fn rsa() -> &'static str {
    &RSA
}

/// A private key, PEM.
pub(crate) fn ed25519() -> String {
    let der = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
    pem(der.as_ref())
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode_to_string(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

/// Publishes a signer's keys.
pub(crate) fn publish(names: &Names, signer: &Signer) {
    for line in signer.dns_records() {
        let (name, rest) = line.split_once(". IN TXT ( ").unwrap();
        let text: String = rest.split('"').skip(1).step_by(2).collect();
        names.add(name, Record::Txt(text));
    }
}

/// An author's domain: SPF for its server, DKIM, and a wish. Its signer.
pub(crate) fn domain(names: &Names, domain: &str, wish: &str) -> Signer {
    let signer = Signer::new(domain).unwrap().with_key("s1", rsa().as_bytes()).unwrap();
    publish(names, &signer);
    names.add(domain, Record::Txt("v=spf1 ip4:192.0.2.1 -all".to_owned()));
    names.add(&format!("_dmarc.{domain}"), Record::Txt(format!("v=DMARC1; p={wish}")));
    signer
}

/// A message of an author.
pub(crate) fn mail(from: &str) -> Vec<u8> {
    format!(
        "Received: from a by b; Mon, 23 Nov 2026 10:20:30 +0100\r\nFrom: {from}\r\nTo: alice@my.example\r\nSubject: plans\r\n\
         Date: Mon, 23 Nov 2026 10:20:30 +0100\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\nSee you  there. \r\nIt is \u{fc}ber-secret.\r\n\r\n\r\n"
    )
    .into_bytes()
}

/// The same, signed.
pub(crate) fn signed(signer: &Signer, mail: &[u8]) -> Vec<u8> {
    let mut fields = signer.sign(&mut &mail[..]).unwrap();
    fields.extend_from_slice(mail);
    fields
}

pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// What is found out about a message that a client hands in.
pub(crate) fn check(names: &Names, ip: IpAddr, mail_from: &str, mail: &[u8]) -> Verdict {
    run(async {
        let checks = Checks::new(Resolver::at(names.address()).unwrap(), HOST);
        let evidence = Evidence::read(&mut &mail[..]).unwrap();
        let helo = "mail.example.org";
        checks.check(&Client { ip, helo, mail_from }, &evidence).await
    })
}
