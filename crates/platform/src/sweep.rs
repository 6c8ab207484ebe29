//! Removes, from time to time, what a crash or a backup has left behind.

use std::time::Duration;

use record::Chain;
use store::{Store, Swept};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// After the start there is other work first.
const FIRST: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_secs(3600);

/// Sweeps until `over`.
pub(crate) async fn sweep(store: Store, over: CancellationToken) {
    let rounds = async {
        sleep(FIRST).await;
        loop {
            match store.sweep().await {
                Ok(swept) if swept == Swept::default() => {}
                Ok(Swept { staged, contents, files, bytes }) => {
                    info!(staged, contents, files, bytes, "Removed what nothing needed");
                }
                Err(error) => warn!("Could not look for what nothing needs: {}", Chain(&error)),
            }
            sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = over.cancelled() => {}
        () = rounds => {}
    }
}
