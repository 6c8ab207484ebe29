//! System packages: which are needed, and how a Debian machine gets them.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A program, and the Debian package that holds it.
struct Program {
    name: &'static str,
    package: &'static str,
}

/// What the tests start beside our own binaries.
const FOR_TESTS: &[Program] = &[
    Program { name: "curl", package: "curl" },
    Program { name: "xmllint", package: "libxml2-utils" },
    Program { name: "strace", package: "strace" },
    Program { name: "mkfs.ext4", package: "e2fsprogs" },
    Program { name: "mount", package: "mount" },
    Program { name: "ip", package: "iproute2" },
    // libFuzzer is written in C++.
    Program { name: "c++", package: "g++" },
    Program { name: "python3", package: "python3" },
    Program { name: "node", package: "nodejs" },
    Program { name: "npm", package: "npm" },
    // Hostile emails are shown in a real browser.
    Program { name: "chromium", package: "chromium" },
    Program { name: "promtool", package: "prometheus" },
    // Its own programs are in no search path.
    Program { name: "pg_ctlcluster", package: "postgresql" },
];

/// What checks and builds that which is shipped.
const FOR_DEPLOYMENT: &[Program] = &[
    Program { name: "buildah", package: "buildah" },
    Program { name: "runc", package: "runc" },
    Program { name: "umoci", package: "umoci" },
    Program { name: "systemd-analyze", package: "systemd" },
    Program { name: "update-ca-certificates", package: "ca-certificates" },
    Program { name: "cc", package: "gcc" },
    Program { name: "python3", package: "python3" },
    Program { name: "npm", package: "npm" },
];

/// Makes sure that the OpenSSL headers can be found; without them the build fails with a long
/// message that hides this reason.
pub(crate) fn need_libraries() -> Result<()> {
    let found = Command::new("pkg-config")
        .args(["--exists", "openssl"])
        .status()
        .is_ok_and(|status| status.success());
    if found {
        return Ok(());
    }
    install(&["pkg-config", "libssl-dev"])
}

/// Installs what the tests need and this machine lacks.
pub(crate) fn need_for_tests() -> Result<()> {
    need_libraries()?;
    need(FOR_TESTS)
}

/// The same for `cargo xtask deploy` and `image`.
pub(crate) fn need_for_deployment() -> Result<()> {
    need_libraries()?;
    need(FOR_DEPLOYMENT)
}

fn need(programs: &[Program]) -> Result<()> {
    let mut missing: Vec<&str> =
        programs.iter().filter(|p| !is_installed(p.name)).map(|p| p.package).collect();
    if !python_makes_environments() {
        missing.push("python3-venv");
    }
    if missing.is_empty() { Ok(()) } else { install(&missing) }
}

fn is_installed(name: &str) -> bool {
    let found = |folder: &str| std::path::Path::new(folder).join(name).exists();
    #[expect(clippy::disallowed_methods, reason = "the search path is nobody's setting")]
    let path = std::env::var("PATH").unwrap_or_default();
    // Debian keeps mkfs out of the search path of ordinary users.
    path.split(':').any(found) || ["/usr/sbin", "/sbin"].into_iter().any(found)
}

fn python_makes_environments() -> bool {
    Command::new("python3")
        .args(["-c", "import ensurepip, venv"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn install(packages: &[&str]) -> Result<()> {
    let by_hand = format!("apt-get install {}", packages.join(" "));
    let root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n");
    if !root || !is_installed("apt-get") {
        bail!("these packages are missing; install them as root: {by_hand}");
    }
    println!("Installing {}", packages.join(", "));
    let apt = |args: &[&str]| -> Result<()> {
        let status = Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-qq", "-o", "Acquire::Retries=3"])
            .args(args)
            .stdout(Stdio::null())
            .status()
            .context("could not start `apt-get`")?;
        if status.success() { Ok(()) } else { bail!("`{by_hand}` failed") }
    };
    apt(&["update"])?;
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend(packages);
    apt(&args)
}
