//! `tributary replay`: stored emails, sent to a destination again.

use std::{collections::BTreeMap, fs, path::Path};

use chrono::{DateTime, Utc};
use serde_json::Value;
use simulators::platform::{Options, Platform, Transport};

use crate::{
    containers::{Container, in_containers},
    harness::{BUCKET, TOKEN, World, files},
    to_platform::{assert_arrived, expected, uploads},
};

/// Exit code and everything that was said.
fn replay(
    world: &World,
    container: Option<&Container>,
    from: &str,
    to: &[&str],
) -> (Option<i32>, String) {
    let mut arguments = vec!["replay", "--from", from];
    arguments.extend(to);
    let mut command = world.command(&arguments);
    command.envs(container.map(Container::variables).into_iter().flatten());
    if to.contains(&"--reinfer-api-endpoint") {
        command.env("REINFER_API_TOKEN", TOKEN);
    }
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code(), told.into_owned())
}

fn sidecars(prefix: &Path) -> BTreeMap<String, Value> {
    let read = |path: &Path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let all = files(&prefix.join("data"), "json");
    all.iter().map(|path| (path.display().to_string(), read(path))).collect()
}

fn to(platform: &Platform) -> [String; 2] {
    ["--reinfer-api-endpoint".to_owned(), platform.endpoint()]
}

#[test]
fn a_folder_is_sent_to_a_platform_and_the_second_time_changes_nothing() {
    let world = World::generated(2, 80);
    let expected = expected(&world);
    let prefix = world.prefix();
    let from = prefix.to_str().unwrap();
    let platform =
        world.platform(Options { transport: Transport::SelfSigned, ..Options::default() });
    let ca_file = platform.ca_file();
    let [flag, endpoint] = to(&platform);
    let arguments = [&flag, &endpoint, "--destination-ca-file", ca_file.to_str().unwrap()];
    for _ in 0..2 {
        let (code, told) = replay(&world, None, from, &arguments);
        assert_eq!(code, Some(0), "{told}");
        let sent: usize = expected.values().map(|copies| copies.len()).sum();
        assert!(told.contains(&format!("{sent} emails sent")), "{told}");
        assert_arrived(&platform, &expected);
    }
    assert_eq!(platform.sync_state(BUCKET), None, "the state is not its business");

    let sidecars = sidecars(&prefix);
    let time = |sidecar: &Value| -> DateTime<Utc> {
        sidecar["timestamp"].as_str().unwrap().parse().unwrap()
    };
    let mut times: Vec<_> = sidecars.values().map(time).collect();
    times.sort();
    let since = times[times.len() / 2];
    let wanted = times.iter().filter(|time| **time >= since).count();
    let platform = world.platform(Options::default());
    let [flag, endpoint] = to(&platform);
    let (code, told) =
        replay(&world, None, from, &[&flag, &endpoint, "--since", &since.to_rfc3339()]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains(&format!("{wanted} emails sent")), "{told}");
    assert!(platform.emails(BUCKET).iter().all(|email| email.timestamp >= since));
}

in_containers!(a_folder_goes_over_a_container_to_a_platform, a_damaged_email_is_named_and_not_sent);

fn a_folder_goes_over_a_container_to_a_platform(container: Container) {
    let world = World::generated(2, 60);
    let expected = expected(&world);
    let place = container.place();
    let from = world.prefix();
    let (code, told) = replay(
        &world,
        Some(&container),
        from.to_str().unwrap(),
        &["--private-file-prefix", &place],
    );
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(container.stored(), world.truth());

    let platform = world.platform(Options::default());
    let [flag, endpoint] = to(&platform);
    let (code, told) = replay(&world, Some(&container), &place, &[&flag, &endpoint]);
    assert_eq!(code, Some(0), "{told}");
    assert_arrived(&platform, &expected);
}

fn a_damaged_email_is_named_and_not_sent(container: Container) {
    let world = World::generated(1, 20);
    let expected = expected(&world);
    let from = world.prefix();
    let place = container.place();
    let (code, told) = replay(
        &world,
        Some(&container),
        from.to_str().unwrap(),
        &["--private-file-prefix", &place],
    );
    assert_eq!(code, Some(0), "{told}");

    let damaged = files(&from.join("data"), "eml").swap_remove(3);
    let mut content = fs::read(&damaged).unwrap();
    content[0] ^= 1;
    fs::write(&damaged, &content).unwrap();
    let uid = damaged.file_stem().unwrap().to_str().unwrap();
    let tags = container.tags();
    let blob = tags.keys().find(|name| name.contains(uid) && name.ends_with(".eml")).unwrap();
    container.overwrite(blob, &content);

    for from in [from.to_str().unwrap(), &place] {
        let platform = world.platform(Options::default());
        let [flag, endpoint] = to(&platform);
        let (code, told) = replay(&world, Some(&container), from, &[&flag, &endpoint]);
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains(uid) && told.contains("1 not"), "{told}");
        assert!(uploads(&platform) > 0);
        assert_eq!(platform.email_count(BUCKET), expected.len() - 1);
    }
}
