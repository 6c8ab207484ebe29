//! What tokens say, and for which services they are.

use serde_json::{Value, json};

use super::options::{App, Options};

/// The services that tokens are issued for, in the clouds that there are.
const SERVICES: [(Audience, &str); 8] = [
    (Audience::Ews, "https://outlook.office365.com"),
    (Audience::Ews, "https://outlook.office365.us"),
    (Audience::Ews, "https://outlook-dod.office365.us"),
    (Audience::Ews, "https://partner.outlook.cn"),
    (Audience::Graph, "https://graph.microsoft.com"),
    (Audience::Graph, "https://graph.microsoft.us"),
    (Audience::Graph, "https://dod-graph.microsoft.us"),
    (Audience::Graph, "https://microsoftgraph.chinacloudapi.cn"),
];

/// Which face of the server a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    Ews,
    Graph,
}

/// The service that a scope names: `https://graph.microsoft.com/.default`.
pub(crate) fn service(scope: &str) -> Option<(Audience, &'static str)> {
    let name = scope.strip_suffix("/.default")?;
    SERVICES.into_iter().find(|(_, own)| *own == name)
}

/// What a token says of itself, for clients that look into it.
pub(crate) fn claims(
    options: &Options,
    token_url: &str,
    app: &App,
    (audience, resource): (Audience, &str),
) -> Value {
    let now = options.clock.now().timestamp();
    let life = i64::try_from(options.token_life.as_secs()).unwrap_or(i64::MAX);
    let roles = match audience {
        Audience::Ews => vec!["full_access_as_app"],
        Audience::Graph => app.roles.iter().map(String::as_str).collect(),
    };
    json!({
        "aud": resource, "iss": issuer(token_url), "tid": options.tenant, "ver": "1.0",
        "appid": app.client_id, "idtyp": "app", "roles": roles,
        "iat": now, "nbf": now, "exp": now.saturating_add(life),
    })
}

/// The document with which libraries find the token endpoint (`OpenID` Connect Discovery §4).
pub(crate) fn discovery(token_url: &str) -> Value {
    let base = token_url.trim_end_matches("/token");
    json!({
        "token_endpoint": token_url,
        "authorization_endpoint": format!("{base}/authorize"),
        "jwks_uri": format!("{}/keys", issuer(token_url)),
        "issuer": issuer(token_url),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "response_types_supported": ["code"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
    })
}

fn issuer(token_url: &str) -> String {
    token_url.replace("/oauth2/v2.0/token", "/v2.0")
}
