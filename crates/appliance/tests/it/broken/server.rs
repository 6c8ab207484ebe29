//! Servers that cannot be reached as written, and sign-ins that cannot work.

use expect_test::expect;

use super::{check, check_keys, check_oauth, check_with};
use crate::config;

#[test]
fn no_server() {
    check(
        r#"{"auth_user": "u", "auth_password": "hunter2",
            "mailboxes": {"abc@example.com": {"bucket": {"owner": "o", "name": "n"}}}}"#,
        expect![
            "error: config `ews.json`: `ews_endpoint` is missing; allowed: the address of the service, such as `https://outlook.office365.com/EWS/Exchange.asmx`, or the server in `host`; or `\"microsoft_api\": \"graph\"` for Exchange Online"
        ],
    );
}

#[test]
fn two_servers() {
    check_keys(
        r#""ews_endpoint": "https://mail.example.com/EWS/Exchange.asmx""#,
        expect![
            "error: config `ews.json`: `host` and `ews_endpoint` both name the server; allowed: one of the two"
        ],
    );
}

#[test]
fn http_on_another_machine() {
    let text = config("").replace("https://", "");
    check(
        &text,
        expect![[
            r#"error: config `ews.json`: the Exchange server would be reached at `http://mail.example.com/EWS/Exchange.asmx`, without encryption; allowed: an `https:` address (with `host`: `https://…` or port 443), or `"ews_allow_http": true`"#
        ]],
    );
    check(
        text.replacen('{', r#"{"ews_allow_http": true, "#, 1),
        expect![[r#"
        accepted; warnings: [
            "The connection to the Exchange server at `http://mail.example.com/EWS/Exchange.asmx` is not encrypted: mail, tokens and passwords can be read on the way.",
        ]"#]],
    );
}

#[test]
fn hosts_that_are_none() {
    for (host, expected) in [
        (
            "https://mail.example.com/EWS/Exchange.asmx",
            expect![[
                r#"error: config `ews.json`: `host` is `"https://mail.example.com/EWS/Exchange.asmx"`; allowed: the name of a server, such as `exchange-server.example.com` or `https://exchange-server.example.com`; a whole address belongs into `ews_endpoint`"#
            ]],
        ),
        (
            "ftp://mail.example.com",
            expect![[
                r#"error: config `ews.json`: `host` is `"ftp://mail.example.com"`; allowed: the name of a server, such as `exchange-server.example.com` or `https://exchange-server.example.com`; a whole address belongs into `ews_endpoint`"#
            ]],
        ),
        (
            "https://user:hunter3@mail.example.com",
            expect![[
                r#"error: config `ews.json`: `host` is `"https://***@mail.example.com"`; allowed: the name of a server, such as `exchange-server.example.com` or `https://exchange-server.example.com`; a whole address belongs into `ews_endpoint`"#
            ]],
        ),
        (
            "mail example com",
            expect![[
                r#"error: config `ews.json`: `host` is `"mail example com"`; allowed: the name of a server, such as `exchange-server.example.com` or `https://exchange-server.example.com`; a whole address belongs into `ews_endpoint`"#
            ]],
        ),
        (
            "",
            expect![[
                r#"error: config `ews.json`: `host` is `""`; allowed: the name of a server, such as `exchange-server.example.com` or `https://exchange-server.example.com`; a whole address belongs into `ews_endpoint`"#
            ]],
        ),
    ] {
        check(config("").replace("https://mail.example.com", host), expected);
    }
}

#[test]
fn a_host_with_another_port() {
    check(
        config(r#""port": 443"#).replace("mail.example.com\"", "mail.example.com:8443\""),
        expect![[
            r#"error: config `ews.json`: `host` is `"https://mail.example.com:8443"`; allowed: one port; here it is 8443, in `port` 443"#
        ]],
    );
}

#[test]
fn a_password_in_the_endpoint_is_not_shown() {
    check(
        config("").replace(r#""host": "https://"#, r#""ews_endpoint": "https://u:hunt#er3@"#),
        expect![[
            r#"error: config `ews.json`: `ews_endpoint` is `"https://***@mail.example.com"`; allowed: an address such as `https://mail.example.com/EWS/Exchange.asmx`, without user, password, `?` or `#`"#
        ]],
    );
}

#[test]
fn no_verification_of_a_server_that_the_file_does_not_name() {
    check_with(
        &[("REINFER_EWS_HOST", "https://other.example.com")],
        config(r#""ews_ssl_verify": "false""#),
        expect![
            "error: config `ews.json`: `ews_ssl_verify` is `false`, but the server `other.example.com` is named by the environment only; allowed: `false` for a server that `host` or `ews_endpoint` names in the file"
        ],
    );
}

#[test]
fn the_port_that_kubernetes_sets() {
    check_with(
        &[("REINFER_EWS_PORT", "tcp://10.0.0.7:8000")],
        config(""),
        expect![[
            r#"error: config `ews.json`: the environment variable `REINFER_EWS_PORT` is `"tcp://10.0.0.7:8000"`; allowed: a whole number from 1 to 65535 (Kubernetes sets it for a service named `reinfer-ews`: rename the service, or set `enableServiceLinks: false`)"#
        ]],
    );
}

#[test]
fn an_access_type_of_the_environment() {
    check_with(
        &[("REINFER_EWS_ACCESS_TYPE", "impersonate")],
        config(""),
        expect![[
            r#"error: config `ews.json`: the environment variable `REINFER_EWS_ACCESS_TYPE` is `"impersonate"`; allowed: `delegate` or `impersonation`"#
        ]],
    );
}

#[test]
fn no_password() {
    check(
        config("").replace(r#""auth_password": "hunter2","#, ""),
        expect![
            "error: config `ews.json`: `auth_password` is missing; allowed: the key, or the environment variable `REINFER_EWS_AUTH_PASS` or `REINFER_EWS_AUTH_PASS_FILE`"
        ],
    );
}

#[test]
fn user_and_client_id_without_a_type() {
    check_keys(
        r#""auth_oauth_client_id": "id""#,
        expect![[
            r#"error: config `ews.json`: `auth_type` is missing, and both `auth_user` and `auth_oauth_client_id` are given; allowed: `"ntlm"`, `"oauth2"` or `"basic"`"#
        ]],
    );
}

#[test]
fn nothing_to_sign_in_with() {
    check_oauth(
        r#""audit_email": null"#,
        expect![[r#"
        error: config `ews.json` has 3 errors:
        - `auth_oauth_authority` is missing; allowed: an address such as `https://login.microsoftonline.com/TENANT_ID/`
        - `auth_oauth_client_id` is missing; allowed: the application id of the app registration
        - `auth_oauth_client_secret` is missing; allowed: the secret, or the private key with its thumbprint in `auth_oauth_client_credential_private_key`"#]],
    );
}

#[test]
fn placeholders_of_the_sample() {
    check_oauth(
        r#""auth_oauth_authority": "https://login.microsoftonline.com/<tenant_id>/",
           "auth_oauth_client_id": "<client_id>", "auth_oauth_client_secret": "<client_secret>""#,
        expect![[r#"
            error: config `ews.json` has 3 errors:
            - `auth_oauth_authority` still holds the placeholder `<tenant_id>`
            - `auth_oauth_client_id` still holds the placeholder `<client_id>`
            - `auth_oauth_client_secret` is still the placeholder of the sample"#]],
    );
}

#[test]
fn an_authority_without_a_tenant() {
    check_oauth(
        r#""auth_oauth_authority": "https://login.microsoftonline.com/",
           "auth_oauth_client_id": "id", "auth_oauth_client_secret": "hunter2""#,
        expect![[
            r#"error: config `ews.json`: `auth_oauth_authority` is `"https://login.microsoftonline.com/"`; allowed: the authority with the tenant and nothing behind it, such as `https://login.microsoftonline.com/TENANT_ID/`"#
        ]],
    );
}

#[test]
fn an_authority_over_http() {
    check_oauth(
        r#""auth_oauth_authority": "http://login.example.com/tenant/",
           "auth_oauth_client_id": "id", "auth_oauth_client_secret": "hunter2""#,
        expect![[
            r#"error: config `ews.json`: the OAuth authority would be reached at `http://login.example.com/tenant/oauth2/v2.0/token`, without encryption; allowed: an `https:` address, or `"ews_allow_http": true`"#
        ]],
    );
}

#[test]
fn secret_and_certificate() {
    check_oauth(
        r#""auth_oauth_authority": "https://login.microsoftonline.com/tenant/",
           "auth_oauth_client_id": "id", "auth_oauth_client_secret": "hunter2",
           "auth_oauth_client_credential_thumbprint": "00""#,
        expect![
            "error: config `ews.json`: `auth_oauth_client_secret` and a certificate (`auth_oauth_client_credential_private_key`, `auth_oauth_client_credential_thumbprint`) are both given; allowed: the secret, or the private key with its thumbprint"
        ],
    );
}

#[test]
fn a_certificate_that_is_none() {
    check_oauth(
        r#""auth_oauth_authority": "https://login.microsoftonline.com/tenant/",
           "auth_oauth_client_id": "id", "auth_oauth_client_credential_private_key": "hunter2",
           "auth_oauth_client_credential_thumbprint": "00:11:22""#,
        expect![[r#"
            error: config `ews.json` has 2 errors:
            - `auth_oauth_client_credential_private_key` is not a private key; allowed: PEM, from `-----BEGIN PRIVATE KEY-----` to `-----END PRIVATE KEY-----`, with a line break or `\n` after each line
            - `auth_oauth_client_credential_thumbprint` is `"00:11:22"`; allowed: 40 hexadecimal digits (SHA-1) or 64 (SHA-256)"#]],
    );
}

#[test]
fn an_encrypted_key_without_thumbprint() {
    check_oauth(
        r#""auth_oauth_authority": "https://login.microsoftonline.com/tenant/",
           "auth_oauth_client_id": "id", "auth_oauth_client_credential_thumbprint":
           "0011223344556677889900112233445566778899", "auth_oauth_client_credential_private_key":
           "-----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter2\n-----END ENCRYPTED PRIVATE KEY-----""#,
        expect![
            "error: config `ews.json`: `auth_oauth_client_credential_private_key` is encrypted; allowed: a private key without password"
        ],
    );
    check_oauth(
        r#""auth_oauth_authority": "https://login.microsoftonline.com/tenant/",
           "auth_oauth_client_id": "id", "auth_oauth_client_credential_private_key": "hunter2""#,
        expect![
            "error: config `ews.json`: `auth_oauth_client_credential_thumbprint` is missing; allowed: the thumbprint of the certificate that the private key belongs to, 40 or 64 hexadecimal digits"
        ],
    );
}
