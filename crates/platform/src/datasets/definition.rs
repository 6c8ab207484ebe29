//! What a dataset knows about its comments: labels, fields and flags, checked and completed.

use serde_json::{Map, Value, json};

use super::set;
use crate::{
    refusal::Refusal,
    schema::{Fields, any_text, flag, is_hex, list, text, wrong},
};

/// Most labels, fields or groups in one list.
const MAX_ENTRIES: usize = 10_000;
/// The group that every dataset has.
const DEFAULT: &str = "default";

/// Labels, fields and flags, as they are shown.
#[derive(Clone, Default)]
pub(super) struct Definition(pub(super) Map<String, Value>);

impl Definition {
    pub(super) fn of(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap_or_default())
    }

    /// Takes what a request says of it; what it does not name stays as it is.
    pub(super) fn take(&mut self, fields: &mut Fields) -> Result<(), Refusal> {
        let labels = fields.optional("label_defs", bounded(label))?;
        let groups = fields.optional("label_groups", bounded(group))?;
        let entities = fields.optional("entity_defs", bounded(entity))?;
        let general = fields.optional("general_fields", bounded(general))?;
        let flags = fields.optional("_dataset_flags", bounded(text(1, 64)))?;
        let model = fields.optional("_model_config", |path, value| {
            if value.get("kind").is_some_and(Value::is_string) {
                return Ok(value);
            }
            Err(wrong(path, "expected an object with a `kind`"))
        })?;
        let instructions = fields.optional("_default_label_group_instructions", text(0, 65_536))?;
        if let Some(mut groups) = groups {
            if !groups.iter().any(|group| group["name"] == DEFAULT) {
                groups.insert(0, json!({ "name": DEFAULT, "label_defs": [] }));
            }
            self.set_groups(groups);
        } else if let Some(labels) = labels {
            self.put_labels(DEFAULT, labels, true);
        } else if self.groups().is_empty() {
            self.put_labels(DEFAULT, Vec::new(), true);
        }
        if let Some(instructions) = instructions {
            let mut groups = self.groups();
            for group in groups.iter_mut().filter(|group| group["name"] == DEFAULT) {
                set(group, "instructions", instructions.clone().into());
            }
            self.set_groups(groups);
        }
        let lists = [
            ("entity_defs", entities),
            ("general_fields", general),
            ("_dataset_flags", flags.map(|own| own.into_iter().map(Value::from).collect())),
        ];
        for (name, list) in lists {
            let list: Option<Vec<Value>> = list;
            if let Some(list) = list.or_else(|| (!self.0.contains_key(name)).then(Vec::new)) {
                self.0.insert(name.to_owned(), list.into());
            }
        }
        let model = model
            .or_else(|| (!self.0.contains_key("_model_config")).then(|| json!({ "kind": "cm" })));
        if let Some(model) = model {
            self.0.insert("_model_config".to_owned(), model);
        }
        self.name_entities();
        Ok(())
    }

    fn groups(&self) -> Vec<Value> {
        self.0.get("label_groups").and_then(Value::as_array).cloned().unwrap_or_default()
    }

    fn set_groups(&mut self, groups: Vec<Value>) {
        let own = groups.iter().find(|group| group["name"] == DEFAULT);
        let labels = own.map(|group| group["label_defs"].clone()).unwrap_or_else(|| json!([]));
        self.0.insert("label_defs".to_owned(), labels);
        self.0.insert("label_groups".to_owned(), groups.into());
    }

    /// The kind of a field that a label has, by the names of group, label and field.
    pub(super) fn kind_of_field(&self, (group, label): (&str, &str), field: &str) -> Option<&str> {
        let find = |list: &Value, name: &str| -> Option<usize> {
            list.as_array()?.iter().position(|own| own["name"] == name)
        };
        let groups = self.0.get("label_groups")?;
        let labels = groups.get(find(groups, group)?)?.get("label_defs")?;
        let form = labels.get(find(labels, label)?)?.get("moon_form")?;
        form.get(find(form, field)?)?.get("kind")?.as_str()
    }

    /// Adds labels to a group, or replaces those of the same name; with `whole`, all.
    pub(super) fn put_labels(&mut self, name: &str, labels: Vec<Value>, whole: bool) {
        let mut groups = self.groups();
        if !groups.iter().any(|group| group["name"] == name) {
            groups.push(json!({ "name": name, "label_defs": [] }));
        }
        for group in groups.iter_mut().filter(|group| group["name"] == name) {
            let held = group["label_defs"].as_array().cloned().unwrap_or_default();
            let mut kept = if whole { Vec::new() } else { held };
            for label in &labels {
                match kept.iter_mut().find(|own| own["name"] == label["name"]) {
                    Some(own) => *own = label.clone(),
                    None => kept.push(label.clone()),
                }
            }
            set(group, "label_defs", kept.into());
        }
        self.set_groups(groups);
    }

    /// Gives ids and colors to new fields.
    fn name_entities(&mut self) {
        let list = self.0.get_mut("entity_defs").and_then(Value::as_array_mut);
        for (number, entity) in (1_u64..).zip(list.into_iter().flatten()) {
            if let Some(map) = entity.as_object_mut() {
                map.entry("id").or_insert_with(|| format!("{number:016x}").into());
                map.entry("color").or_insert_with(|| (number % 16).into());
            }
        }
    }

    fn count(&self, name: &str) -> usize {
        self.0.get(name).and_then(Value::as_array).map_or(0, Vec::len)
    }

    pub(super) fn labels(&self) -> usize {
        let groups = self.groups();
        groups.iter().map(|group| group["label_defs"].as_array().map_or(0, Vec::len)).sum()
    }

    pub(super) fn entities(&self) -> usize {
        self.count("entity_defs")
    }
}

fn bounded<T>(
    read: impl Fn(&str, Value) -> Result<T, Refusal>,
) -> impl FnOnce(&str, Value) -> Result<Vec<T>, Refusal> {
    move |path, value| {
        let entries = list(read)(path, value)?;
        if entries.len() <= MAX_ENTRIES {
            return Ok(entries);
        }
        Err(wrong(path, format_args!("expected at most {MAX_ENTRIES} entries")))
    }
}

/// `{"label_defs": […]}`.
pub(super) fn labels(body: Value) -> Result<Vec<Value>, Refusal> {
    let mut fields = crate::schema::top(body)?;
    let labels = fields.required("label_defs", bounded(label))?;
    fields.finish()?;
    Ok(labels)
}

fn label(path: &str, value: Value) -> Result<Value, Refusal> {
    let mut own = Fields::of(path, value)?;
    let name = own.required("name", text(1, 1024))?;
    let mut shown = json!({ "name": name });
    set(&mut shown, "title", own.optional("title", text(0, 1024))?.unwrap_or_default().into());
    set(
        &mut shown,
        "instructions",
        own.optional("instructions", text(0, 65_536))?.unwrap_or_default().into(),
    );
    if let Some(id) = own.optional("external_id", text(0, 1024))? {
        set(&mut shown, "external_id", id.into());
    }
    let pretrained = own.optional("pretrained", |path, value| {
        let mut own = Fields::of(path, value)?;
        let id = own.required("id", text(1, 256))?;
        let name = own.optional("name", text(1, 1024))?.unwrap_or_else(|| id.clone());
        own.finish()?;
        Ok(json!({ "id": id, "name": name }))
    })?;
    if let Some(pretrained) = pretrained {
        set(&mut shown, "pretrained", pretrained);
    }
    if let Some(trainable) = own.optional("trainable", flag)? {
        set(&mut shown, "trainable", trainable.into());
    }
    let form = own.optional(
        "moon_form",
        bounded(|path: &str, value| {
            let mut own = Fields::of(path, value)?;
            let mut shown = json!({
                "name": own.required("name", text(1, 1024))?,
                "kind": own.required("kind", text(1, 256))?,
            });
            if let Some(instructions) = own.optional("instructions", text(0, 65_536))? {
                set(&mut shown, "instructions", instructions.into());
            }
            own.finish()?;
            Ok(shown)
        }),
    )?;
    if let Some(form) = form {
        set(&mut shown, "moon_form", form.into());
    }
    own.finish()?;
    Ok(shown)
}

fn group(path: &str, value: Value) -> Result<Value, Refusal> {
    let mut own = Fields::of(path, value)?;
    let name = own.required("name", text(1, 256))?;
    let instructions = own.optional("instructions", text(0, 65_536))?.unwrap_or_default();
    let labels = own.optional("label_defs", bounded(label))?.unwrap_or_default();
    own.finish()?;
    Ok(json!({ "name": name, "instructions": instructions, "label_defs": labels }))
}

fn entity(path: &str, value: Value) -> Result<Value, Refusal> {
    let mut own = Fields::of(path, value)?;
    let id = own.optional("id", |path, value| {
        let id = any_text(path, value)?;
        if is_hex(&id, 16..=16) { Ok(id) } else { Err(wrong(path, "expected 16 hex digits")) }
    })?;
    let color = own.optional("color", crate::schema::natural)?;
    let mut shown = json!({
        "name": own.required("name", text(1, 256))?,
        "title": own.required("title", text(0, 1024))?,
        "inherits_from": own.optional("inherits_from", bounded(text(1, 64)))?.unwrap_or_default(),
        "trainable": own.optional("trainable", flag)?.unwrap_or_default(),
        "_entity_def_flags":
            own.optional("_entity_def_flags", bounded(text(1, 64)))?.unwrap_or_default(),
        "instructions": own.optional("instructions", text(0, 65_536))?,
    });
    if let Some(id) = id {
        set(&mut shown, "id", id.into());
    }
    if let Some(color) = color {
        set(&mut shown, "color", color.into());
    }
    let rules = own.optional("rules", |path, value| match value {
        Value::Object(_) | Value::Null => Ok(value),
        _ => Err(wrong(path, "expected an object")),
    })?;
    if let Some(rules) = rules.filter(|rules| !rules.is_null()) {
        set(&mut shown, "rules", rules);
    }
    own.finish()?;
    Ok(shown)
}

fn general(path: &str, value: Value) -> Result<Value, Refusal> {
    let mut own = Fields::of(path, value)?;
    let mut shown = json!({ "api_name": own.required("api_name", text(1, 256))? });
    for name in ["field_type_id", "field_type_name"] {
        if let Some(text) = own.optional(name, text(1, 256))? {
            set(&mut shown, name, text.into());
        }
    }
    own.finish()?;
    Ok(shown)
}
