//! The configuration face of the appliance, as its users see it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test"
)]

mod broken;
mod environment;
mod examples;
mod flags;
mod graph;
mod plan;
mod reference;
mod secrets;
mod settings;
mod shard;

use std::ffi::OsString;

use appliance::environment::Environment;

/// An environment with these variables.
fn environment(variables: &[(&str, &str)]) -> Environment {
    try_environment(variables).unwrap()
}

fn try_environment(variables: &[(&str, &str)]) -> Result<Environment, String> {
    let variables = variables.iter().map(|(name, value)| (name.into(), OsString::from(value)));
    Environment::read(variables).map_err(|error| error.to_string())
}

/// A configuration that works, with `keys` added. NTLM, password in the file.
fn config(keys: &str) -> String {
    let comma = if keys.is_empty() { "" } else { "," };
    format!(
        r#"{{"host": "https://mail.example.com", "auth_user": "u@example.com",
            "auth_password": "hunter2",
            "mailboxes": {{"abc@example.com": {{"bucket": {{"owner": "o", "name": "n"}}}}}}
            {comma} {keys}}}"#
    )
}
