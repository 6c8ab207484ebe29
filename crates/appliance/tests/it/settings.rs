//! What a configuration means: defaults, overrides, and the print-out.

use std::time::Duration;

use appliance::config::{
    AccessType, Auth, ChannelBinding, Credential, EgressPolicy, Settings, StartFrom, Thumbprint,
    parse,
};
use expect_test::expect;

use crate::{config, environment};

#[track_caller]
fn settings_with(variables: &[(&str, &str)], text: &str) -> Settings {
    parse(text.as_bytes(), "ews.json", &environment(variables))
        .unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn settings(text: &str) -> Settings {
    settings_with(&[], text)
}

fn oauth(keys: &str) -> String {
    format!(
        r#"{{"ews_endpoint": "https://outlook.office365.com/EWS/Exchange.asmx",
            "access_type": "impersonation", "auth_oauth_client_id": "id", {keys},
            "mailboxes": {{"abc@example.com": {{"bucket": {{"owner": "o", "name": "n"}}}}}}}}"#
    )
}

#[test]
fn defaults_are_the_documented_ones() {
    let settings = settings(&config(""));
    assert_eq!(settings.warnings, [""; 0]);
    expect![[r#"
        microsoft_api = "ews"  # default
        ews_endpoint = "https://mail.example.com/EWS/Exchange.asmx"  # file
        ews_allow_http = false  # default
        ews_server_version = null  # default
        auth_type = "ntlm"  # default
        auth_user = "u@example.com"  # file
        auth_password = ***  # file
        access_type = "delegate"  # default
        ews_ssl_verify = true  # default
        ews_ssl_ciphers = null  # default
        ews_ca_file = null  # default
        ews_channel_binding = "auto"  # default
        egress_policy = "metadata"  # default
        connect_timeout = 10  # default
        request_timeout = 120  # default
        poll_frequency = 15  # default
        idle_poll_limit = null  # default
        poll_message_sleep = "0.1 while the server throttles, else 0"  # default
        max_concurrent_uploads = 8  # default
        max_concurrent_mailboxes = 8  # default
        emails_per_folder = 2520  # default
        reinfer_batch_size = 80  # default
        max_email_size = 268435456  # default
        response_size_cap = 536870912  # default
        include_drafts = false  # default
        audit_email = null  # default
        mailboxes.abc@example.com.bucket.owner = "o"  # file
        mailboxes.abc@example.com.bucket.name = "n"  # file
        mailboxes.abc@example.com.start_from = "bucket"  # default
        mailboxes.abc@example.com.start_timestamp = null  # default
        mailboxes.abc@example.com.folders_allow = null  # default
        mailboxes.abc@example.com.folders_deny = null  # default
    "#]]
    .assert_eq(&settings.print());
    assert_eq!(settings.access_type, AccessType::Delegate);
    assert_eq!(settings.poll_frequency, Duration::from_secs(15));
    assert_eq!(settings.poll_message_sleep, None);
    assert_eq!(settings.connect_timeout, Duration::from_secs(10));
    assert_eq!(settings.tls.channel_binding, ChannelBinding::Auto);
    assert_eq!(settings.egress_policy, EgressPolicy::Metadata);
    assert!(settings.tls.verify);
}

#[test]
fn the_ends_of_each_range_are_legal() {
    let low = settings(&config(
        r#""poll_frequency": 1, "poll_message_sleep": 0, "max_concurrent_uploads": 0,
           "emails_per_folder": 1, "reinfer_batch_size": 1, "connect_timeout": 10"#,
    ));
    assert_eq!(low.poll_frequency, Duration::from_secs(1));
    assert_eq!(low.poll_message_sleep, Some(Duration::ZERO));
    assert_eq!(low.max_concurrent_uploads, 1, "0 means one after another");
    assert_eq!((low.emails_per_folder, low.reinfer_batch_size), (1, 1));
    let high = settings(&config(
        r#""max_concurrent_uploads": 32, "emails_per_folder": 100000,
           "reinfer_batch_size": 1000, "connect_timeout": 60, "poll_message_sleep": 0.25"#,
    ));
    assert_eq!(high.max_concurrent_uploads, 32);
    assert_eq!((high.emails_per_folder, high.reinfer_batch_size), (100_000, 1000));
    assert_eq!(high.poll_message_sleep, Some(Duration::from_millis(250)));
}

#[test]
fn a_null_counts_as_absent() {
    let nulls = settings(&config(
        r#""port": null, "ews_ssl_ciphers": null, "audit_email": null, "access_type": null,
           "poll_frequency": null, "folders_allow": null, "ews_ssl_verify": null,
           "ews_server_version": null, "microsoft_api": null, "$schema": null"#,
    ));
    assert_eq!(nulls, settings(&config("")));
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    assert_eq!(settings(&format!("\u{feff}{}", config(""))), settings(&config("")));
}

#[test]
fn host_and_port_become_an_address() {
    for (host, port, expected) in [
        ("https://mail.example.com", "443", "https://mail.example.com/EWS/Exchange.asmx"),
        ("https://mail.example.com/", "null", "https://mail.example.com/EWS/Exchange.asmx"),
        ("mail.example.com", "443", "https://mail.example.com/EWS/Exchange.asmx"),
        ("https://mail.example.com", "80", "https://mail.example.com:80/EWS/Exchange.asmx"),
        (
            "https://mail.example.com:8443",
            "null",
            "https://mail.example.com:8443/EWS/Exchange.asmx",
        ),
        (
            "https://mail.example.com:8443",
            "8443",
            "https://mail.example.com:8443/EWS/Exchange.asmx",
        ),
        ("127.0.0.1", "8080", "http://127.0.0.1:8080/EWS/Exchange.asmx"),
        ("localhost", "null", "http://localhost/EWS/Exchange.asmx"),
        ("HTTP://[::1]", "8080", "http://[::1]:8080/EWS/Exchange.asmx"),
        ("::1", "443", "https://[::1]/EWS/Exchange.asmx"),
    ] {
        let text = config(&format!(r#""port": {port}"#));
        let settings = settings(&text.replace("https://mail.example.com", host));
        assert_eq!(
            settings.service.ews().unwrap().endpoint.as_str(),
            expected,
            "{host} and {port}"
        );
    }
}

#[test]
fn the_environment_overrides_the_file() {
    let settings = settings_with(
        &[
            ("REINFER_EWS_HOST", "https://other.example.com"),
            ("REINFER_EWS_PORT", "8443"),
            ("REINFER_EWS_AUTH_USER", "EXAMPLE\\other"),
            ("REINFER_EWS_AUTH_PASS", "hunter3"),
            ("REINFER_EWS_ACCESS_TYPE", "impersonation"),
        ],
        &config(r#""port": 443"#),
    );
    expect![[r#"
        microsoft_api = "ews"  # default
        ews_endpoint = "https://other.example.com:8443/EWS/Exchange.asmx"  # environment REINFER_EWS_HOST
        ews_allow_http = false  # default
        ews_server_version = null  # default
        auth_type = "ntlm"  # default
        auth_user = "EXAMPLE\\other"  # environment REINFER_EWS_AUTH_USER
        auth_password = ***  # environment REINFER_EWS_AUTH_PASS
        access_type = "impersonation"  # environment REINFER_EWS_ACCESS_TYPE
        ews_ssl_verify = true  # default
        ews_ssl_ciphers = null  # default
        ews_ca_file = null  # default
        ews_channel_binding = "auto"  # default
    "#]].assert_eq(settings.print().split("egress").next().unwrap());
    assert_eq!(
        settings.auth,
        Auth::Ntlm { user: "EXAMPLE\\other".into(), password: "hunter3".into() }
    );
}

#[test]
fn a_host_in_the_environment_beats_the_endpoint_and_says_so() {
    let text = config("").replace(
        r#""host": "https://mail.example.com""#,
        r#""ews_endpoint": "https://mail.example.com/EWS/Exchange.asmx""#,
    );
    let settings = settings_with(&[("REINFER_EWS_HOST", "https://other.example.com")], &text);
    assert_eq!(
        settings.service.ews().unwrap().endpoint.as_str(),
        "https://other.example.com/EWS/Exchange.asmx"
    );
    assert_eq!(
        settings.warnings,
        ["`ews_endpoint` has no effect: the environment variable `REINFER_EWS_HOST` names the \
          server."]
    );
}

/// Invariant: the same configuration means the same, however it arrives.
#[test]
fn file_and_environment_mean_the_same() {
    let by_file = settings(&config(r#""access_type": "impersonation", "port": 443"#));
    let by_environment = settings_with(
        &[
            ("REINFER_EWS_HOST", "mail.example.com"),
            ("REINFER_EWS_PORT", "443"),
            ("REINFER_EWS_AUTH_USER", "u@example.com"),
            ("REINFER_EWS_AUTH_PASS", "hunter2"),
            ("REINFER_EWS_ACCESS_TYPE", "impersonation"),
        ],
        r#"{"mailboxes": {" ABC@example.com ": {"bucket": {"name": "n", "owner": "o"},
            "start_from": "bucket"}}, "poll_frequency": 15.0}"#,
    );
    assert_eq!(by_file.canonical(), by_environment.canonical());
    assert_ne!(by_file.print(), by_environment.print(), "the origins differ");
    assert!(!by_file.canonical().contains('#'), "{}", by_file.canonical());
}

#[test]
fn oauth_is_inferred_from_its_keys() {
    let settings = settings(&oauth(
        r#""auth_oauth_authority": "https://login.microsoftonline.com/tenant",
           "auth_oauth_client_secret": "hunter2""#,
    ));
    let Auth::OAuth2(oauth) = settings.auth else { panic!("{:?}", settings.auth) };
    assert_eq!(
        oauth.token_url.as_str(),
        "https://login.microsoftonline.com/tenant/oauth2/v2.0/token"
    );
    assert_eq!(oauth.scope, "https://outlook.office365.com/.default");
    assert_eq!(oauth.credential, Credential::ClientSecret("hunter2".into()));
}

#[test]
fn the_scope_follows_the_cloud() {
    for (authority, endpoint, expected) in [
        ("login.microsoftonline.com", "outlook.office365.com", "outlook.office365.com"),
        ("login.microsoftonline.us", "outlook.office365.us", "outlook.office365.us"),
        ("login.microsoftonline.us", "outlook-dod.office365.us", "outlook-dod.office365.us"),
        ("login.partner.microsoftonline.cn", "partner.outlook.cn", "partner.outlook.cn"),
        ("login.chinacloudapi.cn", "partner.outlook.cn", "partner.outlook.cn"),
        ("login.example.com", "mail.example.com", "outlook.office365.com"),
    ] {
        let text = oauth(&format!(
            r#""auth_oauth_authority": "https://{authority}/tenant/",
               "auth_oauth_client_secret": "hunter2""#
        ));
        let settings = settings(&text.replace("outlook.office365.com", endpoint));
        let Auth::OAuth2(oauth) = settings.auth else { panic!("{:?}", settings.auth) };
        assert_eq!(oauth.scope, format!("https://{expected}/.default"), "{authority}");
    }
}

#[test]
fn a_thumbprint_may_be_written_in_many_ways() {
    let sha1 = Thumbprint::Sha1([0xab; 20]);
    let sha256 = Thumbprint::Sha256([0xcd; 32]);
    for (text, expected) in [
        ("ab".repeat(20), sha1),
        (vec!["AB"; 20].join(":"), sha1),
        // As the certificate dialog of Windows has it, with its invisible first character.
        (format!("\u{200e}{}", vec!["ab"; 20].join(" ")), sha1),
        ("CD".repeat(32), sha256),
    ] {
        let settings = settings(&oauth(&format!(
            r#""auth_oauth_authority": "https://login.microsoftonline.com/tenant/",
               "auth_oauth_client_credential_private_key":
               "-----BEGIN PRIVATE KEY-----\\nhunter2\\n-----END PRIVATE KEY-----",
               "auth_oauth_client_credential_thumbprint": "{text}""#
        )));
        let Auth::OAuth2(oauth) = settings.auth else { panic!("{:?}", settings.auth) };
        let private_key = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";
        assert_eq!(
            oauth.credential,
            Credential::Certificate { private_key: private_key.into(), thumbprint: expected },
            "{text}"
        );
    }
}

#[test]
fn verification_is_turned_off_with_a_warning() {
    for written in ["false", "\"false\""] {
        let settings = settings(&config(&format!(r#""ews_ssl_verify": {written}"#)));
        assert!(!settings.tls.verify);
        assert_eq!(settings.warnings.len(), 1, "{:?}", settings.warnings);
    }
    for written in ["true", "\"true\""] {
        assert!(settings(&config(&format!(r#""ews_ssl_verify": {written}"#))).tls.verify);
    }
}

#[test]
fn what_is_risky_or_without_effect_is_warned_about() {
    let text = r#"{"ews_endpoint": "https://outlook.office365.com/", "port": 443,
        "auth_user": "u@example.com", "auth_password": "hunter2", "auth_type": "oauth2",
        "auth_oauth_authority": "https://login.microsoftonline.com/tenant/",
        "auth_oauth_client_id": "id", "auth_oauth_client_secret": "hunter3",
        "mailboxes": {"abc@example.com": {"bucket": {"owner": "o", "name": "n"}}}}"#;
    expect![[r#"
        [
            "`port` has no effect: `ews_endpoint` names the whole address.",
            "`auth_user` has no effect with `\"auth_type\": \"oauth2\"`.",
            "`auth_password` has no effect with `\"auth_type\": \"oauth2\"`.",
            "`access_type` is `delegate`, but Exchange Online opens mailboxes to an application only with `\"access_type\": \"impersonation\"`.",
        ]
    "#]].assert_debug_eq(&settings(text).warnings);
    expect![[r#"
        [
            "`port` has no effect: `ews_endpoint` names the whole address.",
            "`auth_oauth_client_id` has no effect with `\"auth_type\": \"basic\"`.",
            "`auth_oauth_client_secret` has no effect with `\"auth_type\": \"basic\"`.",
            "Exchange Online accepts only `\"auth_type\": \"oauth2\"`, not `\"basic\"`.",
        ]
    "#]]
    .assert_debug_eq(&settings(&text.replace("\"oauth2\"", "\"basic\"")).warnings);
}

#[test]
fn a_mailbox_has_its_own_folder_rules() {
    let settings = settings(
        r#"{"host": "https://mail.example.com", "auth_user": "u", "auth_password": "hunter2",
        "folders_allow": ["Inbox/**"], "folders_deny": ["**/Private"],
        "mailboxes": {
          "a@example.com": {"bucket": {"owner": "o", "name": "n"}},
          "b@example.com": {"bucket": {"owner": "o", "name": "n"}, "folders_allow": ["**"]},
          "c@example.com": {"bucket": {"owner": "o", "name": "n"}, "folders_deny": [],
                            "start_from": "config",
                            "start_timestamp": "2024-01-01T00:00:00+01:00"}
        }}"#,
    );
    let includes = |mailbox: &str, path: &[&str]| {
        let path: Vec<String> = path.iter().map(|&name| name.into()).collect();
        settings.mailboxes[&mailbox.parse().unwrap()].folders.includes(&path)
    };
    assert!(includes("a@example.com", &["Inbox"]));
    assert!(!includes("a@example.com", &["Sent Items"]));
    assert!(!includes("a@example.com", &["Inbox", "Private"]));
    assert!(includes("b@example.com", &["Sent Items"]));
    assert!(!includes("b@example.com", &["Inbox", "Private"]));
    assert!(includes("c@example.com", &["Inbox", "Private"]));
    let c = &settings.mailboxes[&"c@example.com".parse().unwrap()];
    assert_eq!(c.start_from, StartFrom::Config);
    expect![[r#"
        a@example.com.bucket.owner = "o"  # file
        mailboxes.a@example.com.bucket.name = "n"  # file
        mailboxes.a@example.com.start_from = "bucket"  # default
        mailboxes.a@example.com.start_timestamp = null  # default
        mailboxes.a@example.com.folders_allow = ["Inbox/**"]  # file
        mailboxes.a@example.com.folders_deny = ["**/Private"]  # file
        mailboxes.b@example.com.bucket.owner = "o"  # file
        mailboxes.b@example.com.bucket.name = "n"  # file
        mailboxes.b@example.com.start_from = "bucket"  # default
        mailboxes.b@example.com.start_timestamp = null  # default
        mailboxes.b@example.com.folders_allow = ["**"]  # file
        mailboxes.b@example.com.folders_deny = ["**/Private"]  # file
        mailboxes.c@example.com.bucket.owner = "o"  # file
        mailboxes.c@example.com.bucket.name = "n"  # file
        mailboxes.c@example.com.start_from = "config"  # file
        mailboxes.c@example.com.start_timestamp = "2023-12-31T23:00:00Z"  # file
        mailboxes.c@example.com.folders_allow = ["Inbox/**"]  # file
        mailboxes.c@example.com.folders_deny = null  # file
    "#]]
    .assert_eq(settings.print().split_once("mailboxes.").unwrap().1);
}

#[test]
fn the_largest_email_raises_the_reply() {
    let settings = settings(&config(r#""max_email_size": 2147483648"#));
    assert!(settings.response_size_cap > 2_147_483_648 / 3 * 4);
}

#[test]
fn a_missing_file_is_told_from_a_bad_one() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let error =
        appliance::config::load(&folder.join("no-such.json"), &environment(&[])).unwrap_err();
    assert!(error.is_unread(), "{error}");
    assert!(error.to_string().contains("no-such.json`: cannot be read: "), "{error}");
    let path = folder.join("bad.json");
    std::fs::write(&path, "{").unwrap();
    let error = appliance::config::load(&path, &environment(&[])).unwrap_err();
    assert!(!error.is_unread(), "{error}");
}
