//! What requests about datasets ask of comments besides the filter of comments: their attachments.
//!
//! The service has other attributes, all of them about predictions.

use serde_json::Value;

use crate::{
    refusal::Refusal,
    schema::{Fields, list as array, natural, one_of, text, wrong},
};

/// Most filters of a request, and most values of one.
const MAX_FILTERS: usize = 16;
const MAX_VALUES: usize = 1024;
const TYPES: &str = "attachment_property_types";

/// What the attachments of a comment must be.
pub(crate) enum AttributeFilter {
    /// So many.
    Number { minimum: Option<u64>, maximum: Option<u64> },
    /// One of these types at least: endings of files without the dot, or media types.
    Types(Vec<String>),
}

/// Reads `[{"attribute": …, "filter": {"kind": …, …}}]`.
pub(crate) fn read(path: &str, value: Option<Value>) -> Result<Vec<AttributeFilter>, Refusal> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(Vec::new()) };
    let filters = array(one)(path, value)?;
    if filters.len() > MAX_FILTERS {
        return Err(wrong(path, format_args!("expected at most {MAX_FILTERS} filters")));
    }
    Ok(filters)
}

fn one(path: &str, value: Value) -> Result<AttributeFilter, Refusal> {
    let mut fields = Fields::of(path, value)?;
    let known = &[TYPES, "attachment_property_num_attachments"];
    let attribute = fields.required("attribute", |path, value| {
        let labels = value == "labels";
        one_of(known)(path, value).map_err(|refusal| match labels {
            true => wrong(path, "nothing is predicted here, so that comments have no such labels"),
            false => refusal,
        })
    })?;
    let filter = fields.required("filter", |path, value| {
        let mut own = Fields::of(path, value)?;
        let filter = if attribute == TYPES {
            own.required("kind", one_of(&["string_any_of"]))?;
            AttributeFilter::Types(own.required("any_of", types)?)
        } else {
            own.required("kind", one_of(&["number_range"]))?;
            let bound = |path: &str, value: Value| match value {
                Value::Null => Ok(None),
                value => natural(path, value).map(Some),
            };
            AttributeFilter::Number {
                minimum: own.optional("minimum", bound)?.flatten(),
                maximum: own.optional("maximum", bound)?.flatten(),
            }
        };
        own.finish()?;
        Ok(filter)
    })?;
    fields.finish()?;
    Ok(filter)
}

fn types(path: &str, value: Value) -> Result<Vec<String>, Refusal> {
    let types = array(text(1, 256))(path, value)?;
    if types.len() > MAX_VALUES {
        return Err(wrong(path, format_args!("expected at most {MAX_VALUES} values")));
    }
    Ok(types.iter().map(|own| plain(own)).collect())
}

/// Clients write `.pdf` and `PDF` for the same.
fn plain(kind: &str) -> String {
    kind.trim_start_matches('.').to_lowercase()
}

impl AttributeFilter {
    /// Whether the body of a comment fits.
    pub(crate) fn takes(&self, body: &Value) -> bool {
        let attachments = body.get("attachments").and_then(Value::as_array);
        let attachments = attachments.map(Vec::as_slice).unwrap_or_default();
        match self {
            Self::Number { minimum, maximum } => {
                let count = attachments.len() as u64;
                minimum.is_none_or(|least| count >= least)
                    && maximum.is_none_or(|most| count <= most)
            }
            Self::Types(types) => attachments.iter().any(|own| {
                let text = |name: &str| own.get(name).and_then(Value::as_str).unwrap_or_default();
                let ending = text("name").rsplit_once('.').map(|(_, ending)| plain(ending));
                let kinds = ending.into_iter().chain([plain(text("content_type"))]);
                kinds.into_iter().any(|kind| types.contains(&kind))
            }),
        }
    }
}
