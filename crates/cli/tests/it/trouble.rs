//! Faults of the server and of the machine. In each, everything arrives in the end.

use std::time::{Duration, Instant};

use serde_json::json;
use simulators::exchange::{
    Auth, Fault, FaultRule, Forbidden, Op, Options, Place, Shape, Transport,
};

use crate::harness::{Api, World, over_each_api};

over_each_api!(
    throttling_in_every_form_is_obeyed,
    broken_answers_are_asked_for_again,
    an_expired_position_is_read_again_and_stored_once,
    one_bad_mailbox_does_not_slow_another,
    folders_that_change_while_they_are_read_do_no_harm,
    a_lost_sign_in_in_mid_run_is_renewed,
    forbidden_characters_in_every_place_do_no_harm,
    back_dated_and_tied_mail_arrives,
);

/// Everything arrives although `rules` strike.
#[track_caller]
fn survives(api: Api, rules: Vec<FaultRule>) {
    let world = World::generated(2, 60).over(api);
    for rule in rules {
        world.server.fault(rule);
    }
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(2);
    assert_eq!(world.server.outstanding_faults(), 0, "a fault did not strike");
    appliance.stop();
    world.assert_complete();
}

// Fault F9.
fn throttling_in_every_form_is_obeyed(api: Api) {
    let pause = Some(Duration::from_secs(1));
    let busy = |status| Fault::Http { status, retry_after: pause };
    let world = World::generated(1, 60).over(api);
    let rules = match api {
        Api::Ews => vec![
            FaultRule::new(Fault::ServerBusy { back_off: pause, shape: Shape::SoapFault })
                .op(Op::GetItem)
                .skip(1),
            FaultRule::new(Fault::ServerBusy { back_off: pause, shape: Shape::Message })
                .op(Op::GetItem)
                .skip(3),
            FaultRule::new(busy(503)).op(Op::SyncFolderItems),
            FaultRule::new(busy(429)).op(Op::GetItem).skip(5),
        ],
        Api::Graph => vec![
            FaultRule::new(busy(503)).op(Op::FoldersDelta),
            FaultRule::new(busy(429)).op(Op::MessagesDelta).skip(1),
            FaultRule::new(busy(503)).op(Op::Batch),
            // Inside a batch, of which the others are answered.
            FaultRule::new(busy(429)).op(Op::MessageValue).skip(5),
        ],
    };
    let strikes = rules.len();
    rules.into_iter().for_each(|rule| world.server.fault(rule));
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    assert_eq!(world.server.outstanding_faults(), 0, "a fault did not strike");
    let log = appliance.log();
    appliance.stop();
    let mut busy_at: Option<Instant> = None;
    let mut pauses = 0;
    for request in world.server.requests() {
        // A batch and what is in it are one request, noted at one instant.
        if let Some(at) = busy_at.filter(|at| *at != request.at) {
            let waited = request.at - at;
            assert!(waited >= Duration::from_secs(1), "asked after {waited:?}");
            busy_at = None;
        }
        let is_busy = request.code.as_deref() == Some("ErrorServerBusy")
            || [429, 503].contains(&request.status);
        pauses += usize::from(is_busy);
        busy_at = if is_busy { Some(request.at) } else { busy_at };
    }
    assert_eq!(pauses, strikes);
    // None of them was taken for a failure with a pause of our own.
    assert_eq!(log.matches("waits 1 s").count(), strikes, "{log}");
    world.assert_complete();
}

// Fault F10.
fn broken_answers_are_asked_for_again(api: Api) {
    let several = match api {
        Api::Ews => Op::GetItem,
        Api::Graph => Op::Batch,
    };
    let mut rules = vec![
        FaultRule::new(Fault::DropConnection { after_bytes: None }).op(api.list()),
        FaultRule::new(Fault::DropConnection { after_bytes: Some(5000) }).op(several),
        FaultRule::new(Fault::WrongContentLength).op(several).skip(2),
        FaultRule::new(Fault::BadXml).op(api.list()).skip(1),
    ];
    if api == Api::Graph {
        rules.push(FaultRule::new(Fault::TruncatedBase64).op(Op::MessageValue).skip(7));
        rules.push(FaultRule::new(Fault::BatchTimeout { after: 3 }).op(Op::Batch).skip(1));
        rules.push(FaultRule::new(Fault::EmptyPage).op(Op::MessagesDelta).skip(3));
        rules.push(FaultRule::new(Fault::Duplicates).op(Op::MessagesDelta).skip(4));
        rules.push(FaultRule::new(Fault::IgnorePageSize).op(Op::MessagesDelta).skip(5));
    }
    survives(api, rules);
}

// Fault F11.
fn an_expired_position_is_read_again_and_stored_once(api: Api) {
    let world = World::generated(1, 60).over(api);
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    world.server.invalidate_sync_states("0@example.com");
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    world.server.deliver("0@example.com", &["Inbox"], "Subject: x\r\n\r\n", now).unwrap();
    appliance.wait_until("the new email", |_| world.stored() == world.truth());
    appliance.stop();
    let code = match api {
        Api::Ews => "ErrorInvalidSyncStateData",
        Api::Graph => "SyncStateNotFound",
    };
    let requests = world.server.requests();
    assert!(requests.iter().any(|request| request.code.as_deref() == Some(code)), "not {code}");
    world.assert_complete();
}

// Fault F12.
fn one_bad_mailbox_does_not_slow_another(api: Api) {
    let world = World::generated(3, 60).over(api);
    world.server.disable_mailbox("1@example.com", Some("ErrorMailboxMoveInProgress"));
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(2);
    let (truth, stored) = (world.truth(), world.stored());
    let others = |all: &std::collections::BTreeMap<(String, String), usize>| {
        all.iter().filter(|((m, _), _)| m != "1@example.com").map(|(_, n)| n).sum::<usize>()
    };
    assert_eq!(others(&truth), others(&stored));
    world.server.disable_mailbox("1@example.com", None);
    appliance.wait_until_up_to_date(3);
    appliance.stop();
    world.assert_complete();
}

// Fault F12: a folder is renamed and another one deleted while it is read.
fn folders_that_change_while_they_are_read_do_no_harm(api: Api) {
    let mut world = World::generated(1, 200).over(api);
    world.set("poll_message_sleep", json!(0.01));
    let address = "0@example.com";
    world.server.add_folder(address, &["Inbox", "Doomed"], "IPF.Note").unwrap();
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    for number in 0..30 {
        let mime = format!("Subject: {number}\r\n\r\n");
        world.server.deliver(address, &["Inbox", "Doomed"], mime, now).unwrap();
    }
    let mut appliance = world.appliance();
    appliance.wait_for_emails(10);
    world.server.rename_folder(address, &["Sent Items"], "Postausgang").unwrap();
    world.server.delete_folder(address, &["Inbox", "Doomed"]).unwrap();
    appliance.wait_until("the rest", |_| {
        let stored = world.stored();
        world.truth().iter().all(|(key, n)| stored.get(key) == Some(n))
    });
    appliance.stop();
}

// Fault F14: the sign-in is lost in the middle.
fn a_lost_sign_in_in_mid_run_is_renewed(api: Api) {
    let lost = |op| FaultRule::new(Fault::Unauthorized).op(op).skip(1);
    survives(
        api,
        match api {
            Api::Ews => vec![
                lost(Op::GetItem),
                FaultRule::new(Fault::RedirectToErrorPage).op(Op::SyncFolderItems).skip(1),
            ],
            Api::Graph => vec![lost(Op::MessagesDelta), lost(Op::MessageValue), lost(Op::Batch)],
        },
    );
}

fn forbidden_characters_in_every_place_do_no_harm(api: Api) {
    let mut rules = Vec::new();
    for (place, op) in [
        (Place::Subject, if api == Api::Ews { api.fetch() } else { api.list() }),
        (Place::InternetMessageId, if api == Api::Ews { api.fetch() } else { api.list() }),
        (Place::DisplayName, api.folders()),
    ] {
        for what in [Forbidden::Reference(0), Forbidden::Reference(0xd800), Forbidden::Byte(0x0b)] {
            let fault = Fault::ForbiddenCharacters { place, what };
            rules.push(FaultRule::new(fault).op(op));
        }
    }
    let world = World::generated(2, 60).over(api);
    rules.into_iter().for_each(|rule| world.server.fault(rule));
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(2);
    appliance.stop();
    assert_eq!(world.stored(), world.truth());
}

// Fault F13: mail that arrives with an old date is not passed over.
fn back_dated_and_tied_mail_arrives(api: Api) {
    let world = World::generated(1, 30).over(api);
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    let old = chrono::DateTime::from_timestamp(1_000_000_000, 0).unwrap();
    for number in 0..5 {
        let mime = format!("Subject: old {number}\r\n\r\n");
        world.server.deliver("0@example.com", &["Inbox"], mime, old).unwrap();
    }
    appliance.wait_until("the old mail", |_| world.stored() == world.truth());
    appliance.stop();
    world.assert_complete();
}

// Fault F25.
#[test]
fn few_file_descriptors_are_enough_or_are_waited_for() {
    let world = World::generated(4, 60);
    let prefix = world.prefix();
    let command = format!(
        "ulimit -n 48; exec {} appliance --local-files-prefix {}",
        crate::harness::PROGRAM,
        prefix.display()
    );
    let child = std::process::Command::new("bash")
        .args(["-c", &command])
        .env("REINFER_EWS_CONFIG", world.config_path())
        .stderr(std::process::Stdio::null())
        .spawn();
    let mut child = crate::harness::Guarded(child.unwrap());
    let began = Instant::now();
    while world.stored() != world.truth() {
        assert!(child.0.try_wait().unwrap().is_none(), "it ended");
        assert!(began.elapsed() < crate::harness::PATIENCE, "not everything arrives");
        std::thread::sleep(Duration::from_millis(100));
    }
}

// Fault F15: nobody answers, then somebody does.
#[test]
fn a_server_that_is_down_is_waited_for() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let mut down = World::empty(Options { auth: Auth::basic(), ..Options::default() });
    down.config["mailboxes"] =
        json!({"abc@example.com": {"bucket": {"owner": "project", "name": "bucket"}}});
    down.config["ews_endpoint"] = json!(format!("http://{address}/EWS/Exchange.asmx"));
    down.write_config();
    let mut appliance = down.appliance();
    appliance.wait_until("the complaint", |this| this.log().contains("could not reach"));

    let options = Options {
        bind: address,
        auth: Auth::basic(),
        transport: Transport::Plain,
        ..Options::default()
    };
    let up = World::empty(options);
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    up.server.add_mailbox("abc@example.com");
    up.server.deliver("abc@example.com", &["Inbox"], "Subject: x\r\n\r\n", now).unwrap();
    appliance.wait_until_up_to_date(1);
    appliance.stop();
    assert_eq!(down.stored(), up.truth());
}

// Fault F15: the name does not resolve. It may tomorrow, so that the program goes on.
#[test]
fn a_name_that_does_not_resolve_is_tried_again() {
    let mut world = World::generated(1, 1);
    world.set("ews_endpoint", json!("https://exchange.invalid/EWS/Exchange.asmx"));
    let mut appliance = world.appliance();
    appliance.wait_until("two attempts", |this| {
        this.log().matches("could not reach `exchange.invalid").count() >= 2
    });
    appliance.stop();
}
