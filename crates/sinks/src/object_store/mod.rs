//! Emails as blobs in a container of Azure or a bucket of S3, in the layout of the local folder.
//!
//! ```text
//! az://ACCOUNT/CONTAINER[/PREFIX] or s3://BUCKET[/PREFIX]
//!   data/<owner>/<bucket>/<mailbox>/<uid>.eml      the bytes as the server gave them
//!                                   <uid>.json     [`Sidecar`](crate::local_files::Sidecar)
//!   state/<owner>/<bucket>/<mailbox>/checkpoint.json
//!                                    quarantine.json
//! ```
//!
//! # Who may write
//!
//! Any number of processes at any time: nothing is ever replaced by somebody who has not seen what
//! is there. The `.eml` is created, never replaced; the sidecar follows it, and with it the email
//! counts as held. State is replaced by its `ETag`. Who loses the race for a checkpoint is told so
//! ([`SinkError::Superseded`]) and stops. Nothing is ever deleted, so a credential that may read,
//! write and list is enough.
//!
//! All of this rests on the store, which has to refuse a write whose condition does not hold. There
//! is one Azure; many services speak like S3, and some ignore what they do not know. So it is seen
//! once, before the first write ([`Objects::prove`]).

mod admin;
mod emails;
mod held;
mod inspect;
mod names;
mod probe;
mod state;
mod store;

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
pub use objects::{BadPlace, BadPrefix, Environment, Location, OpenError, Options, azure, s3};
use objects::{Conditions, Container, LargeCreate, Prefix};
use record::{Checkpoint, Email, Held, Quarantined, Refusal, Route, Sink, SinkError, Uid};
use tokio::sync::OnceCell;

use self::{held::Lists, state::States, store::Store};
pub use self::{inspect::StoredEmail, probe::ProbeStep};

/// A container of emails. Clones share what they know.
#[derive(Clone)]
pub struct Objects(Arc<Shared>);

struct Shared {
    store: Store,
    states: States,
    lists: Lists,
    /// Emails of one call that are on their way at once.
    at_once: usize,
    /// Filled when the store is known to keep the conditions of writes.
    proven: OnceCell<()>,
}

impl Objects {
    fn new(container: Container, at_once: usize) -> Self {
        let proven = match container.conditions() {
            Conditions::Kept => OnceCell::new_with(Some(())),
            Conditions::ToBeSeen => OnceCell::new(),
        };
        let store = Store::new(container);
        let (states, lists) = (States::default(), Lists::new(held::BUDGET));
        Self(Arc::new(Shared { store, states, lists, at_once: at_once.max(1), proven }))
    }

    /// Prepares to use a container. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let at_once = options.max_concurrent_uploads;
        Ok(Self::new(objects::open(options)?, at_once))
    }

    /// A store in the memory of this process, below `prefix`. Clones of `memory` share it.
    ///
    /// # Errors
    ///
    /// [`BadPrefix`].
    pub fn in_memory(
        memory: Arc<object_store::memory::InMemory>,
        prefix: &str,
    ) -> Result<Self, BadPrefix> {
        let (place, prefix) = ("memory://container".to_owned(), Prefix::new(prefix)?);
        let container = Container::new(memory, place, prefix, 8, LargeCreate::CheckedFirst);
        Ok(Self::new(container, 8))
    }

    /// `az://ACCOUNT/CONTAINER[/PREFIX]` or `s3://BUCKET[/PREFIX]`, for messages.
    pub fn place(&self) -> String {
        self.0.store.place()
    }
}

/// The last of those with the same uid.
fn last_of<'a, T>(items: &'a [T], uid: impl Fn(&T) -> Uid) -> Vec<&'a T> {
    let mut last: HashMap<Uid, usize> = HashMap::with_capacity(items.len());
    last.extend(items.iter().enumerate().map(|(at, item)| (uid(item), at)));
    let is_last = |(at, item): &(usize, &'a T)| last.get(&uid(item)) == Some(at);
    items.iter().enumerate().filter(is_last).map(|(_, item)| item).collect()
}

#[async_trait]
impl Sink for Objects {
    fn knows_what_it_holds(&self) -> bool {
        true
    }

    async fn load_checkpoint(&self, route: &Route) -> Result<Checkpoint, SinkError> {
        self.0.states.load(&self.0.store, route).await
    }

    async fn find(&self, route: &Route, uids: &[Uid]) -> Result<Vec<Option<Held>>, SinkError> {
        let Shared { store, lists, at_once, .. } = &*self.0;
        let candidates = lists.candidates(store, route, uids).await?;
        let lookups = stream::iter(candidates).map(async |uid| {
            let sidecar = emails::held(store, route, uid).await?;
            Ok::<_, SinkError>((uid, sidecar.map(|(sidecar, _)| sidecar.metadata.folder)))
        });
        let found: HashMap<Uid, Option<Vec<String>>> =
            lookups.buffer_unordered(*at_once).try_collect().await?;
        let held = |uid| found.get(uid).cloned().flatten().map(|folder| Held { folder });
        Ok(uids.iter().map(held).collect())
    }

    async fn write(&self, route: &Route, emails: &[Email]) -> Result<Vec<Refusal>, SinkError> {
        self.prove().await?;
        let Shared { store, states, lists, at_once, .. } = &*self.0;
        let emails = last_of(emails, |email| email.uid);
        let stored: Vec<Uid> = emails.iter().map(|email| email.uid).collect();
        let writes: Vec<_> =
            emails.into_iter().map(|email| emails::write(store, route, email)).collect();
        stream::iter(writes).buffer_unordered(*at_once).try_collect::<()>().await?;
        lists.add(route, &stored);
        states.release(store, route, &stored).await?;
        Ok(Vec::new())
    }

    async fn relocate(&self, route: &Route, moved: &[(Uid, Vec<String>)]) -> Result<(), SinkError> {
        self.prove().await?;
        let Shared { store, at_once, .. } = &*self.0;
        let changes: Vec<_> = last_of(moved, |(uid, _)| *uid)
            .into_iter()
            .map(|(uid, folder)| emails::relocate(store, route, *uid, folder))
            .collect();
        stream::iter(changes).buffer_unordered(*at_once).try_collect().await
    }

    async fn quarantine(&self, route: &Route, items: &[Quarantined]) -> Result<(), SinkError> {
        self.prove().await?;
        let Shared { store, states, .. } = &*self.0;
        states
            .change_quarantine(store, route, |list| {
                for item in items {
                    list.retain(|old| old.uid != item.uid);
                    list.push(item.clone());
                }
                !items.is_empty()
            })
            .await
    }

    async fn quarantined(&self, route: &Route) -> Result<Vec<Quarantined>, SinkError> {
        self.0.states.quarantined(&self.0.store, route).await
    }

    async fn save_checkpoint(&self, route: &Route, new: &Checkpoint) -> Result<(), SinkError> {
        self.prove().await?;
        self.0.states.save(&self.0.store, route, new).await
    }
}
