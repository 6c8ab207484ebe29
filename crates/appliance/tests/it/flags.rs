//! The command line: what is understood, and what is refused with which words.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use appliance::flags::{ConfigPlace, DebugLevel, Destination, Flags, LogFormat, Request, parse};
use expect_test::{Expect, expect};

use crate::environment;

fn try_flags(arguments: &[&str]) -> Result<Flags, String> {
    match parse(arguments.iter().map(OsString::from)) {
        Ok(Request::Run(flags)) => Ok(*flags),
        Ok(Request::Show(text)) => Err(text),
        Err(error) => Err(format!("error: {error}")),
    }
}

#[track_caller]
fn flags(arguments: &[&str]) -> Flags {
    try_flags(arguments).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn check(arguments: &[&str], expected: Expect) {
    expected.assert_eq(&try_flags(arguments).unwrap_err());
}

#[test]
fn the_documented_kubernetes_command_is_understood() {
    let flags = flags(&[
        "reinfer-ews",
        "--bind",
        "0.0.0.0:8000",
        "--reinfer-api-endpoint",
        "https://mydomain.example.com/api/",
        "--shard-name",
        "reinfer-ews-appliance-2",
        "--total-shards",
        "3",
    ]);
    assert_eq!(flags.bind, Some(([0, 0, 0, 0], 8000).into()));
    let shard = flags.shard().unwrap();
    assert_eq!((shard.ordinal(), shard.total()), (2, 3));
    let destination = flags.destination(&environment(&[("REINFER_API_TOKEN", "t")])).unwrap();
    let Destination::Platform(url) = destination else { panic!("{destination:?}") };
    assert_eq!(url.as_str(), "https://mydomain.example.com/api/");
}

#[test]
fn a_value_may_follow_an_equals_sign() {
    let flags = flags(&[
        "--local-files-prefix=/mnt/ews",
        "--remote-config-owner=o",
        "--remote-config-key=k",
        "--debug-level=2",
        "--log-format=json",
        "--shutdown-grace=2m",
        "--restart-on-unrecoverable-errors",
    ]);
    assert_eq!(flags.debug_level, DebugLevel::Full);
    assert_eq!(flags.log_format, Some(LogFormat::Json));
    assert_eq!(flags.shutdown_grace, Duration::from_secs(120));
    assert!(flags.restart_on_unrecoverable_errors);
}

#[test]
fn defaults_are_the_documented_ones() {
    let flags = flags(&[]);
    assert_eq!(flags.debug_level, DebugLevel::Service);
    assert_eq!(flags.shutdown_grace, Duration::from_secs(25));
    assert!(!flags.restart_on_unrecoverable_errors);
    assert_eq!(flags.bind, None);
}

#[test]
fn the_local_configuration_wins() {
    let flags = flags(&[
        "--local-files-prefix",
        "/mnt/ews",
        "--remote-config-owner",
        "owner",
        "--remote-config-key",
        "key",
    ]);
    assert_eq!(
        flags.config_place(&environment(&[])).unwrap(),
        ConfigPlace::File("/mnt/ews/config/owner/key.json".into())
    );
    assert_eq!(
        flags.config_place(&environment(&[("REINFER_EWS_CONFIG", "/mnt/c.json")])).unwrap(),
        ConfigPlace::File("/mnt/c.json".into())
    );
    assert_eq!(
        flags.destination(&environment(&[])).unwrap(),
        Destination::LocalFiles(PathBuf::from("/mnt/ews"))
    );
}

#[test]
fn a_remote_configuration_is_named_by_two_flags() {
    let arguments = ["--reinfer-api-endpoint=https://mydomain.example.com/api/"];
    let with = [arguments[0], "--remote-config-owner=o", "--remote-config-key=k"];
    assert_eq!(
        flags(&with).config_place(&environment(&[])).unwrap(),
        ConfigPlace::Remote { owner: "o".into(), key: "k".into() }
    );
    expect!["no configuration is given; allowed: the path of a file in the environment variable `REINFER_EWS_CONFIG`, or `--remote-config-owner OWNER` with `--remote-config-key KEY`"].assert_eq(
        &flags(&arguments).config_place(&environment(&[])).unwrap_err().to_string(),
    );
    check(
        &["--remote-config-owner", "o"],
        expect![
            "error: `--remote-config-owner` is given without `--remote-config-key`; give both or neither"
        ],
    );
    check(
        &["--remote-config-key", "k"],
        expect![
            "error: `--remote-config-key` is given without `--remote-config-owner`; give both or neither"
        ],
    );
    check(
        &["--remote-config-owner", "../x", "--remote-config-key", "k"],
        expect![
            "error: `--remote-config-owner` is `../x`; allowed: 1 to 200 letters, digits, `-`, `_` or `.`, not beginning with `.`"
        ],
    );
}

#[test]
fn destinations_exclude_each_other() {
    let endpoint = "--reinfer-api-endpoint=https://mydomain.example.com/api/";
    let folder = "--local-files-prefix=/mnt/ews";
    let container = "--private-file-prefix=az://account/container";
    check(
        &[endpoint, folder],
        expect![
            "error: `--reinfer-api-endpoint` and `--local-files-prefix` are both given; allowed: one of the two"
        ],
    );
    check(
        &[folder, endpoint],
        expect![
            "error: `--local-files-prefix` and `--reinfer-api-endpoint` are both given; allowed: one of the two"
        ],
    );
    check(
        &[endpoint, container],
        expect![
            "error: `--reinfer-api-endpoint` and `--private-file-prefix` are both given; allowed: one of the two"
        ],
    );
    check(
        &[container, folder],
        expect![
            "error: `--private-file-prefix` and `--local-files-prefix` are both given; allowed: one of the two"
        ],
    );
    let with_token = environment(&[("REINFER_TOKEN", "t")]);
    expect!["`--local-files-prefix` and the environment variable `REINFER_TOKEN` are both given; allowed: the flag to write files, or the variable with `--reinfer-api-endpoint`"].assert_eq(&flags(&[folder]).destination(&with_token).unwrap_err().to_string());
    expect!["no destination is given; allowed: one of `--local-files-prefix PATH`, `--reinfer-api-endpoint URL`, `--private-file-prefix az://ACCOUNT/CONTAINER` or `s3://BUCKET`"].assert_eq(&flags(&[]).destination(&with_token).unwrap_err().to_string());
    let without_config = flags(&[container]).config_place(&environment(&[])).unwrap_err();
    expect!["no configuration is given; with `--private-file-prefix` the environment variable `REINFER_EWS_CONFIG` must name the file"].assert_eq(&without_config.to_string());
}

#[test]
fn a_folder_may_be_named_by_a_url() {
    let remote = ["--remote-config-owner=o", "--remote-config-key=k"];
    let by_path = flags(&["--local-files-prefix=/mnt/my ews", remote[0], remote[1]]);
    let by_url = flags(&["--private-file-prefix=file:///mnt/my%20ews", remote[0], remote[1]]);
    let none = environment(&[]);
    let folder = Destination::LocalFiles("/mnt/my ews".into());
    assert_eq!(by_url.destination(&none), Ok(folder.clone()));
    assert_eq!(by_path.destination(&none), Ok(folder));
    assert_eq!(by_url.config_place(&none), by_path.config_place(&none));
    let with_token = by_url.destination(&environment(&[("REINFER_API_TOKEN", "t")])).unwrap_err();
    let told = with_token.to_string();
    assert!(told.starts_with("`--private-file-prefix` and the environment variable"), "{told}");
}

#[test]
fn a_misspelt_flag_gets_the_nearest_one() {
    check(
        &["--local-file-prefix", "/mnt/ews"],
        expect!["error: unknown flag `--local-file-prefix`; did you mean `--local-files-prefix`?"],
    );
    check(
        &["--totalshards=3"],
        expect!["error: unknown flag `--totalshards`; did you mean `--total-shards`?"],
    );
    check(
        &["--debuglevel", "2"],
        expect!["error: unknown flag `--debuglevel`; did you mean `--debug-level`?"],
    );
    check(&["--colour"], expect!["error: unknown flag `--colour`; `--help` lists the flags"]);
    check(&["-d", "2"], expect!["error: unknown flag `-d`; `--help` lists the flags"]);
}

#[test]
fn wrong_values_are_named_with_what_is_allowed() {
    check(
        &["--debug-level", "3"],
        expect!["error: `--debug-level` is `3`; allowed: `0`, `1` or `2`"],
    );
    check(
        &["--debug-level"],
        expect![
            "error: `--debug-level` has no value; write `--debug-level VALUE` or `--debug-level=VALUE`"
        ],
    );
    check(
        &["--bind", "8000"],
        expect![
            "error: `--bind` is `8000`; allowed: an IP address and a port, such as `0.0.0.0:8000`, `127.0.0.1:8000` or `[::]:8000`"
        ],
    );
    check(
        &["--bind", "a\nb\u{1b}[31m"],
        expect![[
            r#"error: `--bind` is `a\nb\u{1b}[31m`; allowed: an IP address and a port, such as `0.0.0.0:8000`, `127.0.0.1:8000` or `[::]:8000`"#
        ]],
    );
    check(
        &["--local-files-prefix", "az://account/container"],
        expect![
            "error: `--local-files-prefix` is `az://account/container`; allowed: the path of a folder, such as `/mnt/ews`"
        ],
    );
    check(
        &["--local-files-prefix="],
        expect![
            "error: `--local-files-prefix` is empty; allowed: the path of a folder, such as `/mnt/ews`"
        ],
    );
    for refused in ["s3://Bucket", "gs://bucket", "file://host/folder", "file:///a?b", "/mnt/ews"] {
        let told = appliance::flags::parse(["--private-file-prefix", refused].map(Into::into));
        let told = told.unwrap_err().to_string();
        assert!(told.contains("`s3://BUCKET`, either with `/PREFIX`"), "{told}");
        assert!(told.contains("`file:///FOLDER`"), "{told}");
        let of_google = told.contains("Google Cloud Storage is not supported");
        assert_eq!(of_google, refused.starts_with("gs:"), "{told}");
    }
    check(
        &["--private-file-prefix", "s3://Bucket"],
        expect![
            "error: `--private-file-prefix` is `s3://Bucket`; allowed: `az://ACCOUNT/CONTAINER` or `s3://BUCKET`, either with `/PREFIX`, without user, password, `?` or `#`, or `file:///FOLDER`: a bucket has 3 to 63 letters a-z, digits, hyphens and dots"
        ],
    );
    check(
        &["--private-file-prefix", "az://account/Emails"],
        expect![
            "error: `--private-file-prefix` is `az://account/Emails`; allowed: `az://ACCOUNT/CONTAINER` or `s3://BUCKET`, either with `/PREFIX`, without user, password, `?` or `#`, or `file:///FOLDER`: a container has 3 to 63 letters a-z, digits and single hyphens"
        ],
    );
    for good in ["az://account/container/a/prefix", "s3://bucket", "s3://bucket/a/prefix"] {
        let destination = flags(&["--private-file-prefix", good]).destination(&environment(&[]));
        let Destination::ObjectStore(place) = destination.unwrap() else { panic!("{good}") };
        assert_eq!(place.to_string(), good);
    }
    check(
        &["--reinfer-api-endpoint", "mydomain.example.com"],
        expect![
            "error: `--reinfer-api-endpoint` is `mydomain.example.com`; allowed: an address such as `https://mydomain.example.com/api/`, without user, password, `?` or `#`"
        ],
    );
    check(
        &["--log-format", "xml"],
        expect!["error: `--log-format` is `xml`; allowed: `text` or `json`"],
    );
    check(
        &["--shutdown-grace", "2h"],
        expect![
            "error: `--shutdown-grace` is `2h`; allowed: a time from `0s` to `3600s`, such as `60s` or `2m`"
        ],
    );
    check(
        &["--restart-on-unrecoverable-errors=maybe"],
        expect![
            "error: `--restart-on-unrecoverable-errors` is `maybe`; allowed: `true` or `false`, or the flag without a value"
        ],
    );
    check(
        &["--debug-level", "1", "--debug-level", "2"],
        expect!["error: `--debug-level` is given more than once; allowed: once"],
    );
    check(
        &["start"],
        expect![
            "error: unexpected argument `start`; allowed: flags such as `--local-files-prefix PATH`"
        ],
    );
}

#[test]
fn shard_flags_must_fit() {
    check(
        &["--shard-name", "ews-0"],
        expect![
            "error: `--shard-name` is given without `--total-shards`; give both or neither, for example `--shard-name ews-0 --total-shards 1`"
        ],
    );
    check(
        &["--total-shards", "2"],
        expect![
            "error: `--total-shards` is given without `--shard-name`; give both or neither, for example `--shard-name ews-0 --total-shards 1`"
        ],
    );
    check(
        &["--shard-name", "ews", "--total-shards", "2"],
        expect![
            "error: `--shard-name` is `ews`; allowed: a name that ends with a dash and the number of the shard, such as `ews-0`"
        ],
    );
    check(
        &["--shard-name", "ews-2", "--total-shards", "2"],
        expect![
            "error: `--shard-name` is `ews-2`, which is shard 2, but `--total-shards` is 2; allowed: a name that ends with a number from 0 to 1"
        ],
    );
    check(
        &["--shard-name", "ews-0", "--total-shards", "0"],
        expect!["error: `--total-shards` is `0`; allowed: a whole number from 1 to 4096"],
    );
    check(
        &["--shard-name", "ews-0", "--total-shards", "-1"],
        expect!["error: `--total-shards` is `-1`; allowed: a whole number from 1 to 4096"],
    );
    check(
        &["--shard-name", "ews-0", "--total-shards", "9999999999999"],
        expect![
            "error: `--total-shards` is `9999999999999`; allowed: a whole number from 1 to 4096"
        ],
    );
}

#[test]
fn a_secret_on_the_command_line_is_refused_and_not_shown() {
    for arguments in [
        &["--reinfer-api-token", "canary"][..],
        &["--token=canary"],
        &["--auth-password", "canary"],
        &["--reinfer-api-endpoint", "https://u:canary@mydomain.example.com/api/"],
        &["--reinfer-api-endpoint", "https://mydomain.example.com/api/?token=canary"],
        &["--private-file-prefix", "az://account/container?sig=canary"],
    ] {
        let error = try_flags(arguments).unwrap_err();
        assert!(error.starts_with("error: ") && !error.contains("canary"), "{error}");
    }
    check(
        &["--reinfer-api-token", "canary"],
        expect![
            "error: unknown flag `--reinfer-api-token`; secrets are not accepted on the command line, where every user of the machine can read them; allowed: the environment variables `REINFER_API_TOKEN` and `REINFER_EWS_AUTH_PASS`, or either with `_FILE`"
        ],
    );
    check(
        &["--reinfer-api-endpoint", "https://u:canary@mydomain.example.com/api/"],
        expect![
            "error: `--reinfer-api-endpoint` is `https://***@mydomain.example.com/api/`; allowed: an address such as `https://mydomain.example.com/api/`, without user, password, `?` or `#`"
        ],
    );
}

#[test]
fn http_needs_permission_except_on_this_machine() {
    check(
        &["--reinfer-api-endpoint", "http://mydomain.example.com/api/"],
        expect![
            "error: `--reinfer-api-endpoint` is `http://mydomain.example.com/api/`, and `http:` would show token and mail to everybody on the way; allowed: an `https:` address, `http:` on this machine, or `--allow-http-endpoint` as well"
        ],
    );
    let allowed =
        flags(&["--reinfer-api-endpoint=http://mydomain.example.com/", "--allow-http-endpoint"]);
    assert_eq!(allowed.warnings().len(), 1);
    for host in ["127.0.0.1:8080", "[::1]:8080", "localhost"] {
        let local = flags(&[&format!("--reinfer-api-endpoint=http://{host}/api/")]);
        assert_eq!(local.warnings(), [""; 0]);
    }
}

#[test]
fn help_and_version_are_shown() {
    let help = try_flags(&["--help"]).unwrap_err();
    assert!(help.contains("--local-files-prefix <PATH>"), "{help}");
    assert!(try_flags(&["--version"]).unwrap_err().starts_with("reinfer-ews "));
}
