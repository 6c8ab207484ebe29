//! The appliance as a process: log, progress bars and signals.

use std::{
    io,
    io::IsTerminal,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use appliance::{
    exit::{Ending, Exit},
    flags::{Flags, LogFormat},
    logging::{self, LogQueue},
    run::{self, Options},
};
use indicatif::MultiProgress;
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::read_environment;

/// Signal of a file that exceeds the process's limit for file sizes. Handled, the write fails
/// with an error instead; unhandled, it kills.
const SIGXFSZ: i32 = 25;

/// Threads that run tasks.
const WORKERS: usize = 2;

/// Most threads for file work. Each costs memory that a small container has little of.
const BLOCKING_THREADS: usize = 24;

/// A thread for file work stays for good once it is there: the runtime panics when there is none
/// and the machine has no room for one.
const KEEP_THREADS: Duration = Duration::from_secs(366 * 24 * 3600);

/// Threads without which nothing works: one for the log, [`WORKERS`], one for file work.
const LEAST_THREADS: usize = WORKERS + 2;

/// The kernel gives the place of a thread back a moment after its end.
const GIVE_BACK: Duration = Duration::from_millis(10);

/// Time for file work that is under way when everything else has ended.
const LAST_WRITES: Duration = Duration::from_secs(1);

/// Starts the threads that everything else needs.
pub(crate) fn runtime() -> Result<Runtime, Ending> {
    // The runtime panics without them.
    try_threads(LEAST_THREADS).map_err(|err| {
        Ending::new(
            Exit::Temporary,
            format!(
                "could not start {LEAST_THREADS} threads: {err}\n\
                 Hint: Raise the limit of processes and threads of this user or container \
                 (`ulimit -u`, `pids.max`)."
            ),
        )
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(KEEP_THREADS)
        .enable_all()
        .build()
        .map_err(|err| Ending::new(Exit::Io, format!("could not start the runtime: {err}")))?;
    // The first thread for file work, while there is room for it.
    drop(runtime.spawn_blocking(|| ()));
    Ok(runtime)
}

/// Starts `count` threads at the same time, and ends them again.
fn try_threads(count: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        let closed = gate.lock();
        for _ in 0..count {
            thread::Builder::new().spawn_scoped(scope, || drop(gate.lock()))?;
        }
        drop(closed);
        io::Result::Ok(())
    })?;
    #[expect(clippy::disallowed_methods, reason = "no runtime is there yet")]
    thread::sleep(GIVE_BACK);
    Ok(())
}

pub(crate) fn run(flags: Flags) -> Result<Exit, Ending> {
    let terminal = io::stderr().is_terminal();
    let bars = terminal.then(MultiProgress::new);
    let format =
        flags.log_format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    #[expect(clippy::disallowed_methods, reason = "the command line reads the environment")]
    let filter = std::env::var("RUST_LOG").ok();
    let runtime = runtime()?;
    let queue = LogQueue::start(Box::new(io::stderr()), bars.clone());
    logging::install(flags.debug_level, format, filter.as_deref(), queue.clone());
    let served = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let (reload, retry) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let signals = Signals::listen()?;
        tokio::spawn(signals.obey(shutdown.clone(), Arc::clone(&reload), Arc::clone(&retry)));
        let observers = Vec::new();
        let read_environment = Arc::new(read_environment);
        let options = Options { flags, read_environment, bars, observers, shutdown, reload, retry };
        Box::pin(run::run(options)).await
    });
    // A write that hangs must not keep the process from ending.
    runtime.shutdown_timeout(LAST_WRITES);
    queue.flush();
    served.map(|()| Exit::Success)
}

pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user: Signal,
    file_too_large: Signal,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self, Ending> {
        let listen = |kind| {
            let failed = |err| Ending::new(Exit::Io, format!("could not handle signals: {err}"));
            signal(kind).map_err(failed)
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
            user: listen(SignalKind::user_defined1())?,
            file_too_large: listen(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    /// The first SIGTERM or SIGINT ends in good order, the second one at once. SIGHUP reads the
    /// configuration again, SIGUSR1 tries the quarantine again.
    pub(crate) async fn obey(
        mut self,
        shutdown: CancellationToken,
        reload: Arc<Notify>,
        retry: Arc<Notify>,
    ) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => stop(&shutdown),
                _ = self.interrupt.recv() => stop(&shutdown),
                _ = self.hang_up.recv() => reload.notify_one(),
                _ = self.user.recv() => retry.notify_one(),
                _ = self.file_too_large.recv() => {}
            }
        }
    }
}

fn stop(shutdown: &CancellationToken) {
    if shutdown.is_cancelled() {
        std::process::exit(Exit::Aborted.code().into());
    }
    info!("Finishing what is under way; a second signal aborts");
    shutdown.cancel();
}
