//! The whole way over Microsoft Graph.

use chrono::DateTime;
use serde_json::{Value, json};
use simulators::exchange::{App, Auth, Op, Options};

use crate::{
    doctor_sign_in::credential,
    harness::{Api, World},
    health::{free_address, get, sample},
};

#[test]
fn mail_arrives_over_graph_with_the_configuration_of_the_newer_documentation() {
    let world = World::generated(3, 120).over(Api::Graph);
    for key in ["ews_endpoint", "host", "auth_type", "access_type"] {
        assert!(world.config.get(key).is_none(), "{key}");
    }
    let address = free_address();
    let mut appliance = world.appliance_with(&["--bind", &address.to_string()]);
    appliance.wait_until_up_to_date(3);
    let metrics = get(address, "/metrics").1;
    assert_eq!(sample(&metrics, "tributary_source_info{api=\"graph\"}"), Some(1.0), "{metrics}");
    let log = appliance.log();
    appliance.stop();
    assert!(log.contains("Mail is read over Microsoft Graph"), "{log}");
    world.assert_complete();
    let ews = world.server.requests().iter().filter(|r| r.op == Op::GetItem).count();
    assert_eq!(ews, 0, "EWS was asked");
}

#[test]
fn mail_arrives_over_graph_signed_in_with_a_certificate() {
    let (key, thumbprint, certificate) = credential();
    let app = App::with_certificate(Options::CLIENT_ID, &certificate);
    let world =
        World::empty(Options { auth: Auth::basic(), apps: vec![app], ..Options::default() });
    world.server.add_mailbox("0@example.com");
    let received = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    world.server.deliver("0@example.com", &["Inbox"], "Subject: hello\r\n\r\n", received).unwrap();
    let mut world = world.configured().over(Api::Graph);
    world.set("auth_oauth_client_secret", Value::Null);
    world.set("auth_oauth_client_credential_private_key", json!(key));
    world.set("auth_oauth_client_credential_thumbprint", json!(thumbprint));
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    appliance.stop();
    world.assert_complete();
}
