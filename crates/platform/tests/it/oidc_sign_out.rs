//! Signing out at the provider of OpenID Connect, and coming back from there.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use url::Url;

use crate::{
    oidc::{error, led, platform, provider, settings, whole_way},
    sign_in::signed_in,
    visitor::Browser,
};

const SIGNED_OUT: &str = "https://mail.example.com/base/auth/oidc/signed-out";

/// What stands in a page behind `start`, up to a quotation mark.
fn behind<'a>(page: &'a str, start: &str) -> &'a str {
    page.split_once(start).unwrap().1.split_once('"').unwrap().0
}

/// Signs out, and tells where the browser is to go on.
async fn sign_out(browser: &mut Browser) -> Value {
    let answer = browser.post("/auth/sign-out", json!({})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(browser.cookie("__Host-tributary_session"), None);
    answer.json()["continue_at"].clone()
}

#[tokio::test]
async fn who_signs_out_is_asked_for_the_password_again() {
    let mut provider = provider().await;
    let server = platform(settings(&provider)).await;
    let mut browser = Browser::new(server.address);
    assert_eq!(whole_way(&mut browser).await, "/base/buckets");
    // The provider knows the browser: whoever sits there now is let in, and asked nothing.
    provider.set_person(&Value::Null);
    assert_eq!(whole_way(&mut browser).await, "/base/buckets");
    let url: Url = sign_out(&mut browser).await.as_str().unwrap().parse().unwrap();
    assert_eq!(browser.get("/auth/user").await.status, 401);
    let told: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    // Nothing about the person, who would stand in logs.
    let names: Vec<_> = told.keys().map(String::as_str).collect();
    assert_eq!(names, ["client_id", "post_logout_redirect_uri", "state"]);
    let asked = browser.visit(&url).await;
    let page = String::from_utf8(asked.body).unwrap();
    let action: Url = behind(&page, "action=\"").parse().unwrap();
    let fields = [("xsrf", behind(&page, "name=\"xsrf\" value=\"")), ("logout", "yes")];
    let done = browser.submit(&action, &fields).await;
    let (_, back) = browser.follow(done, SIGNED_OUT).await;
    let back = back.unwrap();
    assert_eq!(led(&browser.visit(&back).await), "/base/sign-in?signed_out=oidc");
    assert_eq!(browser.cookie("__Host-tributary_oidc"), None);
    assert_eq!(led(&browser.visit(&back).await), "/base/sign-in");
    // Nobody is there to give a password.
    assert_eq!(whole_way(&mut browser).await, error("oidc_denied"));
}

#[tokio::test]
async fn nobody_is_sent_to_a_provider_that_cannot_or_must_not_sign_them_out() {
    let mut provider = provider().await;
    for spoil in [None, Some("no sign-out"), Some("bad sign-out")] {
        let mut oidc = settings(&provider);
        oidc.local_sign_out = spoil.is_none();
        let server = platform(oidc).await;
        provider.spoil(spoil);
        let mut browser = Browser::new(server.address);
        assert_eq!(whole_way(&mut browser).await, "/base/buckets", "{spoil:?}");
        assert_eq!(sign_out(&mut browser).await, Value::Null, "{spoil:?}");
        assert_eq!(browser.cookie("__Host-tributary_oidc"), None, "{spoil:?}");
    }
    provider.spoil(None);
    // Who came with a password has no session there.
    let server = platform(settings(&provider)).await;
    let mut browser = signed_in(&server).await;
    assert_eq!(sign_out(&mut browser).await, Value::Null);
    // The state of a sign-in ends no sign-out, and leaves the sign-in as it was.
    let start = browser.get("/auth/oidc/start").await;
    let to: Url = start.header("location").unwrap().parse().unwrap();
    let state = to.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let path = format!("/auth/oidc/signed-out?state={state}");
    assert_eq!(led(&browser.get(&path).await), "/base/sign-in");
    assert!(browser.cookie("__Host-tributary_oidc").is_some());
}
