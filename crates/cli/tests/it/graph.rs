//! The whole way over Microsoft Graph.

use simulators::exchange::Op;

use crate::{
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
