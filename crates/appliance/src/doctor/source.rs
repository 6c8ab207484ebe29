//! Does the sign-in work, may we read a mailbox, and does the server slow us down?

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use record::{Chain, Checkpoint, MailboxId, Meter, Peer, Scope, Source, SourceError};

use crate::{
    config::{Server, Settings},
    exchange,
    exit::{Ending, hint_of},
    shard::Shard,
    terms::routes,
};

use super::CheckResult;

const SIGN_IN: &str = "sign-in";
const RIGHTS: &str = "rights";
const THROTTLING: &str = "throttling";

/// Longest answer to a small question of a server that is well.
const SLOW: Duration = Duration::from_secs(5);

const BLOCKED: &str = "In Exchange Online, the tenant blocks Exchange Web Services for \
    applications that are not on its allow list, and they end on 1 April 2027: switch to \
    Microsoft Graph with `\"microsoft_api\": \"graph\"` (see docs/guides/graph.md), or until then \
    have an administrator add the application to `EwsAllowedAppIDs`. On premises, see that EWS is enabled \
    for the account and the mailbox.";

/// Looks into one mailbox of this shard over EWS.
pub(super) async fn check(settings: &Settings, server: &Server, shard: Shard) -> Vec<CheckResult> {
    let Some(route) = routes(settings, shard).into_iter().next() else {
        let detail = "this shard serves no mailbox to try it with";
        return vec![CheckResult::warn(SIGN_IN, detail, "Ask another shard.")];
    };
    let seen = Arc::new(Seen::default());
    let meter = Arc::clone(&seen) as Arc<dyn Meter>;
    let mut source = match exchange::open_ews(settings, server, meter) {
        Ok(ews) => ews.mailbox(&route.mailbox),
        Err(ending) => return vec![broken(&ending)],
    };
    look(&mut *source, &route.mailbox, &seen).await
}

async fn look(source: &mut dyn Source, mailbox: &MailboxId, seen: &Seen) -> Vec<CheckResult> {
    let survey = match source.survey(&Checkpoint::default(), true).await {
        Ok(survey) => survey,
        Err(err) => return refused(mailbox, &err),
    };
    let items: u64 = survey.folders.iter().filter_map(|folder| folder.total).sum();
    let folders = survey.folders.len();
    let mut checks = vec![CheckResult::ok(SIGN_IN, "the server takes the credentials")];
    // To see folders is one right, to read what is in them another.
    let inside = match survey.folders.iter().max_by_key(|folder| folder.total) {
        Some(folder) => source.list(folder, None, 1).await.err(),
        None => None,
    };
    match inside {
        Some(err @ SourceError::Throttled { .. }) => checks.extend(refused(mailbox, &err)),
        Some(err) => checks.push(CheckResult::fail(
            RIGHTS,
            format!(
                "`{mailbox}`: {folders} folders, but what is in them cannot be read: {}",
                Chain(&err)
            ),
            hint_of(&err).unwrap_or("Give the account the right to read the whole mailbox."),
        )),
        None => checks.push(CheckResult::ok(
            RIGHTS,
            format!("`{mailbox}`: {folders} folders with {items} items can be read"),
        )),
    }
    if !checks.iter().any(|check| check.check == THROTTLING) {
        checks.push(pace(seen));
    }
    checks
}

/// How the requests of the check went.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<(u32, Duration)>);

impl Seen {
    /// How many, and how long the slowest took.
    fn lock(&self) -> MutexGuard<'_, (u32, Duration)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter for Seen {
    fn request(&self, _: Peer, _: &'static str, _: &str, took: Duration) {
        let mut seen = self.lock();
        *seen = (seen.0 + 1, seen.1.max(took));
    }
}

/// A server tells nothing of its policy before it applies it.
pub(super) fn pace(seen: &Seen) -> CheckResult {
    let (requests, slowest) = *seen.lock();
    let detail = format!(
        "{requests} requests, the slowest took {:.2} s, and no pause was asked for",
        slowest.as_secs_f64()
    );
    if slowest > SLOW {
        let advice = "The server is slow, or slows this account down; see its throttling policy.";
        CheckResult::warn(THROTTLING, detail, advice)
    } else {
        CheckResult::ok(THROTTLING, detail)
    }
}

fn refused(mailbox: &MailboxId, err: &SourceError) -> Vec<CheckResult> {
    let detail = Chain(err).to_string();
    let hint = |otherwise: &str| hint_of(err).unwrap_or(otherwise).to_owned();
    let signed_in = || CheckResult::ok(SIGN_IN, "the server takes the credentials");
    match err {
        SourceError::Unauthorized { .. } => {
            vec![CheckResult::fail(SIGN_IN, detail, hint("Check user and password."))]
        }
        SourceError::Denied { scope: Scope::Service, .. } => vec![
            signed_in(),
            CheckResult::fail(RIGHTS, format!("EWS is blocked: {detail}"), BLOCKED),
        ],
        SourceError::Denied { scope: Scope::Mailbox, .. } | SourceError::NoMailbox { .. } => {
            let advice = hint("Give the account the right to impersonate, or Full Access.");
            vec![signed_in(), CheckResult::fail(RIGHTS, format!("`{mailbox}`: {detail}"), advice)]
        }
        SourceError::Throttled { retry_after, .. } => {
            let pause = retry_after.map_or_else(
                || "without saying how long".to_owned(),
                |p| format!("of {} s", p.as_secs()),
            );
            let advice = "The server throttles this account. Lower `max_concurrent_mailboxes`, or \
                          ask for a throttling policy with room for an archive.";
            vec![CheckResult::warn(THROTTLING, format!("{detail} {pause}"), advice)]
        }
        _ => vec![CheckResult::fail(SIGN_IN, detail, hint("See the lines above, and try again."))],
    }
}

fn broken(ending: &Ending) -> CheckResult {
    CheckResult::fail(SIGN_IN, ending.message.clone(), "Correct the named setting.")
}
