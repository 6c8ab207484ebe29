//! The remote configuration, and what the platform is told about the appliance.

use record::{Secret, SinkError};
use simulators::platform::{Fault, FaultRule, Op};
use sinks::platform_api::{Appliance, PlatformApi, RemoteConfig, Settings};

use super::{BUCKET, CANARY, Fixture, route};

#[tokio::test]
async fn a_configuration_is_fetched_when_it_has_changed() {
    let fixture = Fixture::start().await;
    let config = RemoteConfig::new(fixture.api(), "owner", "key");
    let err = config.fetch(None).await.unwrap_err();
    assert!(matches!(err, SinkError::Denied { .. }), "{err}");
    assert!(err.hint().unwrap().contains("--remote-config-key"), "{:?}", err.hint());

    fixture.server.set_config("owner", "key", "{\"mailboxes\":{}}");
    let (content, version) = config.fetch(None).await.unwrap().unwrap();
    assert_eq!(content, b"{\"mailboxes\":{}}");
    assert_eq!(config.fetch(Some(&version)).await.unwrap(), None);
    assert_eq!(fixture.server.requests().last().unwrap().status, 304);
    fixture.server.set_config("owner", "key", "{}");
    let (content, _) = config.fetch(Some(&version)).await.unwrap().unwrap();
    assert_eq!(content, b"{}");
}

#[tokio::test]
async fn the_documented_path_is_asked_first() {
    for status in [404, 405] {
        let fixture = Fixture::start().await;
        fixture.server.set_config("owner", "key", "{}");
        fixture.server.fault(FaultRule::new(Fault::http(status)).op(Op::GetConfig));
        let config = RemoteConfig::new(fixture.api(), "owner", "key");
        assert!(config.fetch(None).await.unwrap().is_some());
        let requests = fixture.server.requests();
        let paths: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
        assert_eq!(
            paths,
            ["/api/v1/appliance-configs/owner/key", "/api/_private/appliance-configs/owner/key"]
        );
    }
}

#[tokio::test]
async fn a_configuration_that_is_far_too_large_is_an_error() {
    let fixture = Fixture::start().await;
    fixture.server.set_config("owner", "key", vec![b' '; 2 << 20]);
    assert!(RemoteConfig::new(fixture.api(), "owner", "key").fetch(None).await.is_err());
}

#[tokio::test]
async fn the_platform_learns_who_writes_to_a_bucket() {
    let fixture = Fixture::start().await;
    let appliance = Appliance {
        config_owner: "owner".into(),
        config_key: "key".into(),
        shard_index: 1,
        num_shards: 3,
    };
    let settings = Settings {
        batch_size: 80,
        max_concurrent_uploads: 8,
        spool_dir: std::env::temp_dir(),
        appliance: Some(appliance),
    };
    let sink = PlatformApi::new(fixture.api(), settings);
    sink.announce(&route().bucket).await;
    let bucket = fixture.server.bucket(BUCKET).unwrap();
    assert_eq!(bucket["last_updated_by"]["shard_index"], 1);
    assert_eq!(bucket["last_updated_by"]["num_shards"], 3);
    // Refused, and nothing comes of it.
    fixture.server.fault(FaultRule::new(Fault::http(403)));
    sink.announce(&route().bucket).await;
}

#[tokio::test]
async fn an_endpoint_is_taken_in_each_of_its_forms() {
    let base_path = "/org/tenant/reinfer_".into();
    let options = simulators::platform::Options { base_path, ..Default::default() };
    let fixture = Fixture::with(options).await;
    fixture.server.set_config("owner", "key", "{}");
    let endpoint = fixture.server.endpoint();
    let origin = endpoint.strip_suffix("/api/").unwrap();
    for suffix in ["/api/", "/api", "/", "", "/api//"] {
        let settings = fixture.api_settings(format!("{origin}{suffix}"), CANARY);
        let api = sinks::platform_api::Api::new(settings).unwrap();
        let fetched = RemoteConfig::new(api, "owner", "key").fetch(None).await;
        assert!(fetched.unwrap().is_some(), "{suffix}");
    }
}

#[tokio::test]
async fn unusable_settings_are_named_without_the_token() {
    let fixture = Fixture::start().await;
    let check = |endpoint: &str, token: &str| {
        let settings = fixture.api_settings(endpoint.to_owned(), token);
        assert!(!format!("{settings:?}").contains(CANARY));
        let err = sinks::platform_api::Api::new(settings).unwrap_err();
        let text = format!("{err:?} {}", record::Chain(&err));
        assert!(!text.contains(CANARY), "{text}");
        record::Chain(&err).to_string()
    };
    assert_eq!(
        check("https://x.example.com/api/", ""),
        "the API token is empty or has characters that no token has"
    );
    assert_eq!(
        check("https://x.example.com/api/", &format!("{CANARY}\n")),
        "the API token is empty or has characters that no token has"
    );
    assert!(
        check("x.example.com", CANARY).starts_with("the API endpoint cannot be used: not a URL")
    );
    assert!(check("https://x.example.com/api/?a=b", CANARY).contains("query"));
    assert_eq!(format!("{:?}", Secret::from(CANARY)), "***");
    assert!(!format!("{:?} {:?}", fixture.api(), fixture.api().host()).contains(CANARY));
}
