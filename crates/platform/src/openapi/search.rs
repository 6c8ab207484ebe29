//! Search over comments.

use serde_json::{Value, json};

use super::shape::{
    Operation, about, any_text, between, continuation, flag, inner_text, list, map_of, may, must,
    natural, nullable, object, of, one_of, operation, text, time,
};
use crate::routes::Op;

const SEARCH: &str = "Search";

pub(super) fn operation_of(op: Op) -> Option<Operation> {
    Some(match op {
        Op::Search => operation(SEARCH, "Find comments")
            .more("Newest first, of the sources that the token may read. `docs/search.md` describes queries.")
            .takes(vec![
                may("query", about(any_text(), "Empty: everything. At most 4,096 characters.")),
                may("filter", of("SearchFilter")),
                may("group_by", about(one_of(&["thread"]), "Only the newest match of each thread.")),
                may("limit", about(between(1, 100), "Most of the page. Default: 20.")),
                may("count_up_to", about(between(0, 100_000), "0: no count. Default: 1,000. Counting ends earlier where it would take long.")),
                may("continuation", continuation("^before_[0-9]{1,18}$", "before_1")),
            ])
            .gives(vec![
                must("results", list(of("SearchResult"))),
                may("count", about(of("SearchCount"), "Of comments. Only with the first page.")),
                must("index", object(vec![
                    must("complete", about(flag(), "False while the index is built anew.")),
                ])),
                may("continuation", any_text()),
            ])
            .refuses(&[404]),
        Op::SearchVolume => operation(SEARCH, "Count comments over time")
            .more("Exact for projects, sources and times alone; else the newest 100,000 matches are counted.")
            .takes(vec![
                may("query", any_text()),
                may("filter", of("SearchFilter")),
                must("interval", about(one_of(&["day", "week", "month"]), "UTC; weeks begin on Monday.")),
            ])
            .gives(vec![
                must("volume", about(
                    list(object(vec![must("start", time()), must("count", natural())])),
                    "Ascending, without those that have no comments.",
                )),
                must("total", natural()),
                must("complete", flag()),
                must("since", about(nullable(time()), "From when on the numbers are whole.")),
            ])
            .refuses(&[404]),
        Op::GetThread => operation(SEARCH, "List the comments of a thread")
            .more("Oldest first.")
            .asks("limit", about(between(1, 256), "Most of the page. Default: 64."))
            .asks("after", about(any_text(), "The `continuation` of the page before."))
            .asks("include_markup", flag())
            .gives(vec![must("comments", list(of("Comment"))), may("continuation", any_text())]),
        _ => return None,
    })
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let values =
        |of: Value| json!({ "type": "array", "minItems": 1, "maxItems": 128, "items": of });
    let range = || {
        object(vec![
            must("char_start", natural()),
            must("char_end", natural()),
            must("utf16_byte_start", natural()),
            must("utf16_byte_end", natural()),
        ])
    };
    let line = || object(vec![must("text", any_text()), must("highlights", list(range()))]);
    vec![
        (
            "SearchFilter",
            object(vec![
                may("projects", about(values(text(1, 1024)), "Names.")),
                may("sources", about(values(text(1, 64)), "Ids.")),
                may(
                    "timestamp",
                    object(vec![
                        may("minimum", about(time(), "Inclusive.")),
                        may("maximum", about(time(), "Exclusive.")),
                    ]),
                ),
                may(
                    "user_properties",
                    json!({
                        "type": "object",
                        "additionalProperties": false,
                        "patternProperties": {
                            "^string:[\\s\\S]*$": values(any_text()),
                            "^number:[\\s\\S]*$": { "anyOf": [
                                values(json!({ "type": "number" })),
                                {
                                    "type": "object",
                                    "additionalProperties": false,
                                    "minProperties": 1,
                                    "properties": {
                                        "minimum": { "type": "number" },
                                        "maximum": { "type": "number" },
                                    },
                                    "description": "Both included; at most 8 ranges in a request.",
                                },
                            ] },
                        },
                        "description": "By `string:<name>` or `number:<name>`; one of the values.",
                    }),
                ),
                may(
                    "domains",
                    about(values(text(1, 255)), "Of sender or recipients, with those below."),
                ),
                may("from_domains", values(text(1, 255))),
                may("to_domains", values(text(1, 255))),
                may("has_attachments", flag()),
                may("thread_id", text(1, 2056)),
            ]),
        ),
        (
            "SearchCount",
            object(vec![must("kind", one_of(&["exact", "lower_bound"])), must("value", natural())]),
        ),
        (
            "SearchResult",
            object(vec![
                must("comment_id", any_text()),
                must("uid", any_text()),
                must("source_id", any_text()),
                must(
                    "source",
                    nullable(object(vec![must("owner", any_text()), must("name", any_text())])),
                ),
                must("timestamp", time()),
                must("thread_id", nullable(any_text())),
                must("from", nullable(line())),
                must("to", about(list(inner_text(512)), "The first ten.")),
                must("num_recipients", natural()),
                must("subject", nullable(line())),
                must(
                    "snippet",
                    object(vec![
                        must("text", any_text()),
                        must("char_start", about(natural(), "Where it begins in the body.")),
                        must("is_start", flag()),
                        must("is_end", flag()),
                        must("highlights", list(range())),
                    ]),
                ),
                must("num_attachments", natural()),
                must("user_properties", map_of(json!({ "type": ["string", "number"] }))),
                may(
                    "thread",
                    object(vec![
                        must("num_messages", of("SearchCount")),
                        must("num_matching", of("SearchCount")),
                    ]),
                ),
            ]),
        ),
    ]
}
