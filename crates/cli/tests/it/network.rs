//! The network between the program and the server goes away, and comes back.

use std::time::{Duration, Instant};

use serde_json::json;
use simulators::{
    exchange::{Auth, Options},
    generate::{self, Plan},
};

use crate::{harness::World, machine::Cable};

/// Smallest value that the time-outs may have.
const TIME_OUT: Duration = Duration::from_secs(10);
/// What a busy machine may need beyond that.
const SLACK: Duration = Duration::from_secs(10);

/// The network fails by `cut(true)` in mid-run, longer than the time-out, and works again after
/// `cut(false)`.
#[track_caller]
fn survives(cable: &Cable, cut: impl Fn(bool)) {
    let bind = ([0, 0, 0, 0], 0).into();
    let world = World::empty(Options { bind, auth: Auth::basic(), ..Options::default() });
    world.server.add_mailbox("abc@example.com");
    let until = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    let plan = Plan { seed: 1, messages: 300, size: None, until, with_other_items: true };
    generate::fill(&world.server, "abc@example.com", &plan).unwrap();
    let mut world = world.configured();
    let port = world.server.address().port();
    world.set("ews_endpoint", json!(format!("https://{}:{port}/EWS/Exchange.asmx", cable.server)));
    // Its certificate is for other names.
    world.set("ews_ssl_verify", json!(false));
    world.set("connect_timeout", json!(TIME_OUT.as_secs()));
    world.set("request_timeout", json!(TIME_OUT.as_secs()));
    world.set("reinfer_batch_size", json!(10));
    world.set("poll_message_sleep", json!(0.01));

    let mut appliance = cable.appliance(&world);
    appliance.wait_for_emails(20);
    cut(true);
    let began = Instant::now();
    appliance.wait_until("the complaint", |this| this.log().contains("could not reach"));
    // The request that was under way, then one over a new connection.
    assert!(began.elapsed() < 2 * TIME_OUT + SLACK, "noticed after {:?}", began.elapsed());
    assert!(world.stored() != world.truth(), "nothing was left to do");
    let requests = world.server.request_count();
    cut(false);
    appliance.wait_until_up_to_date(1);
    assert!(world.server.request_count() > requests);
    appliance.stop();
    world.assert_complete();
}

// Fault F15.
#[test]
fn a_pulled_cable_is_noticed_in_time_and_everything_arrives() {
    let Some(cable) = Cable::lay(1) else { return };
    survives(&cable, |cut| cable.set_plugged(!cut));
}

// Fault F15: whoever sends hears nothing, not even that nobody hears him.
#[test]
fn swallowed_packets_are_noticed_in_time_and_everything_arrives() {
    let Some(cable) = Cable::lay(2) else { return };
    survives(&cable, |cut| cable.set_swallowing(cut));
}
