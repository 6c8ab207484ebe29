//! Is there a way to the server: name, connection, certificate, clock?

use chrono::{DateTime, TimeDelta, Utc};
use net::{
    Endpoint, NetError,
    probe::{self, Answer, Certificate, Reached, Tls},
};
use record::{Chain, Clock};

use super::CheckResult;

/// A certificate that ends sooner than this is warned of.
const SOON: TimeDelta = TimeDelta::days(21);

/// Difference of the clocks that is no reason to worry. Tokens allow five minutes.
const SKEW: TimeDelta = TimeDelta::seconds(60);

pub(super) async fn check(
    name: &str,
    endpoint: &Endpoint,
    verified: bool,
    clock: &dyn Clock,
) -> Vec<CheckResult> {
    let way = probe::look(endpoint).await;
    let now = clock.now();
    let mut checks = Vec::new();
    checks.push(match &way.addresses {
        Ok(addresses) => {
            let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            CheckResult::ok(
                format!("{name} dns"),
                format!("{}: {}", endpoint.name(), shown.join(", ")),
            )
        }
        Err(err) => failed(format!("{name} dns"), err, "Check the host name and the name server."),
    });
    checks.extend(way.tcp.map(|tcp| match tcp {
        Ok(Reached { address, took }) => {
            CheckResult::ok(format!("{name} tcp"), format!("{address} in {} ms", took.as_millis()))
        }
        Err(err) => failed(
            format!("{name} tcp"),
            &err,
            "See that the port is right and that no firewall is in the way.",
        ),
    }));
    checks.extend(way.tls.map(|tls| match tls {
        Ok(tls) => certificate(format!("{name} tls"), &tls, verified, now),
        Err(err) => failed(format!("{name} tls"), &err, "See scheme, port and cipher list."),
    }));
    match way.answer {
        Some(Ok(answer)) => checks.extend(skew(format!("{name} clock"), &answer, now)),
        Some(Err(err)) => checks.push(failed(
            format!("{name} http"),
            &err,
            "See that the address is that of the service and not of something in front of it.",
        )),
        None => {}
    }
    checks
}

fn certificate(check: String, tls: &Tls, verified: bool, now: DateTime<Utc>) -> CheckResult {
    let chain: Vec<String> = tls.chain.iter().map(shown).collect();
    let detail = format!("{} {}, {}", tls.version, tls.cipher, chain.join(" < "));
    if let Some(refused) = &tls.refused {
        let why = tls.distrust.as_deref().unwrap_or("refused");
        let advice = refused.hint().unwrap_or("See the certificate of the server.");
        return CheckResult::fail(check, format!("{why}; {detail}"), advice);
    }
    if !verified {
        let verdict = match &tls.distrust {
            None => "it would be trusted".to_owned(),
            Some(why) => format!("it would not be trusted: {why}"),
        };
        return CheckResult::warn(
            check,
            format!("the certificate is not checked, {verdict}; {detail}"),
            "Set `ews_ssl_verify` to true; `ews_ca_file` names authorities to trust besides.",
        );
    }
    let first = tls.chain.iter().filter_map(|one| one.not_after).min();
    match first {
        Some(end) if end - now < SOON => {
            let days = (end - now).num_days();
            let advice = "Have the certificate renewed: without a valid one, no mail is read.";
            CheckResult::warn(check, format!("ends in {days} days; {detail}"), advice)
        }
        _ => CheckResult::ok(check, detail),
    }
}

/// `mail.example.com, issued by Example CA, until 2027-01-31`
fn shown(certificate: &Certificate) -> String {
    let until =
        certificate.not_after.map_or_else(String::new, |at| format!(", until {}", at.date_naive()));
    format!("`{}` issued by `{}`{until}", certificate.subject, certificate.issuer)
}

fn skew(check: String, answer: &Answer, now: DateTime<Utc>) -> Option<CheckResult> {
    let theirs = answer.date?;
    let difference = now.signed_duration_since(theirs);
    let detail = format!("this machine is {} s ahead of the server", difference.num_seconds());
    Some(if difference.abs() <= SKEW {
        CheckResult::ok(check, format!("within {} s of the server", SKEW.num_seconds()))
    } else {
        let advice = "Have the clock set by NTP: tokens and NTLM allow a few minutes at most.";
        CheckResult::warn(check, detail, advice)
    })
}

fn failed(check: String, err: &NetError, otherwise: &str) -> CheckResult {
    CheckResult::fail(check, Chain(err).to_string(), err.hint().unwrap_or(otherwise))
}
