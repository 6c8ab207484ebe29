//! A configuration that the platform keeps.

use std::net::SocketAddr;

use rustix::process::Signal;
use serde_json::{Value, json};
use simulators::{
    exchange::{Auth, Options as ExchangeOptions},
    platform::{Op, Options, Platform},
};

use crate::{
    harness::{Appliance, BUCKET, PROGRAM, TOKEN, World},
    health::{free_address, get, sample},
};

const RELOADED: &str = "tributary_config_last_reload_successful";

fn now() -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

/// An appliance without a configuration of its own, unless `more` or `variables` name one.
fn start(
    world: &World,
    platform: &Platform,
    more: &[&str],
    variables: &[(&str, &str)],
) -> (Appliance, SocketAddr) {
    let address = free_address();
    let (bind, endpoint) = (address.to_string(), platform.endpoint());
    let mut arguments = vec!["appliance", "--bind", &bind, "--reinfer-api-endpoint", &endpoint];
    arguments.extend(["--remote-config-owner", "project", "--remote-config-key", "ews"]);
    arguments.extend(more);
    let mut all = vec![("REINFER_API_TOKEN", TOKEN), ("REINFER_EWS_CONFIG", "")];
    all.extend(variables);
    (world.start_with(PROGRAM, &arguments, &all), address)
}

fn upload(platform: &Platform, config: &Value) {
    platform.set_config("project", "ews", config.to_string());
}

/// As many emails as there are of one mailbox.
fn count_of(platform: &Platform, mailbox: &str) -> usize {
    platform.emails(BUCKET).iter().filter(|email| email.mailbox == mailbox).count()
}

// Fault F27.
#[test]
fn a_configuration_is_waited_for_and_followed_while_it_is_good() {
    let world = World::generated(2, 10);
    let platform = world.platform(Options::default());
    let (mut appliance, address) = start(&world, &platform, &[], &[]);
    appliance.wait_until("waiting", |this| this.log().contains("Waiting for a configuration"));
    assert_eq!(get(address, "/livez").0, 200);
    assert_eq!(get(address, "/readyz").0, 503);

    let mut first = world.config.clone();
    first["mailboxes"].as_object_mut().unwrap().remove("1@example.com");
    upload(&platform, &first);
    appliance.wait_until_up_to_date(1);
    assert_eq!(get(address, "/readyz").0, 200);
    assert_eq!(sample(&get(address, "/metrics").1, RELOADED), Some(1.0));
    assert!(platform.requests().iter().any(|request| request.op == Op::UpdateBucket));
    assert_eq!(count_of(&platform, "1@example.com"), 0);

    upload(&platform, &world.config);
    appliance.signal(Signal::HUP);
    appliance.wait_until("the second mailbox", |this| {
        this.log().contains("`1@example.com` is up to date")
    });
    assert!(count_of(&platform, "1@example.com") > 0);

    let mut bad = world.config.clone();
    bad["email_per_folder"] = json!(5);
    upload(&platform, &bad);
    appliance.signal(Signal::HUP);
    appliance.wait_until("the refusal", |this| {
        let log = this.log();
        log.contains("changed configuration is not used") && log.contains("emails_per_folder")
    });
    assert_eq!(sample(&get(address, "/metrics").1, RELOADED), Some(0.0));
    assert_eq!(get(address, "/readyz").0, 200);
    let before = platform.email_count(BUCKET);
    for mailbox in world.server.mailboxes() {
        let text = format!("Subject: late\r\n\r\nto {mailbox}\r\n");
        world.server.deliver(&mailbox, &["Inbox"], text, now()).unwrap();
    }
    appliance.wait_until("new mail", |_| platform.email_count(BUCKET) == before + 2);
    appliance.stop();
    assert_eq!(platform.leaks().len(), 0);
}

#[test]
fn another_exchange_server_needs_permission() {
    let world = World::generated(1, 5);
    let mut other = World::empty(ExchangeOptions { auth: Auth::basic(), ..Default::default() });
    other.server.add_mailbox("other@example.com");
    let text = "Subject: elsewhere\r\n\r\n1\r\n";
    other.server.deliver("other@example.com", &["Inbox"], text, now()).unwrap();
    other = other.configured();
    let platform = world.platform(Options::default());

    upload(&platform, &world.config);
    let (mut appliance, address) = start(&world, &platform, &[], &[]);
    appliance.wait_until_up_to_date(1);
    upload(&platform, &other.config);
    appliance.signal(Signal::HUP);
    appliance
        .wait_until("the refusal", |this| this.log().contains("--allow-remote-endpoint-change"));
    assert_eq!(sample(&get(address, "/metrics").1, RELOADED), Some(0.0));
    appliance.stop();
    assert_eq!(other.server.connection_count(), 0, "the credentials could have gone there");

    upload(&platform, &world.config);
    let flag = ["--allow-remote-endpoint-change"];
    let (mut appliance, _) = start(&world, &platform, &flag, &[]);
    appliance.wait_until_up_to_date(2);
    upload(&platform, &other.config);
    appliance.signal(Signal::HUP);
    appliance.wait_until("the other's mail", |_| count_of(&platform, "other@example.com") == 1);
    appliance.stop();
    assert_eq!(platform.leaks().len(), 0);
}

#[test]
fn a_first_configuration_cannot_lead_pinned_credentials_elsewhere() {
    let world = World::generated(1, 5);
    let mut other = World::empty(ExchangeOptions { auth: Auth::basic(), ..Default::default() });
    other.server.add_mailbox("other@example.com");
    other = other.configured();
    let platform = world.platform(Options::default());
    upload(&platform, &other.config);
    let endpoint = world.config["ews_endpoint"].as_str().unwrap();
    let pin = endpoint.split('/').nth(2).unwrap();
    // The credentials come from this machine.
    let secret = [("REINFER_EWS_AUTH_PASS", "canary-password")];
    let (mut appliance, _) = start(&world, &platform, &["--credentials-only-to", pin], &secret);
    appliance.wait_until("the refusal", |this| {
        let log = this.log();
        log.contains("Waiting for a configuration") && log.contains("--credentials-only-to")
    });
    upload(&platform, &world.config);
    appliance.signal(Signal::HUP);
    appliance.wait_until("the pinned server", |_| world.server.connection_count() > 0);
    appliance.kill();
    assert_eq!(other.server.connection_count(), 0, "the credentials could have gone there");
}

#[test]
fn a_file_of_this_machine_wins_and_a_refused_token_ends_with_77() {
    let world = World::generated(1, 5);
    let platform = world.platform(Options::default());
    upload(&platform, &json!({"nonsense": true}));
    let config = world.config_path();
    let local = [("REINFER_EWS_CONFIG", config.to_str().unwrap())];
    let (mut appliance, _) = start(&world, &platform, &[], &local);
    appliance.wait_until_up_to_date(1);
    appliance.stop();
    assert!(platform.requests().iter().all(|request| request.op != Op::GetConfig));

    let (mut appliance, _) =
        start(&world, &platform, &[], &[("REINFER_API_TOKEN", "canary-refused-token")]);
    assert_eq!(appliance.wait().code(), Some(77), "{}", appliance.log());
    assert!(!appliance.log().contains("canary-refused-token"));
}
