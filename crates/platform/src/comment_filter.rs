//! Which comments of a source a client wants to be counted.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};
use store::{Comment, CommentQuery, Session};

use crate::{
    attribute_filter::AttributeFilter,
    comment_pages::annotated,
    refusal::Refusal,
    schema::{Fields, TimeRange, any_text, list as array, one_of, time_range, top, wrong},
};

/// Comments that are looked at in one go.
const PAGE: usize = 500;
/// Most values of a list.
const MAX_VALUES: usize = 1024;

/// A filter, as far as it is about comments alone.
#[derive(Default)]
pub(crate) struct Filter {
    range: TimeRange,
    sources: Vec<String>,
    properties: BTreeMap<String, Wanted>,
    from: Option<Wanted>,
    to: Option<Wanted>,
    attachments: Option<bool>,
    /// Whether something was said about it: in the dataset, if there is one.
    reviewed: Option<bool>,
    dataset_id: Option<String>,
    attributes: Vec<AttributeFilter>,
}

/// What the values of a property must be.
#[derive(Default)]
struct Wanted {
    one_of: Vec<Value>,
    not_one_of: Vec<Value>,
    domain_not_one_of: Vec<Value>,
    minimum: Option<f64>,
    maximum: Option<f64>,
}

/// Reads `{"comment_filter": {…}}`.
pub(crate) fn read(body: Value) -> Result<Filter, Refusal> {
    let mut body = top(body)?;
    let filter = body.required("comment_filter", filter)?;
    body.finish()?;
    Ok(filter)
}

fn filter(path: &str, value: Value) -> Result<Filter, Refusal> {
    let mut fields = Fields::of(path, value)?;
    let range = fields.optional("timestamp", time_range)?;
    let sources = fields.optional("sources", array(any_text))?;
    let properties = fields.optional("user_properties", |path, value| {
        let Value::Object(map) = value else { return Err(wrong(path, "expected an object")) };
        let read = |(name, value): (String, Value)| {
            let own = wanted(&format!("{path}.{name}"), value)?;
            Ok((name, own))
        };
        map.into_iter().map(read).collect::<Result<BTreeMap<_, _>, Refusal>>()
    })?;
    let messages = fields.optional("messages", |path, value| {
        let mut own = Fields::of(path, value)?;
        let from = own.optional("from", wanted)?;
        let to = own.optional("to", wanted)?;
        own.finish()?;
        Ok((from, to))
    })?;
    let attachments = fields.optional("attachments", |path, value| {
        let mut own = Fields::of(path, value)?;
        let has = own.optional("has_attachments", crate::schema::flag)?;
        own.finish()?;
        Ok(has)
    })?;
    let reviewed = fields.optional("reviewed", one_of(&["only_reviewed", "only_unreviewed"]))?;
    fields.finish()?;
    let (from, to) = messages.unwrap_or_default();
    Ok(Filter {
        range: range.unwrap_or_default(),
        sources: sources.unwrap_or_default(),
        properties: properties.unwrap_or_default(),
        from,
        to,
        attachments: attachments.flatten(),
        reviewed: reviewed.map(|own| own == "only_reviewed"),
        dataset_id: None,
        attributes: Vec::new(),
    })
}

fn wanted(path: &str, value: Value) -> Result<Wanted, Refusal> {
    let mut fields = Fields::of(path, value)?;
    let values = |path: &str, value: Value| {
        let values = array(|path: &str, value: Value| match value {
            Value::String(_) | Value::Number(_) => Ok(value),
            _ => Err(wrong(path, "expected a string or a number")),
        })(path, value)?;
        if values.len() > MAX_VALUES {
            return Err(wrong(path, format_args!("expected at most {MAX_VALUES} values")));
        }
        Ok(values)
    };
    let number =
        |path: &str, value: Value| value.as_f64().ok_or_else(|| wrong(path, "expected a number"));
    let wanted = Wanted {
        one_of: fields.optional("one_of", values)?.unwrap_or_default(),
        not_one_of: fields.optional("not_one_of", values)?.unwrap_or_default(),
        domain_not_one_of: fields.optional("domain_not_one_of", values)?.unwrap_or_default(),
        minimum: fields.optional("minimum", number)?,
        maximum: fields.optional("maximum", number)?,
    };
    fields.finish()?;
    Ok(wanted)
}

impl Wanted {
    fn takes(&self, values: &[&Value]) -> bool {
        let among =
            |list: &[Value]| values.iter().any(|value| list.iter().any(|own| same(own, value)));
        let domain = |value: &Value| {
            let text = value.as_str().unwrap_or_default().trim_end_matches('>');
            text.rsplit_once('@').map(|(_, domain)| domain.to_lowercase())
        };
        let of_domain = || {
            let mut domains = values.iter().filter_map(|value| domain(value));
            domains.any(|own| {
                let mut listed = self.domain_not_one_of.iter().filter_map(Value::as_str);
                listed.any(|listed| listed.eq_ignore_ascii_case(&own))
            })
        };
        let in_range = || {
            let mut numbers = values.iter().filter_map(|value| value.as_f64());
            numbers.any(|own| {
                self.minimum.is_none_or(|least| own >= least)
                    && self.maximum.is_none_or(|most| own <= most)
            })
        };
        (self.one_of.is_empty() || among(&self.one_of))
            && !among(&self.not_one_of)
            && !of_domain()
            && (self.minimum.is_none() && self.maximum.is_none() || in_range())
    }
}

/// A number is the same however it is written.
fn same(one: &Value, other: &Value) -> bool {
    one == other || one.is_number() && one.as_f64() == other.as_f64()
}

impl Filter {
    /// The same for comments of a dataset, and what requests about datasets ask for besides.
    pub(crate) fn within(self, dataset_id: &str, attributes: Vec<AttributeFilter>) -> Self {
        Self { dataset_id: Some(dataset_id.to_owned()), attributes, ..self }
    }

    fn looks_inside(&self) -> bool {
        !self.properties.is_empty()
            || self.from.is_some()
            || self.to.is_some()
            || self.attachments.is_some()
            || self.reviewed.is_some()
            || !self.attributes.is_empty()
    }

    /// How many comments of a source there are of this kind. What is inside of them is looked at
    /// one by one, in pages.
    pub(crate) async fn count(
        &self,
        session: &mut Session,
        source_id: &str,
    ) -> Result<u64, Refusal> {
        if !self.sources.is_empty() && !self.sources.iter().any(|own| own == source_id) {
            return Ok(0);
        }
        let (from, to) = self.range;
        if !self.looks_inside() {
            return Ok(session.count_comments(source_id, from, to).await?);
        }
        let mut wanted = CommentQuery { from, to, limit: PAGE, ..CommentQuery::default() };
        let mut count = 0;
        loop {
            let page = session.comments(source_id, &wanted).await?;
            let Some(last) = page.last() else { return Ok(count) };
            wanted.after = Some(last.after());
            let fit = self.fit(session, &page).await?;
            count += fit.into_iter().filter(|fits| *fits).count() as u64;
        }
    }

    /// Whether each of these comments fits, whatever was asked about it.
    pub(crate) async fn fit(
        &self,
        session: &mut Session,
        comments: &[Comment],
    ) -> Result<Vec<bool>, Refusal> {
        let reviewed = match self.reviewed {
            Some(_) => annotated(session, comments, self.dataset_id.as_deref()).await?,
            None => HashSet::new(),
        };
        let fits = |comment: &Comment| {
            let said = || reviewed.contains(&(comment.source_id.clone(), comment.id.clone()));
            self.reviewed.is_none_or(|wanted| wanted == said()) && self.takes_comment(comment)
        };
        Ok(comments.iter().map(fits).collect())
    }

    fn takes_comment(&self, comment: &Comment) -> bool {
        let (from, to) = self.range;
        let body: Value = serde_json::from_str(&comment.body).unwrap_or_default();
        (self.sources.is_empty() || self.sources.contains(&comment.source_id))
            && from.is_none_or(|from| comment.at >= from)
            && to.is_none_or(|to| comment.at <= to)
            && self.takes(&body)
    }

    fn takes(&self, body: &Value) -> bool {
        let none = Map::new();
        let own = body.get("user_properties").and_then(Value::as_object).unwrap_or(&none);
        let of_property = |name: &str| -> Vec<&Value> {
            let named = |kind: &str| own.get(&format!("{kind}:{name}"));
            // Clients name properties with and without their type.
            own.get(name).into_iter().chain(named("string")).chain(named("number")).collect()
        };
        let of_message = |field: &str| -> Vec<&Value> {
            let values = body.get("messages").and_then(Value::as_array).into_iter().flatten();
            let values = values.filter_map(|message| message.get(field));
            values
                .flat_map(|value| value.as_array().map_or(vec![value], |all| all.iter().collect()))
                .collect()
        };
        let has_attachments =
            body.get("attachments").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
        self.properties.iter().all(|(name, wanted)| wanted.takes(&of_property(name)))
            && self.from.as_ref().is_none_or(|wanted| wanted.takes(&of_message("from")))
            && self.to.as_ref().is_none_or(|wanted| wanted.takes(&of_message("to")))
            && self.attachments.is_none_or(|wanted| wanted == has_attachments)
            && self.attributes.iter().all(|own| own.takes(body))
    }
}
