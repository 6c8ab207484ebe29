//! Is every mailbox served by one shard, and does its state go with it?

use crate::{config::Settings, shard::Shard};

use super::CheckResult;

const CHECK: &str = "sharding";

pub(super) fn check(settings: &Settings, shard: Shard, local: bool) -> Vec<CheckResult> {
    let total = shard.total();
    let mut owned = vec![0_usize; total as usize];
    for mailbox in settings.mailboxes.keys() {
        if let Some(count) = owned.get_mut(shard.owner(mailbox) as usize) {
            *count += 1;
        }
    }
    let mine = owned.get(shard.ordinal() as usize).copied().unwrap_or_default();
    let least = owned.iter().min().copied().unwrap_or_default();
    let most = owned.iter().max().copied().unwrap_or_default();
    let mut detail = format!(
        "shard {} of {total} serves {mine} of {} mailboxes",
        shard.ordinal(),
        settings.mailboxes.len()
    );
    if total > 1 {
        detail.push_str(&format!(", others from {least} to {most}"));
    }
    let mut checks = Vec::new();
    let idle = owned.iter().filter(|count| **count == 0).count();
    if idle > 0 {
        let advice = "Fewer shards do the same work.";
        checks.push(CheckResult::warn(CHECK, format!("{detail}; {idle} serve none"), advice));
    } else {
        checks.push(CheckResult::ok(CHECK, detail));
    }
    if local && total > 1 {
        checks.push(CheckResult::warn(
            CHECK,
            format!("{total} shards, and the state is in a folder"),
            "Give each shard a folder of its own that outlives it. When the number of shards \
             changes, a mailbox that moves is read anew by its new shard.",
        ));
    }
    checks
}
