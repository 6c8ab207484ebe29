//! What `tributary doctor` says of certificates that are not as they should be.

use std::fs;

use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Rsa,
    x509::{
        X509, X509NameBuilder,
        extension::{BasicConstraints, SubjectAlternativeName},
    },
};
use serde_json::json;
use simulators::exchange::{Auth, Options, Transport};

use crate::{
    doctor::{assert_line, doctor},
    harness::World,
};

const DAY: i64 = 24 * 3600;

/// A certificate of its own authority for `name`, good from `from` to `to`, in days from now.
fn certificate(name: &str, from: i64, to: i64) -> (PKey<Private>, X509) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.pseudo_rand(120, MsbOption::MAYBE_ZERO, false).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(&subject).unwrap();
    builder.set_pubkey(&key).unwrap();
    let now = chrono::Utc::now().timestamp();
    let at = |days: i64| Asn1Time::from_unix(now + days * DAY + DAY / 2).unwrap();
    builder.set_not_before(&at(from)).unwrap();
    builder.set_not_after(&at(to)).unwrap();
    builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    let names = SubjectAlternativeName::new().dns(name).build(&builder.x509v3_context(None, None));
    builder.append_extension(names.unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (key, builder.build())
}

/// A server with this certificate, which the configuration trusts.
fn world(name: &str, from: i64, to: i64) -> World {
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = certificate(name, from, to);
    let (certificate_path, key_path) =
        (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    fs::write(&certificate_path, certificate.to_pem().unwrap()).unwrap();
    fs::write(&key_path, key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    let transport = Transport::Files { certificate: certificate_path, key: key_path };
    let world = World::empty(Options { auth: Auth::basic(), transport, ..Options::default() });
    world.server.add_mailbox("0@example.com");
    world.configured()
}

#[test]
fn a_doctor_accepts_a_certificate_with_months_to_go() {
    let (code, told) = doctor(&world("localhost", -1, 90), &[]);
    assert_eq!(code, Some(0), "{told}");
    assert_line(&told, "server tls", "ok", &["TLSv1.", "localhost"]);
}

#[test]
fn a_doctor_warns_of_a_certificate_that_ends_soon() {
    let (code, told) = doctor(&world("localhost", -1, 10), &[]);
    assert_eq!(code, Some(0), "{told}");
    assert_line(&told, "server tls", "warn", &["ends in 10 days", "renewed"]);
    assert_line(&told, "rights", "ok", &[]);
}

#[test]
fn a_doctor_fails_on_a_certificate_that_has_ended() {
    let (code, told) = doctor(&world("localhost", -30, -2), &[]);
    assert_eq!(code, Some(1), "{told}");
    assert_line(&told, "server tls", "fail", &["expired"]);
}

#[test]
fn a_doctor_fails_on_a_certificate_that_has_not_begun() {
    let (code, told) = doctor(&world("localhost", 2, 90), &[]);
    assert_eq!(code, Some(1), "{told}");
    assert_line(&told, "server tls", "fail", &["not yet valid"]);
}

#[test]
fn a_doctor_fails_on_a_certificate_of_another_host() {
    let (code, told) = doctor(&world("other.example.com", -1, 90), &[]);
    assert_eq!(code, Some(1), "{told}");
    assert_line(&told, "server tls", "fail", &["other.example.com", "mismatch"]);
}

#[test]
fn a_doctor_fails_on_a_cipher_list_that_names_no_cipher() {
    let mut world = world("localhost", -1, 90);
    world.set("ews_ssl_ciphers", json!("RC4-MD5:@SECLEVEL=0"));
    let (code, told) = doctor(&world, &[]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("`RC4-MD5:@SECLEVEL=0` is not an OpenSSL cipher list"), "{told}");
}
