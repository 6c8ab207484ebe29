//! How to sign in: user and password, or OAuth with a secret or a certificate.

use record::Secret;
use serde_json::json;
use url::Url;

use super::{
    problem::quoted,
    settings::{AccessType, Auth, Credential, OAuth, Origin, Thumbprint},
    validate::Reader,
    written::AuthType,
};
use crate::environment::Given;

const SHOWN: &str = "***";
const CLIENT_SECRET: &str = "auth_oauth_client_secret";
const PRIVATE_KEY: &str = "auth_oauth_client_credential_private_key";
const THUMBPRINT: &str = "auth_oauth_client_credential_thumbprint";

impl Reader<'_> {
    /// The way to sign in to `server`, unless something is missing.
    pub(super) fn auth(&mut self, server: Option<&Url>) -> Option<Auth> {
        let oauth_keys = self.config.auth_oauth_client_id.is_some();
        let user = self.config.auth_user.is_some() || self.environment.auth_user.is_some();
        let auth_type = match self.config.auth_type {
            Some(auth_type) => auth_type,
            None if oauth_keys && user => {
                self.problem(
                    "`auth_type` is missing, and both `auth_user` and `auth_oauth_client_id` are \
                     given; allowed: `\"ntlm\"`, `\"oauth2\"` or `\"basic\"`"
                        .into(),
                );
                return None;
            }
            None if oauth_keys => AuthType::OAuth2,
            None => AuthType::Ntlm,
        };
        let name = match auth_type {
            AuthType::Ntlm => "ntlm",
            AuthType::OAuth2 => "oauth2",
            AuthType::Basic => "basic",
        };
        self.note_or_default("auth_type", &json!(name), self.config.auth_type);
        if auth_type == AuthType::OAuth2 {
            self.warn_unused(
                "oauth2",
                &[
                    ("auth_user", self.config.auth_user.is_some()),
                    ("auth_password", self.config.auth_password.is_some()),
                ],
            );
            return self.oauth(server).map(Auth::OAuth2);
        }
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

    pub(super) fn access_type(&mut self) -> AccessType {
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

    fn oauth(&mut self, server: Option<&Url>) -> Option<OAuth> {
        let token_url = self.token_url();
        let client_id = self.client_id();
        let scope = self.scope(token_url.as_ref(), server);
        let credential = self.credential();
        Some(OAuth {
            token_url: token_url?,
            client_id: client_id?,
            scope: scope?,
            credential: credential?,
        })
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

    fn client_id(&mut self) -> Option<String> {
        let Some(id) = self.config.auth_oauth_client_id.take() else {
            self.problem(
                "`auth_oauth_client_id` is missing; allowed: the application id of the app \
                 registration"
                    .into(),
            );
            return None;
        };
        if self.is_placeholder("auth_oauth_client_id", &id) {
            return None;
        }
        if id.is_empty() || !id.chars().all(|c| c.is_ascii_graphic()) {
            self.problem(format!(
                "`auth_oauth_client_id` is `{}`; allowed: the application id of the app \
                 registration, without blanks",
                quoted(&id)
            ));
            return None;
        }
        self.note("auth_oauth_client_id", &json!(id), Origin::File);
        Some(id)
    }

    fn scope(&mut self, token_url: Option<&Url>, server: Option<&Url>) -> Option<String> {
        let written = self.config.auth_oauth_scope.take();
        let origin = Origin::of(written.as_ref());
        let scope = written.unwrap_or_else(|| default_scope(token_url, server));
        if scope.trim().is_empty() || scope.chars().any(char::is_control) {
            self.problem(format!(
                "`auth_oauth_scope` is `{}`; allowed: a scope such as \
                 `https://outlook.office365.com/.default`",
                quoted(&scope)
            ));
            return None;
        }
        self.note("auth_oauth_scope", &json!(scope), origin);
        Some(scope)
    }

    fn credential(&mut self) -> Option<Credential> {
        let secret = override_by(
            self.config.auth_oauth_client_secret.take(),
            self.environment.oauth_client_secret.as_ref(),
        );
        let key = override_by(
            self.config.auth_oauth_client_credential_private_key.take(),
            self.environment.oauth_private_key.as_ref(),
        );
        let thumbprint = self.config.auth_oauth_client_credential_thumbprint.take();
        let both = "allowed: the secret, or the private key with its thumbprint";
        match (secret, key, thumbprint) {
            (Some((secret, origin)), None, None) => {
                self.secret(CLIENT_SECRET, secret, origin).map(Credential::ClientSecret)
            }
            (None, Some((key, origin)), Some(thumbprint)) => {
                let private_key = self.private_key(&key, origin);
                let thumbprint = self.thumbprint(&thumbprint);
                Some(Credential::Certificate { private_key: private_key?, thumbprint: thumbprint? })
            }
            (None, None, None) => {
                self.problem(format!("`{CLIENT_SECRET}` is missing; {both} in `{PRIVATE_KEY}`"));
                None
            }
            (None, Some(_), None) => {
                self.problem(format!(
                    "`{THUMBPRINT}` is missing; allowed: the thumbprint of the certificate that \
                     the private key belongs to, 40 or 64 hexadecimal digits"
                ));
                None
            }
            (None, None, Some(_)) => self.missing(
                PRIVATE_KEY,
                "REINFER_EWS_AUTH_OAUTH_CLIENT_CREDENTIAL_PRIVATE_KEY` or the same with `_FILE",
            ),
            (Some(_), _, _) => {
                self.problem(format!(
                    "`{CLIENT_SECRET}` and a certificate (`{PRIVATE_KEY}`, `{THUMBPRINT}`) are \
                     both given; {both}"
                ));
                None
            }
        }
    }

    fn private_key(&mut self, key: &Secret, origin: Origin) -> Option<Secret> {
        let subject = origin.subject(PRIVATE_KEY);
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
        self.note_secret(PRIVATE_KEY, origin);
        Some(pem)
    }

    fn thumbprint(&mut self, text: &str) -> Option<Thumbprint> {
        if self.is_placeholder(THUMBPRINT, text) {
            return None;
        }
        let Some(thumbprint) = parse_thumbprint(text) else {
            self.problem(format!(
                "`{THUMBPRINT}` is `{}`; allowed: 40 hexadecimal digits (SHA-1) or 64 (SHA-256)",
                quoted(text)
            ));
            return None;
        };
        self.note(THUMBPRINT, &json!(thumbprint.to_string()), Origin::File);
        Some(thumbprint)
    }

    /// A secret that is neither empty nor the sample's placeholder.
    fn secret(&mut self, key: &'static str, secret: Secret, origin: Origin) -> Option<Secret> {
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
        self.note_secret(key, origin);
        Some(secret)
    }

    fn note_secret(&mut self, key: &'static str, origin: Origin) {
        self.note_text(key, SHOWN.into(), origin);
    }

    fn missing<T>(&mut self, key: &str, variable: &str) -> Option<T> {
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

/// The word that a sample's placeholder for this secret contains: `<client_secret>`.
fn key_word(key: &str) -> &'static str {
    if key == CLIENT_SECRET { "secret" } else { "pass" }
}

/// The value of the environment if there is one, else that of the file.
fn override_by<T: Clone>(file: Option<T>, environment: Option<&Given<T>>) -> Option<(T, Origin)> {
    match environment {
        Some(given) => Some((given.value.clone(), Origin::Environment(given.variable.clone()))),
        None => file.map(|value| (value, Origin::File)),
    }
}

/// Exchange Online or one of its national clouds.
fn is_exchange_online(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        host == "outlook.office365.com"
            || host == "outlook.office.com"
            || host.ends_with(".office365.us")
            || host == "partner.outlook.cn"
    })
}

/// The Exchange of the cloud that the authority belongs to. Tokens of one cloud are worth
/// nothing in another.
///
/// Spec: Microsoft, "National cloud deployments".
fn default_scope(token_url: Option<&Url>, server: Option<&Url>) -> String {
    let authority = token_url.and_then(Url::host_str).unwrap_or_default();
    let server = server.and_then(Url::host_str).unwrap_or_default();
    let resource = match authority {
        "login.microsoftonline.us" if server == "outlook-dod.office365.us" => server,
        "login.microsoftonline.us" => "outlook.office365.us",
        "login.partner.microsoftonline.cn" | "login.chinacloudapi.cn" => "partner.outlook.cn",
        _ => "outlook.office365.com",
    };
    format!("https://{resource}/.default")
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
