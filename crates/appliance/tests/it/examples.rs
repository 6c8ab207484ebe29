//! The sample configurations work, and so do those of the appliance that is replaced.

use std::{fs, path::Path};

use appliance::config::{load, parse};
use expect_test::expect;

use crate::environment;

const KEY: &str = "-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----";

#[test]
fn each_sample_is_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let secret = match path.file_stem().unwrap().to_str().unwrap() {
            "oauth-client-secret" | "graph-client-secret" => {
                ("REINFER_EWS_AUTH_OAUTH_CLIENT_SECRET", "hunter2")
            }
            "oauth-certificate" | "graph-certificate" => {
                ("REINFER_EWS_AUTH_OAUTH_CLIENT_CREDENTIAL_PRIVATE_KEY", KEY)
            }
            _ => ("REINFER_EWS_AUTH_PASS", "hunter2"),
        };
        let settings = load(&path, &environment(&[secret])).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(settings.warnings, [""; 0], "{}", path.display());
        seen += 1;
    }
    assert_eq!(seen, 6);
}

/// Two mailboxes as the documentation of the replaced appliance writes them.
fn documented(keys: &str) -> String {
    let mailbox = r#"{"bucket": {"owner": "project-name", "name": "bucket-name"},
        "start_from": "bucket", "start_timestamp": "2020-01-01T00:00:00+00:00"}"#;
    format!(
        r#"{{{keys}, "mailboxes": {{"abc@example.com": {mailbox}, "xyz@example.com": {mailbox}}}}}"#
    )
}

fn oauth(credential: &str) -> String {
    documented(&format!(
        r#""ews_endpoint": "https://outlook.office365.com/EWS/Exchange.asmx",
        "auth_type": "oauth2",
        "auth_oauth_authority": "https://login.microsoftonline.com/<tenant_id>/",
        "auth_oauth_client_id": "<client_id>", {credential}, "access_type": "impersonation""#
    ))
}

#[test]
fn configurations_of_the_replaced_appliance_are_accepted() {
    let ntlm = documented(
        r#""host": "https://exchange-server.example.com", "port": 443, "auth_type": "ntlm",
        "auth_user": "ews-service-user@example.com", "access_type": "delegate""#,
    );
    let secret = oauth(r#""auth_oauth_client_secret": "<client_secret>""#);
    let certificate = oauth(
        r#""auth_oauth_client_credential_private_key": "<private_key>",
        "auth_oauth_client_credential_thumbprint": "<thumbprint>""#,
    );
    let over_graph = |credential: &str| {
        documented(&format!(
            r#""microsoft_api": "graph",
            "auth_oauth_authority": "https://login.microsoftonline.com/<tenant_id>/",
            "auth_oauth_client_id": "<client_id>", {credential}"#
        ))
    };
    let graph_secret = over_graph(r#""auth_oauth_client_secret": "<client_secret>""#);
    let graph_certificate = over_graph(
        r#""auth_oauth_client_credential_private_key": "<private_key>",
        "auth_oauth_client_credential_thumbprint": "<thumbprint>""#,
    );
    for sample in [ntlm, secret, certificate, graph_secret, graph_certificate] {
        let filled = sample
            .replace("<tenant_id>", "tenant")
            .replace("<client_id>", "id")
            .replace("<client_secret>", "hunter2")
            .replace("<private_key>", KEY)
            .replace("<thumbprint>", &"ab".repeat(20));
        let environment = environment(&[("REINFER_EWS_AUTH_PASS", "hunter2")]);
        let settings = parse(filled.as_bytes(), "ews.json", &environment)
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(settings.mailboxes.len(), 2);
        assert_eq!(settings.warnings, [""; 0]);
    }
}

#[test]
fn a_sample_with_its_placeholders_says_what_to_fill_in() {
    let certificate = oauth(
        r#""auth_oauth_client_credential_private_key": "<private_key>",
        "auth_oauth_client_credential_thumbprint": "<thumbprint>""#,
    );
    let error = parse(certificate.as_bytes(), "ews.json", &environment(&[])).unwrap_err();
    expect![[r#"
        config `ews.json` has 4 errors:
        - `auth_oauth_authority` still holds the placeholder `<tenant_id>`
        - `auth_oauth_client_id` still holds the placeholder `<client_id>`
        - `auth_oauth_client_credential_private_key` is not a private key; allowed: PEM, from `-----BEGIN PRIVATE KEY-----` to `-----END PRIVATE KEY-----`, with a line break or `\n` after each line
        - `auth_oauth_client_credential_thumbprint` still holds the placeholder `<thumbprint>`"#]].assert_eq(&error.to_string());
}
