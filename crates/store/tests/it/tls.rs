//! PostgreSQL over TLS: who is talked to, and who is not.

use std::{fs, sync::Arc};

use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    hash::MessageDigest,
    pkey::PKey,
    rsa::Rsa,
    x509::{X509, X509NameBuilder, extension::SubjectAlternativeName},
};
use record::{Chain, clock::SystemClock};
use store::{Store, StoreError};
use testkit::postgres::{PASSWORD, postgres_with_tls};

/// A certificate for 127.0.0.1 that vouches for itself, and its key.
fn certificate() -> (Vec<u8>, Vec<u8>) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "a database").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let number = BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&number).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    let mut names = SubjectAlternativeName::new();
    let names = names.ip("127.0.0.1").build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (builder.build().to_pem().unwrap(), key.private_key_to_pem_pkcs8().unwrap())
}

#[tokio::test]
async fn a_database_is_talked_to_over_tls_if_it_is_the_one_that_is_meant() {
    let (certificate, key) = certificate();
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    fs::write(&authority, &certificate).unwrap();
    let started = tokio::task::spawn_blocking(move || {
        let server = postgres_with_tls(&certificate, &key);
        let name = server.new_database().rsplit('/').next().unwrap().to_owned();
        (server, name)
    });
    let (server, name) = started.await.unwrap();
    let known = format!("sslrootcert={}", authority.display());
    let table = [
        (PASSWORD, "127.0.0.1", format!("sslmode=verify-full&{known}"), "talks"),
        (PASSWORD, "127.0.0.1", "sslmode=require".to_owned(), "talks"),
        (PASSWORD, "localhost", format!("sslmode=verify-ca&{known}"), "talks"),
        // Nobody vouches for it.
        (PASSWORD, "127.0.0.1", "sslmode=verify-full".to_owned(), "TLS"),
        (PASSWORD, "127.0.0.1", "sslmode=verify-ca".to_owned(), "TLS"),
        // It is another's certificate.
        (PASSWORD, "localhost", format!("sslmode=verify-full&{known}"), "TLS"),
        // The server wants TLS.
        (PASSWORD, "127.0.0.1", "sslmode=disable".to_owned(), "denied"),
        ("wrong-secret", "127.0.0.1", "sslmode=require".to_owned(), "denied"),
    ];
    for (password, host, query, expected) in table {
        let url = format!("postgres://test:{password}@{host}:{}/{name}?{query}", server.port());
        let opened = Store::connect(&url, folder.path(), Arc::new(SystemClock)).await;
        let told = match &opened {
            Ok(_) => "talks",
            Err(StoreError::Denied { .. }) => "denied",
            Err(StoreError::Unsuitable { detail, .. }) if detail.contains("TLS") => "TLS",
            Err(_) => "something else",
        };
        let text = opened.as_ref().err().map(|error| format!("{} {error:?}", Chain(error)));
        let text = text.unwrap_or_default();
        assert_eq!(told, expected, "{host} {query}: {text}");
        assert!(!text.contains(password), "{text}");
        if let Ok(store) = opened {
            store.close().await;
        }
    }
}
