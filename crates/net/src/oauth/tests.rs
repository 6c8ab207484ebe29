//! Assertions checked with the public key, URLs, and what refusals become.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::DateTime;
use openssl::{
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::{Padding, Rsa},
    sign::{RsaPssSaltlen, Verifier},
    symm::Cipher,
};
use serde_json::{Value, json};

use super::*;

const SHA1: &str = "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33";
const SHA256: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn key() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
}

fn pkcs8(key: &PKey<Private>) -> String {
    String::from_utf8(key.private_key_to_pem_pkcs8().unwrap()).unwrap()
}

fn decode(part: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()
}

/// Header and claims, after the signature was found good.
fn verified(assertion: &str, key: &PKey<Private>, pss: bool) -> (Value, Value) {
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let public = PKey::public_key_from_pem(&key.public_key_to_pem().unwrap()).unwrap();
    let mut verifier = Verifier::new(MessageDigest::sha256(), &public).unwrap();
    if pss {
        verifier.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
        verifier.set_rsa_pss_saltlen(RsaPssSaltlen::custom(32)).unwrap();
    }
    assert!(verifier.verify_oneshot(&decode(signature), signed.as_bytes()).unwrap());
    let (header, claims) = signed.split_once('.').unwrap();
    let parse = |part| serde_json::from_slice(&decode(part)).unwrap();
    (parse(header), parse(claims))
}

fn assertion(pem: &str, thumbprint: &str) -> Secret {
    let key = SigningKey::new(&Secret::from(pem), thumbprint).unwrap();
    let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    key.assertion("client", "https://login.example.com/t/oauth2/v2.0/token", now).unwrap()
}

#[test]
fn sha1_thumbprint_goes_with_rs256() {
    let key = key();
    let (header, mut claims) = verified(assertion(&pkcs8(&key), SHA1).reveal(), &key, false);
    assert_eq!(header, json!({"alg": "RS256", "typ": "JWT", "x5t": "ABEiM0RVZneImaq7zN3u_wARIjM"}));
    assert_eq!(claims["jti"].take().as_str().unwrap().len(), 36);
    let expected = json!({
        "aud": "https://login.example.com/t/oauth2/v2.0/token",
        "iss": "client", "sub": "client", "jti": null,
        "nbf": 1_700_000_000, "iat": 1_700_000_000, "exp": 1_700_000_600,
    });
    assert_eq!(claims, expected);
}

#[test]
fn sha256_thumbprint_goes_with_ps256() {
    let key = key();
    let (header, _) = verified(assertion(&pkcs8(&key), SHA256).reveal(), &key, true);
    let thumbprint = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    assert_eq!(header, json!({"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint}));
}

#[test]
fn key_may_be_of_either_form_and_have_its_lines_written_out() {
    let key = key();
    let pkcs1 = String::from_utf8(key.rsa().unwrap().private_key_to_pem().unwrap()).unwrap();
    assert!(pkcs1.starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    for pem in [pkcs1.clone(), pkcs1.replace('\n', r"\n"), pkcs8(&key).replace('\n', r"\r\n")] {
        verified(assertion(&pem, SHA1).reveal(), &key, false);
    }
}

#[test]
fn unusable_keys_are_told_apart_without_showing_them() {
    let check = |pem: &str, thumbprint: &str| {
        SigningKey::new(&Secret::from(pem), thumbprint).map(|_| ()).unwrap_err()
    };
    let rsa = key();
    let good = pkcs8(&rsa);
    assert_eq!(check(&good, "abcd"), BadSigningKey::Thumbprint);
    assert_eq!(check(&good, &"x".repeat(40)), BadSigningKey::Thumbprint);
    assert_eq!(check(&good, &"é".repeat(20)), BadSigningKey::Thumbprint);
    assert_eq!(check("hunter2", SHA1), BadSigningKey::NotPem);
    assert_eq!(check(&good[..good.len() / 2], SHA1), BadSigningKey::NotPem);
    let encrypted = rsa.private_key_to_pem_pkcs8_passphrase(Cipher::aes_128_cbc(), b"x").unwrap();
    assert_eq!(check(&String::from_utf8(encrypted).unwrap(), SHA1), BadSigningKey::Encrypted);
    assert_eq!(check(&pkcs8(&PKey::generate_ed25519().unwrap()), SHA1), BadSigningKey::NotRsa);
    let debug = format!("{:?}", SigningKey::new(&Secret::from(good.as_str()), SHA1).unwrap());
    assert_eq!(debug, "SigningKey { algorithm: Rs256, .. }");
}

#[test]
fn authority_becomes_the_token_endpoint() {
    let full = "https://login.microsoftonline.com/t/oauth2/v2.0/token";
    for authority in [
        "https://login.microsoftonline.com/t/",
        "https://login.microsoftonline.com/t",
        " https://login.microsoftonline.com/t/oauth2/v2.0/ ",
        full,
    ] {
        assert_eq!(token_url(authority).unwrap(), full, "{authority}");
    }
    assert_eq!(token_url("https://login.microsoftonline.com/"), Err(BadEndpoint::NoTenant));
    assert!(matches!(token_url("login.microsoftonline.com/t"), Err(BadEndpoint::NotAUrl(_))));
}

fn failure(status: u16, body: &str) -> NetError {
    let status = StatusCode::from_u16(status).unwrap();
    reply::failure("login.example.com", status, None, body.as_bytes())
}

#[test]
fn refusals_carry_code_and_hint() {
    let cases = [
        (
            r#"{"error":"invalid_client","error_codes":[7000215]}"#,
            "invalid_client, AADSTS7000215",
            "value",
        ),
        (
            r#"{"error":"invalid_client","error_description":"AADSTS7000222: it"}"#,
            "invalid_client, AADSTS7000222",
            "expired",
        ),
        (
            r#"{"error":"invalid_client","error_codes":[700027]}"#,
            "invalid_client, AADSTS700027",
            "thumbprint",
        ),
        (
            r#"{"error":"unauthorized_client","error_codes":[700016]}"#,
            "unauthorized_client, AADSTS700016",
            "client id",
        ),
        (r#"{"error":"invalid_scope"}"#, "invalid_scope", "scope"),
        ("<html>", "HTTP 400", ""),
        (r#"{"error":"Hunter2 <b>"}"#, "HTTP 400", ""),
    ];
    for (body, expected, word) in cases {
        let err = failure(400, body);
        assert!(err.hint().unwrap_or_default().contains(word), "{body}: {:?}", err.hint());
        assert_eq!(
            err.to_string(),
            format!("`login.example.com` refused to issue a token ({expected})")
        );
    }
}

#[test]
fn wrong_address_is_recognized() {
    assert!(failure(404, "<html>").hint().unwrap().contains("authority URL"));
}

#[test]
fn what_may_pass_is_worth_another_try() {
    for (status, body) in
        [(429, ""), (500, "<html>"), (503, ""), (400, r#"{"error":"temporarily_unavailable"}"#)]
    {
        let err = failure(status, body);
        assert!(matches!(err, NetError::TokenUnavailable { .. }), "{status}: {err}");
    }
}

#[test]
fn token_reply_is_read_in_both_forms() {
    let read = |body: &str| reply::token(body.as_bytes());
    let (token, life) =
        read(r#"{"token_type":"bearer","expires_in":3599,"access_token":"abc"}"#).unwrap();
    assert_eq!((token.reveal(), life.as_secs()), ("abc", 3599));
    assert_eq!(read(r#"{"expires_in":"60","access_token":"abc"}"#).unwrap().1.as_secs(), 60);
    assert!(read(r#"{"expires_in":1e300,"access_token":"abc"}"#).is_err());
    for body in [
        "",
        "{}",
        r#"{"expires_in":60}"#,
        r#"{"expires_in":-1,"access_token":"abc"}"#,
        r#"{"expires_in":60,"access_token":"hunter2\r\nx: y"}"#,
        r#"{"expires_in":60,"access_token":"hunter2","token_type":"mac"}"#,
    ] {
        let err = read(body).map(|_| ()).unwrap_err();
        assert!(!format!("{err} {err:?}").contains("hunter2"), "{err:?}");
    }
}
