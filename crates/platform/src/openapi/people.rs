//! Projects, users, configurations of appliances, quotas and the audit log.

use serde_json::{Value, json};

use super::shape::{
    Field, Operation, about, any_object, any_text, between, continuation, flag, hex, list, map_of,
    matching, may, must, natural, nullable, object, of, one_of, operation, text, time,
};
use crate::routes::Op;

const PROJECTS: &str = "Projects";
const USERS: &str = "Users";
const CONFIGS: &str = "Appliance configurations";
const QUOTAS: &str = "Quotas";
const AUDIT: &str = "Audit log";

pub(super) fn operation_of(op: Op) -> Option<Operation> {
    let project = || vec![must("project", of("Project"))];
    let user = || vec![must("user", of("User"))];
    Some(match op {
        Op::CurrentUser => operation(USERS, "Get the user that asks").gives(user()),
        Op::RefreshPermissions => operation(USERS, "Refresh permissions")
            .more("They are read with each request, so that there is nothing to do.")
            .takes(Vec::new())
            .gives(vec![must("permissions_refreshed", flag())]),
        Op::ListUsers => operation(USERS, "List users")
            .more("Those that the caller may see, with what the caller may know of their permissions.")
            .gives(vec![must("users", list(of("User")))]),
        Op::ListUserNames => operation(USERS, "List names of users").gives(vec![must(
            "users",
            list(object(vec![
                must("username", any_text()),
                must("email", any_text()),
                must("last_login_at", nullable(time())),
            ])),
        )]),
        Op::GetUser => operation(USERS, "Get a user").gives(user()),
        Op::CreateUser => operation(USERS, "Create a user")
            .takes(vec![must("user", of("NewUser"))])
            .gives(user())
            .refuses(&[409, 422]),
        Op::UpdateUser => operation(USERS, "Give and take permissions")
            .more("Of the projects that are named, all permissions are replaced.")
            .takes(vec![must("user", object(changes()))])
            .gives(user())
            .refuses(&[422]),
        Op::DeleteUser => operation(USERS, "Delete a user").refuses(&[422]),

        Op::ListProjects => operation(PROJECTS, "List projects")
            .asks("cm_only", about(flag(), "Changes nothing here."))
            .gives(vec![must("projects", list(of("Project")))]),
        Op::ListProjectNames => operation(PROJECTS, "List names of projects").gives(vec![must(
            "projects",
            list(object(vec![
                must("name", any_text()),
                must("title", any_text()),
                must("description", any_text()),
            ])),
        )]),
        Op::GetProject => operation(PROJECTS, "Get a project").gives(project()),
        Op::CreateProject => operation(PROJECTS, "Create a project")
            .takes(vec![
                must("project", object(vec![
                    may("title", text(0, 1024)),
                    may("description", text(0, 4096)),
                    may("user_auto_join", flag()),
                ])),
                may("user_ids", about(
                    json!({ "type": "array", "items": hex(16), "minItems": 1, "maxItems": 1024 }),
                    "Its first members. Default: whoever asks.",
                )),
                may("uipath_user_ids", about(
                    json!({ "type": "array", "items": text(1, 1024), "maxItems": 0 }),
                    "There are no such users here.",
                )),
            ])
            .gives(project())
            .refuses(&[409, 422]),
        Op::UpdateProject => operation(PROJECTS, "Change a project")
            .takes(vec![must("project", object(vec![
                may("title", text(0, 1024)),
                may("description", text(0, 4096)),
            ]))])
            .gives(project()),
        Op::DeleteProject => operation(PROJECTS, "Delete a project")
            .asks("force", about(flag(), "Delete what is in it, too. Else it must be empty."))
            .refuses(&[409]),
        Op::CountResources => operation(PROJECTS, "Count what a project has")
            .gives(vec![
                must("buckets", natural()),
                must("sources", natural()),
                must("datasets", natural()),
                must("integrations", natural()),
                must("users_with_permissions", natural()),
            ]),

        Op::GetConfig => operation(CONFIGS, "Get a configuration")
            .more("The bytes as they were uploaded. With `If-None-Match`, 304 if they are known.")
            .gives_bytes(&["application/octet-stream"]),
        Op::PutConfig => operation(CONFIGS, "Replace a configuration")
            .more("Checked as the appliance would. Where credentials are sent changes only with `integrations-write` as well.")
            .takes_file()
            .gives(vec![must("changes", about(map_of(any_object()), "Fields that differ, each with `old` and `new`; secrets as `***`."))]),
        Op::ListConfigs => operation(CONFIGS, "List the configurations of a project").gives(vec![must(
            "appliance_configs",
            list(of("ConfigEntry")),
        )]),
        Op::ListConfigVersions => operation(CONFIGS, "List the versions of a configuration")
            .more("The newest 200, or those before one.")
            .asks("before", about(natural(), "Only versions below this one."))
            .gives(vec![must("versions", list(of("ConfigVersion")))]),
        Op::GetConfigVersion => operation(CONFIGS, "Get a version of a configuration")
            .more("The bytes as they were uploaded.")
            .gives_bytes(&["application/octet-stream"]),

        Op::QueryAuditEvents => operation(AUDIT, "List what was done, the newest first")
            .takes(vec![
                must("filter", object(vec![may("timestamp", object(vec![
                    may("minimum", time()),
                    may("maximum", time()),
                ]))])),
                may("limit", between(1, 1024)),
                may("continuation", continuation("^[0-7][0-9a-f]{15}$", "0000000000000001")),
            ])
            .gives(vec![
                must("audit_events", list(of("AuditEvent"))),
                must("tenants", list(object(vec![must("id", hex(16)), must("name", any_text())]))),
                must("users", list(of("AuditUser"))),
                must("projects", list(of("AuditProject"))),
                must("datasets", list(any_object())),
                must("sources", list(any_object())),
                must("triggers", list(any_object())),
                may("continuation", any_text()),
            ]),
        Op::ListQuotas => operation(QUOTAS, "List quotas").gives(vec![must("quotas", list(of("Quota")))]),
        Op::SetQuota => operation(QUOTAS, "Set a quota").takes(vec![
            must("hard_limit", natural()),
            may("auto_increase_up_to", about(nullable(natural()), "Missing: it stays. Null: it goes.")),
        ]),
        _ => return None,
    })
}

pub(super) fn quota_kind() -> Value {
    one_of(&store::Quota::kinds().collect::<Vec<_>>())
}

fn changes() -> Vec<super::shape::Field> {
    let disabled = about(flag(), "Keeps them out at once, or lets them in again.");
    let mut changes = permissions();
    changes.push(may("disabled", disabled));
    changes
}

fn permissions() -> Vec<super::shape::Field> {
    vec![
        may("global_permissions", list(of("GlobalPermission"))),
        may(
            "organisation_permissions",
            about(map_of(list(of("ProjectPermission"))), "By the name of the project."),
        ),
    ]
}

fn config_version(besides: Field) -> Value {
    object(vec![
        besides,
        must("version", natural()),
        must("size", about(natural(), "In bytes.")),
        must("hash", any_text()),
        must("written_by", about(any_text(), "Name of a user.")),
        must("created_at", time()),
    ])
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let mut new_user = vec![
        must("username", matching("^[A-Za-z0-9_.@-]{1,256}$", "abc")),
        must(
            "email",
            json!({
                "type": "string", "minLength": 3, "maxLength": 320,
                "pattern": "^[^@\\s\\u0000-\\u001f\\u007f-\\u009f]+@[^@\\s\\u0000-\\u001f\\u007f-\\u009f]+$",
                "examples": ["abc@example.com"],
            }),
        ),
    ];
    new_user.extend(permissions());
    vec![
        (
            "Project",
            object(vec![
                must("id", hex(16)),
                must("name", matching("^[A-Za-z0-9_.-]{1,1024}$", "example")),
                must("title", any_text()),
                must("description", any_text()),
                must("created_at", time()),
                must("updated_at", time()),
                must("user_auto_join", flag()),
            ]),
        ),
        (
            "User",
            object(vec![
                must("id", hex(16)),
                must("username", any_text()),
                must("email", any_text()),
                must("created", time()),
                must("last_login_at", nullable(time())),
                must("global_permissions", list(of("GlobalPermission"))),
                must("sso_global_permissions", list(any_text())),
                must("sso_organisation_permissions", map_of(list(any_text()))),
                must("disabled", flag()),
                must("organisation_permissions", map_of(list(of("ProjectPermission")))),
                must("verified", flag()),
            ]),
        ),
        ("NewUser", object(new_user)),
        (
            "ProjectPermission",
            json!({
                "type": "string", "enum": crate::permissions::PROJECT,
                "description": "What somebody may do in one project.",
            }),
        ),
        (
            "GlobalPermission",
            json!({
                "description": "What somebody may do everywhere.",
                "anyOf": [
                    { "type": "string", "enum": crate::permissions::GLOBAL },
                    { "type": "string", "pattern": "^feature-.+", "examples": ["feature-x"] },
                ],
            }),
        ),
        ("ConfigEntry", config_version(must("name", any_text()))),
        ("ConfigVersion", config_version(must("current", flag()))),
        (
            "AuditEvent",
            object(vec![
                must("event_id", any_text()),
                must("event_type", any_text()),
                must("timestamp", time()),
                must("actor_user_id", any_text()),
                must("actor_tenant_id", any_text()),
                must("tenant_ids", list(any_text())),
                must("project_ids", list(any_text())),
                must("source_ids", list(any_text())),
                must("dataset_ids", list(any_text())),
            ]),
        ),
        (
            "AuditUser",
            object(vec![
                must("id", any_text()),
                must("tenant_id", any_text()),
                must("username", any_text()),
                must("email", any_text()),
                must("display_name", any_text()),
            ]),
        ),
        (
            "AuditProject",
            object(vec![
                must("id", any_text()),
                must("tenant_id", any_text()),
                must("name", any_text()),
            ]),
        ),
        (
            "Quota",
            object(vec![
                must("quota_kind", quota_kind()),
                must("hard_limit", natural()),
                must("current_max_usage", natural()),
                may("auto_increase_up_to", natural()),
            ]),
        ),
    ]
}
