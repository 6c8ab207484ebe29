//! Contents in a container of an object store: whose they are, and a server that goes away.

use std::{path::Path, sync::Arc};

use net::{Egress, Limits, PlainHttp, Tls, TlsSettings, Transport};
use objects::{
    Container,
    azure::{self, AzureEnvironment, AzureLocation, AzureOptions},
};
use record::{Chain, Secret, Unmetered, clock::SystemClock};
use store::{
    Contents, FindingKind, Folder, Opening, Place, Repair, Store, StoreError, Trouble, Version,
    restore,
};
use testkit::{
    azurite::{ACCOUNT, KEY, azurite},
    proxy::Proxy,
};

use crate::{
    backup::{email, fill, large},
    contract::{Opened, read, sqlite},
};

/// It has a character that has to be encoded.
const PREFIX: &str = "a b/c";

/// A container on a server of somebody else's making.
#[derive(Clone, Debug)]
pub(crate) enum Outside {
    Azurite(String),
}

fn transport() -> Transport {
    Transport {
        tls: Tls::new(&TlsSettings::default()).unwrap(),
        egress: Arc::new(Egress::default()),
        plain_http: PlainHttp::LoopbackOnly,
        limits: Limits::default(),
        clock: Arc::new(SystemClock),
    }
}

impl Outside {
    async fn on_azurite() -> Self {
        let container = || azurite().new_container();
        Self::Azurite(tokio::task::spawn_blocking(container).await.unwrap())
    }

    /// The address of the server: `127.0.0.1:PORT`.
    fn server(&self) -> String {
        let url = match self {
            Self::Azurite(_) => &azurite().url,
        };
        url.split('/').nth(2).unwrap().to_owned()
    }

    /// A way to it, over a proxy or straight.
    pub(crate) fn open(&self, folder: &Path, proxy: Option<&Proxy>) -> Arc<dyn Contents> {
        self.open_at(PREFIX, folder, proxy)
    }

    fn open_at(&self, prefix: &str, folder: &Path, proxy: Option<&Proxy>) -> Arc<dyn Contents> {
        let address = proxy.map_or_else(|| self.server(), |proxy| proxy.address.clone());
        let container: Container = match self {
            Self::Azurite(container) => azure::open(AzureOptions {
                location: AzureLocation {
                    account: ACCOUNT.into(),
                    container: container.clone(),
                    prefix: prefix.into(),
                },
                environment: AzureEnvironment {
                    endpoint: Some(format!("http://{address}/{ACCOUNT}")),
                    account_key: Some(Secret::from(KEY)),
                    ..AzureEnvironment::default()
                },
                transport: transport(),
                max_concurrent_uploads: 8,
                meter: Arc::new(Unmetered),
            })
            .unwrap(),
        };
        Arc::new(contents::InContainer::new(container, folder.join("contents/tmp")))
    }

    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        match self {
            Self::Azurite(container) => {
                azurite().blob(container, &format!("{PREFIX}/contents/{name}"))
            }
        }
    }

    pub(crate) fn set(&self, name: &str, bytes: &[u8]) {
        match self {
            Self::Azurite(container) => {
                azurite().overwrite(container, &format!("{PREFIX}/contents/{name}"), bytes);
            }
        }
    }

    pub(crate) fn remove(&self, name: &str) {
        match self {
            Self::Azurite(container) => {
                azurite().delete(container, &format!("{PREFIX}/contents/{name}"));
            }
        }
    }
}

async fn store(folder: &Path, contents: Arc<dyn Contents>) -> Result<Store, StoreError> {
    let (contents, clock) = (Some(contents), Arc::new(SystemClock));
    Store::with(Opening { database: None, folder, contents, clock, version: Version::Newest }).await
}

async fn opened(outside: Outside) -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), outside.open(folder.path(), None)).await.unwrap();
    let url = format!("sqlite://{}", folder.path().join("tributary.db").display());
    Opened { store, folder, url, outside: Some(outside) }
}

pub(crate) async fn on_azurite() -> Opened {
    opened(Outside::on_azurite().await).await
}

fn told(error: &StoreError) -> String {
    format!("{} {}", Chain(error), error.hint().unwrap_or_default())
}

/// What refuses to be used is told with the reason, and what to do.
fn assert_unsuitable(refused: Result<Store, StoreError>, why: &str) {
    let refused = refused.err().unwrap_or_else(|| panic!("not refused: {why}"));
    let is_unsuitable =
        matches!(refused, StoreError::Contents { trouble: Trouble::Unsuitable, .. });
    assert!(is_unsuitable && told(&refused).contains(why), "{refused:?}");
}

async fn each_platform_has_a_place_of_its_own(outside: Outside) {
    let one = opened(outside.clone()).await;
    fill(&one.store).await;
    let path = one.folder.path();
    // Another process of the same platform.
    store(path, outside.open(path, None)).await.unwrap().close().await;
    let other = tempfile::tempdir().unwrap();
    let refused = store(other.path(), outside.open(other.path(), None)).await;
    assert_unsuitable(refused, "contents of another platform");
    let beside = outside.open_at("else/where", other.path(), None);
    store(other.path(), beside).await.unwrap().close().await;
    // The flag was forgotten, or names a place where nothing is.
    let refused = Store::open(path, Arc::new(SystemClock)).await;
    assert_unsuitable(refused, "are in an object store");
    let refused = store(path, outside.open_at("mis/spelt", path, None)).await;
    assert_unsuitable(refused, "none of the contents of this platform");
    let folder = sqlite().await;
    fill(&folder.store).await;
    let path = folder.folder.path();
    let refused = store(path, outside.open_at("mis/spelt", path, None)).await;
    assert_unsuitable(refused, "none of the contents of this platform");
}

/// To where the contents are in a folder, and back from there.
async fn a_backup_leads_in_and_out(outside: Outside) {
    let one = sqlite().await;
    let bucket = fill(&one.store).await;
    let home = tempfile::tempdir().unwrap();
    let backup = one.store.back_up(home.path(), &|_| ()).await.unwrap().folder;
    let data = home.path().join("data");
    let building = home.path().join(".data.restoring");
    let place = |contents| Place {
        folder: &data,
        database: None,
        contents: Some(contents),
        clock: Arc::new(SystemClock),
    };
    restore(&backup, place(outside.open(&building, None)), &|_| ()).await.unwrap();
    let two = store(&data, outside.open(&data, None)).await.unwrap();
    let report = two.check(Repair::default(), &|_| ()).await.unwrap();
    assert_eq!((report.findings, report.contents, report.files), (Vec::new(), 4, 2));
    let mut session = two.read().await.unwrap();
    let hash = session.email(&bucket, "<2>").await.unwrap().unwrap().hash;
    assert!(read(&mut session, &hash).await == large(1));
    session.commit().await.unwrap();
    let again = two.back_up(home.path(), &|_| ()).await.unwrap();
    assert_eq!(again.copied + again.linked, 4);
    two.close().await;
    std::fs::remove_dir_all(&data).unwrap();
    let refused = restore(&backup, place(outside.open(&building, None)), &|_| ()).await;
    assert!(matches!(refused, Err(StoreError::Occupied { .. })), "{:?}", refused.err());
    let folder = Folder::open(&home.path().join("files")).unwrap();
    restore(&again.folder, place(Arc::new(folder)), &|_| ()).await.unwrap();
}

/// Twenty megabytes that cannot be compressed: several blocks.
fn huge() -> String {
    (0..100).map(|part| large(500 + part)).collect()
}

async fn a_server_that_goes_away_costs_an_upload_and_nothing_else(outside: Outside) {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::to(&outside.server());
    let contents = outside.open(folder.path(), Some(&proxy));
    let store = store(folder.path(), contents).await.unwrap();
    let bucket = fill(&store).await;
    let huge = huge();
    // In the middle of the blocks of a large content, and of a small one.
    for (cut_after, text) in [(9 << 20, huge.as_str()), (50_000, &*large(77))] {
        let new = email(&store, "<new>", text);
        proxy.cut_after(cut_after);
        let failed = store.send_ahead(&[&new.content]).await.unwrap_err();
        assert!(proxy.is_cut(), "{failed:?}");
        let is_away = matches!(failed, StoreError::Contents { trouble: Trouble::Away, .. });
        assert!(is_away, "{failed:?}");
        // Nor is it written by who does not send ahead.
        let hash = new.content.hash().to_owned();
        let mut session = store.write().await.unwrap();
        assert!(session.put_emails(&bucket, vec![new.clone()], false).await.is_err());
        drop(session);
        assert!(outside.get(&format!("{}/{hash}", &hash[..2])).is_none(), "half a content");
        // What was there cannot be read now, and is not taken for damaged.
        let mut session = store.read().await.unwrap();
        let old = session.email(&bucket, "<2>").await.unwrap().unwrap().hash;
        let unread = session.content(&old).await.err().unwrap();
        assert!(matches!(unread, StoreError::Contents { .. }), "{unread:?}");
        assert!(session.email(&bucket, "<new>").await.unwrap().is_none());
        session.commit().await.unwrap();
        assert!(store.check(Repair::default(), &|_| ()).await.is_err());
        proxy.mend();
        store.send_ahead(&[&new.content]).await.unwrap();
        let mut session = store.write().await.unwrap();
        session.put_emails(&bucket, vec![new], false).await.unwrap();
        session.commit().await.unwrap();
        let mut session = store.read().await.unwrap();
        assert!(read(&mut session, &hash).await == text);
        session.commit().await.unwrap();
        let mut session = store.write().await.unwrap();
        session.delete_emails(&bucket, &["<new>".to_owned()]).await.unwrap();
        session.commit().await.unwrap();
        assert!(outside.get(&format!("{}/{hash}", &hash[..2])).is_none());
    }
    let report = store.check(Repair::default(), &|_| ()).await.unwrap();
    assert_eq!(report.findings, []);
}

/// Between the upload and the transaction, a sweep has taken what nobody named.
async fn what_a_sweep_took_is_sent_again(outside: Outside) {
    let one = opened(outside.clone()).await;
    let bucket = fill(&one.store).await;
    let new = email(&one.store, "<new>", &large(88));
    one.store.send_ahead(&[&new.content]).await.unwrap();
    let hash = new.content.hash().to_owned();
    let name = format!("{}/{hash}", &hash[..2]);
    assert!(outside.get(&name).is_some());
    let report = one.store.check(Repair::default(), &|_| ()).await.unwrap();
    assert_eq!(report.counts[&FindingKind::Unused], (1, 0));
    assert_eq!(one.store.sweep().await.unwrap().files, 1);
    assert!(outside.get(&name).is_none());
    let mut session = one.store.write().await.unwrap();
    session.put_emails(&bucket, vec![new], false).await.unwrap();
    session.commit().await.unwrap();
    let mut session = one.store.read().await.unwrap();
    assert!(read(&mut session, &hash).await == large(88));
}

macro_rules! in_containers {
    ($($case:ident),+ $(,)?) => {
        mod azure_blobs {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$case(super::Outside::on_azurite().await).await; })+
        }
    };
}

in_containers!(
    each_platform_has_a_place_of_its_own,
    a_backup_leads_in_and_out,
    a_server_that_goes_away_costs_an_upload_and_nothing_else,
    what_a_sweep_took_is_sent_again,
);

#[tokio::test]
async fn a_container_that_is_not_there_is_told_with_what_to_do() {
    let outside = Outside::Azurite("not-there".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let refused = store(folder.path(), outside.open(folder.path(), None)).await;
    assert_unsuitable(
        refused,
        "az://devstoreaccount1/not-there` does not take what is sent (HTTP 404 ContainerNotFound) \
         Create the container, or correct its address; the account is not told to create one. It \
         is signed in to with the account key in the environment.",
    );
}
