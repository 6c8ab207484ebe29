//! Work on what strangers wrote, on threads of its own, where each step has a bounded time.
//!
//! Nothing can stop a thread from outside. One that takes too long is left alone with its step, and
//! what comes of it is thrown away. There are only so many threads, so that mail that takes for
//! ever does not have the whole machine, and none of them keeps the process from ending.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};

/// The parser has no recursion; this is room for whatever it calls.
const STACK: usize = 8 * 1024 * 1024;

/// So many threads, and how long a step may take.
pub(crate) struct Threads {
    places: Arc<Semaphore>,
    time: Duration,
}

/// Why work has no result.
#[derive(Debug)]
pub(crate) enum Unfinished<S> {
    /// All threads are taken by work that does not end, or the system gave none.
    NoThread,
    /// This step took too long.
    TooLong(S),
    /// The work panicked, in this step.
    Panicked(Option<S>),
}

/// What a thread is about.
pub(crate) struct Watch<S>(Mutex<At<S>>);

enum At<S> {
    /// What belongs to no step may take as long as it wants.
    Between,
    Step {
        step: S,
        since: Instant,
    },
    /// Nobody waits for it any more.
    LeftAlone,
}

impl<S> Watch<S> {
    fn at(&self) -> MutexGuard<'_, At<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn go_to(&self, next: At<S>) -> bool {
        let mut at = self.at();
        if matches!(*at, At::LeftAlone) {
            return false;
        }
        *at = next;
        true
    }

    /// A step begins, and the one before it has ended; false if nobody waits for it any more.
    pub(crate) fn begin(&self, step: S) -> bool {
        self.go_to(At::Step { step, since: Instant::now() })
    }

    /// The step has ended; false if nobody waits for its result any more.
    pub(crate) fn end(&self) -> bool {
        self.go_to(At::Between)
    }

    /// Leaves the thread alone if its step has taken so long; else tells when to look again.
    fn leave(&self, time: Duration) -> Result<S, Duration> {
        let mut at = self.at();
        match std::mem::replace(&mut *at, At::LeftAlone) {
            At::Step { step, since } => match time.checked_sub(since.elapsed()) {
                None | Some(Duration::ZERO) => Ok(step),
                Some(left) => {
                    *at = At::Step { step, since };
                    Err(left)
                }
            },
            At::Between | At::LeftAlone => {
                *at = At::Between;
                Err(time)
            }
        }
    }

    fn into_step(self: Arc<Self>) -> Option<S> {
        match std::mem::replace(&mut *self.at(), At::LeftAlone) {
            At::Step { step, .. } => Some(step),
            At::Between | At::LeftAlone => None,
        }
    }
}

impl Threads {
    pub(crate) fn new(most: usize, time: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(most)), time }
    }

    /// How long a step may take.
    pub(crate) fn time(&self) -> Duration {
        self.time
    }

    /// Does `work`, which tells the steps that it is at.
    pub(crate) async fn run<T, S>(
        &self,
        work: impl FnOnce(&Watch<S>) -> T + Send + 'static,
    ) -> Result<T, Unfinished<S>>
    where
        T: Send + 'static,
        S: Send + 'static,
    {
        let place = timeout(self.time, Arc::clone(&self.places).acquire_owned()).await;
        let Ok(Ok(place)) = place else { return Err(Unfinished::NoThread) };
        let watch = Arc::new(Watch(Mutex::new(At::Between)));
        let (sender, mut result) = oneshot::channel();
        let own = Arc::clone(&watch);
        let body = move || {
            let done = work(&own);
            drop(place);
            // Whoever asked may have left.
            drop(sender.send(done));
        };
        let thread = thread::Builder::new().name("mail".to_owned()).stack_size(STACK).spawn(body);
        if let Err(error) = thread {
            tracing::error!("Could not start a thread: {error}");
            return Err(Unfinished::NoThread);
        }
        let mut pause = self.time;
        loop {
            match timeout(pause, &mut result).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(_)) => return Err(Unfinished::Panicked(watch.into_step())),
                Err(_) => match watch.leave(self.time) {
                    Ok(step) => return Err(Unfinished::TooLong(step)),
                    Err(left) => pause = left,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Long for a step that does nothing, on whatever machine.
    const TIME: Duration = Duration::from_millis(300);

    #[tokio::test]
    async fn a_step_that_does_not_end_is_named_and_left_alone() {
        let threads = Threads::new(1, TIME);
        let (release, waits) = mpsc::channel::<()>();
        let (told, hears) = mpsc::channel();
        let stuck = threads.run(move |watch| {
            assert!(watch.begin("first") && watch.begin("second"));
            waits.recv().unwrap_or_default();
            told.send((watch.end(), watch.begin("third"))).unwrap();
        });
        assert!(matches!(stuck.await, Err(Unfinished::TooLong("second"))));
        // Its thread is taken until it ends.
        let another = threads.run(|_: &Watch<()>| ()).await;
        assert!(matches!(another, Err(Unfinished::NoThread)), "{another:?}");
        drop(release);
        assert_eq!(hears.recv().unwrap(), (false, false));
        while threads.run(|_: &Watch<()>| ()).await.is_err() {}
    }

    #[tokio::test]
    async fn what_belongs_to_no_step_has_time() {
        let threads = Threads::new(1, Duration::from_millis(1));
        let (_looked, waits) = mpsc::channel::<()>();
        let work = threads.run(move |_: &Watch<()>| waits.recv_timeout(TIME).is_err());
        assert!(work.await.unwrap());
    }

    #[tokio::test]
    async fn a_panic_names_its_step() {
        // To print where it panicked takes a moment.
        let threads = Threads::new(1, 200 * TIME);
        let work = threads.run(|watch| {
            watch.begin(3);
            panic!("on purpose");
        });
        let failed: Result<(), _> = work.await;
        assert!(matches!(failed, Err(Unfinished::Panicked(Some(3)))), "{failed:?}");
    }
}
