//! The configuration as it is written. The doc comments are the reference manual: `cargo xtask
//! docs` turns them into the reference page and the JSON Schema.

use std::collections::BTreeMap;

use record::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{
    AccessType, AuthType, ChannelBinding, EgressPolicy, GraphDelta, MicrosoftApi, StartFrom, Verify,
};

/// Default values, as the reference page and the validation see them.
pub(super) mod default {
    pub(crate) const PORT: u16 = 80;
    pub(crate) const POLL_FREQUENCY: f64 = 15.0;
    pub(crate) const MAX_CONCURRENT_UPLOADS: u64 = 8;
    pub(crate) const MAX_CONCURRENT_MAILBOXES: u64 = 8;
    pub(crate) const EMAILS_PER_FOLDER: u64 = 2520;
    pub(crate) const REINFER_BATCH_SIZE: u64 = 80;
    pub(crate) const CONNECT_TIMEOUT: f64 = 10.0;
    pub(crate) const REQUEST_TIMEOUT: f64 = 120.0;
    /// Exchange Online passes on emails of up to 150 MB; their MIME form is a third larger.
    pub(crate) const MAX_EMAIL_SIZE: u64 = 256 << 20;
    pub(crate) const RESPONSE_SIZE_CAP: u64 = 512 << 20;
    /// Over Graph every look costs a request of the budget, so that idle mailboxes are looked at
    /// less often.
    pub(crate) const IDLE_POLL_LIMIT_OF_GRAPH: f64 = 900.0;
    /// Half of what Microsoft allows an application in all tenants together (130,000 requests in
    /// 10 seconds): another program, or a second copy of this one, may have the other half.
    pub(crate) const GRAPH_REQUESTS_PER_SECOND: f64 = 6500.0;
}

/// Configuration of the appliance: one JSON object. Needed are `mailboxes`, a sign-in, and for
/// Exchange Web Services the server's address. A key whose value is `null` counts as absent.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EwsConfig {
    /// Address of the JSON Schema, for editors. Not used otherwise.
    #[serde(rename = "$schema")]
    #[expect(dead_code, reason = "accepted so that editors find the schema")]
    pub(crate) schema: Option<String>,

    /// Address of Exchange Web Services. Example:
    /// `https://outlook.office365.com/EWS/Exchange.asmx`. Give this or `host`.
    #[schemars(extend("format" = "uri"))]
    pub(crate) ews_endpoint: Option<String>,

    /// Exchange server, for servers of one's own. Example: `https://exchange-server.example.com`.
    /// The address of the service becomes `SCHEME://HOST:PORT/EWS/Exchange.asmx`. Without a
    /// scheme, port 443 means `https`, every other port `http`. Give this or `ews_endpoint`.
    pub(crate) host: Option<String>,

    /// Port of the Exchange server; goes with `host`. When neither this key nor `host` names a
    /// port and `host` begins with `https:`, it is 443.
    #[schemars(range(min = 1, max = 65535), extend("default" = default::PORT))]
    pub(crate) port: Option<u64>,

    /// Accepts an `http:` address on another machine, for the Exchange server and for the
    /// OAuth authority. Everybody on the way can then read mail, tokens and passwords. `http:`
    /// on this machine needs no permission.
    #[schemars(extend("default" = false))]
    pub(crate) ews_allow_http: Option<bool>,

    /// Highest version of EWS that is asked for, such as `Exchange2010_SP1`. A server that
    /// refuses it is asked for lower ones. Nothing newer than `Exchange2010_SP2` is needed, so
    /// that later versions mean the same as this one, and as none.
    #[schemars(extend("enum" = [
        "Exchange2007_SP1", "Exchange2010", "Exchange2010_SP1", "Exchange2010_SP2",
        "Exchange2013", "Exchange2013_SP1", "Exchange2016", null,
    ]))]
    pub(crate) ews_server_version: Option<String>,

    /// Interface that mail is read through: `ews` is Exchange Web Services, which Exchange Online
    /// ends on 1 April 2027; `graph` is Microsoft Graph, for mailboxes in Exchange Online only;
    /// `auto` is Graph for Exchange Online and EWS for other servers. Where `auto` finds both
    /// possible, it tries Graph at each start, and falls back to EWS with a warning if the
    /// application may not read mail over Graph. The log says what was chosen, and why. A mailbox
    /// that was read over one of the two goes on over the other: see `docs/guides/graph.md`.
    #[schemars(extend("default" = "ews"))]
    pub(crate) microsoft_api: Option<MicrosoftApi>,

    /// Address of Microsoft Graph, with its version. Without it that of the cloud:
    /// `https://graph.microsoft.com/v1.0`, for `login.microsoftonline.us`
    /// `https://graph.microsoft.us/v1.0`, for `login.partner.microsoftonline.cn`
    /// `https://microsoftgraph.chinacloudapi.cn/v1.0`. The US Department of Defense shares its
    /// authority with others and needs this key: `https://dod-graph.microsoft.us/v1.0`.
    #[schemars(extend("format" = "uri"))]
    pub(crate) graph_endpoint: Option<String>,

    /// How new messages are found over Graph: `auto` asks for the changes of each folder (delta
    /// queries), and where the cloud does not offer that, lists them by the time of receipt;
    /// `never` always does the latter.
    #[schemars(extend("default" = "auto"))]
    pub(crate) graph_delta: Option<GraphDelta>,

    /// Requests to Graph that each app registration makes in a second at most, those inside a
    /// `$batch` counted singly, all shards together: each shard takes its part. Microsoft allows
    /// 13,000 an application over all tenants; the default is half of that, so that other
    /// programs of the same registration have the rest.
    #[schemars(
        range(min = 0.1, max = 13000),
        extend("default" = default::GRAPH_REQUESTS_PER_SECOND),
    )]
    pub(crate) graph_requests_per_second: Option<f64>,

    /// Further app registrations that share the mailboxes with the one of `auth_oauth_client_id`,
    /// since Microsoft counts requests by application. Each mailbox belongs to one of them. All
    /// are of the same tenant and need the same permission.
    #[schemars(length(max = 15))]
    pub(crate) graph_applications: Option<Vec<ApplicationConfig>>,

    /// Way to sign in. Without it: `oauth2` if `auth_oauth_client_id` is given, else `ntlm`.
    pub(crate) auth_type: Option<AuthType>,

    /// User of the Exchange server, for `ntlm` and `basic`: `user@example.com` or
    /// `DOMAIN\user`.
    pub(crate) auth_user: Option<String>,

    /// Password of the user, for `ntlm` and `basic`. Better kept out of the file, in the
    /// environment variable.
    #[schemars(with = "Option<String>", extend("writeOnly" = true))]
    pub(crate) auth_password: Option<Secret>,

    /// Authority that issues the tokens, with the tenant. Example:
    /// `https://login.microsoftonline.com/TENANT_ID/`. Tokens are asked for at
    /// `oauth2/v2.0/token` below it.
    #[schemars(extend("format" = "uri"))]
    pub(crate) auth_oauth_authority: Option<String>,

    /// Address that issues the tokens, if it is not `oauth2/v2.0/token` below the authority.
    #[schemars(extend("format" = "uri"))]
    pub(crate) auth_oauth_token_url: Option<String>,

    /// What the token is asked for. Without it the service of the authority's cloud: for EWS
    /// `https://outlook.office365.com/.default`, for `login.microsoftonline.us`
    /// `https://outlook.office365.us/.default`, for `login.partner.microsoftonline.cn`
    /// `https://partner.outlook.cn/.default`; for Graph `/.default` below the address that
    /// `graph_endpoint` names. With `"microsoft_api": "auto"`, a scope that names Graph is used
    /// for Graph only, any other for EWS only.
    pub(crate) auth_oauth_scope: Option<String>,

    /// Application (client) id of the app registration. It needs the application permission
    /// `full_access_as_app` of Exchange for EWS, `Mail.Read` of Microsoft Graph for Graph.
    pub(crate) auth_oauth_client_id: Option<String>,

    /// Client secret of the app registration. Give this, or a private key with its thumbprint.
    #[schemars(with = "Option<String>", extend("writeOnly" = true))]
    pub(crate) auth_oauth_client_secret: Option<Secret>,

    /// Private key of the certificate of the app registration: PEM, not encrypted, in the
    /// PKCS#1 or PKCS#8 form. Line breaks are written as `\n`.
    #[schemars(with = "Option<String>", extend("writeOnly" = true))]
    pub(crate) auth_oauth_client_credential_private_key: Option<Secret>,

    /// Thumbprint of the certificate: 40 hexadecimal digits (SHA-1) or 64 (SHA-256). Colons,
    /// blanks and the case do not matter.
    pub(crate) auth_oauth_client_credential_thumbprint: Option<String>,

    /// How mailboxes are opened: `delegate` with the user's own right to each mailbox,
    /// `impersonation` in the name of its owner, as OAuth applications must. No effect with Graph,
    /// where the application opens each mailbox by its own permission.
    #[schemars(extend("default" = "delegate"))]
    pub(crate) access_type: Option<AccessType>,

    /// Whether the certificate of the Exchange server is verified: `"true"` or `"false"`, with
    /// or without quotes. `false` exposes mail and password to whoever answers in the server's
    /// place, is warned about at each start, and is accepted only for a server that the
    /// configuration names itself. The OAuth authority is always verified. Better:
    /// `ews_ca_file`.
    #[schemars(extend("default" = "true"))]
    pub(crate) ews_ssl_verify: Option<Verify>,

    /// Ciphers offered to the Exchange server, as an OpenSSL cipher list (TLS 1.2 and older).
    /// Example: `ECDHE+AESGCM:AES256-SHA`.
    pub(crate) ews_ssl_ciphers: Option<String>,

    /// File with certificates of authorities (PEM) that are trusted besides those of the
    /// system. Example: `/mnt/config/ca.pem`.
    pub(crate) ews_ca_file: Option<String>,

    /// Whether NTLM is bound to the TLS connection (Extended Protection): `auto` binds it, and
    /// tries once without when the server refuses; `off` never binds it, for a server behind a
    /// proxy with another certificate.
    #[schemars(extend("default" = "auto"))]
    pub(crate) ews_channel_binding: Option<ChannelBinding>,

    /// Addresses that are never connected to: `metadata` blocks link-local addresses, where
    /// clouds serve the credentials of machines; `private` blocks private addresses and this
    /// machine as well; `off` blocks none.
    #[schemars(extend("default" = "metadata"))]
    pub(crate) egress_policy: Option<EgressPolicy>,

    /// Time for connecting to a server, in seconds.
    #[schemars(range(min = 10, max = 60), extend("default" = default::CONNECT_TIMEOUT))]
    pub(crate) connect_timeout: Option<f64>,

    /// Time that a server may stay silent within a request, in seconds.
    #[schemars(range(min = 10, max = 3600), extend("default" = default::REQUEST_TIMEOUT))]
    pub(crate) request_timeout: Option<f64>,

    /// Pause between two rounds of a mailbox that is caught up, in seconds.
    #[schemars(range(min = 0.1, max = 86400), extend("default" = default::POLL_FREQUENCY))]
    pub(crate) poll_frequency: Option<f64>,

    /// Longest pause between two rounds of a mailbox in which nothing happens, in seconds. The
    /// pause is a sixteenth of the time since something happened, but at least `poll_frequency`
    /// and at most this; after the first new email it is short again. A limit that is not above
    /// `poll_frequency` keeps the pause as it is, as is the default for EWS. For Graph it is 900,
    /// so that idle mailboxes leave the budget of requests to the others.
    #[schemars(range(min = 0.1, max = 86400))]
    pub(crate) idle_poll_limit: Option<f64>,

    /// Pause between two emails of a batch, in seconds. When given, it is kept everywhere; 0
    /// means no pause. Without it, 0.1 seconds are kept only while the server throttles, so
    /// that a first sync is not held to ten emails a second.
    #[schemars(range(min = 0, max = 3600))]
    pub(crate) poll_message_sleep: Option<f64>,

    /// Emails sent to the platform at the same time. 0 means one after another, as 1 does. No
    /// effect while emails are written to a folder.
    #[schemars(
        range(min = 0, max = 32),
        extend("default" = default::MAX_CONCURRENT_UPLOADS),
    )]
    pub(crate) max_concurrent_uploads: Option<u64>,

    /// Mailboxes read at the same time.
    #[schemars(
        range(min = 1, max = 256),
        extend("default" = default::MAX_CONCURRENT_MAILBOXES),
    )]
    pub(crate) max_concurrent_mailboxes: Option<u64>,

    /// Most emails read from one folder before the next has its turn, so that one huge folder
    /// cannot starve the others.
    #[schemars(
        range(min = 1, max = 100_000),
        extend("default" = default::EMAILS_PER_FOLDER),
    )]
    pub(crate) emails_per_folder: Option<u64>,

    /// Emails fetched, stored and acknowledged together.
    #[schemars(
        range(min = 1, max = 1000),
        extend("default" = default::REINFER_BATCH_SIZE),
    )]
    pub(crate) reinfer_batch_size: Option<u64>,

    /// Largest email that is copied, in bytes. A larger one is set aside in quarantine, with
    /// what is known of it.
    #[schemars(
        range(min = 1024, max = 2_147_483_648_u64),
        extend("default" = default::MAX_EMAIL_SIZE),
    )]
    pub(crate) max_email_size: Option<u64>,

    /// Largest reply that is read from the server, in bytes. Must hold an email of
    /// `max_email_size` in its Base64 form; without it, it is raised as far as that needs.
    #[schemars(
        range(min = 1_048_576, max = 4_294_967_296_u64),
        extend("default" = default::RESPONSE_SIZE_CAP),
    )]
    pub(crate) response_size_cap: Option<u64>,

    /// Whether drafts that were never sent are copied too, each as it was when it was first seen.
    /// What is sent later is an email of its own.
    #[schemars(extend("default" = false))]
    pub(crate) include_drafts: Option<bool>,

    /// Folders that are read; all mail folders without it. See [Folder patterns].
    #[schemars(length(max = 1000))]
    pub(crate) folders_allow: Option<Vec<String>>,

    /// Folders that are not read, even if allowed. See [Folder patterns].
    #[schemars(length(max = 1000))]
    pub(crate) folders_deny: Option<Vec<String>>,

    /// Mailboxes to read, each under its address: `{"abc@example.com": {"bucket": {…}}}`. At
    /// least one; no address twice, in whatever case it is written.
    pub(crate) mailboxes: BTreeMap<String, MailboxConfig>,

    /// Address that the platform tells by email when a remote configuration is changed. No
    /// effect with a local configuration.
    pub(crate) audit_email: Option<String>,
}

/// One mailbox.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MailboxConfig {
    /// Bucket that the emails go to.
    pub(crate) bucket: BucketConfig,

    /// Where to begin: `bucket` resumes after the last email stored, as is normal; `config`
    /// ignores what was stored and begins at `start_timestamp` after each start, without
    /// storing an email twice.
    #[schemars(extend("default" = "bucket"))]
    pub(crate) start_from: Option<StartFrom>,

    /// Earliest time of receipt that is copied, inclusive: a date and time with an offset
    /// (RFC 3339), such as `2020-01-01T00:00:00+00:00`. Everything is copied without it.
    #[schemars(extend("format" = "date-time"))]
    pub(crate) start_timestamp: Option<String>,

    /// Replaces the general `folders_allow` for this mailbox. See [Folder patterns].
    #[schemars(length(max = 1000))]
    pub(crate) folders_allow: Option<Vec<String>>,

    /// Replaces the general `folders_deny` for this mailbox. See [Folder patterns].
    #[schemars(length(max = 1000))]
    pub(crate) folders_deny: Option<Vec<String>>,
}

/// A bucket of the platform.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BucketConfig {
    /// Project that owns the bucket: 1 to 256 letters, digits, `-` or `_`.
    pub(crate) owner: String,

    /// Name of the bucket: 1 to 256 letters, digits, `-` or `_`.
    pub(crate) name: String,
}

/// A further app registration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplicationConfig {
    /// Application (client) id of the app registration.
    pub(crate) auth_oauth_client_id: String,

    /// Client secret of the app registration. Give this, or a private key with its thumbprint.
    /// For the first of the list, the environment variable
    /// `REINFER_EWS_AUTH_OAUTH_CLIENT_SECRET_2` overrides it, for the next one `…_3`.
    #[schemars(with = "Option<String>", extend("writeOnly" = true))]
    pub(crate) auth_oauth_client_secret: Option<Secret>,

    /// Private key of the certificate of the app registration: PEM, not encrypted. For the first
    /// of the list, the environment variable
    /// `REINFER_EWS_AUTH_OAUTH_CLIENT_CREDENTIAL_PRIVATE_KEY_2` overrides it, for the next one
    /// `…_3`.
    #[schemars(with = "Option<String>", extend("writeOnly" = true))]
    pub(crate) auth_oauth_client_credential_private_key: Option<Secret>,

    /// Thumbprint of the certificate: 40 or 64 hexadecimal digits.
    pub(crate) auth_oauth_client_credential_thumbprint: Option<String>,
}
