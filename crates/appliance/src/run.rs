//! `tributary appliance`: serves every mailbox of this shard until it is told to stop.

use std::{path::Path, pin::pin, sync::Arc, time::Duration};

use indicatif::MultiProgress;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use record::{Meter, Route, SinkError, clock::SystemClock};
use sinks::local_files::LocalFiles;
use sync::{
    Carried, Command, Event, Failure, MailboxSync, Observer, Service, backoff::Backoff,
    mailbox::Shared,
};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    config::Settings,
    configuration::{Configuration, ReadEnvironment, Unloaded},
    destination::{self, Destination, Uploads},
    exchange,
    exit::{Ending, Exit},
    flags::Flags,
    http,
    monitor::{Monitor, Place},
    progress::Progress,
    shard::Shard,
    status_file::StatusFile,
    terms::{pace, routes, wanted},
};

/// How often the configuration file and requests of the operator are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Pause before a restart after a sign-in was refused.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_secs(3600);

/// How long a new configuration waits for work under way.
const LONGEST_RELOAD: Duration = Duration::from_secs(600);

/// Longest pause between two attempts to fetch the first configuration.
const LONGEST_CONFIG_PAUSE: Duration = Duration::from_secs(60);

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
    /// Asks for everything in quarantine to be tried again.
    pub retry: Arc<Notify>,
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

/// How a pause ended.
enum Waited {
    Stopped,
    Changed(Box<Settings>),
    Over,
}

/// Runs the appliance until it is shut down.
///
/// # Errors
///
/// [`Ending`] tells why it could not start or go on, and with which exit code to end.
pub async fn run(options: Options) -> Result<(), Ending> {
    let shard = options.flags.shard().map_err(|err| Ending::config(&err))?;
    let monitor = Monitor::new(shard, Arc::new(SystemClock), options.shutdown.clone());
    let Some(address) = options.flags.bind else {
        return monitor.ticking(live(&options, shard, &monitor)).await;
    };
    let server = http::Server::bind(address, Arc::clone(&monitor)).await?;
    let over = CancellationToken::new();
    // A task of its own: it answers also, and then above all, when the main loop is stuck.
    let serving = tokio::spawn(server.serve(over.clone()));
    let ended = monitor.ticking(live(&options, shard, &monitor)).await;
    over.cancel();
    if let Err(err) = serving.await {
        warn!("The server of `--bind` ended in a panic: {err}");
    }
    ended
}

/// One life of the service after the other.
async fn live(options: &Options, shard: Shard, monitor: &Arc<Monitor>) -> Result<(), Ending> {
    let read_environment = Arc::clone(&options.read_environment);
    let mut configuration = destination::configuration(&options.flags, read_environment)?;
    let named = options.flags.destination(configuration.environment());
    named.map_err(|err| Ending::config(&err))?;
    let settings = first_settings(options, monitor, &mut configuration).await?;
    let Some(mut settings) = settings else { return Ok(()) };
    // Not before: a wrong configuration leaves nothing behind.
    let destination = Destination::open(&options.flags, configuration.environment())?;
    let carried = Carried::default();
    let mut appliance = Appliance { options, shard, monitor, configuration, destination, carried };
    let mut restarts = Backoff::new(Duration::from_secs(1), LONGEST_RESTART_PAUSE);
    let mut rng = SmallRng::seed_from_u64(rand::random());
    loop {
        appliance.warn(&settings);
        match appliance.serve(&settings).await {
            Ok(End::Stopped) => return Ok(()),
            Ok(End::Changed(new)) => {
                info!("The configuration has changed; the service starts again with it");
                appliance.replace(&mut settings, *new);
                restarts.succeeded();
            }
            Err(ending)
                if options.flags.restart_on_unrecoverable_errors
                    && !options.shutdown.is_cancelled() =>
            {
                monitor.interrupted(&ending);
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
                match appliance.wait(&settings, pause).await {
                    Waited::Stopped => return Ok(()),
                    Waited::Changed(new) => appliance.replace(&mut settings, *new),
                    Waited::Over => {}
                }
            }
            Err(ending) => return Err(ending),
        }
    }
}

/// The settings to begin with; `None` if the process is told to stop before they come. A file
/// must be right at once, a remote configuration is waited for.
async fn first_settings(
    options: &Options,
    monitor: &Monitor,
    configuration: &mut Configuration,
) -> Result<Option<Settings>, Ending> {
    let mut pauses = Backoff::new(Duration::from_secs(1), LONGEST_CONFIG_PAUSE);
    let mut rng = SmallRng::seed_from_u64(rand::random());
    loop {
        let loaded = tokio::select! {
            () = options.shutdown.cancelled() => return Ok(None),
            loaded = configuration.load() => loaded,
        };
        let err = match loaded {
            Ok(settings) => {
                monitor.reloaded(true);
                return Ok(Some(settings));
            }
            Err(err) => err,
        };
        // One that is not there yet may come. A token that is refused does not get better.
        let is_refused =
            matches!(err, Unloaded::Unavailable { cause: SinkError::Unauthorized { .. }, .. })
                && !options.flags.restart_on_unrecoverable_errors;
        let ending = Ending::from(err);
        if !configuration.is_remote() || is_refused {
            return Err(ending);
        }
        let pause = pauses.failed(&mut rng);
        let seconds = pause.as_secs_f64().ceil();
        monitor.reloaded(false);
        error!(pause.seconds = seconds, "Waiting for a configuration, {seconds} s: {ending}");
        tokio::select! {
            () = options.shutdown.cancelled() => return Ok(None),
            () = options.reload.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// What all lives of the service share.
struct Appliance<'a> {
    options: &'a Options,
    shard: Shard,
    monitor: &'a Arc<Monitor>,
    configuration: Configuration,
    destination: Destination,
    carried: Carried,
}

impl Appliance<'_> {
    /// Tells what is allowed but risky.
    fn warn(&self, settings: &Settings) {
        let warnings = self.options.flags.warnings().into_iter();
        let warnings = warnings.chain(self.configuration.environment().warnings.iter().cloned());
        for warning in warnings.chain(settings.warnings.iter().cloned()) {
            warn!("{warning}");
        }
    }

    fn replace(&mut self, settings: &mut Settings, new: Settings) {
        if settings.service != new.service || settings.auth != new.auth {
            // Another server, or another account, has asked for no pause.
            self.carried = Carried::default();
        }
        *settings = new;
        self.monitor.reloaded(true);
    }

    /// Waits for `pause`, or for something that ends it.
    async fn wait(&mut self, settings: &Settings, pause: Duration) -> Waited {
        let until = Instant::now() + pause;
        loop {
            let mut at_once = false;
            tokio::select! {
                () = self.options.shutdown.cancelled() => return Waited::Stopped,
                () = self.options.reload.notified() => at_once = true,
                () = tokio::time::sleep_until(until.min(Instant::now() + LOOK_EVERY)) => {}
            }
            let shutdown = self.options.shutdown.clone();
            let looked = tokio::select! {
                () = shutdown.cancelled() => return Waited::Stopped,
                looked = self.look(settings, at_once) => looked,
            };
            if let Some(new) = looked {
                return Waited::Changed(Box::new(new));
            }
            if Instant::now() >= until {
                return Waited::Over;
            }
        }
    }

    /// The new settings, if the configuration has changed for the better.
    async fn look(&mut self, settings: &Settings, at_once: bool) -> Option<Settings> {
        let judged = match self.configuration.changed(settings, at_once).await? {
            Ok(settings) => exchange::check(&settings).map(|()| settings),
            Err(err) => Err(Ending::from(err)),
        };
        self.monitor.reloaded(judged.is_ok());
        match judged {
            Ok(settings) => Some(settings),
            Err(ending) => {
                error!(
                    "The changed configuration is not used, the one before stays in force: \
                     {ending}"
                );
                None
            }
        }
    }

    /// Serves the mailboxes of this shard until something ends that.
    async fn serve(&mut self, settings: &Settings) -> Result<End, Ending> {
        let routes = routes(settings, self.shard);
        announce(settings, self.shard, routes.len(), &self.destination.name());
        if let Some((files, _)) = self.destination.folder() {
            // Another shard may be waiting for what this life does not serve any more.
            files.release_others(&routes).await.map_err(|err| Ending::from(&err))?;
        }
        let spool = self.destination.spool(&self.options.flags);
        let mut places = vec![Place { name: "spool", path: spool.clone() }];
        if let Some((_, prefix)) = self.destination.folder() {
            places.push(Place { name: "data", path: prefix.to_owned() });
        }
        let board = self.monitor.begin(settings, &routes, places);
        if routes.is_empty() {
            // Nothing to do for this shard, until a configuration gives it something.
            let forever = Duration::from_secs(u64::MAX >> 32);
            return Ok(match self.wait(settings, forever).await {
                Waited::Changed(new) => End::Changed(new),
                Waited::Stopped | Waited::Over => End::Stopped,
            });
        }
        let progress = self.progress(routes.len());
        let shutdown = self.options.shutdown.clone();
        let opened = tokio::select! {
            () = shutdown.cancelled() => return Ok(End::Stopped),
            opened = self.service(settings, &routes, &spool, progress.clone()) => opened,
        };
        let service = opened?;

        // Ends with this life of the service, whatever ends it.
        let life = self.options.shutdown.child_token();
        let (commands, receiver) = mpsc::channel(16);
        let mut service = Box::pin(service.run(receiver, life.clone()));
        let status = self.destination.folder().map(|(files, prefix)| {
            let (clock, files) = (Arc::new(SystemClock), files.clone());
            StatusFile::new(prefix, self.shard, board, clock, files)
        });
        let mut writing = pin!(keep_written(status.as_ref(), life.clone()));
        // Only for those who look.
        let endpoints =
            self.options.flags.bind.map(|_| exchange::endpoints(settings)).transpose()?;
        let monitor = Arc::clone(self.monitor);
        let mut certificates = pin!(monitor.watch_certificates(endpoints.unwrap_or_default()));
        let mut next = None;
        // Whose quarantine is to be tried again.
        let mut retried = Vec::new();
        let ended = loop {
            let mut at_once = false;
            tokio::select! {
                ended = &mut service => break Some(ended),
                () = self.options.retry.notified() => {
                    info!("Everything in quarantine is tried again");
                    retried.clone_from(&routes);
                    continue;
                }
                Ok(permit) = commands.reserve(), if !retried.is_empty() => {
                    if let Some(route) = retried.pop() {
                        permit.send(Command::RetryQuarantine(route));
                    }
                    continue;
                }
                () = &mut writing => break None,
                () = &mut certificates => {}
                () = self.options.reload.notified() => at_once = true,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if let Some((files, _)) = self.destination.folder() {
                pass_on_requests(files, &routes, &commands);
            }
            // A platform may take its time: the mail goes on meanwhile.
            let looked = tokio::select! {
                ended = &mut service => break Some(ended),
                () = life.cancelled() => break None,
                looked = self.look(settings, at_once) => looked,
            };
            if let Some(new) = looked {
                next = Some(new);
                life.cancel();
                break None;
            }
        };
        let ended = match ended {
            Some(ended) => ended,
            None => self.end(service, next.is_some()).await?,
        };
        life.cancel();
        if !retried.is_empty() {
            // The next life begins anew with it.
            self.options.retry.notify_one();
        }
        // Its last act is to write the file once more.
        keep_written(status.as_ref(), life).await;
        if let Some(progress) = progress {
            progress.finish();
        }
        ended.map_err(|failure| Ending::from(&failure))?;
        Ok(next.map_or(End::Stopped, |new| End::Changed(Box::new(new))))
    }

    /// Waits for the end of a service that was told to end. A reload has more time than a stop, but
    /// not for ever: what is given up is done again.
    async fn end(
        &self,
        service: impl Future<Output = Result<(), Failure>>,
        reloads: bool,
    ) -> Result<Result<(), Failure>, Ending> {
        let (shutdown, grace) = (&self.options.shutdown, self.options.flags.shutdown_grace);
        let longest = if reloads { LONGEST_RELOAD } else { Duration::MAX };
        let too_late = async {
            tokio::select! {
                () = shutdown.cancelled() => tokio::time::sleep(grace).await,
                () = tokio::time::sleep(longest) => {}
            }
        };
        tokio::select! {
            ended = service => return Ok(ended),
            () = too_late => {}
        }
        if reloads && !shutdown.is_cancelled() {
            warn!("Work under way is given up for the new configuration");
            return Ok(Ok(()));
        }
        let grace = grace.as_secs();
        let text = format!("work under way did not end within the {grace} s of --shutdown-grace");
        Err(Ending::new(Exit::Temporary, text))
    }

    fn progress(&self, mailboxes: usize) -> Option<Arc<Progress>> {
        self.options.bars.clone().map(|bars| Arc::new(Progress::new(bars, mailboxes)))
    }

    /// Wires source, engine and sink.
    async fn service(
        &self,
        settings: &Settings,
        routes: &[Route],
        spool: &Path,
        progress: Option<Arc<Progress>>,
    ) -> Result<Service, Ending> {
        let mut observers = self.options.observers.clone();
        observers.push(Arc::clone(self.monitor) as Arc<dyn Observer>);
        observers.extend(progress.map(|progress| progress as Arc<dyn Observer>));
        let meter = || Arc::clone(self.monitor) as Arc<dyn Meter>;
        let environment = self.configuration.environment();
        let uploads = Uploads {
            batch: settings.reinfer_batch_size,
            at_once: settings.max_concurrent_uploads,
            with_state: true,
        };
        let connected =
            self.destination.connect(&self.options.flags, environment, uploads, meter())?;
        self.destination.watch_expiry(environment, self.monitor);
        connected.prove().await?;
        connected.announce(routes);
        let opened = exchange::open(settings, self.shard, spool, meter()).await?;
        if opened.fell_back {
            warn!("{}", opened.told);
        } else {
            info!("{}", opened.told);
        }
        self.monitor.reads_over(opened.exchange.protocol());
        let observer: Arc<dyn Observer> = Arc::new(Observers(observers));
        let shared = Arc::new(Shared {
            sink: self.monitor.watch(connected.sink, connected.counted_by),
            clock: Arc::new(SystemClock),
            observer: Arc::clone(&observer),
            pace: pace(settings, opened.exchange.protocol()),
        });
        let seed: u64 = rand::random();
        let mailboxes = routes.iter().enumerate().filter_map(|(i, route)| {
            let wanted = wanted(settings.mailboxes.get(&route.mailbox)?, settings);
            let rng = SmallRng::seed_from_u64(seed.wrapping_add(i as u64));
            let source = opened.exchange.mailbox(&route.mailbox);
            Some(MailboxSync::new(route.clone(), source, shared.clone(), wanted, rng))
        });
        let service =
            Service::new(mailboxes.collect(), settings.max_concurrent_mailboxes, observer);
        Ok(service.carrying(&self.carried))
    }
}

/// Keeps the status file up to date until `life` ends, and once more then.
async fn keep_written(status: Option<&StatusFile>, life: CancellationToken) {
    match status {
        Some(status) => status.keep_written(life).await,
        None => life.cancelled().await,
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

fn announce(settings: &Settings, shard: Shard, owned: usize, place: &str) {
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
        server = %settings.service, shard.ordinal = shard.ordinal(),
        shard.total = shard.total(), mailboxes.owned = owned,
        mailboxes.configured = settings.mailboxes.len(), destination = %place,
        "Serving {owned} of {} mailboxes of {} into `{}`; polling every {} s; pace: {pace}",
        settings.mailboxes.len(), settings.service, place,
        settings.poll_frequency.as_secs_f64(),
    );
}
