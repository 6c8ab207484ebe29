//! `tributary demo`: the main job in a minute, on a simulated Exchange.

use std::{
    collections::BTreeSet,
    fs, io,
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use appliance::{
    config::{self, Settings},
    environment::Environment,
    exit::{Ending, Exit},
    flags::{DebugLevel, Flags, LogFormat, Request},
    logging::{self, LogQueue},
    run::{self, Options},
    shard::Shard,
    verify,
};
use clap::{Args, ValueEnum};
use indicatif::{MultiProgress, ProgressDrawTarget};
use record::{Clock, Route, clock::SystemClock};
use serde_json::{Value, json};
use simulators::{
    exchange::{Auth, ChannelBinding, Exchange},
    generate::{self, Plan, Recipe},
    load,
};
use sync::{Event, Observer};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::serve::{Signals, runtime};

/// Pause between two emails that arrive while one watches.
const DELIVER_EVERY: Duration = Duration::from_secs(3);

/// Interface of the simulated Exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Api {
    /// Exchange Web Services, as servers of one's own have it. Sign-in by NTLM.
    Ews,
    /// Microsoft Graph, as Exchange Online has it. Sign-in as an application.
    Graph,
}

#[derive(Args)]
pub(crate) struct Demo {
    /// Number of mailboxes.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    mailboxes: u64,
    /// Number of emails, over all mailboxes.
    #[arg(long, value_name = "N", default_value_t = 4000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    messages: u64,
    /// Number from which the emails are made: the same number, the same emails.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Your own mail instead: an `.eml` file, a folder of them, an mbox file or a Maildir.
    #[arg(long, value_name = "PATH")]
    mail: Option<PathBuf>,
    /// Folder that receives the emails; without it a new temporary one.
    #[arg(long, value_name = "PATH")]
    into: Option<PathBuf>,
    /// Interface that the mailboxes are read through.
    #[arg(long, value_enum, value_name = "API", default_value_t = Api::Ews)]
    api: Api,
    /// Ends after the comparison and one more email, instead of waiting for Ctrl-C.
    #[arg(long)]
    once: bool,
}

/// What the demo shows.
struct Stage<'a> {
    server: &'a Exchange,
    settings: &'a Settings,
    into: &'a Path,
    counter: &'a Counter,
    bars: Option<MultiProgress>,
    shutdown: &'a CancellationToken,
}

/// What the demo counts while the appliance runs.
#[derive(Default)]
struct Counter {
    emails: AtomicU64,
    bytes: AtomicU64,
    /// Guards the mailboxes that are up to date.
    caught_up: Mutex<BTreeSet<Route>>,
    news: Notify,
}

impl Observer for Counter {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Delivered { emails, bytes, .. } => {
                self.emails.fetch_add(*emails as u64, Ordering::Relaxed);
                self.bytes.fetch_add(*bytes, Ordering::Relaxed);
            }
            Event::CaughtUp { route } => {
                let mut known = self.caught_up.lock().unwrap_or_else(PoisonError::into_inner);
                known.insert((*route).clone());
            }
            _ => return,
        }
        self.news.notify_one();
    }
}

impl Counter {
    fn caught_up(&self) -> usize {
        self.caught_up.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn emails(&self) -> u64 {
        self.emails.load(Ordering::Relaxed)
    }
}

fn failed(what: &str, err: impl std::fmt::Display) -> Ending {
    Ending::new(Exit::Io, format!("{what}: {err}"))
}

impl Demo {
    pub(crate) fn run(self) -> Result<Exit, Ending> {
        let into = match &self.into {
            Some(path) => path.clone(),
            None => tempfile::Builder::new()
                .prefix("tributary-demo-")
                .tempdir()
                .map_err(|err| failed("could not create a folder", err))?
                // It is what the demo leaves behind to be looked at.
                .keep(),
        };
        let bars = io::stderr().is_terminal().then(MultiProgress::new);
        let queue = LogQueue::start(Box::new(io::stderr()), bars.clone());
        logging::install(DebugLevel::None, LogFormat::Text, None, queue.clone());
        let ended = runtime()?.block_on(self.show(&into, bars));
        queue.flush();
        ended
    }

    async fn show(&self, into: &Path, bars: Option<MultiProgress>) -> Result<Exit, Ending> {
        let server = self.start_exchange().await?;
        let (config_path, settings) = configure(&server, self.api, into)?;
        let total: usize =
            server.mailboxes().iter().map(|mailbox| server.mail_count(mailbox)).sum();
        println!(
            "A simulated Exchange with {} mailboxes and {total} emails is at {}\n\
             ({}). Its mail goes to {}\n",
            settings.mailboxes.len(),
            settings.service,
            match self.api {
                Api::Ews => "NTLM, channel binding required",
                Api::Graph => "Microsoft Graph, with the token of an application",
            },
            into.display()
        );
        let counter = Arc::new(Counter::default());
        let shutdown = CancellationToken::new();
        let environment = Environment { config: Some(config_path), ..Environment::default() };
        let options = Options {
            flags: flags(into)?,
            read_environment: Arc::new(move || Ok(environment.clone())),
            bars: bars.clone(),
            observers: vec![Arc::clone(&counter) as Arc<dyn Observer>],
            shutdown: shutdown.clone(),
            reload: Arc::default(),
            retry: Arc::default(),
        };
        tokio::spawn(Signals::listen()?.obey(shutdown.clone(), Arc::default(), Arc::default()));
        let stage = Stage {
            server: &server,
            settings: &settings,
            into,
            counter: &counter,
            bars,
            shutdown: &shutdown,
        };
        let mut appliance = tokio::spawn(run::run(options));
        let watched = tokio::select! {
            ended = &mut appliance => return finish(ended),
            watched = self.watch(stage) => watched,
        };
        shutdown.cancel();
        finish(appliance.await)?;
        let equal = watched?;
        // Built by `cargo xtask demo`, the program need not be on the path.
        let program = std::env::current_exe().unwrap_or_else(|_| "tributary".into());
        println!(
            "\nThe emails are still in {0}\n\
             Look at one of data/*/*/*/*.eml and the .json beside it, or try\n\
             \x20 {1} status --local-files-prefix {0}\n\
             \x20 {1} export mbox --local-files-prefix {0} --output all.mbox",
            into.display(),
            program.display()
        );
        Ok(if equal { Exit::Success } else { Exit::Difference })
    }

    async fn start_exchange(&self) -> Result<Exchange, Ending> {
        let options = simulators::exchange::Options {
            auth: Auth::ntlm(ChannelBinding::Require),
            ..simulators::exchange::Options::default()
        };
        let server = Exchange::start(options)
            .await
            .map_err(|err| failed("could not start the simulated Exchange", err))?;
        let now = SystemClock.now();
        if let Some(path) = &self.mail {
            let address = "you@example.com";
            server.add_mailbox(address);
            let what = format!("could not read mail from `{}`", path.display());
            let failed = |err| failed(&what, format!("{err:#}"));
            let found = load::search(path).map_err(failed)?;
            load::fill(&server, &[address.to_owned()], found.messages).map_err(failed)?;
            return Ok(server);
        }
        for number in 0..self.mailboxes {
            let address = format!("mailbox-{}@example.com", number + 1);
            server.add_mailbox(&address);
            let share =
                self.messages / self.mailboxes + u64::from(number < self.messages % self.mailboxes);
            let plan = Plan {
                seed: self.seed.wrapping_add(number),
                messages: share,
                size: None,
                until: now,
                with_other_items: true,
            };
            generate::fill(&server, &address, &plan)
                .map_err(|err| failed("could not generate mail", format!("{err:#}")))?;
        }
        Ok(server)
    }

    /// Tells what happens until the user has seen enough. Returns whether all is equal.
    async fn watch(&self, stage: Stage<'_>) -> Result<bool, Ending> {
        let Stage { server, settings, into, counter, bars, shutdown } = stage;
        let began = Instant::now();
        while counter.caught_up() < settings.mailboxes.len() {
            tokio::select! {
                () = counter.news.notified() => {}
                () = shutdown.cancelled() => return Ok(true),
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        if let Some(bars) = bars {
            // From here on there is text to read.
            bars.set_draw_target(ProgressDrawTarget::hidden());
            println!();
        }
        let emails = counter.emails();
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let (mib, rate) = (
            counter.bytes.load(Ordering::Relaxed) as f64 / (1 << 20) as f64,
            emails as f64 / seconds,
        );
        println!("{emails} emails, {mib:.1} MiB, in {seconds:.1} s: {rate:.0} emails a second.");
        println!("Now the comparison, `tributary verify`: source = ledger = files on disk?\n");
        let verdicts = verify::verify(settings, into, Shard::ONLY).await?;
        print!("{}", verify::table(&verdicts));
        let equal = verdicts.iter().all(|verdict| verdict.differences.is_empty());
        println!("\n{}", if equal { "They are equal." } else { "They differ, see above." });
        println!("\nNew mail arrives every few seconds. Ctrl-C ends.");
        let mailboxes = server.mailboxes();
        for (number, address) in mailboxes.iter().cycle().enumerate() {
            tokio::select! {
                () = tokio::time::sleep(DELIVER_EVERY) => {}
                () = shutdown.cancelled() => break,
            }
            let now = SystemClock.now();
            let recipe =
                Recipe::new(self.seed ^ 0x5eed, number as u64).at(now.timestamp()).to(address);
            let before = counter.emails();
            let sent = Instant::now();
            server
                .deliver(address, &["Inbox"], recipe.write(), now)
                .map_err(|err| failed("could not deliver", format!("{err:#}")))?;
            while counter.emails() == before {
                tokio::select! {
                    () = counter.news.notified() => {}
                    () = shutdown.cancelled() => return Ok(equal),
                }
            }
            println!("new mail for {address}: on disk after {:.1} s", sent.elapsed().as_secs_f64());
            if self.once {
                break;
            }
        }
        Ok(equal)
    }
}

fn finish(ended: Result<Result<(), Ending>, tokio::task::JoinError>) -> Result<Exit, Ending> {
    ended.map_err(|err| failed("the appliance ended in a panic", err))??;
    Ok(Exit::Success)
}

/// Writes the configuration that the appliance reads, where an operator would put it.
fn configure(server: &Exchange, api: Api, into: &Path) -> Result<(PathBuf, Settings), Ending> {
    let folder = into.join("config").join("demo");
    let write = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, content).map_err(|err| failed(&path.display().to_string(), err))?;
        Ok::<PathBuf, Ending>(path)
    };
    fs::create_dir_all(&folder).map_err(|err| failed(&folder.display().to_string(), err))?;
    let ca = write("ca.pem", server.ca_pem())?;
    let mailboxes: serde_json::Map<String, serde_json::Value> = server
        .mailboxes()
        .into_iter()
        .map(|address| (address, json!({"bucket": {"owner": "demo", "name": "mail"}})))
        .collect();
    let sign_in = match api {
        Api::Ews => json!({
            "ews_endpoint": server.ews_url(),
            "auth_type": "ntlm",
            "auth_user": simulators::exchange::Options::USER,
            "auth_password": simulators::exchange::Options::PASSWORD,
        }),
        Api::Graph => json!({
            "microsoft_api": "graph",
            "graph_endpoint": server.graph_url(),
            "auth_oauth_authority": server.authority_url(),
            "auth_oauth_client_id": simulators::exchange::Options::CLIENT_ID,
            "auth_oauth_client_secret": simulators::exchange::Options::CLIENT_SECRET,
            // Whoever watches wants to see each new email.
            "idle_poll_limit": 2,
        }),
    };
    let others = json!({"ews_ca_file": ca, "poll_frequency": 2, "mailboxes": mailboxes});
    let keys = [sign_in, others].into_iter().filter_map(|keys| match keys {
        Value::Object(keys) => Some(keys),
        _ => None,
    });
    let config = Value::Object(keys.flatten().collect());
    let text = format!("{config:#}\n");
    let path = write("exchange.json", text.as_bytes())?;
    let settings = config::parse(text.as_bytes(), "demo", &Environment::default());
    Ok((path, settings.map_err(|err| Ending::config(&err))?))
}

fn flags(into: &Path) -> Result<Flags, Ending> {
    let arguments = ["--local-files-prefix".into(), into.as_os_str().to_owned()];
    match appliance::flags::parse(arguments).map_err(|err| Ending::config(&err))? {
        Request::Run(flags) => Ok(*flags),
        Request::Show(text) => Err(Ending::new(Exit::Config, text)),
    }
}
