//! Faults of the server and of the machine. In each, everything arrives in the end.

use std::time::{Duration, Instant};

use serde_json::json;
use simulators::exchange::{
    Auth, Fault, FaultRule, Forbidden, Op, Options, Place, Shape, Transport,
};

use crate::harness::World;

/// Everything arrives although `rules` strike.
#[track_caller]
fn survives(rules: Vec<FaultRule>) {
    let world = World::generated(2, 60);
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
#[test]
fn throttling_in_every_form_is_obeyed() {
    let pause = Some(Duration::from_secs(1));
    let world = World::generated(1, 60);
    for (shape, skip) in [(Shape::SoapFault, 1), (Shape::Message, 3)] {
        let fault = Fault::ServerBusy { back_off: pause, shape };
        world.server.fault(FaultRule::new(fault).op(Op::GetItem).skip(skip));
    }
    world.server.fault(
        FaultRule::new(Fault::Http { status: 503, retry_after: pause }).op(Op::SyncFolderItems),
    );
    world.server.fault(
        FaultRule::new(Fault::Http { status: 429, retry_after: pause }).op(Op::GetItem).skip(5),
    );
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    assert_eq!(world.server.outstanding_faults(), 0, "a fault did not strike");
    let log = appliance.log();
    appliance.stop();
    let mut quiet_until: Option<Instant> = None;
    let mut pauses = 0;
    for request in world.server.requests() {
        if let Some(until) = quiet_until {
            assert!(request.at >= until, "asked {:?} too early", until - request.at);
        }
        let busy = request.code.as_deref() == Some("ErrorServerBusy")
            || [429, 503].contains(&request.status);
        pauses += usize::from(busy);
        quiet_until = busy.then(|| request.at + Duration::from_secs(1));
    }
    assert_eq!(pauses, 4);
    // None of them was taken for a failure with a pause of our own.
    assert_eq!(log.matches("waits 1 s").count(), 4, "{log}");
    world.assert_complete();
}

// Fault F10.
#[test]
fn broken_answers_are_asked_for_again() {
    survives(vec![
        FaultRule::new(Fault::DropConnection { after_bytes: None }).op(Op::SyncFolderItems),
        FaultRule::new(Fault::DropConnection { after_bytes: Some(5000) }).op(Op::GetItem),
        FaultRule::new(Fault::WrongContentLength).op(Op::GetItem).skip(2),
        FaultRule::new(Fault::BadXml).op(Op::SyncFolderItems).skip(1),
    ]);
}

// Fault F11.
#[test]
fn an_expired_position_is_read_again_and_stored_once() {
    let world = World::generated(1, 60);
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    world.server.invalidate_sync_states("0@example.com");
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    world.server.deliver("0@example.com", &["Inbox"], "Subject: x\r\n\r\n", now).unwrap();
    appliance.wait_until("the new email", |_| world.stored() == world.truth());
    appliance.stop();
    assert!(
        world
            .server
            .requests()
            .iter()
            .any(|r| r.code.as_deref() == Some("ErrorInvalidSyncStateData"))
    );
    world.assert_complete();
}

// Fault F12.
#[test]
fn one_bad_mailbox_does_not_slow_another() {
    let world = World::generated(3, 60);
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
#[test]
fn folders_that_change_while_they_are_read_do_no_harm() {
    let mut world = World::generated(1, 200);
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
#[test]
fn a_lost_sign_in_in_mid_run_is_renewed() {
    survives(vec![
        FaultRule::new(Fault::Unauthorized).op(Op::GetItem).skip(1),
        FaultRule::new(Fault::RedirectToErrorPage).op(Op::SyncFolderItems).skip(1),
    ]);
}

#[test]
fn forbidden_characters_in_every_place_do_no_harm() {
    let mut rules = Vec::new();
    for (place, op) in [
        (Place::Subject, Op::GetItem),
        (Place::InternetMessageId, Op::GetItem),
        (Place::DisplayName, Op::SyncFolderHierarchy),
    ] {
        for what in [Forbidden::Reference(0), Forbidden::Reference(0xd800), Forbidden::Byte(0x0b)] {
            let fault = Fault::ForbiddenCharacters { place, what };
            rules.push(FaultRule::new(fault).op(op));
        }
    }
    let world = World::generated(2, 60);
    rules.into_iter().for_each(|rule| world.server.fault(rule));
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(2);
    appliance.stop();
    assert_eq!(world.stored(), world.truth());
}

// Fault F13: mail that arrives with an old date is not passed over.
#[test]
fn back_dated_and_tied_mail_arrives() {
    let world = World::generated(1, 30);
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
