//! `tributary token`: tokens of the platform, made on its machine.

use std::collections::BTreeSet;

use appliance::exit::{Ending, Exit};
use chrono::{TimeDelta, Utc};
use clap::{Args, Subcommand};
use serde_json::json;
use store::{Actor, NewToken, Result, StoreError, Token as Kept, Version};

use crate::{
    commands::{show, show_json},
    serve::runtime,
    storage::{Storage, stored},
};

#[derive(Subcommand)]
pub(crate) enum Token {
    /// Makes a token and prints it; it is shown only now.
    Create(Create),
    /// Lists tokens without their secret part.
    List {
        #[command(flatten)]
        data: Storage,
        /// Prints JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Makes a token worthless at once.
    Revoke {
        #[command(flatten)]
        data: Storage,
        /// Id from the list.
        id: String,
    },
}

#[derive(Args)]
pub(crate) struct Create {
    #[command(flatten)]
    data: Storage,
    /// Whose token it is. It is never worth more than its user.
    #[arg(long, value_name = "NAME", default_value = "admin")]
    user: String,
    /// What it is for, so that the list can be read.
    #[arg(long, value_name = "TEXT", default_value = "")]
    name: String,
    /// The one project in which it is worth something.
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// A permission that it has, such as `buckets-append`; several may be given. Without any,
    /// it has all of its user's.
    #[arg(long, value_name = "NAME", value_parser = permission)]
    permission: Vec<String>,
    /// Days after which it is worth nothing.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    expires_in: Option<u32>,
}

pub(crate) fn permission(name: &str) -> Result<String, String> {
    if platform::is_of_projects(name) || platform::is_global(name) {
        return Ok(name.to_owned());
    }
    Err("there is no such permission; `buckets-append` is one".to_owned())
}

/// Whoever may read the folder may do everything with it; nobody else is known.
pub(crate) fn operator() -> Actor {
    Actor {
        user_id: "0000000000000000".to_owned(),
        username: "operator".to_owned(),
        email: "operator@localhost".to_owned(),
        address: "local".to_owned(),
    }
}

impl Token {
    pub(crate) fn run(self) -> Result<Exit, Ending> {
        runtime()?.block_on(async {
            match self {
                Self::Create(create) => create.run().await,
                Self::List { data, json } => list(&data, json).await,
                Self::Revoke { data, id } => revoke(&data, &id).await,
            }
        })?;
        Ok(Exit::Success)
    }
}

impl Create {
    async fn run(self) -> Result<(), Ending> {
        let store = self.data.open(Version::Newest).await?;
        let missing = |what: &str, name: &str| {
            Ending::new(Exit::Config, format!("there is no {what} `{name}`"))
        };
        let failed = |err: StoreError| stored(&err);
        let mut session = store.write().await.map_err(failed)?;
        let user = session.user_named(&self.user).await.map_err(failed)?;
        let user = user.ok_or_else(|| missing("user", &self.user))?;
        let project = match &self.project {
            None => None,
            Some(name) => {
                let project = session.project(name).await.map_err(failed)?;
                Some(project.ok_or_else(|| missing("project", name))?)
            }
        };
        let permissions = (!self.permission.is_empty())
            .then(|| self.permission.iter().cloned().collect::<BTreeSet<_>>());
        let lifetime = self.expires_in.map(|days| TimeDelta::days(days.into()));
        let new = NewToken {
            user_id: user.id,
            name: self.name,
            permissions: permissions.clone(),
            project_id: project.as_ref().map(|project| project.id.clone()),
            expires_at: lifetime.map(|lifetime| session.now() + lifetime),
        };
        let (id, token) = session.create_token(new).await.map_err(failed)?;
        let about: Vec<_> = project.iter().map(|own| (&*own.id, &*own.name)).collect();
        let details = json!({ "token": id, "user": user.username, "permissions": permissions });
        session.audit(&operator(), "create_token", &about, details).await.map_err(failed)?;
        session.commit().await.map_err(failed)?;
        show(&format!("{}\n", token.reveal()))?;
        store.close().await;
        Ok(())
    }
}

async fn list(data: &Storage, json: bool) -> Result<(), Ending> {
    let store = data.open(Version::Newest).await?;
    let failed = |err: StoreError| stored(&err);
    let mut session = store.read().await.map_err(failed)?;
    let tokens = session.tokens().await.map_err(failed)?;
    let now = session.now();
    drop(session);
    store.close().await;
    if json {
        let shown: Vec<_> = tokens.iter().map(|token| described(token, now)).collect();
        return show_json(&shown);
    }
    let mut table = format!(
        "{:<16}  {:<13}  {:<16}  {:<8}  {:<20}  NAME\n",
        "ID", "TOKEN", "USER", "STATE", "LAST USED"
    );
    for token in &tokens {
        let used = token.last_used_at.map(|at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string());
        table.push_str(&format!(
            "{:<16}  {:<13}  {:<16}  {:<8}  {:<20}  {}\n",
            token.id,
            format!("{}…", token.shown),
            token.username,
            state(token, now),
            used.unwrap_or_else(|| "never".to_owned()),
            token.name,
        ));
    }
    show(&table)
}

fn state(token: &Kept, now: chrono::DateTime<Utc>) -> &'static str {
    match token {
        Kept { revoked_at: Some(_), .. } => "revoked",
        Kept { expires_at: Some(at), .. } if *at <= now => "expired",
        _ => "valid",
    }
}

fn described(token: &Kept, now: chrono::DateTime<Utc>) -> serde_json::Value {
    json!({
        "id": token.id, "shown": token.shown, "user": token.username, "name": token.name,
        "state": state(token, now), "project": token.project, "permissions": token.permissions,
        "created_at": token.created_at, "expires_at": token.expires_at,
        "last_used_at": token.last_used_at, "revoked_at": token.revoked_at,
    })
}

async fn revoke(data: &Storage, id: &str) -> Result<(), Ending> {
    let store = data.open(Version::Newest).await?;
    let failed = |err: StoreError| stored(&err);
    let mut session = store.write().await.map_err(failed)?;
    if !session.revoke_token(id).await.map_err(failed)? {
        let hint = "`tributary token list` shows the ids.";
        let message = format!("there is no valid token with the id `{id}`\nHint: {hint}");
        return Err(Ending::new(Exit::Config, message));
    }
    let details = json!({ "token": id });
    session.audit(&operator(), "revoke_token", &[], details).await.map_err(failed)?;
    session.commit().await.map_err(failed)?;
    store.close().await;
    Ok(())
}
