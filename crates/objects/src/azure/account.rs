//! Where the blob service of the account is, and the key or signature that opens it, if one is
//! given.

use std::{collections::HashMap, fmt, sync::Arc};

use chrono::{DateTime, Utc};
use object_store::azure::{AzureAccessKey, AzureCredential, split_sas};
use url::Url;

use super::{AzureEnvironment, AzureLocation};

/// The account of Azure's emulator, with the key that Microsoft has published for it: "Use the
/// Azurite emulator for local Azure Storage development".
const EMULATOR: &str = "devstoreaccount1";
const EMULATOR_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const EMULATOR_ENDPOINT: &str = "http://127.0.0.1:10000/devstoreaccount1";

/// What is given for the account is contradictory or unreadable. Repeats no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAccount {
    #[error("`AZURE_STORAGE_CONNECTION_STRING` is not a list of `Name=value`, separated by `;`")]
    ConnectionString,
    #[error("`AZURE_STORAGE_CONNECTION_STRING` is that of account `{found}`, not of `{wanted}`")]
    OtherAccount { found: String, wanted: String },
    #[error("{0} is no account key: those are base64")]
    Key(&'static str),
    #[error("{0} is no shared access signature: those begin like `sv=` and have a part `sig=`")]
    Sas(&'static str),
    #[error("the endpoint {0} is not a URL such as `https://account.blob.core.windows.net`")]
    Endpoint(&'static str),
}

/// A credential that never changes.
#[derive(Clone)]
pub(super) struct Fixed {
    pub(super) name: &'static str,
    pub(super) credential: Arc<AzureCredential>,
    /// When a shared access signature ends.
    pub(super) ends_at: Option<DateTime<Utc>>,
}

/// The library's own type would show the key.
impl fmt::Debug for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixed").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(super) struct Account {
    pub(super) endpoint: Url,
    pub(super) fixed: Option<Fixed>,
}

impl Account {
    pub(super) fn new(
        location: &AzureLocation,
        environment: &AzureEnvironment,
    ) -> Result<Self, BadAccount> {
        const STRING: &str = "`AZURE_STORAGE_CONNECTION_STRING`";
        let parts = match &environment.connection_string {
            Some(text) => connection_string(text.reveal())?,
            None => HashMap::new(),
        };
        let part = |name: &str| parts.get(name).copied();
        let emulated = part("usedevelopmentstorage").is_some_and(|on| on == "true");
        let found = part("accountname").or(emulated.then_some(EMULATOR));
        if let Some(found) = found.filter(|found| *found != location.account) {
            let (found, wanted) = (found.to_owned(), location.account.clone());
            return Err(BadAccount::OtherAccount { found, wanted });
        }
        let fixed = if let Some(key) = part("accountkey") {
            Some(Fixed::key("the account key in `AZURE_STORAGE_CONNECTION_STRING`", STRING, key)?)
        } else if let Some(sas) = part("sharedaccesssignature") {
            Some(Fixed::sas("the signature in `AZURE_STORAGE_CONNECTION_STRING`", STRING, sas)?)
        } else if emulated {
            Some(Fixed::key("the published key of the emulator", STRING, EMULATOR_KEY)?)
        } else if let Some(key) = &environment.account_key {
            let name = "the account key in the environment";
            Some(Fixed::key(name, "`AZURE_STORAGE_KEY`", key.reveal())?)
        } else if let Some(sas) = &environment.sas_token {
            let name = "the shared access signature in the environment";
            Some(Fixed::sas(name, "`AZURE_STORAGE_SAS_TOKEN`", sas.reveal())?)
        } else {
            None
        };
        let url = |text: &str, from| Url::parse(text).map_err(|_| BadAccount::Endpoint(from));
        let endpoint = if let Some(endpoint) = &environment.endpoint {
            url(endpoint, "in `AZURE_STORAGE_ENDPOINT`")?
        } else if let Some(endpoint) = part("blobendpoint") {
            url(endpoint, "in `AZURE_STORAGE_CONNECTION_STRING`")?
        } else if emulated {
            url(EMULATOR_ENDPOINT, "of the emulator")?
        } else {
            let suffix = part("endpointsuffix").unwrap_or_else(|| cloud_suffix(environment));
            let endpoint = format!("https://{}.blob.{suffix}", location.account);
            url(&endpoint, "in `AZURE_STORAGE_CONNECTION_STRING`")?
        };
        Ok(Self { endpoint, fixed })
    }
}

/// Where accounts live in the cloud whose authority is set.
fn cloud_suffix(environment: &AzureEnvironment) -> &'static str {
    match environment.authority_host.as_deref() {
        Some(host) if host.contains("login.microsoftonline.us") => "core.usgovcloudapi.net",
        Some(host) if host.contains("login.chinacloudapi.cn") => "core.chinacloudapi.cn",
        Some(host) if host.contains("login.partner.microsoftonline.cn") => "core.chinacloudapi.cn",
        _ => "core.windows.net",
    }
}

/// Names in lower case. Values may hold `=`.
fn connection_string(text: &str) -> Result<HashMap<String, &str>, BadAccount> {
    text.split(';')
        .filter(|part| !part.trim().is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').ok_or(BadAccount::ConnectionString)?;
            Ok((name.trim().to_ascii_lowercase(), value.trim()))
        })
        .collect()
}

impl Fixed {
    fn key(name: &'static str, from: &'static str, key: &str) -> Result<Self, BadAccount> {
        let key = AzureAccessKey::try_new(key).map_err(|_| BadAccount::Key(from))?;
        let credential = Arc::new(AzureCredential::AccessKey(key));
        Ok(Self { name, credential, ends_at: None })
    }

    fn sas(name: &'static str, from: &'static str, sas: &str) -> Result<Self, BadAccount> {
        let bad = BadAccount::Sas(from);
        let pairs = split_sas(sas.trim_start_matches('?')).map_err(|_| bad.clone())?;
        let value = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        if value("sig").is_none() {
            return Err(bad);
        }
        let ends_at = value("se").and_then(|at| DateTime::parse_from_rfc3339(at).ok());
        let ends_at = ends_at.map(|at| at.to_utc());
        Ok(Self { name, credential: Arc::new(AzureCredential::SASToken(pairs)), ends_at })
    }
}

#[cfg(test)]
mod tests {
    use record::Secret;

    use super::*;

    fn account(environment: &AzureEnvironment) -> Result<Account, BadAccount> {
        let location = AzureLocation {
            account: "account".into(),
            container: "emails".into(),
            prefix: String::new(),
        };
        Account::new(&location, environment)
    }

    fn given(text: &str) -> AzureEnvironment {
        let connection_string = Some(Secret::from(text));
        AzureEnvironment { connection_string, ..AzureEnvironment::default() }
    }

    #[test]
    fn the_endpoint_follows_from_account_and_cloud() {
        let check = |environment: AzureEnvironment, expected: &str| {
            assert_eq!(account(&environment).unwrap().endpoint.as_str(), expected);
        };
        check(AzureEnvironment::default(), "https://account.blob.core.windows.net/");
        let authority_host = Some("https://login.microsoftonline.us/".to_owned());
        check(
            AzureEnvironment { authority_host, ..Default::default() },
            "https://account.blob.core.usgovcloudapi.net/",
        );
        check(
            given("AccountName=account;AccountKey=a2V5;EndpointSuffix=core.example.net"),
            "https://account.blob.core.example.net/",
        );
        check(
            given("BlobEndpoint=http://127.0.0.1:1/account;AccountKey=a2V5;"),
            "http://127.0.0.1:1/account",
        );
    }

    #[test]
    fn a_contradiction_is_told_without_the_secret() {
        for (text, error) in [
            (
                "AccountName=other;AccountKey=canary",
                "`AZURE_STORAGE_CONNECTION_STRING` is that of account `other`, not of `account`",
            ),
            (
                "AccountKey=can ary",
                "`AZURE_STORAGE_CONNECTION_STRING` is no account key: those are base64",
            ),
            (
                "canary",
                "`AZURE_STORAGE_CONNECTION_STRING` is not a list of `Name=value`, separated by `;`",
            ),
        ] {
            assert_eq!(account(&given(text)).unwrap_err().to_string(), error);
        }
        let sas = AzureEnvironment { sas_token: Some("canary".into()), ..Default::default() };
        assert_eq!(account(&sas).unwrap_err(), BadAccount::Sas("`AZURE_STORAGE_SAS_TOKEN`"));
    }

    #[test]
    fn the_end_of_a_signature_is_read() {
        let sas = "?sv=2024-11-04&se=2026-12-01T08:00:00Z&sp=racwl&sig=canary%2Bx%3D";
        let sas_token = Some(Secret::from(sas));
        let account = account(&AzureEnvironment { sas_token, ..Default::default() }).unwrap();
        let fixed = account.fixed.unwrap();
        assert_eq!(fixed.ends_at.unwrap().to_rfc3339(), "2026-12-01T08:00:00+00:00");
        assert!(!format!("{fixed:?}").contains("canary"));
    }
}
