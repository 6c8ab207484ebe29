//! Mailboxes, buckets, times and folders that are none.

use appliance::config::parse;
use expect_test::expect;

use super::{check, check_keys, check_mailboxes};
use crate::environment;

#[test]
fn no_mailbox() {
    check_mailboxes(
        "{}",
        expect!["error: config `ews.json`: `mailboxes` is empty; allowed: at least one mailbox"],
    );
    check_mailboxes(
        "null",
        expect!["error: config `ews.json`: `mailboxes` is `null`; allowed: an object `{…}`"],
    );
    check(
        r#"{"host": "https://mail.example.com"}"#,
        expect!["error: config `ews.json`: `mailboxes` is missing"],
    );
}

#[test]
fn an_address_that_is_none() {
    check_mailboxes(
        r#"{"abc": {"bucket": {"owner": "o", "name": "n"}}}"#,
        expect![
            "error: config `ews.json`: `mailboxes.abc` is not the address of a mailbox; allowed: an address such as `abc@example.com`"
        ],
    );
}

#[test]
fn a_bucket_that_would_leave_its_folder() {
    check_mailboxes(
        r#"{"abc@example.com": {"bucket": {"owner": "..", "name": "a b"}}}"#,
        expect![[r#"
            error: config `ews.json` has 2 errors:
            - `mailboxes.abc@example.com.bucket.owner` is `".."`; allowed: 1 to 256 letters, digits, `-` or `_`
            - `mailboxes.abc@example.com.bucket.name` is `"a b"`; allowed: 1 to 256 letters, digits, `-` or `_`"#]],
    );
}

#[test]
fn half_a_bucket() {
    check_mailboxes(
        r#"{"abc@example.com": {"bucket": {"owner": "o"}}}"#,
        expect!["error: config `ews.json`: `mailboxes.abc@example.com.bucket.name` is missing"],
    );
    check_mailboxes(
        r#"{"abc@example.com": {}}"#,
        expect!["error: config `ews.json`: `mailboxes.abc@example.com.bucket` is missing"],
    );
    check_mailboxes(
        r#"{"abc@example.com": {"bucket": null}}"#,
        expect![
            "error: config `ews.json`: `mailboxes.abc@example.com.bucket` is `null`; allowed: an object `{…}`"
        ],
    );
}

#[test]
fn times_that_are_none() {
    for time in ["2020-01-01", "2020-01-01T00:00:00", "2020-02-30T00:00:00Z", "yesterday"] {
        let expected = expect![
            "error: config `ews.json`: `mailboxes.abc@example.com.start_timestamp` is `\"TIME\"`; allowed: a date and time with an offset, such as `\"2020-01-01T00:00:00+00:00\"`"
        ];
        let message = expected.data().replace("TIME", time);
        let text = format!(
            r#"{{"host": "https://mail.example.com", "auth_user": "u", "auth_password": "hunter2",
                "mailboxes": {{"abc@example.com": {{"bucket": {{"owner": "o", "name": "n"}},
                "start_timestamp": "{time}"}}}}}}"#
        );
        let error = parse(text.as_bytes(), "ews.json", &environment(&[])).unwrap_err();
        assert_eq!(format!("error: {error}"), message);
    }
}

#[test]
fn patterns_that_are_none() {
    check_keys(
        r#""folders_allow": [], "folders_deny": ["", "Inbox//a", "a**", "Inbox\\"]"#,
        expect![[r#"
            error: config `ews.json` has 5 errors:
            - `folders_allow` is an empty list; allowed: at least one pattern, such as `"**"` for every folder
            - `folders_deny[0]` is `""`; allowed: a folder pattern such as `Inbox/**`, not empty
            - `folders_deny[1]` is `"Inbox//a"`; allowed: a folder pattern such as `Inbox/**`, with a name between each two `/`
            - `folders_deny[2]` is `"a**"`; allowed: a folder pattern with `**` only as a whole part, such as `Inbox/**`
            - `folders_deny[3]` is `"Inbox\\"`; allowed: a folder pattern in which another character follows each `\`"#]],
    );
    check_keys(
        r#""folders_allow": ["Inbox", 5]"#,
        expect!["error: config `ews.json`: `folders_allow[1]` is `5`; allowed: a string"],
    );
}
