//! Settings of OpenID Connect, as the command line gives them.

use std::{path::PathBuf, str::FromStr};

use record::Secret;

use crate::role_table::{Scope, role_named};

/// A provider, and who of those that it knows may come in.
#[derive(Clone, Debug)]
pub struct Oidc {
    /// As its discovery document names it: `https://login.example.com/realms/own`.
    pub issuer: String,
    pub client_id: String,
    /// `None`: a public client, which PKCE alone protects.
    pub client_secret: Option<Secret>,
    /// What the button says.
    pub name: String,
    /// Asked for beside `openid email profile`.
    pub scopes: Vec<String>,
    /// Domains of the email addresses that may come in; empty: all.
    pub allowed_domains: Vec<String>,
    pub new_users: NewUsers,
    /// Believes email addresses that the provider does not call verified. Only for a provider
    /// where nobody chooses their own address.
    pub trust_email: bool,
    /// Whoever signs out is signed out here and not at the provider: for one that demands an ID
    /// token for that, or whose session belongs to more than this platform.
    pub local_sign_out: bool,
    /// Claim with the groups of a person.
    pub groups_claim: String,
    pub group_roles: Vec<GroupRole>,
    /// Certificates to trust beside those of the system, in PEM form.
    pub ca_file: Option<PathBuf>,
}

/// What becomes of people who have no user yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NewUsers {
    /// They stay out: only who was invited comes in.
    #[default]
    Refused,
    /// They become users, with that role in the projects that everybody joins.
    Created { role: String },
}

/// What a group gives: `GROUP=ROLE` everywhere, `GROUP=PROJECT:ROLE` in a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRole {
    pub group: String,
    /// Name of a project; empty for everywhere.
    pub project: String,
    pub role: String,
}

/// The text gives no role to a group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected `GROUP=PROJECT:ROLE` with a role of projects such as `role-cm-viewer`, or \
     `GROUP=ROLE` with a role for everywhere such as `role-cm-tenant-admin`"
)]
pub struct BadGroupRole;

impl FromStr for GroupRole {
    type Err = BadGroupRole;

    fn from_str(text: &str) -> Result<Self, BadGroupRole> {
        // Names of groups may hold `=`, those of projects and roles do not.
        let (group, rest) = text.rsplit_once('=').ok_or(BadGroupRole)?;
        let (project, role, scope) = match rest.split_once(':') {
            Some((project, role)) => (project, role, Scope::Project),
            None => ("", rest, Scope::Global),
        };
        let fits = role_named(role).is_some_and(|role| role.scope == scope);
        if group.is_empty() || !fits || scope == Scope::Project && project.is_empty() {
            return Err(BadGroupRole);
        }
        let owned = str::to_owned;
        Ok(Self { group: owned(group), project: owned(project), role: owned(role) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_gives_a_role_where_there_is_such_a_role() {
        let read = |text: &str| {
            let read: Result<GroupRole, _> = text.parse();
            read.map(|own| format!("{}|{}|{}", own.group, own.project, own.role))
        };
        assert_eq!(read("staff=acme:role-cm-viewer").unwrap(), "staff|acme|role-cm-viewer");
        assert_eq!(
            read("cn=a,dc=b=role-cm-tenant-admin").unwrap(),
            "cn=a,dc=b||role-cm-tenant-admin"
        );
        for text in [
            "",
            "staff",
            "=acme:role-cm-viewer",
            "staff=role-cm-viewer",
            "staff=acme:role-cm-tenant-admin",
            "staff=:role-cm-viewer",
            "staff=root",
            "staff=acme:buckets-read",
        ] {
            assert_eq!(read(text), Err(BadGroupRole), "{text}");
        }
    }
}
