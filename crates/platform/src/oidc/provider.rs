//! A provider: what it says of itself, its keys, and what it gives for a code.

use std::{io, num::NonZeroUsize, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use net::{
    BadEndpoint, Client, Egress, Endpoint, HeaderValue, Limits, Method, NetError, Payload,
    PlainHttp, Repeat, StatusCode, Tls, TlsSettings, Transport, header,
};
use record::{Secret, clock::SystemClock};
use serde_json::Value;
use tokio::{
    sync::{Mutex, Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};
use url::{Url, form_urlencoded};

use super::{
    keys::{self, Key},
    settings::Oidc,
    token::{BadToken, Claims, Expected, Signed},
};

/// Largest answer of a provider, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;
/// How long what it says of itself is believed, and how often its keys are asked for before that
/// because of a token with an unknown one.
const FRESH: Duration = Duration::from_secs(3600);
const KEYS_AGAIN: Duration = Duration::from_secs(30);
/// Sign-ins that ask the provider at the same time, and how long one of them may take.
const AT_ONCE: usize = 8;
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a provider is of no help.
#[derive(Debug, thiserror::Error)]
pub(super) enum OidcError {
    #[error("the provider cannot be reached")]
    Net(#[from] NetError),
    #[error("the provider has an address that cannot be used")]
    Endpoint(#[from] BadEndpoint),
    #[error("the provider answered {what} with status {status}{code}")]
    Status { what: &'static str, status: u16, code: String },
    #[error("the provider's answer to {what} has no usable `{field}`")]
    Field { what: &'static str, field: &'static str },
    #[error("the discovery document is of the issuer `{0}`; give exactly that as `--oidc-issuer`")]
    OtherIssuer(String),
    #[error("the provider took too long, or too many sign in at the same time")]
    Slow,
    #[error("the ID token was refused")]
    Token(#[from] BadToken),
    #[error("the provider's user information is about somebody else")]
    OtherSubject,
}

/// How the client proves itself at the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Basic,
    Post,
}

/// What the discovery document says.
pub(super) struct Metadata {
    pub(super) authorization_endpoint: Url,
    token_endpoint: String,
    userinfo_endpoint: Option<String>,
    /// Where people sign out there.
    pub(super) end_session_endpoint: Option<Url>,
    jwks_uri: String,
    proof: Proof,
    /// Its answers always name it.
    pub(super) names_itself: bool,
}

struct Keys {
    keys: Arc<Vec<Key>>,
    since: Instant,
    /// When they were asked for again before their time.
    again: Option<Instant>,
}

pub(crate) struct Provider {
    pub(super) settings: Oidc,
    transport: Transport,
    places: Semaphore,
    metadata: Mutex<Option<(Arc<Metadata>, Instant)>>,
    keys: Mutex<Option<Keys>>,
}

/// What a code is exchanged with.
pub(super) struct Exchange<'a> {
    pub(super) code: &'a str,
    pub(super) verifier: &'a str,
    pub(super) redirect_uri: &'a str,
    pub(super) expected: Expected<'a>,
}

impl Provider {
    pub(crate) fn new(settings: Oidc) -> io::Result<Self> {
        let tls = TlsSettings { ca_file: settings.ca_file.clone(), ..TlsSettings::default() };
        let tls = Tls::new(&tls).map_err(io::Error::other)?;
        let limits = Limits {
            answer: Duration::from_secs(15),
            idle_send: Duration::from_secs(15),
            idle_body: Duration::from_secs(15),
            max_body: MAX_ANSWER as u64,
            ..Limits::default()
        };
        let transport = Transport {
            tls,
            // Metadata services of clouds are out of reach; the provider of an organization often
            // has a private address.
            egress: Arc::new(Egress::default()),
            plain_http: PlainHttp::LoopbackOnly,
            limits,
            clock: Arc::new(SystemClock),
        };
        Endpoint::new(&settings.issuer, transport.clone()).map_err(io::Error::other)?;
        Ok(Self {
            settings,
            transport,
            places: Semaphore::new(AT_ONCE),
            metadata: Mutex::default(),
            keys: Mutex::default(),
        })
    }

    /// A place among those who ask the provider.
    async fn place(&self) -> Result<SemaphorePermit<'_>, OidcError> {
        let place = timeout(PATIENCE, self.places.acquire()).await;
        place.map_err(|_| OidcError::Slow)?.map_err(|_| OidcError::Slow)
    }

    /// What the provider says of itself.
    pub(super) async fn metadata(&self) -> Result<Arc<Metadata>, OidcError> {
        let ask = async {
            let mut held = self.metadata.lock().await;
            if let Some((metadata, since)) = held.as_ref()
                && since.elapsed() < FRESH
            {
                return Ok(Arc::clone(metadata));
            }
            match self.discover().await {
                Ok(found) => {
                    let found = Arc::new(found);
                    *held = Some((Arc::clone(&found), Instant::now()));
                    Ok(found)
                }
                // A provider that is down for a moment has not moved.
                Err(error) => held.as_ref().map(|(old, _)| Arc::clone(old)).ok_or(error),
            }
        };
        timeout(PATIENCE, ask).await.map_err(|_| OidcError::Slow)?
    }

    async fn discover(&self) -> Result<Metadata, OidcError> {
        let what = "discovery";
        let issuer = &self.settings.issuer;
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = self.get(&url, what, None).await?;
        let text = |field: &'static str| {
            let found = document.get(field).and_then(Value::as_str);
            found.map(str::to_owned).ok_or(OidcError::Field { what, field })
        };
        let named = text("issuer")?;
        if named != *issuer {
            return Err(OidcError::OtherIssuer(named.chars().take(200).collect()));
        }
        let field = "authorization_endpoint";
        let authorization = text(field)?;
        // Browsers are sent there: it has to be as good an address as those that we ask.
        Endpoint::new(&authorization, self.transport.clone())?;
        let authorization_endpoint =
            Url::parse(&authorization).map_err(|_| OidcError::Field { what, field })?;
        let methods = document.get("token_endpoint_auth_methods_supported");
        let methods = methods.and_then(Value::as_array);
        let knows = |name: &str| methods.is_some_and(|all| all.iter().any(|own| own == name));
        // Without a word about it, it is Basic. Spec: Discovery 1.0, §3.
        let only_post = knows("client_secret_post") && !knows("client_secret_basic");
        let names_itself = document.get("authorization_response_iss_parameter_supported");
        Ok(Metadata {
            authorization_endpoint,
            token_endpoint: text("token_endpoint")?,
            userinfo_endpoint: text("userinfo_endpoint").ok(),
            end_session_endpoint: self.end_session(&document),
            jwks_uri: text("jwks_uri")?,
            proof: if only_post { Proof::Post } else { Proof::Basic },
            names_itself: names_itself == Some(&Value::Bool(true)),
        })
    }

    /// Where people sign out there. Nobody is kept from signing in because it cannot be used.
    fn end_session(&self, document: &Value) -> Option<Url> {
        let given = document.get("end_session_endpoint")?;
        let text = given.as_str().unwrap_or_default();
        let usable = Endpoint::new(text, self.transport.clone()).is_ok();
        let url = Url::parse(text).ok().filter(|_| usable);
        if url.is_none() {
            let issuer = &self.settings.issuer;
            tracing::warn!(
                "The `end_session_endpoint` of `{issuer}` is no address that can be used: who signs \
                 out is signed out here, and not there"
            );
        }
        url
    }

    /// Exchanges a code for the claims about a person.
    pub(super) async fn exchange(&self, exchange: &Exchange<'_>) -> Result<Claims, OidcError> {
        let _place = self.place().await?;
        timeout(PATIENCE, self.exchanged(exchange)).await.map_err(|_| OidcError::Slow)?
    }

    async fn exchanged(&self, exchange: &Exchange<'_>) -> Result<Claims, OidcError> {
        let what = "the exchange of a code";
        let metadata = self.metadata().await?;
        // A code is good once.
        let call = self.redemption(metadata.proof, exchange);
        let answer = self.ask(&metadata.token_endpoint, call, what).await?;
        let text = |field: &'static str| {
            let found = answer.get(field).and_then(Value::as_str);
            found.ok_or(OidcError::Field { what, field })
        };
        let signed = Signed::read(text("id_token")?)?;
        let keys = self.keys_for(&metadata, &signed).await?;
        let mut claims = signed.verify(&keys, &exchange.expected)?;
        // Claims of scopes come from here when there is an access token. Spec: Core 1.0, §5.4.
        if !claims.all.contains_key("email")
            && let (Some(url), Ok(token)) = (&metadata.userinfo_endpoint, text("access_token"))
        {
            let more = self.get(url, "user information", Some(&Secret::from(token))).await?;
            if more.get("sub").and_then(Value::as_str) != Some(&claims.subject) {
                return Err(OidcError::OtherSubject);
            }
            if let Value::Object(more) = more {
                for (name, value) in more {
                    claims.all.entry(name).or_insert(value);
                }
            }
        }
        Ok(claims)
    }

    /// The request that exchanges a code, without its address.
    fn redemption(&self, proof: Proof, exchange: &Exchange<'_>) -> net::Call {
        let encode =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", exchange.code)
            .append_pair("redirect_uri", exchange.redirect_uri)
            .append_pair("code_verifier", exchange.verifier);
        let id = &self.settings.client_id;
        let mut call = net::Call::new(Method::POST, "/");
        match (&self.settings.client_secret, proof) {
            (None, _) => {
                form.append_pair("client_id", id);
            }
            (Some(secret), Proof::Post) => {
                form.append_pair("client_id", id).append_pair("client_secret", secret.reveal());
            }
            // Encoded twice. Spec: RFC 6749 §2.3.1.
            (Some(secret), Proof::Basic) => {
                let pair = format!("{}:{}", encode(id), encode(secret.reveal()));
                let value = format!("Basic {}", BASE64_STANDARD.encode(pair));
                if let Ok(mut value) = HeaderValue::from_str(&value) {
                    value.set_sensitive(true);
                    call.headers.insert(header::AUTHORIZATION, value);
                }
            }
        }
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        call.headers.insert(header::CONTENT_TYPE, kind);
        call.payload = Payload::Bytes(form.finish().into());
        call.repeat = Repeat::Never;
        call
    }

    /// The keys, asked for again if the token is signed with one that is not among them: providers
    /// change them without a word.
    async fn keys_for(
        &self,
        metadata: &Metadata,
        signed: &Signed,
    ) -> Result<Arc<Vec<Key>>, OidcError> {
        let mut held = self.keys.lock().await;
        let mut again = None;
        if let Some(own) = held.as_ref().filter(|own| own.since.elapsed() < FRESH) {
            // Whoever sends tokens with keys that they make up does not have us ask each time.
            let was_asked = own.again.is_some_and(|at| at.elapsed() < KEYS_AGAIN);
            if was_asked || signed.is_by(&own.keys) {
                return Ok(Arc::clone(&own.keys));
            }
            again = Some(Instant::now());
        }
        let set = self.get(&metadata.jwks_uri, "its keys", None).await?;
        let keys = Arc::new(keys::read(&set));
        *held = Some(Keys { keys: Arc::clone(&keys), since: Instant::now(), again });
        Ok(keys)
    }

    async fn get(
        &self,
        url: &str,
        what: &'static str,
        token: Option<&Secret>,
    ) -> Result<Value, OidcError> {
        let mut call = net::Call::new(Method::GET, "/");
        if let Some(value) = token.and_then(net::bearer) {
            call.headers.insert(header::AUTHORIZATION, value);
        }
        self.ask(url, call, what).await
    }

    /// Sends a request, and reads the JSON object that answers it.
    async fn ask(
        &self,
        url: &str,
        mut call: net::Call,
        what: &'static str,
    ) -> Result<Value, OidcError> {
        let endpoint = Endpoint::new(url, self.transport.clone())?;
        let parsed = Url::parse(url).map_err(BadEndpoint::from)?;
        call.target = match parsed.query() {
            Some(query) => format!("{}?{query}", parsed.path()),
            None => parsed.path().to_owned(),
        };
        call.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let client = Client::new(endpoint, NonZeroUsize::MIN);
        let mut reply = client.send(call).await?;
        let status = reply.status;
        let body = reply.body.collect(MAX_ANSWER).await?;
        let value: Option<Value> = serde_json::from_slice(&body).ok();
        if status != StatusCode::OK {
            // `invalid_grant` and the like; what else is said may hold what we sent.
            let code = value.as_ref().and_then(|value| value.get("error")?.as_str());
            let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
            let code: Option<String> =
                code.map(|code| code.chars().filter(plain).take(64).collect());
            let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
            return Err(OidcError::Status { what, status: status.as_u16(), code });
        }
        let object = value.filter(Value::is_object);
        object.ok_or(OidcError::Field { what, field: "JSON object" })
    }
}
