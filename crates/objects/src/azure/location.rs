//! `az://ACCOUNT/CONTAINER[/PREFIX]`.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::{BadPrefix, Prefix};

/// Where the emails go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureLocation {
    pub account: String,
    pub container: String,
    /// Without a slash at either end; empty for the whole container.
    pub prefix: String,
}

/// The URL names no container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLocation {
    #[error("not of the form `az://ACCOUNT/CONTAINER`, or `az://ACCOUNT/CONTAINER/PREFIX`")]
    Form,
    #[error("an account has 3 to 24 letters a-z and digits")]
    Account,
    #[error("a container has 3 to 63 letters a-z, digits and single hyphens")]
    Container,
    #[error(transparent)]
    Prefix(#[from] BadPrefix),
}

impl AzureLocation {
    /// Reads a text that may be a URL.
    ///
    /// # Errors
    ///
    /// [`BadLocation`].
    pub fn of(text: &str) -> Result<Self, BadLocation> {
        Self::parse(&Url::parse(text).map_err(|_| BadLocation::Form)?)
    }

    /// Reads `url`. Names follow "Naming and referencing containers, blobs, and metadata".
    ///
    /// # Errors
    ///
    /// [`BadLocation`], also if the URL carries a user, a password, a query or a fragment.
    pub fn parse(url: &Url) -> Result<Self, BadLocation> {
        let extra = !url.username().is_empty()
            || url.password().is_some()
            || url.port().is_some()
            || url.query().is_some()
            || url.fragment().is_some();
        if url.scheme() != "az" || extra {
            return Err(BadLocation::Form);
        }
        let account = url.host_str().unwrap_or_default().to_owned();
        let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if !(3..=24).contains(&account.len()) || !account.bytes().all(lower) {
            return Err(BadLocation::Account);
        }
        let path = percent_decode_str(url.path().trim_matches('/')).decode_utf8();
        let path = path.map_err(|_| BadLocation::Form)?;
        let (container, prefix) = path.split_once('/').unwrap_or((&path, ""));
        if container.is_empty() {
            return Err(BadLocation::Form);
        }
        let good = (3..=63).contains(&container.len())
            && container.bytes().all(|b| lower(b) || b == b'-')
            && !container.starts_with('-')
            && !container.ends_with('-')
            && !container.contains("--");
        if !good {
            return Err(BadLocation::Container);
        }
        Prefix::new(prefix)?;
        Ok(Self { account, container: container.to_owned(), prefix: prefix.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<AzureLocation, BadLocation> {
        AzureLocation::parse(&Url::parse(url).unwrap())
    }

    #[test]
    fn account_container_and_prefix_are_read() {
        for (url, prefix) in [
            ("az://account/emails-1", ""),
            ("az://account/emails-1/", ""),
            ("az://account/emails-1/a/b%20c/", "a/b c"),
        ] {
            let expected = AzureLocation {
                account: "account".into(),
                container: "emails-1".into(),
                prefix: prefix.into(),
            };
            assert_eq!(parse(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_names_no_container_is_refused() {
        for (url, error) in [
            ("s3://account/emails", BadLocation::Form),
            ("az://account", BadLocation::Form),
            ("az://account/emails?sig=x", BadLocation::Form),
            ("az://user@account/emails", BadLocation::Form),
            ("az://my.account/emails", BadLocation::Account),
            ("az://Account/emails", BadLocation::Account),
            ("az://account/Emails", BadLocation::Container),
            ("az://account/a--b", BadLocation::Container),
            ("az://account/emails/a//b", BadLocation::Prefix(BadPrefix)),
        ] {
            assert_eq!(parse(url), Err(error), "{url}");
        }
    }
}
