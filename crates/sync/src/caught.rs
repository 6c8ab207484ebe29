//! Turns a panic on the way of one item into a failure, so that the item is set aside like any
//! other that breaks requests, and its mailbox is not lost with its task.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

/// `work` ended in a panic. Its message is not passed on: it may quote an email.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panicked;

/// For the operator.
pub(crate) const PANICKED: &str =
    "it shows a bug of this program, please report it; standard error names the place";

/// Runs `work` and survives a panic in it. What `work` borrows must bear being left in the middle,
/// as it must when a call is abandoned.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        polled.map_or(Poll::Ready(Err(Panicked)), |poll| poll.map(Ok))
    })
    .await
}
