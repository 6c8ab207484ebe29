//! What `tributary doctor` says of sign-ins that are refused, each for its own reason.

use openssl::{
    asn1::Asn1Time, hash::MessageDigest, nid::Nid, pkey::PKey, rsa::Rsa, sha::sha1, x509::X509,
};
use serde_json::{Value, json};
use simulators::exchange::{App, Auth, ChannelBinding, Options};

use crate::{
    doctor::{assert_line, doctor},
    harness::{World, hex},
};

fn world(auth: Auth) -> World {
    let world = World::empty(Options { auth, ..Options::default() });
    world.server.add_mailbox("0@example.com");
    world.configured()
}

/// A world that signs in as an application.
pub(crate) fn with_oauth(options: Options) -> World {
    let world = World::empty(Options { auth: Auth::bearer(), ..options });
    world.server.add_mailbox("0@example.com");
    let mut world = world.configured();
    for key in ["auth_user", "auth_password", "auth_type"] {
        world.set(key, Value::Null);
    }
    world.set("access_type", json!("impersonation"));
    world.set("auth_oauth_authority", json!(world.server.authority_url()));
    world.set("auth_oauth_client_id", json!(Options::CLIENT_ID));
    world.set("auth_oauth_client_secret", json!(Options::CLIENT_SECRET));
    world
}

/// A private key, with the thumbprint of its certificate and the certificate.
pub(crate) fn credential() -> (String, String, Vec<u8>) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut name = openssl::x509::X509NameBuilder::new().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, "tributary").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(90).unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let certificate = builder.build();
    let thumbprint = hex(&sha1(&certificate.to_der().unwrap()));
    let key = String::from_utf8(key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    (key, thumbprint, certificate.to_pem().unwrap())
}

#[track_caller]
fn assert_refused(world: &World, words: &[&str]) {
    let (code, told) = doctor(world, &[]);
    assert_eq!(code, Some(1), "{told}");
    assert_line(&told, "sign-in", "fail", words);
    assert!(!told.contains("canary"), "{told}");
}

#[test]
fn a_wrong_password_for_basic() {
    let mut world = world(Auth::basic());
    assert_eq!(doctor(&world, &[]).0, Some(0));
    world.set("auth_password", json!("canary-of-a-password"));
    assert_refused(&world, &["refused the credentials", "account is not locked"]);
}

#[test]
fn a_wrong_password_for_ntlm() {
    let mut world = world(Auth::ntlm(ChannelBinding::Require));
    world.set("auth_type", json!("ntlm"));
    assert_eq!(doctor(&world, &[]).0, Some(0));
    world.set("auth_password", json!("canary-of-a-password"));
    assert_refused(&world, &["refused the credentials", "account is not locked"]);
}

#[test]
fn a_way_to_sign_in_that_the_server_does_not_offer() {
    let mut world = world(Auth::basic());
    world.set("auth_type", json!("ntlm"));
    assert_refused(&world, &["offers no NTLM sign-in", "Basic"]);
}

#[test]
fn a_wrong_client_secret() {
    let mut world = with_oauth(Options::default());
    assert_eq!(doctor(&world, &[]).0, Some(0));
    world.set("auth_oauth_client_secret", json!("canary-of-a-secret"));
    assert_refused(&world, &["AADSTS7000215", "the secret's value, not its id"]);
}

#[test]
fn a_client_that_the_tenant_does_not_know() {
    let mut world = with_oauth(Options::default());
    world.set("auth_oauth_client_id", json!("another"));
    assert_refused(&world, &["AADSTS700016", "does not know the client id"]);
}

#[test]
fn another_tenant() {
    let mut world = with_oauth(Options::default());
    let authority = world.server.authority_url().replace(Options::TENANT, "other.example.net");
    world.set("auth_oauth_authority", json!(authority));
    assert_refused(&world, &["AADSTS90002", "does not know the tenant"]);
}

#[test]
fn a_certificate_that_the_registration_does_not_have() {
    let (key, thumbprint, certificate) = credential();
    let app = App::with_certificate(Options::CLIENT_ID, &certificate);
    let mut world = with_oauth(Options { apps: vec![app], ..Options::default() });
    world.set("auth_oauth_client_secret", Value::Null);
    world.set("auth_oauth_client_credential_private_key", json!(key));
    world.set("auth_oauth_client_credential_thumbprint", json!(thumbprint));
    let (code, told) = doctor(&world, &[]);
    assert_eq!(code, Some(0), "{told}");

    let (other_key, other_thumbprint, _) = credential();
    world.set("auth_oauth_client_credential_thumbprint", json!(other_thumbprint));
    assert_refused(&world, &["AADSTS700027", "compare the thumbprint"]);
    world.set("auth_oauth_client_credential_thumbprint", json!(thumbprint));
    world.set("auth_oauth_client_credential_private_key", json!(other_key));
    assert_refused(&world, &["AADSTS700027", "belongs to the private key"]);
}
