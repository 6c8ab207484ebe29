//! Ids as Graph writes them: the ordinary ones are those of EWS in another alphabet; immutable
//! ones survive moves within their mailbox ("Obtain immutable identifiers for Outlook
//! resources").

use base64_simd::STANDARD;

use super::super::{
    id::{FolderNo, Guid, Id, ItemNo, Target, checksum},
    item::Item,
    mailbox::Mailbox,
};

/// Starts every immutable id: `AAkA…`.
const MARK: [u8; 6] = [0x00, 0x09, 0x00, 0x2e, 0x00, 0x00];
const LENGTH: usize = 58;

/// Replaces the two signs of base64 that have a meaning in URLs.
pub(crate) fn rest_id(id: &str) -> String {
    id.replace('/', "-").replace('+', "_")
}

fn ews_id(id: &str) -> String {
    id.replace('-', "/").replace('_', "+")
}

pub(crate) fn immutable_id(mailbox: Guid, immutable: ItemNo) -> String {
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.extend_from_slice(&MARK);
    bytes.extend_from_slice(&mailbox.bytes());
    bytes.extend_from_slice(&immutable.to_be_bytes());
    bytes.resize(LENGTH - 4, 0);
    let sum = checksum(&bytes);
    bytes.extend_from_slice(&sum);
    rest_id(&STANDARD.encode_to_string(&bytes))
}

/// What the text of an id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Folder(Guid, FolderNo),
    Item(Guid, ItemNo),
    Immutable(Guid, ItemNo),
}

impl Known {
    /// `None` if Graph has not issued the id.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        if text.contains(['/', '+']) {
            return None;
        }
        let text = ews_id(text);
        if let Some(id) = Id::decode(&text) {
            return match id.target {
                Target::Folder(no) => Some(Self::Folder(id.mailbox, no)),
                Target::Item(no) => Some(Self::Item(id.mailbox, no)),
                Target::Attachment(..) => None,
            };
        }
        let bytes = STANDARD.decode_to_vec(text.as_bytes()).ok()?;
        let (body, sum) = bytes.split_at_checked(LENGTH - 4)?;
        if !body.starts_with(&MARK) || checksum(body) != sum {
            return None;
        }
        let mailbox = Guid::from_bytes(body.get(6..42)?)?;
        Some(Self::Immutable(mailbox, u64::from_be_bytes(body.get(42..50)?.try_into().ok()?)))
    }

    /// The item of `mailbox` that this stands for, if it is still there.
    pub(crate) fn item(self, mailbox: &Mailbox) -> Option<&Item> {
        match self {
            Self::Item(guid, no) if guid == mailbox.guid => mailbox.items.get(&no),
            Self::Immutable(guid, no) if guid == mailbox.guid => mailbox.by_immutable(no),
            _ => None,
        }
    }
}

/// The id of an item, of the kind that the client prefers.
pub(crate) fn of_item(mailbox: &Mailbox, no: ItemNo, immutable: ItemNo, prefers: bool) -> String {
    if prefers { immutable_id(mailbox.guid, immutable) } else { rest_id(&mailbox.item_id(no)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_both_kinds_survive_the_way_and_no_change_of_them_does() {
        let mailbox = Guid::of("abc@example.com");
        let ordinary = rest_id(&Id { mailbox, target: Target::Item(3 << 50) }.encode());
        assert_eq!(Known::decode(&ordinary), Some(Known::Item(mailbox, 3 << 50)));
        let immutable = immutable_id(mailbox, 1 << 40);
        assert!(immutable.starts_with("AAkA"), "{immutable}");
        assert_eq!(Known::decode(&immutable), Some(Known::Immutable(mailbox, 1 << 40)));
        for id in [ordinary, immutable] {
            assert_eq!(Known::decode(&id.to_lowercase()), None);
            assert_eq!(Known::decode(&id[..id.len() - 4]), None);
        }
    }

    #[test]
    fn the_alphabet_of_ews_is_refused() {
        let mailbox = Guid::of("abc@example.com");
        let id = (0..).map(|no| Id { mailbox, target: Target::Item(no) }.encode());
        let id = id.into_iter().find(|id| id.contains('/') || id.contains('+')).unwrap();
        assert_eq!(Known::decode(&id), None);
        assert!(Known::decode(&rest_id(&id)).is_some());
    }
}
