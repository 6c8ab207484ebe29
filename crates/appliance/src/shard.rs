//! Which mailboxes this process serves when several share one configuration.

use record::MailboxId;

/// Most shards accepted. A process weighs every shard for every mailbox, so the number is bounded.
pub const MAX_SHARDS: u32 = 4096;

/// One of `total` processes that divide the mailboxes among themselves.
///
/// Assignment is by rendezvous hashing: each mailbox goes to the shard with the highest weight
/// for it. With one shard more, only the mailboxes that the new shard wins change their owner,
/// about one in `total + 1`; all others stay.
///
/// Invariant: `ordinal < total <= MAX_SHARDS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    ordinal: u32,
    total: u32,
}

/// The two shard flags do not name a shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    #[error(
        "`--shard-name` is given without `--total-shards`; give both or neither, \
         for example `--shard-name ews-0 --total-shards 1`"
    )]
    NoTotal,
    #[error(
        "`--total-shards` is given without `--shard-name`; give both or neither, \
         for example `--shard-name ews-0 --total-shards 1`"
    )]
    NoName,
    #[error(
        "`--shard-name` is `{0}`; allowed: a name that ends with a dash and the number of the \
         shard, such as `ews-0`"
    )]
    NoOrdinal(String),
    #[error(
        "`--shard-name` is `{name}`, which is shard {ordinal}, but `--total-shards` is {total}; \
         allowed: a name that ends with a number from 0 to {}",
        .total - 1
    )]
    OutOfRange { name: String, ordinal: u32, total: u32 },
    #[error("`--total-shards` is {0}; allowed: a whole number from 1 to {MAX_SHARDS}")]
    BadTotal(u32),
}

impl Shard {
    /// The only shard: it owns every mailbox.
    pub const ONLY: Self = Self { ordinal: 0, total: 1 };

    /// Reads the values of `--shard-name` and `--total-shards`; [`Shard::ONLY`] without both.
    ///
    /// The ordinal is the number behind the last dash of the name, counted from zero, as
    /// Kubernetes names the pods of a `StatefulSet`: `reinfer-ews-appliance-0`.
    ///
    /// # Errors
    ///
    /// [`ShardError`], if only one flag is given, the name carries no number, or the number
    /// does not fit the total.
    pub fn parse(name: Option<&str>, total: Option<u32>) -> Result<Self, ShardError> {
        let (name, total) = match (name, total) {
            (None, None) => return Ok(Self::ONLY),
            (Some(_), None) => return Err(ShardError::NoTotal),
            (None, Some(_)) => return Err(ShardError::NoName),
            (Some(name), Some(total)) => (name, total),
        };
        if total == 0 || total > MAX_SHARDS {
            return Err(ShardError::BadTotal(total));
        }
        let shown = || name.chars().take(80).collect::<String>();
        let ordinal: u32 = name
            .rsplit_once('-')
            .filter(|(stem, digits)| {
                !stem.is_empty() && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
            })
            .and_then(|(_, digits)| digits.parse().ok())
            .ok_or_else(|| ShardError::NoOrdinal(shown()))?;
        if ordinal >= total {
            return Err(ShardError::OutOfRange { name: shown(), ordinal, total });
        }
        Ok(Self { ordinal, total })
    }

    pub fn ordinal(self) -> u32 {
        self.ordinal
    }

    pub fn total(self) -> u32 {
        self.total
    }

    /// Tells whether this shard serves `mailbox`: true for exactly one shard of a total.
    ///
    /// A change of the result for a given mailbox and total would move mailboxes between
    /// running processes of different versions, so it is fixed for all times.
    pub fn owns(self, mailbox: &MailboxId) -> bool {
        self.owner(mailbox) == self.ordinal
    }

    /// The shard, of those that divide the mailboxes, that serves `mailbox`.
    pub fn owner(self, mailbox: &MailboxId) -> u32 {
        let key = fnv1a(mailbox.as_str().as_bytes());
        (0..self.total).max_by_key(|shard| (weight(key, *shard), *shard)).unwrap_or(0)
    }
}

/// How strongly `shard` attracts the mailbox with this key.
fn weight(key: u64, shard: u32) -> u64 {
    splitmix64(key ^ splitmix64(u64::from(shard)))
}

/// 64-bit FNV-1a ("The FNV Non-Cryptographic Hash Algorithm", draft-eastlake-fnv): the same on
/// every machine.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// One step of the `SplitMix64` generator: spreads neighboring inputs over all 64 bits, which
/// FNV alone does not do.
fn splitmix64(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Published vectors of FNV-1a, and the first output of SplitMix64 with seed 0.
    #[test]
    fn hashes_are_the_published_ones() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(splitmix64(0), 0xe220_a839_7b1d_cdaf);
    }
}
