//! What a file has in it, for those who are about to say which column is what.

use serde_json::{Value, json};

use super::{
    records::Rows,
    text::Format,
    times::{Order, time},
};
use crate::refusal::Refusal;

/// Rows that are shown, and rows that are looked at.
const SHOWN: usize = 10;
const LOOKED_AT: usize = 500;
/// Most characters of a value that are shown.
const MAX_SHOWN: usize = 500;
/// Average length from which a column is a text that people have written.
const LONG: usize = 40;

/// `columns`, `encoding` and `delimiter` as the service describes them; the rest is ours.
pub(super) fn sniff(bytes: Vec<u8>, asked: &Format) -> Result<Value, Refusal> {
    let mut records = Rows::of(asked.open(bytes)?)?;
    let mut rows: Vec<Vec<String>> = Vec::new();
    while rows.len() < LOOKED_AT
        && let Some(record) = records.next()?
    {
        rows.push(record.iter().map(|own| own.trim().to_owned()).collect());
    }
    let (columns, table) = (&records.columns, records.table());
    let of_column = |number: usize| {
        let values = rows.iter().filter_map(move |row| row.get(number));
        values.filter(|value| !value.is_empty()).map(String::as_str).collect::<Vec<_>>()
    };
    let kinds: Vec<_> = (0..columns.len()).map(|number| kind(&of_column(number))).collect();
    let cut = |text: &String| text.chars().take(MAX_SHOWN).collect::<String>();
    let shown: Vec<Vec<String>> =
        rows.iter().take(SHOWN).map(|row| row.iter().map(cut).collect()).collect();
    Ok(json!({
        "columns": columns,
        "encoding": table.encoding.name(),
        "delimiter": char::from(table.delimiter).to_string(),
        "kinds": kinds,
        "rows": shown,
    }))
}

/// What a column is most likely: what every value of it is.
fn kind(values: &[&str]) -> &'static str {
    if values.is_empty() {
        return "empty";
    }
    let all = |fits: &dyn Fn(&str) -> bool| values.iter().all(|value| fits(value));
    if all(&|value| super::mapping::number(value).is_some()) {
        return "number";
    }
    if all(&|value| time(value, Some(Order::DayFirst)).is_ok())
        || all(&|value| time(value, Some(Order::MonthFirst)).is_ok())
    {
        return "date";
    }
    if all(&|value| value.contains('@') && !value.contains('\n') && value.len() < 320) {
        return "address";
    }
    let length: usize = values.iter().map(|value| value.chars().count()).sum();
    if length / values.len() >= LONG || values.iter().any(|value| value.contains('\n')) {
        return "text";
    }
    "property"
}
