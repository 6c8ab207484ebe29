//! The values that a key of the configuration may have, where there are only a few.

use schemars::JsonSchema;
use serde::Deserialize;

/// Value of `microsoft_api`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MicrosoftApi {
    Ews,
    Graph,
    Auto,
}

impl MicrosoftApi {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ews => "ews",
            Self::Graph => "graph",
            Self::Auto => "auto",
        }
    }
}

/// Value of `auth_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuthType {
    Ntlm,
    OAuth2,
    Basic,
}

/// How mailboxes are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccessType {
    /// With the user's own right to each mailbox.
    Delegate,
    /// In the name of the mailbox's owner.
    Impersonation,
}

/// Value of `ews_ssl_verify`: a boolean, or its name as a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Verify {
    Boolean(bool),
    Name(BooleanName),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BooleanName {
    True,
    False,
}

impl Verify {
    pub(crate) fn is_on(self) -> bool {
        matches!(self, Self::Boolean(true) | Self::Name(BooleanName::True))
    }
}

impl JsonSchema for Verify {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Verify".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "enum": ["true", "false", true, false] })
    }
}

/// Whether NTLM is bound to the TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChannelBinding {
    Auto,
    Off,
}

/// Addresses that are never connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EgressPolicy {
    Off,
    Metadata,
    Private,
}

/// How the messages of a folder are listed over Microsoft Graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GraphDelta {
    Auto,
    Never,
}

/// Where a mailbox begins after a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StartFrom {
    /// After the last email stored.
    Bucket,
    /// At `start_timestamp`, whatever was stored.
    Config,
}
