//! What the tests need of the machine: root, strace, loop devices.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// `true` if the machine has what a test needs. If not, says so; in CI that is a failure.
pub(crate) fn needs(what: &str, has: bool) -> bool {
    #[expect(clippy::disallowed_methods, reason = "CI says of itself that it is one")]
    let ci = std::env::var_os("CI").is_some();
    assert!(has || !ci, "this machine has no {what}, which CI must have");
    if !has {
        eprintln!("skipped: no {what}");
    }
    has
}

/// Number `n` of a fixed random sequence.
pub(crate) fn random(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs a command; `Err` with what it said.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.map_err(|err| format!("`{}`: {err}", words[0]))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("`{}`: {}", words.join(" "), String::from_utf8_lossy(&output.stderr)))
}

/// A folder on ext4 if that can be had, so that the way of one `syncfs` for a batch is tested
/// wherever the tests run; else somewhere.
pub(crate) struct Scratch {
    dir: Option<TempDir>,
    disk: Option<Mount>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        match is_root().then(Mount::ext4) {
            Some(Ok(disk)) => Self { dir: None, disk: Some(disk) },
            _ => Self { dir: Some(tempfile::tempdir().unwrap()), disk: None },
        }
    }

    pub(crate) fn is_ext4(&self) -> bool {
        needs("root and a loop device with ext4", self.disk.is_some())
    }

    pub(crate) fn path(&self) -> PathBuf {
        match (&self.dir, &self.disk) {
            (_, Some(disk)) => disk.path(),
            (Some(dir), None) => dir.path().to_owned(),
            (None, None) => unreachable!("one of the two is there"),
        }
    }
}

/// A file system of its own, unmounted at the end.
pub(crate) struct Mount {
    dir: TempDir,
    image: Option<PathBuf>,
}

impl Mount {
    /// ext4 in a file.
    pub(crate) fn ext4() -> Result<Self, String> {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        fs::File::create(&image).unwrap().set_len(192 << 20).unwrap();
        run(&["mkfs.ext4", "-q", "-F", image.to_str().unwrap()])?;
        let this = Self { dir, image: Some(image) };
        fs::create_dir(this.path()).unwrap();
        this.mount()?;
        Ok(this)
    }

    /// Memory, `size` as mount(8) wants it.
    pub(crate) fn tmpfs(size: &str) -> Result<Self, String> {
        let this = Self { dir: tempfile::tempdir().unwrap(), image: None };
        fs::create_dir(this.path()).unwrap();
        let options = format!("size={size}");
        run(&["mount", "-t", "tmpfs", "-o", &options, "tmpfs", this.path().to_str().unwrap()])?;
        Ok(this)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    pub(crate) fn mount(&self) -> Result<(), String> {
        let image = self.image.as_ref().unwrap();
        run(&["mount", "-o", "loop", image.to_str().unwrap(), self.path().to_str().unwrap()])
    }

    pub(crate) fn unmount(&self) -> Result<(), String> {
        run(&["umount", self.path().to_str().unwrap()])
    }

    pub(crate) fn remount(&self, options: &str) -> Result<(), String> {
        let options = format!("remount,{options}");
        run(&["mount", "-o", &options, self.path().to_str().unwrap()])
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.unmount().is_err() {
            // A failed test may have left a process there.
            run(&["umount", "-l", self.path().to_str().unwrap()]).unwrap_or_default();
        }
    }
}

/// Cuts the power of a file system: nothing reaches its disk from here on, not even its journal.
pub(crate) fn cut_power(mount: &Path) {
    // FS_IOC_SHUTDOWN is _IOR('X', 125, __u32); 2 stands for "without flushing the log".
    let code = "import fcntl, os, struct, sys\n\
                fd = os.open(sys.argv[1], os.O_RDONLY)\n\
                fcntl.ioctl(fd, 0x8004587D, struct.pack('I', 2))\n";
    run(&["python3", "-c", code, mount.to_str().unwrap()]).unwrap();
}
