//! Who signs in to a container, and what happens when the service refuses, is busy or gone: against
//! a small server that plays the Blob service or S3, the authority and the metadata service.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
    time::Duration,
};

use openssl::{
    asn1::Asn1Time,
    hash::MessageDigest,
    pkey::PKey,
    rsa::Rsa,
    x509::{X509Builder, X509NameBuilder},
};
use record::{Chain, Meter, Peer, Secret, Sink, SinkAdvice, SinkError};
use sinks::object_store::{
    Environment, Location, Objects, Options,
    azure::{AzureEnvironment, AzureLocation},
    s3::AwsEnvironment,
};

use crate::{azurite::transport, mail};

const TOKEN: &str = r#"{"access_token":"CanaryToken1","expires_in":"3600","token_type":"Bearer"}"#;
const NO_BLOB: &str = "HTTP/1.1 404 x\r\nx-ms-error-code: BlobNotFound\r\n";

/// Requests as they came: head and body in one text.
type Requests = Arc<Mutex<Vec<String>>>;

/// A server that answers each request with what `answer` makes of it.
pub(crate) struct Fake {
    pub(crate) url: String,
    requests: Requests,
}

impl Fake {
    /// `answer` gets the request and how many came before it. It gives the head, with its line
    /// ends, and the body; nothing closes the connection without an answer.
    pub(crate) fn start(
        mut answer: impl FnMut(&str, usize) -> Option<(String, String)> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Requests::default();
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let Some(request) = read(&stream) else { continue };
                let before = seen.lock().unwrap().len();
                seen.lock().unwrap().push(request.clone());
                let Some((head, body)) = answer(&request, before) else { continue };
                let length = body.len();
                let end = format!("Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
                let mut stream = stream;
                // Who has gone away needs no answer.
                stream.write_all(format!("{head}{end}").as_bytes()).ok();
            }
        });
        Self { url, requests }
    }

    /// An empty container for whoever has the token, and a service that hands out tokens.
    fn with_token(token: &'static str) -> Self {
        Self::start(move |request, _| {
            let bearer = format!("authorization: bearer {}", token.to_lowercase());
            Some(match request {
                _ if request.contains("/token") => ok(TOKEN),
                _ if request.to_lowercase().contains(&bearer) => (NO_BLOB.into(), String::new()),
                _ => ("HTTP/1.1 401 x\r\n".into(), String::new()),
            })
        })
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn open(&self, environment: AzureEnvironment) -> Objects {
        self.metered(environment, Arc::default())
    }

    fn metered(&self, environment: AzureEnvironment, meter: Arc<Meters>) -> Objects {
        let endpoint = Some(format!("{}/account", self.url));
        let azure = AzureEnvironment { endpoint, ..environment };
        open(location(), Environment { azure, ..Environment::default() }, meter)
    }

    /// With keys, whichever service it plays.
    fn by_key(&self, speaks: Speaks, meter: Arc<Meters>) -> Objects {
        if let Speaks::Azure = speaks {
            let account_key = Some(Secret::from("Q2FuYXJ5"));
            return self.metered(AzureEnvironment { account_key, ..nothing() }, meter);
        }
        let aws = AwsEnvironment {
            access_key_id: Some("AKIA".into()),
            secret_access_key: Some(Secret::from("CanarySecret")),
            endpoint: Some(self.url.clone()),
            ..AwsEnvironment::default()
        };
        let place = Location::of("s3://emails").unwrap();
        open(place, Environment { aws, ..Environment::default() }, meter)
    }
}

/// The service that is played.
#[derive(Clone, Copy, Debug)]
enum Speaks {
    Azure,
    S3,
}

impl Speaks {
    /// What says that there is no blob.
    fn no_blob(self) -> (String, String) {
        match self {
            Self::Azure => (NO_BLOB.into(), String::new()),
            Self::S3 => {
                let body = "<Error><Code>NoSuchKey</Code></Error>";
                ("HTTP/1.1 404 x\r\n".into(), body.into())
            }
        }
    }
}

fn open(location: Location, environment: Environment, meter: Arc<Meters>) -> Objects {
    Objects::open(Options {
        location,
        environment,
        transport: transport(),
        max_concurrent_uploads: 2,
        meter,
    })
    .unwrap()
}

fn location() -> Location {
    Location::Azure(AzureLocation {
        account: "account".into(),
        container: "emails".into(),
        prefix: String::new(),
    })
}

fn ok(body: &str) -> (String, String) {
    ("HTTP/1.1 200 OK\r\n".into(), body.into())
}

fn read(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if reader.read_line(&mut request).ok()? == 0 {
            return None;
        }
    }
    let length = request.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    request.push_str(&String::from_utf8_lossy(&body));
    Some(request)
}

#[derive(Debug, Default)]
struct Meters(Mutex<Vec<String>>);

impl Meter for Meters {
    fn request(&self, peer: Peer, operation: &'static str, code: &str, _: Duration) {
        assert_eq!(peer, Peer::Sink);
        self.0.lock().unwrap().push(format!("{operation} {code}"));
    }
}

/// No credentials. The metadata service and the CLI of the machine that runs the tests are none of
/// their business.
fn nothing() -> AzureEnvironment {
    AzureEnvironment {
        metadata_host: Some("http://127.0.0.1:9".into()),
        azure_cli: Some("/nonexistent/az".into()),
        ..AzureEnvironment::default()
    }
}

async fn signs_in(objects: &Objects) {
    let found = objects.load_checkpoint(&mail::route()).await;
    assert_eq!(found.map_err(|err| Chain(&err).to_string()).unwrap().generation, 0);
}

#[tokio::test]
async fn the_metadata_service_is_asked_for_the_identity_of_the_machine() {
    let fake = Fake::with_token("CanaryToken1");
    let metadata_host = Some(fake.url.clone());
    let client_id = Some("my-identity".into());
    let sink = fake.open(AzureEnvironment { metadata_host, client_id, ..nothing() });
    signs_in(&sink).await;
    signs_in(&sink).await;
    let requests = fake.requests();
    assert_eq!(requests.len(), 3, "one token for both: {requests:?}");
    assert!(requests[0].starts_with(
        "GET /metadata/identity/oauth2/token?resource=https%3A%2F%2Fstorage.azure.com\
         &client_id=my-identity&api-version=2018-02-01 "
    ));
    assert!(requests[0].to_lowercase().contains("\r\nmetadata: true\r\n"), "{}", requests[0]);
}

#[tokio::test]
async fn an_app_service_hands_out_its_identity() {
    let fake = Fake::with_token("CanaryToken1");
    let sink = fake.open(AzureEnvironment {
        identity_endpoint: Some(format!("{}/msi/token", fake.url)),
        identity_header: Some(Secret::from("CanaryHeader")),
        ..nothing()
    });
    signs_in(&sink).await;
    let requests = fake.requests();
    assert!(requests[0].starts_with("GET /msi/token?"));
    assert!(requests[0].contains("CanaryHeader"));
}

fn registered(fake: &Fake) -> AzureEnvironment {
    AzureEnvironment {
        tenant_id: Some("tenant".into()),
        client_id: Some("client".into()),
        authority_host: Some(fake.url.clone()),
        ..nothing()
    }
}

#[tokio::test]
async fn a_client_secret_signs_in_before_anything_else() {
    let fake = Fake::with_token("CanaryToken1");
    let client_secret = Some(Secret::from("CanarySecret"));
    signs_in(&fake.open(AzureEnvironment { client_secret, ..registered(&fake) })).await;
    let requests = fake.requests();
    assert!(requests[0].starts_with("POST /tenant/oauth2/v2.0/token "), "{}", requests[0]);
    assert!(requests[0].contains("client_secret=CanarySecret"));
    assert!(requests[0].contains("scope=https%3A%2F%2Fstorage.azure.com%2F.default"));
}

#[tokio::test]
async fn a_workload_identity_reads_its_token_file_each_time() {
    let fake = Fake::with_token("CanaryToken1");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "signed.by.cluster\n").unwrap();
    let federated_token_file = Some(file);
    signs_in(&fake.open(AzureEnvironment { federated_token_file, ..registered(&fake) })).await;
    assert!(fake.requests()[0].contains("client_assertion=signed.by.cluster"));
}

fn certificate() -> (Vec<u8>, Vec<u8>) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "example.com").unwrap();
    let name = name.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let certificate = builder.build();
    let mut pem = certificate.to_pem().unwrap();
    pem.extend(key.private_key_to_pem_pkcs8().unwrap());
    let mut bundle = openssl::pkcs12::Pkcs12::builder();
    bundle.pkey(&key).cert(&certificate);
    (pem, bundle.build2("CanaryPassword").unwrap().to_der().unwrap())
}

#[tokio::test]
async fn a_certificate_signs_in_from_pem_and_pkcs12() {
    let folder = tempfile::tempdir().unwrap();
    let (pem, pkcs12) = certificate();
    for (name, bytes, password) in
        [("c.pem", pem, None), ("c.pfx", pkcs12, Some(Secret::from("CanaryPassword")))]
    {
        let fake = Fake::with_token("CanaryToken1");
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        signs_in(&fake.open(AzureEnvironment {
            client_certificate_path: Some(path),
            client_certificate_password: password,
            ..registered(&fake)
        }))
        .await;
        assert!(fake.requests()[0].contains("client_assertion=ey"), "{name}");
    }
}

#[tokio::test]
async fn the_azure_cli_is_the_last_resort() {
    let fake = Fake::with_token("CanaryToken1");
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("az");
    let script = "#!/bin/sh\ntest \"$6\" = https://storage.azure.com || exit 1\n\
                  echo '{\"accessToken\": \"CanaryToken1\", \"expires_on\": 4102444800}'\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
    // An absent metadata service is no failure, nor is that of another cloud.
    let other = Fake::start(|_, _| Some(("HTTP/1.1 403 x\r\n".into(), String::new())));
    for host in ["http://127.0.0.1:9", &other.url] {
        let (azure_cli, metadata_host) = (Some(program.clone()), Some(host.to_owned()));
        let environment = AzureEnvironment { azure_cli, metadata_host, ..nothing() };
        signs_in(&fake.open(environment)).await;
    }
}

#[tokio::test]
async fn without_credentials_the_error_lists_what_was_tried() {
    let fake = Fake::with_token("CanaryToken1");
    let err = fake.open(nothing()).load_checkpoint(&mail::route()).await.unwrap_err();
    assert_eq!(err.advice(), SinkAdvice::StopService);
    let told = Chain(&err).to_string();
    for part in ["no key, shared access signature", "the managed identity: ", "the Azure CLI: "] {
        assert!(told.contains(part), "{told}");
    }
}

#[tokio::test]
async fn a_refused_secret_is_final_and_not_shown() {
    let fake = Fake::start(|_, _| {
        let body = r#"{"error":"invalid_client","error_codes":[7000215]}"#;
        Some(("HTTP/1.1 401 x\r\n".into(), body.into()))
    });
    let client_secret = Some(Secret::from("CanarySecret"));
    let sink = fake.open(AzureEnvironment { client_secret, ..registered(&fake) });
    let err = sink.load_checkpoint(&mail::route()).await.unwrap_err();
    assert_eq!(err.advice(), SinkAdvice::StopService);
    let told = format!("{err:?} {}", Chain(&err));
    assert!(told.contains("The client secret is wrong") && !told.contains("Canary"), "{told}");
}

#[tokio::test]
async fn half_of_a_registration_is_refused_at_the_start() {
    let azure = AzureEnvironment {
        client_secret: Some(Secret::from("CanarySecret")),
        ..AzureEnvironment::default()
    };
    let result = Objects::open(Options {
        location: location(),
        environment: Environment { azure, ..Environment::default() },
        transport: transport(),
        max_concurrent_uploads: 1,
        meter: Arc::new(Meters::default()),
    });
    let told = Chain(&result.err().unwrap()).to_string();
    assert!(
        told.ends_with(
            "`AZURE_CLIENT_ID` and `AZURE_TENANT_ID` have to be set with `AZURE_CLIENT_SECRET`"
        ),
        "{told}"
    );
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let fake = Fake::with_token("another");
    let metadata_host = Some(fake.url.clone());
    let sink = fake.open(AzureEnvironment { metadata_host, ..nothing() });
    let err = sink.load_checkpoint(&mail::route()).await.unwrap_err();
    assert!(matches!(err, SinkError::Unauthorized { .. }), "{err:?}");
    assert_eq!(fake.requests().len(), 4, "two tokens, two refusals: {:?}", fake.requests());
}

#[tokio::test]
async fn a_busy_service_is_asked_again_and_each_request_is_metered() {
    for (speaks, operation) in [(Speaks::Azure, "GetBlob"), (Speaks::S3, "GetObject")] {
        let fake = Fake::start(move |_, before| {
            Some(match before {
                0 => ("HTTP/1.1 503 x\r\nRetry-After: 0\r\n".into(), String::new()),
                // The connection closes without an answer.
                1 => return None,
                _ => speaks.no_blob(),
            })
        });
        let meter = Arc::new(Meters::default());
        signs_in(&fake.by_key(speaks, Arc::clone(&meter))).await;
        let codes = meter.0.lock().unwrap().clone();
        assert_eq!(codes, ["503", "unreachable", "404"].map(|code| format!("{operation} {code}")));
    }
}

#[tokio::test]
async fn a_long_pause_is_left_to_the_engine() {
    for speaks in [Speaks::Azure, Speaks::S3] {
        let fake = Fake::start(|_, _| {
            Some(("HTTP/1.1 503 x\r\nRetry-After: 77\r\n".into(), String::new()))
        });
        let sink = fake.by_key(speaks, Arc::default());
        let err = sink.load_checkpoint(&mail::route()).await.unwrap_err();
        let after = Some(Duration::from_secs(77));
        assert_eq!(err.advice(), SinkAdvice::Retry { after });
        assert_eq!(fake.requests().len(), 1);
    }
}

const LOG_TEST: &str = "object_store_credentials::signs_in_aloud_when_it_is_told_to";
const LOG_ORDERS: &str = "SINKS_TEST_LOG";

/// Does nothing in an ordinary run of the tests. What one test logs depends on those beside it, so
/// this one needs a process of its own.
#[tokio::test]
async fn signs_in_aloud_when_it_is_told_to() {
    #[expect(clippy::disallowed_methods, reason = "the arguments belong to the test harness")]
    let Ok(_) = std::env::var(LOG_ORDERS) else { return };
    tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::TRACE).init();
    let fake = Fake::with_token("CanaryToken1");
    let client_secret = Some(Secret::from("CanarySecret"));
    let sink = fake.open(AzureEnvironment { client_secret, ..registered(&fake) });
    signs_in(&sink).await;
    let sas = "sv=2023-11-03&sig=CanarySignature";
    let by_sas = AzureEnvironment { sas_token: Some(sas.into()), ..AzureEnvironment::default() };
    let err = fake.open(by_sas).load_checkpoint(&mail::route()).await.unwrap_err();
    println!("{err:?} {}", Chain(&err));
    // Both keys are wrong for this server.
    let err = fake.by_key(Speaks::S3, Arc::default()).prove().await.unwrap_err();
    println!("{err:?} {}", Chain(&err));
}

#[test]
fn the_log_names_the_credential_and_shows_no_secret() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", LOG_TEST, "--nocapture"])
        .env(LOG_ORDERS, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[child.stdout, child.stderr].concat()).into_owned();
    assert!(child.status.success(), "{text}");
    assert!(text.contains("with the client secret in the environment"), "{text}");
    assert!(text.contains("with the shared access signature in the environment"), "{text}");
    assert!(text.contains("with the access key in the environment"), "{text}");
    assert!(!text.to_lowercase().contains("canary"), "{text}");
}
