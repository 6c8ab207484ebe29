//! A server's certificate: made at the start, or read from files.

use std::path::PathBuf;

use anyhow::{Context, Result};
use openssl::{
    asn1::{Asn1Integer, Asn1Time},
    bn::BigNum,
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Rsa,
    ssl::{SslAcceptor, SslMethod},
    x509::{
        X509, X509NameBuilder,
        extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName},
    },
};

/// What carries HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// TLS with a certificate for `localhost` and `127.0.0.1` that is made at the start.
    #[default]
    SelfSigned,
    /// TLS with these PEM files.
    Files { certificate: PathBuf, key: PathBuf },
    /// No TLS. For loopback.
    Plain,
}

/// What the server needs for TLS.
pub(crate) struct Identity {
    pub(crate) acceptor: SslAcceptor,
    /// The certificate that clients must trust, in PEM form.
    pub(crate) pem: Vec<u8>,
    /// The certificate in DER form, to which channel bindings are bound.
    pub(crate) der: Vec<u8>,
}

/// The identity that `transport` asks for; `None` without TLS.
pub(crate) fn identity(transport: &Transport) -> Result<Option<Identity>> {
    let (key, chain) = match transport {
        Transport::Plain => return Ok(None),
        Transport::SelfSigned => {
            let (key, certificate) = self_signed(&["localhost"], &["127.0.0.1", "::1"])?;
            (key, vec![certificate])
        }
        Transport::Files { certificate, key } => {
            let pem = std::fs::read(certificate)
                .with_context(|| format!("could not read `{}`", certificate.display()))?;
            let chain = X509::stack_from_pem(&pem)
                .with_context(|| format!("`{}` is no PEM certificate", certificate.display()))?;
            let pem = std::fs::read(key)
                .with_context(|| format!("could not read `{}`", key.display()))?;
            let key = PKey::private_key_from_pem(&pem)
                .with_context(|| format!("`{}` is no PEM private key", key.display()))?;
            (key, chain)
        }
    };
    let mut chain = chain.into_iter();
    let certificate = chain.next().context("the certificate file is empty")?;
    let mut acceptor = SslAcceptor::mozilla_intermediate(SslMethod::tls_server())?;
    acceptor.set_private_key(&key)?;
    acceptor.set_certificate(&certificate)?;
    let mut pem = certificate.to_pem()?;
    for more in chain {
        pem = more.to_pem()?;
        acceptor.add_extra_chain_cert(more)?;
    }
    acceptor.check_private_key().context("the private key is not that of the certificate")?;
    Ok(Some(Identity { acceptor: acceptor.build(), pem, der: certificate.to_der()? }))
}

/// A certificate that is its own authority. RSA, because old cipher lists leave nothing else.
fn self_signed(names: &[&str], addresses: &[&str]) -> Result<(PKey<Private>, X509)> {
    let key = PKey::from_rsa(Rsa::generate(2048)?)?;
    let mut subject = X509NameBuilder::new()?;
    subject.append_entry_by_text("O", "Tributary simulated server")?;
    subject.append_entry_by_text("CN", "localhost")?;
    let subject = subject.build();

    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let mut serial = BigNum::new()?;
    serial.pseudo_rand(120, openssl::bn::MsbOption::MAYBE_ZERO, false)?;
    let serial: Asn1Integer = serial.to_asn1_integer()?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(&subject)?;
    builder.set_issuer_name(&subject)?;
    builder.set_pubkey(&key)?;
    let (from, to) = (Asn1Time::from_unix(0)?, Asn1Time::days_from_now(3650)?);
    builder.set_not_before(&from)?;
    builder.set_not_after(&to)?;

    builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    let usage = KeyUsage::new().digital_signature().key_encipherment().key_cert_sign().build()?;
    builder.append_extension(usage)?;
    builder.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
    let mut alternatives = SubjectAlternativeName::new();
    for name in names {
        alternatives.dns(name);
    }
    for address in addresses {
        alternatives.ip(address);
    }
    let alternatives = alternatives.build(&builder.x509v3_context(None, None))?;
    builder.append_extension(alternatives)?;
    builder.sign(&key, MessageDigest::sha256())?;
    Ok((key, builder.build()))
}
