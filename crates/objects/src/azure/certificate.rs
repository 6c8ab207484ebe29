//! The certificate of an app registration, as a file with its private key.

use std::path::Path;

use net::oauth::SigningKey;
use openssl::{
    hash::MessageDigest,
    pkcs12::Pkcs12,
    pkey::{PKey, Private},
    x509::X509,
};
use record::Secret;

use crate::hex;

/// Longest certificate file, in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// Reads the key and the thumbprint of the certificate at `path`, PEM or PKCS#12.
///
/// The error is a clause for a message, and says nothing of the content.
pub(super) fn read(path: &Path, password: Option<&Secret>) -> Result<SigningKey, String> {
    let shown = path.display();
    let size = std::fs::metadata(path).map_err(|err| format!("cannot read `{shown}`: {err}"))?;
    if size.len() > MAX_SIZE {
        return Err(format!("`{shown}` is too long for a certificate"));
    }
    let bytes = std::fs::read(path).map_err(|err| format!("cannot read `{shown}`: {err}"))?;
    let password = password.map_or("", |password| password.reveal());
    let (key, certificate) = match bytes.windows(11).any(|part| part == b"-----BEGIN ") {
        true => from_pem(&bytes, password),
        false => from_pkcs12(&bytes, password),
    }
    .ok_or_else(|| {
        format!(
            "`{shown}` does not hold a certificate with its private key, in PEM or PKCS#12 form, \
             or `AZURE_CLIENT_CERTIFICATE_PASSWORD` is wrong"
        )
    })?;
    let unusable = |err: &dyn std::fmt::Display| format!("`{shown}` is not usable: {err}");
    let thumbprint = certificate.digest(MessageDigest::sha256()).map_err(|err| unusable(&err))?;
    let pem = key.private_key_to_pem_pkcs8().map_err(|err| unusable(&err))?;
    let pem = String::from_utf8(pem).map(Secret::from).map_err(|err| unusable(&err))?;
    SigningKey::new(&pem, &hex(&thumbprint)).map_err(|err| unusable(&err))
}

fn from_pem(bytes: &[u8], password: &str) -> Option<(PKey<Private>, X509)> {
    let key = PKey::private_key_from_pem_passphrase(bytes, password.as_bytes()).ok()?;
    // The first that belongs to the key; the others are those that issued it.
    let certificate = X509::stack_from_pem(bytes)
        .ok()?
        .into_iter()
        .find(|certificate| certificate.public_key().is_ok_and(|public| public.public_eq(&key)))?;
    Some((key, certificate))
}

fn from_pkcs12(bytes: &[u8], password: &str) -> Option<(PKey<Private>, X509)> {
    let parts = Pkcs12::from_der(bytes).ok()?.parse2(password).ok()?;
    Some((parts.pkey?, parts.cert?))
}
