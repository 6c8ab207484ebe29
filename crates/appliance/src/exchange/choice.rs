//! Graph or EWS, where both are possible: Graph is tried.

use record::{Chain, Checkpoint, MailboxId, SourceError};

use super::{Exchange, Opened, Wiring};
use crate::{
    config::{Service, is_exchange_online},
    exit::Ending,
    terms::routes,
};

/// Most mailboxes that Graph is tried with. One alone may be closed for a reason of its own.
const TRIED: usize = 3;

/// What an administrator should know who reads from Exchange Online over EWS.
const END_OF_EWS: &str = "Exchange Online blocks EWS by default since 1 October 2026 and ends it on \
    1 April 2027; docs/guides/graph.md tells how to move to Graph";

pub(super) async fn choose(wiring: &Wiring<'_>) -> Result<Opened, Ending> {
    let because = wiring.settings.chosen_because;
    let (exchange, told) = match &wiring.settings.service {
        Service::Ews(ews) => {
            let end = if is_exchange_online(&ews.endpoint) {
                format!(". {END_OF_EWS}")
            } else {
                String::new()
            };
            let told = format!("Mail is read over Exchange Web Services: {because}{end}");
            (Exchange::Ews(wiring.ews(ews)?), told)
        }
        Service::Graph(graph) => {
            let told = format!("Mail is read over Microsoft Graph: {because}");
            (Exchange::Graph(wiring.graph(graph)?), told)
        }
        Service::Either { graph, ews } => {
            let exchange = Exchange::Graph(wiring.graph(graph)?);
            match attempt(wiring, &exchange).await {
                Attempt::Open => {
                    let told = format!(
                        "Mail is read over Microsoft Graph: `microsoft_api` is `auto`, {because}, \
                         and Graph lets the application in"
                    );
                    (exchange, told)
                }
                Attempt::Unknown(why) => {
                    let told = format!(
                        "Mail is read over Microsoft Graph: `microsoft_api` is `auto`, {because}; \
                         Graph could not be tried just now ({why})"
                    );
                    (exchange, told)
                }
                Attempt::Denied(why) => {
                    let told = format!(
                        "Mail is read over Exchange Web Services, since Microsoft Graph does not \
                         let the application in: {why}. {END_OF_EWS}; `tributary doctor` tells \
                         what is missing"
                    );
                    let exchange = Exchange::Ews(wiring.ews(ews)?);
                    return Ok(Opened { exchange, told, fell_back: true });
                }
            }
        }
    };
    Ok(Opened { exchange, told, fell_back: false })
}

enum Attempt {
    Open,
    /// Not because of a permission: the mailboxes tell themselves what is wrong.
    Unknown(String),
    /// By every mailbox that was tried.
    Denied(String),
}

/// Falls back for a missing permission only. A server that cannot be reached, or asks for a pause,
/// says nothing about that, and each change of the interface lists all mailboxes anew.
async fn attempt(wiring: &Wiring<'_>, exchange: &Exchange) -> Attempt {
    let mut denied = None;
    for route in routes(wiring.settings, wiring.shard).iter().take(TRIED) {
        match look(exchange, &route.mailbox).await {
            Ok(()) => return Attempt::Open,
            Err(err @ SourceError::Denied { .. }) => {
                denied.get_or_insert(format!("`{}`: {}", route.mailbox, Chain(&err)));
            }
            Err(SourceError::NoMailbox { .. }) => {}
            Err(err) => return Attempt::Unknown(Chain(&err).to_string()),
        }
    }
    denied.map_or_else(|| Attempt::Unknown("no mailbox is there".into()), Attempt::Denied)
}

/// Lists one message: to see folders is one right, to read what is in them another.
async fn look(exchange: &Exchange, mailbox: &MailboxId) -> Result<(), SourceError> {
    let mut source = exchange.mailbox(mailbox);
    let survey = source.survey(&Checkpoint::default(), false).await?;
    if let Some(folder) = survey.folders.iter().max_by_key(|folder| folder.total) {
        source.list(folder, None, 1).await?;
    }
    Ok(())
}
