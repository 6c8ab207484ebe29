//! The first user, who makes all others.

use std::collections::BTreeSet;

use record::Secret;
use serde_json::json;
use store::{Actor, Holder, NewToken, NewUser, Result, Store};

use crate::permissions::ROOT;

/// Name and address of the first user.
const ADMIN: (&str, &str) = ("admin", "admin@localhost");

/// Makes the first user and returns a token of theirs, unless there are users already.
///
/// # Errors
///
/// The database failed.
pub async fn first_token(store: &Store) -> Result<Option<Secret>> {
    if !store.read().await?.users().await?.is_empty() {
        return Ok(None);
    }
    let mut session = store.write().await?;
    let (username, email) = (ADMIN.0.to_owned(), ADMIN.1.to_owned());
    let user = session.create_user(NewUser { username, email }).await?;
    let root = BTreeSet::from([ROOT.to_owned()]);
    session.set_permissions(&user.id, Holder::Everywhere, &root).await?;
    let name = "first start".to_owned();
    let (id, token) = session
        .create_token(NewToken { user_id: user.id.clone(), name, ..NewToken::default() })
        .await?;
    let actor = Actor {
        user_id: user.id,
        username: user.username,
        email: user.email,
        address: "local".to_owned(),
    };
    session.audit(&actor, "first_start", &[], json!({ "token": id })).await?;
    session.commit().await?;
    Ok(Some(token))
}
