//! The platform's official client library as a program: what it can read back is really there.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// Path of the program, which is built once for all runs, in `target/peers/reinfer`.
///
/// `PROGRAM MODE ENDPOINT OWNER/BUCKET [FILE]`, with the token in `REINFER_PEER_TOKEN` and, for
/// TLS, the certificate in `SSL_CERT_FILE`. `dump` prints each stored email and each keyed sync
/// state as a line of JSON, `upload FILE` uploads JSON lines, `exercise` tries everything.
///
/// # Panics
///
/// The program does not build.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let home = crates.join("../target/peers/reinfer");
        let manifest = crates.join("simulators/tests/peers/reinfer/Cargo.toml");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "--manifest-path"]).arg(manifest);
        cargo.arg("--target-dir").arg(&home);
        // The library asks for an OpenSSL that is compiled with it, which takes minutes; the one
        // of the system, which we need anyway, does as well.
        cargo.env("OPENSSL_NO_VENDOR", "1");
        // What is set for this workspace is not meant for the other.
        cargo.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
        let output = cargo.stdin(Stdio::null()).output().expect("cargo can be started");
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the official client does not build:\n{complained}");
        home.join("debug/reinfer-peer")
    })
}
