//! Uploads in the audit log.
//!
//! An event for each upload would be thousands a second, and would make all writers wait for the
//! one chain of events; an event for the first use of a token would be silent about a token that
//! leaks years later. Whoever reads the log asks which credential put mail into which bucket or
//! comments into which source, from where, and when. So there is one event for each credential,
//! bucket or source, address and hour, in the transaction of the first upload of that hour: no
//! upload is without one. How much came in which hour is told by the emails themselves, which have
//! their times.

use serde_json::json;
use store::{Credential, Session, Source};

use crate::{call::Call, refusal::Refusal};

/// Takes note of an upload into `subject`, such as `bucket` and its full name, in a project with
/// that id and name.
pub(crate) async fn note(
    call: &Call<'_>,
    session: &mut Session,
    (kind, subject): (&str, &str),
    project: (&str, &str),
) -> Result<(), Refusal> {
    let credential = &call.caller.grant.credential;
    let address = &call.caller.actor.address;
    let full = format!("{kind} {subject}");
    if !session.mark_upload(credential.id(), &full, address).await? {
        return Ok(());
    }
    let by = match credential {
        Credential::Token(_) => "token",
        Credential::Session(_) => "session",
    };
    let details = json!({ kind: subject, by: credential.id() });
    session.audit(&call.caller.actor, "upload", &[project], details).await?;
    Ok(())
}

/// Takes note of an upload of comments, or of what belongs to them.
pub(crate) async fn note_source(
    call: &Call<'_>,
    session: &mut Session,
    source: &Source,
) -> Result<(), Refusal> {
    let full_name = format!("{}/{}", source.owner, source.name);
    let project = (&*source.project_id, &*source.owner);
    note(call, session, ("source", &full_name), project).await
}
