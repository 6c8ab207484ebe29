//! Folders and messages without delta: lists page by page, and single ones.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::{
    super::{
        folder::{Folder, Kind},
        item::Item,
    },
    answer::{Answer, Call},
    error::Refusal,
    query::{FOLDER, Filter, MESSAGE, Shape},
    render::{self, is_mail_folder, is_message},
};

/// The part of a collection that a page shows.
struct View {
    skip: usize,
    top: usize,
}

impl View {
    fn read(call: &Call<'_>) -> Result<Self, Refusal> {
        let options = &call.shared.options.graph;
        let top = call.query.number("$top")?;
        if top.is_some_and(|top| top == 0 || top > options.largest_page) {
            let most = options.largest_page;
            return Err(Refusal::bad(format!("The value of '$top' must be 1 to {most}.")));
        }
        let top = top.or(call.prefer.page).unwrap_or(options.page).min(options.largest_page);
        Ok(Self { skip: call.query.number("$skip")?.unwrap_or(0), top })
    }

    /// The page, with a link if there is more than `total` says is shown.
    fn answer(&self, call: &Call<'_>, context: &str, entries: Vec<Value>, total: usize) -> Value {
        let origin = &call.request.origin;
        let mut page = Map::new();
        page.insert(
            "@odata.context".to_owned(),
            json!(format!("{origin}/v1.0/$metadata#{context}")),
        );
        if call.query.is_true("$count") {
            page.insert("@odata.count".to_owned(), json!(total));
        }
        let end = self.skip.saturating_add(entries.len());
        if end < total && !entries.is_empty() {
            let mut link = format!("{origin}/v1.0{}?", call.request.path);
            for (name, value) in call.query.0.iter().filter(|(name, _)| name != "$skip") {
                let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
                link.push_str(&format!("{name}={value}&"));
            }
            link.push_str(&format!("$skip={end}"));
            page.insert("@odata.nextLink".to_owned(), json!(link));
        }
        page.insert("value".to_owned(), Value::Array(entries));
        Value::Object(page)
    }
}

/// The folders below `parent`.
pub(super) fn folders(call: &Call<'_>, parent: &Folder) -> Result<Answer, Refusal> {
    call.query.allow(&["$select", "$expand", "$top", "$skip", "$count"])?;
    let shape = Shape::read(call.query, FOLDER)?;
    call.check_expand(&shape)?;
    let view = View::read(call)?;
    let hidden = call.query.is_true("includeHiddenFolders");
    let all: Vec<_> = call
        .mailbox
        .children(parent.no)
        .filter(|folder| is_mail_folder(folder) && (hidden || !folder.hidden))
        .collect();
    let mut faults = Vec::new();
    let entries = all
        .iter()
        .skip(view.skip)
        .take(view.top)
        .map(|folder| {
            let own = call.name_faults(folder);
            let entry = render::folder(call.mailbox, folder, &shape, &own);
            faults.extend(own);
            Value::Object(entry)
        })
        .collect();
    let context = format!("users('{}')/mailFolders", call.route.user);
    Ok(Answer::Json(view.answer(call, &context, entries, all.len()), faults))
}

pub(super) fn folder(call: &Call<'_>, folder: &Folder) -> Result<Answer, Refusal> {
    call.query.allow(&["$select", "$expand"])?;
    let shape = Shape::read(call.query, FOLDER)?;
    call.check_expand(&shape)?;
    let faults = call.name_faults(folder);
    let mut entry = render::folder(call.mailbox, folder, &shape, &faults);
    let origin = &call.request.origin;
    let context =
        format!("{origin}/v1.0/$metadata#users('{}')/mailFolders/$entity", call.route.user);
    entry.insert("@odata.context".to_owned(), json!(context));
    Ok(Answer::Json(Value::Object(entry), faults))
}

/// The messages of a folder, or of all folders.
pub(super) fn messages(call: &Call<'_>, folder: Option<&Folder>) -> Result<Answer, Refusal> {
    call.query.allow(&["$select", "$expand", "$filter", "$orderby", "$top", "$skip", "$count"])?;
    let shape = Shape::read(call.query, MESSAGE)?;
    call.check_expand(&shape)?;
    let filter = call.query.get("$filter").map(Filter::read).transpose()?;
    let oldest_first = match call.query.get("$orderby").map(str::to_ascii_lowercase).as_deref() {
        None | Some("receiveddatetime desc") => false,
        Some("receiveddatetime" | "receiveddatetime asc") => true,
        Some(order) => return Err(Refusal::bad(format!("The order `{order}` is not supported."))),
    };
    // Properties of the order must come first in the filter ("List messages").
    let ordered = call.query.get("$orderby").is_some();
    if ordered && filter.as_ref().is_some_and(|filter| !filter.begins_with_received()) {
        let text = "The restriction or sort order is too complex for this operation.";
        return Err(Refusal::new(400, "InefficientFilter", text));
    }
    let view = View::read(call)?;
    let mailbox = call.mailbox;
    let fits = |item: &&Item| {
        is_message(item) && filter.as_ref().is_none_or(|filter| filter.matches(item))
    };
    let mut all: Vec<&Item> = match folder {
        // A search folder shows what is elsewhere: here, everything in the inbox.
        Some(folder) if folder.kind == Kind::Search => {
            let inbox = mailbox.distinguished("inbox");
            let inbox = inbox.and_then(|inbox| mailbox.folder(inbox));
            items(call, inbox).filter(fits).collect()
        }
        Some(folder) => items(call, Some(folder)).filter(fits).collect(),
        None => {
            let top = mailbox.distinguished("msgfolderroot");
            let below = |folder: &&Folder| top.is_some_and(|top| mailbox.is_below(folder.no, top));
            let folders = mailbox.folders.values().filter(|folder| !folder.deleted);
            let folders = folders.filter(|folder| is_mail_folder(folder)).filter(below);
            let items = folders.flat_map(|folder| items(call, Some(folder)));
            let mut all: Vec<_> = items.filter(fits).collect();
            all.sort_by_key(|item| (item.delivery.received, item.no));
            all
        }
    };
    if !oldest_first {
        all.reverse();
    }
    let mut faults = Vec::new();
    let entries = all
        .iter()
        .skip(view.skip)
        .take(view.top)
        .map(|item| {
            let own = call.text_faults(item);
            let entry = call.message(item, &shape, &own);
            faults.extend(own);
            Value::Object(entry)
        })
        .collect();
    let context = format!("users('{}')/messages", call.route.user);
    Ok(Answer::Json(view.answer(call, &context, entries, all.len()), faults))
}

/// The items of a folder, oldest first.
fn items<'a>(call: &Call<'a>, folder: Option<&'a Folder>) -> impl Iterator<Item = &'a Item> {
    let mailbox = call.mailbox;
    let numbers = folder.into_iter().flat_map(|folder| &folder.by_date);
    numbers.filter_map(|(_, no)| mailbox.items.get(no))
}

pub(super) fn message(call: &Call<'_>, item: &Item) -> Result<Answer, Refusal> {
    call.query.allow(&["$select", "$expand"])?;
    let shape = Shape::read(call.query, MESSAGE)?;
    call.check_expand(&shape)?;
    let faults = call.text_faults(item);
    let mut entry = call.message(item, &shape, &faults);
    let origin = &call.request.origin;
    let context = format!("{origin}/v1.0/$metadata#users('{}')/messages/$entity", call.route.user);
    entry.insert("@odata.context".to_owned(), json!(context));
    Ok(Answer::Json(Value::Object(entry), faults))
}
