//! The public keys of a provider. Spec: RFC 7517, RFC 7518 §6.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use openssl::{
    bn::BigNum,
    ec::{EcGroup, EcKey},
    ecdsa::EcdsaSig,
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Public},
    rsa::{Padding, Rsa},
    sign::{RsaPssSaltlen, Verifier},
};
use serde_json::Value;

/// Most keys that are read of a set.
const MAX_KEYS: usize = 64;
/// Bits of an RSA key: fewer can be broken, more take long. Spec: RFC 7518 §3.3.
const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=8192;

/// How a token is signed. Symmetric algorithms are not here: with them, whoever can check a
/// signature can make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Ps256,
    Es256,
}

impl Algorithm {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// A key, and what it is for.
pub(super) struct Key {
    pub(super) id: Option<String>,
    /// The one algorithm that it may be used with, if its owner says so.
    algorithm: Option<Algorithm>,
    is_ec: bool,
    key: PKey<Public>,
}

/// The keys of a set that can be used here; the others are passed over, as RFC 7517 §5 wants.
pub(super) fn read(set: &Value) -> Vec<Key> {
    let keys = set.get("keys").and_then(Value::as_array);
    keys.into_iter().flatten().take(MAX_KEYS).filter_map(key).collect()
}

fn key(value: &Value) -> Option<Key> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let number = |name: &str| -> Option<BigNum> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text(name)?).ok()?;
        BigNum::from_slice(&bytes).ok()
    };
    if text("use").is_some_and(|usage| usage != "sig") {
        return None;
    }
    let algorithm = match text("alg") {
        Some(name) => Some(Algorithm::named(name)?),
        None => None,
    };
    let (is_ec, key) = match text("kty")? {
        "RSA" => {
            let rsa = Rsa::from_public_components(number("n")?, number("e")?).ok()?;
            if !RSA_BITS.contains(&(rsa.size() * 8)) {
                return None;
            }
            (false, PKey::from_rsa(rsa).ok()?)
        }
        "EC" if text("crv") == Some("P-256") => {
            let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).ok()?;
            let (x, y) = (number("x")?, number("y")?);
            // Refuses what is no point of the curve.
            let key = EcKey::from_public_key_affine_coordinates(&group, &x, &y).ok()?;
            (true, PKey::from_ec_key(key).ok()?)
        }
        _ => return None,
    };
    Some(Key { id: text("kid").map(str::to_owned), algorithm, is_ec, key })
}

impl Key {
    pub(super) fn suits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|own| own == algorithm)
            && self.is_ec == (algorithm == Algorithm::Es256)
    }

    /// Whether `signature` is of `signed`.
    pub(super) fn verifies(
        &self,
        algorithm: Algorithm,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<bool, ErrorStack> {
        let mut verifier = Verifier::new(MessageDigest::sha256(), &self.key)?;
        match algorithm {
            Algorithm::Rs256 => {}
            Algorithm::Ps256 => {
                verifier.set_rsa_padding(Padding::PKCS1_PSS)?;
                verifier.set_rsa_mgf1_md(MessageDigest::sha256())?;
                verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
            }
            // Two numbers of 32 bytes, where OpenSSL wants DER. Spec: RFC 7518 §3.4.
            Algorithm::Es256 => {
                let Some((r, s)) = signature.split_at_checked(32).filter(|(_, s)| s.len() == 32)
                else {
                    return Ok(false);
                };
                let (r, s) = (BigNum::from_slice(r)?, BigNum::from_slice(s)?);
                let der = EcdsaSig::from_private_components(r, s)?.to_der()?;
                return verifier.verify_oneshot(&der, signed);
            }
        }
        verifier.verify_oneshot(signature, signed)
    }
}
