//! Wires a source out of the settings: transport, identity, Exchange.

use std::{fs, num::NonZeroUsize, path::Path, sync::Arc};

use net::{
    Egress, Endpoint, Identity, Limits, Login, PlainHttp, Tls, TlsSettings, TokenSource, Transport,
    egress::Level,
    oauth::{ClientCredentials, Proof, SigningKey},
};
use record::{Chain, Clock, Meter, Unmetered, clock::SystemClock};
use sources::ews::{Access, Ews, EwsSettings, Version};

use crate::{
    config::{AccessType, Auth, ChannelBinding, Credential, EgressPolicy, OAuth, Settings},
    exit::{Ending, Exit},
};

/// Opens the service that all mailboxes of `settings` share. Contacts nobody yet. `spool` is
/// created if need be.
///
/// # Errors
///
/// Settings that only show to be wrong when they are used: the cipher list, the CA file, the key.
pub fn open(settings: &Settings, spool: &Path, meter: Arc<dyn Meter>) -> Result<Arc<Ews>, Ending> {
    fs::create_dir_all(spool).map_err(|err| {
        Ending::new(Exit::Io, format!("could not create `{}`: {err}", spool.display()))
    })?;
    // A read-only root shows here, and not with the first large email.
    tempfile::tempfile_in(spool).map_err(|err| {
        let text = format!(
            "could not write to `{}`, where large emails wait: {err}\n\
             Hint: Mount a volume there, or name another folder with --spool-dir.",
            spool.display()
        );
        Ending::new(Exit::Io, text)
    })?;
    wire(settings, spool, meter)
}

/// The same for a command that has a look and is gone.
///
/// # Errors
///
/// Those of [`open`].
pub fn open_to_look(settings: &Settings) -> Result<Arc<Ews>, Ending> {
    open(settings, &std::env::temp_dir(), Arc::new(Unmetered))
}

/// Tells whether [`open`] would find something wrong with the settings. Leaves nothing behind.
///
/// # Errors
///
/// Those of [`open`].
pub fn check(settings: &Settings) -> Result<(), Ending> {
    wire(settings, Path::new(""), Arc::new(Unmetered)).map(drop)
}

/// The servers that the settings lead to, for a diagnosis of the way: Exchange, and whoever issues
/// tokens.
///
/// # Errors
///
/// Those of [`open`].
pub(crate) fn endpoints(settings: &Settings) -> Result<Vec<(&'static str, Endpoint)>, Ending> {
    let endpoint = |url: &str, verify| {
        Endpoint::new(url, transport(settings, verify)?).map_err(|err| Ending::config(&err))
    };
    let mut endpoints = Vec::new();
    if let Some(graph) = settings.service.graph() {
        endpoints.push(("graph", endpoint(graph.endpoint.as_str(), settings.tls.verify)?));
    }
    if let Some(ews) = settings.service.ews() {
        endpoints.push(("server", endpoint(ews.endpoint.as_str(), settings.tls.verify)?));
    }
    if let Auth::OAuth2(oauth) = &settings.auth {
        endpoints.push(("authority", endpoint(oauth.token_url.as_str(), true)?));
    }
    Ok(endpoints)
}

fn wire(settings: &Settings, spool: &Path, meter: Arc<dyn Meter>) -> Result<Arc<Ews>, Ending> {
    let exchange = transport(settings, settings.tls.verify)?;
    let Some(server) = settings.service.ews() else {
        return Err(Ending::new(Exit::Config, "Microsoft Graph comes with a later version"));
    };
    let endpoint =
        Endpoint::new(server.endpoint.as_str(), exchange).map_err(|err| Ending::config(&err))?;
    let identity = identity(settings)?;
    let ews = EwsSettings {
        access: match settings.access_type {
            AccessType::Delegate => Access::Delegate,
            AccessType::Impersonation => Access::Impersonation,
        },
        version: server.version.as_deref().and_then(Version::parse).unwrap_or(Version::NEWEST),
        connections: NonZeroUsize::new(settings.max_concurrent_mailboxes)
            .unwrap_or(NonZeroUsize::MIN),
        max_email_size: settings.max_email_size,
        spool_dir: spool.to_owned(),
        meter,
    };
    Ok(Ews::new(endpoint, identity, ews))
}

fn transport(settings: &Settings, verify: bool) -> Result<Transport, Ending> {
    let tls = TlsSettings {
        verify,
        ca_file: settings.tls.ca_file.clone(),
        // The list is meant for the Exchange server; token endpoints are modern.
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

fn identity(settings: &Settings) -> Result<Identity, Ending> {
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

fn token_source(settings: &Settings, oauth: &OAuth) -> Result<Arc<TokenSource>, Ending> {
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
