//! OpenSSL as it is configured for outgoing connections.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use openssl::{
    error::ErrorStack,
    ssl::{
        self, ErrorCode, Ssl, SslConnector, SslConnectorBuilder, SslMethod, SslVerifyMode,
        SslVersion,
    },
    x509::{X509, X509VerifyResult},
};

use crate::NetError;

/// How TLS connections are made.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// Whether the certificate must be valid and name the host.
    pub verify: bool,
    /// PEM file with certificates to trust beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// OpenSSL cipher list (`HIGH:!aNULL`). Rules TLS up to 1.2, so TLS 1.3 is not offered
    /// when a list is given: otherwise most servers would never look at it. A list with
    /// `@SECLEVEL=0` allows TLS 1.0 and 1.1 as well.
    pub ciphers: Option<String>,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self { verify: true, ca_file: None, ciphers: None }
    }
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsSettingsError {
    #[error("`{ciphers}` is not an OpenSSL cipher list that names a cipher of this machine")]
    Ciphers {
        ciphers: String,
        #[source]
        cause: ErrorStack,
    },
    #[error("could not read the CA file `{}`", .path.display())]
    CaFile {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("the CA file `{}` holds no certificate in PEM form", .path.display())]
    NoCertificate { path: PathBuf },
    #[error("could not set up OpenSSL")]
    OpenSsl(#[from] ErrorStack),
}

/// A ready TLS configuration; clones share it.
#[derive(Clone)]
pub struct Tls {
    /// Without a CA file and a cipher list, which may be wrong, it is made for the first
    /// connection: that takes as long as reading every certificate that the system trusts.
    connector: Arc<OnceLock<SslConnector>>,
    verify: bool,
    ciphers: bool,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("verify", &self.verify).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the CA file and checks the cipher list.
    ///
    /// # Errors
    ///
    /// [`TlsSettingsError`], naming the list or the file.
    pub fn new(settings: &TlsSettings) -> Result<Self, TlsSettingsError> {
        let ciphers = settings.ciphers.is_some();
        let tls = Self { connector: Arc::default(), verify: settings.verify, ciphers };
        if settings.ca_file.is_none() && !ciphers {
            return Ok(tls);
        }
        let mut builder = tls.builder()?;
        if let Some(path) = &settings.ca_file {
            let pem = std::fs::read(path)
                .map_err(|cause| TlsSettingsError::CaFile { path: path.clone(), cause })?;
            let none = || TlsSettingsError::NoCertificate { path: path.clone() };
            let certificates = X509::stack_from_pem(&pem).map_err(|_| none())?;
            if certificates.is_empty() {
                return Err(none());
            }
            for certificate in certificates {
                builder.cert_store_mut().add_cert(certificate)?;
            }
        }
        if let Some(ciphers) = &settings.ciphers {
            builder
                .set_cipher_list(ciphers)
                .map_err(|cause| TlsSettingsError::Ciphers { ciphers: ciphers.clone(), cause })?;
            builder.set_max_proto_version(Some(SslVersion::TLS1_2))?;
            // Distributions forbid the older versions beside the security level, which only
            // somebody with a very old server lowers so far.
            if ciphers.contains("@SECLEVEL=0") {
                builder.set_min_proto_version(Some(SslVersion::TLS1))?;
            }
        }
        tls.connector.get_or_init(|| builder.build());
        Ok(tls)
    }

    fn builder(&self) -> Result<SslConnectorBuilder, ErrorStack> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        if !self.verify {
            builder.set_verify(SslVerifyMode::NONE);
        }
        Ok(builder)
    }

    /// Whether certificates are checked.
    pub fn verifies(&self) -> bool {
        self.verify
    }

    /// The state of one connection to `host`, a name or an address without brackets.
    pub(crate) fn start(&self, host: &str) -> Result<Ssl, ErrorStack> {
        let connector = match self.connector.get() {
            Some(connector) => connector,
            None => {
                let builder = self.builder()?;
                self.connector.get_or_init(|| builder.build())
            }
        };
        connector.configure()?.verify_hostname(self.verify).into_ssl(host)
    }

    /// What a failed handshake means.
    pub(crate) fn explain(&self, host: &str, ssl: &ssl::SslRef, error: ssl::Error) -> NetError {
        let verdict = ssl.verify_result();
        let reasons: Vec<&str> = error
            .ssl_error()
            .map(|stack| stack.errors().iter().filter_map(|one| one.reason()).collect())
            .unwrap_or_default();
        let has = |text: &str| reasons.iter().any(|reason| reason.contains(text));
        // A peer that hangs up says nothing about TLS; it may be overloaded.
        if error.code() != ErrorCode::SSL || has("unexpected eof") {
            return NetError::unreachable(host, error);
        }
        let hint = if has("certificate verify failed") {
            certificate_hint(verdict)
        } else if has("wrong version number") || has("http request") {
            "The server does not speak TLS on this port; check scheme and port."
        } else if TOO_OLD.iter().any(|reason| has(reason)) {
            "The two sides have no TLS version in common; an old server may need a cipher list \
             with `@SECLEVEL=0`."
        } else if self.ciphers {
            "The server may not support any cipher of the configured cipher list."
        } else {
            "The server ended the TLS handshake; see the cause."
        };
        let reason = if has("certificate verify failed") {
            verdict.error_string().to_owned()
        } else {
            reasons.join(", ")
        };
        NetError::Tls { host: host.to_owned(), hint, cause: Arc::new(Handshake(reason)) }
    }
}

/// What OpenSSL says when the two sides differ too much in age.
const TOO_OLD: [&str; 4] =
    ["unsupported protocol", "protocol version", "legacy sigalg", "dh key too small"];

/// OpenSSL's reasons, without its numbers and file names.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Handshake(String);

/// Spec: OpenSSL manual page `X509_STORE_CTX_get_error(3)`, for the numbers.
fn certificate_hint(verdict: X509VerifyResult) -> &'static str {
    match verdict.as_raw() {
        9 | 10 => {
            "The certificate is not valid today; renew it, or check the clock of this machine."
        }
        62 | 64 => "The certificate is for another name; use the host name that it was issued for.",
        _ => "Add the certificate of the authority that issued it to the CA file.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(settings: TlsSettings) -> String {
        Tls::new(&settings).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn unknown_cipher_list_is_named() {
        let settings =
            TlsSettings { ciphers: Some("NOSUCHCIPHER".into()), ..TlsSettings::default() };
        let expected =
            "`NOSUCHCIPHER` is not an OpenSSL cipher list that names a cipher of this machine";
        assert_eq!(refused(settings), expected);
    }

    #[test]
    fn cipher_list_of_the_older_kind_is_taken() {
        for ciphers in ["HIGH:!aNULL:!SHA256:!ECDSA", "AES256-SHA", "DEFAULT@SECLEVEL=0"] {
            let settings = TlsSettings { ciphers: Some(ciphers.into()), ..TlsSettings::default() };
            Tls::new(&settings).unwrap();
        }
    }

    #[test]
    fn ca_file_must_hold_a_certificate() {
        let file =
            |path: &str| TlsSettings { ca_file: Some(path.into()), ..TlsSettings::default() };
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(
            refused(file(here)),
            format!("the CA file `{here}` holds no certificate in PEM form")
        );
        assert_eq!(refused(file("/nowhere.pem")), "could not read the CA file `/nowhere.pem`");
        let good = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/certificate-pss-sha384.pem");
        Tls::new(&file(good)).unwrap();
    }
}
