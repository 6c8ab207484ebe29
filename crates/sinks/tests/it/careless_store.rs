//! Services that speak like S3 and ignore the conditions of a write: nothing is kept there.

use std::{collections::HashMap, sync::Arc};

use record::{Chain, Quarantined, Secret, Sink, SinkAdvice, SinkError, Unmetered};
use sinks::{
    object_store::{Environment, Location, Objects, Options, s3::AwsEnvironment},
    state_admin::StateAdmin,
};

use crate::{
    azurite::transport, container_contract::checkpoint, mail, object_store_credentials::Fake,
};

/// What a service does not look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ignores {
    Nothing,
    IfNoneMatch,
    IfNoneMatchOfParts,
    IfMatch,
}

/// A service that keeps what it is sent in memory.
fn service(ignores: Ignores) -> Fake {
    let mut objects = HashMap::<String, (String, u64)>::new();
    let (mut part, mut version) = (String::new(), 0);
    Fake::start(move |request, _| {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (key, query) = target.split_once('?').unwrap_or((target, ""));
        let header = |wanted: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
        };
        let answer = |status: &str, more: &str, body: &str| {
            let time = "Last-Modified: Sun, 22 Nov 2026 06:00:00 GMT\r\n";
            Some((format!("HTTP/1.1 {status} x\r\n{time}{more}"), body.to_owned()))
        };
        let ends = method == "POST" && query.contains("uploadId=");
        match method {
            "GET" if query.contains("list-type") => answer("200", "", "<ListBucketResult/>"),
            "GET" | "HEAD" => match objects.get(key) {
                Some((text, at)) => answer("200", &format!("ETag: \"{at}\"\r\n"), text),
                None => answer("404", "", "<Error><Code>NoSuchKey</Code></Error>"),
            },
            "POST" if !ends => {
                let id = "<UploadId>1</UploadId>";
                answer(
                    "200",
                    "",
                    &format!("<InitiateMultipartUploadResult>{id}</InitiateMultipartUploadResult>"),
                )
            }
            "PUT" if query.contains("partNumber") => {
                body.clone_into(&mut part);
                answer("200", "ETag: \"part\"\r\n", "")
            }
            "DELETE" => answer("204", "", ""),
            _ => {
                let there = objects.get(key).map(|(_, at)| format!("\"{at}\""));
                let looks = match ends {
                    true => ignores != Ignores::IfNoneMatchOfParts,
                    false => ignores != Ignores::IfNoneMatch,
                };
                let is_new = header("if-none-match").is_none() || !looks || there.is_none();
                let is_seen = header("if-match").is_none_or(|seen| {
                    ignores == Ignores::IfMatch || there.as_deref() == Some(seen)
                });
                if !is_new || !is_seen {
                    return answer("412", "", "<Error><Code>PreconditionFailed</Code></Error>");
                }
                version += 1;
                let text = if ends { part.clone() } else { body.to_owned() };
                objects.insert(key.to_owned(), (text, version));
                let tag = format!("\"{version}\"");
                let done = format!(
                    "<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>"
                );
                answer("200", &format!("ETag: {tag}\r\n"), if ends { &done } else { "" })
            }
        }
    })
}

fn open(service: &Fake) -> Objects {
    let aws = AwsEnvironment {
        access_key_id: Some("AKIA".into()),
        secret_access_key: Some(Secret::from("CanarySecret")),
        endpoint: Some(service.url.clone()),
        ..AwsEnvironment::default()
    };
    Objects::open(Options {
        location: Location::of("s3://mail/a/prefix").unwrap(),
        environment: Environment { aws, ..Environment::default() },
        transport: transport(),
        max_concurrent_uploads: 2,
        meter: Arc::new(Unmetered),
    })
    .unwrap()
}

#[tokio::test]
async fn a_service_that_ignores_a_condition_is_not_written_to() {
    for (ignores, why) in [
        (Ignores::IfNoneMatch, "(it ignores `If-None-Match`)"),
        (Ignores::IfNoneMatchOfParts, "(it ignores `If-None-Match` where parts are put together)"),
        (Ignores::IfMatch, "(it ignores `If-Match`)"),
    ] {
        let service = service(ignores);
        let (sink, route) = (open(&service), mail::route());
        // To look at what is there is harmless.
        assert_eq!(sink.load_checkpoint(&route).await.unwrap().generation, 0);
        for result in [
            sink.write(&route, &[mail::email(1)]).await.map(drop),
            sink.save_checkpoint(&route, &checkpoint(1, "a")).await,
            sink.quarantine(&route, &Vec::<Quarantined>::new()).await,
            sink.relocate(&route, &[(mail::uid(1), vec!["Inbox".into()])]).await,
            sink.reset(&route).await,
            sink.forget_quarantined(&route, &[mail::uid(1)]).await.map(drop),
        ] {
            let err = result.unwrap_err();
            assert!(matches!(err, SinkError::Denied { .. }), "{err:?}");
            assert_eq!(err.advice(), SinkAdvice::PauseMailbox);
            assert!(Chain(&err).to_string().ends_with(why), "{}", Chain(&err));
            assert!(err.hint().unwrap().contains("Use a store that honors"), "{err:?}");
        }
        let written = service.requests();
        let written = written.iter().filter(|request| request.starts_with("PUT"));
        for request in written {
            assert!(
                request.starts_with("PUT /mail/a/prefix/state/tributary-probe.txt"),
                "{request}"
            );
        }
        let steps = sink.probe().await;
        assert!(steps.last().unwrap().result.is_err(), "{steps:?}");
    }
}

/// What the tests above refuse is refused for what it ignores, and not for what it is.
#[tokio::test]
async fn the_same_service_is_good_when_it_looks_at_conditions() {
    let service = service(Ignores::Nothing);
    let (sink, route) = (open(&service), mail::route());
    sink.write(&route, &[mail::email(1)]).await.unwrap();
    sink.save_checkpoint(&route, &checkpoint(1, "a")).await.unwrap();
    let taken_back =
        |request: &String| request.starts_with("DELETE") && request.contains("uploadId=");
    assert!(service.requests().iter().any(taken_back), "parts that nobody wants are left there");
    let asked = service.requests().iter().filter(|request| request.contains("probe.txt")).count();
    sink.save_checkpoint(&route, &checkpoint(2, "a")).await.unwrap();
    let again = service.requests().iter().filter(|request| request.contains("probe.txt")).count();
    assert!(asked > 5 && again == asked, "{asked} {again}: it is seen once");
    assert_eq!(sink.load_checkpoint(&route).await.unwrap(), checkpoint(2, "a"));
}
