//! The first user, who makes all others.

use std::collections::BTreeSet;

use record::Secret;
use serde_json::json;
use store::{Actor, Holder, LinkKind, NewToken, NewUser, Result, Store, StoreError};

use crate::{links::link_lifetime, permissions::ROOT};

/// Name and address of the first user.
const ADMIN: (&str, &str) = ("admin", "admin@localhost");

/// What lets the first user in. Both are shown once and kept nowhere.
pub struct FirstStart {
    pub token: Secret,
    /// Sets their password.
    pub link: Secret,
}

/// Makes the first user with a token and a one-time link, unless there are users already.
///
/// # Errors
///
/// The database failed.
pub async fn first_start(store: &Store) -> Result<Option<FirstStart>> {
    match make(store).await {
        // Another process on the same database makes its first start at this moment.
        Err(StoreError::Busy(_) | StoreError::Exists { .. }) => make(store).await,
        made => made,
    }
}

async fn make(store: &Store) -> Result<Option<FirstStart>> {
    if !store.read().await?.users().await?.is_empty() {
        return Ok(None);
    }
    let mut session = store.write().await?;
    // Another process may have been faster.
    if !session.users().await?.is_empty() {
        return Ok(None);
    }
    let (username, email) = (ADMIN.0.to_owned(), ADMIN.1.to_owned());
    let user = session.create_user(NewUser { username, email }).await?;
    let root = BTreeSet::from([ROOT.to_owned()]);
    session.set_permissions(&user.id, Holder::Everywhere, &root).await?;
    let name = "first start".to_owned();
    let (id, token) = session
        .create_token(NewToken { user_id: user.id.clone(), name, ..NewToken::default() })
        .await?;
    let kind = LinkKind::FirstAdmin;
    let (link, _) = session.make_link(&user.id, kind, link_lifetime(kind)).await?;
    let actor = Actor {
        user_id: user.id,
        username: user.username,
        email: user.email,
        address: "local".to_owned(),
    };
    let details = json!({ "token": id, "link": kind.name() });
    session.audit(&actor, "first_start", &[], details).await?;
    session.commit().await?;
    Ok(Some(FirstStart { token, link }))
}
