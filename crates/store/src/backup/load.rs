//! Puts the rows of a backup into empty tables.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::read::GzDecoder;
use serde_json::Value;
use sqlx::{Any, AssertSqlSafe, query::Query};

use super::{
    CONTENTS, Manifest, TABLES, TableFile,
    manifest::{damaged, digest},
    rows::Type,
    target,
};
use crate::{
    Kind, Result, Session, StoreError,
    contents::{self, MAX_INLINE, folder::path_of, on_disk},
    session::places,
    tables,
};

/// Rows that one statement writes, and the longest line, in bytes.
const ROWS: usize = 16;
const MAX_LINE: u64 = 256 * 1024 * 1024;

fn path(folder: &Path, file: &TableFile) -> PathBuf {
    folder.join(TABLES).join(format!("{}.jsonl.gz", file.name))
}

fn open(folder: &Path, file: &TableFile) -> Result<GzDecoder<BufReader<File>>> {
    let path = path(folder, file);
    let opened = File::open(&path).map_err(|error| {
        damaged(folder, format_args!("`{}` cannot be read ({error})", path.display()))
    })?;
    Ok(GzDecoder::new(BufReader::new(opened)))
}

/// Sees whether all rows are what they were, before any is stored.
pub(super) fn verify(folder: &Path, manifest: &Manifest) -> Result<()> {
    for file in &manifest.tables {
        let known = tables::TABLES.iter().any(|table| table.name == file.name);
        if !known {
            let what = format_args!("it has a table `{}`, which is unknown here", file.name);
            return Err(damaged(folder, what));
        }
        let sum = digest(open(folder, file)?);
        if !sum.is_ok_and(|sum| sum == file.sha256) {
            let what = format!("`{}` is not what its manifest says", path(folder, file).display());
            return Err(damaged(folder, what));
        }
    }
    Ok(())
}

impl Session {
    /// Stores the rows of a table, and with those of `contents` what they are about.
    pub(super) async fn load(
        &mut self,
        folder: &Path,
        manifest: &Manifest,
        file: &TableFile,
        told: &mut impl FnMut(u64),
    ) -> Result<()> {
        let bad = |what: String| damaged(folder, format_args!("`{}`: {what}", file.name));
        let known = self.columns(&file.name).await?;
        let mut types = Vec::new();
        for column in &file.columns {
            let found = known.iter().find(|(name, _)| name == column);
            types.push(found.ok_or_else(|| bad(format!("there is no column `{column}`")))?.1);
        }
        let is_contents = file.name == CONTENTS;
        let mut names = file.columns.join(", ");
        if is_contents {
            names.push_str(", body");
            types.push(Type::Bytes);
        }
        let mut lines = open(folder, file).map(BufReader::new)?;
        let (mut stored, mut waiting) = (0, Vec::new());
        loop {
            let mut line = String::new();
            let read = (&mut lines).take(MAX_LINE).read_line(&mut line);
            let is_end = read.map_err(|error| bad(error.to_string()))? == 0;
            if !is_end {
                let row: Value = serde_json::from_str(&line).map_err(|e| bad(e.to_string()))?;
                let Value::Array(mut row) = row else {
                    return Err(bad("a line is no row".to_owned()));
                };
                if is_contents {
                    row.push(self.content_of(folder, manifest, file, &row).await?);
                }
                if row.len() != types.len() {
                    return Err(bad("a row has not as many values as columns".to_owned()));
                }
                waiting.push(row);
            }
            if waiting.len() == ROWS || is_end && !waiting.is_empty() {
                let values = places(self.kind(), types.len(), waiting.len());
                let sql = format!("INSERT INTO {} ({names}) VALUES {values}", file.name);
                let mut query = sqlx::query(AssertSqlSafe(sql));
                stored += waiting.len() as u64;
                for (value, kind) in waiting.drain(..).flat_map(|row| row.into_iter().zip(&types)) {
                    query = bind(query, value, *kind).map_err(&bad)?;
                }
                query.execute(self.database()).await?;
                told(stored);
            }
            if is_end {
                break;
            }
        }
        if stored != file.rows {
            return Err(bad(format!("it has {stored} rows, and the manifest says {}", file.rows)));
        }
        self.set_counter(file).await
    }

    /// The value for `body` of a content: the small are in the database, the others beside it.
    async fn content_of(
        &mut self,
        folder: &Path,
        manifest: &Manifest,
        file: &TableFile,
        row: &[Value],
    ) -> Result<Value> {
        let value = |name: &str| {
            let place = file.columns.iter().position(|column| column == name);
            place.and_then(|place| row.get(place))
        };
        let bad = || damaged(folder, "a row of `contents` is no content");
        let hash = value("hash").and_then(Value::as_str).ok_or_else(bad)?.to_owned();
        let size = value("size").and_then(Value::as_u64).ok_or_else(bad)?;
        if !contents::is_hash(&hash) {
            return Err(bad());
        }
        if manifest.damaged.contains(&hash) {
            return Ok(Value::Null);
        }
        let path = path_of(&folder.join(CONTENTS), &hash);
        let lost = damaged(folder, format_args!("the content `{hash}` is missing or damaged"));
        let temporary = self.store.temporary_folder();
        let looked_at = on_disk({
            let hash = hash.clone();
            move || {
                // The copy is what is looked at: a link would let both die together.
                let mut copy = tempfile::NamedTempFile::new_in(&temporary)
                    .map_err(StoreError::file(&temporary))?;
                let Ok(mut from) = File::open(&path) else { return Ok(None) };
                let length = io::copy(&mut from, &mut copy).map_err(StoreError::file(&path))?;
                if target::verify(copy.path(), &hash, size).is_err() {
                    return Ok(None);
                }
                if length > MAX_INLINE as u64 {
                    copy.as_file().sync_all().map_err(StoreError::file(&temporary))?;
                    return Ok(Some((None, copy)));
                }
                let bytes = std::fs::read(copy.path()).map_err(StoreError::file(&temporary))?;
                Ok(Some((Some(bytes), copy)))
            }
        });
        let Some((bytes, copy)) = looked_at.await? else { return Err(lost) };
        let Some(bytes) = bytes else {
            self.contents.put(&hash, copy.path()).await?;
            return Ok(Value::Null);
        };
        Ok(serde_json::json!({ "base64": BASE64_STANDARD.encode(bytes) }))
    }

    async fn set_counter(&mut self, file: &TableFile) -> Result<()> {
        let table = tables::TABLES.iter().find(|table| table.name == file.name);
        let (Some(column), Some(last)) = (table.and_then(|table| table.counter), file.counter)
        else {
            return Ok(());
        };
        if last < 1 {
            return Ok(());
        }
        match self.store.kind {
            Kind::Sqlite => {
                let delete = sqlx::query("DELETE FROM sqlite_sequence WHERE name = $1");
                delete.bind(file.name.clone()).execute(self.database()).await?;
                let sql = "INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)";
                let insert = sqlx::query(sql).bind(file.name.clone()).bind(last);
                insert.execute(self.database()).await?;
            }
            Kind::Postgres => {
                let sql = "SELECT setval(pg_get_serial_sequence($1, $2)::regclass, $3)";
                let query = sqlx::query(sql).bind(file.name.clone()).bind(column.to_owned());
                query.bind(last).fetch_one(self.database()).await?;
            }
        }
        Ok(())
    }
}

type Prepared<'a> = Query<'a, Any, sqlx::any::AnyArguments>;

/// Binds a value as what its column holds: PostgreSQL wants to know it also of nothing.
fn bind<'a>(query: Prepared<'a>, value: Value, kind: Type) -> Result<Prepared<'a>, String> {
    let inner =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let wrong = || format!("a value is none of its column ({kind:?})");
    let is_null = value.is_null();
    Ok(match kind {
        Type::Text => match value {
            Value::String(text) => query.bind(Some(text)),
            _ if is_null => query.bind(None::<String>),
            _ => return Err(wrong()),
        },
        Type::Number => match value.as_i64() {
            None if !is_null => return Err(wrong()),
            number => query.bind(number),
        },
        Type::Double => match inner(&value, "double").and_then(|text| text.parse::<f64>().ok()) {
            None if !is_null => return Err(wrong()),
            number => query.bind(number),
        },
        Type::Bytes => {
            match inner(&value, "base64").and_then(|text| BASE64_STANDARD.decode(text).ok()) {
                None if !is_null => return Err(wrong()),
                bytes => query.bind(bytes),
            }
        }
    })
}
