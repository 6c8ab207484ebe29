//! Where the configuration is, and when it has changed.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use record::SinkError;
use tokio::time::Instant;
use tracing::warn;

use crate::{
    config::{self, ConfigError, Settings},
    environment::{Environment, EnvironmentError},
    exit::Ending,
    flags::{ConfigPlace, Flags},
    redirection::{Pin, redirection, stranger, unproven},
};

/// Shortest time between two questions to a platform.
const ASK_EVERY: Duration = Duration::from_secs(15);

/// Reads the environment, and the files that its `…_FILE` variables name.
pub type ReadEnvironment = Arc<dyn Fn() -> Result<Environment, EnvironmentError> + Send + Sync>;

/// A platform that keeps a configuration.
#[async_trait]
pub trait RemoteConfig: Send + Sync {
    /// Fetches it; `None` if it is what the last call returned.
    async fn fetch(&mut self) -> Result<Option<Vec<u8>>, SinkError>;
}

/// Makes the client of the platform, anew when the token has changed.
pub type Connect = dyn Fn(&Environment) -> Result<Box<dyn RemoteConfig>, Ending> + Send + Sync;

/// A configuration, with secrets beside it, that may change while we run.
pub struct Configuration {
    place: Place,
    /// The only servers that get credentials; any, if there is none.
    pins: Vec<Pin>,
    read_environment: ReadEnvironment,
    environment: Environment,
    /// What was last looked at, good or bad.
    seen: Vec<u8>,
    /// What is in force.
    good: Vec<u8>,
}

enum Place {
    File(PathBuf),
    Remote(Remote),
}

struct Remote {
    /// `owner/key`.
    name: String,
    connect: Box<Connect>,
    client: Box<dyn RemoteConfig>,
    ask_again: Instant,
    may_redirect: bool,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum Unloaded {
    #[error(transparent)]
    Unusable(#[from] ConfigError),
    /// The platform does not hand it out now.
    #[error("the remote configuration `{name}` cannot be fetched")]
    Unavailable {
        name: String,
        #[source]
        cause: SinkError,
    },
    /// The operator has not allowed what the remote configuration asks for.
    #[error(
        "the remote configuration `{name}` is not used, since {what}: the credentials could go to \
         somebody else; allowed: to start with `--allow-remote-endpoint-change`"
    )]
    Redirects { name: String, what: String },
    /// Credentials would go to a server that the operator has not named.
    #[error("the configuration `{name}` is not used, since {what}")]
    Stranger { name: String, what: String },
}

impl From<Unloaded> for Ending {
    fn from(err: Unloaded) -> Self {
        match err {
            Unloaded::Unavailable { ref cause, .. } => {
                let Self { exit, .. } = Self::from(cause);
                Self { exit, ..Self::config(&err) }
            }
            Unloaded::Unusable(_) | Unloaded::Redirects { .. } | Unloaded::Stranger { .. } => {
                Self::config(&err)
            }
        }
    }
}

impl Configuration {
    /// Finds what flags and environment name. `connect` makes the client for a remote one.
    ///
    /// # Errors
    ///
    /// Nothing is named, a variable is unusable, or `connect` fails.
    pub fn find(
        flags: &Flags,
        read_environment: ReadEnvironment,
        connect: Box<Connect>,
    ) -> Result<Self, Ending> {
        let environment = read_environment().map_err(|err| Ending::config(&err))?;
        let place = match flags.config_place(&environment).map_err(|err| Ending::config(&err))? {
            ConfigPlace::File(path) => Place::File(path),
            ConfigPlace::Remote { owner, key } => Place::Remote(Remote {
                name: format!("{owner}/{key}"),
                client: connect(&environment)?,
                connect,
                ask_again: Instant::now(),
                may_redirect: flags.allow_remote_endpoint_change,
            }),
        };
        let pins = flags.credentials_only_to.clone();
        let (seen, good) = (Vec::new(), Vec::new());
        Ok(Self { place, pins, read_environment, environment, seen, good })
    }

    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    pub fn is_remote(&self) -> bool {
        matches!(self.place, Place::Remote(_))
    }

    /// How messages call it.
    fn name(&self) -> String {
        match &self.place {
            Place::File(path) => path.display().to_string(),
            Place::Remote(remote) => format!("remote configuration {}", remote.name),
        }
    }

    /// Reads or fetches it, and checks it.
    ///
    /// # Errors
    ///
    /// [`Unloaded`]; of an unusable one, everything that is wrong with it.
    pub async fn load(&mut self) -> Result<Settings, Unloaded> {
        if let Ok(environment) = (self.read_environment)() {
            self.take(environment);
        }
        let bytes = match &mut self.place {
            Place::File(path) => {
                let path = path.clone();
                let settings = config::load(&path, &self.environment)?;
                self.check_pins(&settings)?;
                self.seen = read(&path).unwrap_or_default();
                self.good.clone_from(&self.seen);
                return Ok(settings);
            }
            Place::Remote(remote) => remote.fetch(true).await?,
        };
        self.seen = bytes.unwrap_or_else(|| std::mem::take(&mut self.seen));
        let settings = config::parse(&self.seen, &self.name(), &self.environment)?;
        self.check_pins(&settings)?;
        self.check_first(&settings)?;
        self.good.clone_from(&self.seen);
        Ok(settings)
    }

    fn check_pins(&self, settings: &Settings) -> Result<(), Unloaded> {
        if self.pins.is_empty() {
            return Ok(());
        }
        stranger(settings, &self.pins)
            .map_or(Ok(()), |what| Err(Unloaded::Stranger { name: self.name(), what }))
    }

    /// There is nothing to compare a first remote configuration with but what the operator has
    /// named.
    fn check_first(&self, settings: &Settings) -> Result<(), Unloaded> {
        let Place::Remote(Remote { name, may_redirect, .. }) = &self.place else { return Ok(()) };
        if self.pins.is_empty() {
            if self.environment.has_credentials() {
                warn!(
                    "The remote configuration `{name}` decides which servers get the credentials                      of this process; `--credentials-only-to` names those that may"
                );
            }
        } else if let Some(what) = unproven(settings).filter(|_| !may_redirect) {
            return Err(Unloaded::Redirects { name: name.clone(), what });
        }
        Ok(())
    }

    /// Looks whether the configuration or a secret says something new; `None` if not. Each
    /// version is judged once. `now`: a platform is asked although it was asked a moment ago.
    pub async fn changed(
        &mut self,
        current: &Settings,
        now: bool,
    ) -> Option<Result<Settings, Unloaded>> {
        let environment = (self.read_environment)().ok()?;
        let is_new = environment != self.environment;
        self.take(environment);
        let bytes = match &mut self.place {
            // A file that is gone for a moment, as while it is replaced, is no new version.
            Place::File(path) => read(path).ok()?,
            Place::Remote(remote) => match remote.fetch(now).await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => self.seen.clone(),
                // The one in force stays, and the platform is asked again.
                Err(err) => {
                    warn!("{}", record::Chain(&err));
                    self.seen.clone()
                }
            },
        };
        let mut judged = None;
        if bytes != self.seen {
            self.seen = bytes;
            match self.judge(current) {
                Ok(new) => {
                    self.good.clone_from(&self.seen);
                    return Some(Ok(new));
                }
                Err(err) => judged = Some(err),
            }
        }
        if is_new {
            // A replaced secret counts, whatever the newest version of the rest is worth.
            if let Some(err) = judged {
                warn!("{}", record::Chain(&err));
            }
            let name = self.name();
            let new = config::parse(&self.good, &name, &self.environment).map_err(Into::into);
            return Some(new.and_then(|new| self.check_pins(&new).map(|()| new)));
        }
        judged.map(Err)
    }

    /// Uses `environment` from now on.
    fn take(&mut self, environment: Environment) {
        if let Place::Remote(remote) = &mut self.place
            && environment.api_token != self.environment.api_token
            && let Ok(client) = (remote.connect)(&environment)
        {
            remote.client = client;
            remote.ask_again = Instant::now();
        }
        self.environment = environment;
    }

    /// What was seen last, if it may follow `current`.
    fn judge(&self, current: &Settings) -> Result<Settings, Unloaded> {
        let new = config::parse(&self.seen, &self.name(), &self.environment)?;
        self.check_pins(&new)?;
        if let Place::Remote(Remote { name, may_redirect: false, .. }) = &self.place
            && let Some(what) = redirection(current, &new)
        {
            return Err(Unloaded::Redirects { name: name.clone(), what });
        }
        Ok(new)
    }
}

impl Remote {
    /// `None` if it is too early to ask, or nothing has changed.
    async fn fetch(&mut self, now: bool) -> Result<Option<Vec<u8>>, Unloaded> {
        if !now && Instant::now() < self.ask_again {
            return Ok(None);
        }
        self.ask_again = Instant::now() + ASK_EVERY;
        let fetched = self.client.fetch().await;
        fetched.map_err(|cause| Unloaded::Unavailable { name: self.name.clone(), cause })
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed, so that a larger file is noticed.
    File::open(path)?.take(config::MAX_CONFIG_SIZE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{config::Auth, environment::Given, flags};

    /// A platform that hands out one text, or an error.
    #[derive(Default)]
    struct Fake(Mutex<Option<String>>);

    impl Fake {
        fn holds(&self, text: &str) {
            *self.0.lock().unwrap() = Some(text.to_owned());
        }
    }

    struct Client {
        fake: Arc<Fake>,
        last: Option<String>,
    }

    #[async_trait]
    impl RemoteConfig for Client {
        async fn fetch(&mut self) -> Result<Option<Vec<u8>>, SinkError> {
            let text = self.fake.0.lock().unwrap().clone();
            let text = text.ok_or_else(|| SinkError::Unavailable {
                host: "p.example.com".into(),
                code: "503".into(),
            })?;
            let known = self.last.replace(text.clone());
            Ok((known.as_ref() != Some(&text)).then(|| text.into_bytes()))
        }
    }

    fn text(host: &str, poll: u32) -> String {
        serde_json::json!({
            "ews_endpoint": format!("https://{host}/EWS/Exchange.asmx"), "poll_frequency": poll,
            "auth_type": "ntlm", "auth_user": "svc@example.com", "auth_password": "p",
            "mailboxes": {"abc@example.com": {"bucket": {"owner": "o", "name": "b"}}},
        })
        .to_string()
    }

    fn remote(fake: &Arc<Fake>, more: &[&str]) -> Configuration {
        remote_with(fake, more, Arc::default())
    }

    /// The password of the environment is what `password` holds.
    fn remote_with(
        fake: &Arc<Fake>,
        more: &[&str],
        password: Arc<Mutex<Option<String>>>,
    ) -> Configuration {
        let arguments = [
            "--reinfer-api-endpoint=https://p.example.com/api/",
            "--remote-config-owner=o",
            "--remote-config-key=k",
        ];
        let all = arguments.iter().chain(more).map(Into::into);
        let flags::Request::Run(flags) = flags::parse(all).unwrap() else { panic!("no flags") };
        let fake = Arc::clone(fake);
        let connect = move |_: &Environment| {
            let client = Client { fake: Arc::clone(&fake), last: None };
            Ok(Box::new(client) as Box<dyn RemoteConfig>)
        };
        let read = move || {
            let variable = "REINFER_EWS_AUTH_PASS".to_owned();
            let value = password.lock().unwrap().clone();
            let auth_password = value.map(|value| Given { value: value.into(), variable });
            Ok(Environment { auth_password, ..Environment::default() })
        };
        Configuration::find(&flags, Arc::new(read), Box::new(connect)).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_replaced_secret_counts_while_a_bad_version_is_pending() {
        let (fake, password) = (Arc::new(Fake::default()), Arc::default());
        let mut config = remote_with(&fake, &[], Arc::clone(&password));
        fake.holds(&text("a.example.com", 15));
        let settings = config.load().await.unwrap();
        fake.holds("{");
        assert!(config.changed(&settings, true).await.unwrap().is_err());
        *password.lock().unwrap() = Some("another".to_owned());
        let settings = config.changed(&settings, true).await.unwrap().unwrap();
        let Auth::Ntlm { password, .. } = &settings.auth else { panic!("no password") };
        assert_eq!(password.reveal(), "another");
        assert!(config.changed(&settings, true).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_remote_configuration_is_taken_when_it_comes_and_when_it_changes() {
        let fake = Arc::new(Fake::default());
        let mut config = remote(&fake, &[]);
        assert!(matches!(config.load().await, Err(Unloaded::Unavailable { .. })));
        fake.holds(&text("a.example.com", 15));
        let settings = config.load().await.unwrap();
        assert!(config.changed(&settings, true).await.is_none(), "nothing has changed");
        fake.holds(&text("a.example.com", 30));
        assert!(config.changed(&settings, false).await.is_none(), "asked too early");
        tokio::time::advance(ASK_EVERY).await;
        let settings = config.changed(&settings, false).await.unwrap().unwrap();
        assert_eq!(settings.poll_frequency, Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bad_version_is_judged_once_and_a_silent_platform_changes_nothing() {
        let fake = Arc::new(Fake::default());
        let mut config = remote(&fake, &[]);
        fake.holds(&text("a.example.com", 15));
        let settings = config.load().await.unwrap();
        fake.holds("{");
        assert!(matches!(config.changed(&settings, true).await, Some(Err(Unloaded::Unusable(_)))));
        assert!(config.changed(&settings, true).await.is_none());
        *fake.0.lock().unwrap() = None;
        assert!(config.changed(&settings, true).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_not_pinned_gets_nothing_even_at_the_start() {
        let fake = Arc::new(Fake::default());
        let pins = "--credentials-only-to=a.example.com,c.example.com";
        for more in [&[pins] as &[&str], &[pins, "--allow-remote-endpoint-change"]] {
            let mut config = remote(&fake, more);
            fake.holds(&text("b.example.net", 15));
            let err = config.load().await.unwrap_err();
            assert!(matches!(err, Unloaded::Stranger { .. }), "{err}");
            fake.holds(&text("a.example.com", 15));
            let settings = config.load().await.unwrap();
            fake.holds(&text("b.example.net", 15));
            let err = config.changed(&settings, true).await.unwrap().unwrap_err();
            assert!(err.to_string().contains("b.example.net"), "{err}");
            fake.holds(&text("c.example.com", 15));
            assert_eq!(config.changed(&settings, true).await.unwrap().is_ok(), more.len() == 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pinned_server_has_to_prove_who_it_is() {
        let fake = Arc::new(Fake::default());
        let pins = "--credentials-only-to=a.example.com";
        fake.holds(&text("a.example.com", 15).replacen('{', "{\"ews_ssl_verify\": \"false\",", 1));
        let err = remote(&fake, &[pins]).load().await.unwrap_err();
        assert!(matches!(err, Unloaded::Redirects { .. }), "{err}");
        remote(&fake, &[pins, "--allow-remote-endpoint-change"]).load().await.unwrap();
        remote(&fake, &[]).load().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn another_server_needs_permission() {
        let fake = Arc::new(Fake::default());
        for (more, allowed) in
            [(&[] as &[&str], false), (&["--allow-remote-endpoint-change"], true)]
        {
            fake.holds(&text("a.example.com", 15));
            let mut config = remote(&fake, more);
            let settings = config.load().await.unwrap();
            fake.holds(&text("b.example.net", 15));
            match config.changed(&settings, true).await.unwrap() {
                Ok(_) => assert!(allowed),
                Err(err) => {
                    assert!(!allowed && err.to_string().contains("b.example.net"), "{err}");
                }
            }
        }
    }
}
