//! A certified OpenID Provider, installed and started by the tests.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

use crate::peers::from_npm;

const VERSION: &str = "oidc-provider@9.13.3";

/// The secret of its clients `tributary`, `ps` and `es`, which sign with RS256, PS256 and ES256;
/// the client `public` has none. It has characters that have to be encoded.
pub const SECRET: &str = "s3cret:/+ %";

/// A provider of its own; it ends when this is dropped.
pub struct OidcProvider {
    pub issuer: String,
    process: Child,
    commands: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Drop for OidcProvider {
    fn drop(&mut self) {
        // It ends with its standard input.
        drop(self.commands.take());
        drop(self.process.wait());
    }
}

impl OidcProvider {
    /// Starts a provider that sends people back to `redirect_uri`.
    ///
    /// # Panics
    ///
    /// It cannot be installed or started.
    pub fn start(redirect_uri: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/oidc_provider/provider.mjs");
        let mut process = Command::new("node")
            .arg(script)
            .arg(from_npm(VERSION))
            .arg(redirect_uri)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // It warns about settings that are not for production.
            .stderr(Stdio::null())
            .spawn()
            .expect("node is needed for oidc-provider");
        let commands = process.stdin.take();
        let mut answers = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = answers.next().expect("oidc-provider did not start").unwrap();
        let issuer = format!("http://127.0.0.1:{port}");
        Self { issuer, process, commands, answers }
    }

    fn tell(&mut self, command: &Value) {
        let commands = self.commands.as_mut().unwrap();
        writeln!(commands, "{command}").unwrap();
        assert_eq!(self.answers.next().unwrap().unwrap(), "ok");
    }

    /// Who signs in from now on: `{"sub": …, "email": …}`; null refuses.
    ///
    /// # Panics
    ///
    /// The provider has ended.
    pub fn set_person(&mut self, claims: &Value) {
        self.tell(&json!({ "person": claims }));
    }

    /// What is wrong with the ID tokens from now on; the script has the names.
    ///
    /// # Panics
    ///
    /// The provider has ended.
    pub fn spoil(&mut self, what: Option<&str>) {
        self.tell(&json!({ "spoil": what }));
    }
}
