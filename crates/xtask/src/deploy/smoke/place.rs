//! The image, unpacked, with all that it is run with.

use std::{
    collections::BTreeSet, fs, os::unix::fs::chown, path::PathBuf, process::Command, time::Instant,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{
    super::{
        image::{self, Profile, USER},
        make, make_empty, output, products, run_quiet, text, unit, utf8, write,
    },
    PREFIX,
    container::{Container, Guarded},
    network::{ask, serve_names},
    servers::exchange,
};

const MEMORY: u64 = 128 << 20;
/// Microseconds of a CPU in each period: a twentieth.
const QUOTA: u64 = 5_000;
const PERIOD: u64 = 100_000;

/// What probes and Prometheus ask for.
const PATHS: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// The unpacked image, an Exchange with mail, and the folders that they share.
pub(super) struct Place {
    pub(super) bundle: PathBuf,
    pub(super) files: PathBuf,
    /// What the image itself says about the process.
    config: Value,
    _exchange: Guarded,
}

impl Place {
    pub(super) fn prepare() -> Result<Self> {
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
    pub(super) fn resolve_by(&self, hosts: &str, name_server: &str) -> Result<()> {
        write(&self.files.join("hosts"), hosts)?;
        write(&self.files.join("resolv.conf"), name_server)
    }

    /// Runs the appliance until every mailbox is up to date, asks it how it is on `port`, and stops
    /// it. Returns what it took.
    pub(super) fn appliance(
        &self,
        arguments: &[&str],
        environment: &[&str],
        port: Option<u16>,
    ) -> Result<String> {
        let began = Instant::now();
        let mut container = self.start("reinfer-ews", arguments, environment)?;
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

    /// How many emails with an id of their own the folder holds: as many as a bucket has then.
    pub(super) fn emails(&self) -> Result<u64> {
        let (mut ids, mut folders) = (BTreeSet::new(), vec![self.files.join("ews/data")]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).context("could not read the folder")? {
                let path = entry.context("could not read the folder")?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "json") {
                    let sidecar: Value = serde_json::from_str(&text(&path)?)?;
                    ids.insert(sidecar["id"].to_string());
                }
            }
        }
        Ok(ids.len() as u64)
    }

    pub(super) fn verify(&self) -> Result<String> {
        self.start("tributary", &[&["verify"][..], &PREFIX].concat(), &[])?.end()
    }

    /// Starts a program of the image by its entry point, or another as `--entrypoint` would.
    fn start(&self, program: &str, arguments: &[&str], more: &[&str]) -> Result<Container> {
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
        environment.extend(more.iter().map(|variable| json!(variable)));
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

    pub(super) fn runc(&self) -> Command {
        let mut command = Command::new("runc");
        command.arg("--root").arg(self.files.join("runc"));
        command
    }
}
