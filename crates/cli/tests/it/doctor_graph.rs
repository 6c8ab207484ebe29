//! What `tributary doctor` and `config check --online` say of Microsoft Graph.

use std::time::Duration;

use serde_json::{Value, json};
use simulators::exchange::{App, Auth, Fault, FaultRule, Op, Options, Rights};

use crate::{
    doctor::{assert_line, doctor},
    harness::{Api, World},
};

const SECRET: &str = Options::CLIENT_SECRET;

fn app() -> App {
    App::with_secret(Options::CLIENT_ID, SECRET)
}

/// Two mailboxes with one email each, and these applications.
fn world(apps: Vec<App>) -> World {
    let world = World::empty(Options { auth: Auth::basic(), apps, ..Options::default() });
    for number in 0..2 {
        let address = format!("{number}@example.com");
        world.server.add_mailbox(&address);
        let now = world.server.now();
        world.server.deliver(&address, &["Inbox"], "Subject: x\r\n\r\nx\r\n", now).unwrap();
    }
    world.configured().over(Api::Graph)
}

fn denied(mailbox: &str) -> Rights {
    Rights { denied: [mailbox.to_owned()].into(), ..Rights::default() }
}

#[test]
fn nothing_is_wrong_where_all_is_well() {
    let (code, told) = doctor(&world(vec![app()]), &[]);
    assert_eq!(code, Some(0), "{told}");
    assert_line(&told, "graph tls", "ok", &["localhost"]);
    assert_line(&told, "authority tls", "ok", &["localhost"]);
    assert_line(&told, "graph token", "ok", &[Options::CLIENT_ID, "Mail.Read"]);
    assert_line(&told, "graph rights", "ok", &["2 of 2 mailboxes tried", "2 items"]);
    assert_line(&told, "throttling", "ok", &["no pause"]);
    assert!(!told.contains(SECRET), "{told}");
}

#[test]
fn a_missing_permission_is_named_with_both_ways_to_grant_it() {
    let (code, told) = doctor(&world(vec![app().roles(&["User.Read.All"])]), &[]);
    assert_eq!(code, Some(1), "{told}");
    assert_line(&told, "graph token", "warn", &["User.Read.All", "Without `Mail.Read`"]);
    let words = [
        "0@example.com",
        "ErrorAccessDenied",
        "grant consent",
        "New-ServicePrincipal",
        "New-ManagementRoleAssignment",
        "-CustomResourceScope",
        "Test-ServicePrincipalAuthorization",
    ];
    assert_line(&told, "graph rights", "fail", &words);
}

#[test]
fn a_permission_for_headers_only_is_told_from_none() {
    let (code, told) = doctor(&world(vec![app().roles(&["Mail.ReadBasic.All"])]), &[]);
    assert_eq!(code, Some(1), "{told}");
    assert_line(&told, "graph token", "warn", &["Mail.ReadBasic.All", "does not open bodies"]);
    assert_line(&told, "graph rights", "fail", &["0@example.com", "has no `Mail.Read`"]);
}

#[test]
fn a_mailbox_out_of_scope_is_told_from_a_missing_consent() {
    let app = App { rights: denied("1@example.com"), ..app() };
    let (code, told) = doctor(&world(vec![app]), &[]);
    assert_eq!(code, Some(1), "{told}");
    assert_line(&told, "graph token", "ok", &["Mail.Read"]);
    assert_line(&told, "graph rights", "ok", &["1 of 2 mailboxes"]);
    let line = told.lines().find(|line| line.starts_with("fail")).unwrap();
    for words in [
        "1@example.com",
        "The token has `Mail.Read`, so that a scope keeps the application out",
        "Get-ApplicationAccessPolicy",
        "Test-ServicePrincipalAuthorization",
    ] {
        assert!(line.contains(words), "`{words}` is not in {line}");
    }
}

#[test]
fn a_mailbox_that_is_not_in_the_cloud_is_named() {
    let world = world(vec![app()]);
    world.server.set_rest_enabled("1@example.com", false);
    let (code, told) = doctor(&world, &[]);
    assert_eq!(code, Some(1), "{told}");
    let line = told.lines().find(|line| line.starts_with("fail")).unwrap();
    for words in ["1@example.com", "MailboxNotEnabledForRESTAPI", "licen"] {
        assert!(line.contains(words), "`{words}` is not in {line}");
    }
    let output = world.run(&["config", "check", "--online"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(77), "{told}");
    assert!(told.contains("Mail is read over Microsoft Graph"), "{told}");
    assert!(told.contains("ok      0@example.com"), "{told}");
    assert!(told.contains("failed  1@example.com"), "{told}");
}

#[test]
fn a_refused_token_brings_the_reason_of_the_authority() {
    for (key, value, words) in [
        ("auth_oauth_client_secret", "canary", ["AADSTS7000215", "the secret's value"]),
        ("auth_oauth_client_id", "another", ["AADSTS700016", "does not know the client id"]),
        ("auth_oauth_scope", "https://graph.example.com/.default", ["AADSTS70011", "scope"]),
    ] {
        let mut world = world(vec![app()]);
        world.set(key, json!(value));
        let (code, told) = doctor(&world, &[]);
        assert_eq!(code, Some(1), "{told}");
        assert_line(&told, "graph token", "fail", &words);
        assert!(!told.contains("canary"), "{told}");
        assert!(!told.contains("graph rights"), "it tried mailboxes without a token:\n{told}");
    }
    let mut world = world(vec![app()]);
    let authority = world.server.authority_url().replace(Options::TENANT, "other.example.net");
    world.set("auth_oauth_authority", json!(authority));
    let (_, told) = doctor(&world, &[]);
    assert_line(&told, "graph token", "fail", &["AADSTS90002", "does not know the tenant"]);
}

#[test]
fn each_application_of_several_is_looked_at() {
    let second = App::with_secret("second", "another~secret").roles(&["Mail.Read"]);
    let mut world = world(vec![app(), second]);
    world.set("graph_applications", json!([{"auth_oauth_client_id": "second"}]));
    world.variables.push(("REINFER_EWS_AUTH_OAUTH_CLIENT_SECRET_2", "another~secret".into()));
    let (code, told) = doctor(&world, &[]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(told.matches("ok    graph token").count(), 2, "{told}");
    world.variables.clear();
    world.variables.push(("REINFER_EWS_AUTH_OAUTH_CLIENT_SECRET_2", "canary".into()));
    let (code, told) = doctor(&world, &[]);
    assert_eq!(code, Some(1), "{told}");
    let line = told.lines().find(|line| line.starts_with("fail")).unwrap();
    assert!(line.contains("application `second`") && line.contains("AADSTS7000215"), "{line}");
    assert!(!told.contains("canary"), "{told}");
}

#[test]
fn a_pause_is_a_warning() {
    let world = world(vec![app()]);
    let fault = Fault::Http { status: 429, retry_after: Some(Duration::from_secs(77)) };
    world.server.fault(FaultRule::new(fault).op(Op::FoldersDelta).always());
    let (code, told) = doctor(&world, &[]);
    assert_eq!(code, Some(0), "{told}");
    assert_line(&told, "throttling", "warn", &["graph_requests_per_second"]);
}

/// A world where both interfaces are possible.
fn either(apps: Vec<App>) -> World {
    let auth = Auth { bearer: true, ..Auth::basic() };
    let world = World::empty(Options { auth, apps, ..Options::default() });
    world.server.add_mailbox("0@example.com");
    let now = world.server.now();
    world.server.deliver("0@example.com", &["Inbox"], "Subject: x\r\n\r\nx\r\n", now).unwrap();
    let mut world = world.configured().over(Api::Graph);
    world.set("ews_endpoint", json!(world.server.ews_url()));
    world.set("access_type", json!("impersonation"));
    world.set("microsoft_api", json!("auto"));
    world.set("auth_user", Value::Null);
    world
}

#[track_caller]
fn assert_said_once(log: &str, words: &str) {
    assert_eq!(log.matches(words).count(), 1, "`{words}` in\n{log}");
}

#[test]
fn auto_takes_graph_where_it_is_let_in() {
    let world = either(vec![app()]);
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    let log = appliance.log();
    appliance.stop();
    assert_said_once(&log, "Mail is read over Microsoft Graph: `microsoft_api` is `auto`");
    assert!(log.contains("Graph lets the application in"), "{log}");
    world.assert_complete();
    assert!(world.server.requests().iter().all(|request| request.op != Op::GetItem));
}

#[test]
fn auto_falls_back_to_ews_for_a_missing_permission_and_names_its_end() {
    for roles in [&["User.Read.All"][..], &["Mail.ReadBasic.All"]] {
        let world = either(vec![app().roles(roles)]);
        let mut appliance = world.appliance();
        appliance.wait_until_up_to_date(1);
        let log = appliance.log();
        appliance.stop();
        assert_said_once(&log, "Microsoft Graph does not let the application in");
        let line = log.lines().find(|line| line.contains("does not let")).unwrap();
        assert!(line.contains("WARN") && line.contains("1 April 2027"), "{line}");
        world.assert_complete();
        let (code, told) = doctor(&world, &[]);
        assert_eq!(code, Some(0), "{told}");
        assert_line(&told, "graph rights", "warn", &["Test-ServicePrincipalAuthorization"]);
        assert_line(&told, "rights", "ok", &["0@example.com"]);
    }
}

#[test]
fn a_doctor_asks_for_one_way_only_where_both_are_possible() {
    let world = either(vec![app()]);
    let blocked = Fault::Http { status: 403, retry_after: None };
    world.server.fault(FaultRule::new(blocked.clone()).op(Op::SyncFolderHierarchy).always());
    world.server.fault(FaultRule::new(blocked.clone()).op(Op::GetFolder).always());
    let (code, told) = doctor(&world, &[]);
    assert_eq!(code, Some(0), "{told}");
    assert_line(&told, "graph rights", "ok", &["1 of 1 mailboxes"]);
    assert_line(&told, "rights", "warn", &["EWS is blocked"]);
    world.server.fault(FaultRule::new(blocked).op(Op::FoldersDelta).always());
    let (code, told) = doctor(&world, &[]);
    assert_eq!(code, Some(1), "{told}");
    assert_line(&told, "graph rights", "fail", &["0@example.com"]);
    assert_line(&told, "rights", "fail", &["EWS is blocked"]);
}

// A change of the interface lists everything anew: an outage is no reason for it.
#[test]
fn auto_does_not_fall_back_because_graph_is_down() {
    let world = either(vec![app()]);
    let fault = Fault::Http { status: 503, retry_after: None };
    world.server.fault(FaultRule::new(fault).op(Op::FoldersDelta).times(2));
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(1);
    let log = appliance.log();
    appliance.stop();
    assert_said_once(&log, "Graph could not be tried just now");
    world.assert_complete();
    assert!(world.server.requests().iter().all(|request| request.op != Op::GetItem));
}
