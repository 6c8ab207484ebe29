//! `tributary doctor`: goes the whole way that mail would go, and tells at each step what is
//! wrong and what to do about it.
//!
//! Nothing is changed: the mailbox is only read, and what is written for a test is removed.

mod graph;
mod local;
mod network;
mod remote;
mod sharding;
mod source;
mod token;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use record::{Clock, Secret};
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    config::{Auth, Credential, Service, Settings},
    environment::Environment,
    exchange,
    exit::Exit,
    shard::Shard,
};

pub use local::LocalProbe;
pub use remote::PlatformProbe;

/// Longest time for all checks of one kind.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Ok,
    /// It works, but not as it should.
    Warn,
    Fail,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}

/// One check: a line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// A few words: `server tls`, `disk fsync`.
    pub check: String,
    pub outcome: Outcome,
    /// What was found.
    pub detail: String,
    /// What to do, as a complete sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl CheckResult {
    pub fn ok(check: impl Into<String>, detail: impl Into<String>) -> Self {
        let (check, detail) = (check.into(), detail.into());
        Self { check, outcome: Outcome::Ok, detail, advice: None }
    }

    pub fn warn(
        check: impl Into<String>,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let result = Self::ok(check, detail);
        Self { outcome: Outcome::Warn, advice: Some(advice.into()), ..result }
    }

    pub fn fail(
        check: impl Into<String>,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let result = Self::ok(check, detail);
        Self { outcome: Outcome::Fail, advice: Some(advice.into()), ..result }
    }
}

/// Tries a destination: can it be reached, written, and written on a condition?
#[async_trait]
pub trait SinkProbe: Send + Sync {
    /// Leaves nothing behind, and fails by a result.
    async fn probe(&self) -> Vec<CheckResult>;
}

/// All checks.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub checks: Vec<CheckResult>,
}

/// Makes all checks. `environment` has secrets that must not be shown; `sinks` are the
/// destinations; `local` says that state is kept in a folder of this machine.
pub async fn examine(
    settings: &Settings,
    environment: &Environment,
    shard: Shard,
    sinks: &[&dyn SinkProbe],
    local: bool,
    clock: &dyn Clock,
) -> Report {
    let mut checks = configuration(settings);
    checks.extend(sharding::check(settings, shard, local));
    match exchange::endpoints(settings) {
        Ok(endpoints) => {
            for (name, endpoint) in endpoints {
                let verified = name == "authority" || settings.tls.verify;
                let way = network::check(name, &endpoint, verified, clock);
                checks.extend(within(name, way).await);
            }
            checks.extend(within("sign-in", mailboxes(settings, shard)).await);
        }
        Err(ending) => checks.push(CheckResult::fail(
            "configuration",
            ending.message,
            "Correct the named key; `tributary config check` tells the same.",
        )),
    }
    for sink in sinks {
        checks.extend(within("sink", sink.probe()).await);
    }
    let mut report = Report { checks };
    report.redact(&secrets(settings, environment));
    report
}

/// Does the sign-in work, and may we read mailboxes?
async fn mailboxes(settings: &Settings, shard: Shard) -> Vec<CheckResult> {
    match &settings.service {
        Service::Ews(ews) => source::check(settings, ews, shard).await,
        Service::Graph(graph) => graph::check(settings, graph, shard).await,
        Service::Either { graph, ews } => {
            let mut over_graph = graph::check(settings, graph, shard).await;
            let mut over_ews = source::check(settings, ews, shard).await;
            let fails =
                |checks: &[CheckResult]| checks.iter().any(|check| check.outcome == Outcome::Fail);
            // One way is enough; of the other, something is to be known.
            if !fails(&over_graph) {
                soften(&mut over_ews);
            } else if !fails(&over_ews) {
                soften(&mut over_graph);
            }
            over_graph.extend(over_ews);
            over_graph
        }
    }
}

/// Makes warnings of failures.
fn soften(checks: &mut [CheckResult]) {
    for check in checks.iter_mut().filter(|check| check.outcome == Outcome::Fail) {
        check.outcome = Outcome::Warn;
    }
}

async fn within(name: &str, checks: impl Future<Output = Vec<CheckResult>>) -> Vec<CheckResult> {
    timeout(PATIENCE, checks).await.unwrap_or_else(|_| {
        let detail = format!("not answered within {} s", PATIENCE.as_secs());
        vec![CheckResult::fail(name, detail, "See the network between this machine and the other.")]
    })
}

fn configuration(settings: &Settings) -> Vec<CheckResult> {
    let mailboxes = settings.mailboxes.len();
    let mut checks =
        vec![CheckResult::ok("configuration", format!("valid, {mailboxes} mailboxes"))];
    for warning in &settings.warnings {
        let advice = "See docs/reference/configuration.md.";
        checks.push(CheckResult::warn("configuration", warning.clone(), advice));
    }
    checks
}

/// Every secret that is configured.
fn secrets(settings: &Settings, environment: &Environment) -> Vec<Secret> {
    let mut secrets = Vec::new();
    let applications = settings.service.graph().map_or(&[][..], |graph| &graph.applications);
    let mut applications = applications.iter().collect::<Vec<_>>();
    match &settings.auth {
        Auth::Ntlm { password, .. } | Auth::Basic { password, .. } => {
            secrets.push(password.clone());
        }
        Auth::OAuth2(oauth) => applications.push(oauth),
    }
    secrets.extend(applications.into_iter().map(|application| match &application.credential {
        Credential::ClientSecret(secret) => secret.clone(),
        Credential::Certificate { private_key, .. } => private_key.clone(),
    }));
    secrets.extend(environment.api_token.iter().map(|token| token.value.clone()));
    secrets.extend(environment.object_store.secrets().cloned());
    secrets
}

impl Report {
    /// No check repeats a secret. This is for what another side repeats, and for what is yet to
    /// be written: a report is made to be shown to others.
    fn redact(&mut self, secrets: &[Secret]) {
        for secret in secrets.iter().map(Secret::reveal).filter(|secret| !secret.is_empty()) {
            for check in &mut self.checks {
                let advice = check.advice.iter_mut();
                for text in std::iter::once(&mut check.detail).chain(advice) {
                    if text.contains(secret) {
                        *text = text.replace(secret, "***");
                    }
                }
            }
        }
    }

    /// A line for each check: `fail  server tls    self-signed certificate. Do this.`
    pub fn table(&self) -> String {
        let width = self.checks.iter().map(|check| check.check.len()).max().unwrap_or_default();
        let mut text = String::new();
        for CheckResult { check, outcome, detail, advice } in &self.checks {
            // An error of several lines would tear the table apart.
            let detail = one_line(detail);
            let advice = advice.as_deref().map(one_line);
            let line = match advice {
                Some(advice) => {
                    let detail = detail.trim_end_matches('.');
                    format!("{outcome:<5} {check:<width$}  {detail}. {advice}\n")
                }
                None => format!("{outcome:<5} {check:<width$}  {detail}\n"),
            };
            text.push_str(&line);
        }
        let count = |wanted| self.checks.iter().filter(|check| check.outcome == wanted).count();
        text.push_str(&format!(
            "{} ok, {} warnings, {} failed\n",
            count(Outcome::Ok),
            count(Outcome::Warn),
            count(Outcome::Fail)
        ));
        text
    }

    /// 1 if a check failed, else 0.
    pub fn exit(&self) -> Exit {
        let failed = self.checks.iter().any(|check| check.outcome == Outcome::Fail);
        if failed { Exit::Difference } else { Exit::Success }
    }
}

fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_report_has_a_line_for_each_check_and_no_secret() {
        let secret: Secret = "canary-of-a-secret".to_owned().into();
        let mut report = Report {
            checks: vec![
                CheckResult::ok("server dns", "mail.example.com: 192.0.2.1"),
                CheckResult::fail(
                    "sign-in",
                    "`mail.example.com` said:\n  canary-of-a-secret is wrong",
                    "Do not use canary-of-a-secret.",
                ),
                CheckResult::warn("disk", "5 % are free.", "Free some room."),
            ],
        };
        report.redact(&[secret, "".into()]);
        expect![[r#"
            ok    server dns  mail.example.com: 192.0.2.1
            fail  sign-in     `mail.example.com` said: *** is wrong. Do not use ***.
            warn  disk        5 % are free. Free some room.
            1 ok, 1 warnings, 1 failed
        "#]]
        .assert_eq(&report.table());
        assert_eq!(report.exit(), Exit::Difference);
        report.checks.remove(1);
        assert_eq!(report.exit(), Exit::Success, "a warning is no failure");
    }
}
