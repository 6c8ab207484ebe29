//! `tributary demo`: the main job in a minute, from a simulated Exchange to a platform of one's
//! own, or to a folder.

mod counter;
mod exchange;
mod folder;
mod platform;

use std::{
    io::{self, IsTerminal},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use appliance::{
    config::Settings,
    environment::Environment,
    exit::{Ending, Exit},
    flags::{self, DebugLevel, Flags, LogFormat, Request},
    logging::{self, LogQueue},
    run::{self, Options},
};
use clap::{Args, ValueEnum};
use indicatif::{MultiProgress, ProgressDrawTarget};
use record::{Clock, clock::SystemClock};
use simulators::{exchange::Exchange, generate::Recipe};
use sync::Observer;
use tokio_util::sync::CancellationToken;

use self::{counter::Counter, platform::Hosted};
use crate::serve::{Signals, runtime};

/// Pause between two emails that arrive while one watches.
const DELIVER_EVERY: Duration = Duration::from_secs(3);

/// Project and bucket of all mailboxes.
const OWNER: &str = "demo";
const BUCKET: &str = "mail";

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
    /// Folder that receives the emails, instead of a platform.
    #[arg(long, value_name = "PATH")]
    into: Option<PathBuf>,
    /// Address that the platform listens on. Without it `127.0.0.1:8000`, or another port of
    /// that address if somebody else has this one.
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "into")]
    bind: Option<SocketAddr>,
    /// Interface that the mailboxes are read through.
    #[arg(long, value_enum, value_name = "API", default_value_t = Api::Ews)]
    api: Api,
    /// Ends after the comparison and one more email, instead of waiting for Ctrl-C.
    #[arg(long)]
    once: bool,
}

/// Where the mail goes.
enum Destination {
    Folder,
    Platform(Box<Hosted>),
}

/// What the demo shows.
struct Stage<'a> {
    server: &'a Exchange,
    settings: &'a Settings,
    /// Holds the configuration, and all that is delivered.
    folder: &'a Path,
    destination: &'a Destination,
    counter: &'a Counter,
    bars: Option<MultiProgress>,
    shutdown: &'a CancellationToken,
}

fn failed(what: &str, err: impl std::fmt::Display) -> Ending {
    Ending::new(Exit::Io, format!("{what}: {err}"))
}

impl Demo {
    pub(crate) fn run(self) -> Result<Exit, Ending> {
        let folder = match &self.into {
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
        let ended = runtime()?.block_on(self.show(&folder, bars));
        queue.flush();
        ended
    }

    async fn show(&self, folder: &Path, bars: Option<MultiProgress>) -> Result<Exit, Ending> {
        let server = exchange::start(self).await?;
        let (config, settings) = exchange::configure(&server, self.api, folder)?;
        let total: usize =
            server.mailboxes().iter().map(|mailbox| server.mail_count(mailbox)).sum();
        println!(
            "A simulated Exchange with {} mailboxes and {total} emails is at {}\n({}).",
            settings.mailboxes.len(),
            settings.service,
            match self.api {
                Api::Ews => "NTLM, channel binding required",
                Api::Graph => "Microsoft Graph, with the token of an application",
            },
        );
        let environment = Environment { config: Some(config), ..Environment::default() };
        let (destination, flags, environment) = match &self.into {
            Some(folder) => {
                println!("Its mail goes to {}\n", folder.display());
                (Destination::Folder, flags("--local-files-prefix", folder)?, environment)
            }
            None => {
                let hosted = Hosted::start(folder, self.bind).await?;
                println!("Its mail goes to a platform of your own: {}\n", hosted.url);
                let flags = flags("--reinfer-api-endpoint", format!("{}/api/", hosted.url))?;
                let environment = Environment { api_token: Some(hosted.token()), ..environment };
                (Destination::Platform(Box::new(hosted)), flags, environment)
            }
        };
        let counter = Arc::new(Counter::default());
        let shutdown = CancellationToken::new();
        let options = Options {
            flags,
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
            folder,
            destination: &destination,
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
        match destination {
            Destination::Folder => folder::farewell(folder),
            Destination::Platform(hosted) => hosted.end(folder).await,
        }
        Ok(if equal { Exit::Success } else { Exit::Difference })
    }

    /// Tells what happens until the user has seen enough. Returns whether all is equal.
    async fn watch(&self, stage: Stage<'_>) -> Result<bool, Ending> {
        let Stage { server, settings, folder, destination, counter, bars, shutdown } = stage;
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
        let (mib, rate) = (counter.bytes() as f64 / (1 << 20) as f64, emails as f64 / seconds);
        println!("{emails} emails, {mib:.1} MiB, in {seconds:.1} s: {rate:.0} emails a second.");
        let equal = match destination {
            Destination::Folder => folder::compare(settings, folder).await?,
            Destination::Platform(hosted) => hosted.compare(server, shutdown).await?,
        };
        println!("\n{}", if equal { "They are equal." } else { "They differ, see above." });
        if let Destination::Platform(hosted) = destination {
            hosted.invite();
        }
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
            let place = match destination {
                Destination::Folder => "on disk",
                Destination::Platform(_) => "in the bucket",
            };
            println!("new mail for {address}: {place} after {:.1} s", sent.elapsed().as_secs_f64());
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

/// The command line of the appliance, with its destination.
fn flags(name: &str, value: impl Into<std::ffi::OsString>) -> Result<Flags, Ending> {
    match flags::parse([name.into(), value.into()]).map_err(|err| Ending::config(&err))? {
        Request::Run(flags) => Ok(*flags),
        Request::Show(text) => Err(Ending::new(Exit::Config, text)),
    }
}
