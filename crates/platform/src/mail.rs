//! Mails of the platform's own: what they say, and those that wait.
//!
//! Nothing sends them yet. They are kept and shown, so that what they tell is not lost.

use hyper::StatusCode;
use serde_json::{Value, json};
use store::{NewMail, User, WaitingMail};

use crate::{
    call::Call,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    schema::{show, top, wrong},
};

const PAGE: usize = 50;
const MAX_PAGE: usize = 200;

/// Whether a text can be the address of somebody. What else there is in it cannot become a line
/// of a header.
pub(crate) fn is_address(text: &str) -> bool {
    let parts = text.split_once('@');
    let is_one = parts.is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.is_empty() && !domain.contains('@')
    });
    let odd = |c: char| c.is_control() || c.is_whitespace() || "<>,;\"".contains(c);
    is_one && text.chars().count() <= 320 && !text.chars().any(odd)
}

/// Tells that somebody changed the configuration of an appliance: which keys, and no values.
pub(crate) fn config_changed(
    recipient: &str,
    name: &str,
    version: i64,
    by: &str,
    keys: &[&str],
) -> NewMail {
    let keys: String = keys.iter().map(|key| format!("- {key}\n")).collect();
    NewMail {
        kind: "appliance_config_updated",
        recipient: recipient.to_owned(),
        subject: format!("Configuration {name} was changed"),
        text: format!(
            "{by} changed the configuration {name} of an appliance; this is version {version}.\n\n\
             Changed:\n{keys}\nYou get this because the configuration names you in audit_email. \
             If you did not expect it, look at the history of the configuration.\n"
        ),
    }
}

fn welcome(user: &User, by: &str) -> NewMail {
    NewMail {
        kind: "welcome",
        recipient: user.email.clone(),
        subject: "Your account".to_owned(),
        text: format!(
            "{by} made an account for you. Your user name is {}.\n\nWhoever made it can give you \
             a link to set a password, or a token for programs.\n",
            user.username
        ),
    }
}

pub(crate) async fn send_welcome(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    top(payload.json()?)?.finish()?;
    let id = call.named.other(0);
    let mut session = call.shared.store.write().await?;
    let missing = || Refusal::not_found(format_args!("the user `{id}`"));
    let user = session.user(id).await?.ok_or_else(missing)?;
    if !is_address(&user.email) {
        let message = format!("`{}` is no address that mail can be sent to", user.email);
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    }
    session.post_mail(welcome(&user, &call.caller.actor.username)).await?;
    let details = json!({ "user_id": user.id, "username": user.username });
    session.audit(&call.caller.actor, "send_welcome_email", &[], details).await?;
    session.commit().await?;
    Ok(Reply::ok())
}

fn shown(mail: &WaitingMail) -> Value {
    json!({
        "id": mail.id,
        "kind": mail.kind,
        "recipient": mail.recipient,
        "subject": mail.subject,
        "text": mail.text,
        "status": "held",
        "created_at": show(mail.created_at),
        "expires_at": show(mail.expires_at),
    })
}

pub(crate) async fn list(call: &Call<'_>) -> Result<Reply, Refusal> {
    let number = |name: &str| {
        let text = call.head.parameters(name).next();
        let wrong = || wrong(name, "expected a number that is not negative");
        text.map(|text| text.parse::<i64>().ok().filter(|own| *own >= 0).ok_or_else(wrong))
            .transpose()
    };
    let limit = number("limit")?.map_or(PAGE, |limit| usize::try_from(limit).unwrap_or(MAX_PAGE));
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(wrong("limit", format_args!("expected a number from 1 to {MAX_PAGE}")));
    }
    let before = number("before")?;
    let mut session = call.shared.store.read().await?;
    let mut mails = session.waiting_mails(before, limit + 1).await?;
    let more = mails.len() > limit;
    mails.truncate(limit);
    let mut payload = json!({
        "mails": mails.iter().map(shown).collect::<Vec<_>>(),
        "system_mail": "not_configured",
    });
    if let (true, Some(last), Some(map)) = (more, mails.last(), payload.as_object_mut()) {
        map.insert("continuation".to_owned(), last.number.to_string().into());
    }
    Ok(Reply::json(payload))
}

pub(crate) async fn delete(call: &Call<'_>) -> Result<Reply, Refusal> {
    let id = call.named.other(0);
    let mut session = call.shared.store.write().await?;
    if !session.drop_mail(id).await? {
        return Err(Refusal::not_found(format_args!("the mail `{id}`")));
    }
    session.audit(&call.caller.actor, "delete_mail", &[], json!({ "id": id })).await?;
    session.commit().await?;
    Ok(Reply::ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_become_a_header_is_no_address() {
        for good in ["ann@example.com", "a.b+c@d", "ä@example.com"] {
            assert!(is_address(good), "{good}");
        }
        let long = format!("{}@example.com", "a".repeat(320));
        for bad in ["", "ann", "@x", "a@", "a@b@c", "a b@c", "a@b\r\nBcc: c@d", "a@b,c@d", &long] {
            assert!(!is_address(bad), "{bad}");
        }
    }

    #[test]
    fn the_audit_mail_names_what_changed_and_no_value() {
        let mail = config_changed("ann@example.com", "p/c", 3, "bob", &["auth_password", "port"]);
        assert!(mail.text.starts_with("bob changed the configuration p/c"), "{}", mail.text);
        assert!(mail.text.contains("version 3.\n\nChanged:\n- auth_password\n- port\n"));
    }
}
