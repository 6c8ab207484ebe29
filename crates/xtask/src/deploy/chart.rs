//! The Helm chart: linted, rendered with a matrix of values, and compared with what was rendered
//! before.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{folder, make_empty, manifest, output, products, run_quiet, text, tools::Tools, write};

const CHART: &str = "helm/tributary";

/// Alert rules, and their copy: a chart can only read what lies in its own folder.
const RULES: &str = "prometheus/tributary.rules.yaml";
const COPY: &str = "helm/tributary/files/tributary.rules.yaml";

/// Where [`render`] puts what it renders.
pub(super) fn rendered() -> PathBuf {
    products().join("rendered")
}

pub(super) fn check(tools: &Tools, update: bool) -> Result<()> {
    compare(&text(&folder().join(RULES))?, &folder().join(COPY), update)?;
    let version = format!("appVersion: \"{}\"", env!("CARGO_PKG_VERSION"));
    if !text(&folder().join(CHART).join("Chart.yaml"))?.lines().any(|line| line == version) {
        bail!("`deploy/{CHART}/Chart.yaml` is of another version; expected `{version}`");
    }
    make_empty(&rendered())?;
    for values in matrix("good")? {
        let name = values.file_name().unwrap_or_default();
        run_quiet(tools.helm().args(["lint", "--strict", "--quiet", CHART, "-f"]).arg(&values))?;
        let manifests = render(tools, &values, &[])?;
        let file = rendered().join(name);
        write(&file, &manifests)?;
        compare(&manifests, &folder().join("helm/tests/rendered").join(name), update)?;
        run_quiet(&mut tools.validate(std::slice::from_ref(&file)))?;
        for document in tools.read_yaml(&file)? {
            if document["kind"] == "StatefulSet" {
                agrees(&document)?;
                manifest::accepts(&document)?;
            }
        }
    }
    for values in matrix("bad")? {
        refuses(tools, &values)?;
    }
    rules(tools)
}

fn render(tools: &Tools, values: &Path, more: &[&str]) -> Result<String> {
    let mut helm = tools.helm();
    helm.args(["template", "tributary", CHART, "--namespace", "mail"]).args(more);
    output(helm.arg("-f").arg(values))
}

fn matrix(kind: &str) -> Result<Vec<PathBuf>> {
    let folder = folder().join("helm/tests").join(kind);
    let entries = fs::read_dir(&folder).with_context(|| format!("no `{}`", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    if files.is_empty() { bail!("`{}` is empty", folder.display()) } else { Ok(files) }
}

/// What the manifest says twice is the same.
fn agrees(set: &Value) -> Result<()> {
    let shards = &set["spec"]["replicas"];
    let total = manifest::argument(set, "--total-shards");
    if total.as_deref() != Some(shards.to_string().as_str()) {
        bail!("{shards} replicas, but `--total-shards` is {total:?}");
    }
    let grace = manifest::argument(set, "--shutdown-grace").unwrap_or_default();
    let grace: u64 = grace.trim_end_matches('s').parse().context("`--shutdown-grace`")?;
    let pod = &set["spec"]["template"]["spec"];
    let period = pod["terminationGracePeriodSeconds"].as_u64();
    if period.is_none_or(|period| period <= grace) {
        bail!("a stop may take {grace} s, and the pod is killed after {period:?}");
    }
    Ok(())
}

/// The first line of the values names what the message must say.
fn refuses(tools: &Tools, values: &Path) -> Result<()> {
    let written = text(values)?;
    let first = written.lines().next().unwrap_or_default();
    let expected = first.strip_prefix("# Expected: ").context("no `# Expected: …`")?;
    match render(tools, values, &[]) {
        Ok(_) => bail!("`{}` is accepted", values.display()),
        Err(err) if err.to_string().contains(expected) => Ok(()),
        Err(err) => Err(err.context(format!("`{}` should say `{expected}`", values.display()))),
    }
}

/// The alert rules arrive in the cluster as they are in the file.
fn rules(tools: &Tools) -> Result<()> {
    let values = folder().join("helm/tests/good/platform.yaml");
    let file = products().join("rules.yaml");
    write(&file, render(tools, &values, &["--set", "prometheusRule.enabled=true"])?)?;
    let documents = tools.read_yaml(&file)?;
    let rule = documents.iter().find(|document| document["kind"] == "PrometheusRule");
    let groups = rule.map(|rule| &rule["spec"]).context("no PrometheusRule is rendered")?;
    let written = tools.read_yaml(&folder().join(RULES))?;
    if written.first() != Some(groups) {
        bail!("the rendered PrometheusRule is not `deploy/{RULES}`");
    }
    Ok(())
}

fn compare(text: &str, file: &Path, update: bool) -> Result<()> {
    if fs::read_to_string(file).is_ok_and(|written| written == text) {
        return Ok(());
    }
    if !update {
        bail!("`{}` is out of date; see `cargo xtask deploy --update`", file.display());
    }
    println!("wrote {}", file.display());
    write(file, text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shards_and_grace_that_do_not_fit_are_found() {
        let set = |replicas: u32, period: u32| {
            let container = json!({ "args": ["--total-shards", "3", "--shutdown-grace", "60s"] });
            json!({ "spec": { "replicas": replicas, "template": { "spec": {
                "terminationGracePeriodSeconds": period, "containers": [container],
            } } } })
        };
        assert!(agrees(&set(3, 75)).is_ok());
        let wrong = [agrees(&set(2, 75)).unwrap_err(), agrees(&set(3, 60)).unwrap_err()];
        let wrong = wrong.map(|err| err.to_string());
        assert_eq!(wrong[0], "2 replicas, but `--total-shards` is Some(\"3\")");
        assert_eq!(wrong[1], "a stop may take 60 s, and the pod is killed after Some(60)");
    }
}
