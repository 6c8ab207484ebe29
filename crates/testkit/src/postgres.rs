//! PostgreSQL from the system's packages, one server for all tests of a process.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// How long the server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// The password of `test` on a server with TLS.
pub const PASSWORD: &str = "hunter2";

/// A running server; it ends when this process does.
pub struct Postgres {
    folder: PathBuf,
    /// Also the name of its socket.
    port: u16,
    programs: PathBuf,
    as_root: bool,
    _process: Child,
    _folder: tempfile::TempDir,
}

/// Where the packages put the programs of the newest version: not into the search path.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").map(|versions| {
        let mut versions: Vec<_> = versions.flatten().map(|version| version.path()).collect();
        versions.retain(|version| version.join("bin/initdb").exists());
        versions.sort();
        versions
    });
    let newest = versions.ok().and_then(|mut versions| versions.pop());
    newest.expect("PostgreSQL is needed: `apt-get install postgresql`").join("bin")
}

/// PostgreSQL does not run as root; its package has made a user for it.
fn command(program: &Path, as_root: bool) -> Command {
    if !as_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("PostgreSQL can be started");
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complained}");
}

/// Starts the server, on the first call.
///
/// # Panics
///
/// It is not installed, or does not start.
pub fn postgres() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| start(None))
}

/// Starts a server on 127.0.0.1 that takes nothing but TLS with this certificate, and wants the
/// password of its user.
///
/// # Panics
///
/// It is not installed, or does not start.
pub fn postgres_with_tls(certificate: &[u8], key: &[u8]) -> Postgres {
    start(Some((certificate, key)))
}

fn start(tls: Option<(&[u8], &[u8])>) -> Postgres {
    let programs = programs();
    let as_root = std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line.starts_with("Uid:\t0\t")));
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().to_owned();
    let file = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, private).unwrap();
        path.display().to_string()
    };
    let mut options = vec!["fsync=off".to_owned()];
    let port = match tls {
        None => {
            options.push("listen_addresses=".to_owned());
            5432
        }
        Some((certificate, key)) => {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            let rules = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
            options.extend([
                "listen_addresses=127.0.0.1".to_owned(),
                format!("port={port}"),
                "ssl=on".to_owned(),
                format!("ssl_cert_file={}", file("certificate.pem", certificate)),
                format!("ssl_key_file={}", file("key.pem", key)),
                format!("hba_file={}", file("rules", rules.as_bytes())),
            ]);
            port
        }
    };
    let password = file("password", PASSWORD.as_bytes());
    if as_root {
        run(Command::new("chown").args(["-R", "postgres"]).arg(&folder));
    }
    let data = folder.join("data");
    let mut initialize = command(&programs.join("initdb"), as_root);
    initialize.args(["--no-sync", "--auth=trust", "--username=test", "--locale=C", "--pwfile"]);
    initialize.arg(password);
    run(initialize.args(["--encoding=UTF8", "--pgdata"]).arg(&data).current_dir(&folder));
    // The shell ends the server when the tests are gone, however they ended.
    let mut shell = Command::new("sh");
    let script = "\"$@\" & server=$!; read _; kill -INT $server; wait $server";
    let server = command(&programs.join("postgres"), as_root);
    shell.args(["-c", script, "postgres"]).arg(server.get_program()).args(server.get_args());
    shell.arg("-D").arg(&data).arg("-k").arg(&folder).current_dir(&folder);
    shell.args(options.iter().flat_map(|option| ["-c", option]));
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let process = shell.spawn().unwrap();
    let server =
        Postgres { folder, port, programs, as_root, _process: process, _folder: temporary };
    let began = Instant::now();
    while !server.is_ready() {
        assert!(began.elapsed() < PATIENCE, "PostgreSQL does not start");
        #[expect(clippy::disallowed_methods, reason = "no runtime is there")]
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}

impl Postgres {
    fn is_ready(&self) -> bool {
        let mut ready = Command::new(self.programs.join("pg_isready"));
        ready.arg(format!("--port={}", self.port));
        ready.arg("--host").arg(&self.folder).stdout(Stdio::null()).stderr(Stdio::null());
        ready.status().is_ok_and(|status| status.success())
    }

    /// The port on 127.0.0.1 of a server with TLS.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes a database that no other test of this process uses, and tells its URL.
    ///
    /// # Panics
    ///
    /// The server refuses.
    pub fn new_database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut create = command(&self.programs.join("createdb"), self.as_root);
        create.arg("--host").arg(&self.folder).arg(format!("--port={}", self.port));
        create.args(["--username=test", &name]);
        let mut child = create.stderr(Stdio::piped()).current_dir(&self.folder).spawn().unwrap();
        let mut complained = String::new();
        child.stderr.take().unwrap().read_to_string(&mut complained).unwrap();
        assert!(child.wait().unwrap().success(), "{complained}");
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://test@{folder}/{name}")
    }
}
