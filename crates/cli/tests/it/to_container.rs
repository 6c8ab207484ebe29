//! Mail out of Exchange, into a container of Azure Blob Storage or a bucket of S3.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{Shutdown, TcpListener},
};

use serde_json::{Value, json};

use crate::{
    containers::{Container, in_containers},
    crashes::pause,
    harness::{Appliance, PROGRAM, World},
};

in_containers!(
    every_email_becomes_two_blobs_and_a_restart_goes_on,
    a_roll_out_from_two_to_three_shards_loses_and_doubles_nothing,
    a_doctor_tells_what_a_container_lacks,
    state_is_shown_taken_away_put_back_and_forgotten,
);

fn every_email_becomes_two_blobs_and_a_restart_goes_on(container: Container) {
    let world = World::generated(2, 80);
    let mut appliance = container.start(&world, &[]);
    appliance.wait_until_up_to_date(2);
    appliance.stop();
    assert_eq!(container.stored(), world.truth());
    let all = container.tags();
    let states = all.keys().filter(|name| name.starts_with("some/prefix/state/")).count();
    assert!(states >= 2, "{states}");

    let before = container.tags_of_emails();
    let mut appliance = container.start(&world, &[]);
    appliance.wait_until_up_to_date(4);
    assert_eq!(container.tags_of_emails(), before, "what is there is written again");
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    world.server.deliver("1@example.com", &["Inbox"], "Subject: n\r\n\r\nn\r\n", now).unwrap();
    appliance.wait_until("new mail", |_| container.tags_of_emails().len() == before.len() + 2);
    let log = appliance.log();
    assert!(!log.contains(container.secret()) && log.contains(&container.place()), "{log}");
    assert!(log.contains("Signs in to `127.0.0.1:"), "{log}");
    appliance.stop();
    assert_eq!(container.stored(), world.truth());
}

// Fault F1, where no lock tells that the process is gone.
#[test]
fn kill_at_any_time_loses_and_doubles_nothing() {
    let container = Container::on_seaweedfs();
    let mut world = World::generated(4, 200);
    world.set("reinfer_batch_size", json!(10));
    world.set("emails_per_folder", json!(30));
    for round in 0..12 {
        let appliance = container.start(&world, &[]);
        std::thread::sleep(pause(round));
        appliance.kill();
    }
    let mut appliance = container.start(&world, &[]);
    let before = appliance.log().matches("is up to date").count();
    appliance.wait_until_up_to_date(before + 4);
    appliance.stop();
    assert_eq!(container.stored(), world.truth());
}

// Fault F17: from two shards to three. Some mailboxes have two owners meanwhile.
fn a_roll_out_from_two_to_three_shards_loses_and_doubles_nothing(container: Container) {
    let mut world = World::generated(8, 25);
    world.set("reinfer_batch_size", json!(10));
    world.set("emails_per_folder", json!(20));
    let shard = |ordinal: u32, total: u32| {
        let (name, total) = (format!("ews-{ordinal}"), total.to_string());
        container.start(&world, &["--shard-name", &name, "--total-shards", &total])
    };
    let (mut first, second) = (shard(0, 2), shard(1, 2));
    first.wait_until("some emails", |_| container.tags_of_emails().len() > 40);
    let mut new = vec![shard(2, 3)];
    second.kill();
    new.push(shard(1, 3));
    first.stop();
    new.push(shard(0, 3));
    // From then on they end in good order when they are told to.
    let all_serve = |this: &Appliance| this.log().matches("Serving").count() >= 5;
    new[0].wait_until("the start of all", all_serve);
    // Who met another owner stepped back, and goes on only after some quiet, or when it starts.
    let up_to_date = |shard: &Appliance| shard.log().matches("is up to date").count();
    new.drain(..).for_each(Appliance::stop);
    let mut new: Vec<_> = (0..3).map(|ordinal| shard(ordinal, 3)).collect();
    let before = up_to_date(&new[0]);
    new[0].wait_until_up_to_date(before + 8);
    new.into_iter().for_each(Appliance::stop);
    assert_eq!(container.stored(), world.truth());
}

#[test]
fn a_url_of_a_folder_is_the_folder_itself() {
    let world = World::generated(1, 20);
    let url = format!("file://{}", world.prefix().display());
    let mut appliance = world.start(PROGRAM, &["appliance", "--private-file-prefix", &url]);
    appliance.wait_until_up_to_date(1);
    let retry = ["quarantine", "retry", "--private-file-prefix", &url];
    let retried = world.command(&retry).output().unwrap();
    assert!(retried.status.success(), "{retried:?}");
    appliance.stop();
    world.assert_complete();
    let from = Container::on_seaweedfs();
    let place = from.place();
    let arguments = ["replay", "--from", &url, "--private-file-prefix", &place];
    let (code, said) = told(&world, &from, &arguments);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(from.stored(), world.truth());
}

/// Says yes to everything.
fn careless_service() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            let head = BufReader::new(stream.try_clone().unwrap()).lines();
            head.map_while(Result::ok).take_while(|line| !line.is_empty()).count();
            let answer = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 0\r\n\
                          Last-Modified: Sun, 22 Nov 2026 06:00:00 GMT\r\nConnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap_or_default();
            stream.shutdown(Shutdown::Write).unwrap_or_default();
            // What is not read would break the connection, and the answer with it.
            io::copy(&mut stream, &mut io::sink()).unwrap_or_default();
        }
    });
    url
}

#[test]
fn a_service_that_ignores_conditions_is_refused_before_any_mail_is_read() {
    let world = World::generated(1, 3);
    let url = careless_service();
    let mut command = world.command(&["appliance", "--private-file-prefix", "s3://mail"]);
    command.envs([("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "canary")]);
    let output = command.env("AWS_ENDPOINT_URL_S3", url).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(77), "{said}");
    assert!(said.contains("it ignores `If-None-Match`"), "{said}");
    assert!(said.contains("Use a store that honors") && !said.contains("canary"), "{said}");
    assert!(!said.contains("Mail is read over"), "{said}");
}

#[test]
fn a_container_of_google_is_refused_with_the_reason() {
    let world = World::generated(1, 3);
    let prefix = world.prefix();
    let prefix = prefix.to_str().unwrap();
    for arguments in [
        &["appliance", "--private-file-prefix", "gs://mail"][..],
        &["state", "show", "--private-file-prefix", "gs://mail"],
        &["replay", "--from", "gs://mail", "--local-files-prefix", prefix],
    ] {
        let output = world.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains("Google Cloud Storage is not supported"), "{said}");
    }
}

/// Exit code and everything that was said.
fn told(world: &World, container: &Container, arguments: &[&str]) -> (Option<i32>, String) {
    let output = container.command(world, arguments).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(!told.contains(container.secret()), "{told}");
    (output.status.code(), told.into_owned())
}

fn a_doctor_tells_what_a_container_lacks(container: Container) {
    let world = World::generated(1, 3);
    let doctor = |container: &Container| {
        told(&world, container, &["doctor", "--private-file-prefix", &container.place()])
    };
    let (code, said) = doctor(&container);
    assert_eq!(code, Some(0), "{said}");
    for step in ["write", "create only if absent", "replace only what was seen", "list"] {
        assert!(said.contains(&format!("container {step}")), "{said}");
    }
    let (code, said) = doctor(&container.missing());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("container") && said.contains("Create"), "{said}");

    let place = container.place();
    let mut command = container.command(&world, &["doctor", "--private-file-prefix", &place]);
    for (name, value) in container.variables() {
        command.env(name, value.replace("Eby8", "Abc8").replace("s3cret", "another"));
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("403") && said.contains("check"), "{said}");
}

fn state_is_shown_taken_away_put_back_and_forgotten(container: Container) {
    let world = World::generated(1, 20);
    let place = container.place();
    let state = |more: &[&str]| {
        let arguments = [&["state"], &more[..1], &["--private-file-prefix", &place], &more[1..]];
        let (code, said) = told(&world, &container, &arguments.concat());
        assert_eq!(code, Some(0), "{said}");
        said
    };
    let generation = || {
        let shown: Value = serde_json::from_str(&state(&["show", "--json"])).unwrap();
        shown[0]["generation"].as_u64().unwrap()
    };
    let mut appliance = container.start(&world, &[]);
    appliance.wait_until_up_to_date(1);
    appliance.stop();
    let (before, emails) = (generation(), container.tags_of_emails());
    let file = world.folder.path().join("state.json");
    let (file, mailbox) = (file.to_str().unwrap(), "0@example.com");
    state(&["export", "--mailbox", mailbox, "--output", file]);
    state(&["reset", "--mailbox", mailbox, "--yes"]);
    assert!(generation() > before);
    let plan = ["plan", "--private-file-prefix", &place];
    let (code, planned) = told(&world, &container, &plan);
    assert!(code == Some(0) && planned.contains(mailbox), "{planned}");
    state(&["import", "--mailbox", mailbox, "--input", file, "--yes"]);
    let imported = generation();
    let mut appliance = container.start(&world, &[]);
    appliance.wait_until_up_to_date(2);
    appliance.stop();
    assert!(generation() >= imported);
    assert_eq!(container.tags_of_emails(), emails, "what is there is written again");
}
