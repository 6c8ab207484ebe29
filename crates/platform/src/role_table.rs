//! Roles: names for sets of permissions. This table is what they mean, and what the tests ask.
//!
//! The sets follow the roles of the replaced platform as far as its permissions are here. Spec:
//! "Managing access (Automation Cloud)", UiPath Communications Mining user guide; what "Dataset"
//! and "Stream" allow there is named by the permissions of its API.
#![expect(
    clippy::indexing_slicing,
    reason = "the compiler reads the table; an index beyond its end does not compile"
)]

/// Where a role is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Project,
    Global,
}

/// A name for a set of permissions.
#[derive(Clone, Copy, Debug)]
pub struct Role {
    pub name: &'static str,
    pub title: &'static str,
    pub description: &'static str,
    pub scope: Scope,
    pub permissions: &'static [&'static str],
}

/// What can be granted in a project, and which roles have it: administrator, developer, trainer,
/// analyst (`n`), viewer. Some are for parts of the original that are not here; they are kept, so
/// that what one tool wrote another can read.
#[rustfmt::skip]
const TABLE: &[(&str, &str)] = &[
    ("alerts-read",               "adtnv"),
    ("alerts-write",              "a  n "),
    ("appliance-config-read",     "ad   "),
    ("appliance-config-write",    "ad   "),
    ("buckets-append",            "ad   "),
    ("buckets-items-read",        "ad   "),
    ("buckets-read",              "adtnv"),
    ("buckets-write",             "a    "),
    ("dashboards-write",          "a tn "),
    ("datasets-admin",            "a    "),
    ("datasets-export",           "ad n "),
    ("datasets-model-admin",      "ad   "),
    ("datasets-review",           "a t  "),
    ("files-write",               "ad   "),
    ("integrations-read",         "adtnv"),
    ("integrations-write",        "ad   "),
    ("role-cm-analyst",           "     "),
    ("role-cm-developer",         "     "),
    ("role-cm-model-trainer",     "     "),
    ("role-cm-project-admin",     "     "),
    ("role-cm-viewer",            "     "),
    ("sources-add-comments",      "ad   "),
    ("sources-admin",             "ad   "),
    ("sources-read",              "adtnv"),
    ("sources-read-sensitive",    "adtn "),
    ("sources-translate",         "adt  "),
    ("streams-admin",             "ad   "),
    ("streams-consume",           "ad   "),
    ("streams-read",              "adtnv"),
    ("streams-write",             "ad   "),
    ("triggers-admin",            "ad   "),
    ("triggers-consume",          "ad   "),
    ("triggers-read",             "adtnv"),
    ("triggers-write",            "ad   "),
    ("users-read",                "adtnv"),
    ("users-write",               "a    "),
    ("voc",                       "a t  "),
    ("voc-readonly",              "adtnv"),
];

/// Whether a row is of a role; every row is of `None`.
const fn is_of(row: usize, role: Option<u8>) -> bool {
    let Some(role) = role else { return true };
    let letters = TABLE[row].1.as_bytes();
    let mut at = 0;
    while at < letters.len() {
        if letters[at] == role {
            return true;
        }
        at += 1;
    }
    false
}

const fn count(role: Option<u8>) -> usize {
    let (mut row, mut found) = (0, 0);
    while row < TABLE.len() {
        if is_of(row, role) {
            found += 1;
        }
        row += 1;
    }
    found
}

const fn names<const N: usize>(role: Option<u8>) -> [&'static str; N] {
    let mut found = [""; N];
    let (mut row, mut next) = (0, 0);
    while row < TABLE.len() {
        if is_of(row, role) {
            found[next] = TABLE[row].0;
            next += 1;
        }
        row += 1;
    }
    found
}

/// Everything that can be granted in a project.
pub(crate) const PROJECT: &[&str] = &names::<{ count(None) }>(None);
const PROJECT_ADMIN: &[&str] = &names::<{ count(Some(b'a')) }>(Some(b'a'));
const DEVELOPER: &[&str] = &names::<{ count(Some(b'd')) }>(Some(b'd'));
const MODEL_TRAINER: &[&str] = &names::<{ count(Some(b't')) }>(Some(b't'));
const ANALYST: &[&str] = &names::<{ count(Some(b'n')) }>(Some(b'n'));
const VIEWER: &[&str] = &names::<{ count(Some(b'v')) }>(Some(b'v'));

const TENANT_ADMIN: &[&str] = &[
    "audit-read",
    "projects-admin",
    "tenant-admin",
    "tenant-quota-read",
    "tenant-quota-write",
    "tenant-users-read",
];

const fn role(
    name: &'static str,
    title: &'static str,
    description: &'static str,
    permissions: &'static [&'static str],
) -> Role {
    Role { name, title, description, scope: Scope::Project, permissions }
}

/// Every role.
pub const ROLES: &[Role] = &[
    role(
        "role-cm-project-admin",
        "Project administrator",
        "Everything in the project, members included. Neither makes nor removes projects.",
        PROJECT_ADMIN,
    ),
    role(
        "role-cm-developer",
        "Developer",
        "Connects systems: uploads, sources, integrations, appliances and streams. Reads original mail.",
        DEVELOPER,
    ),
    role(
        "role-cm-model-trainer",
        "Model trainer",
        "Reads and labels comments. Sees no original mail and changes no source.",
        MODEL_TRAINER,
    ),
    role(
        "role-cm-analyst",
        "Analyst",
        "Reads and exports comments, makes dashboards and alerts. Sees no original mail.",
        ANALYST,
    ),
    role(
        "role-cm-viewer",
        "Viewer",
        "Reads comments, and sees what is set up. Sees no original mail and changes nothing.",
        VIEWER,
    ),
    Role {
        name: "role-cm-tenant-admin",
        title: "Administrator",
        description: "Users, projects, quotas and the audit log. Reads no mail.",
        scope: Scope::Global,
        permissions: TENANT_ADMIN,
    },
];

/// The role with that name.
pub fn role_named(name: &str) -> Option<&'static Role> {
    ROLES.iter().find(|role| role.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permissions::GLOBAL;

    #[test]
    fn a_role_gives_permissions_of_its_scope_and_no_role() {
        for role in ROLES {
            let all = if role.scope == Scope::Global { GLOBAL } else { PROJECT };
            assert!(all.contains(&role.name), "{}", role.name);
            for name in role.permissions {
                assert!(all.contains(name) && role_named(name).is_none(), "{} {name}", role.name);
            }
            assert!(role.permissions.is_sorted(), "{}", role.name);
        }
        for name in PROJECT.iter().chain(GLOBAL).filter(|name| name.starts_with("role-")) {
            assert!(role_named(name).is_some(), "{name}");
        }
    }

    #[test]
    fn the_administrator_of_a_project_has_everything_in_it() {
        let rest: Vec<_> = PROJECT.iter().filter(|name| role_named(name).is_none()).collect();
        assert_eq!(PROJECT_ADMIN.iter().collect::<Vec<_>>(), rest);
    }

    #[test]
    fn only_those_who_connect_systems_see_original_mail() {
        let seeing = |role: &&Role| role.permissions.contains(&"buckets-items-read");
        let names: Vec<_> = ROLES.iter().filter(seeing).map(|role| role.name).collect();
        assert_eq!(names, ["role-cm-project-admin", "role-cm-developer"]);
        // Who can send credentials elsewhere or give permissions is nobody's reader.
        for role in [MODEL_TRAINER, ANALYST, VIEWER] {
            assert!(!role.contains(&"users-write") && !role.contains(&"integrations-write"));
        }
    }
}
