//! Signing in with OpenID Connect, against a certified provider that can be made to lie.

use std::collections::BTreeSet;

use platform::{NewUsers, Oidc, Options, People};
use serde_json::{Value, json};
use testkit::oidc_provider::{OidcProvider, SECRET};
use url::Url;

use crate::{
    server::Running,
    sign_in::{events, options},
    visitor::{Browser, Page},
};

const CALLBACK: &str = "https://mail.example.com/base/auth/oidc/callback";

pub(crate) async fn provider() -> OidcProvider {
    let start = || OidcProvider::start(CALLBACK);
    let mut provider = tokio::task::spawn_blocking(start).await.unwrap();
    provider.set_person(&bob());
    provider
}

fn bob() -> Value {
    json!({ "sub": "b-1", "email": "Bob@example.com", "email_verified": true, "groups": ["staff"] })
}

pub(crate) fn settings(provider: &OidcProvider) -> Oidc {
    Oidc {
        issuer: provider.issuer.clone(),
        client_id: "tributary".to_owned(),
        client_secret: Some(SECRET.into()),
        name: "Example".to_owned(),
        scopes: Vec::new(),
        allowed_domains: Vec::new(),
        new_users: NewUsers::Refused,
        trust_email: false,
        local_sign_out: false,
        groups_claim: "groups".to_owned(),
        group_roles: Vec::new(),
        ca_file: None,
    }
}

/// A platform with the user `bob`.
pub(crate) async fn platform(oidc: Oidc) -> Running {
    let people = People { oidc: Some(oidc), ..options().people };
    let server = Running::start_with(Options { people, ..options() }).await;
    server.add_user("bob", &[], &[]).await;
    server
}

/// Goes to the provider and back, and stops before the platform is asked to finish.
pub(crate) async fn to_callback(browser: &mut Browser, return_to: &str) -> Url {
    let start = browser.get(&format!("/auth/oidc/start?return_to={return_to}")).await;
    let (_, back) = browser.follow(start, CALLBACK).await;
    back.unwrap()
}

/// The path to which the platform leads at the end.
pub(crate) fn led(page: &Page) -> String {
    assert_eq!(page.status, 303, "{page:?}");
    page.header("location").unwrap().to_owned()
}

pub(crate) async fn whole_way(browser: &mut Browser) -> String {
    let back = to_callback(browser, "/base/buckets").await;
    led(&browser.visit(&back).await)
}

pub(crate) fn error(code: &str) -> String {
    format!("/base/sign-in?error={code}")
}

#[tokio::test]
async fn who_was_invited_comes_in_with_each_kind_of_client() {
    let mut provider = provider().await;
    for (client, secret) in [("tributary", true), ("ps", true), ("es", true), ("public", false)] {
        let mut oidc = settings(&provider);
        oidc.client_id = client.to_owned();
        oidc.client_secret = secret.then(|| SECRET.into());
        let server = platform(oidc).await;
        let mut browser = Browser::new(server.address);
        let shown = browser.get("/auth/options").await.json();
        assert_eq!(
            shown["options"]["oidc"],
            json!({ "name": "Example", "start": "/base/auth/oidc/start" })
        );
        assert_eq!(whole_way(&mut browser).await, "/base/buckets", "{client}");
        assert_eq!(browser.cookie("__Host-tributary_oidc"), None);
        let user = browser.get("/auth/user").await.json();
        assert_eq!(user["user"]["username"], "bob", "{client}");
        let account = browser.get("/api/_private/account").await.json();
        assert_eq!(account["account"]["identities"][0]["issuer"], provider.issuer.as_str());
        assert_eq!(account["account"]["has_password"], false);
        // Whoever came in once is known by who they are, whatever their address is now.
        provider.set_person(&json!({ "sub": "b-1", "email": "new@example.org" }));
        assert_eq!(whole_way(&mut Browser::new(server.address)).await, "/base/buckets");
        provider.set_person(&bob());
        let kinds: Vec<_> = events(&server).await.into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, ["first_start", "link_identity", "sign_in", "sign_in"]);
    }
}

#[tokio::test]
async fn a_token_that_is_not_what_it_must_be_signs_nobody_in() {
    let mut provider = provider().await;
    for (spoil, enters) in [
        ("nonce", false),
        ("no nonce", false),
        ("audience", false),
        ("audiences", false),
        ("party", false),
        ("issuer", false),
        ("expired", false),
        ("future", false),
        ("skew", true),
        ("subject", false),
        ("key", false),
        ("forged", false),
        ("critical", false),
        ("none", false),
        ("hs256", false),
        ("userinfo", false),
        ("rotated", true),
    ] {
        let server = platform(settings(&provider)).await;
        if spoil == "rotated" {
            // The keys of before are known.
            provider.spoil(None);
            assert_eq!(whole_way(&mut Browser::new(server.address)).await, "/base/buckets");
        }
        provider.spoil(Some(spoil));
        let mut browser = Browser::new(server.address);
        let led = whole_way(&mut browser).await;
        let expected = if enters { "/base/buckets".to_owned() } else { error("oidc_failed") };
        assert_eq!(led, expected, "{spoil}");
        let signed_in = browser.cookie("__Host-tributary_session").is_some();
        assert_eq!(signed_in, enters, "{spoil}");
        let failed = events(&server).await.iter().filter(|(k, _)| k == "sign_in_failed").count();
        assert_eq!(failed, usize::from(!enters), "{spoil}");
    }
}

#[tokio::test]
async fn an_answer_is_good_once_and_in_the_browser_that_set_out() {
    let provider = provider().await;
    let server = platform(settings(&provider)).await;
    // A code that somebody else has got is of no use in another browser,
    let mut victim = Browser::new(server.address);
    let stolen = to_callback(&mut victim, "/base/").await;
    let mut thief = Browser::new(server.address);
    assert_eq!(led(&thief.visit(&stolen).await), error("oidc_expired"));
    // nor with the state of one that has set out itself.
    let own = to_callback(&mut thief, "/base/").await;
    let value = |url: &Url, name: &str| {
        url.query_pairs().find(|(own, _)| own == name).unwrap().1.into_owned()
    };
    let mixed = |code: &Url, state: &Url| {
        let mut url = own.clone();
        url.query_pairs_mut()
            .clear()
            .append_pair("code", &value(code, "code"))
            .append_pair("state", &value(state, "state"))
            .append_pair("iss", &provider.issuer);
        url
    };
    assert_eq!(led(&thief.visit(&mixed(&stolen, &own)).await), error("oidc_failed"));
    assert_eq!(thief.cookie("__Host-tributary_session"), None);
    // The provider has seen the code twice then, or too late; the victim starts again.
    let trip = victim.cookies.clone();
    let fresh = to_callback(&mut victim, "/base/").await;
    let jar = victim.cookies.clone();
    assert_eq!(led(&victim.visit(&fresh).await), "/base/");
    // The same answer again, with the cookie of then.
    let mut again = Browser::new(server.address);
    again.cookies = jar;
    assert_eq!(led(&again.visit(&fresh).await), error("oidc_expired"));
    again.cookies = trip;
    assert_eq!(led(&again.visit(&fresh).await), error("oidc_expired"));
    // Another provider's name, none at all, and a parameter that is there twice.
    for spoil in ["evil", "absent", "twice"] {
        let mut browser = Browser::new(server.address);
        let back = to_callback(&mut browser, "/base/").await;
        let mut pairs: Vec<(String, String)> = back.query_pairs().into_owned().collect();
        match spoil {
            "evil" => {
                pairs.iter_mut().filter(|(n, _)| n == "iss").for_each(|(_, v)| *v = "x".into())
            }
            "absent" => pairs.retain(|(name, _)| name != "iss"),
            _ => pairs.push(("state".to_owned(), "x".to_owned())),
        }
        let mut url = back.clone();
        url.query_pairs_mut().clear().extend_pairs(pairs);
        let led = led(&browser.visit(&url).await);
        let code = if spoil == "twice" { "oidc_expired" } else { "oidc_failed" };
        assert_eq!(led, error(code), "{spoil}");
        assert_eq!(browser.cookie("__Host-tributary_session"), None);
    }
}

#[tokio::test]
async fn who_is_not_invited_stays_out() {
    let mut provider = provider().await;
    let server = platform(settings(&provider)).await;
    server.add_user("twin", &[], &[]).await;
    let way = async |provider: &mut OidcProvider, person: Value| {
        provider.set_person(&person);
        whole_way(&mut Browser::new(server.address)).await
    };
    let person = |sub: &str, email: &str, verified: Value| json!({ "sub": sub, "email": email, "email_verified": verified });
    let table = [
        (Value::Null, "oidc_denied"),
        (person("x", "stranger@example.com", true.into()), "oidc_not_invited"),
        (person("x", "bob@example.com", false.into()), "oidc_unverified"),
        (person("x", "bob@example.com", Value::Null), "oidc_unverified"),
        (json!({ "sub": "x" }), "oidc_unverified"),
        (person("x", "bob", true.into()), "oidc_unverified"),
    ];
    for (claims, code) in table {
        assert_eq!(way(&mut provider, claims.clone()).await, error(code), "{claims}");
    }
    assert_eq!(way(&mut provider, bob()).await, "/base/buckets");
    // The address belongs to somebody else now.
    let heir = person("b-2", "bob@example.com", true.into());
    assert_eq!(way(&mut provider, heir).await, error("oidc_not_invited"));
    let mut session = server.store.write().await.unwrap();
    let id = session.user_named("bob").await.unwrap().unwrap().id;
    session.set_disabled(&id, true).await.unwrap();
    session.commit().await.unwrap();
    assert_eq!(way(&mut provider, bob()).await, error("oidc_disabled"));
    assert_eq!(server.store.read().await.unwrap().users().await.unwrap().len(), 3);
    // The log says who they were.
    let mut told = Vec::new();
    for (kind, details) in events(&server).await {
        if kind == "sign_in_failed" && !details["subject"].is_null() {
            let own = |name: &str| details[name].as_str().unwrap_or_default().to_owned();
            told.push((own("reason"), own("subject"), own("email")));
        }
    }
    for (reason, subject, email) in [
        ("oidc_not_invited", "x", "stranger@example.com"),
        ("oidc_unverified", "x", "bob@example.com"),
        ("oidc_not_invited", "b-2", "bob@example.com"),
        ("oidc_disabled", "b-1", "Bob@example.com"),
    ] {
        let own = (reason.to_owned(), subject.to_owned(), email.to_owned());
        assert!(told.contains(&own), "{own:?} is not in {told:?}");
    }
}

#[tokio::test]
async fn new_users_come_from_allowed_domains_and_get_what_their_groups_give() {
    let mut provider = provider().await;
    let mut oidc = settings(&provider);
    oidc.allowed_domains = vec!["Example.com".to_owned()];
    oidc.new_users = NewUsers::Created { role: "role-cm-viewer".to_owned() };
    oidc.scopes = vec!["groups".to_owned()];
    oidc.group_roles =
        ["staff=own:role-cm-developer", "chiefs=role-cm-tenant-admin", "staff=gone:role-cm-viewer"]
            .map(|text| text.parse().unwrap())
            .into();
    let server = platform(oidc).await;
    let mut session = server.store.write().await.unwrap();
    for (name, user_auto_join) in [("own", false), ("everybody", true)] {
        let new = store::NewProject { name: name.to_owned(), user_auto_join, ..Default::default() };
        session.create_project(new).await.unwrap();
    }
    session.commit().await.unwrap();
    let eve = |groups: &[&str]| {
        json!({
            "sub": "e-1", "email": "eve+mail@example.com", "email_verified": true,
            "groups": groups,
        })
    };
    provider.set_person(&json!({ "sub": "x", "email": "x@example.org", "email_verified": true }));
    let refused = whole_way(&mut Browser::new(server.address)).await;
    assert_eq!(refused, error("oidc_not_invited"));
    let sign_in = async |provider: &mut OidcProvider, groups: &[&str]| {
        provider.set_person(&eve(groups));
        let mut browser = Browser::new(server.address);
        assert_eq!(whole_way(&mut browser).await, "/base/buckets");
        let user = browser.get("/auth/user").await;
        assert_eq!(user.status, 200, "{}", user.message());
        let user = user.json()["user"].clone();
        let buckets = browser.get("/api/_private/buckets/own").await.status;
        let users = browser.get("/api/_private/quotas").await.status;
        (user, buckets, users)
    };
    let (user, buckets, quotas) = sign_in(&mut provider, &["staff"]).await;
    assert_eq!(user["username"], "eve-mail@example.com");
    assert_eq!(user["organisation_permissions"], json!({ "everybody": ["role-cm-viewer"] }));
    assert_eq!(user["sso_organisation_permissions"], json!({ "own": ["role-cm-developer"] }));
    assert_eq!((buckets, quotas), (200, 403));
    let (user, buckets, quotas) = sign_in(&mut provider, &["chiefs"]).await;
    assert_eq!(user["sso_global_permissions"], json!(["role-cm-tenant-admin"]));
    assert_eq!((buckets, quotas), (404, 200));
    let (_, buckets, quotas) = sign_in(&mut provider, &[]).await;
    assert_eq!((buckets, quotas), (404, 403));
    // A name that somebody else has is no reason to show a person an error of the API.
    let mut session = server.store.write().await.unwrap();
    let (username, email) = ("x@example.com".to_owned(), "y@example.com".to_owned());
    session.create_user(store::NewUser { username, email }).await.unwrap();
    session.commit().await.unwrap();
    let taken = json!({ "sub": "x", "email": "x@example.com", "email_verified": true });
    provider.set_person(&taken);
    let refused = whole_way(&mut Browser::new(server.address)).await;
    assert_eq!(refused, error("oidc_failed"));
    let events = events(&server).await;
    let kinds: BTreeSet<&str> = events.iter().map(|(kind, _)| kind.as_str()).collect();
    for kind in ["create_user", "update_user", "link_identity", "sign_in"] {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_or_is_another_one_lets_nobody_in() {
    let mut provider = provider().await;
    let mut wrong = settings(&provider);
    // What it says of itself is not exactly what we were told.
    wrong.issuer = format!("{}/", wrong.issuer);
    let server = platform(wrong).await;
    let start = Browser::new(server.address).get("/auth/oidc/start").await;
    assert_eq!(led(&start), error("oidc_failed"));
    let mut bad = settings(&provider);
    bad.client_secret = Some("wrong".into());
    let server = platform(bad).await;
    assert_eq!(whole_way(&mut Browser::new(server.address)).await, error("oidc_failed"));
    let server = platform(settings(&provider)).await;
    let mut browser = Browser::new(server.address);
    for path in ["//evil.example", "https://evil.example/", "/elsewhere", "/base/%5Cx"] {
        let refused = browser.get(&format!("/auth/oidc/start?return_to={path}")).await;
        assert_eq!(refused.status, 400, "{path}");
    }
    let back = to_callback(&mut browser, "/base/").await;
    provider.set_person(&Value::Null);
    drop(provider);
    assert_eq!(led(&browser.visit(&back).await), error("oidc_failed"));
    // Without settings there is nothing.
    let server = Running::start_with(options()).await;
    assert_eq!(Browser::new(server.address).get("/auth/oidc/start").await.status, 404);
}

/// A page somewhere in the web can show pictures that lead here, and must not lock out whoever
/// looks at it, nor everybody behind the same address.
#[tokio::test]
async fn who_comes_back_from_nowhere_has_tried_nothing() {
    let provider = provider().await;
    let server = platform(settings(&provider)).await;
    let mut led_astray = Browser::new(server.address);
    for number in 0..60 {
        let page = led_astray.get(&format!("/auth/oidc/callback?n={number}")).await;
        assert_eq!(led(&page), error("oidc_expired"));
    }
    for number in 0..60 {
        let mut browser = Browser::new(server.address);
        // One that set out, and comes back with the state of another.
        browser.get("/auth/oidc/start").await;
        assert!(browser.cookie("__Host-tributary_oidc").is_some());
        let page = browser.get(&format!("/auth/oidc/callback?code=x&state=s{number}")).await;
        assert_eq!(led(&page), error("oidc_expired"));
    }
    let failed = async || {
        let events = events(&server).await;
        events.iter().filter(|(kind, _)| kind.starts_with("sign_in_")).count()
    };
    assert_eq!(failed().await, 0);
    // A code could be guessed.
    let mut browser = Browser::new(server.address);
    let mut back = to_callback(&mut browser, "/base/").await;
    let pairs: Vec<(String, String)> = back.query_pairs().into_owned().collect();
    let guessed = |(name, value): &(String, String)| {
        let value = if name == "code" { "guessed" } else { value };
        (name.clone(), value.to_owned())
    };
    back.query_pairs_mut().clear().extend_pairs(pairs.iter().map(guessed));
    assert_eq!(led(&browser.visit(&back).await), error("oidc_failed"));
    assert_eq!(failed().await, 1);
    assert_eq!(whole_way(&mut Browser::new(server.address)).await, "/base/buckets");
}
