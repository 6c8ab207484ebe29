//! What can be granted.

use serde_json::{Value, json};

use crate::{
    permissions::{GLOBAL, PROJECT},
    reply::Reply,
    role_table::{ROLES, Scope, role_named},
};

pub(crate) fn list() -> Reply {
    let roles: Vec<Value> = ROLES
        .iter()
        .map(|role| {
            let scope = match role.scope {
                Scope::Project => "project",
                Scope::Global => "global",
            };
            json!({
                "name": role.name,
                "title": role.title,
                "description": role.description,
                "scope": scope,
                "permissions": role.permissions,
            })
        })
        .collect();
    let plain = |all: &[&'static str]| -> Vec<&'static str> {
        all.iter().copied().filter(|name| role_named(name).is_none()).collect()
    };
    Reply::json(json!({
        "roles": roles,
        "permissions": { "project": plain(PROJECT), "global": plain(GLOBAL) },
    }))
}
