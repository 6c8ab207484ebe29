//! Keys for a role that a web identity assumes, as a service account of Kubernetes has one.
//!
//! Spec: "`AssumeRoleWithWebIdentity`", AWS Security Token Service API Reference.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use net::{Call, Client, Endpoint, HeaderValue, Method, Payload, Transport, header::CONTENT_TYPE};
use object_store::aws::AwsCredential;
use record::{Chain, Clock};
use std::sync::Arc;
use url::form_urlencoded;

use super::{AwsEnvironment, BadKeys, credential::unauthorized};
use crate::{
    Failure, Reason,
    service::{code_in_xml, is_code, shown},
};

/// Longest token and longest answer, in bytes.
const MAX_TOKEN: u64 = 64 << 10;
const MAX_ANSWER: usize = 64 << 10;
const SESSION: &str = "tributary";
const FORM: &str = "application/x-www-form-urlencoded";

/// A way to keys that end.
pub(super) struct WebIdentity {
    client: Client,
    role: String,
    session: String,
    token_file: PathBuf,
    clock: Arc<dyn Clock>,
}

impl WebIdentity {
    pub(super) fn new(
        environment: &AwsEnvironment,
        region: &str,
        transport: &Transport,
    ) -> Result<Self, BadKeys> {
        let token_file = environment.web_identity_token_file.clone().ok_or(BadKeys::Nothing)?;
        let role = environment.role_arn.clone().ok_or(BadKeys::NoRole)?;
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let usual = format!("https://sts.{region}.{suffix}");
        let url = environment.sts_endpoint.as_deref().unwrap_or(&usual);
        Ok(Self {
            client: Client::new(Endpoint::new(url, transport.clone())?, NonZeroUsize::MIN),
            role,
            session: environment.role_session_name.clone().unwrap_or_else(|| SESSION.to_owned()),
            token_file,
            clock: Arc::clone(&transport.clock),
        })
    }

    /// The token of this moment: whoever issues it replaces the file.
    async fn token(&self) -> Result<String, Failure> {
        let path = self.token_file.clone();
        let read = tokio::task::spawn_blocking(move || {
            use std::io::Read;
            let mut text = String::new();
            std::fs::File::open(path)?.take(MAX_TOKEN).read_to_string(&mut text)?;
            Ok::<_, std::io::Error>(text.trim().to_owned())
        });
        let read = read.await.map_err(|err| err.to_string());
        read.and_then(|read| read.map_err(|err| err.to_string())).map_err(|why| {
            let file = self.token_file.display();
            self.refused(format!("`AWS_WEB_IDENTITY_TOKEN_FILE`: cannot read `{file}`: {why}"))
        })
    }

    fn refused(&self, why: String) -> Failure {
        unauthorized(self.client.endpoint().name(), why)
    }

    /// Keys, and how long they are good.
    pub(super) async fn assume(&self) -> Result<(AwsCredential, Duration), Failure> {
        let token = self.token().await?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", "AssumeRoleWithWebIdentity")
            .append_pair("Version", "2011-06-15")
            .append_pair("RoleArn", &self.role)
            .append_pair("RoleSessionName", &self.session)
            .append_pair("WebIdentityToken", &token)
            .finish();
        let mut call = Call::new(Method::POST, "/");
        call.headers.insert(CONTENT_TYPE, HeaderValue::from_static(FORM));
        call.payload = Payload::Bytes(form.into());
        let host = || self.client.endpoint().name().to_owned();
        let lost = |err: net::NetError| {
            let cause = Reason::new(format!("the web identity gets no keys now: {}", Chain(&err)));
            Failure::Unreachable { host: host(), cause }
        };
        let mut reply = self.client.send(call).await.map_err(lost)?;
        let status = reply.status;
        let body = reply.body.collect(MAX_ANSWER).await.map_err(lost)?;
        if status.is_success() {
            return self.keys(&body).ok_or_else(|| {
                self.refused("the answer of the token service has no keys".to_owned())
            });
        }
        let code = code_in_xml(&body).filter(|code| is_code(code)).unwrap_or_default();
        let shown = shown(status, code);
        if status.is_server_error() || code == "Throttling" {
            return Err(Failure::Unavailable { host: host(), code: shown });
        }
        Err(self.refused(format!(
            "the web identity is refused ({shown}): check `AWS_ROLE_ARN`, the trust policy of the \
             role, and the token in `AWS_WEB_IDENTITY_TOKEN_FILE`"
        )))
    }

    fn keys(&self, body: &[u8]) -> Option<(AwsCredential, Duration)> {
        let text = std::str::from_utf8(body).ok()?;
        let of = |tag: &str| -> Option<String> {
            let rest = text.split_once(&format!("<{tag}>"))?.1;
            let value = rest.split_once(&format!("</{tag}>"))?.0.trim();
            let good = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
            good.then(|| value.to_owned())
        };
        let keys = AwsCredential {
            key_id: of("AccessKeyId")?,
            secret_key: of("SecretAccessKey")?,
            token: Some(of("SessionToken")?),
        };
        let ends_at: DateTime<Utc> = DateTime::parse_from_rfc3339(&of("Expiration")?).ok()?.into();
        let life = (ends_at - self.clock.now()).to_std().unwrap_or_default();
        Some((keys, life))
    }
}
