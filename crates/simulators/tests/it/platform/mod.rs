//! The simulated platform: what it takes, what it refuses, and what it gives back.

mod client;
mod emails;
mod faults;
mod large;
mod official_client;
mod states;

use simulators::platform::{Options, Platform};
use testkit::platform_contract::Subject;

async fn subject() -> Subject {
    let options = Options { conditional_writes: true, accepts_gzip: true, ..Options::default() };
    let server = Platform::start(options).await.unwrap();
    Subject {
        address: server.address(),
        url: server.url(),
        token: Options::TOKEN.to_owned(),
        ca_file: server.ca_file(),
        keep: Box::new(server),
    }
}

testkit::platform_contract!(contract, subject);
