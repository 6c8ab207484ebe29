//! No secret value is ever part of a text that is made of a configuration.

use appliance::config::parse;

use crate::{environment, try_environment};

const CANARY: &str = "canary-5ecret";

#[track_caller]
fn check(what: &str, text: &str) {
    assert!(!text.contains("canary"), "{what} shows a secret: {text}");
}

#[test]
fn no_text_made_of_settings_shows_a_secret() {
    let key = format!("-----BEGIN PRIVATE KEY-----\\n{CANARY}\\n-----END PRIVATE KEY-----");
    let mailboxes = r#""mailboxes": {"abc@example.com": {"bucket": {"owner": "o", "name": "n"}}}"#;
    let oauth = r#""ews_endpoint": "https://outlook.office365.com/EWS/Exchange.asmx",
        "auth_oauth_authority": "https://login.microsoftonline.com/tenant/",
        "auth_oauth_client_id": "id""#;
    let files = [
        format!(
            r#"{{"host": "https://mail.example.com", "auth_user": "u",
                "auth_password": "{CANARY}", {mailboxes}}}"#
        ),
        format!(r#"{{{oauth}, "auth_oauth_client_secret": "{CANARY}", {mailboxes}}}"#),
        format!(
            r#"{{{oauth}, "auth_oauth_client_credential_private_key": "{key}",
                "auth_oauth_client_credential_thumbprint":
                "0011223344556677889900112233445566778899", {mailboxes}}}"#
        ),
    ];
    for file in files {
        let environment = environment(&[("REINFER_API_TOKEN", CANARY)]);
        check("the environment", &format!("{environment:?}"));
        let settings = parse(file.as_bytes(), "ews.json", &environment).unwrap();
        check("Debug", &format!("{settings:?} {settings:#?}"));
        check("print", &settings.print());
        check("canonical", &settings.canonical());
        check("the warnings", &settings.warnings.join("\n"));
        assert!(settings.print().contains(" = ***  # file"), "{}", settings.print());
    }
    let environment = environment(&[
        ("REINFER_EWS_AUTH_PASS", CANARY),
        ("REINFER_EWS_AUTH_OAUTH_CLIENT_SECRET", CANARY),
        ("REINFER_EWS_AUTH_OAUTH_CLIENT_CREDENTIAL_PRIVATE_KEY", CANARY),
        ("REINFER_EWS_AUTH_PASSS", CANARY),
    ]);
    assert_eq!(environment.warnings.len(), 1);
    check("the environment", &format!("{environment:?}"));
}

/// Every way to break a file that holds secrets: cut anywhere, or one byte replaced.
#[test]
fn no_error_shows_a_secret() {
    let file = format!(
        r#"{{"host":"https://mail.example.com","auth_user":"u","auth_password":"{CANARY}","auth_oauth_client_secret":"{CANARY}","auth_oauth_client_credential_private_key":"{CANARY}","mailboxes":{{"abc@example.com":{{"bucket":{{"owner":"o","name":"n"}}}}}}}}"#
    );
    let environment = environment(&[]);
    let mut refused = 0;
    for at in 0..file.len() {
        let (head, tail) = file.split_at(at);
        let replaced: Vec<String> = ["", "x", "\"", "{", "\\", "]", ","]
            .map(|by| format!("{head}{by}{}", &tail[1..]))
            .into();
        for broken in replaced.iter().map(String::as_str).chain([head]) {
            if let Err(error) = parse(broken.as_bytes(), "ews.json", &environment) {
                refused += 1;
                check("an error", &format!("{error} {error:?}"));
            }
        }
    }
    assert!(refused > 1000, "{refused} broken files were refused");
}

#[test]
fn no_error_of_the_environment_shows_a_secret() {
    for variables in [
        &[("REINFER_API_TOKEN", "canary\r\nX-Evil: 1")][..],
        &[("REINFER_API_TOKEN", "canary-a"), ("REINFER_TOKEN", "canary-b")],
        &[("REINFER_EWS_AUTH_PASS", CANARY), ("REINFER_EWS_AUTH_PASS_FILE", "/dev/null")],
    ] {
        check("an error", &try_environment(variables).unwrap_err());
    }
}
