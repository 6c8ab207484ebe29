//! Sources and comments.

use serde_json::{Value, json};

use super::shape::{
    Field, Operation, about, any_object, any_text, between, flag, hex, inner_text, list, map_of,
    matching, may, must, natural, nullable, object, of, one_of, operation, text, time,
};
use crate::routes::Op;

const SOURCES: &str = "Sources";
const COMMENTS: &str = "Comments";

pub(super) fn operation_of(op: Op) -> Option<Operation> {
    sources(op).or_else(|| comments(op))
}

fn sources(op: Op) -> Option<Operation> {
    let source = || vec![must("source", of("Source"))];
    Some(match op {
        Op::ListSources => operation(SOURCES, "List sources")
            .more("Those that the token may read. `/api/v1/sources/{project}` lists those of one project.")
            .gives(vec![must("sources", list(of("Source")))]),
        Op::GetSource => operation(SOURCES, "Get a source").gives(source()),
        Op::CreateSource => operation(SOURCES, "Create a source")
            .more("The path gives its full name, `owner/name`; an id is refused. Attaching a bucket needs `buckets-items-read` in the project of the bucket.")
            .takes(vec![must("source", of("NewSource"))])
            .gives(source())
            .refuses(&[409, 422]),
        Op::UpdateSource => operation(SOURCES, "Change a source")
            .more("Another bucket, tag or version lets all emails of the bucket be converted anew. `\"bucket_id\": null` detaches; the comments stay.")
            .takes(vec![must("source", of("NewSource"))])
            .gives(source())
            .refuses(&[422]),
        Op::DeleteSource => operation(SOURCES, "Delete a source with its comments"),
        Op::SourceStatistics => operation(SOURCES, "Count comments")
            .takes(vec![must("comment_filter", of("CommentFilter"))])
            .gives(vec![must("statistics", object(vec![must("num_comments", natural())]))]),
        Op::ListThreads => paged(operation(SOURCES, "List the threads of a source"))
            .gives(vec![
                must("threads", list(object(vec![
                    must("thread_id", any_text()),
                    must("num_comments", natural()),
                ]))),
                may("continuation", any_text()),
            ]),
        Op::ListTransformTags => operation(SOURCES, "List the transform tags")
            .gives(vec![must("email_transform_tags", list(tag(true)))]),
        Op::GetTransformTag => operation(SOURCES, "Explain a transform tag")
            .gives(vec![must("email_transform_tag_info", tag(false))])
            .refuses(&[422]),
        Op::GetConversion => operation(SOURCES, "Tell how far emails have become comments")
            .gives(vec![must("conversion", of("Conversion"))]),
        Op::RetryConversion => operation(SOURCES, "Convert emails that were set aside once more")
            .takes(Vec::new())
            .gives(vec![must("retried", natural())]),
        _ => return None,
    })
}

/// How a file is written.
fn written(operation: Operation) -> Operation {
    let found = "Found out if it is not named.";
    operation
        .asks("encoding", about(matching("^[A-Za-z0-9:_-]{1,64}$", "utf-8"), found))
        .asks("delimiter", about(one_of(&[",", ";", "\t", "|"]), found))
}

fn csv_columns(operation: Operation) -> Operation {
    let column = |what: &str| about(any_text(), what);
    operation
        .asks("text", column("Column of the text of the body. Required."))
        .asks("timestamp", column("Column of the time; without a zone it is UTC. Required."))
        .asks("id", column("Column of the id; without one, it is made of the row."))
        .asks("subject", column("Column of the subject."))
        .asks("from", column("Column of the sender."))
        .asks("to", column("Column of recipients, separated by semicolons."))
        .asks("cc", column("As `to`."))
        .asks("bcc", column("As `to`."))
        .asks("thread_id", column("Column of the thread's id."))
        .asks("string", about(list(any_text()), "Columns that become user properties of their names, each as a parameter of its own."))
        .asks("number", about(list(any_text()), "The same, as numbers."))
}

fn comments(op: Op) -> Option<Operation> {
    let counts = || {
        let part = |meaning| about(natural(), meaning);
        vec![
            must("new", natural()),
            must("updated", natural()),
            must("unchanged", natural()),
            must("updated_properties_only", part("Of `updated`: only user properties changed.")),
            must("updated_text_changed", part("Of `updated`: a text changed.")),
        ]
    };
    let new = || vec![must("comments", at_most(16_384, of("NewComment")))];
    Some(match op {
        Op::PutComments => operation(COMMENTS, "Upload comments without replacing any unseen")
            .more("A comment that is there and differs is replaced only with the `context` that it was read with last. All of them are stored, or none.")
            .asks("no_charge", flag())
            .takes(new())
            .refuses(&[409]),
        Op::SyncComments => operation(COMMENTS, "Upload comments, and replace what is there")
            .asks("no_charge", flag())
            .takes(new())
            .gives(counts()),
        Op::SyncRawEmails => operation(COMMENTS, "Upload emails in pieces, as comments")
            .asks("no_charge", flag())
            .takes(vec![
                must("documents", at_most(4096, of("RawDocument"))),
                may("transform_tag", tag_name()),
                may("include_comments", flag()),
                may("override_user_properties", at_most(1024, inner_text(128))),
            ])
            .gives({
                let mut fields = counts();
                fields.push(may("comments", list(of("NewComment"))));
                fields
            })
            .refuses(&[422]),
        Op::SniffCsv => written(operation(COMMENTS, "Look into a CSV file"))
            .more("Nothing is stored. Of at most 32 MiB, 1,024 columns and 4 MiB in a row; the first line names the columns.")
            .takes_file()
            .refuses(&[422])
            .gives(vec![
                must("columns", list(any_text())),
                must("encoding", any_text()),
                must("delimiter", any_text()),
                must("kinds", about(
                    list(one_of(&["empty", "number", "date", "address", "text", "property"])),
                    "What each column looks like.",
                )),
                must("rows", about(list(list(any_text())), "The first ten, long values cut.")),
            ]),
        Op::SyncCsv => csv_columns(written(operation(COMMENTS, "Upload a CSV file, a comment a row")))
            .more("The parameters name columns of the file. All rows are read before the first is stored: a row that cannot be a comment is refused with its line, and nothing is stored. Rows are then stored, at most 4,096 at a time, and replace comments of the same id, so that the same file can be sent again. At most 32 MiB, 65,536 rows, 1,024 columns and 4 MiB in a row.")
            .asks("no_charge", flag())
            .asks("date_order", about(one_of(&["dmy", "mdy"]), "What comes first in `02/03/2026`. Without it, such a date is refused."))
            .takes_file()
            .refuses(&[422])
            .gives(counts()),
        Op::ListComments => paged(operation(COMMENTS, "List comments by time, the oldest first"))
            .asks("from_timestamp", about(time(), "Inclusive."))
            .asks("to_timestamp", about(time(), "Inclusive."))
            .asks("direction", about(one_of(&["asc", "desc"]), "Default: `asc`."))
            .asks("include_markup", flag())
            .asks("include_thread_properties", flag())
            .gives(vec![
                must("comments", list(of("Comment"))),
                may("continuation", any_text()),
                may("thread_properties", about(list(of("ThreadProperties")), "In the order of the comments.")),
            ]),
        Op::GetComment => operation(COMMENTS, "Get a comment")
            .asks("include_markup", flag())
            .gives(vec![must("comment", of("Comment"))]),
        Op::DeleteComments => operation(COMMENTS, "Delete comments")
            .more("Those that are gone are no error. At most 1,000 ids, at least one.")
            .asks("id", about(list(any_text()), "Ids, each as a parameter of its own."))
            .asks("ids", about(any_text(), "Ids, separated by commas.")),
        Op::PutCommentAttachment => operation(COMMENTS, "Upload the content of an attachment")
            .more("Before the comment itself or after it.")
            .takes_file()
            .gives(vec![must("content_hash", hex(64))]),
        Op::PutAudio => operation(COMMENTS, "Upload the audio of a comment").takes_file(),
        Op::GetAudio => operation(COMMENTS, "Download the audio of a comment")
            .gives_bytes(&["application/octet-stream"]),
        Op::GetAttachment => operation(COMMENTS, "Download an attachment of a comment")
            .more("The `attachment_reference` is that of the comment.")
            .gives_bytes(&["application/octet-stream"]),
        _ => return None,
    })
}

fn paged(operation: Operation) -> Operation {
    operation
        .asks("limit", about(between(1, 256), "Most of the page. Default: 64."))
        .asks("after", about(any_text(), "The `continuation` of the page before."))
}

fn at_most(most: usize, of: Value) -> Value {
    json!({ "type": "array", "maxItems": most, "items": of })
}

fn tag_name() -> Value {
    let names: Vec<&str> = comment::Transform::TAGS.iter().map(|(name, _)| *name).collect();
    one_of(&names)
}

fn tag(named: bool) -> Value {
    let mut fields = vec![
        must("text_format", one_of(&["plain", "markdown"])),
        may("rich_text_upgrade_tag", about(any_text(), "Makes the same text, with markup.")),
    ];
    fields.extend(named.then(|| must("tag", tag_name())));
    object(fields)
}

fn source(stored: bool) -> Value {
    let field = if stored { must } else { may };
    let own = |shape: Value| if stored { shape } else { nullable(shape) };
    let mut fields = vec![
        field("title", text(0, 128)),
        field("description", text(0, 16_384)),
        field("language", about(one_of(&["en", "de", "xlm"]), "`xlm`: any.")),
        field("should_translate", flag()),
        field("sensitive_properties", at_most(4096, text(1, 128))),
        field("_kind", one_of(&["call", "chat", "unknown", "ixp_design", "ixp_runtime"])),
        may("bucket_id", own(hex(16))),
        may("email_transform_tag", own(tag_name())),
        may("email_transform_version", own(between(0, 1024))),
    ];
    if stored {
        fields.extend([
            must("id", hex(16)),
            must("owner", any_text()),
            must("name", any_text()),
            must("created_at", time()),
            must("updated_at", time()),
            must("last_modified", about(time(), "Of the source or of a comment in it.")),
        ]);
    }
    object(fields)
}

fn content() -> Value {
    let markup = || nullable(at_most(4096, any_object()));
    object(vec![
        must("text", inner_text(65_536)),
        may("translated_from", nullable(inner_text(65_536))),
        may("text_markup", markup()),
        may("translated_from_markup", markup()),
    ])
}

fn message() -> Value {
    let people = || nullable(at_most(2048, inner_text(512)));
    object(vec![
        must("body", of("CommentText")),
        may("subject", nullable(of("CommentText"))),
        may("signature", nullable(of("CommentText"))),
        may("from", nullable(json!({ "type": "string", "minLength": 1, "maxLength": 512 }))),
        may("to", people()),
        may("cc", people()),
        may("bcc", people()),
        may("sent_at", nullable(time())),
        may("language", nullable(inner_text(8))),
    ])
}

fn properties() -> Value {
    json!({
        "type": "object",
        "maxProperties": 1024,
        "description": "By `string:<name>` or `number:<name>`.",
        "additionalProperties": false,
        "patternProperties": {
            "^string:[A-Za-z0-9_][A-Za-z0-9_ -]{0,63}$": { "type": "string", "maxLength": 65_536 },
            "^number:[A-Za-z0-9_][A-Za-z0-9_ -]{0,63}$": { "type": "number" },
        },
    })
}

fn shown_properties() -> Value {
    map_of(json!({ "type": ["string", "number"] }))
}

fn attachment() -> Value {
    object(vec![
        must("name", inner_text(256)),
        must("size", natural()),
        must("content_type", inner_text(256)),
        may("inline", flag()),
        may("content_hash", nullable(hex(64))),
        may(
            "attachment_reference",
            nullable(matching("^[A-Za-z0-9_-]{0,128}$", "00000000000000aa-e01-0")),
        ),
    ])
}

fn comment(stored: bool) -> Value {
    let id = json!({ "type": "string", "minLength": 1, "maxLength": 1024, "pattern": "^[!-~]+$" });
    let properties = if stored { shown_properties() } else { properties() };
    let mut fields: Vec<Field> = vec![
        must("id", if stored { any_text() } else { id }),
        must("timestamp", time()),
        must(
            "messages",
            json!({
                "type": "array", "minItems": 1, "maxItems": 1, "items": of("Message"),
            }),
        ),
        may("thread_id", nullable(text(1, 2056))),
        may("user_properties", nullable(properties)),
        may("text_format", one_of(&["plain", "markdown"])),
        may("attachments", at_most(128, of("CommentAttachment"))),
        may(
            "context",
            about(
                nullable(any_text()),
                "The version of the comment; a `PUT` that shows the newest may replace it.",
            ),
        ),
    ];
    if stored {
        fields.extend([
            must("uid", about(any_text(), "`<source_id>.<id>`")),
            must("source_id", hex(16)),
            must("created_at", time()),
            must("last_modified", time()),
            must("has_annotations", flag()),
        ]);
    }
    object(fields)
}

fn filter() -> Value {
    let number = || json!({ "type": "number" });
    let values = || at_most(1024, json!({ "type": ["string", "number"] }));
    let wanted = || {
        object(vec![
            may("one_of", values()),
            may("not_one_of", values()),
            may("domain_not_one_of", values()),
            may("minimum", number()),
            may("maximum", number()),
        ])
    };
    object(vec![
        may(
            "timestamp",
            object(vec![
                may("minimum", about(time(), "Inclusive.")),
                may("maximum", about(time(), "Inclusive.")),
            ]),
        ),
        may("sources", list(any_text())),
        may("user_properties", map_of(wanted())),
        may("messages", object(vec![may("from", wanted()), may("to", wanted())])),
        may("attachments", object(vec![may("has_attachments", flag())])),
        may("reviewed", one_of(&["only_reviewed", "only_unreviewed"])),
    ])
}

fn raw_document() -> Value {
    let header = json!({
        "oneOf": [
            object(vec![must("raw", inner_text(65_536))]),
            object(vec![must("parsed", about(any_object(), "Header fields by name: strings, numbers, or arrays of these."))]),
        ],
    });
    object(vec![
        must(
            "raw_email",
            object(vec![
                must("headers", header),
                must(
                    "body",
                    object(vec![
                        may("plain", inner_text(65_536)),
                        may("html", inner_text(33_554_432)),
                    ]),
                ),
                may("attachments", at_most(128, of("CommentAttachment"))),
            ]),
        ),
        may("comment_id", about(any_text(), "Default: the hex of the `Message-ID`.")),
        may("user_properties", properties()),
    ])
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let aside = object(vec![
        must("email_id", any_text()),
        must("content_hash", hex(64)),
        must("reason", any_text()),
        must("at", time()),
    ]);
    let number = || json!({ "type": "number" });
    vec![
        ("Source", source(true)),
        ("NewSource", source(false)),
        ("CommentText", content()),
        ("Message", message()),
        ("CommentAttachment", attachment()),
        ("Comment", comment(true)),
        ("NewComment", comment(false)),
        ("CommentFilter", filter()),
        ("RawDocument", raw_document()),
        (
            "ThreadProperties",
            object(vec![
                may("duration", about(number(), "Seconds from the first comment to the last.")),
                may(
                    "response_time",
                    about(nullable(number()), "Seconds until somebody else wrote."),
                ),
                may("num_messages", natural()),
                may("num_participants", natural()),
                may("first_sender", nullable(any_text())),
                may("thread_position", about(nullable(natural()), "From 0.")),
            ]),
        ),
        (
            "Conversion",
            object(vec![
                must("total", about(natural(), "Emails in the bucket.")),
                must("converted", natural()),
                must("waiting", natural()),
                must("quarantined", about(natural(), "Emails that could not be converted.")),
                must(
                    "scanning",
                    about(flag(), "Older emails of the bucket are being put into the queue."),
                ),
                must("quarantine", about(list(aside), "The last 100 of those.")),
            ]),
        ),
    ]
}
