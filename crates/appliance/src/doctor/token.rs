//! What an access token tells of the application's permissions.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use net::TokenSource;
use record::{Chain, Secret};
use serde::Deserialize;

use super::CheckResult;

/// Permissions that let an application read whole emails. Spec: "Microsoft Graph permissions
/// reference", application permissions.
const ENOUGH: &[&str] = &["Mail.Read", "Mail.ReadWrite"];

/// What the roles of a token are worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    Enough,
    /// Headers only: bodies and attachments are refused.
    Basic,
    None,
    /// The token cannot be looked into. It is meant for the service, not for us.
    Unknown,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    roles: Vec<String>,
}

/// The application permissions in `token`, if it lets itself be read (RFC 7519 §3).
fn roles(token: &Secret) -> Option<Vec<String>> {
    let payload = token.reveal().split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice::<Claims>(&payload).ok().map(|claims| claims.roles)
}

fn judge(roles: Option<&[String]>) -> Permission {
    let Some(roles) = roles else { return Permission::Unknown };
    let has = |wanted: &[&str]| roles.iter().any(|role| wanted.contains(&role.as_str()));
    if has(ENOUGH) {
        Permission::Enough
    } else if has(&["Mail.ReadBasic", "Mail.ReadBasic.All"]) {
        Permission::Basic
    } else {
        Permission::None
    }
}

/// Asks for a token and looks into it. `None` for the permission: there is no token.
pub(super) async fn check(
    client_id: &str,
    source: &TokenSource,
) -> (CheckResult, Option<Permission>) {
    const CHECK: &str = "graph token";
    let token = match source.token().await {
        Ok(token) => token,
        Err(err) => {
            let advice = err.hint().unwrap_or("See the lines of the authority above.");
            let detail = format!("application `{client_id}`: {}", Chain(&err));
            return (CheckResult::fail(CHECK, detail, advice), None);
        }
    };
    let roles = roles(&token);
    let permission = judge(roles.as_deref());
    let has = match &roles {
        None => "its permissions cannot be seen in it".to_owned(),
        Some(roles) if roles.is_empty() => "it has no application permission".to_owned(),
        Some(roles) => format!("its permissions: {}", shown(roles)),
    };
    let detail = format!("application `{client_id}` is given a token; {has}");
    let result = match permission {
        Permission::Enough | Permission::Unknown => CheckResult::ok(CHECK, detail),
        Permission::Basic => CheckResult::warn(
            CHECK,
            detail,
            "`Mail.ReadBasic` does not open bodies and attachments: the application needs \
             `Mail.Read`, as an application permission of Microsoft Graph with the consent of an \
             administrator, or by RBAC for Applications, which is not seen in the token.",
        ),
        Permission::None => CheckResult::warn(
            CHECK,
            detail,
            "Without `Mail.Read` among them, mailboxes open only to a right by RBAC for \
             Applications, which is not seen in the token. Delegated permissions do not count.",
        ),
    };
    (result, Some(permission))
}

/// The text comes from outside and goes into a report.
fn shown(roles: &[String]) -> String {
    let shown: Vec<String> = roles
        .iter()
        .take(20)
        .map(|role| role.chars().take(64).filter(|c| c.is_ascii_graphic()).collect())
        .collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(payload: &str, expected: Permission) {
        let token = Secret::from(format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(payload)));
        assert_eq!(judge(roles(&token).as_deref()), expected, "{payload}");
    }

    #[test]
    fn the_roles_of_a_token_tell_what_it_is_worth() {
        check(r#"{"roles": ["User.Read.All", "Mail.Read"]}"#, Permission::Enough);
        check(r#"{"roles": ["Mail.ReadWrite"]}"#, Permission::Enough);
        check(r#"{"roles": ["Mail.ReadBasic.All"]}"#, Permission::Basic);
        check(r#"{"roles": ["Mail.ReadBasic.All", "Mail.Read"]}"#, Permission::Enough);
        check(r#"{"roles": []}"#, Permission::None);
        // A delegated permission: nobody is signed in here.
        check(r#"{"scp": "Mail.Read"}"#, Permission::None);
    }

    #[test]
    fn a_token_that_cannot_be_read_is_no_mistake() {
        for token in ["opaque", "", "a.b.c", "a.!!.c", "a.MQ.c"] {
            let permission = judge(roles(&Secret::from(token.to_owned())).as_deref());
            assert_eq!(permission, Permission::Unknown, "{token}");
        }
    }
}
