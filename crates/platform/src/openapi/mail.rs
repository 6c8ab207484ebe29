//! Buckets, emails and how far appliances are.

use serde_json::{Value, json};

use super::shape::{
    Operation, about, any_text, between, continuation, flag, hex, inner_text, list, matching, may,
    must, natural, nullable, object, of, one_of, operation, text, time,
};
use crate::routes::Op;

const BUCKETS: &str = "Buckets";
const EMAILS: &str = "Emails";
const ORIGINALS: &str = "Original messages";
/// What a continuation of emails looks like: a time in microseconds, and a number.
const AFTER: &str = "^after-(0|-?[1-9][0-9]{0,17})-(0|[1-9][0-9]{0,17})$";
const STATES: &str = "Sync states";

pub(super) fn operation_of(op: Op) -> Option<Operation> {
    Some(match op {
        Op::ListBuckets => operation(BUCKETS, "List buckets")
            .more("Those whose emails the token may count. `/api/_private/buckets/{project}` lists those of one project.")
            .gives(vec![must("buckets", list(of("Bucket")))]),
        Op::GetBucket => operation(BUCKETS, "Get a bucket").gives(vec![must("bucket", of("Bucket"))]),
        Op::CreateBucket => operation(BUCKETS, "Create a bucket")
            .more("The path gives its full name, `owner/name`; an id is refused.")
            .takes(vec![must("bucket", object(vec![
                must("bucket_type", one_of(&["emails"])),
                may("title", text(0, 128)),
            ]))])
            .gives(vec![must("bucket", of("Bucket"))])
            .refuses(&[409, 422]),
        Op::UpdateBucket => operation(BUCKETS, "Change a bucket")
            .takes(vec![must("bucket", object(vec![
                may("title", text(0, 128)),
                may("last_updated_by", of("Appliance")),
            ]))])
            .gives(vec![must("bucket", of("Bucket"))]),
        Op::DeleteBucket => operation(BUCKETS, "Delete a bucket with its emails"),
        Op::BucketStatistics => operation(BUCKETS, "Count the emails of a bucket").gives(vec![must(
            "statistics",
            object(vec![must("count", object(vec![
                must("kind", one_of(&["exact"])),
                must("value", natural()),
            ]))]),
        )]),
        Op::BucketVolume => operation(BUCKETS, "Count the emails of a bucket by the time they were sent")
            .more("Spans are in UTC and begin at multiples of their length since 1970; those without emails are left out.")
            .asks("interval", about(one_of(&["hour", "day", "week"]), "Length of a span; `day` if missing."))
            .asks("from", about(time(), "Inclusive; 30 days before `to` if missing."))
            .asks("to", about(time(), "Exclusive; now if missing."))
            .gives(vec![
                must("interval", one_of(&["hour", "day", "week"])),
                must("volume", list(object(vec![must("timestamp", time()), must("count", natural())]))),
                must("first", nullable(time())),
                must("last", nullable(time())),
            ]),
        Op::PutEmails => operation(EMAILS, "Upload emails")
            .more("An email with the id of one that is there replaces it. All of them are stored, or none.")
            .asks("no_charge", flag())
            .takes(vec![must("emails", list(of("NewEmail")))]),
        Op::ListEmails => operation(EMAILS, "List emails, the oldest uploads first")
            .takes(page_fields())
            .gives(vec![must("emails", list(of("Email"))), may("continuation", any_text())]),
        Op::QueryEmails => operation(EMAILS, "List emails by time, the oldest first")
            .takes({
                let mut fields = page_fields();
                fields.push(may("from_timestamp", time()));
                fields.push(may("to_timestamp", time()));
                fields.push(may("mailbox_name", text(1, 1024)));
                fields
            })
            .gives(vec![
                must("emails", list(of("Email"))),
                must("more_results", flag()),
                may("continuation", any_text()),
            ]),
        Op::GetEmail => operation(EMAILS, "Get an email")
            .more("A list of one, or of none.")
            .asks("id", about(any_text(), "The id of the email, as it was uploaded. Required."))
            .gives(vec![must("emails", list(of("Email")))]),
        Op::DeleteEmails => operation(EMAILS, "Delete emails")
            .asks("id", about(list(any_text()), "The ids, 1 to 1,000, each as a parameter of its own. Required.")),
        Op::PutAttachment => operation(EMAILS, "Upload the content of an attachment")
            .takes_file()
            .gives(vec![must("content_hash", hex(64))]),
        Op::GetOriginal => operation(ORIGINALS, "Look into an email")
            .more("Headers, text and the list of attachments, as the sender made them. All of it is a stranger's text.")
            .gives(vec![must("original", of("Original"))])
            .refuses(&[422]),
        Op::GetOriginalHtml => operation(ORIGINALS, "Show an email")
            .more("A document for a sandboxed frame: cleaned, under a policy that lets nothing run or load.")
            .asks("remote", about(one_of(&["none", "images"]), "Whether pictures may be loaded from other servers, which tells them that the email is read. Default: `none`."))
            .gives_bytes(&["text/html"])
            .refuses(&[422]),
        Op::GetOriginalPart => operation(ORIGINALS, "Download an attachment out of an email")
            .more("Always to be saved. The type is `application/octet-stream` unless the content is a picture.")
            .gives_bytes(&["application/octet-stream", "image/png", "image/jpeg", "image/gif", "image/webp"])
            .refuses(&[422]),
        Op::GetOriginalRaw => operation(ORIGINALS, "Download a raw email").gives_bytes(&["message/rfc822"]),
        Op::GetSyncState => operation(STATES, "Get the sync state of a bucket")
            .more("The `ETag` of the answer tells the version.")
            .gives(vec![must("bucket_sync_state", of("SyncState"))]),
        Op::PutSyncState => operation(STATES, "Replace the sync state of a bucket")
            .more("With `If-Match` or `If-None-Match`, only if it is the one that the request expects.")
            .takes(vec![must("bucket_sync_state", of("NewSyncState"))])
            .refuses(&[412]),
        Op::ListKeyedSyncStates => operation(STATES, "List the keyed sync states of a bucket")
            .gives(vec![must("keyed_sync_states", list(of("KeyedSyncState")))]),
        Op::GetKeyedSyncState => operation(STATES, "Get a keyed sync state")
            .gives(vec![must("keyed_sync_state", of("KeyedSyncState"))]),
        Op::PutKeyedSyncState => operation(STATES, "Write a keyed sync state")
            .takes(vec![must("keyed_sync_state", of("NewKeyedSyncState"))]),
        Op::DeleteKeyedSyncState => operation(STATES, "Delete a keyed sync state"),
        Op::KeyedSyncStateIds => operation(STATES, "List the keys of a mailbox")
            .takes(vec![must("mailbox_name", text(1, 1024))])
            .gives(vec![must("keyed_sync_state_ids", list(matching("^[0-9a-f]{1,1024}$", "00ff")))]),
        _ => return None,
    })
}

fn page_fields() -> Vec<super::shape::Field> {
    let limit = about(between(1, 256), "Most emails of the page. Default: 64.");
    vec![may("continuation", continuation(AFTER, "after-0-0")), may("limit", limit)]
}

/// What of an email came beside its content.
fn metadata() -> Value {
    let text = any_text;
    object(vec![
        may("sensitivity", text()),
        may("importance", text()),
        may("conversation_id", text()),
        may("conversation_topic", text()),
        may("categories", list(text())),
        may("folder", about(list(text()), "The names of the folders, the outermost first.")),
        may("has_attachments", flag()),
        may("is_read", flag()),
        may("size", natural()),
        may("received_at", time()),
    ])
}

fn email(stored: bool) -> Value {
    let known = if stored { nullable(of("Metadata")) } else { of("Metadata") };
    let field = if stored { must } else { may };
    let mut fields = vec![
        must(
            "id",
            about(text(1, 4096), "The `Message-ID` with its brackets, or what stands for it."),
        ),
        must("mailbox", text(1, 1024)),
        must("timestamp", about(time(), "When it was sent.")),
        field("metadata", known),
        field("attachments", list(of("ListedAttachment"))),
        must(
            "mime_content",
            about(
                json!({ "type": "string", "pattern": "^[^\\u0000]*$" }),
                "The whole email, RFC 5322.",
            ),
        ),
    ];
    if stored {
        fields.extend([must("created_at", time()), must("updated_at", time())]);
    }
    object(fields)
}

fn keyed(stored: bool) -> Value {
    let moment = || nullable(time());
    let field = if stored { must } else { may };
    let mut shape = object(vec![
        must("mailbox_name", text(1, 1024)),
        may("folder_id", text(1, 4096)),
        may("folder_path", list(text(0, 1024 * 1024))),
        must("status", one_of(&["IN_PROGRESS", "UP_TO_DATE"])),
        may("synced_until", moment()),
        may("fingerprint", moment()),
        field("last_synced_at", time()),
    ]);
    // A folder has both, or it is the state of the mailbox.
    if let Some(map) = shape.as_object_mut() {
        let both = json!({ "folder_id": ["folder_path"], "folder_path": ["folder_id"] });
        map.insert("dependentRequired".to_owned(), both);
    }
    shape
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let html = object(vec![
        must(
            "state",
            about(
                one_of(&["shown", "too_large", "too_deep"]),
                "Unless it is `shown`, the document shows the text instead.",
            ),
        ),
        must("blocked", about(natural(), "Pictures on other servers, which are not loaded.")),
        must("links", natural()),
        must("inline_pictures", natural()),
    ]);
    vec![
        (
            "Bucket",
            object(vec![
                must("id", hex(16)),
                must("owner", about(any_text(), "The name of its project.")),
                must("name", matching("^[A-Za-z0-9_-]{1,256}$", "mail")),
                must("title", any_text()),
                must("created_at", time()),
                must("updated_at", time()),
                may("last_updated_by", of("Appliance")),
            ]),
        ),
        (
            "Appliance",
            about(
                object(vec![
                    must("config_owner", any_text()),
                    must("config_key", any_text()),
                    must("shard_index", about(natural(), "Less than `num_shards`.")),
                    must("num_shards", natural()),
                ]),
                "The appliance that fills a bucket.",
            ),
        ),
        ("Metadata", metadata()),
        (
            "ListedAttachment",
            object(vec![
                must("name", inner_text(256)),
                must("size", natural()),
                must("content_type", inner_text(256)),
                may("inline", flag()),
                may("attachment_reference", inner_text(128)),
                may("content_hash", hex(64)),
            ]),
        ),
        ("NewEmail", email(false)),
        ("Email", email(true)),
        (
            "SyncState",
            object(vec![
                must("sync_state", any_text()),
                must("progress_timestamp", nullable(time())),
                must("last_synced_at", nullable(time())),
            ]),
        ),
        (
            "NewSyncState",
            object(vec![
                must("sync_state", json!({ "type": "string", "pattern": "^[^\\u0000]*$" })),
                may("progress_timestamp", nullable(time())),
                may("last_synced_at", nullable(time())),
            ]),
        ),
        ("KeyedSyncState", keyed(true)),
        ("NewKeyedSyncState", keyed(false)),
        ("Header", object(vec![must("name", any_text()), must("value", any_text())])),
        (
            "OriginalPart",
            object(vec![
                must("index", about(natural(), "Its place in the path that downloads it.")),
                must("name", any_text()),
                must("content_type", about(any_text(), "As the sender says.")),
                must("size", natural()),
                may("content_hash", hex(64)),
                must("inline", flag()),
                may("content_id", any_text()),
                may(
                    "shown_as",
                    about(
                        one_of(&["image/png", "image/jpeg", "image/gif", "image/webp"]),
                        "Only if it is such a picture by its content.",
                    ),
                ),
            ]),
        ),
        ("OriginalHtml", html),
        (
            "Original",
            object(vec![
                must("email_id", any_text()),
                must("size", about(natural(), "Bytes of the raw email.")),
                must("headers", list(of("Header"))),
                must("text", any_text()),
                must("text_cut", flag()),
                must("html", about(nullable(of("OriginalHtml")), "Null if there is none.")),
                must("parts", list(of("OriginalPart"))),
                must("notes", about(list(any_text()), "What had to be left out or guessed.")),
            ]),
        ),
    ]
}
