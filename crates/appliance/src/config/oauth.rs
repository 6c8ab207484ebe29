//! How an application signs in: authority, scope, secret or certificate.

use record::Secret;
use serde_json::json;
use url::Url;

use super::{
    cloud::{Cloud, is_graph},
    problem::quoted,
    service::Interface,
    settings::{Credential, OAuth, Origin, Thumbprint},
    sign_in::override_by,
    validate::Reader,
};
use crate::environment::Given;

pub(super) const CLIENT_SECRET: &str = "auth_oauth_client_secret";
pub(super) const PRIVATE_KEY: &str = "auth_oauth_client_credential_private_key";
const THUMBPRINT: &str = "auth_oauth_client_credential_thumbprint";

/// What an application may prove itself with, as it is written.
struct Written<'a> {
    /// Stands before the keys: `graph_applications[0].`, or nothing.
    path: String,
    secret: Option<Secret>,
    secret_of_environment: Option<&'a Given<Secret>>,
    key: Option<Secret>,
    key_of_environment: Option<&'a Given<Secret>>,
    thumbprint: Option<String>,
    /// Ends the names of the variables: `_2`, or nothing.
    suffix: String,
}

impl Reader<'_> {
    /// The application that signs in, and the scope of its tokens for Graph, if Graph is asked
    /// for. The application's own scope is that of EWS, if EWS is asked for.
    pub(super) fn oauth(
        &mut self,
        interface: Interface,
        server: Option<&Url>,
    ) -> (Option<OAuth>, Option<String>) {
        let token_url = self.token_url();
        let client_id = self.config.auth_oauth_client_id.take();
        let client_id = self.client_id("", client_id);
        let scopes = self.scopes(interface, Cloud::find(token_url.as_ref(), server));
        let (ews, graph) = scopes.unzip();
        let environment = self.environment;
        let written = Written {
            path: String::new(),
            secret: self.config.auth_oauth_client_secret.take(),
            secret_of_environment: environment.oauth_client_secret.as_ref(),
            key: self.config.auth_oauth_client_credential_private_key.take(),
            key_of_environment: environment.oauth_private_key.as_ref(),
            thumbprint: self.config.auth_oauth_client_credential_thumbprint.take(),
            suffix: String::new(),
        };
        let credential = self.credential(written);
        let scope = if interface.has_ews() { ews } else { graph.clone() };
        let oauth = (|| {
            Some(OAuth {
                token_url: token_url?,
                client_id: client_id?,
                scope: scope?,
                credential: credential?,
            })
        })();
        (oauth, graph.filter(|_| interface.has_graph()))
    }

    /// Id and credential of each application beside the first; `None` if one cannot be used.
    pub(super) fn further_applications(&mut self) -> Option<Vec<(String, Credential)>> {
        let written = self.config.graph_applications.take().unwrap_or_default();
        let environment = self.environment;
        let count = written.len();
        let mut applications = Vec::new();
        for (index, application) in written.into_iter().enumerate() {
            let path = format!("graph_applications[{index}].");
            let client_id = self.client_id(&path, Some(application.auth_oauth_client_id));
            // The one of `auth_oauth_client_id` is the first.
            let number = index + 2;
            let credential = self.credential(Written {
                path,
                secret: application.auth_oauth_client_secret,
                secret_of_environment: environment.further_client_secrets.get(&number),
                key: application.auth_oauth_client_credential_private_key,
                key_of_environment: environment.further_private_keys.get(&number),
                thumbprint: application.auth_oauth_client_credential_thumbprint,
                suffix: format!("_{number}"),
            });
            applications.push(client_id.zip(credential));
        }
        let further = environment.further_client_secrets.iter();
        let unused = further.chain(&environment.further_private_keys);
        for (_, given) in unused.filter(|(number, _)| **number > count + 1) {
            self.warn(format!(
                "The environment variable `{}` has no effect: `graph_applications` has {count} \
                 entries, the first of which has the number 2.",
                given.variable
            ));
        }
        applications.into_iter().collect()
    }

    fn token_url(&mut self) -> Option<Url> {
        let example = "https://login.microsoftonline.com/TENANT_ID/";
        let authority = self.config.auth_oauth_authority.take();
        let token_url = match (authority, self.config.auth_oauth_token_url.take()) {
            (_, Some(url)) => self.url(
                "auth_oauth_token_url",
                &url,
                "https://login.microsoftonline.com/TENANT_ID/oauth2/v2.0/token",
            )?,
            (Some(authority), None) => {
                let mut url = self.url("auth_oauth_authority", &authority, example)?;
                let path = url.path().trim_end_matches('/').to_owned();
                let at_microsoft =
                    url.host_str().is_some_and(|host| host.starts_with("login.microsoftonline."));
                if path.ends_with("/token") || (path.is_empty() && at_microsoft) {
                    self.problem(format!(
                        "`auth_oauth_authority` is `{}`; allowed: the authority with the tenant \
                         and nothing behind it, such as `{example}`",
                        quoted(&authority)
                    ));
                    return None;
                }
                url.set_path(&format!("{path}/oauth2/v2.0/token"));
                url
            }
            (None, None) => {
                self.problem(format!(
                    "`auth_oauth_authority` is missing; allowed: an address such as `{example}`"
                ));
                return None;
            }
        };
        let allowed = self.config.ews_allow_http.unwrap_or(false);
        self.check_transport("the OAuth authority", &token_url, allowed);
        self.note("auth_oauth_token_url", &json!(token_url.as_str()), Origin::File);
        Some(token_url)
    }

    fn client_id(&mut self, path: &str, written: Option<String>) -> Option<String> {
        let key = format!("{path}auth_oauth_client_id");
        let Some(id) = written else {
            self.problem(format!(
                "`{key}` is missing; allowed: the application id of the app registration"
            ));
            return None;
        };
        if self.is_placeholder(&key, &id) {
            return None;
        }
        if id.is_empty() || !id.chars().all(|c| c.is_ascii_graphic()) {
            self.problem(format!(
                "`{key}` is `{}`; allowed: the application id of the app registration, without \
                 blanks",
                quoted(&id)
            ));
            return None;
        }
        self.note(key, &json!(id), Origin::File);
        Some(id)
    }

    /// What tokens are asked for, for EWS and for Graph.
    fn scopes(&mut self, interface: Interface, cloud: &Cloud) -> Option<(String, String)> {
        let written = self.config.auth_oauth_scope.take();
        let origin = Origin::of(written.as_ref());
        let (mut ews, mut graph) = (cloud.exchange_scope(), self.default_graph_scope(cloud));
        if let Some(scope) = written {
            if scope.trim().is_empty() || scope.chars().any(char::is_control) {
                let example = if interface.has_ews() { &ews } else { &graph };
                let problem = format!(
                    "`auth_oauth_scope` is `{}`; allowed: a scope such as `{example}`",
                    quoted(&scope)
                );
                self.problem(problem);
                return None;
            }
            let names_graph = match interface {
                Interface::Ews => false,
                Interface::Graph => true,
                Interface::Either => Url::parse(&scope).is_ok_and(|url| is_graph(&url)),
            };
            if names_graph { graph = scope } else { ews = scope }
        }
        let value = match interface {
            Interface::Ews => json!(ews),
            Interface::Graph => json!(graph),
            Interface::Either => json!([graph, ews]),
        };
        self.note("auth_oauth_scope", &value, origin);
        Some((ews, graph))
    }

    fn credential(&mut self, written: Written<'_>) -> Option<Credential> {
        let Written { path, thumbprint, suffix, .. } = written;
        let secret = override_by(written.secret, written.secret_of_environment);
        let key = override_by(written.key, written.key_of_environment);
        let both = "allowed: the secret, or the private key with its thumbprint";
        match (secret, key, thumbprint) {
            (Some((secret, origin)), None, None) => self
                .secret(&format!("{path}{CLIENT_SECRET}"), secret, origin)
                .map(Credential::ClientSecret),
            (None, Some((key, origin)), Some(thumbprint)) => {
                let private_key = self.private_key(&path, &key, origin);
                let thumbprint = self.thumbprint(&path, &thumbprint);
                Some(Credential::Certificate { private_key: private_key?, thumbprint: thumbprint? })
            }
            (None, None, None) => {
                self.problem(format!(
                    "`{path}{CLIENT_SECRET}` is missing; {both} in `{path}{PRIVATE_KEY}`"
                ));
                None
            }
            (None, Some(_), None) => {
                self.problem(format!(
                    "`{path}{THUMBPRINT}` is missing; allowed: the thumbprint of the certificate \
                     that the private key belongs to, 40 or 64 hexadecimal digits"
                ));
                None
            }
            (None, None, Some(_)) => {
                let variable = format!(
                    "REINFER_EWS_AUTH_OAUTH_CLIENT_CREDENTIAL_PRIVATE_KEY{suffix}` or the same \
                     with `_FILE"
                );
                self.missing(&format!("{path}{PRIVATE_KEY}"), &variable)
            }
            (Some(_), _, _) => {
                self.problem(format!(
                    "`{path}{CLIENT_SECRET}` and a certificate (`{path}{PRIVATE_KEY}`, \
                     `{path}{THUMBPRINT}`) are both given; {both}"
                ));
                None
            }
        }
    }

    fn private_key(&mut self, path: &str, key: &Secret, origin: Origin) -> Option<Secret> {
        let name = format!("{path}{PRIVATE_KEY}");
        let subject = origin.subject(&name);
        // Where no real line break can be written, it is often written as `\n`.
        let pem = Secret::from(key.reveal().replace("\\n", "\n").trim().to_owned() + "\n");
        let text = pem.reveal();
        if text.contains("ENCRYPTED") {
            self.problem(format!(
                "{subject} is encrypted; allowed: a private key without password"
            ));
            return None;
        }
        if !text.starts_with("-----BEGIN ")
            || !text.contains("PRIVATE KEY-----\n")
            || !text.contains("\n-----END ")
        {
            self.problem(format!(
                "{subject} is not a private key; allowed: PEM, from `-----BEGIN PRIVATE KEY-----` \
                 to `-----END PRIVATE KEY-----`, with a line break or `\\n` after each line"
            ));
            return None;
        }
        self.note_secret(name, origin);
        Some(pem)
    }

    fn thumbprint(&mut self, path: &str, text: &str) -> Option<Thumbprint> {
        let name = format!("{path}{THUMBPRINT}");
        if self.is_placeholder(&name, text) {
            return None;
        }
        let Some(thumbprint) = parse_thumbprint(text) else {
            self.problem(format!(
                "`{name}` is `{}`; allowed: 40 hexadecimal digits (SHA-1) or 64 (SHA-256)",
                quoted(text)
            ));
            return None;
        };
        self.note(name, &json!(thumbprint.to_string()), Origin::File);
        Some(thumbprint)
    }
}

fn parse_thumbprint(text: &str) -> Option<Thumbprint> {
    // The certificate dialog of Windows hands out an invisible U+200E in front of the digits.
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, ':' | '\u{200e}'))
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    if digits.len() % 2 == 1 {
        return None;
    }
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    if let Ok(bytes) = <[u8; 20]>::try_from(bytes.as_slice()) {
        return Some(Thumbprint::Sha1(bytes));
    }
    <[u8; 32]>::try_from(bytes.as_slice()).ok().map(Thumbprint::Sha256)
}
