//! The names of permissions, and what one includes of others. What can be granted in a project,
//! and what roles are, is in `role_table`.

use std::collections::BTreeSet;

pub(crate) use crate::role_table::PROJECT;
use crate::role_table::role_named;

/// Permissions in one project that the routes ask for.
pub(crate) mod project {
    pub(crate) const BUCKETS_READ: &str = "buckets-read";
    pub(crate) const BUCKETS_WRITE: &str = "buckets-write";
    pub(crate) const BUCKETS_APPEND: &str = "buckets-append";
    pub(crate) const BUCKETS_ITEMS_READ: &str = "buckets-items-read";
    pub(crate) const APPLIANCE_CONFIG_READ: &str = "appliance-config-read";
    pub(crate) const APPLIANCE_CONFIG_WRITE: &str = "appliance-config-write";
    pub(crate) const INTEGRATIONS_READ: &str = "integrations-read";
    pub(crate) const INTEGRATIONS_WRITE: &str = "integrations-write";
    pub(crate) const DATASETS_READ: &str = "voc-readonly";
    pub(crate) const DATASETS_ADMIN: &str = "datasets-admin";
    pub(crate) const DATASETS_REVIEW: &str = "datasets-review";
    pub(crate) const STREAMS_READ: &str = "streams-read";
    pub(crate) const STREAMS_WRITE: &str = "streams-write";
    pub(crate) const STREAMS_CONSUME: &str = "streams-consume";
    pub(crate) const SOURCES_READ: &str = "sources-read";
    pub(crate) const SOURCES_ADMIN: &str = "sources-admin";
    pub(crate) const SOURCES_ADD_COMMENTS: &str = "sources-add-comments";
    pub(crate) const USERS_READ: &str = "users-read";
    pub(crate) const USERS_WRITE: &str = "users-write";
}

/// Everything, everywhere.
pub(crate) const ROOT: &str = "root";
pub(crate) const TENANT_ADMIN: &str = "tenant-admin";
pub(crate) const TENANT_USERS_READ: &str = "tenant-users-read";
pub(crate) const PROJECTS_ADMIN: &str = "projects-admin";

pub(crate) const GLOBAL: &[&str] = &[
    "artefacts-read",
    "audit-read",
    "debug",
    "demo",
    "deployment-quota-read",
    "deployment-quota-write",
    "dialog",
    "projects-admin",
    "role-cm-tenant-admin",
    "root",
    "subscriptions-read",
    "support-tenant-admin",
    "support-users-write",
    "tenant-admin",
    "tenant-quota-read",
    "tenant-quota-write",
    "tenant-users-read",
];

/// What the members that a new project begins with may do there.
pub(crate) const OF_FOUNDERS: &[&str] = &[
    "appliance-config-read",
    "appliance-config-write",
    "buckets-append",
    "buckets-items-read",
    "buckets-read",
    "buckets-write",
    "integrations-read",
    "integrations-write",
    "role-cm-project-admin",
    "sources-add-comments",
    "sources-admin",
    "sources-read",
    "users-read",
    "users-write",
];

pub fn is_of_projects(name: &str) -> bool {
    PROJECT.contains(&name)
}

pub fn is_global(name: &str) -> bool {
    GLOBAL.contains(&name) || name.strip_prefix("feature-").is_some_and(|rest| !rest.is_empty())
}

/// What a permission or role gives beside itself.
fn included(name: &str) -> &'static [&'static str] {
    match name {
        TENANT_ADMIN => {
            &[PROJECTS_ADMIN, TENANT_USERS_READ, "tenant-quota-read", "tenant-quota-write"]
        }
        _ => role_named(name).map_or(&[], |role| role.permissions),
    }
}

/// Whether a set of permissions and roles gives `wanted`.
pub(crate) fn gives(own: &BTreeSet<String>, wanted: &str) -> bool {
    own.contains(wanted) || own.iter().any(|name| included(name).contains(&wanted))
}
