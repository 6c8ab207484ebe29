//! OpenSSL under the library's signatures.

use object_store::client::{
    CryptoProvider, DigestAlgorithm, DigestContext, HmacContext, Signer, SigningAlgorithm,
};
use openssl::{hash::MessageDigest, pkey::PKey, sha::sha256, sign};
use zeroize::Zeroizing;

/// Cryptography for requests that are signed with a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenSsl;

fn failed(err: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic { store: "OpenSSL", source: Box::new(err) }
}

impl CryptoProvider for OpenSsl {
    fn digest(&self, _: DigestAlgorithm) -> object_store::Result<Box<dyn DigestContext>> {
        Ok(Box::new(Sha256 { text: Vec::new(), digest: [0; 32] }))
    }

    fn hmac(
        &self,
        _: DigestAlgorithm,
        secret: &[u8],
    ) -> object_store::Result<Box<dyn HmacContext>> {
        let key = Zeroizing::new(secret.to_vec());
        Ok(Box::new(Hmac { key, text: Vec::new(), code: Vec::new() }))
    }

    fn sign(&self, _: SigningAlgorithm, _: &[u8]) -> object_store::Result<Box<dyn Signer>> {
        // Neither Azure nor S3 needs one.
        let source = "no requests are signed with a private key".into();
        Err(object_store::Error::NotSupported { source })
    }
}

/// The texts are a few hundred bytes long, so they are collected.
struct Sha256 {
    text: Vec<u8>,
    digest: [u8; 32],
}

impl DigestContext for Sha256 {
    fn update(&mut self, data: &[u8]) {
        self.text.extend_from_slice(data);
    }

    fn finish(&mut self) -> object_store::Result<&[u8]> {
        self.digest = sha256(&self.text);
        Ok(&self.digest)
    }
}

struct Hmac {
    key: Zeroizing<Vec<u8>>,
    text: Vec<u8>,
    code: Vec<u8>,
}

impl HmacContext for Hmac {
    fn update(&mut self, data: &[u8]) {
        self.text.extend_from_slice(data);
    }

    fn finish(&mut self) -> object_store::Result<&[u8]> {
        let key = PKey::hmac(&self.key).map_err(failed)?;
        let mut signer = sign::Signer::new(MessageDigest::sha256(), &key).map_err(failed)?;
        self.code = signer.sign_oneshot_to_vec(&self.text).map_err(failed)?;
        Ok(&self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    /// RFC 4231 §4.3, test case 2.
    #[test]
    fn the_code_is_that_of_the_standard() {
        let mut hmac = OpenSsl.hmac(DigestAlgorithm::Sha256, b"Jefe").unwrap();
        hmac.update(b"what do ya want ");
        hmac.update(b"for nothing?");
        assert_eq!(
            hex(hmac.finish().unwrap()),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
