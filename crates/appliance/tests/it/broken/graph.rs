//! Configurations for Microsoft Graph that cannot work.

use expect_test::{Expect, expect};

use super::check;

#[track_caller]
fn check_graph(keys: &str, expected: Expect) {
    check(
        format!(
            r#"{{"microsoft_api": "graph", {keys}
            "mailboxes": {{"abc@example.com": {{"bucket": {{"owner": "o", "name": "n"}}}}}}}}"#
        ),
        expected,
    );
}

const OAUTH: &str = r#""auth_oauth_authority": "https://login.microsoftonline.com/tenant/",
    "auth_oauth_client_id": "id", "auth_oauth_client_secret": "hunter2", "#;

#[test]
fn a_sign_in_by_password() {
    check_graph(
        r#""auth_type": "ntlm", "auth_user": "u", "auth_password": "hunter2", "#,
        expect![[
            r#"error: config `ews.json`: `auth_type` is `"ntlm"`, which Microsoft Graph does not take; allowed with `"microsoft_api": "graph"`: `"oauth2"` or no `auth_type`, with `auth_oauth_authority`, `auth_oauth_client_id` and a secret or certificate of an app registration; for a server of one's own, `"microsoft_api": "ews"`"#
        ]],
    );
}

#[test]
fn no_sign_in_at_all() {
    check_graph(
        "",
        expect![[r#"
        error: config `ews.json` has 3 errors:
        - `auth_oauth_authority` is missing; allowed: an address such as `https://login.microsoftonline.com/TENANT_ID/`
        - `auth_oauth_client_id` is missing; allowed: the application id of the app registration
        - `auth_oauth_client_secret` is missing; allowed: the secret, or the private key with its thumbprint in `auth_oauth_client_credential_private_key`"#]],
    );
}

#[test]
fn addresses_of_graph_that_are_none() {
    check_graph(
        &format!(r#"{OAUTH}"graph_endpoint": "graph.microsoft.com", "#),
        expect![[
            r#"error: config `ews.json`: `graph_endpoint` is `"graph.microsoft.com"`; allowed: an address such as `https://graph.microsoft.com/v1.0`, without user, password, `?` or `#`"#
        ]],
    );
    check_graph(
        &format!(r#"{OAUTH}"graph_endpoint": "http://graph.example.com/v1.0", "#),
        expect![[
            r#"error: config `ews.json`: Microsoft Graph would be reached at `http://graph.example.com/v1.0`, without encryption; allowed: an `https:` address, or `"ews_allow_http": true`"#
        ]],
    );
}

#[test]
fn no_verification_of_microsoft() {
    check_graph(
        &format!(r#"{OAUTH}"ews_ssl_verify": "false", "#),
        expect![
            "error: config `ews.json`: `ews_ssl_verify` is `false`, but nothing else than Microsoft answers for Microsoft Graph; allowed: `true`, or `false` together with `graph_endpoint`; for a proxy that looks into connections, its authority in `ews_ca_file`"
        ],
    );
    check_graph(
        &format!(
            r#"{OAUTH}"ews_ssl_verify": "false",
            "graph_endpoint": "https://graph.example.com/v1.0", "#
        ),
        expect![[r#"
            accepted; warnings: [
                "`ews_ssl_verify` is `false`: whoever answers in the place of `graph_endpoint` can read mail and tokens. Better name its authority in `ews_ca_file`.",
            ]"#]],
    );
}

#[test]
fn applications_with_mistakes() {
    check_graph(
        &format!(
            r#"{OAUTH}"graph_applications": [{{}}, {{"auth_oauth_client_id": "id",
            "client_secret": "hunter2"}}, "id"], "#
        ),
        expect![[r#"
            error: config `ews.json` has 3 errors:
            - `graph_applications[0].auth_oauth_client_id` is missing
            - unknown key `graph_applications[1].client_secret`; did you mean `auth_oauth_client_secret`?
            - `graph_applications[2]` is `"id"`; allowed: an object `{…}`"#]],
    );
    check_graph(
        &format!(
            r#"{OAUTH}"graph_applications": [{{"auth_oauth_client_id": "i d"}},
            {{"auth_oauth_client_id": "id", "auth_oauth_client_secret": "hunter2",
              "auth_oauth_client_credential_thumbprint": "00"}},
            {{"auth_oauth_client_id": "<client_id>",
              "auth_oauth_client_secret": "<client_secret>"}}], "#
        ),
        expect![[r#"
            error: config `ews.json` has 5 errors:
            - `graph_applications[0].auth_oauth_client_id` is `"i d"`; allowed: the application id of the app registration, without blanks
            - `graph_applications[0].auth_oauth_client_secret` is missing; allowed: the secret, or the private key with its thumbprint in `graph_applications[0].auth_oauth_client_credential_private_key`
            - `graph_applications[1].auth_oauth_client_secret` and a certificate (`graph_applications[1].auth_oauth_client_credential_private_key`, `graph_applications[1].auth_oauth_client_credential_thumbprint`) are both given; allowed: the secret, or the private key with its thumbprint
            - `graph_applications[2].auth_oauth_client_id` still holds the placeholder `<client_id>`
            - `graph_applications[2].auth_oauth_client_secret` is still the placeholder of the sample"#]],
    );
    let many = vec![r#"{"auth_oauth_client_id": "id"}"#; 16].join(",");
    check_graph(
        &format!(r#"{OAUTH}"graph_applications": [{many}], "#),
        expect![
            "error: config `ews.json`: `graph_applications` is a list of 16; allowed: a list of at most 15 objects `{…}`"
        ],
    );
}

#[test]
fn rates_beyond_what_microsoft_allows() {
    check_graph(
        &format!(r#"{OAUTH}"graph_requests_per_second": 13001, "#),
        expect![
            "error: config `ews.json`: `graph_requests_per_second` is `13001`; allowed: a number from 0.1 to 13000"
        ],
    );
}

#[test]
fn keys_of_graph_without_graph_are_explained() {
    check(
        format!(
            r#"{{"ews_endpoint": "https://mail.example.com/EWS/Exchange.asmx", {OAUTH}
            "access_type": "impersonation", "graph_delta": "never",
            "graph_requests_per_second": 10, "graph_endpoint": "https://graph.example.com",
            "mailboxes": {{"abc@example.com": {{"bucket": {{"owner": "o", "name": "n"}}}}}}}}"#
        ),
        expect![[r#"
            accepted; warnings: [
                "`graph_endpoint` has no effect: mail is read over EWS, not Graph.",
                "`graph_delta` has no effect: mail is read over EWS, not Graph.",
                "`graph_requests_per_second` has no effect: mail is read over EWS, not Graph.",
            ]"#]],
    );
}
