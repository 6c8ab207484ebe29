//! Turns a panic on the way of one item into a failure, so that the item is set aside like any
//! other that breaks requests, and its mailbox is not lost with its task.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

/// Runs `work`; a panic in it becomes its message. What `work` borrows must bear being left in the
/// middle, as it must when a call is abandoned.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        polled.map_or_else(|panic| Poll::Ready(Err(message(&*panic))), |poll| poll.map(Ok))
    })
    .await
}

/// What a panic says, on one line and not without end.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    let line: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    format!("a bug in this program: {line}")
}
