//! Which shard owns which mailbox.

use appliance::shard::Shard;
use record::MailboxId;

fn shards(total: u32) -> Vec<Shard> {
    (0..total).map(|n| Shard::parse(Some(&format!("ews-{n}")), Some(total)).unwrap()).collect()
}

fn mailboxes(count: usize) -> Vec<MailboxId> {
    (0..count).map(|n| format!("user{n}@example.com").parse().unwrap()).collect()
}

fn owner(shards: &[Shard], mailbox: &MailboxId) -> u32 {
    let owners: Vec<u32> =
        shards.iter().filter(|shard| shard.owns(mailbox)).map(|shard| shard.ordinal()).collect();
    assert_eq!(owners.len(), 1, "`{mailbox}` of {} shards: {owners:?}", shards.len());
    owners[0]
}

#[test]
fn the_number_behind_the_last_dash_counts() {
    for (name, total, expected) in [
        ("ews-0", 1, 0),
        ("ews-2", 3, 2),
        ("reinfer-ews-appliance-10", 11, 10),
        ("7-ews-007", 8, 7),
    ] {
        assert_eq!(Shard::parse(Some(name), Some(total)).unwrap().ordinal(), expected, "{name}");
    }
    assert_eq!(Shard::parse(None, None).unwrap(), Shard::ONLY);
}

#[test]
fn names_without_a_fitting_number_are_refused() {
    for name in ["ews", "ews-", "-0", "", "ews0", "ews-0a", "ews-+0", "ews-1", "ews-99999999999"] {
        assert!(Shard::parse(Some(name), Some(1)).is_err(), "{name:?} was accepted");
    }
    assert!(Shard::parse(Some("ews-0"), Some(0)).is_err());
    assert!(Shard::parse(Some("ews-0"), Some(4097)).is_err());
    assert!(Shard::parse(Some("ews-0"), None).is_err());
    assert!(Shard::parse(None, Some(1)).is_err());
}

/// Coverage: over all shards every mailbox is owned by exactly one.
#[test]
fn each_mailbox_has_one_owner_and_shards_are_even() {
    let mailboxes = mailboxes(5000);
    for total in [1, 2, 3, 5, 8, 13] {
        let shards = shards(total);
        let mut owned = vec![0_usize; shards.len()];
        for mailbox in &mailboxes {
            owned[owner(&shards, mailbox) as usize] += 1;
        }
        let fair = mailboxes.len() / shards.len();
        for (ordinal, count) in owned.iter().enumerate() {
            let even = count * 5 > fair * 4 && count * 5 < fair * 6;
            assert!(even, "shard {ordinal} of {total} has {count}, fair would be {fair}");
        }
    }
}

#[test]
fn one_shard_more_takes_its_part_and_moves_nothing_else() {
    let mailboxes = mailboxes(5000);
    for total in [1, 2, 3, 10] {
        let (before, after) = (shards(total), shards(total + 1));
        let mut moved = 0;
        for mailbox in &mailboxes {
            let (old, new) = (owner(&before, mailbox), owner(&after, mailbox));
            if old != new {
                assert_eq!(new, total, "`{mailbox}` moved between old shards");
                moved += 1;
            }
        }
        let fair = mailboxes.len() / (total as usize + 1);
        let expected = moved * 5 > fair * 4 && moved * 5 < fair * 6;
        assert!(expected, "{total} to {}: {moved} moved, fair would be {fair}", total + 1);
    }
}

// A change of this list would give mailboxes two owners while an upgrade is rolled out.
#[test]
fn owners_never_change() {
    let shards = shards(7);
    let owners: Vec<u32> = mailboxes(20).iter().map(|mailbox| owner(&shards, mailbox)).collect();
    assert_eq!(owners, [5, 2, 4, 2, 5, 4, 5, 6, 1, 5, 3, 6, 5, 5, 5, 1, 1, 1, 5, 5]);
}
