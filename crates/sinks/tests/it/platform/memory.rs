//! Large emails pass without being held in memory.

use std::{
    fs,
    io::{BufWriter, Write},
    process::Command,
    sync::Arc,
};

use record::{Body, Sink};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};

use super::{Fixture, email, route};

/// Tells the test below that it is the child.
const CHILD: &str = "SINKS_TEST_LARGE";
const SIZE: u64 = 150_000_000;
/// Growth that is allowed: far less than one of the emails.
const ALLOWED_KB: u64 = 40_000;

/// In a process of its own, since other tests use memory too.
#[test]
fn emails_of_150_mb_pass_in_a_fraction_of_that_memory() {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "platform::memory::large_emails_are_streamed", "--nocapture"])
        .env(CHILD, "1")
        .status();
    assert!(status.unwrap().success());
}

/// Does nothing in an ordinary run of the tests.
#[test]
fn large_emails_are_streamed() {
    #[expect(clippy::disallowed_methods, reason = "the variable belongs to the test harness")]
    if std::env::var(CHILD).is_err() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Drain::start().await;
        let fixture = Fixture::start().await;
        let sink = fixture.sink_to(&format!("http://{}/api/", server.address));
        sink.write(&route(), &[email(1)]).await.unwrap();
        // Characters that JSON must escape.
        let escaped = spool(b"", b'x', b"\"\\\r\n");
        let large = |n| {
            let mut email = email(n);
            email.body = Body::Spool { file: Arc::clone(&escaped), size: SIZE };
            email
        };
        let before = peak_kb();
        sink.write(&route(), &[large(2), large(3)]).await.unwrap();
        let grown = peak_kb() - before;
        assert!(server.received() > 2 * SIZE, "{} bytes arrived", server.received());
        assert!(grown < ALLOWED_KB, "memory grew by {grown} KB");
        println!("memory grew by {grown} KB");

        // In an old character set, these have to be rewritten first: each becomes a third larger.
        let latin = spool(LATIN, b'\xe4', b"\r\n");
        let mut email = email(4);
        email.body = Body::Spool { file: latin, size: SIZE };
        let received = server.received();
        let refused = sink.write(&route(), &[email]).await.unwrap();
        let grown = peak_kb() - before;
        assert_eq!(refused, []);
        assert!(server.received() - received > SIZE, "the email did not arrive");
        assert!(grown < ALLOWED_KB, "memory grew by {grown} KB");
        println!("memory grew by {grown} KB in all");
    });
}

const LATIN: &[u8] = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
    Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n";

/// 150 MB of lines of `byte` that end with `end`.
fn spool(head: &[u8], byte: u8, end: &[u8]) -> Arc<fs::File> {
    let mut writer = BufWriter::new(tempfile::tempfile().unwrap());
    writer.write_all(head).unwrap();
    let line = [[byte; 74].as_slice(), end].concat();
    let mut left = SIZE - head.len() as u64;
    while left > 0 {
        let size = left.min(line.len() as u64);
        writer.write_all(&line[..size as usize]).unwrap();
        left -= size;
    }
    Arc::new(writer.into_inner().unwrap())
}

/// The most memory that this process has used so far.
fn peak_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Reads uploads and forgets them.
struct Drain {
    address: std::net::SocketAddr,
    received: Arc<std::sync::atomic::AtomicU64>,
    _task: JoinSet<()>,
}

impl Drain {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let count = Arc::clone(&received);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                connections.spawn(drain(tcp, Arc::clone(&count)));
            }
        });
        Self { address, received, _task: task }
    }

    fn received(&self) -> u64 {
        self.received.load(std::sync::atomic::Ordering::Relaxed)
    }
}

async fn drain(mut tcp: tokio::net::TcpStream, count: Arc<std::sync::atomic::AtomicU64>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut head = Vec::new();
    loop {
        let Ok(read @ 1..) = tcp.read(&mut buffer).await else { return };
        head.extend_from_slice(&buffer[..read]);
        let Some(end) = head.windows(4).position(|part| part == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&head[..end]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: u64 = length.map_or(0, |length| length.trim().parse().unwrap());
        let mut left = length - (head.len() - end - 4) as u64;
        while left > 0 {
            let Ok(read @ 1..) = tcp.read(&mut buffer).await else { return };
            left -= read as u64;
        }
        count.fetch_add(length, std::sync::atomic::Ordering::Relaxed);
        head.clear();
        let answer = match text.starts_with("put") {
            true => "{\"status\":\"ok\"}",
            false => "{\"status\":\"ok\",\"bucket_sync_state\":{\"sync_state\":\"\"}}",
        };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
        tcp.write_all(answer.as_bytes()).await.unwrap();
    }
}
