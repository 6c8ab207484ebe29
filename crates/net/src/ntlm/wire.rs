//! The shapes that both sides share: fields, flags, attribute–value pairs.

use super::NtlmError;

pub(super) const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

/// Flags of a NEGOTIATE, CHALLENGE or AUTHENTICATE message. Spec: §2.2.2.5.
pub(super) mod flag {
    pub(crate) const UNICODE: u32 = 0x0000_0001;
    pub(crate) const OEM: u32 = 0x0000_0002;
    pub(crate) const REQUEST_TARGET: u32 = 0x0000_0004;
    pub(crate) const NTLM: u32 = 0x0000_0200;
    pub(crate) const ALWAYS_SIGN: u32 = 0x0000_8000;
    pub(crate) const TARGET_TYPE_DOMAIN: u32 = 0x0001_0000;
    pub(crate) const EXTENDED_SESSION_SECURITY: u32 = 0x0008_0000;
    pub(crate) const TARGET_INFO: u32 = 0x0080_0000;
    pub(crate) const VERSION: u32 = 0x0200_0000;
    pub(crate) const KEY_128: u32 = 0x2000_0000;
    pub(crate) const KEY_56: u32 = 0x8000_0000;
}

/// Windows 10.0, NTLM revision 15. Nobody acts on it, but a message must state one.
///
/// Spec: §2.2.2.10.
pub(super) const VERSION: [u8; 8] = [10, 0, 0, 0, 0, 0, 0, 15];

/// Kinds of attribute–value pairs. Spec: §2.2.2.1.
pub(super) mod av {
    pub(crate) const END: u16 = 0;
    pub(crate) const COMPUTER: u16 = 1;
    pub(crate) const DOMAIN: u16 = 2;
    pub(crate) const DNS_COMPUTER: u16 = 3;
    pub(crate) const DNS_DOMAIN: u16 = 4;
    pub(crate) const FLAGS: u16 = 6;
    pub(crate) const TIMESTAMP: u16 = 7;
    pub(crate) const TARGET_NAME: u16 = 9;
    pub(crate) const CHANNEL_BINDINGS: u16 = 10;

    /// In [`FLAGS`]: the AUTHENTICATE message carries a message integrity code.
    pub(crate) const HAS_MIC: u32 = 2;
}

/// A message that is checked to be of kind `kind`.
pub(super) struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    pub(super) fn new(bytes: &'a [u8], kind: u32) -> Result<Self, NtlmError> {
        if !bytes.starts_with(SIGNATURE) {
            return Err(NtlmError::Malformed("no NTLMSSP signature"));
        }
        let message = Self(bytes);
        if message.u32(8)? != kind {
            return Err(NtlmError::Malformed("not the message that is due"));
        }
        Ok(message)
    }

    pub(super) fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], NtlmError> {
        self.0
            .get(at..)
            .and_then(|rest| rest.first_chunk())
            .copied()
            .ok_or(NtlmError::Malformed("it is too short"))
    }

    pub(super) fn u32(&self, at: usize) -> Result<u32, NtlmError> {
        self.array(at).map(u32::from_le_bytes)
    }

    /// The bytes to which the field at `at` (length, room, offset) points.
    pub(super) fn field(&self, at: usize) -> Result<&'a [u8], NtlmError> {
        let size = usize::from(self.array(at).map(u16::from_le_bytes)?);
        // Some senders leave the offset of an empty field at whatever it was.
        if size == 0 {
            return Ok(&[]);
        }
        let outside = NtlmError::Malformed("a field points outside of it");
        let start = usize::try_from(self.u32(at + 4)?).unwrap_or(usize::MAX);
        let end = start.saturating_add(size);
        self.0.get(start..end).ok_or(outside)
    }
}

/// Builds a message: fields first, their contents behind, in the order in which they are added.
pub(super) struct Builder {
    head: Vec<u8>,
    payload: Vec<u8>,
    head_size: usize,
}

impl Builder {
    /// `head_size` is where the payload begins.
    pub(super) fn new(kind: u32, head_size: usize) -> Self {
        let mut head = SIGNATURE.to_vec();
        head.extend(kind.to_le_bytes());
        Self { head, payload: Vec::new(), head_size }
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.head.extend(bytes);
        self
    }

    pub(super) fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn field(mut self, content: &[u8]) -> Result<Self, NtlmError> {
        let too_long = |_| NtlmError::Malformed("a field is longer than 65535 bytes");
        let size = u16::try_from(content.len()).map_err(too_long)?.to_le_bytes();
        let start = u32::try_from(self.head_size + self.payload.len()).map_err(too_long)?;
        self.head.extend([size, size].concat());
        self.head.extend(start.to_le_bytes());
        self.payload.extend(content);
        Ok(self)
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.head.append(&mut self.payload);
        self.head
    }
}

/// Reads a list of attribute–value pairs, without the one that ends it.
pub(super) fn parse_pairs(mut list: &[u8]) -> Result<Vec<(u16, &[u8])>, NtlmError> {
    let cut = NtlmError::Malformed("its attribute list is cut short");
    let mut pairs = Vec::new();
    while let Some((&[a, b, c, d], rest)) = list.split_first_chunk() {
        let kind = u16::from_le_bytes([a, b]);
        if kind == av::END {
            return Ok(pairs);
        }
        let size = usize::from(u16::from_le_bytes([c, d]));
        let Some((value, rest)) = rest.split_at_checked(size) else { return Err(cut) };
        pairs.push((kind, value));
        list = rest;
    }
    // A server without target information sends an empty list.
    if list.is_empty() && pairs.is_empty() { Ok(pairs) } else { Err(cut) }
}

/// Appends a pair to a list.
pub(super) fn push_pair(list: &mut Vec<u8>, kind: u16, value: &[u8]) -> Result<(), NtlmError> {
    let size = u16::try_from(value.len())
        .map_err(|_| NtlmError::Malformed("an attribute is longer than 65535 bytes"))?;
    list.extend(kind.to_le_bytes());
    list.extend(size.to_le_bytes());
    list.extend(value);
    Ok(())
}
