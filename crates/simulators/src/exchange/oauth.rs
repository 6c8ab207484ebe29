//! The authority: a token endpoint that verifies what it is given, and the tokens it issued.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use anyhow::{Context, Result};
use base64_simd::URL_SAFE_NO_PAD;
use hyper::{Response, StatusCode, header};
use openssl::{
    hash::MessageDigest,
    pkey::{PKey, Public},
    rsa::Padding,
    sha::{sha1, sha256},
    sign::{RsaPssSaltlen, Verifier},
    x509::X509,
};
use serde_json::{Value, json};

use super::{
    auth::SignedIn,
    claims::{self, Audience},
    ops::Access,
    options::{App, Options},
    reply::ReplyBody,
    server::Envelope,
};

/// Most tokens and used assertions that are remembered; the oldest tokens are forgotten.
const MAX_REMEMBERED: usize = 100_000;
/// How far the clocks of client and server may be apart, in seconds.
const LEEWAY: i64 = 300;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// A key that may sign assertions, under both of its names.
struct Certificate {
    key: PKey<Public>,
    /// SHA-1 and SHA-256 of the certificate.
    sha1: [u8; 20],
    sha256: [u8; 32],
}

/// The token endpoint.
pub(crate) struct Authority {
    options: Options,
    /// `http://127.0.0.1:8443/example.onmicrosoft.com/oauth2/v2.0/token`
    pub(crate) token_url: String,
    certificates: HashMap<String, Vec<Certificate>>,
    /// Guards the tokens and the assertions that were used.
    issued: Mutex<Issued>,
}

#[derive(Default)]
struct Issued {
    tokens: HashMap<String, Token>,
    assertions: HashSet<String>,
    count: u64,
    /// How the next tokens are made wrong, if at all.
    broken: Option<&'static str>,
}

struct Token {
    client_id: String,
    audience: Audience,
    ends: Instant,
    revoked: bool,
}

/// Why no token is issued: the `error`, and the description with its AADSTS number.
#[derive(Debug, PartialEq, Eq)]
struct Denied(&'static str, String);

impl Authority {
    /// `origin` is scheme, host and port.
    pub(crate) fn new(options: &Options, origin: &str) -> Result<Self> {
        let mut certificates = HashMap::new();
        for app in &options.apps {
            let keys: Result<Vec<_>> =
                app.certificates.iter().map(|pem| certificate(pem)).collect();
            let keys = keys
                .with_context(|| format!("a certificate of client `{}` is wrong", app.client_id))?;
            certificates.insert(app.client_id.clone(), keys);
        }
        Ok(Self {
            options: options.clone(),
            token_url: format!("{origin}/{}/oauth2/v2.0/token", options.tenant),
            certificates,
            issued: Mutex::default(),
        })
    }

    /// Ends all tokens that were issued so far.
    pub(crate) fn revoke_all(&self) {
        for token in self.lock().tokens.values_mut() {
            token.revoked = true;
        }
    }

    /// Tokens issued so far.
    pub(crate) fn count(&self) -> u64 {
        self.lock().count
    }

    pub(crate) fn respond(&self, envelope: &Envelope) -> Response<ReplyBody> {
        let form: HashMap<String, String> =
            url::form_urlencoded::parse(&envelope.body).into_owned().collect();
        let tenant = format!("/{}/", self.options.tenant.to_ascii_lowercase());
        let outcome = if envelope.path.starts_with(&tenant) {
            self.issue(&form)
        } else {
            Err(Denied("invalid_request", "AADSTS90002: Tenant not found.".to_owned()))
        };
        let (status, body) = match outcome {
            Ok(token) => {
                let life = self.options.token_life.as_secs();
                let body = json!({
                    "token_type": "Bearer",
                    "expires_in": life,
                    "ext_expires_in": life,
                    "access_token": token,
                });
                (StatusCode::OK, body)
            }
            Err(Denied(error, description)) => {
                let status = match error {
                    "invalid_client" => StatusCode::UNAUTHORIZED,
                    _ => StatusCode::BAD_REQUEST,
                };
                (status, json!({ "error": error, "error_description": description }))
            }
        };
        let mut response = in_json(&body);
        *response.status_mut() = status;
        response
    }

    /// The document with which libraries find the token endpoint.
    pub(crate) fn discovery(&self) -> Response<ReplyBody> {
        in_json(&claims::discovery(&self.token_url))
    }

    fn issue(&self, form: &HashMap<String, String>) -> Result<String, Denied> {
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        if field("grant_type") != "client_credentials" {
            return Err(Denied(
                "unsupported_grant_type",
                "AADSTS70003: The app requested an unsupported grant type.".to_owned(),
            ));
        }
        let app = self.options.apps.iter().find(|app| app.client_id == field("client_id"));
        let app = app.ok_or_else(|| {
            let text = "AADSTS700016: Application was not found in the directory.";
            Denied("unauthorized_client", text.to_owned())
        })?;
        let Some((audience, resource)) = claims::service(field("scope")) else {
            let text = format!(
                "AADSTS70011: The provided value for scope {} is not valid.",
                field("scope")
            );
            return Err(Denied("invalid_scope", text));
        };
        match (form.get("client_secret"), form.get("client_assertion")) {
            (Some(secret), None) => {
                if app.secret.as_ref().is_none_or(|own| own.reveal() != secret) {
                    let text = "AADSTS7000215: Invalid client secret provided.";
                    return Err(Denied("invalid_client", text.to_owned()));
                }
            }
            (None, Some(assertion)) => {
                if field("client_assertion_type") != ASSERTION_TYPE {
                    let text = "AADSTS70002: The client assertion type is not supported.";
                    return Err(Denied("invalid_request", text.to_owned()));
                }
                self.verify(app, assertion).map_err(|reason| {
                    let text = format!("AADSTS700027: Client assertion failed: {reason}.");
                    Denied("invalid_client", text)
                })?;
            }
            _ => {
                let text = "AADSTS7000216: 'client_assertion' or 'client_secret' is required.";
                return Err(Denied("invalid_client", text.to_owned()));
            }
        }
        Ok(self.remember(app, audience, resource))
    }

    fn remember(&self, app: &App, audience: Audience, resource: &str) -> String {
        let mut issued = self.lock();
        issued.count += 1;
        let mut random = [0; 48];
        // Without randomness there is no unpredictable token; a used number is the next best.
        if openssl::rand::rand_bytes(&mut random).is_err() {
            random = [u8::try_from(issued.count % 251).unwrap_or_default(); 48];
        }
        let claims = claims::claims(&self.options, &self.token_url, app, (audience, resource));
        let token = format!(
            "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.{}.{}",
            URL_SAFE_NO_PAD.encode_to_string(claims.to_string()),
            URL_SAFE_NO_PAD.encode_to_string(random),
        );
        let now = Instant::now();
        if issued.tokens.len() >= MAX_REMEMBERED {
            issued.tokens.retain(|_, token| token.ends > now);
        }
        let token_state = Token {
            client_id: app.client_id.clone(),
            audience,
            ends: now + self.options.token_life,
            revoked: false,
        };
        issued.tokens.insert(token.clone(), token_state);
        token
    }

    /// Verifies an assertion (RFC 7523 §3, "Microsoft identity platform application
    /// authentication certificate credentials").
    fn verify(&self, app: &App, assertion: &str) -> Result<(), String> {
        let mut parts = assertion.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("it has not three parts".to_owned());
        };
        let head = decoded(header)?;
        let text = |value: &Value, name: &str| {
            value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let (algorithm, thumbprint) = match text(&head, "alg").as_str() {
            "RS256" => (Padding::PKCS1, text(&head, "x5t")),
            "PS256" => (Padding::PKCS1_PSS, text(&head, "x5t#S256")),
            other => return Err(format!("the algorithm `{other}` is not supported")),
        };
        let thumbprint = bytes(thumbprint.trim_end_matches('='))?;
        let known = self.certificates.get(&app.client_id).map(Vec::as_slice).unwrap_or_default();
        let key = known
            .iter()
            .find(|own| {
                if algorithm == Padding::PKCS1 {
                    own.sha1.as_slice() == thumbprint
                } else {
                    own.sha256.as_slice() == thumbprint
                }
            })
            .ok_or("the key was not found by the thumbprint of the certificate")?;
        let signed = format!("{header}.{claims}");
        if !is_signed(&key.key, algorithm, signed.as_bytes(), &bytes(signature)?).unwrap_or(false) {
            return Err("the signature is wrong".to_owned());
        }
        let claims = decoded(claims)?;
        self.check_claims(app, &claims)?;
        let jti = text(&claims, "jti");
        if jti.is_empty() {
            return Err("`jti` is missing".to_owned());
        }
        let mut issued = self.lock();
        if issued.assertions.len() >= MAX_REMEMBERED {
            issued.assertions.clear();
        }
        if !issued.assertions.insert(jti) {
            return Err("it was used before".to_owned());
        }
        Ok(())
    }

    fn check_claims(&self, app: &App, claims: &Value) -> Result<(), String> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
        // By name or by number: both are in the certificate.
        let by_number = self.token_url.replace("//localhost:", "//127.0.0.1:");
        if text("aud") != self.token_url && text("aud") != by_number {
            return Err(format!("`aud` must be `{}`", self.token_url));
        }
        if text("iss") != app.client_id || text("sub") != app.client_id {
            return Err("`iss` and `sub` must be the client id".to_owned());
        }
        let now = self.options.clock.now().timestamp();
        let number = |name: &str| claims.get(name).and_then(Value::as_i64);
        let end = number("exp").ok_or("`exp` is missing")?;
        if end + LEEWAY < now {
            return Err("it has expired".to_owned());
        }
        if end > now + 24 * 3600 {
            return Err("it lives too long".to_owned());
        }
        if number("nbf").is_some_and(|from| from > now + LEEWAY) {
            return Err("it is not valid yet".to_owned());
        }
        Ok(())
    }

    /// The client that a token for Graph was issued to, or what the error must say.
    pub(crate) fn sign_in_to_graph(&self, token: &str) -> Result<App, &'static str> {
        let issued = self.lock();
        let known = issued.tokens.get(token.trim()).ok_or("CompactToken parsing failed.")?;
        if known.audience != Audience::Graph {
            return Err("Access token validation failure. Invalid audience.");
        }
        if issued.broken.is_some() || known.revoked || known.ends < Instant::now() {
            return Err("Lifetime validation failed, the token is expired.");
        }
        let app = self.options.apps.iter().find(|app| app.client_id == known.client_id);
        app.cloned().ok_or("The identity of the calling application could not be established.")
    }

    /// Signs in with a token, or says what `x-ms-diagnostics` must say.
    pub(crate) fn sign_in(&self, token: &str) -> Result<SignedIn, &'static str> {
        let issued = self.lock();
        if let Some(broken) = issued.broken {
            return Err(broken);
        }
        let Some(token) = issued.tokens.get(token.trim()) else {
            return Err(
                "2000001;reason=\"The token is invalid.\";error_category=\"invalid_token\"",
            );
        };
        if token.audience != Audience::Ews {
            return Err(
                "2000003;reason=\"The audience claim value is invalid for the current resource.\";\
                 error_category=\"invalid_resource\"",
            );
        }
        if token.revoked || token.ends < Instant::now() {
            return Err(
                "2000002;reason=\"The token has expired.\";error_category=\"invalid_lifetime\"",
            );
        }
        let app = self.options.apps.iter().find(|app| app.client_id == token.client_id);
        let rights = app.map(|app| app.rights.clone()).unwrap_or_default();
        Ok(SignedIn {
            user: Some(token.client_id.clone()),
            access: Access { rights, app_only: true, ..Access::default() },
        })
    }

    /// Refuses every token with this `x-ms-diagnostics`, or accepts them again.
    pub(crate) fn refuse_tokens(&self, diagnostics: Option<&'static str>) {
        self.lock().broken = diagnostics;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Issued> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_json(body: &Value) -> Response<ReplyBody> {
    let mut response = Response::new(body.to_string().into_bytes().into());
    let kind = header::HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn certificate(pem: &[u8]) -> Result<Certificate> {
    let certificate = X509::from_pem(pem)?;
    let der = certificate.to_der()?;
    Ok(Certificate { key: certificate.public_key()?, sha1: sha1(&der), sha256: sha256(&der) })
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD.decode_to_vec(text.as_bytes()).map_err(|_| "it is no base64url".to_owned())
}

fn decoded(part: &str) -> Result<Value, String> {
    serde_json::from_slice(&bytes(part)?).map_err(|_| "it is no JSON".to_owned())
}

fn is_signed(key: &PKey<Public>, padding: Padding, data: &[u8], signature: &[u8]) -> Result<bool> {
    let mut verifier = Verifier::new(MessageDigest::sha256(), key)?;
    verifier.set_rsa_padding(padding)?;
    if padding == Padding::PKCS1_PSS {
        verifier.set_rsa_mgf1_md(MessageDigest::sha256())?;
        verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
    }
    Ok(verifier.verify_oneshot(signature, data)?)
}
