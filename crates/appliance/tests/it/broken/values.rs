//! Values of the wrong type or out of range.

use appliance::config::parse;
use expect_test::expect;

use super::{check, check_keys};
use crate::{config, environment};

#[test]
fn a_number_in_quotes() {
    check_keys(
        r#""poll_frequency": "15""#,
        expect![[
            r#"error: config `ews.json`: `poll_frequency` is `"15"`; allowed: a number from 0.1 to 86400, without quotes"#
        ]],
    );
}

#[test]
fn a_boolean_in_quotes() {
    check_keys(
        r#""include_drafts": "true""#,
        expect![[
            r#"error: config `ews.json`: `include_drafts` is `"true"`; allowed: `true` or `false`, without quotes"#
        ]],
    );
}

#[test]
fn numbers_out_of_range() {
    check_keys(
        r#""max_concurrent_uploads": 33, "emails_per_folder": 0, "reinfer_batch_size": 1001,
           "port": 65536, "poll_frequency": -1, "connect_timeout": 5, "poll_message_sleep": -0.1"#,
        expect![[r#"
            error: config `ews.json` has 7 errors:
            - `max_concurrent_uploads` is `33`; allowed: a whole number from 0 to 32
            - `emails_per_folder` is `0`; allowed: a whole number from 1 to 100000
            - `reinfer_batch_size` is `1001`; allowed: a whole number from 1 to 1000
            - `port` is `65536`; allowed: a whole number from 1 to 65535
            - `poll_frequency` is `-1`; allowed: a number from 0.1 to 86400
            - `connect_timeout` is `5`; allowed: a number from 10 to 60
            - `poll_message_sleep` is `-0.1`; allowed: a number from 0 to 3600"#]],
    );
}

#[test]
fn a_fraction_of_an_upload() {
    check_keys(
        r#""max_concurrent_uploads": 1.5"#,
        expect![
            "error: config `ews.json`: `max_concurrent_uploads` is `1.5`; allowed: a whole number from 0 to 32"
        ],
    );
}

#[test]
fn a_word_that_is_not_among_the_allowed() {
    check_keys(
        r#""auth_type": "ntml", "access_type": "Delegate", "ews_ssl_verify": "no",
           "ews_channel_binding": "on", "ews_server_version": "Exchange2013SP1""#,
        expect![[r#"
            error: config `ews.json` has 5 errors:
            - `auth_type` is `"ntml"`; allowed: `"ntlm"`, `"oauth2"` or `"basic"`; did you mean `"ntlm"`?
            - `access_type` is `"Delegate"`; allowed: `"delegate"` or `"impersonation"`; did you mean `"delegate"`?
            - `ews_ssl_verify` is `"no"`; allowed: `"true"`, `"false"`, `true` or `false`
            - `ews_channel_binding` is `"on"`; allowed: `"auto"` or `"off"`
            - `ews_server_version` is `"Exchange2013SP1"`; allowed: `"Exchange2007_SP1"`, `"Exchange2010"`, `"Exchange2010_SP1"`, `"Exchange2010_SP2"`, `"Exchange2013"`, `"Exchange2013_SP1"` or `"Exchange2016"`; did you mean `"Exchange2013_SP1"`?"#]],
    );
}

#[test]
fn a_secret_of_the_wrong_type_is_not_shown() {
    check(
        config("").replace(r#""hunter2""#, "[\"hunter2\"]"),
        expect!["error: config `ews.json`: `auth_password` is not a string; allowed: a string"],
    );
    check(
        config("").replace(r#""hunter2""#, "12345"),
        expect!["error: config `ews.json`: `auth_password` is not a string; allowed: a string"],
    );
}

#[test]
fn an_object_instead_of_a_text() {
    check_keys(
        r#""audit_email": {"to": "audit@example.com"}, "folders_allow": "Inbox""#,
        expect![[r#"
        error: config `ews.json` has 2 errors:
        - `audit_email` is an object; allowed: a string
        - `folders_allow` is `"Inbox"`; allowed: a list of at most 1000 strings"#]],
    );
}

#[test]
fn a_long_value_is_cut() {
    check_keys(
        &format!(r#""auth_type": "{}""#, "x".repeat(500)),
        expect![[
            r#"error: config `ews.json`: `auth_type` is `"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…"`; allowed: `"ntlm"`, `"oauth2"` or `"basic"`"#
        ]],
    );
}

#[test]
fn a_reply_smaller_than_an_email() {
    check_keys(
        r#""max_email_size": 100000000, "response_size_cap": 100000000"#,
        expect![
            "error: config `ews.json`: `response_size_cap` is `100000000`, too little for an email of `max_email_size`; allowed: at least 134381912, or a smaller `max_email_size`"
        ],
    );
}

#[test]
fn an_audit_address_that_is_none() {
    check_keys(
        r#""audit_email": "nobody", "ews_ssl_ciphers": "", "ews_ca_file": """#,
        expect![[r#"
        error: config `ews.json` has 3 errors:
        - `ews_ssl_ciphers` is `""`; allowed: an OpenSSL cipher list, such as `ECDHE+AESGCM:AES256-SHA`
        - `ews_ca_file` is empty; allowed: the path of a PEM file
        - `audit_email` is `"nobody"`; allowed: an address such as `audit@example.com`"#]],
    );
}

#[test]
fn a_hundred_mistakes_are_not_all_listed() {
    let keys: Vec<String> = (0..100).map(|n| format!(r#""wrong {n}": 0"#)).collect();
    let text = config(&keys.join(","));
    let error = parse(text.as_bytes(), "ews.json", &environment(&[])).unwrap_err();
    let message = error.to_string();
    assert_eq!(message.lines().count(), 22, "{message}");
    assert!(message.ends_with("- and 80 more"), "{message}");
    assert_eq!(error.problems().len(), 100);
}
