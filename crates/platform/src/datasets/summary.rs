//! Which user properties the comments of a dataset have, for those who want to filter by them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use store::CommentQuery;

use crate::{
    attribute_filter,
    call::Call,
    comment_filter,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    schema::{flag, top},
};

const PAGE: usize = 500;
/// Comments of a dataset that are looked at, the newest of each source: enough to know the values
/// that people choose from.
const MAX_SCAN: usize = 20_000;
/// Most values of a property, which nobody would choose from, and most properties.
const MAX_VALUES: usize = 256;
const MAX_PROPERTIES: usize = 1024;

/// `POST …/summary`.
pub(crate) async fn summary(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut body = top(payload.json()?)?;
    let filter = body.optional("filter", |_, value| Ok(value))?.unwrap_or_else(|| json!({}));
    let attributes = body.optional("attribute_filters", |_, value| Ok(value))?;
    let attributes = attribute_filter::read("attribute_filters", attributes)?;
    for name in ["thread_mode", "beta"] {
        body.optional(name, flag)?;
    }
    body.finish()?;
    let dataset = call.dataset()?;
    let filter = comment_filter::read(json!({ "comment_filter": filter }))?;
    let filter = filter.within(&dataset.id, attributes);
    let sources = &dataset.source_ids;
    let share = MAX_SCAN / sources.len().max(1);
    let mut found = Found::default();
    let _place = call.shared.places.scans.enter().await?;
    let mut session = call.shared.store.read().await?;
    for id in sources {
        let mut wanted =
            CommentQuery { newest_first: true, limit: PAGE.min(share), ..CommentQuery::default() };
        let mut scanned = 0;
        while scanned < share {
            let page = session.comments(id, &wanted).await?;
            let Some(last) = page.last() else { break };
            wanted.after = Some(last.after());
            scanned += page.len();
            let fit = filter.fit(&mut session, &page).await?;
            for (comment, _) in page.iter().zip(fit).filter(|(_, fits)| *fits) {
                found.add(&serde_json::from_str(&comment.body).unwrap_or_default());
            }
        }
    }
    Ok(Reply::json(json!({ "summary": { "user_properties": found.shown() } })))
}

/// Values of texts by their full names; of numbers, the names alone.
#[derive(Default)]
struct Found {
    texts: BTreeMap<String, BTreeSet<String>>,
    numbers: BTreeSet<String>,
}

impl Found {
    fn add(&mut self, body: &Value) {
        for (name, value) in
            body.get("user_properties").and_then(Value::as_object).into_iter().flatten()
        {
            match value {
                Value::String(text) => {
                    if self.texts.len() == MAX_PROPERTIES && !self.texts.contains_key(name) {
                        continue;
                    }
                    let values = self.texts.entry(name.clone()).or_default();
                    // One more than are shown says that there are more.
                    if values.len() <= MAX_VALUES {
                        values.insert(text.clone());
                    }
                }
                _ if self.numbers.len() < MAX_PROPERTIES => {
                    self.numbers.insert(name.clone());
                }
                _ => {}
            }
        }
    }

    fn shown(&self) -> Value {
        let texts = self.texts.iter().map(|(name, values)| {
            let shown: Vec<_> =
                values.iter().take(MAX_VALUES).map(|value| json!({ "value": value })).collect();
            let too_many = values.len() > MAX_VALUES;
            json!({ "full_name": name, "too_many_values": too_many, "values": shown })
        });
        let numbers = self.numbers.iter().map(|name| json!({ "full_name": name }));
        json!({ "string": texts.collect::<Vec<_>>(), "number": numbers.collect::<Vec<_>>() })
    }
}
