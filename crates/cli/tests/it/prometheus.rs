//! Metrics, alert rules, dashboard and the page about them agree, and Prometheus reads them.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::json;

use crate::{
    harness::World,
    health::{get, serving},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The package `prometheus` has it; `cargo xtask test` installs it.
fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(root().join("deploy/prometheus"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("`promtool` is missing: install the package `prometheus`");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn assert_pleased(output: &Output) {
    let told = [&output.stdout[..], &output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&told));
}

/// The metrics that a text mentions. What histograms add to their names is taken off.
fn mentioned(text: &str, histograms: &BTreeSet<String>) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("tributary_") || word.starts_with("process_"));
    names
        .map(|name| {
            ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|suffix| name.strip_suffix(suffix))
                .find(|stem| histograms.contains(*stem))
                .unwrap_or(name)
                .to_owned()
        })
        .collect()
}

#[test]
fn alert_rules_are_valid_and_each_fires_and_does_not_fire_in_its_tests() {
    assert_pleased(&promtool(&["check", "rules", "tributary.rules.yaml"], ""));
    assert_pleased(&promtool(&["test", "rules", "tributary.rules.test.yaml"], ""));
    let rules = read("deploy/prometheus/tributary.rules.yaml");
    let alerts: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 10, "{alerts:?}");
    let tests = read("deploy/prometheus/tributary.rules.test.yaml");
    let (fires, silent): (Vec<&str>, Vec<&str>) =
        tests.split("  - name:").skip(1).partition(|test| test.contains("exp_labels"));
    let page = read("docs/reference/metrics.md");
    for alert in alerts {
        let of = format!("alertname: {alert}\n");
        assert!(fires.iter().any(|test| test.contains(&of)), "no test in which {alert} fires");
        assert!(silent.iter().any(|test| test.contains(&of)), "no test in which {alert} is silent");
        assert!(page.contains(&format!("`{alert}`")), "{alert} is not explained");
    }
}

#[test]
fn metrics_pass_promtool_and_hold_every_name_of_rules_dashboard_and_page() {
    let world = World::generated(2, 10);
    let (mut appliance, address) = serving(&world);
    appliance.wait_until_up_to_date(2);
    appliance.wait_until("the certificate's end and a commit", |_| {
        let metrics = get(address, "/metrics").1;
        metrics.contains("tributary_certificate_expiry_timestamp_seconds{server=\"server\"}")
            && metrics.contains("tributary_sink_requests_total{op=\"save_checkpoint\",code=\"ok\"}")
    });
    let metrics = get(address, "/metrics").1;
    appliance.stop();
    assert_pleased(&promtool(&["check", "metrics"], &metrics));

    let mut served = BTreeSet::new();
    let mut histograms = BTreeSet::new();
    for line in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        assert!(served.insert(name.to_owned()), "{name} comes twice");
        if kind == "histogram" {
            histograms.insert(name.to_owned());
        }
    }
    for place in ["deploy/prometheus/tributary.rules.yaml", "deploy/grafana/tributary.json"] {
        let mentioned = mentioned(&read(place), &histograms);
        assert!(mentioned.len() >= 10, "{place} mentions {mentioned:?}");
        let unknown: Vec<_> = mentioned.difference(&served).collect();
        assert!(unknown.is_empty(), "{place} mentions {unknown:?}, which nobody serves");
    }
    let page = mentioned(&read("docs/reference/metrics.md"), &histograms);
    assert_eq!(page, served, "docs/reference/metrics.md is not what is served");
}

#[test]
fn the_dashboard_is_json_whose_panels_have_queries() {
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("deploy/grafana/tributary.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut rules = Vec::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "an id comes twice");
        if panel["type"] == "row" {
            continue;
        }
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{} has no query", panel["title"]);
        for target in targets {
            // The variables stand for patterns; `promtool` reads queries as rules only.
            let query = target["expr"].as_str().unwrap().replace("$job", ".*");
            let query = query.replace("$instance", ".*");
            rules.push(json!({"record": format!("query:{}", rules.len()), "expr": query}));
        }
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    // JSON is YAML.
    let text = json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string();
    fs::write(file.path(), text).unwrap();
    assert_pleased(&promtool(&["check", "rules", file.path().to_str().unwrap()], ""));
}
