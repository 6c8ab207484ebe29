//! The list of components of the program, in `CycloneDX` form.
//!
//! Written from cargo's own resolution for this target, so that it names what is linked and not
//! what the lock file mentions for other systems and for tests, and with the libraries that are
//! linked from Debian packages, which no tool for Rust knows.

use std::{collections::BTreeSet, process::Command};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::output;
use crate::cargo;

/// Spec: `CycloneDX` 1.6, the JSON form.
pub(super) fn describe(linked: &[&str]) -> Result<Vec<u8>> {
    let metadata = cargo().args(["metadata", "--format-version=1", "--locked"]).output();
    let metadata = metadata.context("could not start cargo")?.stdout;
    let metadata: Value = serde_json::from_slice(&metadata).context("cargo metadata")?;
    let used = used()?;
    let empty = Vec::new();
    let packages = metadata["packages"].as_array().unwrap_or(&empty);
    let mut components: Vec<Value> = packages
        .iter()
        .filter_map(|package| {
            let (name, version) = (package["name"].as_str()?, package["version"].as_str()?);
            used.contains(&(name.to_owned(), version.to_owned())).then(|| {
                let license = package["license"].as_str().map(|expression| {
                    // The older form of the same: `MIT/Apache-2.0`.
                    json!([{ "expression": expression.replace('/', " OR ") }])
                });
                let url = format!("pkg:cargo/{name}@{version}");
                let mut component = json!({
                    "type": "library", "name": name, "version": version, "bom-ref": url, "purl": url,
                });
                // The project's own crates are in no registry.
                if package["source"].is_null() {
                    component["purl"] = Value::Null;
                }
                if let Some(license) = license {
                    component["licenses"] = license;
                }
                without_nulls(component)
            })
        })
        .collect();
    for package in linked {
        let format = "${source:Package} ${Version} ${Architecture}";
        let told = output(Command::new("dpkg-query").args(["-W", "-f", format, package]))?;
        let mut words = told.split(' ');
        let (Some(source), Some(version), Some(machine)) =
            (words.next(), words.next(), words.next())
        else {
            anyhow::bail!("`dpkg-query` says `{told}` about {package}");
        };
        let url = format!("pkg:deb/debian/{package}@{version}?arch={machine}&upstream={source}");
        components.push(json!({
            "type": "library", "name": package, "version": version, "bom-ref": url, "purl": url,
        }));
    }
    let version = env!("CARGO_PKG_VERSION");
    // Neither a time nor a random number: the same program has the same list.
    let list = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": {
            "type": "application", "name": "tributary", "version": version,
            "bom-ref": "tributary", "licenses": [{ "license": { "id": "Apache-2.0" } }],
        } },
        "components": components,
    });
    let mut text = serde_json::to_vec_pretty(&list)?;
    text.push(b'\n');
    Ok(text)
}

/// Names and versions of the crates that the program is linked from.
fn used() -> Result<BTreeSet<(String, String)>> {
    let tree = [
        "tree",
        "--locked",
        "--package",
        "cli",
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
    ];
    let told = output(cargo().args(tree).args(["--no-dedupe", "--format", "{p}"]))?;
    Ok(told
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (name, version) = (words.next()?, words.next()?);
            Some((name.to_owned(), version.strip_prefix('v')?.to_owned()))
        })
        .collect())
}

fn without_nulls(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, field| !field.is_null());
    }
    value
}
