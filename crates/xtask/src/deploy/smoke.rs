//! Runs the image as a cluster would: read-only, without rights, 128 MiB, a twentieth of a CPU.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{
    image::{self, Profile, USER},
    make, make_empty, output, products, run_quiet, text, unit, utf8, write,
};
use crate::target_dir;

const MAILBOXES: &str = "2";
/// In each mailbox; drafts and items that are no mail are among them.
const MESSAGES: &str = "200";

const MEMORY: u64 = 128 << 20;
/// Microseconds of a CPU in each period: a twentieth.
const QUOTA: u64 = 5_000;
const PERIOD: u64 = 100_000;

/// Longest time that one run of the image may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the containers find a name server: on the port for names of an address that nobody else
/// listens on, not even another run of this check.
fn name_server() -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 53, high, low)
}

/// Two runs, one for each form of arguments that manifests have; then `verify` compares the
/// mailboxes with the folder.
pub(super) fn check() -> Result<()> {
    if let Some(reason) = forbidden() {
        #[expect(clippy::disallowed_methods, reason = "CI is told by this variable that it is one")]
        if std::env::var_os("CI").is_some() {
            bail!("CI must be able to run containers: {reason}");
        }
        println!("skipped: the image is not built and not run ({reason})");
        return Ok(());
    }
    let place = Place::prepare()?;
    // As in the manifests of the replaced appliance; names are resolved by the name server.
    place.resolve_by("", &format!("nameserver {}\n", name_server()))?;
    let shard = ["--shard-name", "reinfer-ews-appliance-0", "--total-shards", "1"];
    // The container shares this machine's network, where the usual port may be taken.
    let port = free_port()?;
    let address = format!("0.0.0.0:{port}");
    let bind = ["reinfer-ews", "--bind", &address];
    let told = place.appliance(&[&bind[..], &shard[..], &PREFIX].concat(), Some(port))?;
    // As in `docker run IMAGE --flag …`; names are in the file.
    place.resolve_by("127.0.0.1 localhost\n", "")?;
    place.appliance(&PREFIX, None)?;
    let verified = place.verify()?;
    if verified.lines().count() != 2 || verified.matches(" 0 differences").count() != 2 {
        bail!("the folder and the mailboxes differ:\n{verified}");
    }
    println!("image: {told}\n{}", verified.trim_end());
    Ok(())
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr().context("no free port")?.port())
}

/// What probes and Prometheus ask for.
const PATHS: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// As long as the probes of the chart wait.
const PROBE: Duration = Duration::from_secs(10);

/// Asks as a probe does; only 200 is an answer.
fn ask(port: u16, path: &str) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut answer = String::new();
    let mut asked = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&address, PROBE)?;
        stream.set_read_timeout(Some(PROBE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        stream.read_to_string(&mut answer).map(drop)
    };
    asked().with_context(|| format!("no answer from {address} to `{path}`"))?;
    if answer.starts_with("HTTP/1.1 200 ") { Ok(()) } else { bail!("`{path}` says: {answer}") }
}

const PREFIX: [&str; 2] = ["--local-files-prefix", "/mnt/ews"];

/// Why this machine cannot run a container, if it cannot.
fn forbidden() -> Option<String> {
    let root = output(Command::new("id").arg("-u")).is_ok_and(|id| id == "0\n");
    if !root {
        return Some("only root can".to_owned());
    }
    let version1 = Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    let parents: &[&str] = match version1.exists() {
        true => &["/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpu"],
        false => &["/sys/fs/cgroup"],
    };
    parents.iter().find_map(|parent| {
        let group = Path::new(parent).join(format!("tributary-try-{}", std::process::id()));
        let tried = fs::create_dir(&group).and_then(|()| fs::remove_dir(&group));
        tried.err().map(|err| format!("no control group, `{}`: {err}", group.display()))
    })
}

/// The unpacked image, an Exchange with mail, and the folders that they share.
struct Place {
    bundle: PathBuf,
    files: PathBuf,
    /// What the image itself says about the process.
    config: Value,
    _exchange: Guarded,
}

impl Place {
    fn prepare() -> Result<Self> {
        let work = products().join("smoke");
        let archive = image::build(Profile::Dev, &work)?;
        let (layout, bundle) = (work.join("layout"), work.join("bundle"));
        make(&layout)?;
        run_quiet(Command::new("tar").arg("-C").arg(&layout).arg("-xf").arg(&archive))?;
        let from = format!("{}:localhost/tributary:{}", utf8(&layout)?, env!("CARGO_PKG_VERSION"));
        run_quiet(Command::new("umoci").args(["unpack", "--image", &from]).arg(&bundle))?;
        let config = serde_json::from_str(&text(&bundle.join("config.json"))?)?;

        let files = work.join("files");
        make_empty(&files.join("config"))?;
        make(&files.join("ews"))?;
        chown(files.join("ews"), Some(USER), Some(USER)).context("could not give a folder away")?;
        let exchange = exchange(&files.join("config"))?;
        serve_names()?;
        Ok(Self { bundle, files, config, _exchange: exchange })
    }

    /// What the containers see as `/etc/hosts` and `/etc/resolv.conf`.
    fn resolve_by(&self, hosts: &str, name_server: &str) -> Result<()> {
        write(&self.files.join("hosts"), hosts)?;
        write(&self.files.join("resolv.conf"), name_server)
    }

    /// Runs the appliance until every mailbox is up to date, asks it how it is on `port`, and stops
    /// it. Returns what it took.
    fn appliance(&self, arguments: &[&str], port: Option<u16>) -> Result<String> {
        let began = Instant::now();
        let mut container = self.start("reinfer-ews", arguments)?;
        for _ in 0..2 {
            container.wait_for("is up to date")?;
        }
        let time = began.elapsed().as_secs_f64();
        if let Some(port) = port {
            PATHS.iter().try_for_each(|path| ask(port, path))?;
        }
        let taken = self.taken(&container.name)?;
        run_quiet(self.runc().args(["kill", &container.name, "TERM"]))?;
        container.end()?;
        Ok(format!("up to date after {time:.1} s, {taken}"))
    }

    /// CPU and memory of a container, whose limits must be in force.
    fn taken(&self, name: &str) -> Result<String> {
        let stats = output(self.runc().args(["events", "--stats", name]))?;
        let stats: Value = serde_json::from_str(&stats).context("runc events")?;
        let (cpu, memory) = (&stats["data"]["cpu"], &stats["data"]["memory"]["usage"]);
        if memory["limit"] != json!(MEMORY) {
            bail!("the limit of memory is not in force: {memory}");
        }
        if cpu["throttling"]["throttledPeriods"].as_u64().unwrap_or_default() == 0 {
            bail!("the limit of CPU is not in force: {cpu}");
        }
        let used = cpu["usage"]["total"].as_f64().unwrap_or_default() / 1e9;
        let most = memory["max"].as_u64().unwrap_or_default() >> 20;
        Ok(format!("{used:.2} s of CPU, at most {most} MiB with caches"))
    }

    fn verify(&self) -> Result<String> {
        self.start("tributary", &[&["verify"][..], &PREFIX].concat())?.end()
    }

    /// Starts a program of the image by its entry point, or another as `--entrypoint` would.
    fn start(&self, program: &str, arguments: &[&str]) -> Result<Container> {
        let mut config = self.config.clone();
        let process = config.pointer_mut("/process").context("the image has no process")?;
        if process.pointer("/user/uid") != Some(&json!(USER)) {
            bail!("the image does not run as user {USER}: {}", process["user"]);
        }
        let entry = process.pointer("/args/0").and_then(Value::as_str).unwrap_or_default();
        if !entry.ends_with("/reinfer-ews") {
            bail!("the image starts `{entry}`");
        }
        let path = entry.replace("reinfer-ews", program);
        let args: Vec<&str> =
            [path.as_str()].into_iter().chain(arguments.iter().copied()).collect();
        process["args"] = json!(args);
        process["terminal"] = json!(false);
        process["capabilities"] = json!({});
        process["noNewPrivileges"] = json!(true);
        let environment = process.pointer_mut("/env").and_then(Value::as_array_mut);
        let environment = environment.context("the image has no environment")?;
        environment.push(json!("REINFER_EWS_CONFIG=/mnt/config/example_ews_config"));
        config["root"]["readonly"] = json!(true);
        let bind = |from: &str, to: &str, mode: &str| {
            let from = self.files.join(from);
            json!({ "destination": to, "type": "bind", "source": from, "options": ["bind", mode] })
        };
        let mounts = config["mounts"].as_array_mut().context("the image has no mounts")?;
        // Those that umoci makes for names would be this machine's.
        mounts.retain(|mount| !mount["destination"].as_str().unwrap_or("").starts_with("/etc/"));
        mounts.extend([
            bind("hosts", "/etc/hosts", "ro"),
            bind("resolv.conf", "/etc/resolv.conf", "ro"),
            bind("config", "/mnt/config", "ro"),
            bind("ews", "/mnt/ews", "rw"),
            json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs",
                    "options": ["nosuid", "nodev", "noexec", "mode=1777", "size=16m"] }),
        ]);
        let linux = &mut config["linux"];
        linux["resources"] = json!({
            "memory": { "limit": MEMORY, "swap": MEMORY },
            "cpu": { "quota": QUOTA, "period": PERIOD },
        });
        // Those of the systemd unit: what is refused there is refused here.
        linux["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [{ "names": unit::allowed_calls()?, "action": "SCMP_ACT_ALLOW" }],
        });
        // The simulated Exchange listens on this machine's loopback address.
        if let Some(namespaces) = linux["namespaces"].as_array_mut() {
            namespaces.retain(|namespace| namespace["type"] != "network");
        }
        write(&self.bundle.join("config.json"), serde_json::to_vec_pretty(&config)?)?;
        Container::start(self, format!("tributary-{}-{program}", std::process::id()))
    }

    fn runc(&self) -> Command {
        let mut command = Command::new("runc");
        command.arg("--root").arg(self.files.join("runc"));
        command
    }
}

struct Container {
    name: String,
    process: Guarded,
    /// Lines of its log, as they come.
    lines: Receiver<String>,
    seen: Vec<String>,
    deadline: Instant,
    said: PathBuf,
}

impl Container {
    fn start(place: &Place, name: String) -> Result<Self> {
        let said = place.files.join("stdout");
        let mut command = place.runc();
        command.args(["run", "--bundle"]).arg(&place.bundle).arg(&name);
        let stdout = File::create(&said).context("could not create a file for stdout")?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
        let mut process = command.spawn().context("could not start runc")?;
        let log = process.stderr.take().context("no stderr")?;
        let (send, lines) = channel();
        thread::spawn(move || {
            // Ends with the log, or when nobody listens any more.
            let read = BufReader::new(log).lines().map_while(Result::ok);
            read.take_while(|line| send.send(line.clone()).is_ok()).for_each(drop);
        });
        let stop = place.runc();
        let process = Guarded { process, stop: Some((stop, name.clone())) };
        let deadline = Instant::now() + PATIENCE;
        Ok(Self { name, process, lines, seen: Vec::new(), deadline, said })
    }

    fn wait_for(&mut self, text: &str) -> Result<()> {
        while let Some(line) = self.line(text)? {
            if line.contains(text) {
                return Ok(());
            }
        }
        bail!("ended before `{text}`:\n{}", self.seen.join("\n"))
    }

    /// Waits for the end, which must be a success, and returns what was printed.
    fn end(mut self) -> Result<String> {
        while self.line("its end")?.is_some() {}
        let status = self.process.process.wait().context("lost runc")?;
        if !status.success() {
            bail!("`{}` ended with {status}:\n{}", self.name, self.seen.join("\n"));
        }
        text(&self.said)
    }

    /// The next line; `None` after the last.
    fn line(&mut self, awaited: &str) -> Result<Option<String>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(line) => {
                self.seen.push(line.clone());
                Ok(Some(line))
            }
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                bail!("no sign of `{awaited}` after {PATIENCE:?}:\n{}", self.seen.join("\n"))
            }
        }
    }
}

/// A process that does not outlive the check.
struct Guarded {
    process: Child,
    /// Ends a container: killing runc would leave it running.
    stop: Option<(Command, String)>,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if !matches!(self.process.try_wait(), Ok(None)) {
            return;
        }
        // It has failed already; what cannot be ended either adds nothing to the message.
        if let Some((command, name)) = &mut self.stop {
            run_quiet(command.args(["delete", "--force", name])).unwrap_or_default();
        }
        self.process.kill().unwrap_or_default();
        self.process.wait().map(drop).unwrap_or_default();
    }
}

/// Starts a simulated Exchange, and writes a configuration for it that holds inside the image.
fn exchange(folder: &Path) -> Result<Guarded> {
    let config = folder.join("written.json");
    let mut command = Command::new(target_dir().join("debug/tributary"));
    command.args(["simulate", "exchange", "--bind", "127.0.0.1:0", "--auth", "basic"]);
    command.args(["--mailboxes", MAILBOXES, "--messages", MESSAGES, "--config-file"]);
    command.arg(&config).arg("--ca-file").arg(folder.join("ca.pem"));
    let mut process = command.stdout(Stdio::piped()).spawn().context("no simulated Exchange")?;
    let told = process.stdout.take().context("no stdout")?;
    let exchange = Guarded { process, stop: None };
    let mut url = None;
    let mut told = BufReader::new(told).lines();
    for line in told.by_ref() {
        let line = line.context("the simulated Exchange said nothing")?;
        if let Some(told) = line.strip_prefix("Simulated Exchange: ") {
            url = Some(told.replace("127.0.0.1", "localhost"));
        }
        // Printed after both files are written.
        if line.starts_with("Configuration for the appliance") {
            break;
        }
    }
    // What follows is read as well: a server that cannot print ends.
    thread::spawn(move || told.for_each(drop));
    let mut settings: Value = serde_json::from_str(&text(&config)?)?;
    settings["ews_endpoint"] = json!(url.context("the simulated Exchange did not start")?);
    settings["ews_ca_file"] = json!("/mnt/config/ca.pem");
    write(&folder.join("example_ews_config"), settings.to_string())?;
    Ok(exchange)
}

/// Answers every question for an IPv4 address with 127.0.0.1, and others with nothing.
///
/// Spec: RFC 1035 §4.1.
fn serve_names() -> Result<()> {
    let address = name_server();
    let socket = UdpSocket::bind((address, 53))
        .with_context(|| format!("could not listen on {address}, port 53"))?;
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            if let Some(reply) = query.get(..length).and_then(answer) {
                // A lost reply is asked for again.
                socket.send_to(&reply, from).map(drop).unwrap_or_default();
            }
        }
    });
    Ok(())
}

fn answer(query: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    let name = query.get(HEADER..)?.iter().position(|byte| *byte == 0)?;
    let end = HEADER + name + 5;
    let question = query.get(HEADER..end)?;
    let is_address = question.get(name + 1..name + 3)? == [0, 1];
    let mut reply = query.get(..2)?.to_vec();
    // A reply without error; one question, and one answer if there is one.
    reply.extend([0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    reply.extend(question);
    if is_address {
        // The same name, an IPv4 address of the Internet, valid for a minute.
        reply.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_questions_for_an_address_get_one() {
        let query = |kind: u8| {
            let mut query = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            query.extend(b"\x04mail\x07example\x03com\x00");
            query.extend([0, kind, 0, 1]);
            query
        };
        let address = answer(&query(1)).unwrap();
        assert_eq!(address[..8], [7, 9, 0x81, 0x80, 0, 1, 0, 1]);
        assert!(address.ends_with(&[0, 4, 127, 0, 0, 1]));
        // AAAA: the name is there, and has no such address.
        let none = answer(&query(28)).unwrap();
        assert_eq!(none[..8], [7, 9, 0x81, 0x80, 0, 1, 0, 0]);
        assert_eq!(none.len(), query(28).len());
        assert_eq!(answer(&query(1)[..20]), None);
    }
}
