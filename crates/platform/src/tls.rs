//! The certificate of the server.

use std::path::{Path, PathBuf};

use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod};

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("could not use the certificate `{}` with the key `{}`", certificate.display(), key.display())]
pub struct BadCertificate {
    certificate: PathBuf,
    key: PathBuf,
    #[source]
    cause: openssl::error::ErrorStack,
}

/// Reads a chain of certificates and the key of its first one, in PEM form.
///
/// # Errors
///
/// [`BadCertificate`], if a file cannot be read, or they do not belong together.
pub fn acceptor(certificate: &Path, key: &Path) -> Result<SslAcceptor, BadCertificate> {
    let build = || {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
        acceptor.set_certificate_chain_file(certificate)?;
        acceptor.set_private_key_file(key, SslFiletype::PEM)?;
        acceptor.check_private_key()?;
        Ok(acceptor.build())
    };
    build().map_err(|cause| BadCertificate {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        cause,
    })
}
