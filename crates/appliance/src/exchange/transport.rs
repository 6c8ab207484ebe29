//! The way to a server: TLS, addresses that are never connected to, limits, and who signs in.

use std::sync::Arc;

use net::{
    Egress, Identity, Limits, Login, PlainHttp, Tls, TlsSettings, TokenSource, Transport,
    egress::Level,
    oauth::{ClientCredentials, Proof, SigningKey},
};
use record::{Chain, Clock, clock::SystemClock};

use crate::{
    config::{Auth, ChannelBinding, Credential, EgressPolicy, OAuth, Settings},
    exit::{Ending, Exit},
};

pub(super) fn transport(settings: &Settings, verify: bool) -> Result<Transport, Ending> {
    let tls = TlsSettings {
        verify,
        ca_file: settings.tls.ca_file.clone(),
        // The list is meant for old servers; token endpoints are modern.
        ciphers: settings.tls.ciphers.clone(),
    };
    let tls = Tls::new(&tls).map_err(|err| Ending::config(&err))?;
    let level = match settings.egress_policy {
        EgressPolicy::Off => Level::Off,
        EgressPolicy::Metadata => Level::Metadata,
        EgressPolicy::Private => Level::Private,
    };
    let limits = Limits {
        connect: settings.connect_timeout,
        answer: settings.request_timeout,
        max_body: settings.response_size_cap,
        ..Limits::default()
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // The configuration has refused `http:` already where it is not allowed.
    let plain_http = PlainHttp::Everywhere;
    Ok(Transport { tls, egress: Arc::new(Egress::new(level)), plain_http, limits, clock })
}

pub(super) fn identity(settings: &Settings) -> Result<Identity, Ending> {
    Ok(match &settings.auth {
        Auth::Ntlm { user, password } => {
            let binding = match settings.tls.channel_binding {
                ChannelBinding::Auto => net::ChannelBinding::Auto,
                ChannelBinding::Off => net::ChannelBinding::Off,
            };
            Identity::Password(Login::ntlm(user, password.clone(), binding))
        }
        Auth::Basic { user, password } => Identity::Password(Login::basic(user, password.clone())),
        Auth::OAuth2(oauth) => Identity::Token(token_source(settings, oauth)?),
    })
}

pub(super) fn token_source(settings: &Settings, oauth: &OAuth) -> Result<Arc<TokenSource>, Ending> {
    let proof = match &oauth.credential {
        Credential::ClientSecret(secret) => Proof::Secret(secret.clone()),
        Credential::Certificate { private_key, thumbprint } => {
            let key = SigningKey::new(private_key, &thumbprint.to_string());
            Proof::Certificate(key.map_err(|err| {
                let cause = Chain(&err);
                let key = "auth_oauth_client_credential_private_key";
                Ending::new(Exit::Config, format!("`{key}`: {cause}"))
            })?)
        }
    };
    let credentials = ClientCredentials {
        authority: oauth.token_url.to_string(),
        client_id: oauth.client_id.clone(),
        proof,
        scope: oauth.scope.clone(),
    };
    // Whoever answers here is given the secret: its certificate is verified in any case.
    let transport = transport(settings, true)?;
    TokenSource::new(credentials, transport).map_err(|err| Ending::config(&err))
}
