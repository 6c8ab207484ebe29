//! Does Microsoft Graph let the application read these mailboxes?

use std::sync::Arc;

use record::{Chain, Checkpoint, MailboxId, Meter, Scope, SourceError};

use crate::{
    config::{self, Settings},
    exchange::{self, Exchange},
    exit::hint_of,
    shard::Shard,
    terms::routes,
};

use super::{
    CheckResult, Outcome,
    source::{Seen, pace},
    token::{self, Permission},
};

const RIGHTS: &str = "graph rights";

/// Most mailboxes that are tried. `config check --online` tries all.
const TRIED: usize = 20;

/// Most mailboxes that are complained about one by one.
const NAMED: usize = 10;

/// How an application is let into some mailboxes only. Source: Microsoft, "Role Based Access
/// Control for Applications in Exchange Online".
const SCOPED: &str = "RBAC for Applications: `New-ServicePrincipal -AppId … -ObjectId …`, then \
    `New-ManagementRoleAssignment -App … -Role \"Application Mail.Read\" -CustomResourceScope …`";

/// How to find out whether such a right reaches a mailbox.
const TEST: &str = "`Test-ServicePrincipalAuthorization -Identity … -Resource MAILBOX` tells \
    whether it reaches the mailbox; a change takes up to two hours";

/// Looks at the permissions of each application, and into some mailboxes of this shard.
pub(super) async fn check(
    settings: &Settings,
    graph: &config::Graph,
    shard: Shard,
) -> Vec<CheckResult> {
    let mut checks = Vec::new();
    let applications = match exchange::applications(settings, graph) {
        Ok(applications) => applications,
        Err(ending) => {
            let advice = "Correct the named setting.";
            return vec![CheckResult::fail("graph token", ending.message, advice)];
        }
    };
    let mut permissions = Vec::new();
    for (client_id, source) in &applications {
        let (result, permission) = token::check(client_id, source).await;
        checks.push(result);
        permissions.push(permission);
    }
    // Without a token, a mailbox would say the same again.
    let Some(permissions) = permissions.into_iter().collect::<Option<Vec<_>>>() else {
        return checks;
    };
    let seen = Arc::new(Seen::default());
    let exchange = exchange::open_graph(settings, graph, Arc::clone(&seen) as Arc<dyn Meter>);
    match exchange {
        Ok(exchange) => checks.extend(mailboxes(settings, &exchange, shard, &permissions).await),
        Err(ending) => {
            checks.push(CheckResult::fail(RIGHTS, ending.message, "Correct the named setting."));
        }
    }
    if !checks.iter().any(|check| check.check == "throttling") {
        checks.push(pace(&seen));
    }
    checks
}

async fn mailboxes(
    settings: &Settings,
    exchange: &Exchange,
    shard: Shard,
    permissions: &[Permission],
) -> Vec<CheckResult> {
    let routes = routes(settings, shard);
    let (mut checks, mut open, mut folders, mut items) = (Vec::new(), 0, 0, 0);
    let tried = routes.len().min(TRIED);
    for route in routes.iter().take(TRIED) {
        match look(exchange, &route.mailbox).await {
            Ok((more_folders, more_items)) => {
                open += 1;
                folders += more_folders;
                items += more_items;
            }
            Err(err) if checks.len() < NAMED => {
                checks.push(refused(&route.mailbox, &err, permissions));
            }
            Err(_) => {}
        }
    }
    if open > 0 || tried == 0 {
        let detail = format!(
            "{open} of {tried} mailboxes tried can be read, of {} in all: {folders} folders with \
             {items} items",
            routes.len()
        );
        checks.insert(0, CheckResult::ok(RIGHTS, detail));
    }
    checks
}

/// Folders and items of a mailbox, of which one is listed: to see folders is one right, to read
/// what is in them another.
async fn look(exchange: &Exchange, mailbox: &MailboxId) -> Result<(usize, u64), SourceError> {
    let mut source = exchange.mailbox(mailbox);
    let survey = source.survey(&Checkpoint::default(), true).await?;
    if let Some(folder) = survey.folders.iter().max_by_key(|folder| folder.total) {
        let page = source.list(folder, None, 1).await?;
        let first = page.entries.get(..1).unwrap_or_default();
        // Bodies are a third right. A large one is not worth the time.
        if first.iter().all(|entry| entry.size.is_some_and(|size| size < 1 << 20)) {
            source.fetch(folder, first).await?;
        }
    }
    let items = survey.folders.iter().filter_map(|folder| folder.total).sum();
    Ok((survey.folders.len(), items))
}

fn refused(mailbox: &MailboxId, err: &SourceError, permissions: &[Permission]) -> CheckResult {
    let detail = format!("`{mailbox}`: {}", Chain(err));
    match err {
        SourceError::Denied { scope: Scope::Mailbox | Scope::Service, .. } => {
            let lacking = permissions.iter().all(|it| *it != Permission::Enough);
            let advice = if permissions.contains(&Permission::Unknown) {
                format!(
                    "Give the application `Mail.Read`, an application permission of Microsoft \
                     Graph, with the consent of an administrator; or for some mailboxes only, \
                     {SCOPED}. {TEST}."
                )
            } else if lacking {
                format!(
                    "The token has no `Mail.Read`, and no right by RBAC reaches this mailbox. Add \
                     the application permission `Mail.Read` of Microsoft Graph to the app \
                     registration and have an administrator grant consent; or for some mailboxes \
                     only, {SCOPED}. {TEST}."
                )
            } else {
                format!(
                    "The token has `Mail.Read`, so that a scope keeps the application out of this \
                     mailbox: see `Get-ApplicationAccessPolicy`, and the scope of {SCOPED}. {TEST}."
                )
            };
            CheckResult::fail(RIGHTS, detail, advice)
        }
        SourceError::NoMailbox { .. } => {
            let advice = hint_of(err).unwrap_or(
                "Graph has no such mailbox: it is on a server of one's own, has no licence, or its \
                 address is wrong.",
            );
            CheckResult::fail(RIGHTS, detail, advice)
        }
        SourceError::Throttled { .. } => CheckResult {
            outcome: Outcome::Warn,
            ..CheckResult::fail(
                "throttling",
                detail,
                "Graph throttles the application: lower `graph_requests_per_second`, or share the \
                 mailboxes among `graph_applications`.",
            )
        },
        _ => {
            let advice = hint_of(err).unwrap_or("See the lines above, and try again.");
            CheckResult::fail(RIGHTS, detail, advice)
        }
    }
}
