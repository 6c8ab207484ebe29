//! The Graph face of a simulated Exchange, and a source that reads it.

use std::sync::Arc;

use net::{Endpoint, TokenSource, oauth};
use record::{Checkpoint, Entry, Folder, Page, Position, Source};
use simulators::exchange::{Auth, Exchange, GraphOptions, Options};
use sources::graph::{Allowance, Application, Graph, GraphMailbox, GraphSettings};

use crate::server::{INBOX, MAILBOX, transport};

pub(crate) use crate::graph_canned::settings;

pub(crate) fn options(graph: GraphOptions) -> Options {
    Options { auth: Auth::bearer(), graph, ..Options::default() }
}

/// An Exchange whose only mailbox is [`MAILBOX`].
pub(crate) async fn start(graph: GraphOptions) -> Exchange {
    crate::server::start(options(graph)).await
}

pub(crate) fn application(exchange: &Exchange) -> Application {
    let credentials = oauth::ClientCredentials {
        authority: exchange.authority_url(),
        client_id: Options::CLIENT_ID.to_owned(),
        proof: oauth::Proof::Secret(Options::CLIENT_SECRET.into()),
        scope: "https://graph.microsoft.com/.default".to_owned(),
    };
    Application {
        name: Options::CLIENT_ID.to_owned(),
        token: Some(TokenSource::new(credentials, transport(exchange)).unwrap()),
        allowance: Allowance::APPLICATION,
    }
}

pub(crate) fn graph(exchange: &Exchange, settings: GraphSettings) -> Arc<Graph> {
    let endpoint = Endpoint::new(&exchange.graph_url(), transport(exchange)).unwrap();
    Graph::new(endpoint, vec![application(exchange)], settings)
}

pub(crate) fn open(exchange: &Exchange) -> GraphMailbox {
    graph(exchange, settings()).mailbox(&MAILBOX.parse().unwrap())
}

/// All folders, by a thorough survey.
pub(crate) async fn folders(source: &mut dyn Source) -> Vec<Folder> {
    source.survey(&Checkpoint::default(), true).await.unwrap().folders
}

pub(crate) async fn folder(source: &mut dyn Source, path: &[&str]) -> Folder {
    let folders = folders(source).await;
    folders.into_iter().find(|folder| folder.path == path).expect("no such folder")
}

/// All entries of a folder after `from`, and the position behind them.
pub(crate) async fn read_on(
    source: &mut dyn Source,
    folder: &Folder,
    mut from: Option<Position>,
) -> (Vec<Entry>, Position) {
    let mut entries = Vec::new();
    loop {
        let Page { entries: some, next, more, .. } =
            source.list(folder, from.as_ref(), 512).await.unwrap();
        entries.extend(some);
        if !more {
            return (entries, next);
        }
        from = Some(next);
    }
}

/// The inbox, its entries, and the requests so far forgotten.
pub(crate) async fn inbox(exchange: &Exchange, source: &mut GraphMailbox) -> (Folder, Vec<Entry>) {
    let inbox = folder(source, INBOX).await;
    let (entries, _) = read_on(source, &inbox, None).await;
    exchange.clear_requests();
    (inbox, entries)
}
