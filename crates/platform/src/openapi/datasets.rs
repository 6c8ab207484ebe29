//! Datasets and streams.

use serde_json::{Value, json};

use super::shape::{
    Body, Field, Operation, about, any, any_object, any_text, between, flag, hex, list, matching,
    may, must, natural, nullable, object, of, one_of, operation, text, time,
};
use crate::routes::Op;

const DATASETS: &str = "Datasets";
const STREAMS: &str = "Streams";
pub(super) const NOTHING: &str = "Taken from clients that ask; nothing is predicted here.";
/// Where a reader of a stream is.
const PLACE: &str = "^(0|[0-9a-f]{16}-[0-9a-f]{1,15}-[0-9a-f]{1,15}\
                     (\\.[0-9a-f]{16}-[0-9a-f]{1,15}-[0-9a-f]{1,15}){0,1023})$";

pub(super) fn operation_of(op: Op) -> Option<Operation> {
    datasets(op).or_else(|| streams(op))
}

fn datasets(op: Op) -> Option<Operation> {
    let dataset = || vec![must("dataset", of("Dataset"))];
    Some(match op {
        Op::ListDatasets => operation(DATASETS, "List datasets")
            .more("Those that the token may read. `/api/v1/datasets/{project}` lists those of one project.")
            .gives(vec![must("datasets", list(of("Dataset")))]),
        Op::GetDataset => operation(DATASETS, "Get a dataset").gives(dataset()),
        Op::CreateDataset => operation(DATASETS, "Create a dataset")
            .more("The path gives its full name, `owner/name`; an id is refused.")
            .takes(vec![must("dataset", changed(true))])
            .gives(dataset())
            .refuses(&[409, 422]),
        Op::UpdateDataset => operation(DATASETS, "Change a dataset")
            .more("What is not named stays as it is.")
            .takes(vec![must("dataset", changed(false))])
            .gives(dataset())
            .refuses(&[422]),
        Op::DeleteDataset => operation(DATASETS, "Delete a dataset")
            .more("With its labels, its streams and what was said about comments. The sources stay."),
        Op::PutLabels => operation(DATASETS, "Add labels to a group")
            .more("Those of the same name are replaced.")
            .takes(vec![must("label_defs", entries(10_000, of("NewLabel")))])
            .refuses(&[422]),
        Op::DatasetStatistics => operation(DATASETS, "Count the comments of a dataset")
            .takes(vec![
                must("comment_filter", of("CommentFilter")),
                may("attribute_filters", attribute_filters()),
                may("label_property_timeseries", about(any(), NOTHING)),
                may("label_timeseries", about(any(), NOTHING)),
                may("time_resolution", about(any(), NOTHING)),
            ])
            .gives(vec![must("statistics", object(vec![
                must("num_comments", natural()),
                must("label_counts", any_object()),
                must("label_timeseries", list(any_object())),
            ]))]),
        Op::QueryDataset => operation(DATASETS, "List comments of a dataset, the newest first")
            .more("With what was said about them. A page can have fewer than `limit` though more follow.")
            .takes(vec![
                may("filter", of("CommentFilter")),
                may("limit", about(between(1, 1024), "Most of the page. Default: 20.")),
                may("continuation", matching("^[0-9a-f]{1,15}-[0-9a-f]{1,15}$", "0-0")),
                may("order", json!({ "anyOf": [
                    object(vec![must("kind", one_of(&["sample"])), may("seed", natural())]),
                    object(vec![must("kind", one_of(&["recent"]))]),
                ]})),
                may("attribute_filters", attribute_filters()),
            ])
            .gives(vec![must("results", list(annotated())), may("continuation", any_text())]),
        Op::SummarizeDataset => operation(DATASETS, "List the user properties of a dataset's comments")
            .more("Of its newest comments, 20,000 at most: what somebody may want to filter by.")
            .takes(vec![
                may("filter", of("CommentFilter")),
                may("attribute_filters", attribute_filters()),
                may("thread_mode", about(flag(), "Taken, and without effect.")),
                may("beta", about(flag(), "Taken, and without effect.")),
            ])
            .gives(vec![must("summary", object(vec![must("user_properties", object(vec![
                must("string", list(object(vec![
                    must("full_name", about(any_text(), "With its type: `string:Folder`.")),
                    must("too_many_values", about(flag(), "There are more than are listed.")),
                    must("values", entries(256, object(vec![must("value", any_text())]))),
                ]))),
                must("number", list(object(vec![must("full_name", any_text())]))),
            ]))]))]),
        Op::ListModels => operation(DATASETS, "List the models of a dataset")
            .more("There are none: nothing is trained or predicted here.")
            .takes(Vec::new())
            .gives(vec![must("labellers", entries(0, any_object()))]),
        Op::GetValidation => operation(DATASETS, "Ask how good a model is")
            .more("Answered with 404: no dataset has a model."),
        Op::AskModel => Operation {
            body: Body::Json(any_object()),
            ..operation(DATASETS, "Ask a model")
                .more("Answered with 404: no dataset has a model.")
        },
        _ => return None,
    })
}

fn attribute_filters() -> Value {
    let filter = |attribute: &str, kind: &str, fields: Vec<Field>| {
        let mut all = vec![must("kind", one_of(&[kind]))];
        all.extend(fields);
        object(vec![must("attribute", one_of(&[attribute])), must("filter", object(all))])
    };
    let types = "Endings of files without the dot, or media types.";
    let shape = entries(
        16,
        json!({ "anyOf": [
            filter("attachment_property_types", "string_any_of", vec![
                must("any_of", about(entries(1024, text(1, 256)), types)),
            ]),
            filter("attachment_property_num_attachments", "number_range", vec![
                may("minimum", nullable(natural())),
                may("maximum", nullable(natural())),
            ]),
        ] }),
    );
    about(
        nullable(shape),
        "What the attachments must be. Labels are not predicted here, and refused.",
    )
}

fn streams(op: Op) -> Option<Operation> {
    let stream = || vec![must("stream", of("Stream"))];
    let place = || vec![must("sequence_id", about(any_text(), "Where the reader is."))];
    let batch = || {
        vec![
            must("results", list(of("StreamResult"))),
            must("filtered", about(natural(), "Comments that the filter did not take.")),
            must("sequence_id", about(any_text(), "Advance there when all of these are done.")),
            must("is_end_sequence", about(flag(), "Nothing follows now.")),
        ]
    };
    Some(match op {
        Op::ListStreams => operation(STREAMS, "List the streams of a dataset")
            .gives(vec![must("streams", list(of("Stream")))]),
        Op::GetStream => operation(STREAMS, "Get a stream").gives(stream()),
        Op::PutStream => operation(STREAMS, "Create or change a stream")
            .more("A new one begins now. One that is there keeps its place.")
            .takes(vec![must("stream", object(vec![
                must("name", matching("^[A-Za-z0-9_-]{1,256}$", "stream")),
                may("title", text(0, 1024)),
                may("description", text(0, 16_384)),
                may("comment_filter", of("CommentFilter")),
                may("model", model(false)),
            ]))])
            .gives(stream())
            .refuses(&[422]),
        Op::DeleteStream => operation(STREAMS, "Delete a stream"),
        Op::FetchStream => operation(STREAMS, "Read what comes next")
            .more("Until the reader advances, the same comes again. A comment that changes comes once more.")
            .takes(vec![must("size", between(1, 1024))])
            .gives(batch()),
        Op::StreamResults => operation(STREAMS, "Read what comes next, for newer clients")
            .asks("max_results", about(between(1, 1024), "Default: 16."))
            .gives(batch()),
        Op::AdvanceStream => operation(STREAMS, "Advance behind what is done")
            .more("A reader never goes back this way.")
            .takes(vec![must("sequence_id", matching(PLACE, "0"))])
            .gives(place()),
        Op::ResetStream => operation(STREAMS, "Move a stream to a time")
            .more("Every comment that was made since then comes again.")
            .takes(vec![must("to_comment_created_at", time())])
            .gives(place()),
        Op::StreamExceptions => operation(STREAMS, "Set comments aside for people")
            .takes(vec![must("exceptions", entries(1024, object(vec![
                must("metadata", object(vec![must("type", text(1, 256))])),
                must("uid", text(1, 2048)),
            ])))])
            .refuses(&[422]),
        _ => return None,
    })
}

pub(super) fn entries(most: usize, of: Value) -> Value {
    json!({ "type": "array", "maxItems": most, "items": of })
}

fn many(of: Value) -> Value {
    entries(10_000, of)
}

/// The labels, fields and flags of a dataset.
fn definition(stored: bool) -> Vec<Field> {
    let field = if stored { must } else { may };
    let shape = |name: &str, new: &str| of(if stored { name } else { new });
    let mut model = any_object();
    if let Some(model) = model.as_object_mut() {
        model.insert("required".to_owned(), json!(["kind"]));
        let properties = json!({ "kind": { "type": "string", "examples": ["cm"] } });
        model.insert("properties".to_owned(), properties);
    }
    let instructions =
        may("_default_label_group_instructions", about(text(0, 65_536), "Of the group `default`."));
    let mut fields = vec![
        field("label_defs", about(many(shape("Label", "NewLabel")), "Of the group `default`.")),
        // One group is always there, beside those that were sent.
        field(
            "label_groups",
            entries(10_000 + usize::from(stored), shape("LabelGroup", "NewLabelGroup")),
        ),
        field("entity_defs", many(shape("Entity", "NewEntity"))),
        field("general_fields", many(of("GeneralField"))),
        field("_dataset_flags", many(text(1, 64))),
        field("_model_config", about(model, "Kept and given back.")),
    ];
    fields.extend((!stored).then_some(instructions));
    fields
}

fn changed(new: bool) -> Value {
    let sources = about(
        entries(1024, hex(16)),
        "Sources that the token may read; one that is named twice is one.",
    );
    let mut fields = vec![
        if new { must("source_ids", sources) } else { may("source_ids", sources) },
        may("title", text(0, 1024)),
        may("description", text(0, 16_384)),
    ];
    if new {
        fields.extend([
            may("has_sentiment", flag()),
            may("model_family", one_of(&["english", "multilingual"])),
            may(
                "copy_annotations_from",
                about(text(1, 64), "Id of a dataset: what was said there about comments of both."),
            ),
        ]);
    }
    fields.extend(definition(false));
    object(fields)
}

fn dataset() -> Value {
    let mut fields = vec![
        must("id", hex(16)),
        must("owner", any_text()),
        must("name", any_text()),
        must("title", any_text()),
        must("description", any_text()),
        must("created", time()),
        must("last_modified", time()),
        must("model_family", one_of(&["english", "multilingual"])),
        must("source_ids", list(hex(16))),
        must("has_sentiment", flag()),
    ];
    fields.extend(definition(true));
    object(fields)
}

fn label(stored: bool) -> Value {
    let field = if stored { must } else { may };
    let name = if stored { must } else { may };
    object(vec![
        must("name", text(1, 1024)),
        field("title", text(0, 1024)),
        field("instructions", text(0, 65_536)),
        may("external_id", text(0, 1024)),
        may("pretrained", object(vec![must("id", text(1, 256)), name("name", text(1, 1024))])),
        may("trainable", flag()),
        may(
            "moon_form",
            many(object(vec![
                must("name", text(1, 1024)),
                must("kind", text(1, 256)),
                may("instructions", text(0, 65_536)),
            ])),
        ),
    ])
}

fn group(stored: bool) -> Value {
    let (field, label) =
        if stored { (must as fn(_, _) -> _, "Label") } else { (may as _, "NewLabel") };
    object(vec![
        must("name", text(1, 256)),
        may("instructions", text(0, 65_536)),
        field("label_defs", many(of(label))),
    ])
}

fn entity(stored: bool) -> Value {
    let field = if stored { must } else { may };
    let instructions = text(0, 65_536);
    let rules = about(any_object(), "Kept and given back.");
    object(vec![
        field("id", hex(16)),
        field("color", natural()),
        must("name", text(1, 256)),
        must("title", text(0, 1024)),
        field("inherits_from", many(text(1, 64))),
        field("trainable", flag()),
        field("_entity_def_flags", many(text(1, 64))),
        field("instructions", if stored { nullable(instructions) } else { instructions }),
        may("rules", if stored { rules } else { nullable(rules) }),
    ])
}

pub(super) fn annotated() -> Value {
    of("AnnotatedComment")
}

fn model(stored: bool) -> Value {
    let field = if stored { must } else { may };
    object(vec![
        must("version", natural()),
        field(
            "label_thresholds",
            list(object(vec![
                must("name", list(any_text())),
                must("threshold", json!({ "type": "number" })),
            ])),
        ),
    ])
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let name = |name| may(name, text(1, 256));
    vec![
        ("Dataset", dataset()),
        ("Label", label(true)),
        ("NewLabel", label(false)),
        ("LabelGroup", group(true)),
        ("NewLabelGroup", group(false)),
        ("Entity", entity(true)),
        ("NewEntity", entity(false)),
        (
            "GeneralField",
            object(vec![
                must("api_name", text(1, 256)),
                name("field_type_id"),
                name("field_type_name"),
            ]),
        ),
        (
            "Stream",
            object(vec![
                must("id", hex(32)),
                must("dataset_id", hex(16)),
                must("name", any_text()),
                must("title", any_text()),
                must("description", any_text()),
                must("created_at", time()),
                must("updated_at", time()),
                must("comment_filter", of("CommentFilter")),
                must("label_threshold_filter", json!({ "type": "null" })),
                may("model", model(true)),
            ]),
        ),
        (
            "StreamResult",
            object(vec![
                must("comment", of("Comment")),
                must("sequence_id", about(any_text(), "Advance there when it is done.")),
                must("labels", about(list(any_object()), "Nothing is predicted here.")),
                must("entities", list(any_object())),
            ]),
        ),
    ]
}
