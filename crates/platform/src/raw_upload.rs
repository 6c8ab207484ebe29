//! Raw emails of one request become comments, on a thread of their own.
//!
//! Each email is noted in the database before its conversion begins, so that one that ends the
//! process is known when it comes again. All emails of a request are noted together, which is
//! one wait for the disk. When one of them comes again that was there when a process ended, each
//! is noted alone: whoever was only there is soon known to be innocent, and the one that ends
//! processes is named instead of being converted once more.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use comment::{Converted, Delivery, Pieces, Transform};
use hyper::StatusCode;
use record::Chain;
use store::StoreError;
use tokio::runtime::Handle;
use tracing::error;

use crate::{
    body::{Measured, Received},
    conversion::{Raw, STRIKES},
    raw_emails::{RawEmails, read_documents, read_plan},
    refusal::Refusal,
    server::Shared,
    watched::{Unfinished, Watch},
};

/// How long the emails of one request may take together; clients wait for four minutes.
const TIME: Duration = Duration::from_secs(180);
/// After how many seconds a client may try again when all threads are taken.
const PAUSE: u32 = 30;

/// A body that has come, and what is known of the source.
pub(crate) struct Upload {
    pub(crate) received: Received,
    pub(crate) gzip: bool,
    /// Most bytes of the body after decompression.
    pub(crate) limit: u64,
    pub(crate) tag: Option<String>,
}

impl Upload {
    fn open(&self) -> io::Result<Measured> {
        self.received.again()?.reader(self.gzip, self.limit)
    }
}

/// Reads the body, and makes a comment of each email.
pub(crate) async fn read(shared: &Arc<Shared>, upload: Upload) -> Result<RawEmails, Refusal> {
    let own = Arc::clone(shared);
    // A client that leaves does not leave notes behind.
    let reading = shared.tasks.spawn(async move { read_noted(&own, Arc::new(upload)).await });
    reading.await.unwrap_or_else(|failure| {
        error!("Reading raw emails did not end: {failure}");
        Err(broken())
    })
}

async fn read_noted(shared: &Arc<Shared>, upload: Arc<Upload>) -> Result<RawEmails, Refusal> {
    let threads = &shared.converter.uploads;
    let own = Arc::clone(&upload);
    let planned = threads.run(move |_: &Watch<usize>| read_plan(own.open()?, own.tag.as_deref()));
    let plan = planned.await.map_err(|failed| refused(failed, threads.time()))??;
    let notes = Arc::new(Notes::begin(shared, &plan.keys).await?);
    let (own, now, until) = (Arc::clone(&notes), shared.store.now(), Instant::now() + TIME);
    let converted = threads.run(move |watch| {
        let run = |number: usize, pieces: &Pieces<'_>, delivery: &Delivery<'_>, transform: &_| {
            own.convert(watch, until, number, (pieces, delivery, transform))
        };
        read_documents(upload.open()?, &plan, now, &run)
    });
    let outcome = converted.await.map_err(|failed| refused(failed, threads.time()));
    notes.end().await;
    outcome?
}

fn refused(failed: Unfinished<usize>, time: Duration) -> Refusal {
    match failed {
        Unfinished::NoThread => Refusal::busy("too many raw emails are being converted", PAUSE),
        Unfinished::TooLong(number) => {
            let problem = format!("converting this email takes more than {time:?}; leave it out");
            unconvertible(number, &problem)
        }
        Unfinished::Panicked(step) => {
            error!(step, "Reading raw emails panicked");
            broken()
        }
    }
}

fn unconvertible(number: usize, problem: &str) -> Refusal {
    let message = format!("`documents[{number}].raw_email`: {problem}");
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message)
}

fn broken() -> Refusal {
    let message = "the server could not read the body; its log has the reason";
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message)
}

/// What the database knows of the emails of a request.
struct Notes {
    shared: Arc<Shared>,
    runtime: Handle,
    keys: Vec<String>,
    /// One of them was there when a process ended.
    is_careful: bool,
}

impl Notes {
    /// Notes all of them, unless one is to be looked out for.
    async fn begin(shared: &Arc<Shared>, keys: &[String]) -> Result<Self, Refusal> {
        let name = shared.converter.name(&shared.store).await?;
        let mut session = shared.store.write().await?;
        let noted = session.noted_conversions(name, keys).await?;
        for (number, key) in keys.iter().enumerate() {
            let strikes = noted.get(key).copied().unwrap_or_default();
            if strikes >= STRIKES.unsigned_abs() {
                let problem = format!(
                    "the server ended {strikes} times while it converted this email, and does \
                     not try it again; leave it out"
                );
                return Err(unconvertible(number, &problem));
            }
        }
        let is_careful = !noted.is_empty();
        if !is_careful && !keys.is_empty() {
            session.note_conversions(name, keys).await?;
            session.commit().await?;
        }
        let (shared, runtime) = (Arc::clone(shared), Handle::current());
        Ok(Self { shared, runtime, keys: keys.to_vec(), is_careful })
    }

    fn convert(
        &self,
        watch: &Watch<usize>,
        until: Instant,
        number: usize,
        (pieces, delivery, transform): (&Pieces<'_>, &Delivery<'_>, &Transform),
    ) -> Result<Converted, Refusal> {
        if Instant::now() > until {
            let problem = format!("the emails before this take {TIME:?}; send fewer at once");
            return Err(unconvertible(number, &problem));
        }
        if let Some(key) = self.careful(number) {
            self.write(key, Change::Note)?;
        }
        watch.begin(number);
        let convert = &self.shared.converter.convert;
        let convert = || convert(Raw::Pieces(pieces), delivery, transform);
        let converted = catch_unwind(AssertUnwindSafe(convert));
        if !watch.end() {
            // Nobody hears this.
            return Err(broken());
        }
        if let Some(key) = self.careful(number) {
            self.write(key, Change::Forget)?;
        }
        converted.map_err(|_| unconvertible(number, "this email cannot be converted; leave it out"))
    }

    /// The name of an email that is noted alone.
    fn careful(&self, number: usize) -> Option<&String> {
        self.keys.get(number).filter(|_| self.is_careful)
    }

    fn write(&self, key: &String, change: Change) -> Result<(), StoreError> {
        let keys = std::slice::from_ref(key);
        self.runtime.block_on(self.commit(keys, change))
    }

    async fn commit(&self, keys: &[String], change: Change) -> Result<(), StoreError> {
        let name = self.shared.converter.name(&self.shared.store).await?;
        let mut session = self.shared.store.write().await?;
        match change {
            Change::Note => session.note_conversions(name, keys).await?,
            Change::Forget => session.forget_conversions(keys).await?,
        }
        session.commit().await
    }

    /// Takes the notes back that were made together: the process is still there.
    async fn end(&self) {
        if self.is_careful || self.keys.is_empty() {
            return;
        }
        if let Err(failure) = self.commit(&self.keys, Change::Forget).await {
            error!("Could not take notes of converted emails back: {}", Chain(&failure));
        }
    }
}

#[derive(Clone, Copy)]
enum Change {
    Note,
    Forget,
}
