//! Environment variables, and the files that they name.

use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use appliance::environment::Environment;
use expect_test::{Expect, expect};

use crate::{environment, try_environment};

fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, content).unwrap();
    path
}

#[track_caller]
fn check_error(variables: &[(&str, &str)], expected: Expect) {
    let error = try_environment(variables).unwrap_err();
    expected.assert_eq(&error.replace(env!("CARGO_TARGET_TMPDIR"), "TMP"));
}

#[test]
fn reads_a_secret_from_a_file_without_its_last_line_break() {
    for content in ["hunter2", "hunter2\n", "hunter2\r\n"] {
        let path = file("password", content.as_bytes());
        let environment = environment(&[("REINFER_EWS_AUTH_PASS_FILE", path.to_str().unwrap())]);
        let given = environment.auth_password.unwrap();
        assert_eq!(given.value.reveal(), "hunter2");
        assert_eq!(given.variable, "REINFER_EWS_AUTH_PASS_FILE");
    }
}

#[test]
fn both_names_of_the_token_are_read() {
    for name in ["REINFER_API_TOKEN", "REINFER_TOKEN"] {
        let token = environment(&[(name, "abc")]).api_token.unwrap();
        assert_eq!((token.value.reveal(), token.variable.as_str()), ("abc", name));
    }
    let both = environment(&[("REINFER_API_TOKEN", "abc"), ("REINFER_TOKEN", "abc")]);
    assert_eq!(both.api_token.unwrap().variable, "REINFER_API_TOKEN");
}

#[test]
fn nothing_counts_as_not_set() {
    let environment = environment(&[
        ("REINFER_API_TOKEN", ""),
        ("REINFER_EWS_CONFIG", ""),
        ("REINFER_EWS_AUTH_PASS_FILE", ""),
    ]);
    assert_eq!(environment, Environment::default());
}

#[test]
fn a_misspelt_variable_is_warned_about() {
    let environment = environment(&[
        ("REINFER_EWS_AUTH_PASSWORD", "hunter2"),
        ("REINFER_EWS_SERVICE_HOST", "10.0.0.7"),
        ("PATH", "/bin"),
    ]);
    expect![[r#"
        [
            "The environment variable `REINFER_EWS_AUTH_PASSWORD` is not known. Did you mean `REINFER_EWS_AUTH_PASS`?",
        ]
    "#]].assert_debug_eq(&environment.warnings);
}

#[test]
fn errors_name_variable_and_file() {
    let missing = Path::new(env!("CARGO_TARGET_TMPDIR")).join("missing");
    check_error(
        &[("REINFER_API_TOKEN_FILE", missing.to_str().unwrap())],
        expect![
            "the environment variable `REINFER_API_TOKEN_FILE` names the file `TMP/missing`, which cannot be read: No such file or directory (os error 2)"
        ],
    );
    let empty = file("empty", b"\n");
    check_error(
        &[("REINFER_EWS_AUTH_PASS_FILE", empty.to_str().unwrap())],
        expect![
            "the environment variable `REINFER_EWS_AUTH_PASS_FILE` names the file `TMP/empty`, which cannot be read: it is empty"
        ],
    );
    let binary = file("binary", b"\xff");
    check_error(
        &[("REINFER_EWS_AUTH_PASS_FILE", binary.to_str().unwrap())],
        expect![
            "the environment variable `REINFER_EWS_AUTH_PASS_FILE` names the file `TMP/binary`, which cannot be read: not UTF-8"
        ],
    );
    let large = file("large", &vec![b'x'; (1 << 20) + 1]);
    check_error(
        &[("REINFER_EWS_AUTH_PASS_FILE", large.to_str().unwrap())],
        expect![
            "the environment variable `REINFER_EWS_AUTH_PASS_FILE` names the file `TMP/large`, which cannot be read: it is larger than 1048576 bytes"
        ],
    );
    check_error(
        &[("REINFER_EWS_AUTH_PASS", "a"), ("REINFER_EWS_AUTH_PASS_FILE", "b")],
        expect![
            "the environment variables `REINFER_EWS_AUTH_PASS` and `REINFER_EWS_AUTH_PASS_FILE` are both set; allowed: one of the two"
        ],
    );
    check_error(
        &[("REINFER_API_TOKEN", "a"), ("REINFER_TOKEN", "b")],
        expect![
            "the environment variables `REINFER_API_TOKEN` and `REINFER_TOKEN` are both set; allowed: one of the two"
        ],
    );
    check_error(
        &[("REINFER_API_TOKEN", "a\nb")],
        expect![
            "the environment variable `REINFER_API_TOKEN` holds a blank, a line break or another character that no token has; allowed: printable ASCII characters"
        ],
    );
}

#[test]
fn bytes_that_are_no_text() {
    let value = OsString::from_vec(vec![0xff]);
    let error = Environment::read([("REINFER_EWS_HOST".into(), value.clone())]).unwrap_err();
    expect!["the environment variable `REINFER_EWS_HOST` is not valid UTF-8"]
        .assert_eq(&error.to_string());
    // A path may be any bytes.
    let environment = Environment::read([("REINFER_EWS_CONFIG".into(), value)]).unwrap();
    assert!(environment.config.is_some());
}
