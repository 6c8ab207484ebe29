//! The arithmetic of `NTLMv2`.

use md4::{Digest, Md4};
use openssl::{
    error::ErrorStack,
    hash::{MessageDigest, hash},
    pkey::PKey,
    sign::Signer,
};

/// The key that stands for a password: `NTOWFv2`, which equals `LMOWFv2`.
///
/// Spec: §3.3.2.
pub(super) fn response_key(
    user: &str,
    domain: &str,
    password: &str,
) -> Result<[u8; 16], ErrorStack> {
    // Through a slice, since `md4` returns an array type of its own.
    let mut password_hash = [0; 16];
    password_hash.copy_from_slice(&Md4::digest(utf16(password)));
    hmac_md5(&password_hash, &[&utf16(&upper_case(user)), &utf16(domain)])
}

pub(super) fn md5(data: &[u8]) -> Result<[u8; 16], ErrorStack> {
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash(MessageDigest::md5(), data)?);
    Ok(digest)
}

pub(super) fn hmac_md5(key: &[u8], parts: &[&[u8]]) -> Result<[u8; 16], ErrorStack> {
    let key = PKey::hmac(key)?;
    let mut signer = Signer::new(MessageDigest::md5(), &key)?;
    for part in parts {
        signer.update(part)?;
    }
    let mut mac = [0; 16];
    signer.sign(&mut mac)?;
    Ok(mac)
}

pub(super) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Upper case as Windows has it: one character for one, so `ß` stays.
fn upper_case(text: &str) -> String {
    text.chars()
        .map(|c| {
            let mut upper = c.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(one), None) => one,
                _ => c,
            }
        })
        .collect()
}
