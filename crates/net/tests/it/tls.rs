//! Certificates, ciphers, and the channel binding.

use std::sync::{Arc, Mutex};

use net::{
    ChannelBinding, Endpoint, Identity, Login, NetError, Session, TlsSettings,
    channel_binding::tls_server_end_point,
    ntlm::{Binding, binding_hash},
};
use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Rsa,
    ssl::{SslAcceptor, SslMethod, SslVersion},
    x509::{X509, X509NameBuilder, extension::SubjectAlternativeName},
};
use record::Secret;

use crate::{
    desk::Desk,
    limits, say,
    server::{Server, ok},
    transport,
};

/// A key and a certificate that it signed for itself.
pub(crate) struct Certificate {
    pub(crate) key: PKey<Private>,
    pub(crate) x509: X509,
}

impl Certificate {
    /// For `name`, a host name or an address, valid from yesterday for `days`.
    pub(crate) fn new(name: &str, days: i64) -> Self {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut subject = X509NameBuilder::new().unwrap();
        subject.append_entry_by_text("CN", "Test").unwrap();
        let subject = subject.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        let serial = BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap();
        builder.set_serial_number(&serial).unwrap();
        builder.set_subject_name(&subject).unwrap();
        builder.set_issuer_name(&subject).unwrap();
        builder.set_pubkey(&key).unwrap();
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let now = i64::try_from(now).unwrap();
        let day = 24 * 3600;
        builder.set_not_before(&Asn1Time::from_unix(now - 10 * day).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::from_unix(now + days * day).unwrap()).unwrap();
        let mut names = SubjectAlternativeName::new();
        if name.parse::<std::net::IpAddr>().is_ok() {
            names.ip(name)
        } else {
            names.dns(name)
        };
        let names = names.build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(names).unwrap();
        builder.sign(&key, MessageDigest::sha384()).unwrap();
        Self { key, x509: builder.build() }
    }

    fn acceptor(&self) -> SslAcceptor {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        acceptor.set_private_key(&self.key).unwrap();
        acceptor.set_certificate(&self.x509).unwrap();
        acceptor.build()
    }

    /// Writes the certificate to a file of its own.
    pub(crate) fn ca_file(&self, name: &str) -> std::path::PathBuf {
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, self.x509.to_pem().unwrap()).unwrap();
        path
    }
}

pub(crate) fn session(server: &Server, tls: &TlsSettings, identity: Identity) -> Session {
    let url = format!("https://{}/EWS/Exchange.asmx", server.address);
    Session::new(Endpoint::new(&url, transport(tls, limits())).unwrap(), identity)
}

async fn visit(certificate: &Certificate, tls: &TlsSettings) -> Result<(u16, String), NetError> {
    let server = Server::start_tls(certificate.acceptor(), |_| ok("in")).await;
    say(&mut session(&server, tls, Identity::Anonymous), "x").await
}

#[track_caller]
fn check_refused(result: Result<(u16, String), NetError>, cause: &str, hint: &str) {
    let err = result.unwrap_err();
    assert!(matches!(err, NetError::Tls { .. }), "{err:?}");
    let chain = record::Chain(&err).to_string();
    assert!(chain.contains(cause), "{chain}");
    assert!(err.hint().unwrap().contains(hint), "{:?}", err.hint());
}

#[tokio::test]
async fn unknown_certificate_is_refused_unless_its_authority_is_given() {
    let certificate = Certificate::new("127.0.0.1", 10);
    let strict = TlsSettings::default();
    check_refused(visit(&certificate, &strict).await, "self-signed certificate", "CA file");
    let ca_file = Some(certificate.ca_file("known.pem"));
    let known = TlsSettings { ca_file, ..TlsSettings::default() };
    assert_eq!(visit(&certificate, &known).await.unwrap().1, "in");
    let careless = TlsSettings { verify: false, ..TlsSettings::default() };
    assert_eq!(visit(&certificate, &careless).await.unwrap().1, "in");
}

#[tokio::test]
async fn certificate_must_name_the_host_and_be_of_today() {
    for (name, certificate, cause, hint) in [
        ("other.pem", Certificate::new("127.0.0.2", 10), "IP address mismatch", "another name"),
        ("old.pem", Certificate::new("127.0.0.1", -1), "has expired", "renew it"),
    ] {
        let ca_file = Some(certificate.ca_file(name));
        let tls = TlsSettings { ca_file, ..TlsSettings::default() };
        check_refused(visit(&certificate, &tls).await, cause, hint);
        let careless = TlsSettings { verify: false, ..tls };
        assert_eq!(visit(&certificate, &careless).await.unwrap().1, "in");
    }
}

#[tokio::test]
async fn cipher_list_is_obeyed() {
    let certificate = Certificate::new("127.0.0.1", 10);
    let list = |ciphers: &str| TlsSettings {
        verify: false,
        ciphers: Some(ciphers.into()),
        ..TlsSettings::default()
    };
    let rsa = "ECDHE-RSA-AES256-GCM-SHA384";
    assert_eq!(visit(&certificate, &list(rsa)).await.unwrap().1, "in");
    let ecdsa = visit(&certificate, &list("ECDHE-ECDSA-AES256-GCM-SHA384")).await;
    check_refused(ecdsa, "handshake failure", "cipher list");
}

#[tokio::test]
async fn cipher_list_keeps_tls_1_3_out() {
    let certificate = Certificate::new("127.0.0.1", 10);
    let mut acceptor = SslAcceptor::mozilla_modern_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_min_proto_version(Some(SslVersion::TLS1_3)).unwrap();
    acceptor.set_private_key(&certificate.key).unwrap();
    acceptor.set_certificate(&certificate.x509).unwrap();
    let server = Server::start_tls(acceptor.build(), |_| ok("in")).await;
    let any = TlsSettings { verify: false, ..TlsSettings::default() };
    assert_eq!(say(&mut session(&server, &any, Identity::Anonymous), "x").await.unwrap().1, "in");
    let listed = TlsSettings { ciphers: Some("HIGH".into()), ..any };
    let refused = say(&mut session(&server, &listed, Identity::Anonymous), "x").await;
    check_refused(refused, "protocol version", "no TLS version in common");
}

#[tokio::test]
async fn security_level_zero_reaches_a_server_of_another_age() {
    let certificate = Certificate::new("127.0.0.1", 10);
    let mut acceptor = SslAcceptor::mozilla_intermediate(SslMethod::tls_server()).unwrap();
    acceptor.set_cipher_list("ALL:@SECLEVEL=0").unwrap();
    acceptor.set_min_proto_version(Some(SslVersion::TLS1)).unwrap();
    acceptor.set_max_proto_version(Some(SslVersion::TLS1)).unwrap();
    acceptor.set_private_key(&certificate.key).unwrap();
    acceptor.set_certificate(&certificate.x509).unwrap();
    let server = Server::start_tls(acceptor.build(), |_| ok("in")).await;
    let any = TlsSettings { verify: false, ..TlsSettings::default() };
    let refused = say(&mut session(&server, &any, Identity::Anonymous), "x").await;
    check_refused(refused, "", "@SECLEVEL=0");
    let low = TlsSettings { ciphers: Some("DEFAULT@SECLEVEL=0".into()), ..any };
    assert_eq!(say(&mut session(&server, &low, Identity::Anonymous), "x").await.unwrap().1, "in");
}

#[tokio::test]
async fn plain_server_on_the_port_is_recognized() {
    let server = Server::start(|_| ok("in")).await;
    let tls = TlsSettings::default();
    // The server waits for the end of a line that a TLS greeting does not have to contain.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    drop(server);
    let answer = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad\r\n\r\n")
            .await
            .unwrap();
        stream
    };
    let mut session =
        Session::new(Endpoint::new(&url, transport(&tls, limits())).unwrap(), Identity::Anonymous);
    let (result, _stream) = tokio::join!(say(&mut session, "x"), answer);
    check_refused(result, "wrong version number", "does not speak TLS");
}

/// Signs in twice over new connections, with what the server takes for a good binding.
async fn bindings_presented(binding_is_good: fn(Binding, [u8; 16]) -> bool) -> Vec<Binding> {
    let certificate = Certificate::new("127.0.0.1", 10);
    let right = binding_hash(&tls_server_end_point(&certificate.x509).unwrap()).unwrap();
    let presented = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&presented);
    let mut desk = Desk::new("hunter2");
    desk.binding_is_good = Box::new(move |binding| {
        log.lock().unwrap().push(binding);
        binding_is_good(binding, right)
    });
    let server = Server::start_tls(certificate.acceptor(), move |request| {
        desk.refuse(request).unwrap_or_else(|| ok("in"))
    })
    .await;
    let careless = TlsSettings { verify: false, ..TlsSettings::default() };
    let login = Login::ntlm("ana@example.com", Secret::from("hunter2"), ChannelBinding::Auto);
    let mut session = session(&server, &careless, Identity::Password(login));
    for _ in 0..2 {
        drop(say(&mut session, "x").await);
        session.disconnect();
    }
    let presented = presented.lock().unwrap();
    presented
        .iter()
        .map(|one| if *one == Binding::Hash(right) { Binding::Hash([1; 16]) } else { *one })
        .collect()
}

#[tokio::test]
async fn right_binding_is_presented_even_without_verification() {
    let presented = bindings_presented(|binding, right| binding == Binding::Hash(right)).await;
    assert_eq!(presented, [Binding::Hash([1; 16]); 2]);
}

#[tokio::test]
async fn refused_binding_is_left_out_from_then_on() {
    let presented = bindings_presented(|binding, _| binding == Binding::Absent).await;
    assert_eq!(presented, [Binding::Hash([1; 16]), Binding::Absent, Binding::Absent]);
}
