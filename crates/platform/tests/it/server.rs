//! A platform in this process, and clients of it.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use platform::{Options, Server, first_start};
use record::{Clock, clock::SystemClock};
use serde_json::{Value, json};
use store::{Contents, NewToken, NewUser, Opening, Store, Version};
use tempfile::TempDir;
use testkit::platform_contract::{Subject, client::Client};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Ends the server when it is dropped.
pub(crate) struct Running {
    pub(crate) store: Store,
    pub(crate) url: String,
    pub(crate) address: std::net::SocketAddr,
    /// Of the user who may do everything.
    pub(crate) token: String,
    /// The secret of their first link.
    pub(crate) link: String,
    over: CancellationToken,
    pub(crate) folder: Arc<TempDir>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    pub(crate) async fn start_with(options: Options) -> Self {
        Self::start_at(options, Arc::new(SystemClock)).await
    }

    pub(crate) async fn start_at(options: Options, clock: Arc<dyn Clock>) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let store = Store::open(folder.path(), clock).await.unwrap();
        Self::serve(folder, store, options).await
    }

    /// With contents elsewhere than in the folder.
    pub(crate) async fn start_in(
        folder: Arc<TempDir>,
        contents: Arc<dyn Contents>,
        options: Options,
    ) -> Self {
        let opening = Opening {
            database: None,
            folder: folder.path(),
            contents: Some(contents),
            clock: Arc::new(SystemClock),
            version: Version::Newest,
        };
        let store = Store::with(opening).await.unwrap();
        Self::serve(folder, store, options).await
    }

    async fn serve(folder: Arc<TempDir>, store: Store, options: Options) -> Self {
        let first = first_start(&store).await.unwrap().unwrap();
        let token = first.token.reveal().to_owned();
        let base_path = options.base_path.clone();
        let server = Server::bind(store.clone(), options).await.unwrap();
        let address = server.address();
        let over = CancellationToken::new();
        tokio::spawn(server.serve(over.clone(), Duration::from_secs(1)));
        let url = format!("http://{address}{base_path}");
        let link = first.link.reveal().to_owned();
        Self { store, url, address, token, link, over, folder }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address, &self.token).await
    }

    /// The project `name` with the bucket `mail`.
    pub(crate) async fn add_project(&self, name: &str) {
        let mut client = self.client().await;
        let path = format!("/api/_private/projects/{name}");
        let made = client.call("PUT", &path, json!({ "project": {} })).await;
        assert_eq!(made.status, 200, "{made:?}");
        let path = format!("/api/_private/buckets/{name}/mail");
        let bucket = json!({ "bucket": { "bucket_type": "emails" } });
        assert_eq!(client.call("PUT", &path, bucket).await.status, 200);
    }

    /// The source `letters` in a project, attached to its bucket `mail` if a tag is given.
    pub(crate) async fn add_source(&self, project: &str, tag: Option<&str>) -> String {
        let mut source = json!({});
        if let Some(tag) = tag {
            let bucket = self.get(&format!("/api/_private/buckets/{project}/mail")).await;
            source = json!({
                "bucket_id": bucket["bucket"]["id"], "email_transform_tag": tag,
            });
        }
        let path = format!("/api/v1/sources/{project}/letters");
        let mut client = self.client().await;
        let made = client.call("PUT", &path, json!({ "source": source })).await;
        assert_eq!(made.status, 200, "{made:?}");
        made.json()["source"]["id"].as_str().unwrap().to_owned()
    }

    /// A user with these permissions, and a token of theirs.
    pub(crate) async fn add_user(
        &self,
        name: &str,
        global: &[&str],
        projects: &[(&str, &[&str])],
    ) -> (String, String) {
        let mut session = self.store.write().await.unwrap();
        let (username, email) = (name.to_owned(), format!("{name}@example.com"));
        let user = session.create_user(NewUser { username, email }).await.unwrap();
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let everywhere = store::Holder::Everywhere;
        session.set_permissions(&user.id, everywhere, &set(global)).await.unwrap();
        for (project, names) in projects {
            let project = session.project(project).await.unwrap().unwrap();
            let holder = store::Holder::Project(&project.id);
            session.set_permissions(&user.id, holder, &set(names)).await.unwrap();
        }
        let new = NewToken { user_id: user.id.clone(), ..NewToken::default() };
        let (_, token) = session.create_token(new).await.unwrap();
        session.commit().await.unwrap();
        (user.id, token.reveal().to_owned())
    }

    /// The id of the user who may do everything.
    pub(crate) async fn get_root(&self) -> String {
        let mut session = self.store.read().await.unwrap();
        session.user_named("admin").await.unwrap().unwrap().id
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.client().await.call("GET", path, Value::Null).await.json()
    }
}

/// Several servers on one PostgreSQL.
pub(crate) struct Servers {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) token: String,
    pub(crate) store: Store,
    serving: Vec<JoinHandle<()>>,
    over: CancellationToken,
    _folders: Vec<TempDir>,
}

impl Servers {
    pub(crate) async fn start(count: usize) -> Self {
        let database = || testkit::postgres::postgres().new_database();
        let url = tokio::task::spawn_blocking(database).await.unwrap();
        let folders: Vec<_> = (0..count).map(|_| tempfile::tempdir().unwrap()).collect();
        let over = CancellationToken::new();
        let (mut addresses, mut serving, mut token) = (Vec::new(), Vec::new(), String::new());
        let mut stores = Vec::new();
        for folder in &folders {
            let store = Store::connect(&url, folder.path(), Arc::new(SystemClock)).await.unwrap();
            if let Some(first) = first_start(&store).await.unwrap() {
                token = first.token.reveal().to_owned();
            }
            stores.push(store.clone());
            let server = Server::bind(store, Options::default()).await.unwrap();
            addresses.push(server.address());
            serving.push(tokio::spawn(server.serve(over.clone(), Duration::from_secs(5))));
        }
        Self { addresses, token, store: stores.remove(0), serving, over, _folders: folders }
    }

    /// One for each server.
    pub(crate) async fn clients(&self) -> Vec<Client> {
        let mut clients = Vec::new();
        for address in &self.addresses {
            clients.push(Client::connect(*address, &self.token).await);
        }
        clients
    }

    pub(crate) async fn end(self) {
        self.over.cancel();
        for serving in self.serving {
            serving.await.unwrap();
        }
    }
}

pub(crate) async fn subject() -> Subject {
    let server = Running::start().await;
    server.add_project("example").await;
    Subject {
        address: server.address,
        url: server.url.clone(),
        token: server.token.clone(),
        ca_file: PathBuf::new(),
        keep: Box::new(server),
    }
}
