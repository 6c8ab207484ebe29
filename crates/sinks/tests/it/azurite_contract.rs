//! What only Azure has: leases, and signatures that grant a part of the rights for a time.

use bytes::Bytes;
use chrono::TimeDelta;
use record::{Chain, Checkpoint, Sink, SinkAdvice, SinkError};
use sinks::object_store::{
    Environment, Location,
    azure::{AzureEnvironment, sas_ends_at},
};

use crate::{
    azurite::{Container, KEY},
    container_contract::{checkpoint, stored_checkpoint},
    mail,
};

const STATE: &str = "a/prefix/state/owner/bucket/abc@example.com/checkpoint.json";

#[tokio::test]
async fn a_lease_on_the_state_is_told_as_such() {
    let container = Container::create().await;
    let (sink, route) = (container.open(), mail::route());
    sink.save_checkpoint(&route, &checkpoint(1, "a")).await.unwrap();
    sink.write(&route, &[mail::email(1)]).await.unwrap();
    let lease = [("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "-1")];
    assert_eq!(container.administer(STATE, "comp=lease", &lease, Bytes::new()).await, 201);
    let err = sink.save_checkpoint(&route, &checkpoint(2, "b")).await.unwrap_err();
    assert!(matches!(err, SinkError::Denied { .. }), "{err:?}");
    assert!(err.hint().unwrap().starts_with("Somebody holds a lease"), "{err:?}");
    // An email that is there needs no write.
    let eml = format!("a/prefix/data/owner/bucket/abc@example.com/{}.eml", mail::uid(1));
    assert_eq!(container.administer(&eml, "comp=lease", &lease, Bytes::new()).await, 201);
    sink.write(&route, &[mail::email(1)]).await.unwrap();
}

fn by_sas(sas: &str) -> AzureEnvironment {
    let sas_token = Some(record::Secret::from(sas));
    AzureEnvironment { sas_token, account_key: None, ..Container::environment() }
}

#[tokio::test]
async fn a_shared_access_signature_works_until_it_ends() {
    let container = Container::create().await;
    let good = by_sas(&container.sas("racwl", TimeDelta::hours(1)));
    assert!(sas_ends_at(&container.location(), &good).is_some());
    let environment = Environment { azure: good.clone(), ..Environment::default() };
    assert!(environment.ends_at(&Location::Azure(container.location())).is_some());
    let sink = container.open_with(good);
    sink.write(&mail::route(), &[mail::email(1)]).await.unwrap();
    assert!(sink.probe().await.iter().all(|step| step.result.is_ok()));

    let sas = container.sas("racwl", TimeDelta::hours(-1));
    let err = container.open_with(by_sas(&sas)).load_checkpoint(&mail::route()).await.unwrap_err();
    assert!(matches!(err, SinkError::Unauthorized { .. }), "{err:?}");
    assert_eq!(err.advice(), SinkAdvice::StopService);
    let told = Chain(&err).to_string();
    assert!(told.contains("the shared access signature is not valid now; it ends at"), "{told}");
}

#[tokio::test]
async fn a_signature_that_may_only_read_is_denied_with_the_rights_it_lacks() {
    let container = Container::create().await;
    let sink = container.open_with(by_sas(&container.sas("rl", TimeDelta::hours(1))));
    assert_eq!(stored_checkpoint(&sink).await, Checkpoint::default());
    let err = sink.write(&mail::route(), &[mail::email(1)]).await.unwrap_err();
    assert!(matches!(err, SinkError::Denied { .. }), "{err:?}");
    assert!(err.hint().unwrap().contains("Storage Blob Data Contributor"), "{err:?}");
}

#[tokio::test]
async fn no_secret_is_shown_when_a_key_or_a_signature_is_refused() {
    let container = Container::create().await;
    let key = KEY.replace("Eby8", "Canary00");
    let wrong_key = AzureEnvironment {
        account_key: Some(record::Secret::from(key.as_str())),
        ..Container::environment()
    };
    let sas = container.sas("racwl", TimeDelta::hours(1)).replace("sig=", "sig=Canary00");
    for environment in [wrong_key, by_sas(&sas)] {
        let shown = format!("{environment:?}");
        assert!(!shown.contains("Canary"), "{shown}");
        let sink = container.open_with(environment);
        let err = sink.write(&mail::route(), &[mail::email(1)]).await.unwrap_err();
        let shown = format!("{err:?} {} {:?}", Chain(&err), err.hint());
        assert!(!shown.contains("Canary"), "{shown}");
        assert!(
            matches!(err, SinkError::Unauthorized { .. } | SinkError::Denied { .. }),
            "{shown}"
        );
    }
}
