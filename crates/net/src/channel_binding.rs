//! Ties a sign-in to the TLS connection that carries it: the `tls-server-end-point` token.
//!
//! Extended Protection of Exchange compares it with its own certificate, so that a sign-in that
//! somebody relays from another connection is worth nothing.

use openssl::{error::ErrorStack, hash::MessageDigest, nid::Nid, x509::X509Ref};

const PREFIX: &[u8] = b"tls-server-end-point:";

/// The channel-binding token of the server whose certificate is `certificate`.
///
/// `tls-server-end-point:` and the certificate's hash, taken with the hash function of its
/// signature; SHA-256 takes the place of MD5 and SHA-1, and stands in where the signature names
/// no hash function (Ed25519).
///
/// # Errors
///
/// OpenSSL cannot encode or hash the certificate.
///
/// Spec: RFC 5929 §4.1.
pub fn tls_server_end_point(certificate: &X509Ref) -> Result<Vec<u8>, ErrorStack> {
    let digest = certificate.digest(signature_hash(certificate)?)?;
    Ok([PREFIX, digest.as_ref()].concat())
}

fn signature_hash(certificate: &X509Ref) -> Result<MessageDigest, ErrorStack> {
    let algorithm = certificate.signature_algorithm().object().nid();
    let hash = if algorithm == Nid::RSASSAPSS {
        pss_hash(&certificate.to_der()?)
    } else {
        algorithm.signature_algorithms().map(|algorithms| algorithms.digest)
    };
    Ok(match hash {
        None | Some(Nid::MD5 | Nid::SHA1) => MessageDigest::sha256(),
        Some(nid) => MessageDigest::from_nid(nid).unwrap_or_else(MessageDigest::sha256),
    })
}

/// The hash function that the RSASSA-PSS parameters of a certificate's signature name, which
/// OpenSSL's table of algorithms does not know. Absent means SHA-1.
///
/// Spec: RFC 4055 §3.1, RFC 5280 §4.1.
fn pss_hash(certificate: &[u8]) -> Option<Nid> {
    let (certificate, _) = der(certificate, 0x30)?;
    let (_to_be_signed, rest) = der(certificate, 0x30)?;
    let (algorithm, _) = der(rest, 0x30)?;
    let (_oid, rest) = der(algorithm, 0x06)?;
    let (parameters, _) = der(rest, 0x30)?;
    let (tagged, _) = der(parameters, 0xa0)?;
    let (hash, _) = der(tagged, 0x30)?;
    let (oid, _) = der(hash, 0x06)?;
    match oid {
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last] => match last {
            1 => Some(Nid::SHA256),
            2 => Some(Nid::SHA384),
            3 => Some(Nid::SHA512),
            4 => Some(Nid::SHA224),
            _ => None,
        },
        _ => None,
    }
}

/// Splits a DER element with `tag` from the front: its content, and what follows.
fn der(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (size, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (size, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if size.len() > 4 {
            return None;
        }
        (size.iter().fold(0, |size, byte| size << 8 | usize::from(*byte)), rest)
    };
    (found == tag).then_some(())?;
    rest.split_at_checked(size)
}

#[cfg(test)]
mod tests {
    use openssl::{
        asn1::Asn1Time,
        bn::BigNum,
        pkey::{PKey, Private},
        rsa::Rsa,
        x509::{X509, X509NameBuilder},
    };

    use super::*;

    fn certificate(key: &PKey<Private>, hash: MessageDigest) -> X509 {
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", "mail.example.com").unwrap();
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        let serial = BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap();
        builder.set_serial_number(&serial).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_pubkey(key).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        builder.sign(key, hash).unwrap();
        builder.build()
    }

    fn check(certificate: &X509, expected: MessageDigest) {
        let token = tls_server_end_point(certificate).unwrap();
        let digest = certificate.digest(expected).unwrap();
        assert_eq!(token, [b"tls-server-end-point:", digest.as_ref()].concat());
    }

    #[test]
    fn hash_is_that_of_the_signature_but_never_a_broken_one() {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        for (signature, expected) in [
            (MessageDigest::md5(), MessageDigest::sha256()),
            (MessageDigest::sha1(), MessageDigest::sha256()),
            (MessageDigest::sha256(), MessageDigest::sha256()),
            (MessageDigest::sha384(), MessageDigest::sha384()),
            (MessageDigest::sha512(), MessageDigest::sha512()),
        ] {
            check(&certificate(&key, signature), expected);
        }
    }

    #[test]
    fn pss_signature_names_its_hash_in_its_parameters() {
        let pem = include_bytes!("../testdata/certificate-pss-sha384.pem");
        check(&X509::from_pem(pem).unwrap(), MessageDigest::sha384());
    }

    #[test]
    fn signature_without_hash_goes_with_sha_256() {
        let key = PKey::generate_ed25519().unwrap();
        check(&certificate(&key, MessageDigest::null()), MessageDigest::sha256());
    }

    #[test]
    fn cut_certificate_yields_no_hash() {
        let pem = include_bytes!("../testdata/certificate-pss-sha384.pem");
        let der = X509::from_pem(pem).unwrap().to_der().unwrap();
        assert_eq!(pss_hash(&der), Some(Nid::SHA384));
        for cut in 0..der.len() {
            assert_eq!(pss_hash(&der[..cut]), None);
        }
    }
}
