//! `tributary appliance`: serves every mailbox of this shard until it is told to stop.

use std::{path::PathBuf, sync::Arc, time::Duration};

use indicatif::MultiProgress;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use record::{Clock, Route, clock::SystemClock};
use sinks::local_files::LocalFiles;
use sync::{
    Command, Event, FolderFilter, MailboxSettings, MailboxSync, Observer, Pace, Service, StartFrom,
    backoff::Backoff, mailbox::Shared,
};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    config::{self, Settings},
    config_file::{ConfigFile, ReadEnvironment},
    environment::Environment,
    exchange,
    exit::{Ending, Exit},
    flags::{Destination, Flags},
    progress::Progress,
    shard::Shard,
    status_file::StatusBoard,
};

/// How often the configuration file and requests of the operator are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Pause before a restart after a sign-in was refused.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_secs(3600);

/// Longest pause between two restarts inside the process.
const LONGEST_RESTART_PAUSE: Duration = Duration::from_secs(300);

/// What the appliance is started with.
pub struct Options {
    pub flags: Flags,
    pub read_environment: ReadEnvironment,
    /// Progress bars are drawn here, if at all.
    pub bars: Option<MultiProgress>,
    /// Are told what happens, beside the progress bars and the status file.
    pub observers: Vec<Arc<dyn Observer>>,
    /// Ends the service in good order.
    pub shutdown: CancellationToken,
    /// Asks for the configuration to be read again at once.
    pub reload: Arc<Notify>,
}

/// Passes each event to all.
struct Observers(Vec<Arc<dyn Observer>>);

impl Observer for Observers {
    fn observe(&self, event: &Event<'_>) {
        self.0.iter().for_each(|observer| observer.observe(event));
    }
}

/// How one life of the service ended.
enum End {
    Stopped,
    /// The configuration has changed: begin again with this one.
    Changed(Box<Settings>),
}

/// Runs the appliance until it is shut down.
///
/// # Errors
///
/// [`Ending`] tells why it could not start or go on, and with which exit code to end.
pub async fn run(options: Options) -> Result<(), Ending> {
    let shard = options.flags.shard().map_err(|err| Ending::config(&err))?;
    let mut file = ConfigFile::find(&options.flags, Arc::clone(&options.read_environment))?;
    let prefix = local_prefix(&options.flags, file.environment())?;
    let mut settings = file.load().map_err(|err| Ending::config(&err))?;
    let files = LocalFiles::open_shard(&prefix, shard.ordinal(), shard.total())
        .map_err(|err| Ending::from(&err))?;
    if let Some(process) = files.same_shard() {
        warn!(
            "Another process (id {process}) serves `{}` as this shard already. This one waits for \
             its mailboxes, and takes them over when it ends",
            prefix.display()
        );
    }
    let mut restarts = Backoff::new(Duration::from_secs(1), LONGEST_RESTART_PAUSE);
    let mut rng = ChaCha8Rng::seed_from_u64(rand::random());
    loop {
        let warnings = options.flags.warnings().into_iter();
        let warnings = warnings.chain(file.environment().warnings.iter().cloned());
        for warning in warnings.chain(settings.warnings.iter().cloned()) {
            warn!("{warning}");
        }
        let served = serve(&options, &settings, &mut file, &files, &prefix, shard).await;
        match served {
            Ok(End::Stopped) => return Ok(()),
            Ok(End::Changed(new)) => {
                info!("The configuration has changed; the service starts again with it");
                settings = *new;
                restarts.succeeded();
            }
            Err(ending)
                if options.flags.restart_on_unrecoverable_errors
                    && !options.shutdown.is_cancelled() =>
            {
                // A refused sign-in tried again and again locks the account.
                let pause = match ending.exit {
                    Exit::Refused => PAUSE_AFTER_REFUSAL,
                    _ => restarts.failed(&mut rng),
                };
                let seconds = pause.as_secs_f64().ceil();
                error!(
                    pause.seconds = seconds,
                    "The service restarts in {seconds} s, or when the configuration or a secret \
                     changes: {ending}"
                );
                match wait(&options, &mut file, pause).await {
                    Waited::Stopped => return Ok(()),
                    Waited::Changed(new) => settings = *new,
                    Waited::Over => {}
                }
            }
            Err(ending) => return Err(ending),
        }
    }
}

/// How a pause ended.
enum Waited {
    Stopped,
    Changed(Box<Settings>),
    Over,
}

/// Waits for `pause`, or for something that ends it.
async fn wait(options: &Options, file: &mut ConfigFile, pause: Duration) -> Waited {
    let until = Instant::now() + pause;
    loop {
        tokio::select! {
            () = options.shutdown.cancelled() => return Waited::Stopped,
            () = options.reload.notified() => {}
            () = tokio::time::sleep_until(until.min(Instant::now() + LOOK_EVERY)) => {}
        }
        if let Some(new) = look(file) {
            return Waited::Changed(Box::new(new));
        }
        if Instant::now() >= until {
            return Waited::Over;
        }
    }
}

/// The folder to write to.
///
/// # Errors
///
/// None is named, or something that this version cannot write to.
pub fn local_prefix(flags: &Flags, environment: &Environment) -> Result<PathBuf, Ending> {
    let flag = match flags.destination(environment).map_err(|err| Ending::config(&err))? {
        Destination::LocalFiles(prefix) => return Ok(prefix),
        Destination::Platform(_) => "--reinfer-api-endpoint",
        Destination::ObjectStore(_) => "--private-file-prefix",
    };
    Err(Ending::new(
        Exit::Config,
        format!(
            "`{flag}` is known, but this version writes to a folder only\n\
             Hint: Give --local-files-prefix PATH instead."
        ),
    ))
}

async fn serve(
    options: &Options,
    settings: &Settings,
    file: &mut ConfigFile,
    files: &LocalFiles,
    prefix: &std::path::Path,
    shard: Shard,
) -> Result<End, Ending> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let routes = routes(settings, shard);
    announce(settings, shard, routes.len(), prefix);
    // Another shard may be waiting for what this life does not serve any more.
    files.release_others(&routes).await.map_err(|err| Ending::from(&err))?;
    if routes.is_empty() {
        // Nothing to do for this shard, until a configuration gives it something.
        return Ok(match wait(options, file, Duration::from_secs(u64::MAX >> 32)).await {
            Waited::Changed(new) => End::Changed(new),
            Waited::Stopped | Waited::Over => End::Stopped,
        });
    }
    let board = StatusBoard::new(prefix, shard, &routes, Arc::clone(&clock), files.clone());
    let board = Arc::new(board);
    let mut observers = options.observers.clone();
    observers.push(Arc::clone(&board) as Arc<dyn Observer>);
    let progress = options.bars.clone().map(|bars| Arc::new(Progress::new(bars, routes.len())));
    observers.extend(progress.clone().map(|progress| progress as Arc<dyn Observer>));

    let spool = prefix.join("state").join(".spool");
    let ews = exchange::open(settings, &spool)?;
    let observer: Arc<dyn Observer> = Arc::new(Observers(observers));
    let shared = Shared {
        sink: Arc::new(files.clone()),
        clock,
        observer: Arc::clone(&observer),
        pace: pace(settings),
    };
    let seed: u64 = rand::random();
    let mailboxes = routes
        .iter()
        .enumerate()
        .filter_map(|(i, route)| {
            let wanted = wanted(settings.mailboxes.get(&route.mailbox)?, settings);
            let rng = ChaCha8Rng::seed_from_u64(seed.wrapping_add(i as u64));
            let source = Box::new(ews.mailbox(&route.mailbox));
            Some(MailboxSync::new(route.clone(), source, shared.clone(), wanted, rng))
        })
        .collect();

    // Ends with this life of the service, whatever ends it.
    let life = options.shutdown.child_token();
    let (commands, receiver) = mpsc::channel(16);
    let service = Service::new(mailboxes, settings.max_concurrent_mailboxes, observer);
    let mut service = Box::pin(service.run(receiver, life.clone()));
    let writing = board.keep_written(life.clone());
    tokio::pin!(writing);
    let mut next = None;
    let ended = loop {
        tokio::select! {
            ended = &mut service => break Some(ended),
            () = &mut writing => break None,
            () = options.reload.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        pass_on_requests(files, &routes, &commands);
        if let Some(new) = look(file) {
            next = Some(new);
            life.cancel();
            break None;
        }
    };
    let ended = match ended {
        Some(ended) => ended,
        // A reload waits for what is under way, however long that takes.
        None if next.is_some() => service.await,
        None => timeout(options.flags.shutdown_grace, service).await.map_err(|_| {
            let grace = options.flags.shutdown_grace.as_secs();
            let text =
                format!("work under way did not end within the {grace} s of --shutdown-grace");
            Ending::new(Exit::Temporary, text)
        })?,
    };
    life.cancel();
    // Its last act is to write the file once more.
    board.keep_written(life).await;
    if let Some(progress) = progress {
        progress.finish();
    }
    ended.map_err(|failure| Ending::from(&failure))?;
    Ok(next.map_or(End::Stopped, |new| End::Changed(Box::new(new))))
}

/// The new settings, if the file has changed for the better.
fn look(file: &mut ConfigFile) -> Option<Settings> {
    let judged = match file.changed()? {
        Ok(settings) => exchange::check(&settings).map(|()| settings),
        Err(err) => Err(Ending::config(&err)),
    };
    match judged {
        Ok(settings) => Some(settings),
        Err(ending) => {
            error!(
                "The changed configuration is not used, the one before stays in force: {ending}"
            );
            None
        }
    }
}

fn pass_on_requests(files: &LocalFiles, routes: &[Route], commands: &mpsc::Sender<Command>) {
    for route in routes {
        // A request is taken only when there is room to pass it on; the others stay in their files.
        let Ok(permit) = commands.try_reserve() else { return };
        match files.take_retry_request(route) {
            Ok(true) => permit.send(Command::RetryQuarantine(route.clone())),
            Ok(false) => {}
            Err(err) => warn!("{}", record::Chain(&err)),
        }
    }
}

fn announce(settings: &Settings, shard: Shard, owned: usize, prefix: &std::path::Path) {
    let pace = match settings.poll_message_sleep {
        Some(sleep) if !sleep.is_zero() => format!(
            "{:.1} emails a second for each mailbox (`poll_message_sleep`)",
            1.0 / sleep.as_secs_f64()
        ),
        Some(_) => "as fast as the server answers (`poll_message_sleep` is 0)".to_owned(),
        None => "as fast as the server answers; 10 emails a second for each mailbox while it \
                 throttles (`poll_message_sleep` is not set)"
            .to_owned(),
    };
    info!(
        server = %settings.server.endpoint, shard.ordinal = shard.ordinal(),
        shard.total = shard.total(), mailboxes.owned = owned,
        mailboxes.configured = settings.mailboxes.len(), path = %prefix.display(),
        "Serving {owned} of {} mailboxes of {} into `{}`; polling every {} s; pace: {pace}",
        settings.mailboxes.len(), settings.server.endpoint, prefix.display(),
        settings.poll_frequency.as_secs_f64(),
    );
}

/// The mailboxes of this shard.
pub(crate) fn routes(settings: &Settings, shard: Shard) -> Vec<Route> {
    let owned = settings.mailboxes.iter().filter(|(mailbox, _)| shard.owns(mailbox));
    owned
        .map(|(mailbox, wanted)| Route { mailbox: mailbox.clone(), bucket: wanted.bucket.clone() })
        .collect()
}

fn pace(settings: &Settings) -> Pace {
    Pace {
        poll_frequency: settings.poll_frequency,
        poll_message_sleep: settings.poll_message_sleep,
        emails_per_folder: settings.emails_per_folder,
        batch: settings.reinfer_batch_size,
        workers: settings.max_concurrent_mailboxes,
    }
}

/// What of a mailbox is wanted, in the engine's terms.
pub(crate) fn wanted(mailbox: &config::MailboxSettings, settings: &Settings) -> MailboxSettings {
    let rules = Arc::clone(&mailbox.folders);
    MailboxSettings {
        start_from: match mailbox.start_from {
            config::StartFrom::Bucket => StartFrom::Bucket,
            config::StartFrom::Config => StartFrom::Config,
        },
        start_timestamp: mailbox.start_timestamp,
        include_drafts: settings.include_drafts,
        max_email_size: Some(settings.max_email_size),
        folders: FolderFilter::new(move |path| rules.includes(path)),
    }
}
