//! One transaction: everything is read and written through it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use record::Chain;
use sqlx::{Any, AnyConnection, Transaction};

use crate::{Contents, Kind, Result, Store, id};

/// What a transaction holds until it ends, by id.
#[derive(Clone, Copy, Debug)]
pub enum Held<'a> {
    Dataset(&'a str),
    Integration(&'a str),
    Source(&'a str),
    Stream(&'a str),
    /// That of a user.
    Password(&'a str),
    /// All users and what they may do.
    People,
}

/// A transaction. Dropped without [`Self::commit`], it changes nothing.
pub struct Session {
    pub(crate) database: Transaction<'static, Any>,
    pub(crate) contents: Arc<dyn Contents>,
    /// The time of everything that it writes.
    pub(crate) now: DateTime<Utc>,
    /// Contents whose rows went, and whose files may go once that is certain.
    pub(crate) gone: Vec<String>,
    pub(crate) store: Store,
}

impl Session {
    pub(crate) fn new(database: Transaction<'static, Any>, store: &Store) -> Self {
        Self {
            database,
            contents: Arc::clone(&store.contents),
            // What is answered now is what will be read later.
            now: id::time(id::micros(store.clock.now())),
            gone: Vec::new(),
            store: store.clone(),
        }
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// A name that nobody else has.
    ///
    /// # Errors
    ///
    /// There are no random numbers.
    pub fn new_name(&self) -> Result<String> {
        id::new_id()
    }

    /// Makes everything that was written visible and durable.
    ///
    /// # Errors
    ///
    /// The database could not; then nothing was written, or nobody knows.
    pub async fn commit(self) -> Result<()> {
        self.database.commit().await?;
        self.store.flushed().await?;
        if self.gone.is_empty() {
            return Ok(());
        }
        // What cannot be removed now is found by the next sweep; what was asked for is done.
        if let Err(error) = self.store.remove_files(&self.gone).await {
            tracing::warn!("Could not remove contents that are not needed: {}", Chain(&error));
        }
        Ok(())
    }

    /// Makes everything that was written visible, and durable with whatever is committed next by
    /// [`Self::commit`], not before: for what can be made again from what is durable already.
    ///
    /// # Errors
    ///
    /// The database could not; then nothing was written, or nobody knows.
    pub async fn commit_without_waiting(mut self) -> Result<()> {
        // A file may only go when it is certain that its row has gone.
        if !self.gone.is_empty() {
            return self.commit().await;
        }
        if self.store.kind == Kind::Postgres {
            // Spec: "Asynchronous Commit", PostgreSQL documentation.
            let sql = "SET LOCAL synchronous_commit = off";
            sqlx::query(sql).execute(self.database()).await?;
        }
        self.database.commit().await?;
        self.store.committed()
    }

    /// Makes this the only transaction that changes something, so that what it reads of that stays
    /// true until it ends. What refers to it can be added meanwhile.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn hold(&mut self, what: Held<'_>) -> Result<()> {
        let (sql, id) = match what {
            Held::Dataset(id) => ("SELECT 1 FROM datasets WHERE id = $1 FOR NO KEY UPDATE", id),
            Held::Integration(id) => {
                ("SELECT 1 FROM integrations WHERE id = $1 FOR NO KEY UPDATE", id)
            }
            Held::Source(id) => ("SELECT 1 FROM sources WHERE id = $1 FOR NO KEY UPDATE", id),
            Held::Stream(id) => ("SELECT 1 FROM streams WHERE id = $1 FOR NO KEY UPDATE", id),
            Held::Password(id) => ("SELECT 1 FROM passwords WHERE user_id = $1 FOR UPDATE", id),
            // Whoever changes people writes an event, so that all of them meet here.
            Held::People => ("SELECT 1 FROM audit_head WHERE $1 = '' FOR UPDATE", ""),
        };
        self.lock_row(sql, id).await
    }

    /// Locks a row on a database with several writers; elsewhere there is one writer anyway.
    pub(crate) async fn lock_row(&mut self, sql: &'static str, id: &str) -> Result<()> {
        if self.store.kind == Kind::Postgres {
            sqlx::query(sql).bind(id.to_owned()).fetch_optional(self.database()).await?;
        }
        Ok(())
    }

    pub(crate) fn kind(&self) -> Kind {
        self.store.kind
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn database(&mut self) -> &mut AnyConnection {
        &mut self.database
    }
}

/// The places of the values of several rows of an `INSERT`, which are bound row by row.
///
/// SQLite would look for the name of each place among all of them, so that it gets none.
pub(crate) fn places(kind: Kind, columns: usize, rows: usize) -> String {
    let place = |number: usize| match kind {
        Kind::Sqlite => "?".to_owned(),
        Kind::Postgres => format!("${number}"),
    };
    let row = |row: usize| {
        let own: Vec<String> = (1..=columns).map(|column| place(row * columns + column)).collect();
        format!("({})", own.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_numbered_through_all_rows() {
        assert_eq!(places(Kind::Postgres, 2, 2), "($1, $2), ($3, $4)");
        assert_eq!(places(Kind::Sqlite, 2, 2), "(?, ?), (?, ?)");
    }
}
