//! The wire to a container breaks: in the middle of an upload, or when it was stored and nobody
//! hears of it (F24).

use futures_util::TryStreamExt;
use record::{Body, Sink, SinkAdvice};
use testkit::proxy::Proxy;

use crate::{
    container_contract::{checkpoint, stored_checkpoint},
    mail,
    object_store::{copies, wait},
    outside::{Outside, in_containers},
};

in_containers!(
    a_lost_answer_to_a_checkpoint_is_no_conflict,
    a_lost_answer_in_an_upload_leaves_one_copy,
    a_cut_upload_leaves_nothing_half,
);

fn large(n: u64) -> record::Email {
    let body: Vec<u8> = (0..6 << 20).map(|at| (at % 251) as u8).collect();
    record::Email { body: Body::Memory(body.into()), ..mail::email(n) }
}

async fn a_lost_answer_to_a_checkpoint_is_no_conflict(container: Outside) {
    let proxy = Proxy::to(&container.server());
    let (sink, route) = (container.open_over(&proxy), mail::route());
    sink.prove().await.unwrap();
    for generation in 1..=2 {
        proxy.lose_answer_after(0);
        sink.save_checkpoint(&route, &checkpoint(generation, "a")).await.unwrap();
        assert!(!proxy.is_to_lose());
        assert_eq!(stored_checkpoint(&container.open()).await, checkpoint(generation, "a"));
    }
    // Nor does the probe take it for a store that refuses what it should not.
    for answers in [0, 2, 5, 8, 9] {
        proxy.lose_answer_after(answers);
        container.open_over(&proxy).prove().await.unwrap();
    }
}

async fn a_lost_answer_in_an_upload_leaves_one_copy(container: Outside) {
    let proxy = Proxy::to(&container.server());
    let (sink, route) = (container.open_over(&proxy), mail::route());
    sink.prove().await.unwrap();
    // A small one: email, sidecar. A large one: look-up, beginning, parts, end, sidecar.
    let mut written = 0;
    for (size, answers) in [(0, 0), (0, 1), (1, 1), (1, 3), (1, 4)] {
        let email = if size == 0 { mail::email(written) } else { large(written) };
        written += 1;
        proxy.lose_answer_after(answers);
        // What could not be seen through is written once more, as the engine does.
        while let Err(err) = sink.write(&route, std::slice::from_ref(&email)).await {
            assert!(matches!(err.advice(), SinkAdvice::Retry { .. }), "{err:?}");
        }
        let stored = sink.stored_email(&route, email.uid).await.unwrap().unwrap();
        assert_eq!(stored.sidecar.size, email.body.size());
    }
    assert!(!proxy.is_to_lose());
    let copies = copies(&container.open(), &route).await;
    assert_eq!(copies.len() as u64, written);
}

async fn a_cut_upload_leaves_nothing_half(container: Outside) {
    let proxy = Proxy::to(&container.server());
    let (sink, route) = (container.open_over(&proxy), mail::route());
    sink.prove().await.unwrap();
    let before = wait(async { container.count() });
    proxy.cut_after((5 << 20) + (1 << 19));
    let failed = sink.write(&route, &[large(1)]).await.unwrap_err();
    assert!(proxy.is_cut() && failed.advice() == SinkAdvice::Retry { after: None }, "{failed:?}");
    assert_eq!(wait(async { container.count() }), before, "half an email");
    let uids: Vec<_> = container.open().stored_uids(&route).try_collect().await.unwrap();
    assert!(uids.is_empty(), "{uids:?}");
    proxy.mend();
    sink.write(&route, &[large(1)]).await.unwrap();
    let copies = copies(&container.open(), &route).await;
    let Body::Memory(body) = large(1).body else { unreachable!() };
    assert!(copies.len() == 1 && copies[0].1 == body);
}
