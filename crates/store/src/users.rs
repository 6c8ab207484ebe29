//! Users, and what they may do.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};

use crate::{
    Result, Session, StoreError,
    id::{micros, new_id, time},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: String,
    pub username: String,
    pub email: String,
    pub created_at: DateTime<Utc>,
    /// Last use of one of their tokens, to some minutes.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Since when neither tokens nor sessions of theirs are worth anything.
    pub disabled_at: Option<DateTime<Utc>>,
    pub global: BTreeSet<String>,
    /// By the name of the project.
    pub projects: BTreeMap<String, BTreeSet<String>>,
    /// What the groups that their provider names give them, beside `global`.
    pub group_global: BTreeSet<String>,
    /// The same beside `projects`.
    pub group_projects: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Clone, Debug)]
pub struct NewUser {
    pub username: String,
    pub email: String,
}

/// Whose permissions are meant.
#[derive(Clone, Copy, Debug)]
pub enum Holder<'a> {
    Everywhere,
    /// In the project with this id.
    Project(&'a str),
}

const COLUMNS: &str = "SELECT id, username, email, created_at, last_seen_at, disabled_at \
    FROM users";

fn user(row: &AnyRow) -> Result<User> {
    Ok(User {
        id: row.try_get(0)?,
        username: row.try_get(1)?,
        email: row.try_get(2)?,
        created_at: time(row.try_get(3)?),
        last_seen_at: row.try_get::<Option<i64>, _>(4)?.map(time),
        disabled_at: row.try_get::<Option<i64>, _>(5)?.map(time),
        global: BTreeSet::new(),
        projects: BTreeMap::new(),
        group_global: BTreeSet::new(),
        group_projects: BTreeMap::new(),
    })
}

impl Session {
    /// All users by name, with their permissions.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn users(&mut self) -> Result<Vec<User>> {
        let sql = AssertSqlSafe(format!("{COLUMNS} ORDER BY username"));
        let rows = sqlx::query(sql).fetch_all(self.database()).await?;
        let mut users: Vec<User> = rows.iter().map(user).collect::<Result<_>>()?;
        self.add_permissions(&mut users, None).await?;
        Ok(users)
    }

    /// The user with that id.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn user(&mut self, id: &str) -> Result<Option<User>> {
        self.one_user("id", id).await
    }

    /// The user with that name.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn user_named(&mut self, username: &str) -> Result<Option<User>> {
        self.one_user("username", username).await
    }

    async fn one_user(&mut self, column: &str, value: &str) -> Result<Option<User>> {
        let sql = AssertSqlSafe(format!("{COLUMNS} WHERE {column} = $1"));
        let row = sqlx::query(sql).bind(value.to_owned()).fetch_optional(self.database()).await?;
        let Some(row) = row else { return Ok(None) };
        let mut users = [user(&row)?];
        let id = users.iter().map(|user| user.id.clone()).next();
        self.add_permissions(&mut users, id).await?;
        Ok(users.into_iter().next())
    }

    /// Adds what they may do to users, sorted by nothing; `of` limits the reading to one.
    async fn add_permissions(&mut self, users: &mut [User], of: Option<String>) -> Result<()> {
        let mut global: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let one = if of.is_some() { " WHERE user_id = $1" } else { "" };
        let sql = format!("SELECT user_id, permission FROM global_permissions{one}");
        let query = sqlx::query(AssertSqlSafe(sql));
        let query = match &of {
            Some(id) => query.bind(id.clone()),
            None => query,
        };
        for row in query.fetch_all(self.database()).await? {
            global.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?);
        }
        let mut projects: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        let sql = format!(
            "SELECT user_id, name, permission FROM project_permissions \
             JOIN projects ON projects.id = project_id{one}"
        );
        let query = sqlx::query(AssertSqlSafe(sql));
        let query = match &of {
            Some(id) => query.bind(id.clone()),
            None => query,
        };
        for row in query.fetch_all(self.database()).await? {
            let of_user = projects.entry(row.try_get(0)?).or_default();
            of_user.entry(row.try_get(1)?).or_default().insert(row.try_get(2)?);
        }
        let mut groups = self.group_roles(of).await?;
        for user in users {
            user.global = global.remove(&user.id).unwrap_or_default();
            user.projects = projects.remove(&user.id).unwrap_or_default();
            user.group_projects = groups.remove(&user.id).unwrap_or_default();
            user.group_global = user.group_projects.remove("").unwrap_or_default();
        }
        Ok(())
    }

    /// What groups give: by user, then by project. A name without a project is worth nothing.
    async fn group_roles(
        &mut self,
        of: Option<String>,
    ) -> Result<BTreeMap<String, BTreeMap<String, BTreeSet<String>>>> {
        let one = if of.is_some() { " AND user_id = $1" } else { "" };
        let sql = format!(
            "SELECT user_id, project, role FROM group_roles \
             WHERE (project = '' OR project IN (SELECT name FROM projects)){one}"
        );
        let query = sqlx::query(AssertSqlSafe(sql));
        let query = match of {
            Some(id) => query.bind(id),
            None => query,
        };
        let mut groups: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for row in query.fetch_all(self.database()).await? {
            let of_user = groups.entry(row.try_get(0)?).or_default();
            of_user.entry(row.try_get(1)?).or_default().insert(row.try_get(2)?);
        }
        Ok(groups)
    }

    /// # Errors
    ///
    /// [`StoreError::Exists`]: name and address are each one user's.
    pub async fn create_user(&mut self, new: NewUser) -> Result<User> {
        for (column, value) in [("username", &new.username), ("email", &new.email)] {
            if self.one_user(column, value).await?.is_some() {
                let what = format!("a user with the {column} `{value}`");
                return Err(StoreError::Exists { what });
            }
        }
        let user = User {
            id: new_id()?,
            username: new.username,
            email: new.email,
            created_at: self.now,
            last_seen_at: None,
            disabled_at: None,
            global: BTreeSet::new(),
            projects: BTreeMap::new(),
            group_global: BTreeSet::new(),
            group_projects: BTreeMap::new(),
        };
        sqlx::query("INSERT INTO users (id, username, email, created_at) VALUES ($1, $2, $3, $4)")
            .bind(user.id.clone())
            .bind(user.username.clone())
            .bind(user.email.clone())
            .bind(micros(self.now))
            .execute(self.database())
            .await?;
        Ok(user)
    }

    /// Replaces what a user may do there.
    ///
    /// # Errors
    ///
    /// There is no such user or project.
    pub async fn set_permissions(
        &mut self,
        user: &str,
        holder: Holder<'_>,
        permissions: &BTreeSet<String>,
    ) -> Result<()> {
        let delete = match holder {
            Holder::Everywhere => sqlx::query("DELETE FROM global_permissions WHERE user_id = $1"),
            Holder::Project(_) => sqlx::query(
                "DELETE FROM project_permissions WHERE user_id = $1 AND project_id = $2",
            ),
        };
        let delete = delete.bind(user.to_owned());
        let delete = match holder {
            Holder::Everywhere => delete,
            Holder::Project(id) => delete.bind(id.to_owned()),
        };
        delete.execute(self.database()).await?;
        for permission in permissions {
            let insert = match holder {
                Holder::Everywhere => sqlx::query(
                    "INSERT INTO global_permissions (user_id, permission) VALUES ($1, $2)",
                ),
                Holder::Project(_) => sqlx::query(
                    "INSERT INTO project_permissions (user_id, permission, project_id) \
                     VALUES ($1, $2, $3)",
                ),
            };
            let insert = insert.bind(user.to_owned()).bind(permission.clone());
            let insert = match holder {
                Holder::Everywhere => insert,
                Holder::Project(id) => insert.bind(id.to_owned()),
            };
            insert.execute(self.database()).await?;
        }
        Ok(())
    }

    /// Disables a user, or lets them in again.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn set_disabled(&mut self, id: &str, disabled: bool) -> Result<()> {
        let now = disabled.then(|| micros(self.now));
        sqlx::query("UPDATE users SET disabled_at = $2 WHERE id = $1")
            .bind(id.to_owned())
            .bind(now)
            .execute(self.database())
            .await?;
        Ok(())
    }

    /// Removes a user with all tokens.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn delete_user(&mut self, id: &str) -> Result<()> {
        sqlx::query("DELETE FROM users WHERE id = $1")
            .bind(id.to_owned())
            .execute(self.database())
            .await?;
        Ok(())
    }
}
