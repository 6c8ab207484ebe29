//! The configuration file: read, checked, and turned into [`Settings`].
//!
//! ```text
//! bytes ─▶ Json ─▶ check (against the schema) ─▶ EwsConfig ─▶ validate (with environment) ─▶ Settings
//! ```

mod check;
mod cloud;
pub mod folders;
mod json;
mod mailboxes;
mod oauth;
mod print;
mod problem;
pub mod reference;
mod server;
mod service;
mod settings;
mod shape;
mod sign_in;
mod validate;
mod values;
mod written;

use std::{fs::File, io::Read, path::Path};

use serde::Deserialize;

use crate::environment::Environment;

pub(crate) use cloud::{is_exchange_online, is_graph};
pub use problem::ConfigError;
pub(crate) use problem::{nearest, without_user};
pub use settings::{
    AccessType, Auth, ChannelBinding, Credential, EgressPolicy, Graph, GraphDelta, MailboxSettings,
    OAuth, Origin, Server, Service, Settings, StartFrom, Thumbprint, Tls,
};

/// Largest configuration that is read, in bytes: about 50,000 mailboxes.
pub const MAX_CONFIG_SIZE: u64 = 16 << 20;

/// Reads the configuration file at `path`.
///
/// # Errors
///
/// [`ConfigError`], if the file cannot be read or used. [`ConfigError::is_unread`] tells them
/// apart.
pub fn load(path: &Path, environment: &Environment) -> Result<Settings, ConfigError> {
    let place = path.display().to_string();
    let mut bytes = Vec::new();
    // One byte more than allowed, so that a larger file is noticed.
    File::open(path)
        .and_then(|file| file.take(MAX_CONFIG_SIZE + 1).read_to_end(&mut bytes))
        .map_err(|cause| ConfigError::unread(&place, format!("cannot be read: {cause}")))?;
    parse(&bytes, &place, environment)
}

/// Turns the text of a configuration into settings. `place` names it in messages.
///
/// # Errors
///
/// [`ConfigError`] with everything that is wrong.
pub fn parse(
    bytes: &[u8],
    place: &str,
    environment: &Environment,
) -> Result<Settings, ConfigError> {
    let failed = |problems| ConfigError::new(place, problems);
    let json = read_json(bytes).map_err(|problem| failed(vec![problem]))?;
    let problems = check::check(&json, &shape::of_config());
    if !problems.is_empty() {
        return Err(failed(problems));
    }
    let config = written::EwsConfig::deserialize(json.into_value())
        // The check has accepted the shape, so this is a disagreement between the two; its
        // message is hidden because it could quote a secret.
        .map_err(|_| {
            failed(vec!["does not have the form of the configuration reference".into()])
        })?;
    validate::validate(config, environment).map_err(failed)
}

/// Compares the text of a configuration with the reference, without the environment that may
/// complete it.
///
/// # Errors
///
/// [`ConfigError`] with everything that does not have the prescribed form.
pub fn check_form(bytes: &[u8]) -> Result<(), ConfigError> {
    let failed = |problems| ConfigError::new("the configuration", problems);
    let json = read_json(bytes).map_err(|problem| failed(vec![problem]))?;
    let problems = check::check(&json, &shape::of_config());
    if problems.is_empty() { Ok(()) } else { Err(failed(problems)) }
}

fn read_json(bytes: &[u8]) -> Result<json::Json, String> {
    if bytes.len() as u64 > MAX_CONFIG_SIZE {
        return Err(format!("is too large; allowed: {MAX_CONFIG_SIZE} bytes"));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("is UTF-16; allowed: UTF-8".into());
    }
    // Some editors on Windows put a byte order mark in front.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes.iter().take(error.valid_up_to()).filter(|b| **b == b'\n').count() + 1;
        format!("line {line} is not valid UTF-8")
    })?;
    if text.trim().is_empty() {
        return Err("is empty; allowed: one JSON object".into());
    }
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        // serde_json ends its message with the place, which is better said first.
        let reason = error.to_string();
        let reason = reason.split(" at line ").next().unwrap_or_default();
        format!("line {line}, column {column} is not valid JSON: {reason}")
    })
}
