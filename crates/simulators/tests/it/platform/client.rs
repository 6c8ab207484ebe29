//! A simulated platform, and a client of it.

use simulators::platform::{Options, Platform};
pub(crate) use testkit::platform_contract::client::{
    Answer, BUCKET, Client, email, emails_of, whole,
};

pub(crate) async fn connect(server: &Platform) -> Client {
    Client::connect(server.address(), Options::TOKEN).await
}

/// A platform with the given options changed, and a client of it.
pub(crate) async fn start(change: impl FnOnce(&mut Options)) -> (Platform, Client) {
    let mut options = Options::default();
    change(&mut options);
    let server = Platform::start(options).await.unwrap();
    let client = connect(&server).await;
    (server, client)
}
