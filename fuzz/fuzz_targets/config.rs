//! A configuration of any bytes is accepted or refused, and no secret shows in either case.
#![no_main]

use std::fmt::Debug;

use appliance::{
    config,
    environment::{Environment, Given},
};
use record::Secret;

/// Stands in each secret; must be nowhere else.
const CANARY: &str = "yellow-bird";

/// Entries for the start of a configuration, with a secret in a place where one belongs. All are
/// right or wrong in different ways.
const SECRETS: [&str; 12] = [
    r#""auth_password": "yellow-bird""#,
    r#""auth_password": "<yellow-bird>""#,
    r#""auth_password": "yellow-bird", "auth_password": "yellow-bird""#,
    r#""auth_password": ["yellow-bird"]"#,
    r#""auth_password": {"x": "yellow-bird"}"#,
    r#""auth_pasword": "yellow-bird""#,
    r#""auth_password": "yellow-bird\ud800""#,
    r#""auth_type": "basic", "auth_user": "a", "auth_password": "yellow-bird""#,
    r#""auth_type": "oauth2", "auth_oauth_client_secret": "yellow-bird""#,
    r#""auth_oauth_client_credential_private_key": "yellow-bird""#,
    r#""auth_oauth_client_credential_private_key":
        "-----BEGIN PRIVATE KEY-----\nyellow-bird\n-----END PRIVATE KEY-----\n""#,
    r#""ews_endpoint": "https://a:yellow-bird@example.com/EWS/Exchange.asmx?x=yellow-bird""#,
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if data.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()) {
        return;
    }
    look(data, &Environment::default());
    let secret = || Some(Given { value: Secret::from(CANARY), variable: "X".to_owned() });
    let environment = match data.len() % 3 {
        0 => Environment::default(),
        1 => Environment { auth_password: secret(), ..Environment::default() },
        _ => Environment {
            oauth_client_secret: secret(),
            oauth_private_key: secret(),
            ..Environment::default()
        },
    };
    let text = String::from_utf8_lossy(data);
    // Elsewhere than at the start of the object, it would not be a secret.
    let Some(rest) = text.trim_start().strip_prefix('{') else { return };
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    let checksum = data.iter().fold(0, |sum: usize, byte| sum + usize::from(*byte));
    let entry = SECRETS[checksum % SECRETS.len()];
    look(format!("{{{entry}{comma}{rest}").as_bytes(), &environment);
});

fn look(bytes: &[u8], environment: &Environment) {
    match config::parse(bytes, "config.json", environment) {
        Ok(settings) => must_hide(&settings, ""),
        Err(error) => must_hide(&error, &error.to_string()),
    }
}

fn must_hide(value: &dyn Debug, told: &str) {
    let shown = format!("{value:?}");
    assert!(!shown.contains(CANARY) && !told.contains(CANARY), "a secret shows: {shown}");
}
