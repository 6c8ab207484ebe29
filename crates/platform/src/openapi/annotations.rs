//! What people and tools have said about comments.

use serde_json::{Value, json};

use super::{
    datasets::{NOTHING, annotated, entries},
    shape::{
        Field, Operation, about, any, any_object, any_text, between, flag, inner_text, list, may,
        must, natural, nullable, object, of, one_of, operation, text,
    },
};
use crate::routes::Op;

const ANNOTATIONS: &str = "Annotations";

pub(super) fn operation_of(op: Op) -> Option<Operation> {
    Some(match op {
        Op::ListAnnotations => operation(ANNOTATIONS, "List what was said about comments")
            .more("Of the comments that are named, or of all that something was said about.")
            .asks(
                "id",
                about(
                    list(any_text()),
                    "`uid`s of comments, each as a parameter of its own; at most 1,024.",
                ),
            )
            .asks("source_id", any_text())
            .asks("return_predictions", about(flag(), NOTHING))
            .asks("after", about(any_text(), "The `after` of the page before."))
            .asks("limit", about(between(1, 1024), "Most of the page. Default: 64."))
            .gives(vec![
                must("results", list(annotated())),
                may("after", about(any_text(), "With every page that is not empty.")),
            ]),
        Op::Annotate => operation(ANNOTATIONS, "Say something about a comment")
            .more("What is named replaces what was said before, labels group by group.")
            .takes(vec![
                may("labelling", entries(1024, of("NewLabelling"))),
                may(
                    "entities",
                    object(vec![
                        may("assigned", entries(1024, of("NewAssignedEntity"))),
                        may("dismissed", entries(1024, of("NewAssignedEntity"))),
                    ]),
                ),
                may("moon_forms", entries(1024, of("NewForm"))),
            ])
            .gives(said()),
        _ => return None,
    })
}

/// A value that was found in a comment, with where it stands.
fn found(fields: Vec<Field>) -> Value {
    let spans = "Where it stands, in bytes of UTF-16; the answer has characters as well.";
    let mut all = vec![
        must("formatted_value", inner_text(65_536)),
        may("spans", about(nullable(entries(256, of("NewSpan"))), spans)),
        may("field_id", nullable(text(1, 256))),
        may("id", about(any(), "Taken, and without effect.")),
    ];
    all.extend(fields);
    object(all)
}

fn new_form() -> Value {
    let vertex = object(vec![
        must("x", json!({ "type": "number" })),
        must("y", json!({ "type": "number" })),
    ]);
    let document_span = object(vec![
        must("page_index", natural()),
        must("attachment_index", natural()),
        must("polygon", object(vec![must("vertices", list(vertex))])),
    ]);
    let field = found(vec![
        must("name", text(1, 1024)),
        may("kind", nullable(text(1, 256))),
        may("document_spans", nullable(list(document_span))),
        may("confirmed", flag()),
    ]);
    let captures = list(object(vec![may("fields", list(field))]));
    let captures = || {
        let own =
            object(vec![must("label", of("AssignedLabel")), may("captures", captures.clone())]);
        nullable(list(own))
    };
    object(vec![
        must("group", text(1, 256)),
        may("assigned", captures()),
        may("dismissed", captures()),
    ])
}

fn new_span() -> Value {
    object(vec![
        must("content_part", one_of(&["body", "subject", "signature"])),
        must("message_index", natural()),
        must("utf16_byte_start", natural()),
        must("utf16_byte_end", natural()),
        may("char_start", natural()),
        may("char_end", natural()),
    ])
}

/// A label that people gave to a comment.
fn given(stored: bool) -> Value {
    let field = if stored { must } else { may };
    object(vec![
        must("name", any_text()),
        field("sentiment", about(one_of(&["positive", "negative"]), "Default: `positive`.")),
        may("metadata", any_object()),
    ])
}

fn labelling(stored: bool) -> Value {
    let field = if stored { must } else { may };
    let labels = || entries(1024, given(stored));
    let labels = || if stored { labels() } else { nullable(labels()) };
    object(vec![
        must("group", text(1, 256)),
        field("assigned", labels()),
        field("dismissed", labels()),
    ])
}

/// A comment with what was said about it.
fn said() -> Vec<Field> {
    let entities =
        object(vec![must("assigned", list(any_object())), must("dismissed", list(any_object()))]);
    vec![
        must("comment", of("Comment")),
        must("labelling", list(of("Labelling"))),
        must("entities", nullable(entities)),
        may("moon_forms", list(any_object())),
    ]
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("Labelling", labelling(true)),
        ("NewLabelling", labelling(false)),
        ("AssignedLabel", given(false)),
        ("AnnotatedComment", object(said())),
        (
            "NewAssignedEntity",
            found(vec![must("name", text(1, 256)), may("kind", nullable(text(1, 256)))]),
        ),
        ("NewForm", new_form()),
        ("NewSpan", new_span()),
    ]
}
