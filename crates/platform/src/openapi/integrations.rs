//! Integrations, and the mails of the platform's own that wait.

use serde_json::{Value, json};

use super::shape::{
    Field, Operation, about, any_object, any_text, between, flag, hex, list, matching, may, must,
    natural, nullable, object, of, one_of, operation, text, time,
};
use crate::routes::Op;

const INTEGRATIONS: &str = "Integrations";
const MAILS: &str = "Mails";
/// What has one `@` and nothing that could end it in a header.
const ADDRESS: &str = "^[^@\\s<>,;\"\\u0000-\\u001f\\u007f-\\u009f]+@\
                       [^@\\s<>,;\"\\u0000-\\u001f\\u007f-\\u009f]+$";
const SECRET: &str = "Never given out. Absent: it stays; null: it is forgotten.";

pub(super) fn operation_of(op: Op) -> Option<Operation> {
    let integration = || vec![must("integration", of("Integration"))];
    Some(match op {
        Op::ListIntegrations => operation(INTEGRATIONS, "List integrations")
            .more("Those that the token may read. `/api/_private/integrations/{project}` lists those of one project. A request without `User-Agent` is not shown those that the official client cannot read; `left_out` counts them.")
            .gives(vec![must("integrations", list(of("Integration"))), may("left_out", natural())]),
        Op::GetIntegration => operation(INTEGRATIONS, "Get an integration").gives(integration()),
        Op::CreateIntegration => operation(INTEGRATIONS, "Create an integration")
            .more("The path gives its full name, `owner/name`; an id is refused. Buckets that its mailboxes name are made if they are not there.")
            .takes(vec![must("integration", object(vec![
                may("integration_type", one_of(&["exchange_online"])),
                may("title", about(text(0, 256), "Default: the name.")),
                may("enabled", about(flag(), "Default: true.")),
                may("disabled_reason", nullable(reason())),
                must("configuration", of("NewIntegrationConfiguration")),
            ]))])
            .gives(integration())
            .refuses(&[409, 422]),
        Op::UpdateIntegration => operation(INTEGRATIONS, "Change an integration")
            .more("Secrets that are kept go nowhere else: a connection that leads to another place or signs in as somebody else needs them again, or null.")
            .takes(vec![must("integration", object(vec![
                may("title", text(0, 256)),
                may("enabled", flag()),
                may("configuration", of("NewIntegrationConfiguration")),
                may("updated_at", about(time(), "Of the version that was read: if it is another one by now, 409.")),
            ]))])
            .gives(integration())
            .refuses(&[409, 422]),
        Op::DeleteIntegration => operation(INTEGRATIONS, "Delete an integration")
            .more("The buckets stay."),
        Op::IntegrationErrors => operation(INTEGRATIONS, "List what an integration failed at")
            .more("The newest first.")
            .gives(vec![must("errors", list(of("IntegrationError")))]),
        Op::IntegrationConfig => operation(INTEGRATIONS, "Write an integration as the configuration of an appliance")
            .more("To be saved. It holds no secrets.")
            .gives_json(any_object()),
        Op::ValidateExchange => operation(INTEGRATIONS, "Try credentials for Exchange")
            .more("Needs `integrations-write` in some project. Reads one mailbox, and writes nothing.")
            .takes(vec![
                must("connection", of("NewConnection")),
                may("test_mailbox", about(text(3, 320), "Default: the user name, if it is an address.")),
                may("integration_id", about(hex(16), "Whose secrets stand in for those that the connection does not name.")),
            ])
            .gives(vec![must("result", object(vec![
                must("kind", one_of(&["ok", "error"])),
                must("message", nullable(any_text())),
                must("steps", list(object(vec![
                    must("check", any_text()),
                    must("outcome", any_text()),
                    must("detail", any_text()),
                    must("advice", nullable(any_text())),
                ]))),
            ]))])
            .refuses(&[403, 422]),
        Op::ListMails => operation(MAILS, "List the mails that wait to be sent")
            .more("The newest first. They are held as long as no mail server is configured, and dropped when they expire.")
            .asks("limit", about(between(1, 200), "Most of the page. Default: 50."))
            .asks("before", about(natural(), "The `continuation` of the page before."))
            .gives(vec![
                must("mails", list(of("WaitingMail"))),
                must("system_mail", one_of(&["not_configured"])),
                may("continuation", any_text()),
            ]),
        Op::DeleteMail => operation(MAILS, "Drop a mail that waits"),
        Op::WelcomeEmail => operation(MAILS, "Welcome a user by mail")
            .takes(Vec::new())
            .refuses(&[422]),
        _ => return None,
    })
}

fn reason() -> Value {
    one_of(&["user", "quota", "sync_error"])
}

/// Of what a request says, null is the same as nothing.
fn own(stored: bool, shape: Value) -> Value {
    if stored { shape } else { nullable(shape) }
}

/// A secret is in requests only.
fn secret(stored: bool, name: &'static str, most: usize) -> Option<Field> {
    (!stored).then(|| may(name, about(nullable(text(1, most)), SECRET)))
}

fn connection(stored: bool) -> Value {
    let kind = |name: &str| must("kind", one_of(&[name]));
    let with = |mut fields: Vec<Field>, secret: Option<Field>| {
        fields.extend(secret);
        object(fields)
    };
    let tenant =
        || must("tenant_id", matching("^[A-Za-z0-9.-]{0,255}[A-Za-z0-9-]$", "contoso.com"));
    let client = || must("client_id", text(1, 256));
    let thumbprint = "^([0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$";
    let example = "0123456789abcdef0123456789abcdef01234567";
    let access = json!({ "anyOf": [
        object(vec![kind("app_access")]),
        with(
            vec![kind("user_access"), must("username", text(1, 320))],
            secret(stored, "password", 1024),
        ),
    ]});
    let application = json!({ "anyOf": [
        with(vec![kind("custom"), tenant(), client()], secret(stored, "client_secret", 1024)),
        with(
            vec![
                kind("private_key"),
                tenant(),
                client(),
                must("thumbprint", matching(thumbprint, example)),
            ],
            secret(stored, "private_key", 32 * 1024),
        ),
        about(object(vec![kind("ntlm")]), "Only with `user_access` and an `ews_endpoint`."),
    ]});
    let endpoint = matching(
        "^https?://[A-Za-z0-9][A-Za-z0-9.-]{0,255}(:[0-9]{1,4})?(/[!-~]{0,1024})?$",
        "https://mail.example.com/EWS/Exchange.asmx",
    );
    let api = object(vec![must("kind", one_of(&["graph", "ews"]))]);
    object(vec![
        must("access", access),
        must("application", application),
        may("ews_endpoint", own(stored, endpoint)),
        may("microsoft_api", own(stored, api)),
        may("build_version", own(stored, text(0, 64))),
    ])
}

fn mailbox(stored: bool) -> Value {
    let entries =
        |of: Value| own(stored, json!({ "type": "array", "maxItems": 1024, "items": of }));
    let folder =
        || json!({ "type": "array", "minItems": 1, "maxItems": 64, "items": text(1, 255) });
    let folders = || about(entries(folder()), "Each the names from the top of the mailbox.");
    let people = || entries(text(1, 320));
    let domains = || entries(text(1, 255));
    let address = json!({
        "type": "string", "maxLength": 320, "pattern": ADDRESS, "examples": ["a@example.com"],
    });
    let title =
        if stored { must("title", text(0, 128)) } else { may("title", own(false, text(0, 128))) };
    object(vec![
        must("email", address),
        must("enabled", flag()),
        may("disabled_reason", own(stored, reason())),
        may("folder_allowlist", folders()),
        may("folder_denylist", folders()),
        may("participant_allowlist", people()),
        may("participant_denylist", people()),
        may("participant_domain_allowlist", domains()),
        may("participant_domain_denylist", domains()),
        may("start_timestamp", own(stored, time())),
        must(
            "bucket_specification",
            object(vec![
                must("project_name", matching("^[A-Za-z0-9_.-]{1,1024}$", "own")),
                must("name", matching("^[A-Za-z0-9_-]{1,256}$", "mail")),
                title,
            ]),
        ),
    ])
}

fn configuration(stored: bool) -> Value {
    let (connection, mailbox) =
        if stored { ("Connection", "Mailbox") } else { ("NewConnection", "NewMailbox") };
    let mailboxes = about(list(of(mailbox)), "No address twice.");
    object(vec![may("connection", own(stored, of(connection))), must("mailboxes", mailboxes)])
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        (
            "Integration",
            object(vec![
                must("id", hex(16)),
                must("owner", any_text()),
                must("name", any_text()),
                must("title", any_text()),
                must("type", one_of(&["exchange_online"])),
                must("enabled", flag()),
                must("disabled_reason", nullable(reason())),
                must("created_at", time()),
                must("updated_at", time()),
                must("stored_secrets", list(one_of(&["password", "client_secret", "private_key"]))),
                must("configuration", of("IntegrationConfiguration")),
            ]),
        ),
        ("IntegrationConfiguration", configuration(true)),
        ("NewIntegrationConfiguration", configuration(false)),
        ("Connection", connection(true)),
        ("NewConnection", connection(false)),
        ("Mailbox", mailbox(true)),
        ("NewMailbox", mailbox(false)),
        (
            "IntegrationError",
            object(vec![
                must("id", any_text()),
                must("kind", any_text()),
                must(
                    "action",
                    about(
                        json!({
                            "type": "object", "additionalProperties": true,
                            "properties": {
                                "kind": any_text(),
                                "mailbox_name": any_text(),
                                "bucket_id": hex(16),
                            },
                        }),
                        "What it was doing, and to what.",
                    ),
                ),
                must("full_error_text", any_text()),
                must("created_at", time()),
            ]),
        ),
        (
            "WaitingMail",
            object(vec![
                must("id", hex(16)),
                must("kind", one_of(&["appliance_config_updated", "welcome"])),
                must("recipient", any_text()),
                must("subject", any_text()),
                must("text", any_text()),
                must("status", one_of(&["held"])),
                must("created_at", time()),
                must("expires_at", time()),
            ]),
        ),
    ]
}
