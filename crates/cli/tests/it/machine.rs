//! What the tests need of the machine: control groups, small disks, cables.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::harness::{Appliance, PROGRAM, World};

/// What a test needs, or `None` if the test is skipped; in CI that is a failure.
pub fn needs<T>(what: &str, had: Result<T, String>) -> Option<T> {
    match had {
        Ok(had) => Some(had),
        Err(reason) => {
            assert!(std::env::var_os("CI").is_none(), "CI must have {what}: {reason}");
            println!("skipped: no {what} ({reason})");
            None
        }
    }
}

/// Runs a command; `Err` with what it said.
pub fn run(words: &[&str]) -> Result<(), String> {
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.map_err(|err| format!("`{}`: {err}", words[0]))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("`{}`: {}", words.join(" "), String::from_utf8_lossy(&output.stderr)))
}

/// What a control group limits.
#[derive(Clone, Copy)]
pub enum Limit {
    /// Bytes of memory.
    Memory(u64),
    /// Percent of one CPU.
    Cpu(u64),
    /// Processes and threads.
    Threads(u64),
}

impl Limit {
    fn controller(self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Cpu(_) => "cpu",
            Self::Threads(_) => "pids",
        }
    }
}

/// A control group of version 1 or 2, removed in the end.
pub struct Group {
    path: PathBuf,
    limit: Limit,
    version1: bool,
}

impl Group {
    /// Processes of different tests must not share a group, so each has a `name` of its own.
    pub fn create(name: &str, limit: Limit) -> Option<Self> {
        needs("control groups", Self::try_create(name, limit))
    }

    fn try_create(name: &str, limit: Limit) -> Result<Self, String> {
        let top = Path::new("/sys/fs/cgroup");
        let controller = limit.controller();
        // The root of version 1 has this file, and no other folder of that name has.
        let version1 = top.join(controller).join("cgroup.procs").exists();
        let parent = if version1 { top.join(controller) } else { top.to_owned() };
        if !version1 {
            // If it cannot be switched on, setting the limit says so.
            let control = top.join("cgroup.subtree_control");
            fs::write(control, format!("+{controller}")).unwrap_or_default();
        }
        let path = parent.join(format!("tributary-test-{name}-{}", std::process::id()));
        fs::create_dir(&path).map_err(|err| format!("`{}`: {err}", path.display()))?;
        let group = Self { path, limit, version1 };
        group.set(limit)?;
        Ok(group)
    }

    /// Changes the limit.
    pub fn set(&self, limit: Limit) -> Result<(), String> {
        let (file, text) = match (limit, self.version1) {
            (Limit::Memory(bytes), true) => ("memory.limit_in_bytes", bytes.to_string()),
            (Limit::Memory(bytes), false) => ("memory.max", bytes.to_string()),
            // Per period of 100 ms.
            (Limit::Cpu(percent), true) => ("cpu.cfs_quota_us", (percent * 1000).to_string()),
            (Limit::Cpu(percent), false) => ("cpu.max", format!("{} 100000", percent * 1000)),
            (Limit::Threads(count), _) => ("pids.max", count.to_string()),
        };
        let path = self.path.join(file);
        fs::write(&path, text).map_err(|err| format!("`{}`: {err}", path.display()))
    }

    pub fn processes(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Takes in a process that is running; what it already has stays where it was charged.
    pub fn take_in(&self, process: u32) {
        fs::write(self.processes(), process.to_string()).unwrap();
    }

    /// How often the limit has struck.
    pub fn strikes(&self) -> u64 {
        let (file, key) = match (self.limit, self.version1) {
            (Limit::Memory(_), true) => ("memory.oom_control", "oom_kill "),
            (Limit::Memory(_), false) => ("memory.events", "oom_kill "),
            (Limit::Cpu(_), _) => ("cpu.stat", "nr_throttled "),
            (Limit::Threads(_), _) => ("pids.events", "max "),
        };
        let text = fs::read_to_string(self.path.join(file)).unwrap();
        let count = text.lines().find_map(|line| line.strip_prefix(key));
        count.unwrap_or_else(|| panic!("no `{key}` in {text}")).parse().unwrap()
    }

    /// Starts the appliance in the group.
    pub fn appliance(&self, world: &World) -> Appliance {
        start_after(world, &format!("echo $$ >{}", self.processes().display()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that was just reaped can hold the group for a moment longer.
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Starts the appliance after a command of the shell.
pub fn start_after(world: &World, command: &str) -> Appliance {
    start_under(world, &["/bin/sh", "-c", &format!("{command} && exec \"$@\""), "sh"], &[])
}

/// Starts the appliance as the last words of a command that executes them.
pub fn start_under(world: &World, words: &[&str], arguments: &[&str]) -> Appliance {
    let prefix = world.prefix();
    let mut all = words[1..].to_vec();
    all.extend([PROGRAM, "appliance", "--local-files-prefix", prefix.to_str().unwrap()]);
    all.extend(arguments);
    world.start(words[0], &all)
}

/// A file system in memory, unmounted in the end.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of `size`, as mount(8) wants it, on `dir`.
    pub fn mount(dir: &Path, size: &str) -> Option<Self> {
        let (options, path) = (format!("size={size},mode=700"), dir.to_str().unwrap());
        let mounted = run(&["mount", "-t", "tmpfs", "-o", &options, "tmpfs", path]);
        needs("right to mount", mounted.map(|()| Self(dir.to_owned())))
    }

    pub fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        run(&["mount", "-o", &options, self.0.to_str().unwrap()]).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A failed test may have left a process there.
        run(&["umount", "-l", self.0.to_str().unwrap()]).unwrap_or_default();
    }
}

/// A file system of its own, in a file, whose power can be cut.
pub struct Disk {
    image: PathBuf,
    path: PathBuf,
}

impl Disk {
    /// Makes one, `disk` in `folder`.
    pub fn make(folder: &Path) -> Option<Self> {
        needs("root and a loop device with ext4", Self::try_make(folder))
    }

    fn try_make(folder: &Path) -> Result<Self, String> {
        let disk = Self { image: folder.join("image"), path: folder.join("disk") };
        let image = fs::File::create(&disk.image).map_err(|err| err.to_string())?;
        image.set_len(512 << 20).map_err(|err| err.to_string())?;
        run(&["mkfs.ext4", "-q", "-F", disk.image.to_str().unwrap()])?;
        fs::create_dir(&disk.path).map_err(|err| err.to_string())?;
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> Result<(), String> {
        let (image, path) = (self.image.to_str().unwrap(), self.path.to_str().unwrap());
        run(&["mount", "-o", "loop", image, path])
    }

    /// Nothing reaches the disk from here on, not even its journal.
    pub fn cut_power(&self) {
        // FS_IOC_SHUTDOWN is _IOR('X', 125, __u32); 2 stands for "without flushing the log".
        let code = "import fcntl, os, struct, sys\n\
                    fd = os.open(sys.argv[1], os.O_RDONLY)\n\
                    fcntl.ioctl(fd, 0x8004587D, struct.pack('I', 2))\n";
        run(&["python3", "-c", code, self.path.to_str().unwrap()]).unwrap();
    }

    /// The power comes back: what was written is what the disk has. Nobody may use it.
    pub fn come_back(&self) {
        run(&["umount", self.path.to_str().unwrap()]).unwrap();
        self.mount().unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A failed test may have left a process there.
        run(&["umount", "-l", self.path.to_str().unwrap()]).unwrap_or_default();
    }
}

/// A network of two: this machine, where the simulated server is, and a network namespace for
/// the appliance, with a cable between them.
pub struct Cable {
    namespace: String,
    near: String,
    /// Address of the near end.
    pub server: String,
    client: String,
}

impl Cable {
    /// Tests that run at the same time each need a `number` below 10.
    pub fn lay(number: u32) -> Option<Self> {
        needs("network namespaces", Self::try_lay(number))
    }

    fn try_lay(number: u32) -> Result<Self, String> {
        let id = format!("{number}-{}", std::process::id());
        // 198.18.0.0/15 is set aside for tests of networks (RFC 2544, appendix C.2.2).
        let net = format!("198.18.{}", std::process::id() % 256);
        // Names of interfaces have at most 15 characters.
        let cable = Self {
            namespace: format!("tributary-{id}"),
            near: format!("tn{id}"),
            server: format!("{net}.{}", number * 4 + 1),
            client: format!("{net}.{}", number * 4 + 2),
        };
        let far = format!("tf{id}");
        run(&["ip", "netns", "add", &cable.namespace])?;
        let (near_net, far_net) = (format!("{}/30", cable.server), format!("{}/30", cable.client));
        let there = ["ip", "-n", &cable.namespace];
        run(&["ip", "link", "add", &cable.near, "type", "veth", "peer", "name", &far])?;
        run(&["ip", "link", "set", &far, "netns", &cable.namespace])?;
        run(&["ip", "address", "add", &near_net, "dev", &cable.near])?;
        run(&["ip", "link", "set", &cable.near, "up"])?;
        run(&[&there[..], &["address", "add", &far_net, "dev", &far]].concat())?;
        run(&[&there[..], &["link", "set", &far, "up"]].concat())?;
        Ok(cable)
    }

    /// Pulls the cable out of the server, or puts it back.
    pub fn set_plugged(&self, plugged: bool) {
        let state = if plugged { "up" } else { "down" };
        run(&["ip", "link", "set", &self.near, state]).unwrap();
    }

    /// Whether what the server answers is thrown away on the way without a word.
    pub fn set_swallowing(&self, swallowing: bool) {
        let what = if swallowing { "add" } else { "delete" };
        run(&["ip", "route", what, "blackhole", &self.client]).unwrap();
    }

    /// Starts the appliance at the far end.
    pub fn appliance(&self, world: &World) -> Appliance {
        start_under(world, &["ip", "netns", "exec", &self.namespace], &[])
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        // What a failed test has left; the other end of the cable goes with this one.
        run(&["ip", "route", "delete", "blackhole", &self.client]).unwrap_or_default();
        run(&["ip", "link", "delete", &self.near]).unwrap_or_default();
        run(&["ip", "netns", "delete", &self.namespace]).unwrap_or_default();
    }
}
