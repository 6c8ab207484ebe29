//! A simulated Exchange in this process, and the appliance as another process.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use simulators::{
    exchange::{Auth, Exchange, Op, Options},
    generate::{self, Plan},
    platform::{self, Platform, Token},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Longest time that anything here may take.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_tributary");

/// Token of [`World::platform`].
pub const TOKEN: &str = "canary-5e1f0c-token";

/// The bucket of all mailboxes.
pub const BUCKET: &str = "project/bucket";

/// Interface that the mailboxes are read through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    Ews,
    Graph,
}

impl Api {
    /// The operation that hands out an email.
    pub fn fetch(self) -> Op {
        match self {
            Self::Ews => Op::GetItem,
            Self::Graph => Op::MessageValue,
        }
    }

    /// The operation that lists what is new in a folder.
    pub fn list(self) -> Op {
        match self {
            Self::Ews => Op::SyncFolderItems,
            Self::Graph => Op::MessagesDelta,
        }
    }

    /// The operation that lists folders.
    pub fn folders(self) -> Op {
        match self {
            Self::Ews => Op::SyncFolderHierarchy,
            Self::Graph => Op::FoldersDelta,
        }
    }
}

/// Makes a test of each function, over EWS and over Graph.
macro_rules! over_each_api {
    ($($name:ident),* $(,)?) => {
        mod over_ews {
            $(#[test] fn $name() { super::$name($crate::harness::Api::Ews); })*
        }
        mod over_graph {
            $(#[test] fn $name() { super::$name($crate::harness::Api::Graph); })*
        }
    };
}
pub(crate) use over_each_api;

pub struct World {
    /// The servers run on it.
    runtime: Runtime,
    pub server: Exchange,
    pub folder: TempDir,
    pub config: Value,
    /// More variables for the environment of the program.
    pub variables: Vec<(&'static str, String)>,
}

impl World {
    /// Mailboxes `0@example.com`, `1@example.com`, … filled from a seed.
    pub fn generated(mailboxes: u64, messages: u64) -> Self {
        let world = Self::empty(Options { auth: Auth::basic(), ..Options::default() });
        for number in 0..mailboxes {
            let address = format!("{number}@example.com");
            world.server.add_mailbox(&address);
            let until = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
            let plan = Plan { seed: number, messages, size: None, until, with_other_items: true };
            generate::fill(&world.server, &address, &plan).unwrap();
        }
        world.configured()
    }

    pub fn empty(options: Options) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let server = runtime.block_on(Exchange::start(options)).unwrap();
        let folder = TempDir::new().unwrap();
        Self { runtime, server, folder, config: json!({}), variables: Vec::new() }.configured()
    }

    /// Writes a configuration for the mailboxes that the server has now.
    pub fn configured(mut self) -> Self {
        fs::write(self.folder.path().join("ca.pem"), self.server.ca_pem()).unwrap();
        let mailboxes: BTreeMap<String, Value> = self
            .server
            .mailboxes()
            .into_iter()
            .map(|address| (address, json!({"bucket": {"owner": "project", "name": "bucket"}})))
            .collect();
        self.config = json!({
            "ews_endpoint": self.server.ews_url(),
            "auth_type": "basic",
            "auth_user": Options::USER,
            "auth_password": Options::PASSWORD,
            "ews_ca_file": self.folder.path().join("ca.pem"),
            "poll_frequency": 1,
            "mailboxes": mailboxes,
        });
        self.write_config();
        self
    }

    /// The same, with the mailboxes read through `api` from now on. Everything else stays.
    pub fn over(mut self, api: Api) -> Self {
        self.switch(api);
        self
    }

    /// What an administrator changes to move from one interface to the other.
    pub fn switch(&mut self, api: Api) {
        let server = &self.server;
        let ews = [
            ("ews_endpoint", json!(server.ews_url())),
            ("auth_type", json!("basic")),
            ("auth_user", json!(Options::USER)),
            ("auth_password", json!(Options::PASSWORD)),
        ];
        let graph = [
            ("microsoft_api", json!("graph")),
            ("graph_endpoint", json!(server.graph_url())),
            ("auth_oauth_authority", json!(server.authority_url())),
            ("auth_oauth_client_id", json!(Options::CLIENT_ID)),
            ("auth_oauth_client_secret", json!(Options::CLIENT_SECRET)),
            // Mail is looked for as often as over EWS, so that tests are as quick.
            ("idle_poll_limit", json!(1)),
        ];
        let (new, old): (&[_], &[_]) = match api {
            Api::Ews => (&ews, &graph),
            Api::Graph => (&graph, &ews),
        };
        if let Some(config) = self.config.as_object_mut() {
            for (key, _) in old {
                config.remove(*key);
            }
            config.extend(new.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        }
        self.write_config();
    }

    pub fn set(&mut self, key: &str, value: Value) {
        self.config[key] = value;
        self.write_config();
    }

    pub fn write_config(&self) {
        fs::write(self.config_path(), self.config.to_string()).unwrap();
    }

    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("config.json")
    }

    pub fn prefix(&self) -> PathBuf {
        self.folder.path().join("mail")
    }

    /// A command of the program, with the configuration and nothing else in its environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(PROGRAM, arguments)
    }

    fn command_of(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("REINFER_EWS_CONFIG", self.config_path())
            .env("TMPDIR", self.folder.path())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// `tributary NAME --local-files-prefix P`, run to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let prefix = self.prefix();
        let mut all = arguments.to_vec();
        all.extend(["--local-files-prefix", prefix.to_str().unwrap()]);
        self.command(&all).output().unwrap()
    }

    pub fn appliance(&self) -> Appliance {
        self.appliance_with(&[])
    }

    pub fn appliance_with(&self, arguments: &[&str]) -> Appliance {
        let prefix = self.prefix();
        let mut all = vec!["appliance", "--local-files-prefix", prefix.to_str().unwrap()];
        all.extend(arguments);
        self.start(PROGRAM, &all)
    }

    pub fn start(&self, program: &str, arguments: &[&str]) -> Appliance {
        self.start_with(program, arguments, &[])
    }

    /// The same with more variables in its environment.
    pub fn start_with(
        &self,
        program: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Appliance {
        let log = self.folder.path().join("log");
        let file = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut command = self.command_of(program, arguments);
        command.envs(variables.iter().copied());
        let child = command.stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Appliance { child: Guarded(child), log, prefix: self.prefix() }
    }

    /// A platform beside the server. It takes [`TOKEN`] for [`BUCKET`], and tells where a secret
    /// is seen.
    pub fn platform(&self, options: platform::Options) -> Platform {
        let options = platform::Options {
            tokens: vec![Token::new(TOKEN)],
            buckets: vec![BUCKET.into()],
            watched: vec![Options::PASSWORD.into()],
            ..options
        };
        self.runtime.block_on(Platform::start(options)).unwrap()
    }

    /// Everything that the server says should be archived: how often each content occurs, by
    /// mailbox and hash.
    pub fn truth(&self) -> BTreeMap<(String, String), usize> {
        let mut truth = BTreeMap::new();
        for mailbox in self.server.mailboxes() {
            for item in self.server.truth(&mailbox).unwrap() {
                if item.is_mail && !item.is_draft {
                    *truth.entry((mailbox.clone(), item.sha256)).or_default() += 1;
                }
            }
        }
        truth
    }

    /// What is on the disk, in the same form.
    pub fn stored(&self) -> BTreeMap<(String, String), usize> {
        let mut stored = BTreeMap::new();
        // The sidecar appears last: with it, the email is there.
        for path in files(&self.prefix().join("data"), "json") {
            let sidecar: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let email = fs::read(path.with_extension("eml")).unwrap();
            let hash = hex(&Sha256::digest(email));
            assert_eq!(sidecar["sha256"], json!(hash), "{}", path.display());
            let mailbox = sidecar["mailbox"].as_str().unwrap().to_owned();
            *stored.entry((mailbox, hash)).or_default() += 1;
        }
        stored
    }

    /// Source and disk hold the same, and `verify` says so.
    #[track_caller]
    pub fn assert_complete(&self) {
        let (truth, stored) = (self.truth(), self.stored());
        let missing: Vec<_> = truth.iter().filter(|(k, n)| stored.get(*k) != Some(n)).collect();
        let extra: Vec<_> = stored.iter().filter(|(k, n)| truth.get(*k) != Some(n)).collect();
        assert!(
            missing.is_empty(),
            "{} missing: {:?}",
            missing.len(),
            &missing[..missing.len().min(3)]
        );
        assert!(extra.is_empty(), "{} too many: {:?}", extra.len(), &extra[..extra.len().min(3)]);
        let verified = self.run(&["verify"]);
        let told = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(verified.status.success(), "{told}{}", String::from_utf8_lossy(&verified.stderr));
    }

    pub fn status(&self) -> Value {
        let output = self.run(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }
}

pub struct Appliance {
    child: Guarded,
    log: PathBuf,
    prefix: PathBuf,
}

impl Appliance {
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `done` says so.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !done(self) {
            if let Some(status) = self.child.0.try_wait().unwrap() {
                panic!("ended with {status} before {what}:\n{}", self.log());
            }
            assert!(began.elapsed() < PATIENCE, "{what} did not happen:\n{}", tail(&self.log()));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until `count` mailboxes have said that they are up to date since `log` began.
    #[track_caller]
    pub fn wait_until_up_to_date(&mut self, count: usize) {
        self.wait_until("being up to date", |this| {
            this.log().matches("is up to date").count() >= count
        });
    }

    #[track_caller]
    pub fn wait_for_emails(&mut self, count: usize) {
        let data = self.prefix.join("data");
        self.wait_until(&format!("{count} emails"), |_| files(&data, "json").len() >= count);
    }

    pub fn id(&self) -> u32 {
        self.child.0.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child.0), signal).unwrap();
    }

    pub fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.0.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "does not end:\n{}", tail(&self.log()));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it as an operator would, and expects that it ends well.
    #[track_caller]
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{}", tail(&self.log()));
    }

    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }
}

/// A child that does not outlive its test.
pub struct Guarded(pub Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }
}

fn tail(log: &str) -> &str {
    let start = log.len().saturating_sub(4000);
    log.get(start..).unwrap_or(log)
}

/// Files below `dir` with an extension.
pub fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a pipe to its end.
pub fn drain(mut pipe: impl Read) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).unwrap();
    text
}
