//! What a plan tells, and that it does not depend on how the configuration arrives.

use appliance::{
    config::{Settings, parse},
    plan::{Plan, Positions, plan},
    shard::Shard,
};
use expect_test::expect;
use record::{BucketId, Checkpoint, FolderId, FolderState, Route, Sink};
use sinks::local_files::LocalFiles;

use crate::environment;

const MAILBOXES: &str = r#""mailboxes": {
    "abc@example.com": {"bucket": {"owner": "o", "name": "n"}},
    "def@example.com": {"bucket": {"owner": "o", "name": "n"}, "start_from": "config",
        "start_timestamp": "2024-01-01T00:00:00+01:00", "folders_allow": ["Inbox/**"],
        "folders_deny": ["**/Private"]},
    "ghi@example.com": {"bucket": {"owner": "o", "name": "m"}, "start_from": "bucket",
        "start_timestamp": "2025-06-01T12:00:00Z"},
    "info@example.com": {"bucket": {"owner": "o", "name": "m"}},
    "claims@example.com": {"bucket": {"owner": "o", "name": "m"}}
}"#;

fn settings(variables: &[(&str, &str)], keys: &str) -> Settings {
    let text = format!("{{{keys}, {MAILBOXES}}}");
    parse(text.as_bytes(), "ews.json", &environment(variables)).unwrap_or_else(|e| panic!("{e}"))
}

fn whole_file() -> Settings {
    settings(
        &[],
        r#""host": "https://mail.example.com", "auth_user": "u@example.com",
           "auth_password": "hunter2", "access_type": "impersonation""#,
    )
}

async fn planned(settings: &Settings, positions: Positions<'_>) -> Plan {
    plan(settings, Shard::parse(Some("ews-1"), Some(3)).unwrap(), positions).await
}

// Invariant I15.
#[tokio::test]
async fn a_plan_is_the_same_however_the_configuration_arrives() {
    let from_file = planned(&whole_file(), Positions::Unknown).await;
    let variables = [
        ("REINFER_EWS_HOST", "https://mail.example.com"),
        ("REINFER_EWS_AUTH_USER", "u@example.com"),
        ("REINFER_EWS_AUTH_PASS", "hunter3"),
        ("REINFER_EWS_ACCESS_TYPE", "impersonation"),
    ];
    let keys =
        r#""auth_user": "other@example.com", "auth_password": "", "access_type": "delegate""#;
    let from_environment = planned(&settings(&variables, keys), Positions::Unknown).await;
    let json = |plan: &Plan| serde_json::to_string_pretty(plan).unwrap();
    assert_eq!(json(&from_file), json(&from_environment));
    assert_eq!(from_file.table(), from_environment.table());
    expect![[r#"
        Mail of https://mail.example.com/EWS/Exchange.asmx (impersonation access), configuration 0e7499de67106278
        Shard 1 of 3 serves 4 of 5 mailboxes:
        * shard 1  abc@example.com -> o/n: everything, or where it stopped
        * shard 1  claims@example.com -> o/m: everything, or where it stopped
        * shard 1  def@example.com -> o/n: what was received since 2023-12-31T23:00:00Z, once more at each start (`start_from` is `config`)
                     only `Inbox/**`
                     without `**/Private`
        * shard 1  ghi@example.com -> o/m: what was received since 2025-06-01T12:00:00Z, or where it stopped
          shard 2  info@example.com -> o/m: everything, or where it stopped
    "#]]
    .assert_eq(&from_file.table());
}

#[tokio::test]
async fn a_plan_goes_on_from_stored_positions_and_names_unreadable_ones() {
    let settings = whole_file();
    let folder = tempfile::tempdir().unwrap();
    let files = LocalFiles::open(folder.path()).unwrap();
    let route = |mailbox: &str, bucket: &str| Route {
        mailbox: mailbox.parse().unwrap(),
        bucket: BucketId::new("o", bucket).unwrap(),
    };
    let state = FolderState {
        delivered: 41,
        newest: chrono::DateTime::from_timestamp(1_760_000_000, 0),
        ..FolderState::default()
    };
    let folders = [(FolderId("inbox".to_owned()), state)].into();
    let checkpoint = Checkpoint { generation: 1, folders, ..Checkpoint::default() };
    files.save_checkpoint(&route("abc@example.com", "n"), &checkpoint).await.unwrap();
    let broken = folder.path().join("state/o/m/ghi@example.com");
    std::fs::create_dir_all(&broken).unwrap();
    std::fs::write(broken.join("checkpoint.json"), "{").unwrap();

    let plan = planned(&settings, Positions::Stored(&files)).await;
    let table = plan.table().replace(folder.path().to_str().unwrap(), "PREFIX");
    expect![[r#"
        Mail of https://mail.example.com/EWS/Exchange.asmx (impersonation access), configuration 0e7499de67106278
        Shard 1 of 3 serves 4 of 5 mailboxes:
        * shard 1  abc@example.com -> o/n: goes on where it stopped: 41 emails of 1 folders are stored, the newest of 2025-10-09T08:53:20Z
        * shard 1  claims@example.com -> o/m: everything; nothing is stored yet
        * shard 1  def@example.com -> o/n: what was received since 2023-12-31T23:00:00Z, once more at each start (`start_from` is `config`)
                     only `Inbox/**`
                     without `**/Private`
        * shard 1  ghi@example.com -> o/m: WOULD STOP: the stored state `PREFIX/state/o/m/ghi@example.com/checkpoint.json` cannot be read: EOF while parsing an object at line 1 column 1
          shard 2  info@example.com -> o/m: everything; nothing is stored yet
    "#]]
    .assert_eq(&table);
    assert!(planned(&settings, Positions::None).await.table().contains("nothing is stored yet"));
}
