//! `tributary user`: people of the platform, on its machine.

use std::collections::BTreeSet;

use appliance::exit::{Ending, Exit};
use clap::{Args, Subcommand};
use platform::{PUBLIC_URL, PublicUrl, link_kind, link_lifetime, link_url};
use serde_json::json;
use store::{Holder, NewUser, Session, StoreError, User as Kept, Version};

use crate::{
    commands::{show, show_json},
    serve::runtime,
    storage::{Storage, stored},
    token::{operator, permission},
};

#[derive(Subcommand)]
pub(crate) enum User {
    /// Makes a user, and prints a link with which they set their password; it is shown only now.
    Create(Create),
    /// Lists users.
    List {
        #[command(flatten)]
        data: Storage,
        /// Prints JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Keeps a user out at once: their sessions end, and their tokens are worth nothing.
    Disable(Named),
    /// Lets a user in again. Tokens that were not revoked are worth what they were.
    Enable(Named),
    /// Prints a link with which a user sets a password; one that was made before is worth nothing.
    ResetLink {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        at: At,
    },
}

#[derive(Args)]
pub(crate) struct Named {
    #[command(flatten)]
    data: Storage,
    /// Name of the user.
    name: String,
}

#[derive(Args)]
pub(crate) struct At {
    /// Address of the platform as people type it; without it, that of the last `tributary serve`.
    #[arg(long, value_name = "URL")]
    url: Option<PublicUrl>,
}

#[derive(Args)]
pub(crate) struct Create {
    #[command(flatten)]
    data: Storage,
    /// Name of the user.
    #[arg(value_parser = username)]
    name: String,
    #[arg(long, value_name = "ADDRESS", value_parser = email)]
    email: String,
    /// A permission or role for everywhere, such as `role-cm-tenant-admin`, or
    /// `PROJECT:NAME` for a project, such as `acme:role-cm-viewer`; several may be given.
    #[arg(long, value_name = "[PROJECT:]NAME", value_parser = grant)]
    grant: Vec<(Option<String>, String)>,
    #[command(flatten)]
    at: At,
}

fn username(name: &str) -> Result<String, String> {
    if platform::is_username(name) {
        return Ok(name.to_owned());
    }
    Err("expected 1 to 256 letters, digits, `-`, `_`, `.` and `@`".to_owned())
}

fn email(text: &str) -> Result<String, String> {
    if platform::is_email(text) {
        return Ok(text.to_owned());
    }
    Err("expected an email address".to_owned())
}

fn grant(text: &str) -> Result<(Option<String>, String), String> {
    let (project, name) = match text.split_once(':') {
        Some((project, name)) => (Some(project.to_owned()), permission(name)?),
        None => (None, permission(text)?),
    };
    let fits = if project.is_some() {
        platform::is_of_projects(&name)
    } else {
        platform::is_global(&name)
    };
    if fits {
        return Ok((project, name));
    }
    let place = if project.is_some() { "is none of a project" } else { "needs a project" };
    Err(format!("`{name}` {place}"))
}

fn failed(error: StoreError) -> Ending {
    match error {
        StoreError::Exists { .. } => Ending::new(Exit::Config, error.to_string()),
        _ => stored(&error),
    }
}

async fn named(session: &mut Session, name: &str) -> Result<Kept, Ending> {
    let hint = "`tributary user list` shows the names.";
    let missing = || Ending::new(Exit::Config, format!("there is no user `{name}`\nHint: {hint}"));
    session.user_named(name).await.map_err(failed)?.ok_or_else(missing)
}

impl User {
    pub(crate) fn run(self) -> Result<Exit, Ending> {
        runtime()?.block_on(async {
            match self {
                Self::Create(create) => create.run().await,
                Self::List { data, json } => list(&data, json).await,
                Self::Disable(named) => named.set_disabled(true).await,
                Self::Enable(named) => named.set_disabled(false).await,
                Self::ResetLink { named, at } => named.reset_link(&at).await,
            }
        })?;
        Ok(Exit::Success)
    }
}

/// Makes a link in the transaction, and tells where it leads.
async fn link(session: &mut Session, user: &Kept, at: &At) -> Result<String, Ending> {
    let url = match &at.url {
        Some(url) => url.to_string(),
        None => {
            let hint = "Give it with `--url`, or start `tributary serve` once.";
            let message = format!("the address of the platform is not known\nHint: {hint}");
            let known = session.setting(PUBLIC_URL).await.map_err(failed)?;
            known.ok_or_else(|| Ending::new(Exit::Config, message))?
        }
    };
    let kind = link_kind(session, &user.id).await.map_err(failed)?;
    let made = session.make_link(&user.id, kind, link_lifetime(kind)).await.map_err(failed)?;
    let details = json!({ "user_id": user.id, "username": user.username, "kind": kind.name() });
    session.audit(&operator(), "make_link", &[], details).await.map_err(failed)?;
    Ok(link_url(&url, &made.0))
}

impl Create {
    async fn run(self) -> Result<(), Ending> {
        let store = self.data.open(Version::Newest).await?;
        let mut session = store.write().await.map_err(failed)?;
        let new = NewUser { username: self.name, email: self.email };
        let user = session.create_user(new).await.map_err(failed)?;
        let of = |project: Option<&String>| -> BTreeSet<String> {
            let own = self.grant.iter().filter(|(own, _)| own.as_ref() == project);
            own.map(|(_, name)| name.clone()).collect()
        };
        let global = of(None);
        let everywhere = Holder::Everywhere;
        session.set_permissions(&user.id, everywhere, &global).await.map_err(failed)?;
        let projects: BTreeSet<&String> =
            self.grant.iter().filter_map(|(project, _)| project.as_ref()).collect();
        let (mut about, mut given) = (Vec::new(), serde_json::Map::new());
        for name in projects {
            let missing = || Ending::new(Exit::Config, format!("there is no project `{name}`"));
            let project = session.project(name).await.map_err(failed)?.ok_or_else(missing)?;
            let names = of(Some(name));
            let holder = Holder::Project(&project.id);
            session.set_permissions(&user.id, holder, &names).await.map_err(failed)?;
            given.insert(name.clone(), json!(names));
            about.push((project.id, project.name));
        }
        let about: Vec<_> = about.iter().map(|(id, name)| (&**id, &**name)).collect();
        let details = json!({
            "user_id": user.id, "username": user.username, "global_permissions": global,
            "organisation_permissions": given,
        });
        session.audit(&operator(), "create_user", &about, details).await.map_err(failed)?;
        let link = link(&mut session, &user, &self.at).await?;
        session.commit().await.map_err(failed)?;
        show(&format!("{link}\n"))?;
        store.close().await;
        Ok(())
    }
}

impl Named {
    async fn set_disabled(self, disabled: bool) -> Result<(), Ending> {
        let store = self.data.open(Version::Newest).await?;
        let mut session = store.write().await.map_err(failed)?;
        let user = named(&mut session, &self.name).await?;
        session.set_disabled(&user.id, disabled).await.map_err(failed)?;
        if disabled {
            session.end_web_sessions(&user.id, None).await.map_err(failed)?;
            session.drop_link(&user.id).await.map_err(failed)?;
        }
        let kind = if disabled { "disable_user" } else { "enable_user" };
        let details = json!({ "user_id": user.id, "username": user.username });
        session.audit(&operator(), kind, &[], details).await.map_err(failed)?;
        session.commit().await.map_err(failed)?;
        store.close().await;
        Ok(())
    }

    async fn reset_link(self, at: &At) -> Result<(), Ending> {
        let store = self.data.open(Version::Newest).await?;
        let mut session = store.write().await.map_err(failed)?;
        let user = named(&mut session, &self.name).await?;
        if user.disabled_at.is_some() {
            let hint = "`tributary user enable` lets them in again.";
            let message = format!("the user `{}` is disabled\nHint: {hint}", user.username);
            return Err(Ending::new(Exit::Config, message));
        }
        let link = link(&mut session, &user, at).await?;
        session.commit().await.map_err(failed)?;
        show(&format!("{link}\n"))?;
        store.close().await;
        Ok(())
    }
}

async fn list(data: &Storage, json: bool) -> Result<(), Ending> {
    let store = data.open(Version::Newest).await?;
    let mut session = store.read().await.map_err(failed)?;
    let mut rows = Vec::new();
    for user in session.users().await.map_err(failed)? {
        let has_password = session.password(&user.id).await.map_err(failed)?.is_some();
        let identities = session.identities(&user.id).await.map_err(failed)?;
        let issuers: Vec<String> = identities.into_iter().map(|own| own.issuer).collect();
        rows.push((user, has_password, issuers));
    }
    drop(session);
    store.close().await;
    if json {
        let shown = rows.iter().map(|(user, password, issuers)| {
            json!({
                "id": user.id, "username": user.username, "email": user.email,
                "disabled": user.disabled_at.is_some(), "has_password": password,
                "issuers": issuers, "global_permissions": user.global,
                "organisation_permissions": user.projects, "created_at": user.created_at,
                "last_seen_at": user.last_seen_at,
            })
        });
        return show_json(&shown.collect::<Vec<_>>());
    }
    let mut table = format!(
        "{:<16}  {:<20}  {:<8}  {:<12}  {:<20}  EMAIL\n",
        "ID", "NAME", "STATE", "SIGN-IN", "LAST SEEN"
    );
    for (user, has_password, issuers) in &rows {
        let state = if user.disabled_at.is_some() { "disabled" } else { "enabled" };
        let ways = match (has_password, issuers.is_empty()) {
            (true, true) => "password",
            (true, false) => "both",
            (false, false) => "oidc",
            (false, true) => "none yet",
        };
        let seen = user.last_seen_at.map(|at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string());
        table.push_str(&format!(
            "{:<16}  {:<20}  {state:<8}  {ways:<12}  {:<20}  {}\n",
            user.id,
            user.username,
            seen.unwrap_or_else(|| "never".to_owned()),
            user.email,
        ));
    }
    show(&table)
}
