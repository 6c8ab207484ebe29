//! The server's side, for simulated servers.

use openssl::memcmp;
use record::Secret;

use super::{
    NtlmError,
    crypto::{hmac_md5, response_key, utf16},
    wire::{Builder, Message, VERSION, av, flag, parse_pairs, push_pair},
};

/// What a server grants of the flags that a client asks for.
const GRANTED: u32 = flag::REQUEST_TARGET
    | flag::NTLM
    | flag::ALWAYS_SIGN
    | flag::EXTENDED_SESSION_SECURITY
    | flag::VERSION
    | flag::KEY_128
    | flag::KEY_56;

/// A server that checks `NTLMv2` sign-ins.
#[derive(Clone, Debug)]
pub struct Acceptor {
    /// `NetBIOS` name of the domain: `EXAMPLE`.
    pub domain: String,
    /// `NetBIOS` name of the server: `MAIL`.
    pub computer: String,
    /// Domain name of the server: `mail.example.com`.
    pub host: String,
}

/// Who wants to sign in, as the client wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Empty when the user is written as `user@example.com`.
    pub domain: String,
    pub user: String,
}

/// The channel binding that a client presented. Whether it is the right one, and whether one is
/// required, is for the caller to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    Absent,
    /// Sixteen zero bytes: the client knows of bindings and has none.
    Zero,
    /// See [`binding_hash`](super::binding_hash).
    Hash([u8; 16]),
}

/// A sign-in that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub account: Account,
    pub binding: Binding,
    /// The client protected the three messages with an integrity code, and it was right.
    pub mic: bool,
}

/// A sign-in that waits for its AUTHENTICATE message. Belongs to one connection.
#[derive(Clone, Debug)]
pub struct Pending {
    negotiate: Vec<u8>,
    challenge: Vec<u8>,
    nonce: [u8; 8],
}

impl Acceptor {
    /// Answers a NEGOTIATE message; `nonce` must be random and used once.
    ///
    /// # Errors
    ///
    /// The message is malformed.
    ///
    /// Spec: §3.2.5.1.1.
    pub fn challenge(
        &self,
        negotiate: &[u8],
        nonce: [u8; 8],
        now: u64,
    ) -> Result<Pending, NtlmError> {
        let asked = Message::new(negotiate, 1)?.u32(12)?;
        // Windows answers in Unicode even to curl, which only says that it knows OEM.
        let flags = asked & GRANTED | flag::UNICODE | flag::TARGET_INFO | flag::TARGET_TYPE_DOMAIN;
        let parent = self.host.split_once('.').map_or("", |(_, parent)| parent);
        let mut pairs = Vec::new();
        for (kind, name) in [
            (av::DOMAIN, self.domain.as_str()),
            (av::COMPUTER, &self.computer),
            (av::DNS_DOMAIN, parent),
            (av::DNS_COMPUTER, &self.host),
        ] {
            push_pair(&mut pairs, kind, &utf16(name))?;
        }
        push_pair(&mut pairs, av::TIMESTAMP, &now.to_le_bytes())?;
        push_pair(&mut pairs, av::END, &[])?;
        let challenge = Builder::new(2, 56)
            .field(&utf16(&self.domain))?
            .u32(flags)
            .bytes(&nonce)
            .bytes(&[0; 8])
            .field(&pairs)?
            .bytes(&VERSION)
            .finish();
        Ok(Pending { negotiate: negotiate.to_vec(), challenge, nonce })
    }
}

impl Pending {
    /// The CHALLENGE message to send.
    pub fn challenge(&self) -> &[u8] {
        &self.challenge
    }

    /// Checks an AUTHENTICATE message. `password_of` looks the account up.
    ///
    /// # Errors
    ///
    /// The message is malformed or not `NTLMv2`, the account is unknown, or password or integrity
    /// code are wrong.
    ///
    /// Spec: §3.2.5.1.2.
    pub fn verify(
        &self,
        authenticate: &[u8],
        password_of: impl FnOnce(&Account) -> Option<Secret>,
    ) -> Result<Accepted, NtlmError> {
        let message = Message::new(authenticate, 3)?;
        let unicode = message.u32(60)? & flag::UNICODE != 0;
        let account = Account {
            domain: text(message.field(28)?, unicode)?,
            user: text(message.field(36)?, unicode)?,
        };
        // §2.2.2.8: a proof of 16 bytes, then a structure with 28 bytes before its pairs.
        let response = message.field(20)?;
        let Some((proof, blob)) = response.split_first_chunk::<16>() else {
            return Err(NtlmError::NotVersion2);
        };
        let Some(pairs) = blob.get(28..).filter(|_| blob.starts_with(&[1, 1])) else {
            return Err(NtlmError::NotVersion2);
        };

        let password = password_of(&account).ok_or(NtlmError::WrongPassword)?;
        let key = response_key(&account.user, &account.domain, password.reveal())?;
        let expected = hmac_md5(&key, &[&self.nonce, blob])?;
        if !memcmp::eq(&expected, proof) {
            return Err(NtlmError::WrongPassword);
        }

        let pairs = parse_pairs(pairs)?;
        let value = |wanted| pairs.iter().find(|(kind, _)| *kind == wanted).map(|(_, v)| *v);
        let flags = value(av::FLAGS).and_then(|v| v.first_chunk().copied());
        let mic = flags.is_some_and(|flags| u32::from_le_bytes(flags) & av::HAS_MIC != 0);
        if mic {
            self.check_mic(&message, authenticate, &hmac_md5(&key, &[proof])?)?;
        }
        let binding = match value(av::CHANNEL_BINDINGS) {
            None => Binding::Absent,
            Some(hash) => match *hash.first_chunk().ok_or(NtlmError::Malformed("short binding"))? {
                [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => Binding::Zero,
                hash => Binding::Hash(hash),
            },
        };
        Ok(Accepted { account, binding, mic })
    }

    fn check_mic(
        &self,
        message: &Message<'_>,
        authenticate: &[u8],
        session_key: &[u8; 16],
    ) -> Result<(), NtlmError> {
        let mic: [u8; 16] = message.array(72)?;
        let (before, after) = (authenticate.get(..72), authenticate.get(88..));
        let (Some(before), Some(after)) = (before, after) else {
            return Err(NtlmError::WrongMic);
        };
        let parts = [&self.negotiate, &self.challenge, before, &[0; 16], after];
        let expected = hmac_md5(session_key, &parts)?;
        if memcmp::eq(&expected, &mic) { Ok(()) } else { Err(NtlmError::WrongMic) }
    }
}

fn text(bytes: &[u8], unicode: bool) -> Result<String, NtlmError> {
    let bad = NtlmError::Malformed("a name is not text");
    if !unicode {
        return Ok(bytes.iter().map(|byte| char::from(*byte)).collect());
    }
    let (units, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(bad);
    }
    char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)))
        .collect::<Result<_, _>>()
        .map_err(|_| bad)
}
