//! How people come in: passwords, links, sessions, tokens, roles.

use serde_json::{Value, json};

use super::shape::{
    Operation, about, any_text, between, flag, hex, list, may, must, natural, nullable, object, of,
    one_of, operation, text, time,
};
use crate::routes::Op;

const SIGN_IN: &str = "Sign-in";
const ACCOUNT: &str = "Own account";
const USERS: &str = "Users";

const FOR_BROWSERS: &str = "Needs the header `X-Tributary-CSRF: 1`. The answer sets a cookie, which \
                            is worth what a token of the user is.";

pub(super) fn operation_of(op: Op) -> Option<Operation> {
    let user = || vec![must("user", of("User"))];
    let secret = || must("link", about(text(1, 256), "What stands behind the `#` of the link."));
    let ended = || must("ended_sessions", natural());
    Some(match op {
        Op::SignInOptions => operation(SIGN_IN, "Tell how one can sign in")
            .gives(vec![must("options", of("SignInOptions"))]),
        Op::SignIn => operation(SIGN_IN, "Sign in with a password")
            .more(FOR_BROWSERS)
            .takes(vec![
                must("username", about(text(1, 320), "Name or email address.")),
                must("password", text(1, 1024)),
            ])
            .gives(user()),
        Op::SignOut => operation(SIGN_IN, "End the session")
            .takes(Vec::new())
            .gives(vec![must(
                "continue_at",
                about(
                    nullable(any_text()),
                    "Address of the provider of OpenID Connect over which the person came in, to \
                     be signed out there as well; null if there is nothing to do.",
                ),
            )])
            .refuses(&[403, 422]),
        Op::InspectLink => operation(SIGN_IN, "Tell what a one-time link is for")
            .more("Needs the header `X-Tributary-CSRF: 1`.")
            .takes(vec![secret()])
            .gives(vec![must(
                "link",
                object(vec![
                    must("kind", kinds()),
                    must("username", any_text()),
                    must("email", any_text()),
                    must("expires_at", time()),
                ]),
            )])
            .refuses(&[404]),
        Op::UseLink => operation(SIGN_IN, "Set a password with a one-time link, and sign in")
            .more(FOR_BROWSERS)
            .takes(vec![secret(), must("password", text(1, 1024))])
            .gives(user())
            .refuses(&[404, 422]),
        Op::StartOidc => operation(SIGN_IN, "Go to the provider of OpenID Connect")
            .more("For browsers: leads there with 303.")
            .asks("return_to", about(text(1, 1024), "Path of the page to return to."))
            .refuses(&[404]),
        Op::FinishOidc => operation(SIGN_IN, "Come back from the provider of OpenID Connect")
            .more("For browsers: leads to a page with 303. Takes whatever a provider adds.")
            .asks("*", any_text())
            .refuses(&[404]),
        Op::SignedOutOidc => {
            operation(SIGN_IN, "Come back from the provider of OpenID Connect after signing out")
                .more("For browsers: leads to a page with 303. Takes whatever a provider adds.")
                .asks("*", any_text())
                .refuses(&[404])
        }
        Op::GetAccount => {
            operation(ACCOUNT, "Get the own account").gives(vec![must("account", of("Account"))])
        }
        Op::ChangePassword => operation(ACCOUNT, "Change the password")
            .more("All other sessions end.")
            .takes(vec![
                must("current_password", text(1, 1024)),
                must("new_password", text(1, 1024)),
            ])
            .gives(vec![ended()])
            .refuses(&[403, 422]),
        Op::ListSessions => operation(ACCOUNT, "List the own sessions")
            .gives(vec![must("sessions", list(of("Session")))])
            .refuses(&[403]),
        Op::EndSessions => {
            operation(ACCOUNT, "End all other sessions").gives(vec![ended()]).refuses(&[403])
        }
        Op::EndSession => operation(ACCOUNT, "End a session").refuses(&[403]),
        Op::ListTokens => operation(ACCOUNT, "List the own tokens")
            .gives(vec![must("tokens", list(of("Token")))])
            .refuses(&[403]),
        Op::CreateToken => operation(ACCOUNT, "Make a token")
            .more("Never worth more than its user. Its text is in this answer and nowhere else.")
            .takes(vec![must(
                "token",
                object(vec![
                    must("name", text(1, 256)),
                    may(
                        "permissions",
                        about(
                            json!({ "type": "array", "minItems": 1, "items": permission() }),
                            "Missing: all.",
                        ),
                    ),
                    may(
                        "project",
                        about(text(1, 1024), "Name of the one project it is worth something in."),
                    ),
                    may("expires_in_days", between(1, 3650)),
                ]),
            )])
            .gives(vec![must("token", of("Token")), must("text", any_text())])
            .refuses(&[403, 422]),
        Op::RevokeToken => operation(ACCOUNT, "Revoke a token").refuses(&[403]),
        Op::ListRoles => operation(USERS, "List roles and permissions").gives(vec![
            must("roles", list(of("Role"))),
            must(
                "permissions",
                object(vec![
                    must("project", list(of("ProjectPermission"))),
                    must("global", list(of("GlobalPermission"))),
                ]),
            ),
        ]),
        Op::MakeLink => operation(USERS, "Make a one-time link that sets a user's password")
            .more("A link that was made before is worth nothing.")
            .takes(Vec::new())
            .gives(vec![must("link", of("IssuedLink"))])
            .refuses(&[422]),
        Op::RevokeAccess => operation(USERS, "Revoke all tokens, sessions and links of a user")
            .takes(Vec::new())
            .gives(vec![must("revoked_tokens", natural()), ended()]),
        _ => return None,
    })
}

fn permission() -> Value {
    json!({ "anyOf": [of("ProjectPermission"), of("GlobalPermission")] })
}

fn kinds() -> Value {
    one_of(&["first_admin", "invitation", "reset"])
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let provider = object(vec![must("name", any_text()), must("start", any_text())]);
    let identity = object(vec![
        must("issuer", any_text()),
        must("created_at", time()),
        must("last_used_at", time()),
    ]);
    let credential = object(vec![must("kind", one_of(&["session", "token"])), must("id", hex(16))]);
    vec![
        (
            "SignInOptions",
            object(vec![
                must("password", flag()),
                must("oidc", nullable(provider)),
                must("signed_in", flag()),
                must("min_password_length", natural()),
            ]),
        ),
        (
            "Account",
            object(vec![
                must("user", of("User")),
                must("has_password", flag()),
                must("identities", list(identity)),
                must("credential", credential),
            ]),
        ),
        (
            "Role",
            object(vec![
                must("name", any_text()),
                must("title", any_text()),
                must("description", any_text()),
                must("scope", one_of(&["project", "global"])),
                must("permissions", list(any_text())),
            ]),
        ),
        (
            "IssuedLink",
            object(vec![
                must("url", any_text()),
                must("kind", kinds()),
                must("expires_at", time()),
            ]),
        ),
        (
            "Session",
            object(vec![
                must("id", hex(16)),
                must("current", flag()),
                must("method", one_of(&["password", "link", "oidc"])),
                must("address", any_text()),
                must("user_agent", any_text()),
                must("created_at", time()),
                must("last_used_at", time()),
                must("expires_at", time()),
            ]),
        ),
        (
            "Token",
            object(vec![
                must("id", hex(16)),
                must("name", any_text()),
                must("shown", any_text()),
                must("permissions", nullable(list(any_text()))),
                must("project", nullable(any_text())),
                must("state", one_of(&["valid", "expired", "revoked"])),
                must("created_at", time()),
                must("expires_at", nullable(time())),
                must("last_used_at", nullable(time())),
                must("revoked_at", nullable(time())),
                must("current", flag()),
            ]),
        ),
    ]
}
