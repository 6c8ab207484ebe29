//! Broken configurations, each with the message that its author sees.

mod form;
mod graph;
mod mailboxes;
mod server;
mod values;

use appliance::config::parse;
use expect_test::{Expect, expect};

use crate::{config, environment};

#[track_caller]
pub(crate) fn check_with(variables: &[(&str, &str)], text: impl AsRef<[u8]>, expected: Expect) {
    let actual = match parse(text.as_ref(), "ews.json", &environment(variables)) {
        Ok(settings) => format!("accepted; warnings: {:#?}", settings.warnings),
        Err(error) => format!("error: {error}"),
    };
    expected.assert_eq(&actual);
}

#[track_caller]
pub(crate) fn check(text: impl AsRef<[u8]>, expected: Expect) {
    check_with(&[], text, expected);
}

/// The working configuration with `keys` added.
#[track_caller]
pub(crate) fn check_keys(keys: &str, expected: Expect) {
    check(config(keys), expected);
}

/// The working configuration with its mailboxes replaced.
#[track_caller]
pub(crate) fn check_mailboxes(mailboxes: &str, expected: Expect) {
    let text = format!(
        r#"{{"host": "https://mail.example.com", "auth_user": "u", "auth_password": "hunter2",
            "mailboxes": {mailboxes}}}"#
    );
    check(text, expected);
}

/// A configuration for OAuth with `keys`.
#[track_caller]
pub(crate) fn check_oauth(keys: &str, expected: Expect) {
    let text = format!(
        r#"{{"ews_endpoint": "https://outlook.office365.com/EWS/Exchange.asmx",
            "auth_type": "oauth2", "access_type": "impersonation",
            "mailboxes": {{"abc@example.com": {{"bucket": {{"owner": "o", "name": "n"}}}}}},
            {keys}}}"#
    );
    check(text, expected);
}

#[test]
fn the_base_of_these_tests_is_accepted() {
    check_keys("", expect!["accepted; warnings: []"]);
    check_mailboxes(
        r#"{"abc@example.com": {"bucket": {"owner": "o", "name": "n"}}}"#,
        expect!["accepted; warnings: []"],
    );
}
