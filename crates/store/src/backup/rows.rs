//! Rows as lines of JSON, in a form that both databases can read.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::{Compression, write::GzEncoder};
use futures_util::TryStreamExt;
use openssl::sha::Sha256;
use serde_json::{Value, json};
use sqlx::{
    AssertSqlSafe, Row, TypeInfo, ValueRef,
    any::{AnyRow, AnyTypeInfoKind},
};

use super::manifest::TableFile;
use crate::{Kind, Result, Session, StoreError, id::hex, tables::Table};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Number,
    Double,
    Bytes,
}

impl Session {
    /// Whether there is a table: those of an earlier version have not all of them yet.
    pub(crate) async fn has_table(&mut self, table: &str) -> Result<bool> {
        Ok(!self.columns(table).await?.is_empty())
    }

    /// The columns of a table, in its order.
    pub(super) async fn columns(&mut self, table: &str) -> Result<Vec<(String, Type)>> {
        let sql = match self.store.kind {
            Kind::Sqlite => "SELECT name, type FROM pragma_table_info($1) ORDER BY cid",
            Kind::Postgres => {
                "SELECT column_name::text, data_type::text FROM information_schema.columns \
                 WHERE table_schema = current_schema() AND table_name = $1 \
                 ORDER BY ordinal_position"
            }
        };
        let rows = sqlx::query(sql).bind(table.to_owned()).fetch_all(self.database()).await?;
        let column = |row: &AnyRow| {
            let (name, kind): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let kind = match &*kind.to_ascii_uppercase() {
                "TEXT" => Type::Text,
                "BIGINT" | "INTEGER" => Type::Number,
                "DOUBLE PRECISION" | "DOUBLE" | "REAL" => Type::Double,
                "BLOB" | "BYTEA" => Type::Bytes,
                other => {
                    let what = format!("the column `{table}.{name}` of type `{other}`");
                    return Err(StoreError::Damaged { what });
                }
            };
            Ok((name, kind))
        };
        rows.iter().map(column).collect()
    }

    /// The last number that a column was given.
    pub(super) async fn counter(&mut self, table: &str, column: &str) -> Result<i64> {
        let row = match self.store.kind {
            Kind::Sqlite => {
                let query = sqlx::query("SELECT seq FROM sqlite_sequence WHERE name = $1");
                query.bind(table.to_owned()).fetch_optional(self.database()).await?
            }
            Kind::Postgres => {
                let query = sqlx::query("SELECT pg_get_serial_sequence($1, $2)::text");
                let query = query.bind(table.to_owned()).bind(column.to_owned());
                let sequence: String = query.fetch_one(self.database()).await?.try_get(0)?;
                let sql = format!(
                    "SELECT CASE WHEN is_called THEN last_value ELSE 0::bigint END FROM {sequence}"
                );
                sqlx::query(AssertSqlSafe(sql)).fetch_optional(self.database()).await?
            }
        };
        row.map_or(Ok(0), |row| Ok(row.try_get(0)?))
    }

    /// Writes all rows of a table.
    pub(super) async fn export(
        &mut self,
        table: &Table,
        path: &Path,
        told: &mut impl FnMut(u64),
    ) -> Result<TableFile> {
        let counter = match table.counter {
            Some(column) => Some(self.counter(table.name, column).await?),
            None => None,
        };
        let mut columns: Vec<String> =
            self.columns(table.name).await?.into_iter().map(|(name, _)| name).collect();
        columns.retain(|name| table.without != Some(name));
        let sql =
            format!("SELECT {} FROM {} ORDER BY {}", columns.join(", "), table.name, table.order);
        let failed = || StoreError::file(path);
        let mut out = Out::create(path).map_err(failed())?;
        let mut rows = 0;
        let mut found = sqlx::query(AssertSqlSafe(sql)).fetch(self.database());
        while let Some(row) = found.try_next().await? {
            out.line(&line(&row)?).map_err(failed())?;
            rows += 1;
            told(rows);
        }
        let sha256 = out.finish().map_err(failed())?;
        Ok(TableFile { name: table.name.to_owned(), columns, rows, sha256, counter })
    }
}

fn line(row: &AnyRow) -> Result<String> {
    let mut values = Vec::with_capacity(row.len());
    for column in 0..row.len() {
        let raw = row.try_get_raw(column)?;
        let value = if raw.is_null() {
            Value::Null
        } else {
            match raw.type_info().kind() {
                AnyTypeInfoKind::Text => Value::String(row.try_get(column)?),
                AnyTypeInfoKind::SmallInt | AnyTypeInfoKind::Integer | AnyTypeInfoKind::BigInt => {
                    json!(row.try_get::<i64, _>(column)?)
                }
                // As text: JSON has no infinity, and readers of it round.
                AnyTypeInfoKind::Real | AnyTypeInfoKind::Double => {
                    json!({ "double": row.try_get::<f64, _>(column)?.to_string() })
                }
                AnyTypeInfoKind::Blob => {
                    let bytes: Vec<u8> = row.try_get(column)?;
                    json!({ "base64": BASE64_STANDARD.encode(bytes) })
                }
                AnyTypeInfoKind::Null | AnyTypeInfoKind::Bool => {
                    let what = format!("a value of type {}", raw.type_info().name());
                    return Err(StoreError::Damaged { what });
                }
            }
        };
        values.push(value);
    }
    Ok(Value::Array(values).to_string() + "\n")
}

/// A compressed file of lines.
struct Out {
    file: GzEncoder<BufWriter<File>>,
    sum: Sha256,
}

impl Out {
    fn create(path: &Path) -> std::io::Result<Self> {
        let file = BufWriter::new(super::target::create(path)?);
        Ok(Self { file: GzEncoder::new(file, Compression::fast()), sum: Sha256::new() })
    }

    fn line(&mut self, line: &str) -> std::io::Result<()> {
        self.sum.update(line.as_bytes());
        self.file.write_all(line.as_bytes())
    }

    fn finish(self) -> std::io::Result<String> {
        let file = self.file.finish()?.into_inner().map_err(|error| error.into_error())?;
        file.sync_all()?;
        Ok(hex(&self.sum.finish()))
    }
}
