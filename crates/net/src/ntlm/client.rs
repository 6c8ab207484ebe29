//! The client's two messages.

use record::Secret;

use super::{
    NtlmError,
    crypto::{hmac_md5, response_key, utf16},
    wire::{Builder, Message, VERSION, av, flag, parse_pairs, push_pair},
};

/// What Windows' HTTP clients ask for. No signing or sealing, hence no key exchange.
const FLAGS: u32 = flag::UNICODE
    | flag::OEM
    | flag::REQUEST_TARGET
    | flag::NTLM
    | flag::ALWAYS_SIGN
    | flag::EXTENDED_SESSION_SECURITY
    | flag::VERSION
    | flag::KEY_128
    | flag::KEY_56;

/// Where the payload of an AUTHENTICATE message begins, and its integrity code. Spec: §2.2.1.3.
const AUTHENTICATE_HEAD: usize = 88;
const MIC: std::ops::Range<usize> = 72..88;

/// Who signs in, and to what.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// `DOMAIN\user`, or `user@example.com`, which goes with an empty domain.
    pub user: &'a str,
    pub password: &'a Secret,
    /// The service, such as `HTTP/mail.example.com`.
    pub target: &'a str,
    /// See [`binding_hash`](super::binding_hash). `None` sends no binding at all: servers that
    /// only check a binding when there is one let such a client in.
    pub binding: Option<[u8; 16]>,
}

/// The NEGOTIATE message. Always the same.
pub fn negotiate() -> Vec<u8> {
    // Domain and workstation stay empty.
    Builder::new(1, 40).u32(FLAGS).bytes(&[0; 16]).bytes(&VERSION).finish()
}

/// Answers a CHALLENGE message with an AUTHENTICATE message.
///
/// `nonce` must be random and used once. `now` is needed if the server states no time of its
/// own; see [`file_time`](super::file_time).
///
/// # Errors
///
/// The challenge is malformed or wants an OEM character set, or OpenSSL refuses MD5.
///
/// Spec: §3.1.5.1.2, §3.3.2.
pub fn authenticate(
    challenge: &[u8],
    credentials: &Credentials<'_>,
    nonce: [u8; 8],
    now: u64,
) -> Result<Vec<u8>, NtlmError> {
    let message = Message::new(challenge, 2)?;
    let flags = message.u32(20)?;
    if flags & flag::UNICODE == 0 {
        return Err(NtlmError::NoUnicode);
    }
    let server_nonce: [u8; 8] = message.array(24)?;
    // A message of 32 bytes comes from a server that knows no target information.
    let target_info = if flags & flag::TARGET_INFO == 0 { &[] } else { message.field(40)? };
    let info = TargetInfo::answer(target_info, credentials)?;

    let (domain, user) = split_user(credentials.user);
    let key = response_key(user, domain, credentials.password.reveal())?;
    let time = info.time.unwrap_or_else(|| now.to_le_bytes());
    let response = Response::compute(&key, server_nonce, nonce, time, &info.pairs)?;
    let lm = match info.time {
        // §3.1.5.1.2: with a time from the server, the LM response is 24 zero bytes.
        Some(_) => [0; 24],
        None => lm_response(&key, server_nonce, nonce)?,
    };

    let mut out = Builder::new(3, AUTHENTICATE_HEAD)
        .field(&lm)?
        .field(&response.bytes)?
        .field(&utf16(domain))?
        .field(&utf16(user))?
        .field(&[])?
        .field(&[])?
        .u32(flags & FLAGS & !flag::OEM | flag::UNICODE)
        .bytes(&VERSION)
        .bytes(&[0; 16])
        .finish();
    if info.time.is_some() {
        let mic = hmac_md5(&response.session_key, &[&negotiate(), challenge, &out])?;
        if let Some(place) = out.get_mut(MIC) {
            place.copy_from_slice(&mic);
        }
    }
    Ok(out)
}

/// `DOMAIN\user` in two; anything else is a user without domain.
fn split_user(user: &str) -> (&str, &str) {
    user.split_once('\\').unwrap_or(("", user))
}

/// The server's attributes as the client sends them back.
struct TargetInfo {
    pairs: Vec<u8>,
    time: Option<[u8; 8]>,
}

impl TargetInfo {
    fn answer(from_server: &[u8], credentials: &Credentials<'_>) -> Result<Self, NtlmError> {
        let mut pairs = Vec::with_capacity(from_server.len() + 128);
        let mut time = None;
        let mut flags = 0;
        for (kind, value) in parse_pairs(from_server)? {
            match kind {
                av::FLAGS => {
                    let value =
                        value.first_chunk().ok_or(NtlmError::Malformed("short flags attribute"))?;
                    flags = u32::from_le_bytes(*value);
                    continue;
                }
                // Ours to state, not the server's.
                av::TARGET_NAME | av::CHANNEL_BINDINGS => continue,
                av::TIMESTAMP => {
                    let value = value.first_chunk().copied();
                    time = Some(value.ok_or(NtlmError::Malformed("short time attribute"))?);
                }
                _ => {}
            }
            push_pair(&mut pairs, kind, value)?;
        }
        if time.is_some() {
            flags |= av::HAS_MIC;
        }
        if flags != 0 {
            push_pair(&mut pairs, av::FLAGS, &flags.to_le_bytes())?;
        }
        if let Some(binding) = credentials.binding {
            push_pair(&mut pairs, av::CHANNEL_BINDINGS, &binding)?;
        }
        push_pair(&mut pairs, av::TARGET_NAME, &utf16(credentials.target))?;
        push_pair(&mut pairs, av::END, &[])?;
        Ok(Self { pairs, time })
    }
}

/// The NT response, and the key that comes with it.
pub(super) struct Response {
    pub(super) bytes: Vec<u8>,
    pub(super) session_key: [u8; 16],
}

impl Response {
    /// Spec: §3.3.2, `ComputeResponse`; `pairs` ends with the pair that ends the list.
    pub(super) fn compute(
        key: &[u8; 16],
        server_nonce: [u8; 8],
        nonce: [u8; 8],
        time: [u8; 8],
        pairs: &[u8],
    ) -> Result<Self, NtlmError> {
        let blob = [&[1, 1, 0, 0, 0, 0, 0, 0][..], &time, &nonce, &[0; 4], pairs, &[0; 4]].concat();
        let proof = hmac_md5(key, &[&server_nonce, &blob])?;
        let session_key = hmac_md5(key, &[&proof])?;
        Ok(Self { bytes: [&proof[..], &blob].concat(), session_key })
    }
}

pub(super) fn lm_response(
    key: &[u8; 16],
    server_nonce: [u8; 8],
    nonce: [u8; 8],
) -> Result<[u8; 24], NtlmError> {
    let mut response = [0; 24];
    let proof = hmac_md5(key, &[&server_nonce, &nonce])?;
    response.iter_mut().zip(proof.iter().chain(&nonce)).for_each(|(to, from)| *to = *from);
    Ok(response)
}
