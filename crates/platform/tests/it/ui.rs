//! The web UI as a browser is served it, whether it is in this program or not.

use platform::Options;
use testkit::platform_contract::client::{Answer, Client, whole};

use crate::server::Running;

async fn ask(client: &mut Client, path: &str, headers: &[(&str, &str)]) -> Answer {
    // A browser that is not signed in.
    client.token = String::new();
    let mut request = hyper::Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client.try_send(request, whole("")).await.unwrap()
}

const BROWSER: &[(&str, &str)] = &[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];

#[tokio::test]
async fn pages_are_served_to_browsers_behind_a_strict_policy() {
    let server = Running::start().await;
    let mut client = server.client().await;
    for (path, status) in [
        ("/", 200),
        ("/p/acme/buckets/mail", 200),
        ("/p/a%2Fb/sources/%3Cx%40y%3E", 200),
        ("/sign-in?return_to=/users", 200),
        ("/nowhere", 404),
    ] {
        let answer = ask(&mut client, path, BROWSER).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        for needed in ["default-src 'none'", "script-src 'self';", "frame-ancestors 'none'"] {
            assert!(policy.contains(needed), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        let page = String::from_utf8(answer.body.clone()).unwrap();
        let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
        assert!(nonce.len() == 32 && page.contains(nonce), "{path}");
        assert!(!page.contains("%BASE%") && !page.contains("%NONCE%"), "{page}");
    }
}

#[tokio::test]
async fn what_is_the_apis_stays_the_apis() {
    let server = Running::start().await;
    let mut client = server.client().await;
    for path in ["/api/_private/projects", "/api/_private/nowhere", "/auth/user", "/api"] {
        let answer = ask(&mut client, path, BROWSER).await;
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.message().contains("token"), "{path}");
    }
    // A program that is lost hears the API, not a page.
    assert_eq!(ask(&mut client, "/p/acme", &[]).await.status, 401);
    assert_eq!(ask(&mut client, "/assets/gone-00000000.js", BROWSER).await.status, 404);
}

#[tokio::test]
async fn below_a_base_path_the_page_knows_it() {
    let options = Options { base_path: "/mail".to_owned(), ..Options::default() };
    let server = Running::start_with(options).await;
    let mut client = server.client().await;
    for path in ["/mail", "/mail/", "/mail/p/acme"] {
        let answer = ask(&mut client, path, BROWSER).await;
        assert_eq!(answer.status, 200, "{path}");
        let page = String::from_utf8(answer.body.clone()).unwrap();
        let built = page.contains("<base");
        assert!(!built || page.contains("<base href=\"/mail/\""), "{page}");
    }
    assert_eq!(ask(&mut client, "/p/acme", BROWSER).await.status, 401);
}
