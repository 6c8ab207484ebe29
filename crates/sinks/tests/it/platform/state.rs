//! Checkpoints in the bucket's sync state, shared with other processes and other programs.

use std::time::Duration;

use record::{Checkpoint, FolderId, Position, Sink, SinkError};
use simulators::platform::{Fault, FaultRule, Op, Options};
use sinks::{platform_api::BucketState, state_admin::StateAdmin};

use sha2::{Digest, Sha256};

use super::{BUCKET, Fixture, checkpoint, email, mailbox, route, second};

fn both() -> [Options; 2] {
    [true, false].map(|conditional_writes| Options { conditional_writes, ..Options::default() })
}

#[tokio::test]
async fn a_checkpoint_comes_with_a_state_for_people() {
    let fixture = Fixture::start().await;
    let sink = fixture.sink();
    sink.save_checkpoint(&route(), &checkpoint(1, "a")).await.unwrap();
    let states = fixture.server.keyed_sync_states(BUCKET);
    let (key, state) = states.iter().next().unwrap();
    assert!(key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    assert_eq!(state["mailbox_name"], "abc@example.com");
    assert_eq!(state["folder_id"], "f");
    assert_eq!(state["status"], "UP_TO_DATE");
    // What has not changed is not written again.
    sink.save_checkpoint(&route(), &checkpoint(2, "b")).await.unwrap();
    assert_eq!(fixture.server.count(Op::PutKeyedSyncState), 1);
}

#[tokio::test]
async fn keyed_states_that_cannot_be_written_stop_nothing() {
    let fixture = Fixture::start().await;
    fixture.server.fault(FaultRule::new(Fault::http(500)).op(Op::PutKeyedSyncState).always());
    fixture.sink().save_checkpoint(&route(), &checkpoint(1, "a")).await.unwrap();
    let loaded = fixture.sink().load_checkpoint(&route()).await.unwrap();
    assert_eq!(loaded, checkpoint(1, "a"));
}

#[tokio::test]
async fn a_lost_answer_to_a_save_is_no_conflict() {
    for options in both() {
        let fixture = Fixture::with(options).await;
        let sink = fixture.sink();
        sink.save_checkpoint(&route(), &checkpoint(1, "a")).await.unwrap();
        for fault in [Fault::DropAfterCommit, Fault::HttpAfterCommit { status: 500 }] {
            fixture.server.fault(FaultRule::new(fault).op(Op::PutSyncState));
        }
        for generation in 2..5 {
            sink.save_checkpoint(&route(), &checkpoint(generation, "b")).await.unwrap();
        }
        let loaded = fixture.sink().load_checkpoint(&route()).await.unwrap();
        assert_eq!(loaded, checkpoint(4, "b"));
    }
}

#[tokio::test]
async fn an_idle_mailbox_costs_no_request() {
    let fixture = Fixture::start().await;
    let sink = fixture.sink();
    sink.save_checkpoint(&route(), &checkpoint(1, "a")).await.unwrap();
    fixture.server.clear_requests();
    for _ in 0..10 {
        assert_eq!(sink.load_checkpoint(&route()).await.unwrap(), checkpoint(1, "a"));
        assert_eq!(sink.quarantined(&route()).await.unwrap(), []);
    }
    assert_eq!(fixture.server.requests().len(), 0);
}

#[tokio::test]
async fn a_zombie_is_superseded() {
    for options in both() {
        let fixture = Fixture::with(options).await;
        let zombie = fixture.sink();
        zombie.save_checkpoint(&route(), &checkpoint(1, "a")).await.unwrap();
        let owner = fixture.sink();
        assert_eq!(owner.load_checkpoint(&route()).await.unwrap(), checkpoint(1, "a"));
        owner.save_checkpoint(&route(), &checkpoint(2, "owner")).await.unwrap();
        let result = zombie.save_checkpoint(&route(), &checkpoint(2, "zombie")).await;
        assert!(matches!(result, Err(SinkError::Superseded { .. })), "{result:?}");
        owner.save_checkpoint(&route(), &checkpoint(3, "owner")).await.unwrap();
        let loaded = fixture.sink().load_checkpoint(&route()).await.unwrap();
        assert_eq!(loaded, checkpoint(3, "owner"));
    }
}

#[tokio::test]
async fn mailboxes_of_two_processes_do_not_undo_each_other() {
    for options in both() {
        let conditional = options.conditional_writes;
        let fixture = Fixture::with(options).await;
        let sinks = [fixture.sink(), fixture.sink()];
        let routes = [mailbox("one@example.com"), mailbox("two@example.com")];
        let run = |n: usize| {
            let (sink, route) = (&sinks[n], &routes[n]);
            async move {
                for generation in 1..=20 {
                    sink.save_checkpoint(route, &checkpoint(generation, "x")).await.unwrap();
                }
            }
        };
        tokio::join!(run(0), run(1));
        if !conditional {
            // The last write of one may be lost until it writes again.
            for (sink, route) in sinks.iter().zip(&routes) {
                sink.save_checkpoint(route, &checkpoint(21, "x")).await.unwrap();
            }
        }
        let fresh = fixture.sink();
        for route in &routes {
            let loaded = fresh.load_checkpoint(route).await.unwrap();
            assert_eq!(loaded.generation, if conditional { 20 } else { 21 }, "{conditional}");
        }
    }
}

#[tokio::test]
async fn what_somebody_undid_is_written_again() {
    let fixture = Fixture::start().await;
    let sink = fixture.sink();
    let (one, two) = (mailbox("one@example.com"), mailbox("two@example.com"));
    sink.save_checkpoint(&one, &checkpoint(1, "a")).await.unwrap();
    let before = fixture.sync_state();
    sink.save_checkpoint(&one, &checkpoint(2, "b")).await.unwrap();
    fixture.server.set_sync_state(BUCKET, &before);
    sink.save_checkpoint(&two, &checkpoint(1, "c")).await.unwrap();
    let fresh = fixture.sink();
    assert_eq!(fresh.load_checkpoint(&one).await.unwrap(), checkpoint(2, "b"));
    assert_eq!(fresh.load_checkpoint(&two).await.unwrap(), checkpoint(1, "c"));
}

#[tokio::test]
async fn saves_that_come_together_are_one_write() {
    let latency = Duration::from_millis(20);
    let fixture =
        Fixture::with(Options { latency, conditional_writes: true, ..Options::default() }).await;
    let sink = fixture.sink();
    let routes: Vec<_> = (0..40).map(|n| mailbox(&format!("m{n}@example.com"))).collect();
    let saves = routes.iter().map(|route| async {
        let new = Checkpoint { generation: 1, ..Checkpoint::default() };
        sink.save_checkpoint(route, &new).await.unwrap();
    });
    futures_util::future::join_all(saves).await;
    let writes = fixture.server.count(Op::PutSyncState);
    assert!(writes <= 5, "{writes} writes for 40 mailboxes");
    let BucketState::Mailboxes(states) = sink.show_state(&routes[0].bucket).await.unwrap() else {
        panic!("no state")
    };
    assert_eq!(states.len(), 40);
}

#[tokio::test]
async fn a_state_of_another_program_is_never_overwritten() {
    let fixture = Fixture::start().await;
    fixture.server.set_sync_state(BUCKET, "opaque-0815");
    let sink = fixture.sink();
    assert_eq!(sink.load_checkpoint(&route()).await.unwrap(), Checkpoint::default());
    sink.save_checkpoint(&route(), &checkpoint(1, "a")).await.unwrap();
    sink.save_checkpoint(&route(), &checkpoint(2, "b")).await.unwrap();
    assert_eq!(sink.load_checkpoint(&route()).await.unwrap(), checkpoint(2, "b"));
    assert_eq!(fixture.sync_state(), "opaque-0815");
    assert_eq!(fixture.server.count(Op::PutSyncState), 0);

    // A restart knows the time only.
    let loaded = fixture.sink().load_checkpoint(&route()).await.unwrap();
    let folder = &loaded.folders[&FolderId("f".into())];
    assert_eq!((loaded.generation, &folder.position), (0, &None));
    assert_eq!(folder.delivered_until, Some(second(2) - chrono::TimeDelta::minutes(5)));
    let bucket = &route().bucket;
    assert_eq!(sink.show_state(bucket).await.unwrap(), BucketState::Foreign);
    assert!(sink.reset(&route()).await.is_err());

    // Until the operator takes it over.
    sink.reset_bucket(bucket).await.unwrap();
    sink.save_checkpoint(&route(), &checkpoint(1, "a")).await.unwrap();
    let loaded = fixture.sink().load_checkpoint(&route()).await.unwrap();
    assert_eq!(loaded, checkpoint(1, "a"));
}

#[tokio::test]
async fn a_newer_state_is_not_touched() {
    let fixture = Fixture::start().await;
    let newer = r#"{"v":2,"kind":"tributary","other":[]}"#;
    fixture.server.set_sync_state(BUCKET, newer);
    let sink = fixture.sink();
    let result = sink.load_checkpoint(&route()).await;
    assert!(matches!(result, Err(SinkError::TooNew { found: 2, .. })), "{result:?}");
    let result = sink.save_checkpoint(&route(), &checkpoint(1, "a")).await;
    assert!(matches!(result, Err(SinkError::TooNew { .. })), "{result:?}");
    assert_eq!(fixture.sync_state(), newer);
}

#[tokio::test]
async fn an_operator_copies_restores_and_resets_a_state() {
    let fixture = Fixture::start().await;
    let sink = fixture.sink();
    sink.save_checkpoint(&route(), &checkpoint(1, "a")).await.unwrap();
    let copy = sink.export(&route()).await.unwrap();
    sink.save_checkpoint(&route(), &checkpoint(2, "b")).await.unwrap();

    let operator = fixture.sink();
    operator.look_at([&route().bucket]);
    assert_eq!(StateAdmin::routes(&operator).await.unwrap(), [route()]);
    operator.reset(&route()).await.unwrap();
    let result = sink.save_checkpoint(&route(), &checkpoint(3, "c")).await;
    assert!(matches!(result, Err(SinkError::Superseded { .. })), "{result:?}");
    let empty = Checkpoint { generation: 3, ..Checkpoint::default() };
    assert_eq!(fixture.sink().load_checkpoint(&route()).await.unwrap(), empty);

    assert!(operator.import(&mailbox("other@example.com"), &copy).await.is_err());
    operator.import(&route(), &copy).await.unwrap();
    let loaded = fixture.sink().load_checkpoint(&route()).await.unwrap();
    assert_eq!((loaded.generation, loaded.folders), (4, checkpoint(1, "a").folders));
}

#[tokio::test]
async fn a_state_that_cannot_be_read_now_is_an_error_and_not_empty() {
    let page = Fault::Page { status: 404 };
    for fault in [Fault::http(500), Fault::http(403), Fault::BadJson, Fault::Html200, page] {
        let mut fixture = Fixture::start().await;
        fixture.total = Duration::from_millis(100);
        fixture.sink().save_checkpoint(&route(), &checkpoint(1, "a")).await.unwrap();
        fixture.server.fault(FaultRule::new(fault.clone()).op(Op::GetSyncState).always());
        let result = fixture.sink().load_checkpoint(&route()).await;
        assert!(result.is_err(), "{fault:?}: {result:?}");
    }
}

#[tokio::test]
async fn no_position_of_before_gets_into_a_bucket_that_was_made_anew() {
    for options in both() {
        let fixture = Fixture::with(options).await;
        let sink = fixture.sink();
        let other = mailbox("other@example.com");
        let mut with_list = checkpoint(1, "a");
        with_list.hierarchy = Some(Position::Cursor { token: "x".repeat(5_000) });
        sink.save_checkpoint(&route(), &with_list).await.unwrap();
        sink.save_checkpoint(&other, &checkpoint(1, "b")).await.unwrap();
        assert_eq!(sink.load_checkpoint(&route()).await.unwrap(), with_list);
        fixture.server.set_sync_state(BUCKET, "");
        let result = sink.save_checkpoint(&route(), &checkpoint(2, "a")).await;
        assert!(matches!(result, Err(SinkError::Superseded { .. })), "{result:?}");
        assert_eq!(fixture.sync_state(), "");
        // The first learns it above, the other when it comes.
        let result = sink.save_checkpoint(&other, &checkpoint(2, "b")).await;
        assert!(matches!(result, Err(SinkError::Superseded { .. })), "{result:?}");
        assert_eq!(sink.load_checkpoint(&route()).await.unwrap(), Checkpoint::default());
        sink.save_checkpoint(&route(), &checkpoint(1, "new")).await.unwrap();
        let fresh = fixture.sink();
        assert_eq!(fresh.load_checkpoint(&route()).await.unwrap(), checkpoint(1, "new"));
        assert_eq!(fresh.load_checkpoint(&other).await.unwrap(), Checkpoint::default());
    }
}

#[tokio::test]
async fn nor_into_one_that_another_process_was_quicker_to_write_to() {
    for options in both() {
        let fixture = Fixture::with(options).await;
        let (sink, quicker) = (fixture.sink(), fixture.sink());
        let other = mailbox("other@example.com");
        assert_eq!(sink.load_checkpoint(&route()).await.unwrap(), Checkpoint::default());
        sink.save_checkpoint(&route(), &checkpoint(1, "before")).await.unwrap();
        fixture.server.make_bucket_anew(BUCKET);
        quicker.save_checkpoint(&other, &checkpoint(1, "after")).await.unwrap();
        let result = sink.save_checkpoint(&route(), &checkpoint(2, "before")).await;
        assert!(matches!(result, Err(SinkError::Superseded { .. })), "{result:?}");
        assert_eq!(sink.load_checkpoint(&route()).await.unwrap(), Checkpoint::default());
        sink.save_checkpoint(&route(), &checkpoint(1, "anew")).await.unwrap();
        let fresh = fixture.sink();
        assert_eq!(fresh.load_checkpoint(&route()).await.unwrap(), checkpoint(1, "anew"));
        assert_eq!(fresh.load_checkpoint(&other).await.unwrap(), checkpoint(1, "after"));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_was_superseded_soon_sees_what_the_other_writes() {
    let fixture = Fixture::start().await;
    let (sink, rival) = (fixture.sink(), fixture.sink());
    sink.save_checkpoint(&route(), &checkpoint(1, "ours")).await.unwrap();
    assert_eq!(rival.load_checkpoint(&route()).await.unwrap().generation, 1);
    rival.save_checkpoint(&route(), &checkpoint(2, "theirs")).await.unwrap();
    let result = sink.save_checkpoint(&route(), &checkpoint(2, "ours")).await;
    assert!(matches!(result, Err(SinkError::Superseded { .. })), "{result:?}");
    assert_eq!(sink.load_checkpoint(&route()).await.unwrap().generation, 2);
    rival.save_checkpoint(&route(), &checkpoint(3, "theirs")).await.unwrap();
    tokio::time::advance(Duration::from_secs(15)).await;
    let result = sink.load_checkpoint(&route()).await;
    assert!(matches!(result, Err(SinkError::Superseded { .. })), "{result:?}");
    // Once it has gone on, it asks no more often than others.
    sink.load_checkpoint(&route()).await.unwrap();
    sink.save_checkpoint(&route(), &checkpoint(4, "ours")).await.unwrap();
    let before = fixture.server.request_count();
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(sink.load_checkpoint(&route()).await.unwrap().generation, 4);
    assert_eq!(fixture.server.request_count(), before);
}

#[tokio::test]
async fn tags_that_something_on_the_way_made_weak_permit_writes() {
    let options = Options { conditional_writes: true, weak_tags: true, ..Options::default() };
    let fixture = Fixture::with(options).await;
    let sink = fixture.sink();
    for generation in 1..4 {
        sink.save_checkpoint(&route(), &checkpoint(generation, "a")).await.unwrap();
    }
    assert_eq!(fixture.server.count(Op::PutSyncState), 3);
    let requests = fixture.server.requests();
    let last = requests.iter().rfind(|request| request.op == Op::PutSyncState).unwrap();
    assert_eq!(last.if_match.as_deref(), Some("\"2\""));
}

#[tokio::test]
async fn a_server_that_refuses_the_tag_that_it_names_is_written_to_without() {
    let fixture = Fixture::with(both()[0].clone()).await;
    let sink = fixture.sink();
    sink.save_checkpoint(&route(), &checkpoint(1, "a")).await.unwrap();
    fixture.server.fault(FaultRule::new(Fault::http(412)).op(Op::PutSyncState));
    sink.save_checkpoint(&route(), &checkpoint(2, "a")).await.unwrap();
    let requests = fixture.server.requests();
    let mut writes = requests.iter().filter(|request| request.op == Op::PutSyncState).rev();
    assert_eq!(writes.next().unwrap().if_match, None);
    assert_eq!(writes.next().unwrap().if_match.as_deref(), Some("\"1\""));
}

#[tokio::test]
async fn a_state_that_is_too_large_is_a_lasting_error_that_says_what_to_do() {
    let fixture = Fixture::start().await;
    let packed = "A".repeat(16 << 20);
    let entry = format!(r#"{{"generation":1,"revision":0,"writer":"w","checkpoint":"{packed}"}}"#);
    let mailboxes = format!(r#"{{"x@example.com":{entry}}}"#);
    let sum = Sha256::digest(&mailboxes);
    let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!(r#"{{"v":1,"kind":"tributary","sum":"{sum}","mailboxes":{mailboxes}}}"#);
    let check = |result: Result<(), SinkError>| {
        let Err(err @ SinkError::Denied { .. }) = result else { panic!("{result:?}") };
        assert!(err.hint().unwrap().starts_with("Spread the mailboxes"), "{:?}", err.hint());
    };
    fixture.server.set_sync_state(BUCKET, &text);
    check(fixture.sink().save_checkpoint(&route(), &checkpoint(1, "a")).await);
    assert_eq!(fixture.server.count(Op::PutSyncState), 0);
    fixture.server.set_sync_state(BUCKET, &"x".repeat(33 << 20));
    fixture.server.clear_requests();
    check(fixture.sink().load_checkpoint(&route()).await.map(drop));
    assert_eq!(fixture.server.requests().len(), 1);
}

#[tokio::test]
async fn the_state_of_a_mailbox_with_15_folders_stays_small() {
    let fixture = Fixture::start().await;
    let sink = fixture.sink();
    let mailboxes = 20;
    for n in 0..mailboxes {
        let mut new = checkpoint(1, "");
        let folder = new.folders.remove(&FolderId("f".into())).unwrap();
        for number in 0..15 {
            let mut folder = folder.clone();
            // Ids and positions of Exchange: base64 of bytes that do not compress.
            let random = |salt: &str, parts: u32| -> String {
                let part = |i| {
                    let hash = Sha256::digest(format!("{n}/{number}/{salt}/{i}"));
                    base64::Engine::encode(&base64::prelude::BASE64_STANDARD, hash)
                };
                (0..parts).map(part).collect()
            };
            folder.position = Some(Position::Cursor { token: random("position", 5) });
            new.folders.insert(FolderId(random("id", 3)), folder);
        }
        let route = mailbox(&format!("m{n}@example.com"));
        sink.save_checkpoint(&route, &new).await.unwrap();
    }
    let each = fixture.sync_state().len() / mailboxes;
    println!("{each} bytes for a mailbox with 15 folders");
    assert!(each < 12_000, "{each}");
}

#[tokio::test]
async fn a_restart_writes_no_keyed_state_that_has_not_changed() {
    let fixture = Fixture::start().await;
    fixture.sink().save_checkpoint(&route(), &checkpoint(1, "a")).await.unwrap();
    let sink = fixture.sink();
    let mut same = checkpoint(1, "b");
    same.generation = 2;
    sink.save_checkpoint(&route(), &same).await.unwrap();
    assert_eq!(fixture.server.count(Op::PutKeyedSyncState), 1);
    sink.save_checkpoint(&route(), &checkpoint(3, "c")).await.unwrap();
    assert_eq!(fixture.server.count(Op::PutKeyedSyncState), 2);
}

#[tokio::test]
async fn a_pause_of_keyed_states_is_theirs_alone() {
    let fixture = Fixture::start().await;
    let busy = FaultRule::new(Fault::busy(429, 600)).op(Op::PutKeyedSyncState);
    fixture.server.fault(busy.always());
    let sink = fixture.sink();
    for generation in 1..4 {
        sink.save_checkpoint(&route(), &checkpoint(generation, "a")).await.unwrap();
        sink.write(&route(), &[email(generation)]).await.unwrap();
    }
    assert_eq!(fixture.server.count(Op::PutKeyedSyncState), 1);
    assert_eq!(fixture.server.email_count(BUCKET), 3);
}

#[tokio::test]
async fn uploads_alone_leave_the_state_of_the_bucket_as_it_is() {
    let fixture = Fixture::start().await;
    let newer = r#"{"v":2,"kind":"tributary","other":[]}"#;
    fixture.server.set_sync_state(BUCKET, newer);
    let sink = fixture.sink().uploads_only();
    assert_eq!(sink.write(&route(), &[email(1)]).await.unwrap(), []);
    assert_eq!(fixture.sync_state(), newer);
    assert_eq!(fixture.server.count(Op::GetSyncState), 0);
}
