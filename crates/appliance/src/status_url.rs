//! The status that a running appliance serves.

use std::{num::NonZeroUsize, sync::Arc};

use net::{Call, Client, Egress, Endpoint, Limits, Method, PlainHttp, Tls, Transport};
use record::{Chain, clock::SystemClock};
use serde::Deserialize;
use url::Url;

use crate::{
    exit::{Ending, Exit},
    status::MailboxReport,
};

/// Longest answer, in bytes: some 100,000 mailboxes.
const MAX_STATUS: usize = 64 << 20;

#[derive(Deserialize)]
struct Status {
    mailboxes: Vec<MailboxReport>,
}

/// Asks the appliance at `address`, as given to its `--bind`.
///
/// # Errors
///
/// It is no address, nobody answers there, or somebody else does.
pub(crate) async fn ask(address: &str) -> Result<Vec<MailboxReport>, Ending> {
    let fail = |exit, why: &dyn std::fmt::Display| {
        let text = format!(
            "`{address}` does not tell its status: {why}\n\
             Hint: Give the address of `--bind` of a running appliance, such as \
             http://localhost:8000."
        );
        Ending::new(exit, text)
    };
    let url = Url::parse(address).map_err(|err| fail(Exit::Config, &err))?;
    let transport = Transport {
        tls: Tls::new(&net::TlsSettings::default()).map_err(|err| Ending::config(&err))?,
        egress: Arc::new(Egress::default()),
        plain_http: PlainHttp::Everywhere,
        limits: Limits::default(),
        clock: Arc::new(SystemClock),
    };
    let endpoint =
        Endpoint::new(url.as_str(), transport).map_err(|err| fail(Exit::Config, &Chain(&err)))?;
    let client = Client::new(endpoint, NonZeroUsize::MIN);
    let path = url.path().trim_end_matches('/').trim_end_matches("/status");
    let call = Call::new(Method::GET, format!("{path}/status"));
    let unanswered = |err| fail(Exit::Temporary, &Chain(&err));
    let mut response = client.send(call).await.map_err(unanswered)?;
    if !response.status.is_success() {
        return Err(fail(Exit::Temporary, &response.status));
    }
    let body = response.body.collect(MAX_STATUS).await.map_err(unanswered)?;
    let status: Status =
        serde_json::from_slice(&body).map_err(|err| fail(Exit::Temporary, &err))?;
    let mut mailboxes = status.mailboxes;
    mailboxes.iter_mut().for_each(|mailbox| mailbox.served = true);
    Ok(mailboxes)
}
