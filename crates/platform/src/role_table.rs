//! Roles: names for sets of permissions. This table is what they mean, and what the tests ask.
//!
//! The sets follow the roles of the replaced platform as far as its permissions are here. Spec:
//! "Managing access (Automation Cloud)", UiPath Communications Mining user guide; what "Dataset"
//! and "Stream" allow there is named by the permissions of its API.

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

const PROJECT_ADMIN: &[&str] = &[
    "alerts-read",
    "alerts-write",
    "appliance-config-read",
    "appliance-config-write",
    "buckets-append",
    "buckets-items-read",
    "buckets-read",
    "buckets-write",
    "dashboards-write",
    "datasets-admin",
    "datasets-export",
    "datasets-model-admin",
    "datasets-review",
    "files-write",
    "integrations-read",
    "integrations-write",
    "sources-add-comments",
    "sources-admin",
    "sources-read",
    "sources-read-sensitive",
    "sources-translate",
    "streams-admin",
    "streams-consume",
    "streams-read",
    "streams-write",
    "triggers-admin",
    "triggers-consume",
    "triggers-read",
    "triggers-write",
    "users-read",
    "users-write",
    "voc",
    "voc-readonly",
];

const DEVELOPER: &[&str] = &[
    "alerts-read",
    "appliance-config-read",
    "appliance-config-write",
    "buckets-append",
    "buckets-items-read",
    "buckets-read",
    "datasets-export",
    "datasets-model-admin",
    "files-write",
    "integrations-read",
    "integrations-write",
    "sources-add-comments",
    "sources-admin",
    "sources-read",
    "sources-read-sensitive",
    "sources-translate",
    "streams-admin",
    "streams-consume",
    "streams-read",
    "streams-write",
    "triggers-admin",
    "triggers-consume",
    "triggers-read",
    "triggers-write",
    "users-read",
    "voc-readonly",
];

const MODEL_TRAINER: &[&str] = &[
    "alerts-read",
    "buckets-read",
    "dashboards-write",
    "datasets-review",
    "integrations-read",
    "sources-read",
    "sources-read-sensitive",
    "sources-translate",
    "streams-read",
    "triggers-read",
    "users-read",
    "voc",
    "voc-readonly",
];

const ANALYST: &[&str] = &[
    "alerts-read",
    "alerts-write",
    "buckets-read",
    "dashboards-write",
    "datasets-export",
    "integrations-read",
    "sources-read",
    "sources-read-sensitive",
    "streams-read",
    "triggers-read",
    "users-read",
    "voc-readonly",
];

const VIEWER: &[&str] = &[
    "alerts-read",
    "buckets-read",
    "integrations-read",
    "sources-read",
    "streams-read",
    "triggers-read",
    "users-read",
    "voc-readonly",
];

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
    use crate::permissions::{GLOBAL, PROJECT};

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
