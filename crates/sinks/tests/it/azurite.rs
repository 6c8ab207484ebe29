//! Containers of Azure's own emulator of the Blob service.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use net::{
    Call, Client, Egress, Endpoint, HeaderName, HeaderValue, Limits, Method, Payload, PlainHttp,
    Tls, TlsSettings, Transport,
};
use openssl::{hash::MessageDigest, pkey::PKey, sign::Signer};
use record::{Clock, Secret, Unmetered, clock::SystemClock};
use sinks::object_store::{
    Environment, Location, Objects, Options,
    azure::{AzureEnvironment, AzureLocation},
};
pub(crate) use testkit::azurite::{ACCOUNT, KEY, azurite};
use url::form_urlencoded;

const API: &str = "2023-11-03";

pub(crate) fn transport() -> Transport {
    Transport {
        tls: Tls::new(&TlsSettings::default()).unwrap(),
        egress: Arc::new(Egress::default()),
        plain_http: PlainHttp::LoopbackOnly,
        limits: Limits::default(),
        clock: Arc::new(SystemClock),
    }
}

/// A container that no other test uses.
#[derive(Clone)]
pub(crate) struct Container {
    pub(crate) name: String,
}

impl Container {
    pub(crate) async fn create() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("emails-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let container = Self { name };
        let status = container.administer("", "restype=container", &[], Bytes::new()).await;
        assert_eq!(status, 201);
        container
    }

    pub(crate) fn location(&self) -> AzureLocation {
        AzureLocation {
            account: ACCOUNT.into(),
            container: self.name.clone(),
            prefix: "a/prefix".into(),
        }
    }

    pub(crate) fn environment() -> AzureEnvironment {
        AzureEnvironment {
            endpoint: Some(azurite().url.clone()),
            account_key: Some(Secret::from(KEY)),
            ..AzureEnvironment::default()
        }
    }

    pub(crate) fn open(&self) -> Objects {
        self.open_with(Self::environment())
    }

    pub(crate) fn open_with(&self, environment: AzureEnvironment) -> Objects {
        Objects::open(Options {
            location: Location::Azure(self.location()),
            environment: Environment { azure: environment, ..Environment::default() },
            transport: transport(),
            max_concurrent_uploads: 8,
            meter: Arc::new(Unmetered),
        })
        .unwrap()
    }

    /// A shared access signature for this container.
    ///
    /// Spec: "Create a service SAS", version 2020-12-06 and later.
    pub(crate) fn sas(&self, rights: &str, ends_in: TimeDelta) -> String {
        let ends_at = time(SystemClock.now() + ends_in);
        let resource = format!("/blob/{ACCOUNT}/{}", self.name);
        let text = format!("{rights}\n\n{ends_at}\n{resource}\n\n\n\n{API}\nc\n\n\n\n\n\n\n");
        query(&[("sv", API), ("sr", "c"), ("sp", rights), ("se", &ends_at), ("sig", &sign(&text))])
    }

    /// Sends a PUT with the rights of the account.
    pub(crate) async fn administer(
        &self,
        blob: &str,
        operation: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> u16 {
        let ends_at = time(SystemClock.now() + TimeDelta::hours(1));
        // Spec: "Create an account SAS", version 2020-12-06 and later.
        let text = format!("{ACCOUNT}\nrwdlac\nb\nsco\n\n{ends_at}\n\n\n{API}\n\n");
        let sas = query(&[
            ("sv", API),
            ("ss", "b"),
            ("srt", "sco"),
            ("sp", "rwdlac"),
            ("se", &ends_at),
            ("sig", &sign(&text)),
        ]);
        let endpoint = Endpoint::new(&azurite().url, transport()).unwrap();
        let blob = if blob.is_empty() { String::new() } else { format!("/{blob}") };
        let target = format!("/{ACCOUNT}/{}{blob}?{operation}&{sas}", self.name);
        let mut call = Call::new(Method::PUT, target);
        call.payload = Payload::Bytes(body);
        call.headers.insert("x-ms-version", HeaderValue::from_static(API));
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            call.headers.insert(HeaderName::from_static(name), value);
        }
        let client = Client::new(endpoint, NonZeroUsize::MIN);
        client.send(call).await.unwrap().status.as_u16()
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn query(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn sign(text: &str) -> String {
    let key = PKey::hmac(&BASE64_STANDARD.decode(KEY).unwrap()).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    BASE64_STANDARD.encode(signer.sign_oneshot_to_vec(text.as_bytes()).unwrap())
}
