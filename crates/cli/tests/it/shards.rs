//! Several shards at work in one folder, while their number changes.

use serde_json::json;

use crate::harness::{Appliance, World};

fn shard(world: &World, ordinal: u32, total: u32) -> Appliance {
    let (name, total) = (format!("ews-{ordinal}"), total.to_string());
    world.appliance_with(&["--shard-name", &name, "--total-shards", &total])
}

// Fault F17: from three shards to four, one after the other from the last one, as a StatefulSet
// does it. Meanwhile some mailboxes have two owners and some have none.
#[test]
fn a_roll_out_from_three_to_four_shards_loses_and_doubles_nothing() {
    let mut world = World::generated(12, 40);
    world.set("reinfer_batch_size", json!(10));
    world.set("emails_per_folder", json!(20));
    let mut old: Vec<_> = (0..3).map(|ordinal| shard(&world, ordinal, 3)).collect();
    old[0].wait_for_emails(20);
    let mut new = vec![shard(&world, 3, 4)];
    for (ordinal, old) in (0..3).zip(old).rev() {
        // Both ways in which a pod goes.
        if ordinal == 1 {
            old.kill()
        } else {
            old.stop()
        }
        new.push(shard(&world, ordinal, 4));
    }
    new[0].wait_until("all mailboxes", |_| world.stored() == world.truth());
    let table = world.run(&["status"]);
    let told = String::from_utf8_lossy(&table.stderr).into_owned();
    assert!(!told.contains("no process serves"), "{told}");
    for shard in new {
        shard.stop();
    }
    world.assert_complete();
}

#[test]
fn status_warns_of_mailboxes_that_nobody_serves() {
    let world = World::generated(6, 2);
    let mut both = [shard(&world, 0, 2), shard(&world, 1, 2)];
    both[0].wait_until("all mailboxes", |_| world.stored() == world.truth());
    // The files tell, once each shard has written its own.
    both[0].wait_until("a status without gaps", |_| {
        let told = world.run(&["status"]);
        told.stderr.is_empty() && !String::from_utf8_lossy(&told.stdout).contains("not served")
    });
    let [first, second] = both;
    second.kill();
    let told = world.run(&["status"]);
    let warning = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(warning.contains("no process serves them"), "{warning}");
    let states: Vec<_> = world.status().as_array().unwrap().clone();
    let of = |state: &str| states.iter().filter(|mailbox| mailbox["state"] == state).count();
    let served = states.iter().filter(|mailbox| mailbox["served"] == true).count();
    assert!(served > 0 && of("not served") > 0 && served + of("not served") == 6, "{states:?}");
    first.stop();
}
