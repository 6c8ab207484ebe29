//! Sync states: where a client stands in a change log, as an opaque text.

use base64_simd::STANDARD;

use super::id::{FolderNo, Guid, checksum};

/// Progress of a client in one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// In the first listing, which shows what existed up to `high`; `cursor` is the last
    /// sequence number shown.
    Listing { high: u64, cursor: u64 },
    /// Everything up to this sequence number was shown.
    Until(u64),
}

/// A sync state, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyncState {
    pub(crate) mailbox: Guid,
    /// The folder that was synchronized, or the root of a hierarchy.
    pub(crate) folder: FolderNo,
    /// `true` for the list of folders, `false` for the items of one.
    pub(crate) hierarchy: bool,
    /// Raised when the server forgets all states of a mailbox.
    pub(crate) epoch: u32,
    pub(crate) progress: Progress,
}

impl SyncState {
    pub(crate) fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(96);
        bytes.extend_from_slice(&self.mailbox_bytes());
        bytes.extend_from_slice(&self.folder.to_be_bytes());
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        let (kind, a, b) = match self.progress {
            Progress::Listing { high, cursor } => (0u8, high, cursor),
            Progress::Until(seq) => (1, seq, 0),
        };
        bytes.push(kind | if self.hierarchy { 2 } else { 0 });
        bytes.extend_from_slice(&a.to_be_bytes());
        bytes.extend_from_slice(&b.to_be_bytes());
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        STANDARD.encode_to_string(&bytes)
    }

    /// `None` if the text is not a whole state of this server.
    pub(crate) fn decode(text: &str, mailbox: Guid) -> Option<Self> {
        let bytes = STANDARD.decode_to_vec(text.trim().as_bytes()).ok()?;
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        let number = |at: usize| -> Option<u64> {
            Some(u64::from_be_bytes(body.get(at..at + 8)?.try_into().ok()?))
        };
        let small = |at: usize| -> Option<u32> {
            Some(u32::from_be_bytes(body.get(at..at + 4)?.try_into().ok()?))
        };
        let folder = small(4)?;
        let epoch = small(8)?;
        let kind = *body.get(12)?;
        let (a, b) = (number(13)?, number(21)?);
        let progress = match kind & 1 {
            0 => Progress::Listing { high: a, cursor: b },
            _ => Progress::Until(a),
        };
        let state = Self { mailbox, folder, hierarchy: kind & 2 != 0, epoch, progress };
        (checksum(body) == sum && body.starts_with(&state.mailbox_bytes())).then_some(state)
    }

    fn mailbox_bytes(&self) -> [u8; 4] {
        checksum(format!("{:?}", self.mailbox).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_another_mailbox_or_a_cut_one_is_refused() {
        let mailbox = Guid::of("a@example.com");
        for progress in [Progress::Listing { high: 9, cursor: 3 }, Progress::Until(1 << 33)] {
            let state = SyncState { mailbox, folder: 4, hierarchy: true, epoch: 2, progress };
            let text = state.encode();
            assert_eq!(SyncState::decode(&text, mailbox), Some(state));
            assert_eq!(SyncState::decode(&text, Guid::of("b@example.com")), None);
            assert_eq!(SyncState::decode(&text[..text.len() - 4], mailbox), None);
        }
        assert_eq!(SyncState::decode("", mailbox), None);
    }
}
