//! What a configuration for Microsoft Graph means.

use appliance::config::{Credential, GraphDelta, Service, Settings, parse};
use expect_test::expect;
use record::Protocol;

use crate::environment;

const AUTHORITY: &str = r#""auth_oauth_authority": "https://login.microsoftonline.com/tenant/", "#;
const EXCHANGE_ONLINE: &str =
    r#""ews_endpoint": "https://outlook.office365.com/EWS/Exchange.asmx", "#;

#[track_caller]
fn settings_with(variables: &[(&str, &str)], keys: &str) -> Settings {
    let text = format!(
        r#"{{{keys}"auth_oauth_client_id": "id", "auth_oauth_client_secret": "hunter2",
            "mailboxes": {{"abc@example.com": {{"bucket": {{"owner": "o", "name": "n"}}}}}}}}"#
    );
    parse(text.as_bytes(), "ews.json", &environment(variables))
        .unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn settings(keys: &str) -> Settings {
    settings_with(&[], &format!("{AUTHORITY}{keys}"))
}

#[test]
fn the_defaults_are_those_of_the_worldwide_cloud() {
    let settings = settings(r#""microsoft_api": "graph", "#);
    assert_eq!(settings.warnings, [""; 0]);
    expect![[r#"
        microsoft_api = "graph"  # file
        auth_type = "oauth2"  # default
        auth_oauth_token_url = "https://login.microsoftonline.com/tenant/oauth2/v2.0/token"  # file
        auth_oauth_client_id = "id"  # file
        auth_oauth_scope = "https://graph.microsoft.com/.default"  # default
        auth_oauth_client_secret = ***  # file
        ews_ssl_verify = true  # default
        ews_ssl_ciphers = null  # default
        ews_ca_file = null  # default
        ews_channel_binding = "auto"  # default
        graph_endpoint = "https://graph.microsoft.com/v1.0"  # default
        graph_delta = "auto"  # default
        graph_requests_per_second = 6500  # default
        egress_policy = "metadata"  # default
        connect_timeout = 10  # default
        request_timeout = 120  # default
        poll_frequency = 15  # default
        idle_poll_limit = 900  # default
    "#]]
    .assert_eq(settings.print().split("poll_message_sleep").next().unwrap());
    let Service::Graph(graph) = settings.service else { panic!("{:?}", settings.service) };
    assert_eq!(graph.applications.len(), 1);
    assert_eq!(graph.delta, GraphDelta::Auto);
}

// Tokens and addresses of one cloud are worth nothing in another.
#[test]
fn address_and_scope_follow_the_cloud() {
    for (authority, keys, endpoint, scope) in [
        ("login.microsoftonline.com", "", "graph.microsoft.com", "graph.microsoft.com"),
        ("login.microsoftonline.us", "", "graph.microsoft.us", "graph.microsoft.us"),
        (
            "login.microsoftonline.us",
            r#""graph_endpoint": "https://dod-graph.microsoft.us/v1.0/", "#,
            "dod-graph.microsoft.us",
            "dod-graph.microsoft.us",
        ),
        (
            "login.partner.microsoftonline.cn",
            "",
            "microsoftgraph.chinacloudapi.cn",
            "microsoftgraph.chinacloudapi.cn",
        ),
        (
            "login.chinacloudapi.cn",
            "",
            "microsoftgraph.chinacloudapi.cn",
            "microsoftgraph.chinacloudapi.cn",
        ),
        // A proxy of one's own takes the tokens of Graph.
        (
            "login.microsoftonline.us",
            r#""graph_endpoint": "https://graph.example.com", "#,
            "graph.example.com",
            "graph.microsoft.us",
        ),
        ("login.example.com", "", "graph.microsoft.com", "graph.microsoft.com"),
    ] {
        let authority = format!(r#""auth_oauth_authority": "https://{authority}/tenant/", "#);
        let settings =
            settings_with(&[], &format!(r#"{authority}"microsoft_api": "graph", {keys}"#));
        let graph = settings.service.graph().unwrap();
        assert_eq!(graph.endpoint.as_str(), format!("https://{endpoint}/v1.0"));
        assert_eq!(graph.applications[0].scope, format!("https://{scope}/.default"));
    }
}

#[test]
fn auto_takes_graph_for_exchange_online_and_ews_for_other_servers() {
    let on_premises = r#""ews_endpoint": "https://mail.example.com/EWS/Exchange.asmx", "#;
    let check = |keys: &str, expected: &str, because: &str| {
        let settings = settings(&format!(r#""microsoft_api": "auto", {keys}"#));
        let chosen = match &settings.service {
            Service::Ews(_) => "ews",
            Service::Graph(_) => "graph",
            Service::Either { .. } => "either",
        };
        assert_eq!(chosen, expected, "{keys}");
        assert!(settings.chosen_because.contains(because), "{}", settings.chosen_because);
    };
    check("", "graph", "no server is named");
    check(EXCHANGE_ONLINE, "either", "Exchange Online");
    check(r#""host": "https://outlook.office365.us", "#, "either", "Exchange Online");
    check(r#""host": "https://webmail.apps.mil", "#, "either", "Exchange Online");
    check(on_premises, "ews", "not Exchange Online");
    let both = format!(r#"{on_premises}"graph_endpoint": "https://graph.example.com/v1.0", "#);
    check(&both, "either", "`graph_endpoint`");
    let password = r#""auth_type": "ntlm", "auth_user": "u", "auth_password": "hunter2", "#;
    check(&format!("{EXCHANGE_ONLINE}{password}"), "ews", "password");
}

#[test]
fn with_both_possible_each_has_its_own_scope() {
    for (written, graph, ews) in [
        ("", "https://graph.microsoft.com/.default", "https://outlook.office365.com/.default"),
        (
            r#""auth_oauth_scope": "https://graph.microsoft.com/Mail.Read", "#,
            "https://graph.microsoft.com/Mail.Read",
            "https://outlook.office365.com/.default",
        ),
        (
            r#""auth_oauth_scope": "api://ews/.default", "#,
            "https://graph.microsoft.com/.default",
            "api://ews/.default",
        ),
    ] {
        let settings = settings(&format!(r#"{EXCHANGE_ONLINE}"microsoft_api": "auto", {written}"#));
        let appliance::config::Auth::OAuth2(oauth) = &settings.auth else { panic!("no OAuth") };
        assert_eq!(oauth.scope, ews);
        assert_eq!(settings.service.graph().unwrap().applications[0].scope, graph);
        assert!(settings.print().contains(&format!(r#"["{graph}","{ews}"]"#)));
    }
}

#[test]
fn ews_stays_the_default() {
    let keys = format!(r#"{EXCHANGE_ONLINE}"access_type": "impersonation", "#);
    let settings = settings(&keys);
    assert!(matches!(settings.service, Service::Ews(_)));
    assert_eq!(settings.idle_poll_limit_over(Protocol::Ews), settings.poll_frequency);
}

#[test]
fn pauses_grow_over_graph_only_unless_a_limit_is_set() {
    let seconds = |limit: &str| {
        let keys = format!(r#"{EXCHANGE_ONLINE}"microsoft_api": "auto", {limit}"#);
        let settings = settings(&keys);
        [Protocol::Ews, Protocol::Graph].map(|over| settings.idle_poll_limit_over(over).as_secs())
    };
    assert_eq!(seconds(""), [15, 900], "EWS is fallen back to without them");
    assert_eq!(seconds(r#""idle_poll_limit": 60, "#), [60, 60]);
    assert_eq!(seconds(r#""idle_poll_limit": 0.1, "#), [15, 15], "it does not grow");
}

#[test]
fn further_applications_have_their_secrets_in_file_or_environment() {
    let keys = r#""microsoft_api": "graph", "graph_applications": [
        {"auth_oauth_client_id": "id2"},
        {"auth_oauth_client_id": "id3", "auth_oauth_client_secret": "of the file"},
        {"auth_oauth_client_id": "id4", "auth_oauth_client_credential_thumbprint":
         "0011223344556677889900112233445566778899"}], "#;
    let key = "-----BEGIN PRIVATE KEY-----\\nhunter2\\n-----END PRIVATE KEY-----";
    let settings = settings_with(
        &[
            ("REINFER_EWS_AUTH_OAUTH_CLIENT_SECRET_2", "second"),
            ("REINFER_EWS_AUTH_OAUTH_CLIENT_CREDENTIAL_PRIVATE_KEY_4", key),
            ("REINFER_EWS_AUTH_OAUTH_CLIENT_SECRET_5", "fifth"),
            ("REINFER_EWS_AUTH_OAUTH_CLIENT_SECRET_17", "too many"),
        ],
        &format!("{AUTHORITY}{keys}"),
    );
    let applications = &settings.service.graph().unwrap().applications;
    let ids: Vec<&str> = applications.iter().map(|it| it.client_id.as_str()).collect();
    assert_eq!(ids, ["id", "id2", "id3", "id4"]);
    assert_eq!(applications[1].credential, Credential::ClientSecret("second".into()));
    assert_eq!(applications[2].credential, Credential::ClientSecret("of the file".into()));
    assert!(matches!(applications[3].credential, Credential::Certificate { .. }));
    assert!(applications.iter().all(|it| it.scope == "https://graph.microsoft.com/.default"));
    expect![[r#"
        [
            "The environment variable `REINFER_EWS_AUTH_OAUTH_CLIENT_SECRET_5` has no effect: `graph_applications` has 3 entries, the first of which has the number 2.",
        ]
    "#]]
    .assert_debug_eq(&settings.warnings);
    let printed = settings.print();
    let printed: Vec<&str> =
        printed.lines().filter(|line| line.starts_with("graph_applications")).collect();
    expect![[r#"
        graph_applications[0].auth_oauth_client_id = "id2"  # file
        graph_applications[0].auth_oauth_client_secret = ***  # environment REINFER_EWS_AUTH_OAUTH_CLIENT_SECRET_2
        graph_applications[1].auth_oauth_client_id = "id3"  # file
        graph_applications[1].auth_oauth_client_secret = ***  # file
        graph_applications[2].auth_oauth_client_id = "id4"  # file
        graph_applications[2].auth_oauth_client_credential_private_key = ***  # environment REINFER_EWS_AUTH_OAUTH_CLIENT_CREDENTIAL_PRIVATE_KEY_4
        graph_applications[2].auth_oauth_client_credential_thumbprint = "0011223344556677889900112233445566778899"  # file"#]].assert_eq(&printed.join("\n"));
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn keys_of_ews_are_accepted_and_explained() {
    let settings = settings_with(
        &[("REINFER_EWS_HOST", "mail.example.com")],
        &format!(
            r#"{AUTHORITY}{EXCHANGE_ONLINE}"microsoft_api": "graph", "port": 443,
            "auth_type": "oauth2", "access_type": "impersonation", "auth_user": "u",
            "ews_server_version": "Exchange2016", "ews_channel_binding": "off", "#
        ),
    );
    expect![[r#"
        [
            "`ews_endpoint` has no effect with `\"microsoft_api\": \"graph\"`.",
            "`port` has no effect with `\"microsoft_api\": \"graph\"`.",
            "`ews_server_version` has no effect with `\"microsoft_api\": \"graph\"`.",
            "`ews_channel_binding` has no effect with `\"microsoft_api\": \"graph\"`.",
            "`access_type` has no effect with `\"microsoft_api\": \"graph\"`: the application opens each mailbox by its own permission, `Mail.Read`.",
            "The environment variable `REINFER_EWS_HOST` has no effect with `\"microsoft_api\": \"graph\"`.",
            "`auth_user` has no effect with `\"auth_type\": \"oauth2\"`.",
        ]
    "#]]
    .assert_debug_eq(&settings.warnings);
}
