//! NTLM against implementations that share no line with ours: pyspnego and curl.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
};

use net::{
    ChannelBinding, Endpoint, Identity, Login, NetError, Session, TlsSettings,
    channel_binding::tls_server_end_point, ntlm::Binding,
};
use record::Secret;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::OnceCell,
};

use crate::{
    desk::Desk,
    limits, say,
    server::{Server, ok},
    tls::Certificate,
    transport,
};

const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers");

/// A Python with pyspnego, installed once beside the build's other products.
async fn python() -> &'static Path {
    static PYTHON: OnceCell<PathBuf> = OnceCell::const_new();
    PYTHON
        .get_or_init(|| async {
            let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../peers/pyspnego");
            let python = home.join("bin/python");
            let wanted = std::fs::read_to_string(format!("{PEERS}/requirements.txt")).unwrap();
            // Written last, so that an installation that was cut short is done again.
            let installed = home.join("installed.txt");
            if std::fs::read_to_string(&installed).is_ok_and(|found| found == wanted) {
                return python;
            }
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home)).await;
            let install = ["-m", "pip", "install", "--quiet", "--no-deps", "-r"];
            run(Command::new(&python).args(install).arg(format!("{PEERS}/requirements.txt"))).await;
            std::fs::write(installed, wanted).unwrap();
            python
        })
        .await
}

/// Runs `command` to its end; a command that is missing or fails is a failed test.
async fn run(command: &mut Command) -> String {
    let output = command.kill_on_drop(true).stdin(Stdio::null()).output().await;
    let output = output.unwrap_or_else(|err| panic!("{command:?} did not start: {err}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {error}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// pyspnego behind HTTPS; ends when it is dropped.
struct Acceptor {
    port: String,
    ca_file: PathBuf,
    _process: Child,
}

impl Acceptor {
    /// `name` keeps the files of tests apart.
    async fn start(name: &str, binding_required: bool) -> Self {
        let certificate = Certificate::new("127.0.0.1", 10);
        let ca_file = certificate.ca_file(&format!("{name}.pem"));
        let key = ca_file.with_extension("key");
        std::fs::write(&key, certificate.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        let token = tls_server_end_point(&certificate.x509).unwrap();
        let token = match binding_required {
            true => token.iter().map(|byte| format!("{byte:02x}")).collect(),
            false => "-".to_owned(),
        };
        let mut process = Command::new(python().await)
            .arg(format!("{PEERS}/ntlm_server.py"))
            .args([&ca_file, &key])
            .args([&token, r"EXAMPLE:ana", "hunter2"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next_line().await.unwrap().expect("the port");
        Self { port, ca_file, _process: process }
    }

    fn session(&self, password: &str, binding: ChannelBinding) -> Session {
        let tls = TlsSettings { ca_file: Some(self.ca_file.clone()), ..TlsSettings::default() };
        let url = format!("https://127.0.0.1:{}/EWS/Exchange.asmx", self.port);
        let login = Login::ntlm(r"EXAMPLE\ana", Secret::from(password), binding);
        let endpoint = Endpoint::new(&url, transport(&tls, limits())).unwrap();
        Session::new(endpoint, Identity::Password(login))
    }

    async fn curl(&self) -> String {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--ntlm", "--user", r"EXAMPLE\ana:hunter2", "--cacert"])
            .arg(&self.ca_file)
            .args(["--output", "/dev/null", "--write-out", "%{http_code}"])
            .arg(format!("https://127.0.0.1:{}/", self.port));
        run(&mut curl).await
    }
}

#[tokio::test]
async fn pyspnego_that_requires_channel_binding_lets_us_in_with_it_only() {
    let acceptor = Acceptor::start("required", true).await;
    let mut bound = acceptor.session("hunter2", ChannelBinding::Auto);
    for text in ["one", "two"] {
        let answer = format!(r"EXAMPLE\ana {text}");
        assert_eq!(say(&mut bound, text).await.unwrap(), (200, answer));
    }
    let unbound = say(&mut acceptor.session("hunter2", ChannelBinding::Off), "x").await;
    assert!(matches!(unbound, Err(NetError::Unauthorized { .. })), "{unbound:?}");
    // The control: a client of which it is known that it sends no binding.
    assert_eq!(acceptor.curl().await, "401");
}

#[tokio::test]
async fn pyspnego_that_requires_nothing_lets_us_in_either_way() {
    let acceptor = Acceptor::start("optional", false).await;
    for binding in [ChannelBinding::Auto, ChannelBinding::Off] {
        let (status, _) = say(&mut acceptor.session("hunter2", binding), "x").await.unwrap();
        assert_eq!(status, 200, "{binding:?}");
    }
    let refused = say(&mut acceptor.session("wrong", ChannelBinding::Auto), "x").await;
    assert!(matches!(refused, Err(NetError::Unauthorized { .. })), "{refused:?}");
    assert_eq!(acceptor.curl().await, "200");
}

/// A server that lets in whoever our acceptor accepts, and the bindings that were presented.
async fn our_acceptor(password: &'static str) -> (Server, Arc<Mutex<Vec<Binding>>>) {
    let mut desk = Desk::new(password);
    let presented = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&presented);
    desk.binding_is_good = Box::new(move |binding| {
        log.lock().unwrap().push(binding);
        true
    });
    let server = Server::start(move |request| desk.refuse(request).unwrap_or_else(|| ok("in")));
    (server.await, presented)
}

#[tokio::test]
async fn curl_is_accepted_by_our_acceptor() {
    let (server, presented) = our_acceptor("hunter2").await;
    for (user, expected) in [
        (r"EXAMPLE\ana:hunter2", "200"),
        ("ana@example.com:hunter2", "200"),
        (r"EXAMPLE\ana:wrong", "401"),
    ] {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--ntlm", "--user", user, "--output", "/dev/null"]).args([
            "--write-out",
            "%{http_code}",
            &server.url(),
        ]);
        assert_eq!(run(&mut curl).await, expected, "{user}");
    }
    assert_eq!(*presented.lock().unwrap(), [Binding::Absent; 2]);
}

#[tokio::test]
async fn pyspnego_is_accepted_by_our_acceptor() {
    let (server, _) = our_acceptor("hunter2 é").await;
    let port = server.address.port().to_string();
    for (password, expected) in [("hunter2 é", "200 True"), ("wrong", "401 True")] {
        let mut client = Command::new(python().await);
        client.arg(format!("{PEERS}/ntlm_client.py")).args([
            "127.0.0.1",
            &port,
            r"EXAMPLE\ana",
            password,
        ]);
        assert_eq!(run(&mut client).await, expected);
    }
}
