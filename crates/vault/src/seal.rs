//! AES-256-GCM, and the text that a sealed credential is: `v1.KEYID.WRAPPED.SEALED`.
//! Spec: NIST SP 800-38D.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use openssl::{
    rand::rand_bytes,
    symm::{Cipher, decrypt_aead, encrypt_aead},
};
use zeroize::Zeroizing;

use crate::{Result, VaultError};

pub(crate) const KEY: usize = 32;
pub(crate) type Key = Zeroizing<[u8; KEY]>;

/// A nonce is drawn for each message. Keys of rows seal once, and the key of the file wraps far
/// fewer than the 2^32 messages after which two nonces might meet (SP 800-38D §8.3).
const NONCE: usize = 12;
const TAG: usize = 16;
const VERSION: &str = "v1";

/// A sealed credential, taken apart.
pub(crate) struct Sealed {
    pub(crate) key_id: String,
    pub(crate) wrapped: Vec<u8>,
    pub(crate) sealed: Vec<u8>,
}

impl fmt::Display for Sealed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (wrapped, sealed) = (encode(&self.wrapped), encode(&self.sealed));
        write!(formatter, "{VERSION}.{}.{wrapped}.{sealed}", self.key_id)
    }
}

impl FromStr for Sealed {
    type Err = VaultError;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.split('.');
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let sealed = (|| {
            parts.next().filter(|version| *version == VERSION)?;
            let key_id = parts.next()?.to_owned();
            let (wrapped, sealed) = (decode(parts.next()?)?, decode(parts.next()?)?);
            parts.next().is_none().then_some(Self { key_id, wrapped, sealed })
        })();
        sealed.ok_or(VaultError::Damaged)
    }
}

/// Nonce, cipher text and tag.
pub(crate) fn seal(key: &Key, about: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    let failed = |_| VaultError::Library { operation: "sealing" };
    let mut nonce = [0; NONCE];
    let mut tag = [0; TAG];
    rand_bytes(&mut nonce).map_err(failed)?;
    let cipher = Cipher::aes_256_gcm();
    let text = encrypt_aead(cipher, key.as_slice(), Some(&nonce), about, plain, &mut tag);
    Ok([&nonce, text.map_err(failed)?.as_slice(), &tag].concat())
}

pub(crate) fn open(key: &Key, about: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
    let (nonce, rest) = sealed.split_at_checked(NONCE).ok_or(VaultError::Damaged)?;
    let length = rest.len().checked_sub(TAG).ok_or(VaultError::Damaged)?;
    let (text, tag) = rest.split_at_checked(length).ok_or(VaultError::Damaged)?;
    let plain = decrypt_aead(Cipher::aes_256_gcm(), key.as_slice(), Some(nonce), about, text, tag);
    plain.map_err(|_| VaultError::Damaged)
}
