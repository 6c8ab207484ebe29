//! The platform of the demo: started beside the appliance, on an embedded database.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use appliance::{environment::Given, exit::Ending};
use platform::{FirstStart, Options, Server};
use record::{Chain, Secret, clock::SystemClock};
use simulators::exchange::Exchange;
use sinks::ascii_safe::to_unicode;
use store::{Bucket, ContentReader, NewProject, Source, SourceDetails, Store, StoreError};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;
use vault::Vault;

use super::{BUCKET, OWNER, failed};
use crate::{
    hosted::{EgressPolicy, Prober},
    platform::check_config,
    storage::stored,
};

/// Where it listens if nobody says otherwise and nobody else does.
const USUAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);
/// Time for requests that are under way at the end.
const GRACE: Duration = Duration::from_secs(5);
/// How often the conversion is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) struct Hosted {
    pub(super) url: String,
    store: Store,
    bucket: Bucket,
    source: Source,
    first: FirstStart,
    over: CancellationToken,
    served: JoinHandle<()>,
}

impl Hosted {
    /// Starts a platform with a project, a bucket, and a source of comments.
    pub(super) async fn start(folder: &Path, bind: Option<SocketAddr>) -> Result<Self, Ending> {
        let failed_to_store = |err: StoreError| stored(&err);
        let store = Store::open(&folder.join("platform"), Arc::new(SystemClock)).await;
        let store = store.map_err(failed_to_store)?;
        let vault = Vault::open(&folder.join("platform/vault.key"), true);
        let vault = Arc::new(vault.map_err(|err| failed("could not make a key", Chain(&err)))?);
        let options = |bind| Options {
            bind,
            check_config: Some(Arc::new(check_config)),
            vault: Some(Arc::clone(&vault)),
            exchange: Some(Prober::new(EgressPolicy::Off)),
            ..Options::default()
        };
        let server = match (Server::bind(store.clone(), options(bind.unwrap_or(USUAL))).await, bind)
        {
            (Err(_), None) => Server::bind(store.clone(), options((USUAL.ip(), 0).into())).await,
            (bound, _) => bound,
        };
        let server = server.map_err(|err| failed("could not start the platform", err))?;
        let first = platform::first_start(&store).await.map_err(failed_to_store)?;
        let first = first.ok_or_else(|| failed("could not start the platform", "it has users"))?;
        let (bucket, source) = furnish(&store).await.map_err(failed_to_store)?;
        let url = format!("http://{}", server.address());
        let over = CancellationToken::new();
        let served = tokio::spawn(server.serve(over.clone(), GRACE));
        Ok(Self { url, store, bucket, source, first, over, served })
    }

    /// The token that the appliance signs in with.
    pub(super) fn token(&self) -> Given<Secret> {
        Given { value: self.first.token.clone(), variable: "REINFER_API_TOKEN".to_owned() }
    }

    /// Compares what the mailboxes hold with what is in the bucket, and shows it.
    pub(super) async fn compare(
        &self,
        server: &Exchange,
        shutdown: &CancellationToken,
    ) -> Result<bool, Ending> {
        self.wait_for_comments(shutdown).await?;
        println!("Now the comparison: source = bucket = comments?\n");
        println!("{:<32} {:>10} {:>10} {:>10}", "mailbox", "at source", "in bucket", "comments");
        let (mut equal, mut wrong) = (true, Vec::new());
        for address in server.mailboxes() {
            let counts = self.compare_mailbox(server, &address, &mut wrong).await?;
            let Counts { at_source, in_bucket, comments } = counts;
            println!("{address:<32} {at_source:>10} {in_bucket:>10} {comments:>10}");
            equal &= at_source == in_bucket && at_source == comments;
        }
        for what in wrong.iter().take(10) {
            println!("  {what}");
        }
        Ok(equal)
    }

    /// An email with one id in several mailboxes is one in a bucket, so ids are compared.
    async fn compare_mailbox(
        &self,
        server: &Exchange,
        address: &str,
        wrong: &mut Vec<String>,
    ) -> Result<Counts, Ending> {
        let failed_to_read =
            |err| failed("could not read the simulated mailbox", format!("{err:#}"));
        let items = server.truth(address).map_err(failed_to_read)?;
        let mut wanted: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for item in items.into_iter().filter(|item| item.is_mail) {
            let Some(id) = item.message_id else { continue };
            wanted.entry(id).or_default().push((item.id, item.sha256));
        }
        let mut counts = Counts { at_source: wanted.len(), ..Counts::default() };
        for (id, copies) in wanted {
            let mut session = self.store.read().await.map_err(|err| stored(&err))?;
            let email = session.email(&self.bucket.id, &id).await.map_err(|err| stored(&err))?;
            let Some(email) = email else {
                wrong.push(format!("{id} is not in the bucket"));
                continue;
            };
            let mut same = copies.iter().any(|(_, hash)| *hash == email.hash);
            if !same {
                // What is not UTF-8 is kept as ASCII of the same meaning.
                let kept = session.content(&email.hash).await.map_err(|err| stored(&err))?;
                let kept = read(kept).map_err(|err| stored(&err))?;
                for (item, _) in copies {
                    let content = server.content(&item).map_err(failed_to_read)?;
                    same |= to_unicode(content.to_vec()).as_bytes() == kept;
                }
            }
            if same {
                counts.in_bucket += 1;
            } else {
                wrong.push(format!("{id} is not what it was"));
            }
            let id = comment::comment_id(&id);
            let comment = session.comment(&self.source.id, &id).await;
            counts.comments += usize::from(comment.map_err(|err| stored(&err))?.is_some());
        }
        Ok(counts)
    }

    /// Waits until every email in the bucket has become a comment.
    async fn wait_for_comments(&self, shutdown: &CancellationToken) -> Result<(), Ending> {
        loop {
            let mut session = self.store.read().await.map_err(|err| stored(&err))?;
            let conversion = session.conversion(&self.source.id).await;
            drop(session);
            let conversion = conversion.map_err(|err| stored(&err))?;
            if conversion.waiting == 0 && !conversion.scanning {
                return Ok(());
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = shutdown.cancelled() => return Ok(()),
            }
        }
    }

    pub(super) fn invite(&self) {
        println!(
            "\nLook around in a browser; the link signs you in, once:\n\n    {}\n\n\
             Or with the official client:\n\n    \
             re --endpoint {} --token {} get comments --source {OWNER}/{BUCKET}",
            platform::link_url(&self.url, &self.first.link),
            self.url,
            self.first.token.reveal(),
        );
    }

    /// Ends the platform, and says where its data are.
    pub(super) async fn end(self, folder: &Path) {
        self.over.cancel();
        if self.served.await.is_err() {
            println!("The platform has not ended in good order.");
        }
        self.store.close().await;
        let program = std::env::current_exe().unwrap_or_else(|_| "tributary".into());
        println!(
            "\nThe platform is still in {0}\nStart it again: {1} serve --data {0}",
            folder.join("platform").display(),
            program.display()
        );
    }
}

/// What was found of the emails of a mailbox.
#[derive(Default)]
struct Counts {
    at_source: usize,
    in_bucket: usize,
    comments: usize,
}

/// The whole of a content.
fn read(mut content: ContentReader) -> Result<Vec<u8>, StoreError> {
    let (mut whole, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let count = content.read(&mut piece)?;
        if count == 0 {
            return Ok(whole);
        }
        whole.extend_from_slice(piece.get(..count).unwrap_or_default());
    }
}

/// Makes the project, the bucket, and the source whose comments the emails become.
async fn furnish(store: &Store) -> Result<(Bucket, Source), StoreError> {
    let mut session = store.write().await?;
    let title = "Demo".to_owned();
    let project = NewProject { name: OWNER.to_owned(), title, ..NewProject::default() };
    session.create_project(project).await?;
    let bucket = session.create_bucket(OWNER, BUCKET, "Mail of the simulated Exchange").await?;
    let details = SourceDetails {
        title: "Mail of the simulated Exchange".to_owned(),
        language: "en".to_owned(),
        sensitive_properties: "[]".to_owned(),
        kind: "unknown".to_owned(),
        bucket_id: Some(bucket.id.clone()),
        ..SourceDetails::default()
    };
    let source = session.create_source(OWNER, BUCKET, details).await?;
    session.commit().await?;
    Ok((bucket, source))
}
