//! Files that are no JSON object, and keys that do not exist.

use expect_test::expect;

use super::{check, check_keys, check_mailboxes};

#[test]
fn an_empty_file() {
    check(" \n", expect!["error: config `ews.json`: is empty; allowed: one JSON object"]);
}

#[test]
fn a_comma_too_many() {
    check(
        "{\n  \"host\": \"mail.example.com\",\n}",
        expect!["error: config `ews.json`: line 3, column 1 is not valid JSON: trailing comma"],
    );
}

#[test]
fn a_file_that_was_cut() {
    check(
        "{\n  \"host\": \"mail.exam",
        expect![
            "error: config `ews.json`: line 2, column 20 is not valid JSON: EOF while parsing a string"
        ],
    );
}

#[test]
fn something_behind_the_object() {
    check(
        "{}\n{}",
        expect![
            "error: config `ews.json`: line 2, column 1 is not valid JSON: trailing characters"
        ],
    );
}

#[test]
fn single_quotes() {
    check(
        "{'host': 'mail.example.com'}",
        expect![
            "error: config `ews.json`: line 1, column 2 is not valid JSON: key must be a string"
        ],
    );
}

#[test]
fn a_list_instead_of_an_object() {
    check(
        "[]",
        expect!["error: config `ews.json`: the file is an empty list; allowed: an object `{…}`"],
    );
}

#[test]
fn bytes_that_are_no_text() {
    check(
        b"{\n\"host\": \"\xff\"}",
        expect!["error: config `ews.json`: line 2 is not valid UTF-8"],
    );
}

#[test]
fn a_file_in_utf_16() {
    check(b"\xff\xfe{\0}\0", expect!["error: config `ews.json`: is UTF-16; allowed: UTF-8"]);
}

#[test]
fn nesting_without_end() {
    check(
        "[".repeat(100_000),
        expect![
            "error: config `ews.json`: line 1, column 128 is not valid JSON: recursion limit exceeded"
        ],
    );
}

#[test]
fn a_number_that_is_too_long() {
    check_keys(
        r#""poll_frequency": 1e999"#,
        expect![
            "error: config `ews.json`: line 4, column 37 is not valid JSON: number out of range"
        ],
    );
}

#[test]
fn a_file_that_is_too_large() {
    check(
        " ".repeat((16 << 20) + 1),
        expect!["error: config `ews.json`: is too large; allowed: 16777216 bytes"],
    );
}

#[test]
fn a_misspelt_key() {
    check_keys(
        r#""email_per_folder": 5"#,
        expect![
            "error: config `ews.json`: unknown key `email_per_folder`; did you mean `emails_per_folder`?"
        ],
    );
}

#[test]
fn a_misspelt_secret_is_not_shown() {
    check_keys(
        r#""auth_pasword": "hunter3""#,
        expect![
            "error: config `ews.json`: unknown key `auth_pasword`; did you mean `auth_password`?"
        ],
    );
}

#[test]
fn a_key_in_other_letters() {
    check_keys(
        r#""Poll-Frequency": 15"#,
        expect![
            "error: config `ews.json`: unknown key `Poll-Frequency`; did you mean `poll_frequency`?"
        ],
    );
}

#[test]
fn a_key_like_no_other() {
    check_keys(
        r#""colour": "blue""#,
        expect![
            "error: config `ews.json`: unknown key `colour`; the configuration reference lists the keys"
        ],
    );
}

#[test]
fn an_unknown_key_of_a_mailbox() {
    check_mailboxes(
        r#"{"abc@example.com": {"bucket": {"owner": "o", "name": "n"}, "start_time": "x"}}"#,
        expect![
            "error: config `ews.json`: unknown key `mailboxes.abc@example.com.start_time`; allowed: `bucket`, `folders_allow`, `folders_deny`, `start_from` or `start_timestamp`"
        ],
    );
}

#[test]
fn an_unknown_key_of_a_bucket() {
    check_mailboxes(
        r#"{"abc@example.com": {"bucket": {"project": "o", "name": "n"}}}"#,
        expect![[r#"
            error: config `ews.json` has 2 errors:
            - unknown key `mailboxes.abc@example.com.bucket.project`; allowed: `name` or `owner`
            - `mailboxes.abc@example.com.bucket.owner` is missing"#]],
    );
}

#[test]
fn a_key_with_a_line_break() {
    check_keys(
        r#""a\nb\u001b[31m": 1"#,
        expect![[
            r#"error: config `ews.json`: unknown key `"a\nb\u001b[31m"`; the configuration reference lists the keys"#
        ]],
    );
}

#[test]
fn a_key_written_twice() {
    check_keys(
        r#""host": "https://other.example.com""#,
        expect!["error: config `ews.json`: `host` is written twice; allowed: once"],
    );
}

#[test]
fn a_mailbox_written_twice() {
    check_mailboxes(
        r#"{"abc@example.com": {"bucket": {"owner": "o", "name": "n"}},
            "abc@example.com": {"bucket": {"owner": "o", "name": "m"}}}"#,
        expect![
            "error: config `ews.json`: `mailboxes.abc@example.com` is written twice; allowed: once"
        ],
    );
}

#[test]
fn a_mailbox_written_twice_in_other_letters() {
    check_mailboxes(
        r#"{"abc@example.com": {"bucket": {"owner": "o", "name": "n"}},
            "ABC@Example.com": {"bucket": {"owner": "o", "name": "m"}}}"#,
        expect![
            "error: config `ews.json`: `mailboxes.ABC@Example.com` and `mailboxes.abc@example.com` are the same mailbox; allowed: one of the two"
        ],
    );
}
