//! Who is at the other end: Basic, NTLM and Bearer.

use base64_simd::STANDARD;
use hyper::{HeaderMap, Response, StatusCode, header};
use net::{
    channel_binding,
    ntlm::{self, Acceptor, Binding, Pending},
};
use openssl::x509::X509;

use super::{
    ops::Access,
    options::{ChannelBinding, Options, User},
    reply::ReplyBody,
    server::{Connection, Envelope},
};

/// How far the sign-in of a connection has come.
#[derive(Default)]
pub(crate) enum Session {
    #[default]
    Unknown,
    /// The challenge was sent; the answer to it comes on the same connection.
    Challenged(Box<Pending>),
    /// Signed in by NTLM: the connection stays so without further headers.
    SignedIn { user: String },
}

/// Somebody who is signed in.
#[derive(Debug)]
pub(crate) struct SignedIn {
    pub(crate) user: Option<String>,
    pub(crate) access: Access,
}

/// Signs the sender of a request in.
///
/// # Errors
///
/// The response that says how, or goes on with a sign-in of several legs.
pub(crate) fn sign_in(
    connection: &Connection,
    envelope: &Envelope,
) -> Result<SignedIn, Box<Response<ReplyBody>>> {
    let options = &connection.shared.options;
    if options.auth.is_open() {
        let access = Access { own: envelope_own(envelope), ..Access::default() };
        return Ok(SignedIn { user: None, access });
    }
    let authorization = envelope.header("authorization").unwrap_or_default();
    let (scheme, credentials) = authorization.split_once(' ').unwrap_or_default();
    match scheme.to_ascii_lowercase().as_str() {
        "basic" if options.auth.basic => {
            basic(options, credentials).map(signed_in).ok_or_else(|| refusal(connection, None))
        }
        "bearer" if options.auth.bearer => connection
            .shared
            .authority
            .sign_in(credentials)
            .map_err(|diagnostics| refusal(connection, Some(diagnostics))),
        "ntlm" | "negotiate" if options.auth.ntlm.is_some() => {
            ntlm_leg(connection, scheme, credentials).map(signed_in)
        }
        _ => {
            let Session::SignedIn { user } = &*connection.session() else {
                return Err(refusal(connection, None));
            };
            let user = options.users.iter().find(|own| own.name == *user);
            user.map(signed_in).ok_or_else(|| refusal(connection, None))
        }
    }
}

/// One leg of an NTLM sign-in (MS-NLMP §3.2.5.1): the first gets a challenge, the second the
/// user.
fn ntlm_leg<'a>(
    connection: &'a Connection,
    scheme: &str,
    message: &str,
) -> Result<&'a User, Box<Response<ReplyBody>>> {
    let options = &connection.shared.options;
    let refused = || refusal(connection, None);
    let message = STANDARD.decode_to_vec(message.trim().as_bytes()).map_err(|_| refused())?;
    let before = std::mem::take(&mut *connection.session());
    // The message type is the number after the signature `NTLMSSP\0` (MS-NLMP §2.2.1).
    if message.get(8) == Some(&1) {
        let acceptor = Acceptor {
            domain: "EXAMPLE".to_owned(),
            computer: "SIM01".to_owned(),
            host: "sim01.example.com".to_owned(),
        };
        let mut nonce = [0; 8];
        openssl::rand::rand_bytes(&mut nonce).map_err(|_| refused())?;
        let now = ntlm::file_time(options.clock.now());
        let pending = acceptor.challenge(&message, nonce, now).map_err(|_| refused())?;
        let mut response = Response::new(Vec::new().into());
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        let scheme = if scheme.eq_ignore_ascii_case("negotiate") { "Negotiate" } else { "NTLM" };
        let value = format!("{scheme} {}", STANDARD.encode_to_string(pending.challenge()));
        offer(response.headers_mut(), &value);
        *connection.session() = Session::Challenged(Box::new(pending));
        return Err(Box::new(response));
    }
    let Session::Challenged(pending) = before else { return Err(refused()) };
    let mut found = None;
    let accepted = pending.verify(&message, |account| {
        found = options.users.iter().find(|user| is_user(user, &account.domain, &account.user));
        found.map(|user| user.password.clone())
    });
    match (accepted, found) {
        (Ok(accepted), Some(user)) if is_bound(connection, accepted.binding) => {
            *connection.session() = Session::SignedIn { user: user.name.clone() };
            Ok(user)
        }
        _ => Err(refused()),
    }
}

fn is_user(user: &User, domain: &str, name: &str) -> bool {
    let given = match domain {
        "" => name.to_owned(),
        domain => format!("{domain}\\{name}"),
    };
    user.name.eq_ignore_ascii_case(&given)
}

/// Whether the channel binding satisfies what the server demands.
fn is_bound(connection: &Connection, binding: Binding) -> bool {
    let Some(certificate) = &connection.shared.certificate else { return true };
    let own = || {
        let certificate = X509::from_der(certificate).ok()?;
        let token = channel_binding::tls_server_end_point(&certificate).ok()?;
        ntlm::binding_hash(&token).ok()
    };
    match (connection.shared.options.auth.ntlm.unwrap_or_default(), binding) {
        (ChannelBinding::None, _) => true,
        (ChannelBinding::Allow, Binding::Absent | Binding::Zero) => true,
        (ChannelBinding::Require, Binding::Absent | Binding::Zero) => false,
        (ChannelBinding::Allow | ChannelBinding::Require, Binding::Hash(hash)) => {
            own() == Some(hash)
        }
    }
}

/// Adds a `WWW-Authenticate` line.
fn offer(headers: &mut HeaderMap, value: &str) {
    if let Ok(value) = value.parse() {
        headers.append(header::WWW_AUTHENTICATE, value);
    }
}

/// Without sign-in, the anchor says whose mailbox is meant.
fn envelope_own(envelope: &Envelope) -> Option<String> {
    envelope.header("x-anchormailbox").map(str::to_ascii_lowercase)
}

fn signed_in(user: &User) -> SignedIn {
    let own = user.name.contains('@').then(|| user.name.to_ascii_lowercase());
    SignedIn {
        user: Some(user.name.clone()),
        access: Access { rights: user.rights.clone(), own, ..Access::default() },
    }
}

fn basic<'a>(options: &'a Options, credentials: &str) -> Option<&'a User> {
    let decoded = STANDARD.decode_to_vec(credentials.trim().as_bytes()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (name, password) = decoded.split_once(':')?;
    options
        .users
        .iter()
        .find(|user| user.name.eq_ignore_ascii_case(name) && user.password.reveal() == password)
}

/// [`challenge`] as an error.
fn refusal(connection: &Connection, diagnostics: Option<&'static str>) -> Box<Response<ReplyBody>> {
    Box::new(challenge(connection, diagnostics))
}

/// A 401 that names the ways to sign in.
pub(crate) fn challenge(
    connection: &Connection,
    diagnostics: Option<&'static str>,
) -> Response<ReplyBody> {
    let auth = connection.shared.options.auth;
    let mut response = Response::new(Vec::new().into());
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    if auth.ntlm.is_some() {
        offer(headers, "Negotiate");
        offer(headers, "NTLM");
    }
    if auth.basic {
        offer(headers, "Basic realm=\"localhost\"");
    }
    if auth.bearer {
        offer(
            headers,
            "Bearer client_id=\"00000002-0000-0ff1-ce00-000000000000\", \
             trusted_issuers=\"00000001-0000-0000-c000-000000000000@*\", \
             token_types=\"app_asserted_user_v1 service_asserted_app_v1\"",
        );
        if !auth.basic && auth.ntlm.is_none() {
            // By this text clients know that they must bring a token.
            let public = "4000000;reason=\"Modern Auth is required.\"";
            headers.insert("ms-diagnostics-public", header::HeaderValue::from_static(public));
        }
    }
    if let Some(diagnostics) = diagnostics {
        headers.insert("x-ms-diagnostics", header::HeaderValue::from_static(diagnostics));
    }
    response
}
