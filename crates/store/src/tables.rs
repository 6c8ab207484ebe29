//! Every table there is, and what becomes of it in a backup. A test compares this list with the
//! schema, so that no table can be forgotten.

/// A table of the schema.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// The columns that put its rows into one order: its primary key.
    pub(crate) order: &'static str,
    /// Columns that name a row of `contents`.
    pub(crate) contents: &'static [&'static str],
    /// Made from other tables whenever it is missing, so it is not part of a backup.
    pub(crate) is_derived: bool,
    /// The column that the database counts by itself.
    pub(crate) counter: Option<&'static str>,
    /// The column that a backup has as files.
    pub(crate) without: Option<&'static str>,
}

const fn kept(name: &'static str, order: &'static str) -> Table {
    Table { name, order, contents: &[], is_derived: false, counter: None, without: None }
}

const fn derived(name: &'static str) -> Table {
    Table { is_derived: true, ..kept(name, "1") }
}

impl Table {
    const fn contents(self, columns: &'static [&'static str]) -> Self {
        Self { contents: columns, ..self }
    }

    const fn counted(self, column: &'static str) -> Self {
        Self { counter: Some(column), ..self }
    }
}

/// Parents before their children, as foreign keys want it.
pub(crate) const TABLES: &[Table] = &[
    kept("settings", "name"),
    kept("projects", "id"),
    kept("users", "id"),
    kept("global_permissions", "user_id, permission"),
    kept("project_permissions", "user_id, project_id, permission"),
    kept("tokens", "id"),
    kept("passwords", "user_id"),
    kept("web_sessions", "id"),
    kept("links", "user_id"),
    kept("identities", "issuer, subject"),
    kept("group_roles", "user_id, project, role"),
    kept("used_states", "hash"),
    kept("upload_marks", "credential, subject, address, hour"),
    kept("buckets", "id"),
    Table { without: Some("body"), ..kept("contents", "hash") },
    kept("emails", "number").contents(&["hash"]).counted("number"),
    kept("email_attachments", "bucket_id, email_id, place").contents(&["hash"]),
    kept("sources", "id"),
    kept("comments", "place"),
    kept("comment_attachments", "source_id, comment_id, place").contents(&["hash"]),
    kept("conversions", "email, source_id"),
    kept("converting", "hash, holder"),
    kept("integrations", "id"),
    kept("integration_errors", "number").counted("number"),
    kept("outbox", "number").counted("number"),
    kept("datasets", "id"),
    kept("dataset_sources", "dataset_id, source_id"),
    kept("annotations", "dataset_id, source_id, comment_id"),
    kept("streams", "id"),
    kept("stream_positions", "stream_id, source_id"),
    kept("stream_exceptions", "stream_id, comment_uid"),
    kept("sync_states", "bucket_id"),
    kept("keyed_sync_states", "bucket_id, key"),
    kept("appliance_configs", "project_id, name, version"),
    kept("quotas", "kind"),
    kept("audit_events", "number").counted("number"),
    kept("audit_head", "one"),
    derived("search_words"),
    derived("search_volume"),
    derived("search_state"),
];

/// The condition that nothing needs the content with the hash `value`.
pub(crate) fn unused(value: &str) -> String {
    let needed = TABLES.iter().flat_map(|table| {
        let none = move |column| {
            format!("NOT EXISTS (SELECT 1 FROM {0} WHERE {0}.{column} = {value})", table.name)
        };
        table.contents.iter().map(none)
    });
    needed.collect::<Vec<_>>().join(" AND ")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use record::clock::SystemClock;
    use sqlx::Row;

    use super::*;
    use crate::Store;

    async fn rows(store: &Store, sql: String) -> Vec<Vec<String>> {
        let mut session = store.read().await.unwrap();
        let query = sqlx::query(sqlx::AssertSqlSafe(sql));
        let rows = query.fetch_all(session.database()).await.unwrap();
        let columns = |row: &sqlx::any::AnyRow| {
            (0..row.len()).map(|column| row.try_get(column).unwrap()).collect()
        };
        rows.iter().map(columns).collect()
    }

    /// Everything that the schema says about tables, as the list should have it.
    #[tokio::test]
    async fn the_list_is_the_schema() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Arc::new(SystemClock)).await.unwrap();
        let sql = "SELECT name, sql FROM sqlite_master WHERE type = 'table' \
                   AND name NOT LIKE 'sqlite_%' AND name <> 'schema_versions'";
        let mut schema = rows(&store, sql.to_owned()).await;
        let shadows: Vec<String> = schema
            .iter()
            .filter(|row| row[1].to_uppercase().starts_with("CREATE VIRTUAL"))
            .map(|row| format!("{}_", row[0]))
            .collect();
        schema.retain(|row| !shadows.iter().any(|shadow| row[0].starts_with(shadow)));
        let names: BTreeSet<&str> = schema.iter().map(|row| &*row[0]).collect();
        let known: BTreeSet<&str> = TABLES.iter().map(|table| table.name).collect();
        assert_eq!(names, known, "what is not in both lists is missing in `tables.rs`");
        for row in &schema {
            let (name, text) = (&row[0], &row[1]);
            let place = TABLES.iter().position(|table| table.name == name).unwrap();
            let table = &TABLES[place];
            if table.is_derived {
                continue;
            }
            assert_eq!(table.counter.is_some(), text.contains("AUTOINCREMENT"), "{name}");
            let sql = format!("SELECT \"table\", \"from\" FROM pragma_foreign_key_list('{name}')");
            let mut contents = BTreeSet::new();
            for key in rows(&store, sql).await {
                let parent = TABLES.iter().position(|table| table.name == key[0]).unwrap();
                assert!(parent <= place, "`{name}` comes before its parent `{}`", key[0]);
                if key[0] == "contents" {
                    contents.insert(key[1].clone());
                }
            }
            let listed = table.contents.iter().map(|&column| column.to_owned()).collect();
            assert_eq!(contents, listed, "the columns of `{name}` that name contents");
            rows(&store, format!("SELECT 'x' FROM {name} ORDER BY {}", table.order)).await;
        }
    }
}
