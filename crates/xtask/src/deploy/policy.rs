//! Rules that others have written: for the crates, and for manifests and image.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    chart, folder, output, products, run_quiet,
    tools::{self, Tools},
};
use crate::cargo;

/// Licenses, banned crates and where crates come from: `deny.toml`. Advisories need a database
/// that is not in a registry of packages; `cargo deny check advisories` is for who can fetch it.
pub(super) fn crates(tools: &Tools) -> Result<()> {
    // For every platform, as the tool looks at the lock file as a whole.
    run_quiet(cargo().args(["fetch", "--quiet", "--locked"]))?;
    run_quiet(tools.cargo_deny().args(["--offline", "check", "licenses", "bans", "sources"]))
}

/// checkov over everything that was rendered and what is shipped as it is. What it passes over
/// stands with its reason in `deploy/tools/checkov-….yaml`.
pub(super) fn check() -> Result<()> {
    let programs = tools::environment("policies")?;
    let targets: [(&str, &str, PathBuf); 3] = [
        ("chart", "--directory", chart::rendered()),
        ("manifest", "--file", folder().join("kubernetes/reinfer-ews.yaml")),
        ("image", "--file", folder().join("Dockerfile")),
    ];
    for (name, kind, target) in targets {
        let mut command = Command::new(programs.join("checkov"));
        command.arg("--config-file").arg(folder().join(format!("tools/checkov-{name}.yaml")));
        command.args(["--quiet", "--compact", "--skip-download", "--soft-fail"]);
        command.args(["--output", "json", kind]).arg(target);
        judge(&output(&mut command)?).with_context(|| format!("checkov, {name}"))?;
    }
    Ok(())
}

fn judge(told: &str) -> Result<()> {
    let report: Value = serde_json::from_str(told).context("no report")?;
    let failed = report.pointer("/results/failed_checks").and_then(Value::as_array);
    let failed: Vec<String> = failed
        .into_iter()
        .flatten()
        .map(|check| {
            format!("{} {}: {}", check["check_id"], check["resource"], check["check_name"])
        })
        .collect();
    let passed = report["summary"]["passed"].as_u64().unwrap_or_default();
    if passed == 0 || !failed.is_empty() {
        bail!("{passed} checks passed, these failed:\n{}", failed.join("\n"));
    }
    println!("checkov: {passed} checks passed");
    Ok(())
}

/// Another program reads the list of components, and finds in it what it should.
pub(super) fn components() -> Result<()> {
    let syft = tools::environment("policies")?.join("syft");
    let list = products().join("image/tributary.cdx.json");
    let told = output(Command::new(syft).arg("convert").arg(list).args(["-o", "syft-table"]))?;
    for name in ["tokio", "openssl-sys", "libssl-dev", "libc6"] {
        if !told.lines().any(|line| line.starts_with(&format!("{name} "))) {
            bail!("syft does not find `{name}` in the list of components:\n{told}");
        }
    }
    println!("syft: {} components", told.lines().count().saturating_sub(1));
    Ok(())
}
