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

/// A running server; it ends when this process does.
pub struct Postgres {
    folder: PathBuf,
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
    SERVER.get_or_init(|| {
        let programs = programs();
        let as_root = std::fs::read_to_string("/proc/self/status")
            .is_ok_and(|status| status.lines().any(|line| line.starts_with("Uid:\t0\t")));
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().to_owned();
        if as_root {
            run(Command::new("chown").arg("postgres").arg(&folder));
        }
        let data = folder.join("data");
        let mut initialize = command(&programs.join("initdb"), as_root);
        initialize.args(["--no-sync", "--auth=trust", "--username=test", "--locale=C"]);
        run(initialize.args(["--encoding=UTF8", "--pgdata"]).arg(&data).current_dir(&folder));
        // The shell ends the server when the tests are gone, however they ended.
        let mut shell = Command::new("sh");
        let script = "\"$@\" & server=$!; read _; kill -INT $server; wait $server";
        let server = command(&programs.join("postgres"), as_root);
        shell.args(["-c", script, "postgres"]).arg(server.get_program()).args(server.get_args());
        shell.arg("-D").arg(&data).arg("-k").arg(&folder);
        shell.args(["-c", "listen_addresses=", "-c", "fsync=off"]).current_dir(&folder);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = shell.spawn().unwrap();
        let server = Postgres { folder, programs, as_root, _process: process, _folder: temporary };
        let began = Instant::now();
        while !server.is_ready() {
            assert!(began.elapsed() < PATIENCE, "PostgreSQL does not start");
            #[expect(clippy::disallowed_methods, reason = "no runtime is there")]
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    })
}

impl Postgres {
    fn is_ready(&self) -> bool {
        let mut ready = Command::new(self.programs.join("pg_isready"));
        ready.arg("--host").arg(&self.folder).stdout(Stdio::null()).stderr(Stdio::null());
        ready.status().is_ok_and(|status| status.success())
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
        create.arg("--host").arg(&self.folder).args(["--username=test", &name]);
        let mut child = create.stderr(Stdio::piped()).current_dir(&self.folder).spawn().unwrap();
        let mut complained = String::new();
        child.stderr.take().unwrap().read_to_string(&mut complained).unwrap();
        assert!(child.wait().unwrap().success(), "{complained}");
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://test@{folder}/{name}")
    }
}
