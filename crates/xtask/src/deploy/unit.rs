//! The systemd units and their drop-ins: understood by systemd, and as closed as they claim to be.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use super::{folder, make_empty, output, products, run_quiet, text};

/// What `systemd-analyze security` may find at most, times ten. An unprotected service has 96.
const EXPOSURE: &str = "20";

/// Units that ours refers to.
const SYSTEM: &str = "/usr/lib/systemd/system";

/// Each unit, and the folder of its drop-ins.
const UNITS: [(&str, &str); 2] =
    [("tributary", "examples"), ("tributary-platform", "platform-examples")];

pub(super) fn check() -> Result<()> {
    let ours = folder().join("systemd");
    let limit = format!("--threshold={EXPOSURE}");
    for (name, examples) in UNITS {
        let unit = ours.join(format!("{name}.service"));
        run_quiet(
            Command::new("systemd-analyze").args(["security", "--offline=true", &limit]).arg(&unit),
        )?;
        let mut drop_ins = vec![None];
        for entry in fs::read_dir(ours.join(examples)).context("no examples of drop-ins")? {
            drop_ins.push(Some(entry?.path()));
        }
        for drop_in in drop_ins {
            verify(name, &unit, drop_in.as_deref())?;
        }
    }
    // Read where it will be installed: with a root, other paths are not looked for.
    let root = products().join("users");
    make_empty(&root.join("etc/sysusers.d"))?;
    fs::copy(ours.join("tributary.sysusers"), root.join("etc/sysusers.d/tributary.conf"))?;
    let root = format!("--root={}", root.display());
    run_quiet(Command::new("systemd-sysusers").args([&root, "tributary.conf"]))
}

/// Loads the unit as an installed one, with one drop-in or none.
fn verify(name: &str, unit: &Path, drop_in: Option<&Path>) -> Result<()> {
    let root = products().join("units");
    let units = root.join("etc/systemd/system");
    let own = units.join(format!("{name}.service.d"));
    make_empty(&root)?;
    for folder in [&own, &root.join("usr/bin"), &root.join("usr/lib/systemd")] {
        fs::create_dir_all(folder)?;
    }
    run_quiet(Command::new("cp").args(["-r", SYSTEM]).arg(root.join("usr/lib/systemd")))?;
    // Only that they exist and may be executed is looked at.
    for program in ["tributary", "kill"] {
        fs::copy("/bin/true", root.join("usr/bin").join(program))?;
    }
    std::os::unix::fs::symlink("usr/bin", root.join("bin"))?;
    fs::copy(unit, units.join(format!("{name}.service")))?;
    if let Some(drop_in) = drop_in {
        fs::copy(drop_in, own.join(drop_in.file_name().unwrap_or_default()))?;
    }
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no"]).arg(format!("--root={}", root.display()));
    let told = command
        .arg(format!("{name}.service"))
        .output()
        .context("could not start systemd-analyze")?;
    // It ends well although a line was ignored, and then says so. It also speaks of other units.
    let errors = String::from_utf8_lossy(&told.stderr);
    let ours: Vec<&str> = errors.lines().filter(|line| line.contains("tributary")).collect();
    if !told.status.success() || !ours.is_empty() {
        bail!("{}: {}\n{errors}", drop_in.unwrap_or(unit).display(), told.status);
    }
    Ok(())
}

/// The system calls that the unit allows, for whoever runs the program without systemd.
pub(super) fn allowed_calls() -> Result<BTreeSet<String>> {
    let mut allowed = BTreeSet::new();
    for line in text(&folder().join("systemd/tributary.service"))?.lines() {
        let Some(filter) = line.strip_prefix("SystemCallFilter=") else { continue };
        match filter.strip_prefix('~') {
            None => allowed.extend(calls(filter)?),
            Some(filter) => {
                let denied = calls(filter)?;
                allowed.retain(|call| !denied.contains(call));
            }
        }
    }
    if allowed.is_empty() { bail!("the unit allows no system call") } else { Ok(allowed) }
}

/// The calls of groups such as `@system-service`, which name calls and further groups.
fn calls(groups: &str) -> Result<BTreeSet<String>> {
    let mut calls = BTreeSet::new();
    let mut waiting: Vec<String> = groups.split_whitespace().map(str::to_owned).collect();
    let mut seen = BTreeSet::new();
    while let Some(group) = waiting.pop() {
        if !group.starts_with('@') {
            calls.insert(group);
            continue;
        }
        if !seen.insert(group.clone()) {
            continue;
        }
        let told = output(Command::new("systemd-analyze").args(["syscall-filter", &group]))?;
        // The first line is the group's own name.
        let names = told.lines().skip(1).map(str::trim);
        let names = names.filter(|name| !name.is_empty() && !name.starts_with('#'));
        waiting.extend(names.map(str::to_owned));
    }
    Ok(calls)
}
