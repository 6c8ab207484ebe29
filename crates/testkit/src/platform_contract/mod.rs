//! The contract of the platform's HTTP API, for raw emails: what the real one and the simulated
//! one must do alike. Everything is seen through the API.

pub mod client;
pub mod emails;
pub mod peer;
pub mod states;
pub mod strictness;

use std::{any::Any, net::SocketAddr, path::PathBuf};

use client::Client;

/// A platform of its own for one case: with the empty bucket `example/mail`, conditional writes,
/// and a token that may do everything.
pub struct Subject {
    pub address: SocketAddr,
    /// What the official client calls the endpoint.
    pub url: String,
    pub token: String,
    /// The certificate to trust; empty or missing without TLS.
    pub ca_file: PathBuf,
    /// Dropped when the case is over.
    pub keep: Box<dyn Any + Send + Sync>,
}

impl Subject {
    /// A connection to the platform.
    ///
    /// # Panics
    ///
    /// Nobody listens.
    pub async fn client(&self) -> Client {
        Client::connect(self.address, &self.token).await
    }
}

/// Makes each case a test: `platform_contract!(name, subject)`, where `subject()` is a future of
/// a [`Subject`].
#[macro_export]
macro_rules! platform_contract {
    ($name:ident, $subject:expr) => {
        $crate::platform_contract!(@cases $name, $subject;
            emails::what_was_written_is_read_as_it_was,
            emails::pages_and_queries_show_every_email_once,
            emails::emails_and_buckets_go_away,
            peer::the_official_library_does_everything,
            peer::the_official_library_reads_back_what_it_uploads,
            states::with_conditional_writes_a_lost_race_is_told,
            states::keyed_states_are_listed_by_mailbox_and_path,
            states::the_owner_of_a_bucket_is_kept,
            states::configurations_come_as_forms_or_plain_on_both_paths,
            strictness::each_field_of_an_email_is_checked,
            strictness::other_requests_are_checked_as_strictly,
            strictness::a_body_that_is_no_json_is_refused,
        );
    };
    (@cases $name:ident, $subject:expr; $($file:ident :: $case:ident),+ $(,)?) => {
        mod $name {
            #[allow(unused_imports, reason = "the subject may need nothing from there")]
            use super::*;

            $(#[tokio::test]
            async fn $case() {
                $crate::platform_contract::$file::$case($subject().await).await;
            })+
        }
    };
}
