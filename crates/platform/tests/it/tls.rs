//! With a certificate of its own, below a path.

use openssl::{
    asn1::{Asn1Integer, Asn1Time},
    bn::BigNum,
    hash::MessageDigest,
    pkey::PKey,
    rsa::Rsa,
    x509::{X509, X509NameBuilder, extension::SubjectAlternativeName},
};
use platform::{Options, acceptor};
use testkit::platform_contract::{Subject, peer};

use crate::server::Running;

/// A certificate for `localhost` and its key, in PEM form.
fn self_signed() -> (Vec<u8>, Vec<u8>) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "localhost").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let serial: Asn1Integer = BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(30).unwrap()).unwrap();
    let names = SubjectAlternativeName::new()
        .dns("localhost")
        .build(&builder.x509v3_context(None, None))
        .unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (builder.build().to_pem().unwrap(), key.private_key_to_pem_pkcs8().unwrap())
}

#[tokio::test]
async fn the_official_library_does_everything_over_tls_below_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let (certificate_pem, key_pem) = self_signed();
    std::fs::write(&certificate, certificate_pem).unwrap();
    std::fs::write(&key, key_pem).unwrap();
    let options = Options {
        tls: Some(acceptor(&certificate, &key).unwrap()),
        base_path: "/organization/tenant/reinfer_".to_owned(),
        ..Options::default()
    };
    let server = Running::start_with(options).await;
    let mut session = server.store.write().await.unwrap();
    let new = store::NewProject { name: "example".to_owned(), ..store::NewProject::default() };
    session.create_project(new).await.unwrap();
    session.commit().await.unwrap();
    let port = server.address.port();
    peer::the_official_library_does_everything(Subject {
        address: server.address,
        url: format!("https://localhost:{port}/organization/tenant/reinfer_/"),
        token: server.token.clone(),
        ca_file: certificate,
        keep: Box::new(server),
    })
    .await;
}

#[test]
fn a_key_of_another_certificate_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, self_signed().0).unwrap();
    std::fs::write(&key, self_signed().1).unwrap();
    let refused = acceptor(&certificate, &key).err().unwrap();
    assert!(refused.to_string().contains("cert.pem"), "{refused}");
    let missing = acceptor(&folder.path().join("none.pem"), &key).err().unwrap();
    assert!(missing.to_string().contains("none.pem"), "{missing}");
}
