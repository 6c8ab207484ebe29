//! The credentials of an integration: sealed in the store, open only where they are used.

use std::collections::BTreeMap;

use hyper::StatusCode;
use record::{Chain, Secret};
use serde_json::{Map, Value};
use store::Integration;
use vault::VaultError;

use super::configuration::{Given, SECRETS};
use crate::{call::Call, refusal::Refusal};

#[derive(Default)]
pub(crate) struct Secrets(BTreeMap<&'static str, Secret>);

/// What the sealed text is bound to.
fn about(id: &str) -> String {
    format!("integration:{id}")
}

fn failed(error: &VaultError) -> Refusal {
    let hint = error.hint().unwrap_or("Look at the key file.");
    tracing::error!(hint, "Credentials of an integration do not open: {}", Chain(error));
    let message =
        "the credentials of this integration do not open; the server's log has the reason";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
}

impl Secrets {
    pub(crate) fn open(call: &Call<'_>, own: &Integration) -> Result<Self, Refusal> {
        let Some(sealed) = &own.secrets else { return Ok(Self::default()) };
        let vault = call.shared.vault.as_ref().ok_or_else(no_vault)?;
        let text = vault.unseal(&about(&own.id), sealed).map_err(|error| failed(&error))?;
        let map: Map<String, Value> = serde_json::from_str(text.reveal()).unwrap_or_default();
        let mut secrets = BTreeMap::new();
        for name in SECRETS {
            if let Some(text) = map.get(name).and_then(Value::as_str) {
                secrets.insert(name, Secret::from(text));
            }
        }
        Ok(Self(secrets))
    }

    pub(super) fn seal(&self, call: &Call<'_>, id: &str) -> Result<Option<String>, Refusal> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let vault = call.shared.vault.as_ref().ok_or_else(no_vault)?;
        let open = |(name, secret): (&&str, &Secret)| ((*name).to_owned(), secret.reveal().into());
        let map: Map<String, Value> = self.0.iter().map(open).collect();
        let text = Secret::from(Value::Object(map).to_string());
        vault.seal(&about(id), &text).map(Some).map_err(|error| failed(&error))
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.0.keys().copied().collect()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }

    /// These with what was given.
    pub(super) fn with(mut self, given: &Given) -> Self {
        for (name, secret) in given {
            match secret {
                Some(secret) => self.0.insert(name, secret.clone()),
                None => self.0.remove(name),
            };
        }
        self
    }

    /// These after the configuration has changed from `old` to `new`. A secret that was given for
    /// one place is not sent to another one: who could change the place would get to know it.
    pub(super) fn moved(self, old: &Value, new: &Value, given: &Given) -> Result<Self, Refusal> {
        let (old, new) = (old.get("connection"), new.get("connection"));
        let kept: Vec<&str> =
            self.names().into_iter().filter(|own| !given.contains_key(own)).collect();
        let moved = PLACES.iter().find(|place| of(old, place) != of(new, place));
        if new.is_none() {
            return Ok(Self::default());
        }
        if let (Some(place), Some(name)) = (moved, kept.first()) {
            let field = place.trim_start_matches('/').replace('/', ".");
            let message = format!(
                "`integration.configuration.connection.{field}`: this changes where the stored \
                 `{name}` is sent; give `{name}` again, or `null` to forget it"
            );
            return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message));
        }
        Ok(self.with(given))
    }
}

/// What decides where secrets are sent, and as whose.
const PLACES: [&str; 8] = [
    "/ews_endpoint",
    "/application/kind",
    "/application/tenant_id",
    "/application/client_id",
    "/application/thumbprint",
    "/access/kind",
    "/access/username",
    "/microsoft_api/kind",
];

fn of<'a>(connection: Option<&'a Value>, place: &str) -> Option<&'a Value> {
    connection.and_then(|connection| connection.pointer(place))
}

fn no_vault() -> Refusal {
    let message = "this server has no key file and keeps no credentials";
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message)
}
