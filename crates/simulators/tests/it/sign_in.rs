//! Who is let in, by which way, and to which mailbox.

use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use net::{channel_binding, ntlm};
use openssl::{
    asn1::Asn1Time,
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::{Padding, Rsa},
    sha::{sha1, sha256},
    sign::{RsaPssSaltlen, Signer},
    x509::X509,
};
use serde_json::{Value, json};
use simulators::exchange::{
    App, Auth, ChannelBinding, Exchange, Options, Rights, Transport, User, Version,
};

use crate::client::{ABC, Client, Reply, distinguished, envelope, sync_items};

async fn start(options: Options) -> Exchange {
    let server = Exchange::start(options).await.unwrap();
    server.add_mailbox(ABC);
    server
}

fn ask() -> String {
    sync_items(&distinguished("inbox"), "", 1, &[])
}

fn impersonating(address: &str, operation: &str) -> String {
    envelope("Exchange2013", operation).replace(
        "</s:Header>",
        &format!(
            "<t:ExchangeImpersonation><t:ConnectingSID><t:PrimarySmtpAddress>{address}\
             </t:PrimarySmtpAddress></t:ConnectingSID></t:ExchangeImpersonation></s:Header>"
        ),
    )
}

#[tokio::test]
async fn basic_wants_the_right_password() {
    let server = start(Options::default()).await;
    let mut client = Client::anonymous(&server).await;
    let reply = client.call(&ask()).await;
    assert_eq!(
        (reply.status.as_u16(), reply.headers["www-authenticate"].to_str().unwrap()),
        (401, "Basic realm=\"localhost\"")
    );
    let wrong = STANDARD.encode_to_string(format!("{}:wrong", Options::USER));
    client.headers.push(("authorization", format!("Basic {wrong}")));
    assert_eq!(client.call(&ask()).await.status, 401);
    assert_eq!(Client::connect(&server).await.call(&ask()).await.status, 200);
}

#[tokio::test]
async fn without_sign_in_everybody_is_let_in() {
    let server = start(Options { auth: Auth::none(), ..Options::default() }).await;
    let mut client = Client::anonymous(&server).await;
    assert_eq!(client.call(&ask()).await.first("ResponseCode"), "NoError");
    let get = Request::get("/EWS/Exchange.asmx").header("host", "localhost");
    let reply = client.send(get.body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(reply.status, 401);
}

#[tokio::test]
async fn ntlm_is_offered_in_two_lines() {
    let auth = Auth::ntlm(ChannelBinding::Require);
    let server = start(Options { auth, ..Options::default() }).await;
    let reply = Client::anonymous(&server).await.call(&ask()).await;
    let offers: Vec<_> = reply.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(offers, ["Negotiate", "NTLM"]);
}

/// Signs in with this channel binding, and returns the statuses of the last leg and of a request
/// after it without a header.
async fn ntlm(server: &Exchange, password: &str, binding: Option<[u8; 16]>) -> [u16; 2] {
    let mut client = Client::anonymous(server).await;
    let header =
        |message: &[u8]| ("authorization", format!("NTLM {}", STANDARD.encode_to_string(message)));
    client.headers = vec![header(&ntlm::negotiate())];
    let reply = client.call(&ask()).await;
    let challenge = reply.headers["www-authenticate"].to_str().unwrap();
    let challenge = STANDARD.decode_to_vec(challenge.strip_prefix("NTLM ").unwrap()).unwrap();
    let credentials = ntlm::Credentials {
        user: Options::USER,
        password: &password.into(),
        target: "HTTP/localhost",
        binding,
    };
    let message = ntlm::authenticate(&challenge, &credentials, [7; 8], 0).unwrap();
    client.headers = vec![header(&message)];
    let last = client.call(&ask()).await.status.as_u16();
    client.headers.clear();
    [last, client.call(&ask()).await.status.as_u16()]
}

#[tokio::test]
async fn a_channel_binding_is_checked_as_the_server_is_set() {
    let wrong = Some([9; 16]);
    let zero = Some([0; 16]);
    for (mode, passes) in [
        (ChannelBinding::None, [true, true, true, true]),
        (ChannelBinding::Allow, [true, true, false, true]),
        (ChannelBinding::Require, [false, false, false, true]),
    ] {
        let server = start(Options { auth: Auth::ntlm(mode), ..Options::default() }).await;
        let certificate = X509::from_pem(server.ca_pem()).unwrap();
        let token = channel_binding::tls_server_end_point(&certificate).unwrap();
        let right = Some(ntlm::binding_hash(&token).unwrap());
        for (binding, passes) in [None, zero, wrong, right].into_iter().zip(passes) {
            let expected = if passes { [200, 200] } else { [401, 401] };
            let got = ntlm(&server, Options::PASSWORD, binding).await;
            assert_eq!(got, expected, "{mode:?} {binding:?}");
        }
        assert_eq!(ntlm(&server, "wrong", right).await, [401, 401]);
    }
}

#[tokio::test]
async fn rights_decide_by_delegation_and_by_impersonation() {
    let denied = Rights { denied: [ABC.to_owned()].into(), ..Rights::default() };
    let user = User { rights: denied, ..User::new(Options::USER, Options::PASSWORD) };
    let server = start(Options { users: vec![user], ..Options::default() }).await;
    server.add_mailbox("other@example.com");
    let mut client = Client::connect(&server).await;
    assert_eq!(client.call(&ask()).await.first("ResponseCode"), "ErrorAccessDenied");
    let own = ask().replace(&distinguished("inbox"), "<t:DistinguishedFolderId Id=\"inbox\"/>");
    let path = "/EWS/Exchange.asmx";
    for (address, status, code) in [
        (ABC, 500, "ErrorImpersonateUserDenied"),
        ("nobody@example.com", 500, "ErrorNonExistentMailbox"),
        ("Other@Example.com", 200, "NoError"),
    ] {
        let reply = client.post(path, impersonating(address, &own)).await.unwrap();
        assert_eq!((reply.status.as_u16(), reply.first("ResponseCode")), (status, code.to_owned()));
    }
    let through = client.post(path, impersonating("other@example.com", &ask())).await.unwrap();
    assert_eq!(through.first("ResponseCode"), "ErrorAccessDenied");
    let unknown = ask().replace(ABC, "nobody@example.com");
    assert_eq!(client.call(&unknown).await.first("ResponseCode"), "ErrorNonExistentMailbox");
}

#[tokio::test]
async fn an_old_server_refuses_new_versions() {
    let options = Options {
        version: Version::EXCHANGE_2007_SP1,
        accepts_up_to: Some("Exchange2007_SP1".to_owned()),
        ..Options::default()
    };
    let server = start(options).await;
    let mut client = Client::connect(&server).await;
    let path = "/EWS/Exchange.asmx";
    let old = ask().replace("<m:SyncScope>NormalItems</m:SyncScope>", "");
    for (version, operation, code) in [
        ("Exchange2010_SP2", &old, "ErrorInvalidServerVersion"),
        ("Exchange2099", &old, "ErrorInvalidServerVersion"),
        ("Exchange2007_SP1", &ask(), "ErrorSchemaValidation"),
        ("Exchange2007_SP1", &old, "NoError"),
    ] {
        let reply = client.post(path, envelope(version, operation)).await.unwrap();
        assert_eq!(reply.first("ResponseCode"), code, "{version}");
        assert_eq!(reply.attributes("ServerVersionInfo", "MajorVersion"), ["8"]);
    }
}

#[tokio::test]
async fn a_certificate_can_be_given() {
    let own = Exchange::start(Options::default()).await.unwrap();
    let (key, certificate) = certificate();
    let file = |name: &str, bytes: Vec<u8>| {
        let path = own.directory().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let transport = Transport::Files {
        certificate: file("server.pem", certificate.to_pem().unwrap()),
        key: file("server.key", key.private_key_to_pem_pkcs8().unwrap()),
    };
    let server = Exchange::start(Options { transport, ..Options::default() }).await.unwrap();
    assert_eq!(server.ca_pem(), certificate.to_pem().unwrap());
    let missing = Transport::Files { certificate: "/none".into(), key: "/none".into() };
    let error = Exchange::start(Options { transport: missing, ..Options::default() }).await;
    assert_eq!(error.err().unwrap().to_string(), "could not read `/none`");
    let plain = Options { transport: Transport::Plain, ..Options::default() };
    assert!(Exchange::start(plain).await.unwrap().ews_url().starts_with("http://localhost:"));
}

/// A key with its certificate.
fn certificate() -> (PKey<Private>, X509) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut builder = X509::builder().unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(9).unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (key, builder.build())
}

fn assertion(key: &PKey<Private>, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode_to_string(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let mut signer = Signer::new(MessageDigest::sha256(), key).unwrap();
    if header["alg"] == "PS256" {
        signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
        signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH).unwrap();
    }
    signer.update(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode_to_string(signer.sign_to_vec().unwrap()))
}

async fn token(client: &mut Client, fields: &[(&str, &str)]) -> Reply {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    form.append_pair("client_id", Options::CLIENT_ID);
    form.append_pair("scope", "https://outlook.office365.com/.default");
    form.extend_pairs(fields);
    let path = format!("/{}/oauth2/v2.0/token", Options::TENANT);
    let request = Request::post(path)
        .header("host", "localhost")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(form.finish())));
    client.send(request.unwrap()).await.unwrap()
}

fn field(reply: &Reply, name: &str) -> String {
    let json: Value = serde_json::from_slice(&reply.body).unwrap();
    json[name].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_token_is_had_for_the_secret_and_ends() {
    let server = start(Options { auth: Auth::bearer(), ..Options::default() }).await;
    let mut client = Client::anonymous(&server).await;
    let refused = token(&mut client, &[("client_secret", "wrong")]).await;
    assert_eq!((refused.status.as_u16(), field(&refused, "error")), (401, "invalid_client".into()));
    let issued = token(&mut client, &[("client_secret", Options::CLIENT_SECRET)]).await;
    let bearer = format!("Bearer {}", field(&issued, "access_token"));
    client.headers.push(("authorization", bearer));

    let alone = client.call(&ask()).await;
    assert_eq!(alone.first("ResponseCode"), "ErrorImpersonationRequired");
    let request = impersonating(ABC, &ask());
    let path = "/EWS/Exchange.asmx";
    assert_eq!(client.post(path, request.clone()).await.unwrap().first("ResponseCode"), "NoError");
    server.revoke_tokens();
    let reply = client.post(path, request).await.unwrap();
    let diagnostics = reply.headers["x-ms-diagnostics"].to_str().unwrap();
    assert!(reply.status == 401 && diagnostics.starts_with("2000002;"), "{diagnostics}");
}

#[tokio::test]
async fn an_assertion_is_believed_only_if_everything_in_it_is_right() {
    let (key, certificate) = certificate();
    let app = App::with_certificate(Options::CLIENT_ID, &certificate.to_pem().unwrap());
    let server =
        start(Options { auth: Auth::bearer(), apps: vec![app], ..Options::default() }).await;
    let der = certificate.to_der().unwrap();
    let thumb = |hash: &[u8]| URL_SAFE_NO_PAD.encode_to_string(hash);
    let rs256 = json!({"alg": "RS256", "typ": "JWT", "x5t": thumb(&sha1(&der))});
    let ps256 = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": thumb(&sha256(&der))});
    let now = server.now().timestamp();
    let claims = |jti: &str| {
        json!({"aud": server.token_url(), "iss": Options::CLIENT_ID, "sub": Options::CLIENT_ID,
               "jti": jti, "nbf": now, "iat": now, "exp": now + 600})
    };
    let change = |jti: &str, name: &str, value: Value| {
        let mut claims = claims(jti);
        claims[name] = value;
        claims
    };
    let stranger = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let swapped = json!({"alg": "PS256", "x5t#S256": thumb(&sha1(&der))});
    let cases = [
        ("PS256", &key, &ps256, claims("1"), ""),
        ("RS256", &key, &rs256, claims("2"), ""),
        ("used twice", &key, &ps256, claims("1"), "it was used before"),
        ("another key", &stranger, &ps256, claims("3"), "the signature is wrong"),
        ("wrong thumbprint", &key, &swapped, claims("4"), "the key was not found"),
        (
            "audience",
            &key,
            &ps256,
            change("5", "aud", json!("https://example.org/")),
            "`aud` must be",
        ),
        ("subject", &key, &ps256, change("6", "sub", json!("x")), "`iss` and `sub`"),
        ("expired", &key, &ps256, change("7", "exp", json!(now - 1000)), "it has expired"),
        ("too early", &key, &ps256, change("8", "nbf", json!(now + 1000)), "it is not valid yet"),
        ("no jti", &key, &ps256, change("9", "jti", Value::Null), "`jti` is missing"),
    ];
    let mut client = Client::anonymous(&server).await;
    for (case, key, header, claims, reason) in cases {
        let assertion = assertion(key, header, &claims);
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let fields = [("client_assertion_type", kind), ("client_assertion", assertion.as_str())];
        let reply = token(&mut client, &fields).await;
        let said = field(&reply, "error_description");
        assert_eq!(reply.status == 200, reason.is_empty(), "{case}: {said}");
        assert!(said.contains(reason), "{case}: {said}");
    }
    let reply = token(&mut client, &[("client_secret", "any")]).await;
    assert_eq!(field(&reply, "error"), "invalid_client");
}
