//! From the configuration as written, and the environment, to [`Settings`].

use std::{path::PathBuf, time::Duration};

use record::MailboxId;
use serde_json::{Value, json};

use super::{
    problem::{self, quoted},
    service::Interface,
    settings::{ChannelBinding, Effective, EgressPolicy, Origin, Server, Settings, Tls},
    written::{EwsConfig, default},
};
use crate::environment::Environment;

/// Room for the SOAP around one email, in bytes.
const ENVELOPE: u64 = 1 << 20;

/// How `poll_message_sleep` is printed when it is absent.
const PACE_UNDER_THROTTLING: &str = "0.1 while the server throttles, else 0";

/// Collects what is found on the way, so that all mistakes are told at once.
pub(super) struct Reader<'a> {
    pub(super) config: EwsConfig,
    pub(super) environment: &'a Environment,
    problems: Vec<String>,
    warnings: Vec<String>,
    effective: Vec<Effective>,
}

/// The settings, or everything that is wrong.
pub(super) fn validate(
    config: EwsConfig,
    environment: &Environment,
) -> Result<Settings, Vec<String>> {
    let mut reader = Reader {
        config,
        environment,
        problems: Vec::new(),
        warnings: Vec::new(),
        effective: Vec::new(),
    };
    // `Settings` is complete or absent: each part that is missing has left a problem.
    match reader.settings() {
        Some(settings) if reader.problems.is_empty() => {
            Ok(Settings { warnings: reader.warnings, effective: reader.effective, ..settings })
        }
        _ => Err(reader.problems),
    }
}

impl Origin {
    pub(super) fn of<T>(written: Option<T>) -> Self {
        if written.is_some() { Self::File } else { Self::Default }
    }

    /// What an error is about: the key, or the variable that overrides it.
    pub(super) fn subject(&self, key: &str) -> String {
        match self {
            Self::Environment(variable) => format!("the environment variable `{variable}`"),
            Self::File | Self::Default => format!("`{key}`"),
        }
    }
}

impl Reader<'_> {
    pub(super) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    pub(super) fn warn(&mut self, sentence: String) {
        self.warnings.push(sentence);
    }

    /// Keeps a value for the print-out. Never a secret.
    pub(super) fn note(&mut self, key: impl Into<String>, value: &Value, origin: Origin) {
        self.note_text(key, value.to_string(), origin);
    }

    pub(super) fn note_text(&mut self, key: impl Into<String>, value: String, origin: Origin) {
        self.effective.push(Effective { key: key.into(), value, origin });
    }

    pub(super) fn note_or_default<T>(
        &mut self,
        key: &'static str,
        value: &Value,
        written: Option<T>,
    ) {
        self.note(key, value, Origin::of(written));
    }

    /// Tells whether `text` still holds a `<placeholder>` of a sample, and complains.
    pub(super) fn is_placeholder(&mut self, key: &str, text: &str) -> bool {
        let Some(placeholder) = text
            .split_once('<')
            .and_then(|(_, rest)| rest.split_once('>'))
            .map(|(name, _)| name.to_owned())
        else {
            return false;
        };
        self.problem(format!(
            "`{key}` still holds the placeholder `<{}>`",
            problem::key(&placeholder)
        ));
        true
    }

    fn settings(&mut self) -> Option<Settings> {
        let (interface, chosen_because) = self.interface();
        let server_in_file = self.host_in_file();
        let server = if interface.has_ews() {
            self.server()
        } else {
            self.without_ews();
            None
        };
        let endpoint = server.as_ref().map(|server| &server.endpoint);
        let (auth, graph_scope) = self.auth(interface, endpoint);
        let access_type = self.access_type(interface);
        if interface.has_ews()
            && matches!(auth, Some(super::Auth::OAuth2(_)))
            && access_type == super::AccessType::Delegate
        {
            self.warn(
                "`access_type` is `delegate`, but Exchange Online opens mailboxes to an \
                 application only with `\"access_type\": \"impersonation\"`."
                    .into(),
            );
        }
        let tls = self.tls(interface, server.as_ref(), server_in_file);
        let service = self.service(interface, server, auth.as_ref(), graph_scope);
        let egress_policy = self.egress_policy();
        let seconds = Duration::from_secs_f64;

        let connect_timeout = self.config.connect_timeout;
        let connect_timeout =
            self.or_default("connect_timeout", connect_timeout, default::CONNECT_TIMEOUT);
        let request_timeout = self.config.request_timeout;
        let request_timeout =
            self.or_default("request_timeout", request_timeout, default::REQUEST_TIMEOUT);
        let poll_frequency = self.config.poll_frequency;
        let poll_frequency =
            self.or_default("poll_frequency", poll_frequency, default::POLL_FREQUENCY);
        self.note_idle_poll_limit(interface);
        let idle_poll_limit = self.config.idle_poll_limit;
        let poll_message_sleep = self.config.poll_message_sleep;
        self.note_or_default(
            "poll_message_sleep",
            &poll_message_sleep.map_or_else(|| json!(PACE_UNDER_THROTTLING), plain_number),
            poll_message_sleep,
        );
        let uploads = self.config.max_concurrent_uploads;
        let max_concurrent_uploads = self.whole_or_default(
            "max_concurrent_uploads",
            uploads.map(|number| number.max(1)),
            default::MAX_CONCURRENT_UPLOADS,
        );
        let mailboxes = self.config.max_concurrent_mailboxes;
        let max_concurrent_mailboxes = self.whole_or_default(
            "max_concurrent_mailboxes",
            mailboxes,
            default::MAX_CONCURRENT_MAILBOXES,
        );
        let per_folder = self.config.emails_per_folder;
        let emails_per_folder =
            self.whole_or_default("emails_per_folder", per_folder, default::EMAILS_PER_FOLDER);
        let batch = self.config.reinfer_batch_size;
        let reinfer_batch_size =
            self.whole_or_default("reinfer_batch_size", batch, default::REINFER_BATCH_SIZE);
        let (max_email_size, response_size_cap) = self.sizes();
        let include_drafts = self.config.include_drafts.unwrap_or(false);
        let written = self.config.include_drafts;
        self.note_or_default("include_drafts", &json!(include_drafts), written);
        let audit_email = self.audit_email();
        let mailboxes = self.mailboxes();

        Some(Settings {
            service: service?,
            chosen_because,
            auth: auth?,
            access_type,
            tls,
            egress_policy,
            connect_timeout: seconds(connect_timeout),
            request_timeout: seconds(request_timeout),
            poll_frequency: seconds(poll_frequency),
            idle_poll_limit: idle_poll_limit.map(seconds),
            poll_message_sleep: poll_message_sleep.map(seconds),
            max_concurrent_uploads,
            max_concurrent_mailboxes,
            emails_per_folder,
            reinfer_batch_size,
            max_email_size,
            response_size_cap,
            include_drafts,
            mailboxes,
            audit_email,
            warnings: Vec::new(),
            effective: Vec::new(),
        })
    }

    fn note_idle_poll_limit(&mut self, interface: Interface) {
        let written = self.config.idle_poll_limit;
        let default = default::IDLE_POLL_LIMIT_OF_GRAPH;
        let value = match (written, interface) {
            (Some(limit), _) => plain_number(limit),
            (None, Interface::Ews) => Value::Null,
            (None, Interface::Graph) => plain_number(default),
            (None, Interface::Either) => json!(format!("{default} over Graph, none over EWS")),
        };
        self.note_or_default("idle_poll_limit", &value, written);
    }

    pub(super) fn or_default(
        &mut self,
        key: &'static str,
        written: Option<f64>,
        default: f64,
    ) -> f64 {
        let value = written.unwrap_or(default);
        self.note_or_default(key, &plain_number(value), written);
        value
    }

    fn whole_or_default(&mut self, key: &'static str, written: Option<u64>, default: u64) -> usize {
        let value = written.unwrap_or(default);
        self.note_or_default(key, &json!(value), written);
        usize::try_from(value).unwrap_or(usize::MAX)
    }

    fn tls(
        &mut self,
        interface: Interface,
        server: Option<&Server>,
        host_in_file: Option<String>,
    ) -> Tls {
        let verify = self.config.ews_ssl_verify.is_none_or(|verify| verify.is_on());
        let host = server.and_then(|server| server.endpoint.host_str()).map(str::to_owned);
        if !verify && interface.has_graph() && self.config.graph_endpoint.is_none() {
            self.problem(
                "`ews_ssl_verify` is `false`, but nothing else than Microsoft answers for Microsoft \
                 Graph; allowed: `true`, or `false` together with `graph_endpoint`; for a proxy that \
                 looks into connections, its authority in `ews_ca_file`"
                    .into(),
            );
        } else if !verify && interface == Interface::Graph {
            self.warn(
                "`ews_ssl_verify` is `false`: whoever answers in the place of `graph_endpoint` can \
                 read mail and tokens. Better name its authority in `ews_ca_file`."
                    .into(),
            );
        }
        if let Some(host) = host.filter(|_| !verify) {
            if host_in_file.is_some_and(|in_file| in_file == host) {
                self.warn(format!(
                    "`ews_ssl_verify` is `false`: whoever answers in the place of `{host}` can \
                     read mail and password. Better name its authority in `ews_ca_file`."
                ));
            } else {
                self.problem(format!(
                    "`ews_ssl_verify` is `false`, but the server `{host}` is named by the \
                     environment only; allowed: `false` for a server that `host` or \
                     `ews_endpoint` names in the file"
                ));
            }
        }
        let written = self.config.ews_ssl_verify;
        self.note_or_default("ews_ssl_verify", &json!(verify), written);
        let ciphers = self.config.ews_ssl_ciphers.take();
        if let Some(list) = &ciphers
            && (list.is_empty() || !list.chars().all(|c| c.is_ascii_graphic() || c == ' '))
        {
            self.problem(format!(
                "`ews_ssl_ciphers` is `{}`; allowed: an OpenSSL cipher list, such as \
                 `ECDHE+AESGCM:AES256-SHA`",
                quoted(list)
            ));
        }
        self.note_or_default("ews_ssl_ciphers", &json!(ciphers), ciphers.as_ref());
        let ca_file = self.config.ews_ca_file.take();
        if ca_file.as_ref().is_some_and(|path| path.is_empty() || path.contains('\0')) {
            self.problem("`ews_ca_file` is empty; allowed: the path of a PEM file".into());
        }
        self.note_or_default("ews_ca_file", &json!(ca_file), ca_file.as_ref());
        let written = self.config.ews_channel_binding;
        let channel_binding = written.unwrap_or(ChannelBinding::Auto);
        let name = match channel_binding {
            ChannelBinding::Auto => "auto",
            ChannelBinding::Off => "off",
        };
        self.note_or_default("ews_channel_binding", &json!(name), written);
        Tls { verify, ciphers, ca_file: ca_file.map(PathBuf::from), channel_binding }
    }

    fn egress_policy(&mut self) -> EgressPolicy {
        let written = self.config.egress_policy;
        let policy = written.unwrap_or(EgressPolicy::Metadata);
        let name = match policy {
            EgressPolicy::Off => "off",
            EgressPolicy::Metadata => "metadata",
            EgressPolicy::Private => "private",
        };
        self.note_or_default("egress_policy", &json!(name), written);
        policy
    }

    fn sizes(&mut self) -> (u64, u64) {
        let written = self.config.max_email_size;
        let max_email_size = written.unwrap_or(default::MAX_EMAIL_SIZE);
        self.note_or_default("max_email_size", &json!(max_email_size), written);
        // Base64 makes four bytes of three.
        let needed = max_email_size.div_ceil(3) * 4 + ENVELOPE;
        let written = self.config.response_size_cap;
        let cap = written.unwrap_or_else(|| default::RESPONSE_SIZE_CAP.max(needed));
        if cap < needed {
            self.problem(format!(
                "`response_size_cap` is `{cap}`, too little for an email of `max_email_size`; \
                 allowed: at least {needed}, or a smaller `max_email_size`"
            ));
        }
        self.note_or_default("response_size_cap", &json!(cap), written);
        (max_email_size, cap)
    }

    fn audit_email(&mut self) -> Option<String> {
        let address = self.config.audit_email.take();
        if let Some(text) = &address
            && text.parse::<MailboxId>().is_err()
        {
            self.problem(format!(
                "`audit_email` is `{}`; allowed: an address such as `audit@example.com`",
                quoted(text)
            ));
        }
        self.note_or_default("audit_email", &json!(address), address.as_ref());
        address
    }
}

/// A whole number without its `.0`.
pub(super) fn plain_number(number: f64) -> Value {
    serde_json::from_str(&number.to_string()).unwrap_or(Value::Null)
}
