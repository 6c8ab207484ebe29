//! The environment variables that the tools and libraries of AWS read.

use std::path::PathBuf;

use record::Secret;

/// What the environment says about S3. Nobody else reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsEnvironment {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: Option<String>,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: Option<Secret>,
    /// `AWS_SESSION_TOKEN`, of keys that end.
    pub session_token: Option<Secret>,
    /// `AWS_REGION`, else `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
    /// `AWS_ENDPOINT_URL_S3`, else `AWS_ENDPOINT_URL`: another service than Amazon's.
    pub endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_STS`: where roles are assumed.
    pub sts_endpoint: Option<String>,
    /// `AWS_ROLE_ARN` and `AWS_WEB_IDENTITY_TOKEN_FILE`, as Kubernetes on AWS sets them.
    pub role_arn: Option<String>,
    pub web_identity_token_file: Option<PathBuf>,
    /// `AWS_ROLE_SESSION_NAME`.
    pub role_session_name: Option<String>,
}

impl AwsEnvironment {
    /// The variables that are read, for the reference.
    pub const VARIABLES: [&str; 11] = [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_STS",
        "AWS_ROLE_ARN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_SESSION_NAME",
    ];

    /// Everything that must not be shown.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        [&self.secret_access_key, &self.session_token].into_iter().flatten()
    }

    /// Takes what it needs from `variable`. One that is set to nothing counts as not set.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let text = |name: &str| {
            variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let secret = |name: &str| text(name).map(Secret::from);
        Self {
            access_key_id: text("AWS_ACCESS_KEY_ID"),
            secret_access_key: secret("AWS_SECRET_ACCESS_KEY"),
            session_token: secret("AWS_SESSION_TOKEN"),
            region: text("AWS_REGION").or_else(|| text("AWS_DEFAULT_REGION")),
            endpoint: text("AWS_ENDPOINT_URL_S3").or_else(|| text("AWS_ENDPOINT_URL")),
            sts_endpoint: text("AWS_ENDPOINT_URL_STS"),
            role_arn: text("AWS_ROLE_ARN"),
            web_identity_token_file: text("AWS_WEB_IDENTITY_TOKEN_FILE").map(PathBuf::from),
            role_session_name: text("AWS_ROLE_SESSION_NAME"),
        }
    }
}
