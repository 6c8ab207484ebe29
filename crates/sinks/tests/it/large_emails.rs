//! The largest emails, through little memory.

use std::sync::Arc;

use futures_util::TryStreamExt;
use record::{Body, Sink};

use crate::{
    mail,
    object_store::wait,
    outside::{Outside, PREFIX, in_containers},
    process,
};

in_containers!(an_email_of_150_mb_passes_through_little_memory);

/// Size of the largest emails that Exchange takes by default in the cloud, in bytes.
const LARGE: u64 = 150 << 20;
const LARGE_TEST: &str = "large_emails::stores_large_emails_when_it_is_told_to";
const LARGE_ORDERS: &str = "SINKS_TEST_LARGE";

/// Does nothing in an ordinary run of the tests.
#[test]
fn stores_large_emails_when_it_is_told_to() {
    #[expect(clippy::disallowed_methods, reason = "the arguments belong to the test harness")]
    let Ok(orders) = std::env::var(LARGE_ORDERS) else { return };
    let orders: Vec<&str> = orders.split('\t').collect();
    let (kind, name, address) = (orders[0], orders[1].to_owned(), orders[2]);
    let container = match kind {
        "azurite" => Outside::Azurite(name),
        _ => Outside::SeaweedFs(name),
    };
    let sink = container.open_at(PREFIX, address);
    wait(async {
        let emails: Vec<_> = (0..2).map(large).collect();
        sink.write(&mail::route(), &emails).await.unwrap();
        // Sent once more, it is not read into memory, either.
        sink.write(&mail::route(), &emails[..1]).await.unwrap();
    });
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("\n> peak {}", peak.trim());
}

/// An email of zeros that takes no room on the disk.
fn large(n: u64) -> record::Email {
    let file = tempfile::tempfile().unwrap();
    file.set_len(LARGE).unwrap();
    record::Email { body: Body::Spool { file: Arc::new(file), size: LARGE }, ..mail::email(n) }
}

async fn an_email_of_150_mb_passes_through_little_memory(container: Outside) {
    let (kind, name) = match &container {
        Outside::Azurite(name) => ("azurite", name),
        Outside::SeaweedFs(name) => ("seaweedfs", name),
    };
    let orders = format!("{kind}\t{name}\t{}", container.server());
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", LARGE_TEST, "--nocapture"])
        .env(LARGE_ORDERS, orders)
        .env_remove(process::ORDERS)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    let peak = said.lines().find_map(|line| line.strip_prefix("> peak ")).expect(&said);
    let kib: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kib < 64 << 10, "two emails of 150 MB took {kib} KiB");
    let sink = container.open();
    let stored = sink.stored_email(&mail::route(), mail::uid(1)).await.unwrap().unwrap();
    assert_eq!(stored.sidecar.size, LARGE);
    let body = stored.body().await.unwrap().unwrap();
    let size = body.try_fold(0, |size, piece| async move { Ok(size + piece.len() as u64) });
    assert_eq!(size.await.unwrap(), LARGE);
}
