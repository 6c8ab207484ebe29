//! The environment variables that Azure's own tools and libraries read.

use std::path::PathBuf;

use record::Secret;

/// What the environment says about Azure. Nobody else reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AzureEnvironment {
    /// `AZURE_STORAGE_CONNECTION_STRING`.
    pub connection_string: Option<Secret>,
    /// `AZURE_STORAGE_KEY`, `AZURE_STORAGE_ACCOUNT_KEY` or `AZURE_STORAGE_ACCESS_KEY`.
    pub account_key: Option<Secret>,
    /// `AZURE_STORAGE_SAS_TOKEN`.
    pub sas_token: Option<Secret>,
    /// `AZURE_STORAGE_ENDPOINT`: address of the blob service, for an emulator, a private endpoint
    /// or another cloud.
    pub endpoint: Option<String>,
    /// `AZURE_TENANT_ID`.
    pub tenant_id: Option<String>,
    /// `AZURE_CLIENT_ID`.
    pub client_id: Option<String>,
    /// `AZURE_CLIENT_SECRET`.
    pub client_secret: Option<Secret>,
    /// `AZURE_CLIENT_CERTIFICATE_PATH`: PEM or PKCS#12, with the private key.
    pub client_certificate_path: Option<PathBuf>,
    /// `AZURE_CLIENT_CERTIFICATE_PASSWORD`.
    pub client_certificate_password: Option<Secret>,
    /// `AZURE_FEDERATED_TOKEN_FILE`.
    pub federated_token_file: Option<PathBuf>,
    /// `AZURE_AUTHORITY_HOST`.
    pub authority_host: Option<String>,
    /// `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`: the managed identity of an app service.
    pub identity_endpoint: Option<String>,
    pub identity_header: Option<Secret>,
    /// `AZURE_POD_IDENTITY_AUTHORITY_HOST`: another address of the metadata service.
    pub metadata_host: Option<String>,
    /// The program `az`, if not the one of the search path.
    pub azure_cli: Option<PathBuf>,
}

impl AzureEnvironment {
    /// The variables that are read, for the reference.
    pub const VARIABLES: [&str; 18] = [
        "AZURE_STORAGE_CONNECTION_STRING",
        "AZURE_STORAGE_KEY",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_ENDPOINT",
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET",
        "AZURE_CLIENT_CERTIFICATE_PATH",
        "AZURE_CLIENT_CERTIFICATE_PASSWORD",
        "AZURE_FEDERATED_TOKEN_FILE",
        "AZURE_AUTHORITY_HOST",
        "IDENTITY_ENDPOINT",
        "IDENTITY_HEADER",
        "AZURE_POD_IDENTITY_AUTHORITY_HOST",
        "AZURE_CLI_PATH",
        "AZURE_STORAGE_SAS_KEY",
    ];

    /// Everything that must not be shown.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        [
            &self.connection_string,
            &self.account_key,
            &self.sas_token,
            &self.client_secret,
            &self.client_certificate_password,
            &self.identity_header,
        ]
        .into_iter()
        .flatten()
    }

    /// Takes what it needs from `variable`. One that is set to nothing counts as not set.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let text = |name: &str| {
            variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let secret = |name: &str| text(name).map(Secret::from);
        let path = |name: &str| text(name).map(PathBuf::from);
        Self {
            connection_string: secret("AZURE_STORAGE_CONNECTION_STRING"),
            account_key: secret("AZURE_STORAGE_KEY")
                .or_else(|| secret("AZURE_STORAGE_ACCOUNT_KEY"))
                .or_else(|| secret("AZURE_STORAGE_ACCESS_KEY")),
            sas_token: secret("AZURE_STORAGE_SAS_TOKEN")
                .or_else(|| secret("AZURE_STORAGE_SAS_KEY")),
            endpoint: text("AZURE_STORAGE_ENDPOINT"),
            tenant_id: text("AZURE_TENANT_ID"),
            client_id: text("AZURE_CLIENT_ID"),
            client_secret: secret("AZURE_CLIENT_SECRET"),
            client_certificate_path: path("AZURE_CLIENT_CERTIFICATE_PATH"),
            client_certificate_password: secret("AZURE_CLIENT_CERTIFICATE_PASSWORD"),
            federated_token_file: path("AZURE_FEDERATED_TOKEN_FILE"),
            authority_host: text("AZURE_AUTHORITY_HOST"),
            identity_endpoint: text("IDENTITY_ENDPOINT"),
            identity_header: secret("IDENTITY_HEADER"),
            metadata_host: text("AZURE_POD_IDENTITY_AUTHORITY_HOST"),
            azure_cli: path("AZURE_CLI_PATH"),
        }
    }
}
