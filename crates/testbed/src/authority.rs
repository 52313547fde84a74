//! A certificate authority for one server. Out, as PEM files: `authority.pem`, its certificate; `server.pem` and `server.key`, the server's for
//! localhost and 127.0.0.1.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::directory::Directory;

/// Writes the three files; the path of the authority's certificate.
pub(crate) fn certify(directory: &Directory) -> PathBuf {
    let key = KeyPair::generate().expect("a key");
    let mut own = CertificateParams::default();
    own.distinguished_name.push(DnType::CommonName, "testbed authority");
    own.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    own.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = own.self_signed(&key).expect("a certificate").pem();
    let issuer = Issuer::new(own, key);

    let key = KeyPair::generate().expect("a key");
    let mut server = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("two names");
    server.distinguished_name.push(DnType::CommonName, "testbed server");
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let signed = server.signed_by(&key, &issuer).expect("a certificate").pem();
    directory.write("server.pem", &signed);
    directory.write("server.key", &key.serialize_pem());
    directory.write("authority.pem", &certificate)
}
