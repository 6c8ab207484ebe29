//! What `--bind` serves, over real sockets.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};
use simulators::exchange::{Fault, Options};

use crate::harness::{Appliance, PATIENCE, World};

/// An address that nobody listens on at the moment.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub fn serving(world: &World) -> (Appliance, SocketAddr) {
    serving_with(world, &[])
}

fn serving_with(world: &World, arguments: &[&str]) -> (Appliance, SocketAddr) {
    let address = free_address();
    let text = address.to_string();
    let mut all = vec!["--bind", text.as_str()];
    all.extend(arguments);
    let mut appliance = world.appliance_with(&all);
    appliance.wait_until("the open port", |_| TcpStream::connect(address).is_ok());
    (appliance, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends `request` and reads to the end: status, headers, body.
fn talk(address: SocketAddr, request: &str) -> (u16, String, String) {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    read_reply(stream)
}

fn read_reply(mut stream: TcpStream) -> (u16, String, String) {
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (status, head.to_ascii_lowercase(), body.to_owned())
}

pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let (status, _, body) =
        talk(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    (status, body)
}

/// The value of a sample, by its name with labels.
pub fn sample(metrics: &str, name: &str) -> Option<f64> {
    let line = metrics.lines().find(|line| line.split(' ').next() == Some(name))?;
    line.split(' ').nth(1)?.parse().ok()
}

#[test]
fn health_metrics_and_status_are_served() {
    let world = World::generated(2, 20);
    let (mut appliance, address) = serving(&world);
    appliance.wait_until_up_to_date(2);

    for path in ["/livez", "/healthz", "/readyz"] {
        assert_eq!(get(address, path), (200, "ok\n".to_owned()), "{path}");
    }
    let (status, head, body) = talk(address, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(get(address, "/").0, 404);
    assert_eq!(get(address, "/metrics/").0, 404);
    let (status, head, _) =
        talk(address, "POST /readyz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(status, 405);
    assert!(head.contains("allow: get, head"), "{head}");

    let emails = world.truth().values().sum::<usize>() as f64;
    appliance.wait_until("the sum of all emails", |_| {
        let metrics = get(address, "/metrics").1;
        sample(&metrics, "tributary_items_uploaded_total") == Some(emails)
            && sample(&metrics, "tributary_mailboxes{state=\"ok\"}") == Some(2.0)
    });
    let metrics = get(address, "/metrics").1;
    for (name, expected) in [
        ("tributary_ready", 1.0),
        ("tributary_mailboxes_owned", 2.0),
        ("tributary_mailboxes_configured", 2.0),
        ("tributary_total_shards", 1.0),
        ("tributary_tls_verify_disabled", 0.0),
        ("tributary_items_fetched_total", emails),
        ("tributary_uploads_in_flight", 0.0),
        ("tributary_state_corrupt_total", 0.0),
    ] {
        assert_eq!(sample(&metrics, name), Some(expected), "{name} in\n{metrics}");
    }
    assert!(sample(&metrics, "process_resident_memory_bytes").unwrap() > 1e6);
    assert!(sample(&metrics, "tributary_disk_free_ratio{place=\"data\"}").unwrap() > 0.0);
    assert!(sample(&metrics, "tributary_checkpoint_commits_total{result=\"ok\"}").unwrap() >= 2.0);
    let lists = "tributary_source_requests_total{op=\"SyncFolderItems\"";
    assert!(metrics.contains(lists), "no requests to the source in\n{metrics}");
    assert!(!metrics.contains("@example.com"), "a label holds the name of a mailbox");

    let (status, body) = get(address, "/status");
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &told["ready"]), (200, &json!(true)));
    let mailboxes = told["mailboxes"].as_array().unwrap();
    assert_eq!(mailboxes.len(), 2);
    assert_eq!(mailboxes[1]["mailbox"], "1@example.com");
    assert_eq!(mailboxes[1]["state"], "ok");
    let delivered: u64 = mailboxes.iter().map(|one| one["delivered"].as_u64().unwrap()).sum();
    assert_eq!(delivered as f64, emails);
    for text in [metrics, body] {
        assert!(!text.contains(Options::PASSWORD), "a secret is shown:\n{text}");
    }
    appliance.stop();
    assert!(TcpStream::connect(address).is_err(), "it still listens");
}

// Invariant I13: readiness fails first. The request has begun before the signal and ends after
// it: it is answered, and the answer is no.
#[test]
fn a_stop_fails_readiness_before_the_process_ends() {
    let world = World::generated(1, 5);
    let (mut appliance, address) = serving(&world);
    appliance.wait_until_up_to_date(1);
    assert_eq!(get(address, "/readyz").0, 200);
    let mut asking = connect(address);
    asking.write_all(b"GET /readyz HTTP/1.1\r\nHost:").unwrap();
    appliance.signal(Signal::TERM);
    // The log is written by another thread, so that the line may come with the end.
    let began = Instant::now();
    while !appliance.log().contains("Finishing what is under way") {
        assert!(began.elapsed() < PATIENCE, "{}", appliance.log());
        std::thread::sleep(Duration::from_millis(1));
    }
    asking.write_all(b" x\r\n\r\n").unwrap();
    let (status, _, body) = read_reply(asking);
    assert_eq!((status, body.as_str()), (503, "the service is stopping\n"));
    assert_eq!(appliance.wait().code(), Some(0), "{}", appliance.log());
}

#[test]
fn a_port_that_is_taken_ends_with_74_and_says_so() {
    let world = World::generated(1, 1);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = world.run(&["appliance", "--bind", &address]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(74), "{told}");
    assert!(told.contains(&format!("--bind {address}")) && told.contains("Hint:"), "{told}");

    let output = world.run(&["appliance", "--bind", "192.0.2.1:8000"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.contains("no such address"), "{told}");
}

// Connections without a word, with half a request, and that never read: more than are allowed.
#[test]
fn idle_and_slow_clients_stop_neither_probes_nor_mail() {
    let world = World::generated(1, 5);
    let (mut appliance, address) = serving(&world);
    appliance.wait_until("readiness", |_| get(address, "/readyz").0 == 200);
    let mut held: Vec<TcpStream> = (0..100).map(|_| connect(address)).collect();
    for (number, stream) in held.iter_mut().enumerate() {
        let request: &[u8] = match number % 3 {
            0 => b"",
            1 => b"GET /metrics HTTP/1.1\r\nHo",
            _ => b"GET /status HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
        };
        // The oldest have been closed to make room for the others.
        stream.write_all(request).unwrap_or_default();
    }
    let began = Instant::now();
    assert_eq!(get(address, "/livez").0, 200);
    assert_eq!(get(address, "/readyz").0, 200);
    assert!(began.elapsed() < Duration::from_secs(4), "probes wait for {:?}", began.elapsed());
    appliance.wait_until_up_to_date(1);
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    world.server.deliver("0@example.com", &["Inbox"], "Subject: x\r\n\r\n", now).unwrap();
    appliance.wait_until("the mail", |_| world.stored() == world.truth());
    drop(held);
    let long = format!("GET /livez HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let mut stream = connect(address);
    // It is refused before it has been read to its end.
    stream.write_all(long.as_bytes()).unwrap_or_default();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap_or_default();
    assert!(!reply.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&reply));
    appliance.stop();
}

// Faults F22 and F14: the server stays up while the configuration is refused, and while the
// service waits to be started again.
#[test]
fn reloads_and_restarts_inside_show_in_the_metrics() {
    let mut world = World::generated(1, 5);
    let (mut appliance, address) = serving_with(&world, &["--restart-on-unrecoverable-errors"]);
    appliance.wait_until_up_to_date(1);
    let metric = |name: &str| sample(&get(address, "/metrics").1, name);
    let good = world.config.clone();
    let taken = "tributary_config_last_reload_successful";
    assert_eq!(metric(taken), Some(1.0));
    fs::write(world.config_path(), "{").unwrap();
    appliance.signal(Signal::HUP);
    appliance.wait_until("the refusal", |_| metric(taken) == Some(0.0));
    assert_eq!(get(address, "/readyz").0, 200, "the configuration before is in force");

    world.set("auth_password", json!("wrong-canary-password"));
    appliance.signal(Signal::HUP);
    appliance
        .wait_until("the restart", |_| metric("tributary_service_restarts_total") == Some(1.0));
    assert_eq!(metric(taken), Some(1.0));
    assert_eq!(metric("tributary_mailboxes{state=\"auth_error\"}"), Some(1.0));
    let (status, body) = get(address, "/readyz");
    assert_eq!(status, 503, "{body}");
    assert_eq!(get(address, "/livez").0, 200);
    assert!(!get(address, "/status").1.contains("canary"));

    world.config = good;
    world.write_config();
    appliance.signal(Signal::HUP);
    appliance.wait_until("readiness", |_| get(address, "/readyz").0 == 200);
    appliance
        .wait_until("a good state", |_| metric("tributary_mailboxes{state=\"ok\"}") == Some(1.0));
    appliance.stop();
}

#[test]
fn a_switched_off_certificate_check_and_a_busy_server_show_in_the_metrics() {
    let mut world = World::generated(1, 5);
    world.set("ews_ssl_verify", json!(false));
    let pause = Some(Duration::from_secs(3600));
    world.server.fault(Fault::Http { status: 503, retry_after: pause });
    let (mut appliance, address) = serving(&world);
    appliance.wait_until("the throttled mailbox", |_| {
        let metrics = get(address, "/metrics").1;
        sample(&metrics, "tributary_mailboxes{state=\"throttled\"}") == Some(1.0)
    });
    let metrics = get(address, "/metrics").1;
    assert_eq!(sample(&metrics, "tributary_tls_verify_disabled"), Some(1.0));
    assert!(sample(&metrics, "tributary_throttled_seconds_total").unwrap() >= 3600.0);
    appliance.stop();
}

/// A file system in memory, unmounted at the end.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(at: &std::path::Path, size: &str) -> Self {
        fs::create_dir(at).unwrap();
        let options = format!("size={size},mode=700");
        mount(&["-t", "tmpfs", "-o", &options, "tmpfs", at.to_str().unwrap()]);
        Self(at.to_owned())
    }

    fn resize(&self, size: &str) {
        mount(&["-o", &format!("remount,size={size}"), self.0.to_str().unwrap()]);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, for an appliance may still be ending.
        Command::new("umount").arg("-l").arg(&self.0).status().unwrap();
    }
}

fn mount(arguments: &[&str]) {
    let output = Command::new("mount").args(arguments).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "mount needs root: {output:?}");
}

// Fault F3: a full disk.
#[test]
fn a_full_disk_fails_readiness_until_there_is_room_again() {
    let world = World::generated(1, 5);
    let disk = SmallDisk::mount(&world.prefix(), "1m");
    let (mut appliance, address) = serving(&world);
    appliance.wait_until_up_to_date(1);
    assert_eq!(get(address, "/readyz").0, 200);
    fs::write(world.prefix().join("filler"), vec![0; 960 << 10]).unwrap_err();
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    world.server.deliver("0@example.com", &["Inbox"], "Subject: x\r\n\r\n", now).unwrap();
    appliance.wait_until("the failed readiness", |_| get(address, "/readyz").0 == 503);
    assert_eq!(get(address, "/livez").0, 200);
    assert!(get(address, "/readyz").1.contains("full"), "{}", get(address, "/readyz").1);
    disk.resize("16m");
    appliance.wait_until("readiness", |_| get(address, "/readyz").0 == 200);
    appliance.wait_until("the mail", |_| world.stored() == world.truth());
    appliance.stop();
}
