//! How to sign in: by user and password, or as an application.

use record::Secret;
use serde_json::json;
use url::Url;

use super::{
    cloud::is_exchange_online,
    oauth::{CLIENT_SECRET, PRIVATE_KEY},
    problem::quoted,
    service::Interface,
    settings::{AccessType, Auth, Origin},
    validate::Reader,
    values::AuthType,
};
use crate::environment::Given;

const SHOWN: &str = "***";

impl Reader<'_> {
    /// The way to sign in, unless something is missing; for Graph, also the scope of its tokens.
    pub(super) fn auth(
        &mut self,
        interface: Interface,
        server: Option<&Url>,
    ) -> (Option<Auth>, Option<String>) {
        let Some(auth_type) = self.auth_type(interface) else { return (None, None) };
        self.note_or_default("auth_type", &json!(name_of(auth_type)), self.config.auth_type);
        if auth_type == AuthType::OAuth2 {
            self.warn_unused(
                "oauth2",
                &[
                    ("auth_user", self.config.auth_user.is_some()),
                    ("auth_password", self.config.auth_password.is_some()),
                ],
            );
            let (oauth, graph_scope) = self.oauth(interface, server);
            return (oauth.map(Auth::OAuth2), graph_scope);
        }
        (self.by_password(auth_type, server), None)
    }

    fn auth_type(&mut self, interface: Interface) -> Option<AuthType> {
        let oauth_keys = self.config.auth_oauth_client_id.is_some();
        let user = self.config.auth_user.is_some() || self.environment.auth_user.is_some();
        match self.config.auth_type {
            Some(auth_type) if interface == Interface::Graph && auth_type != AuthType::OAuth2 => {
                self.problem(format!(
                    "`auth_type` is `\"{}\"`, which Microsoft Graph does not take; allowed with \
                     `\"microsoft_api\": \"graph\"`: `\"oauth2\"` or no `auth_type`, with \
                     `auth_oauth_authority`, `auth_oauth_client_id` and a secret or certificate of \
                     an app registration; for a server of one's own, `\"microsoft_api\": \"ews\"`",
                    name_of(auth_type)
                ));
                None
            }
            Some(auth_type) => Some(auth_type),
            // Nothing else is possible there.
            None if interface.has_graph() => Some(AuthType::OAuth2),
            None if oauth_keys && user => {
                self.problem(
                    "`auth_type` is missing, and both `auth_user` and `auth_oauth_client_id` are \
                     given; allowed: `\"ntlm\"`, `\"oauth2\"` or `\"basic\"`"
                        .into(),
                );
                None
            }
            None if oauth_keys => Some(AuthType::OAuth2),
            None => Some(AuthType::Ntlm),
        }
    }

    fn by_password(&mut self, auth_type: AuthType, server: Option<&Url>) -> Option<Auth> {
        let name = name_of(auth_type);
        let oauth_keys = self.config.auth_oauth_client_id.is_some();
        self.warn_unused(
            name,
            &[
                ("auth_oauth_client_id", oauth_keys),
                (CLIENT_SECRET, self.config.auth_oauth_client_secret.is_some()),
                (PRIVATE_KEY, self.config.auth_oauth_client_credential_private_key.is_some()),
            ],
        );
        if server.is_some_and(is_exchange_online) {
            self.warn(format!(
                "Exchange Online accepts only `\"auth_type\": \"oauth2\"`, not `\"{name}\"`."
            ));
        }
        let user = self.user();
        let password = self.password();
        let (user, password) = (user?, password?);
        Some(match auth_type {
            AuthType::Basic => Auth::Basic { user, password },
            AuthType::Ntlm | AuthType::OAuth2 => Auth::Ntlm { user, password },
        })
    }

    pub(super) fn access_type(&mut self, interface: Interface) -> AccessType {
        if !interface.has_ews() {
            return AccessType::Delegate;
        }
        let (access_type, origin) = match (&self.environment.access_type, self.config.access_type) {
            (Some(given), _) => {
                let origin = Origin::Environment(given.variable.clone());
                match given.value.as_str() {
                    "delegate" => (AccessType::Delegate, origin),
                    "impersonation" => (AccessType::Impersonation, origin),
                    other => {
                        let problem = format!(
                            "the environment variable `{}` is `{}`; allowed: `delegate` or \
                             `impersonation`",
                            given.variable,
                            quoted(other)
                        );
                        self.problem(problem);
                        (AccessType::Delegate, origin)
                    }
                }
            }
            (None, Some(access_type)) => (access_type, Origin::File),
            (None, None) => (AccessType::Delegate, Origin::Default),
        };
        let name = match access_type {
            AccessType::Delegate => "delegate",
            AccessType::Impersonation => "impersonation",
        };
        self.note("access_type", &json!(name), origin);
        access_type
    }

    fn user(&mut self) -> Option<String> {
        let file = self.config.auth_user.take();
        let (user, origin) = override_by(file, self.environment.auth_user.as_ref())
            .or_else(|| self.missing("auth_user", "REINFER_EWS_AUTH_USER"))?;
        let subject = origin.subject("auth_user");
        if user.trim().is_empty() || user.chars().any(char::is_control) {
            self.problem(format!(
                "{subject} is `{}`; allowed: a user such as `user@example.com` or `DOMAIN\\user`",
                quoted(&user)
            ));
            return None;
        }
        self.note("auth_user", &json!(user), origin);
        Some(user)
    }

    fn password(&mut self) -> Option<Secret> {
        let file = self.config.auth_password.take();
        let (password, origin) = override_by(file, self.environment.auth_password.as_ref())
            .or_else(|| {
                self.missing(
                    "auth_password",
                    "REINFER_EWS_AUTH_PASS` or `REINFER_EWS_AUTH_PASS_FILE",
                )
            })?;
        self.secret("auth_password", password, origin)
    }

    /// A secret that is neither empty nor the sample's placeholder.
    pub(super) fn secret(&mut self, key: &str, secret: Secret, origin: Origin) -> Option<Secret> {
        let subject = origin.subject(key);
        let text = secret.reveal();
        if text.is_empty() {
            self.problem(format!("{subject} is empty"));
            return None;
        }
        if text.starts_with('<') && text.ends_with('>') && text.contains(key_word(key)) {
            self.problem(format!("{subject} is still the placeholder of the sample"));
            return None;
        }
        self.note_secret(key.to_owned(), origin);
        Some(secret)
    }

    pub(super) fn note_secret(&mut self, key: String, origin: Origin) {
        self.note_text(key, SHOWN.into(), origin);
    }

    pub(super) fn missing<T>(&mut self, key: &str, variable: &str) -> Option<T> {
        self.problem(format!(
            "`{key}` is missing; allowed: the key, or the environment variable `{variable}`"
        ));
        None
    }

    fn warn_unused(&mut self, auth_type: &str, keys: &[(&str, bool)]) {
        for (key, _) in keys.iter().filter(|(_, given)| *given) {
            self.warn(format!("`{key}` has no effect with `\"auth_type\": \"{auth_type}\"`."));
        }
    }
}

fn name_of(auth_type: AuthType) -> &'static str {
    match auth_type {
        AuthType::Ntlm => "ntlm",
        AuthType::OAuth2 => "oauth2",
        AuthType::Basic => "basic",
    }
}

/// The word that a sample's placeholder for this secret contains: `<client_secret>`.
fn key_word(key: &str) -> &'static str {
    if key.ends_with(CLIENT_SECRET) { "secret" } else { "pass" }
}

/// The value of the environment if there is one, else that of the file.
pub(super) fn override_by<T: Clone>(
    file: Option<T>,
    environment: Option<&Given<T>>,
) -> Option<(T, Origin)> {
    match environment {
        Some(given) => Some((given.value.clone(), Origin::Environment(given.variable.clone()))),
        None => file.map(|value| (value, Origin::File)),
    }
}
