//! Gives the steps of all mailboxes their turns.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use record::{Route, SinkError, SourceError};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    carried::Carried,
    mailbox::{Fatal, MailboxSync, Next, StopReason},
    observer::{Event, MailboxState, Observer},
    recovery::with_hint,
};

/// Most mailboxes that are amid their first rounds at the same time. Each holds its checkpoint and
/// its list of folders in memory; the others wait for a seat.
const SEATS: usize = 64;

/// A mailbox keeps its seat through a pause of this length.
const SHORT_PAUSE: Duration = Duration::from_secs(60);

/// What may be asked of a running service.
#[derive(Debug)]
pub enum Command {
    /// Try everything in quarantine of this route once more.
    RetryQuarantine(Route),
}

/// Why a service came to its end by itself.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A failure of the source that concerns every mailbox.
    #[error("the service cannot go on")]
    Source(#[source] SourceError),
    /// The same of the sink.
    #[error("the service cannot go on")]
    Sink(#[source] SinkError),
    /// Not one mailbox could be read since the start.
    #[error("none of the {mailboxes} mailboxes can be read")]
    AllBlocked { mailboxes: usize },
    /// Every mailbox has stopped for good.
    #[error("all {mailboxes} mailboxes have stopped")]
    AllStopped { mailboxes: usize, last: Option<StopReason> },
}

/// A step that has ended: whose it was, the mailbox itself, and what it wants next.
type Done = (usize, Box<MailboxSync>, Result<Next, Fatal>);

/// Runs mailboxes with a bounded number of workers. A mailbox gives its worker back after each
/// step and queues again behind all that are due before it, so that neither a huge nor a broken
/// mailbox keeps another one waiting for more than a step.
///
/// Mailboxes that have never been up to date take seats, and give them up after each round, that
/// is after `emails_per_folder` entries of each folder. Mailboxes that have been up to date need
/// none: new mail does not wait for the history of others.
pub struct Service {
    workers: usize,
    due: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    mailboxes: Vec<Option<Box<MailboxSync>>>,
    index: BTreeMap<Route, usize>,
    /// Requests for mailboxes that are being worked on.
    retries: Vec<bool>,
    /// Who is being worked on.
    tasks: HashMap<tokio::task::Id, usize>,
    observer: Arc<dyn Observer>,
    sequence: u64,
    /// Who has a seat, by index.
    seated: Vec<bool>,
    free_seats: usize,
    /// Due, but without a seat.
    waiting: VecDeque<usize>,
    paused_until: Option<Instant>,
    /// Mailboxes that need the operator, by index.
    blocked: Vec<bool>,
    stopped: usize,
    last_stop: Option<StopReason>,
    any_worked: bool,
    carried: Carried,
}

impl Service {
    pub fn new(mailboxes: Vec<MailboxSync>, workers: usize, observer: Arc<dyn Observer>) -> Self {
        let now = Instant::now();
        let count = mailboxes.len();
        let index = mailboxes.iter().enumerate().map(|(i, m)| (m.route().clone(), i)).collect();
        let due = (0..count).map(|i| Reverse((now, i as u64, i))).collect();
        let service = Self {
            workers: workers.max(1),
            due,
            mailboxes: mailboxes.into_iter().map(|m| Some(Box::new(m))).collect(),
            index,
            retries: vec![false; count],
            tasks: HashMap::new(),
            observer,
            sequence: count as u64,
            seated: vec![false; count],
            free_seats: SEATS.max(workers),
            waiting: VecDeque::new(),
            paused_until: None,
            blocked: vec![false; count],
            stopped: 0,
            last_stop: None,
            any_worked: false,
            carried: Carried::default(),
        };
        // All mailboxes of a service share what it carries.
        service.carrying(&Carried::default())
    }

    /// Takes over what an earlier service of this process has left in `carried`, and leaves there
    /// what the next one has to know.
    #[must_use]
    pub fn carrying(mut self, carried: &Carried) -> Self {
        let now = Instant::now();
        self.carried = carried.clone();
        self.paused_until = carried.paused_until().filter(|until| *until > now);
        for mailbox in self.mailboxes.iter_mut().flatten() {
            mailbox.carried = carried.clone();
            let wanted = mailbox.wanted_start();
            if wanted.is_some() && wanted == carried.applied_to(mailbox.route()) {
                mailbox.start_is_applied();
            }
        }
        let due =
            std::mem::take(&mut self.due).into_iter().map(|Reverse((at, sequence, index))| {
                let mailbox = self.mailboxes.get_mut(index).and_then(Option::as_mut);
                let pause = mailbox.and_then(|mailbox| {
                    let pause = carried.pause_of(mailbox.route())?;
                    let detail = "the server asked for a pause, before the service started again";
                    mailbox.set_state(MailboxState::Throttled, detail, pause);
                    Some(pause)
                });
                Reverse((at + pause.unwrap_or_default(), sequence, index))
            });
        self.due = due.collect();
        self
    }

    /// Notes what the next service has to know of `mailbox`.
    fn carry(&self, mailbox: &MailboxSync, next: Next) {
        let pause = match next {
            Next::After(pause) if mailbox.is_throttled() => Some(Instant::now() + pause),
            _ => None,
        };
        self.carried.pause(mailbox.route(), pause);
        if mailbox.has_applied_start()
            && let Some(applied) = mailbox.wanted_start()
        {
            self.carried.apply(mailbox.route(), &applied);
        }
    }

    /// Runs until `shutdown` is cancelled and every step under way has come to a safe end.
    ///
    /// # Errors
    ///
    /// [`Failure`] when going on is of no use. All that was acknowledged is kept.
    pub async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        shutdown: CancellationToken,
    ) -> Result<(), Failure> {
        let mut working = JoinSet::new();
        let mut listening = true;
        let result = loop {
            let earliest = self.launch(&mut working, &shutdown);
            if let Some(failure) = self.verdict(&working) {
                break Err(failure);
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break Ok(()),
                Some(done) = working.join_next() => {
                    if let Err(failure) = self.after_step(done) {
                        break Err(failure);
                    }
                }
                command = commands.recv(), if listening => match command {
                    Some(command) => self.obey(&command),
                    None => listening = false,
                },
                () = sleep_until(earliest) => {}
            }
        };
        // Steps look at the token themselves and end where nothing is lost.
        shutdown.cancel();
        while let Some(done) = working.join_next().await {
            let stopped = self.after_step(done);
            if let (Err(failure), true) = (stopped, result.is_ok()) {
                warn!("While shutting down: {}", record::Chain(&failure));
            }
        }
        result
    }

    /// Starts every step that is due and has a worker. Returns when to look again.
    fn launch(&mut self, working: &mut JoinSet<Done>, shutdown: &CancellationToken) -> Instant {
        let now = Instant::now();
        if let Some(until) = self.paused_until {
            if until > now {
                return until;
            }
            self.paused_until = None;
        }
        while working.len() < self.workers {
            let Some(Reverse((at, _, _))) = self.due.peek() else { break };
            if *at > now {
                return *at;
            }
            let Some(Reverse((_, _, index))) = self.due.pop() else { break };
            if !self.take_seat(index) {
                self.waiting.push_back(index);
                continue;
            }
            let Some(mut mailbox) = self.mailboxes.get_mut(index).and_then(Option::take) else {
                continue;
            };
            if let Some(retry) = self.retries.get_mut(index)
                && std::mem::take(retry)
            {
                mailbox.retry_quarantine();
            }
            let shutdown = shutdown.clone();
            let task = working.spawn(async move {
                let next = mailbox.step(&shutdown).await;
                (index, mailbox, next)
            });
            self.tasks.insert(task.id(), index);
        }
        // Whatever ends first wakes the loop; this is only for the case that nothing does.
        now + Duration::from_secs(3600)
    }

    /// A bug: the mailbox is lost with its task, the others go on.
    fn after_panic(&mut self, err: &JoinError) {
        self.stopped += 1;
        let index = self.tasks.remove(&err.id());
        let route = self.index.iter().find(|(_, known)| Some(**known) == index);
        let Some((route, &index)) = route else { return };
        let route = route.clone();
        tracing::error!(mailbox.id = %route.mailbox, "`{}` ended in a panic: {err}", route.mailbox);
        self.give_up_seat(index);
        let (state, detail) = (MailboxState::Stopped, "ended in a panic, see the log");
        let pause = Duration::MAX;
        self.observer.observe(&Event::State { route: &route, state, detail, pause });
    }

    /// Whether the mailbox may do a step now.
    fn take_seat(&mut self, index: usize) -> bool {
        let needs_one = self
            .mailboxes
            .get(index)
            .and_then(Option::as_ref)
            .is_some_and(|mailbox| !mailbox.has_been_up_to_date());
        let Some(seated) = self.seated.get_mut(index) else { return true };
        if !needs_one || *seated {
            return true;
        }
        if self.free_seats == 0 {
            return false;
        }
        self.free_seats -= 1;
        *seated = true;
        true
    }

    fn give_up_seat(&mut self, index: usize) {
        let Some(seated) = self.seated.get_mut(index) else { return };
        if std::mem::take(seated) {
            self.free_seats += 1;
            if let Some(next) = self.waiting.pop_front() {
                self.enqueue(next, Duration::ZERO);
            }
        }
    }

    fn enqueue(&mut self, index: usize, pause: Duration) {
        self.sequence += 1;
        self.due.push(Reverse((Instant::now() + pause, self.sequence, index)));
    }

    fn after_step(&mut self, done: Result<Done, JoinError>) -> Result<(), Failure> {
        let (index, mut mailbox, next) = match done {
            Ok(done) => {
                self.tasks.retain(|_, index| *index != done.0);
                done
            }
            Err(err) => {
                self.after_panic(&err);
                return Ok(());
            }
        };
        let next = match next {
            Ok(next) => next,
            // Others have worked: then it is this mailbox's trouble, unless it is the password.
            Err(Fatal::Source(err))
                if self.any_worked && !matches!(err, SourceError::Unauthorized { .. }) =>
            {
                mailbox.block(&with_hint(&err, err.hint()))
            }
            Err(Fatal::Source(err)) => return Err(Failure::Source(err)),
            Err(Fatal::Sink(err)) => return Err(Failure::Sink(err)),
        };
        self.carry(&mailbox, next);
        let (pause, blocked) = match next {
            Next::Now => (Duration::ZERO, false),
            Next::After(pause) => (pause, false),
            Next::PauseService(pause) => {
                let until = Instant::now() + pause;
                self.paused_until = self.paused_until.max(Some(until));
                self.carried.pause_service(until);
                info!(pause.seconds = pause.as_secs(), "All mailboxes wait");
                (pause, false)
            }
            Next::Blocked(pause) => (pause, true),
            Next::Stop(reason) => {
                self.stopped += 1;
                self.last_stop = Some(reason);
                self.give_up_seat(index);
                return Ok(());
            }
        };
        if !mailbox.is_amid_round() || pause > SHORT_PAUSE {
            self.give_up_seat(index);
        }
        if let Some(was) = self.blocked.get_mut(index) {
            *was = blocked;
        }
        self.any_worked |= matches!(next, Next::Now) || mailbox.has_been_up_to_date();
        self.enqueue(index, pause);
        if let Some(slot) = self.mailboxes.get_mut(index) {
            *slot = Some(mailbox);
        }
        Ok(())
    }

    fn verdict(&self, working: &JoinSet<Done>) -> Option<Failure> {
        let mailboxes = self.mailboxes.len();
        if mailboxes == 0 || !working.is_empty() {
            return None;
        }
        if self.stopped == mailboxes {
            return Some(Failure::AllStopped { mailboxes, last: self.last_stop });
        }
        let all_blocked = self.blocked.iter().all(|blocked| *blocked);
        (all_blocked && !self.any_worked).then_some(Failure::AllBlocked { mailboxes })
    }

    fn obey(&mut self, command: &Command) {
        let Command::RetryQuarantine(route) = command;
        let Some(&index) = self.index.get(route) else {
            warn!(mailbox.id = %route.mailbox, "`{}` is not served here", route.mailbox);
            return;
        };
        // Obeyed with the next step: a pause that the server asked for is not cut short.
        if let Some(retry) = self.retries.get_mut(index) {
            *retry = true;
        }
    }
}
