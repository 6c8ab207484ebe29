//! How the Graph face presents itself.

use std::time::Duration;

/// Settings of the Graph face.
#[derive(Clone, Debug)]
pub struct GraphOptions {
    /// Whether there are delta queries, as in all clouds but that of 21Vianet.
    pub delta: bool,
    /// Whether a delta query of messages may `$expand`.
    pub expand_in_delta: bool,
    /// Whether a delta query of folders may `$expand`, which is not documented.
    pub expand_in_folder_delta: bool,
    /// Whether the delta of folders shows those whose counts changed, too.
    pub count_changes: bool,
    /// Whether there is `translateExchangeIds`, as in all clouds but those of the US Government.
    pub translate: bool,
    /// Entries of a page for which nothing else is preferred.
    pub page: usize,
    /// Most entries of a page.
    pub largest_page: usize,
    /// Most messages that a delta query with `$filter` returns.
    pub filtered_delta: usize,
    /// Requests that an app may have running in one mailbox.
    pub concurrent: usize,
    /// Requests of one batch that run at once in a mailbox.
    pub batch_parallel: usize,
    /// Requests of an app to one mailbox in [`Self::mailbox_period`].
    pub mailbox_requests: u32,
    pub mailbox_period: Duration,
    /// Requests of an app to all mailboxes in [`Self::app_period`].
    pub app_requests: u32,
    pub app_period: Duration,
    /// The pause that those are told who exceed a limit.
    pub retry_after: Duration,
}

impl Default for GraphOptions {
    /// The limits of the real service ("Microsoft Graph service-specific throttling limits").
    fn default() -> Self {
        Self {
            delta: true,
            expand_in_delta: true,
            expand_in_folder_delta: false,
            count_changes: true,
            translate: true,
            page: 10,
            largest_page: 1000,
            filtered_delta: 5000,
            concurrent: 4,
            batch_parallel: 4,
            mailbox_requests: 10_000,
            mailbox_period: Duration::from_secs(600),
            app_requests: 130_000,
            app_period: Duration::from_secs(10),
            retry_after: Duration::from_secs(2),
        }
    }
}
