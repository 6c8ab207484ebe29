//! What `tributary serve` knows of mailboxes: it tries the credentials of integrations, in the way
//! in which `tributary doctor` tries those of an appliance.

use std::sync::Arc;

use appliance::{
    config,
    doctor::{self, CheckResult, Outcome},
    environment::Environment,
    shard::Shard,
};
use async_trait::async_trait;
use platform::{Exchange, Step};
use record::{Chain, Secret, clock::SystemClock};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

/// Most credentials that are tried at the same time; who comes next hears that it is too many.
const MAX_AT_ONCE: usize = 4;

/// The value of `--egress-policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum EgressPolicy {
    /// Any address.
    Off,
    /// Not those where clouds serve the credentials of machines.
    #[default]
    Metadata,
    /// No private addresses and not this machine either.
    Private,
}

impl EgressPolicy {
    fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Metadata => "metadata",
            Self::Private => "private",
        }
    }
}

pub(crate) struct Prober {
    egress: EgressPolicy,
    places: Semaphore,
}

impl Prober {
    pub(crate) fn new(egress: EgressPolicy) -> Arc<Self> {
        Arc::new(Self { egress, places: Semaphore::new(MAX_AT_ONCE) })
    }
}

#[async_trait]
impl Exchange for Prober {
    async fn try_out(&self, config: Secret) -> Result<Vec<Step>, String> {
        let _place = self
            .places
            .try_acquire()
            .map_err(|_| "too many credentials are being tried; try again in a minute")?;
        let mut config: Map<String, Value> =
            serde_json::from_str(config.reveal()).map_err(|error| error.to_string())?;
        // Who may write integrations must not reach what only this machine can reach.
        config.insert("egress_policy".to_owned(), self.egress.name().into());
        let text = Secret::from(Value::Object(config).to_string());
        // Variables are for the appliance of this machine, and not for the accounts of others.
        let environment = Environment::default();
        let settings = config::parse(text.reveal().as_bytes(), "the connection", &environment)
            .map_err(|error| Chain(&error).to_string())?;
        let shard = Shard::parse(None, None).map_err(|error| error.to_string())?;
        let report =
            doctor::examine(&settings, &environment, shard, &[], false, &SystemClock).await;
        Ok(report.checks.into_iter().map(step).collect())
    }
}

fn step(check: CheckResult) -> Step {
    let outcome = match check.outcome {
        Outcome::Ok => "ok",
        Outcome::Warn => "warn",
        Outcome::Fail => "fail",
    };
    Step { check: check.check, outcome, detail: check.detail, advice: check.advice }
}
