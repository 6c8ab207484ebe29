//! Who did what, when and from where. Rows are added and never changed; each holds a hash over
//! itself and the row before, so that a change in the database shows.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::{Row, any::AnyRow};

use crate::{
    Result, Session, StoreError,
    id::{hash, micros, new_id, time},
};

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    pub user_id: String,
    pub username: String,
    pub email: String,
    /// Where the request came from; `local` for commands on the machine.
    pub address: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    pub number: i64,
    pub id: String,
    pub kind: String,
    pub at: DateTime<Utc>,
    pub actor: Actor,
    /// Ids and names of the projects that it was about.
    pub projects: Vec<(String, String)>,
    pub details: Value,
}

/// Which events are wanted, oldest first.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Inclusive.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub to: Option<DateTime<Utc>>,
    /// Number of the last event of the page before.
    pub after: Option<i64>,
    pub limit: usize,
}

/// A row as the chain sees it.
struct Link {
    id: String,
    kind: String,
    at: i64,
    actor: String,
    address: String,
    projects: String,
    details: String,
}

impl Link {
    fn hash(&self, before: &str) -> String {
        // JSON keeps the fields apart whatever is in them.
        let fields = json!([
            before,
            self.id,
            self.kind,
            self.at,
            self.actor,
            self.address,
            self.projects,
            self.details
        ]);
        hash(fields.to_string().as_bytes())
    }

    fn read(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            id: row.try_get(1)?,
            kind: row.try_get(2)?,
            at: row.try_get(3)?,
            actor: row.try_get(4)?,
            address: row.try_get(5)?,
            projects: row.try_get(6)?,
            details: row.try_get(7)?,
        })
    }
}

fn event(row: &AnyRow) -> Result<AuditEvent> {
    let link = Link::read(row)?;
    let damaged = |_| StoreError::Damaged { what: format!("the audit event `{}`", link.id) };
    let (user_id, username, email) = serde_json::from_str(&link.actor).map_err(damaged)?;
    Ok(AuditEvent {
        number: row.try_get(0)?,
        kind: link.kind,
        at: time(link.at),
        actor: Actor { user_id, username, email, address: link.address },
        projects: serde_json::from_str(&link.projects).map_err(damaged)?,
        details: serde_json::from_str(&link.details).map_err(damaged)?,
        id: link.id,
    })
}

impl Session {
    /// Adds an event, in the transaction of what it is about.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn audit(
        &mut self,
        actor: &Actor,
        kind: &str,
        projects: &[(&str, &str)],
        details: Value,
    ) -> Result<()> {
        let link = Link {
            id: new_id()?,
            kind: kind.to_owned(),
            at: micros(self.now),
            actor: json!([actor.user_id, actor.username, actor.email]).to_string(),
            address: actor.address.clone(),
            projects: json!(projects).to_string(),
            details: details.to_string(),
        };
        // The first statement takes the row's lock where there are several writers.
        sqlx::query("UPDATE audit_head SET hash = hash WHERE one = 1")
            .execute(self.database())
            .await?;
        let head = sqlx::query("SELECT hash FROM audit_head WHERE one = 1");
        let before: String = head.fetch_one(self.database()).await?.try_get(0)?;
        let hash = link.hash(&before);
        sqlx::query(
            "INSERT INTO audit_events (id, kind, at, actor, address, projects, details, hash) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(link.id)
        .bind(link.kind)
        .bind(link.at)
        .bind(link.actor)
        .bind(link.address)
        .bind(link.projects)
        .bind(link.details)
        .bind(hash.clone())
        .execute(self.database())
        .await?;
        sqlx::query("UPDATE audit_head SET hash = $1 WHERE one = 1")
            .bind(hash)
            .execute(self.database())
            .await?;
        Ok(())
    }

    /// A page of events.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn audit_events(&mut self, wanted: &AuditQuery) -> Result<Vec<AuditEvent>> {
        let rows = sqlx::query(
            "SELECT number, id, kind, at, actor, address, projects, details FROM audit_events \
             WHERE number > $1 AND at >= $2 AND at < $3 ORDER BY number LIMIT $4",
        )
        .bind(wanted.after.unwrap_or_default())
        .bind(wanted.from.map_or(i64::MIN, micros))
        .bind(wanted.to.map_or(i64::MAX, micros))
        .bind(i64::try_from(wanted.limit).unwrap_or(i64::MAX))
        .fetch_all(self.database())
        .await?;
        rows.iter().map(event).collect()
    }

    /// Walks along the whole chain; the id of the first event that was changed, or after which
    /// one is missing.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn first_forged_event(&mut self) -> Result<Option<String>> {
        let (mut before, mut number) = (String::new(), 0);
        loop {
            let rows = sqlx::query(
                "SELECT number, id, kind, at, actor, address, projects, details, hash \
                 FROM audit_events WHERE number > $1 ORDER BY number LIMIT 1000",
            )
            .bind(number)
            .fetch_all(self.database())
            .await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                let link = Link::read(&row)?;
                let hash: String = row.try_get(8)?;
                if link.hash(&before) != hash {
                    return Ok(Some(link.id));
                }
                before = hash;
                number = row.try_get(0)?;
            }
        }
        let head = sqlx::query("SELECT hash FROM audit_head WHERE one = 1");
        let head: String = head.fetch_one(self.database()).await?.try_get(0)?;
        Ok((head != before).then(|| "the end".to_owned()))
    }
}
