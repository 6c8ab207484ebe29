//! Manifests that are shipped as they are, and that the program takes what any manifest gives it.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{folder, make_empty, output, products, run_quiet, tools::Tools, write};
use crate::target_dir;

/// The second one is how manifests for the replaced appliance look; they must keep working.
const MANIFESTS: [&str; 2] =
    ["kubernetes/reinfer-ews.yaml", "kubernetes/tests/replaced-appliance.yaml"];

pub(super) fn check(tools: &Tools) -> Result<()> {
    for name in MANIFESTS {
        let file = folder().join(name);
        run_quiet(&mut tools.validate(std::slice::from_ref(&file)))?;
        let documents = tools.read_yaml(&file)?;
        let set = documents.iter().find(|document| document["kind"] == "StatefulSet");
        let set = set.context("no StatefulSet")?;
        let image = format!("/tributary:{}", env!("CARGO_PKG_VERSION"));
        if !container(set)["image"].as_str().is_some_and(|name| name.ends_with(&image)) {
            bail!("`deploy/{name}` is of another version; expected an image `…{image}`");
        }
        accepts(set).with_context(|| format!("deploy/{name}"))?;
    }
    Ok(())
}

fn container(set: &Value) -> &Value {
    &set["spec"]["template"]["spec"]["containers"][0]
}

fn arguments(set: &Value) -> Vec<String> {
    let pod = format!("{}-0", set["metadata"]["name"].as_str().unwrap_or_default());
    let arguments = container(set)["args"].as_array();
    let text = |value: &Value| value.as_str().unwrap_or_default().replace("$(POD_NAME)", &pod);
    arguments.into_iter().flatten().map(text).collect()
}

/// What follows a flag in the arguments of the container.
pub(super) fn argument(set: &Value, flag: &str) -> Option<String> {
    let arguments = arguments(set);
    let at = arguments.iter().position(|argument| argument == flag)?;
    arguments.get(at + 1).cloned()
}

/// Starts the program with arguments and environment of the container, as far as they can be had
/// here: files that would be mounted are made.
pub(super) fn accepts(set: &Value) -> Result<()> {
    let place = products().join("mounted");
    make_empty(&place)?;
    let config = place.join("config.json");
    let mailbox = json!({ "bucket": { "owner": "project", "name": "bucket" } });
    let mut settings = json!({
        "host": "https://exchange.example.com", "port": 443,
        "auth_user": "svc@example.com", "mailboxes": { "abc@example.com": mailbox },
    });
    let mut command = Command::new(target_dir().join("debug/tributary"));
    command.env_clear();
    for variable in container(set)["env"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().context("a variable has no name")?;
        if name.contains("_OAUTH_") {
            settings["auth_type"] = json!("oauth2");
            settings["auth_oauth_authority"] = json!("https://login.example.com/tenant/");
            settings["auth_oauth_client_id"] = json!("client");
        }
        // What is mounted, or comes from a Secret.
        match (name, variable["value"].as_str()) {
            ("REINFER_EWS_CONFIG" | "SSL_CERT_FILE", _) => {}
            (_, Some(path)) if name.ends_with("_FILE") => {
                let file = place.join(path.trim_start_matches('/'));
                write(&file, "secret")?;
                command.env(name, file);
            }
            (_, Some(value)) => drop(command.env(name, value)),
            (_, None) => drop(command.env(name, "secret")),
        }
    }
    // A private key that is none would be refused, and making one shows nothing more.
    if command.get_envs().any(|(name, _)| name.to_string_lossy().contains("PRIVATE_KEY")) {
        return Ok(());
    }
    if settings["auth_type"].is_null() {
        settings["auth_type"] = json!("ntlm");
    }
    write(&config, settings.to_string())?;
    command.env("REINFER_EWS_CONFIG", &config).args(["config", "check"]);
    let mut arguments = arguments(set);
    // `tributary appliance` and `reinfer-ews` pass over it; the smoke test sees to that.
    if arguments.first().is_some_and(|first| first == "reinfer-ews") {
        arguments.remove(0);
    }
    let told = output(command.args(arguments))?;
    if !told.contains("The configuration is valid") {
        bail!("`tributary config check` says: {told}");
    }
    Ok(())
}
