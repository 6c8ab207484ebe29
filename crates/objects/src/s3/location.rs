//! `s3://BUCKET[/PREFIX]`.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::{BadPrefix, Prefix};

/// A bucket of S3, or of a service that speaks like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Location {
    pub bucket: String,
    /// Without a slash at either end; empty for the whole bucket.
    pub prefix: String,
}

/// The URL names no bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBucket {
    #[error("not of the form `s3://BUCKET`, or `s3://BUCKET/PREFIX`")]
    Form,
    #[error("a bucket has 3 to 63 letters a-z, digits, hyphens and dots")]
    Bucket,
    #[error(transparent)]
    Prefix(#[from] BadPrefix),
}

impl S3Location {
    /// Reads a text that may be a URL.
    ///
    /// # Errors
    ///
    /// [`BadBucket`].
    pub fn of(text: &str) -> Result<Self, BadBucket> {
        Self::parse(&Url::parse(text).map_err(|_| BadBucket::Form)?)
    }

    /// Reads `url`. Names follow "General purpose bucket naming rules", Amazon S3 User Guide.
    ///
    /// # Errors
    ///
    /// [`BadBucket`], also if the URL carries a user, a password, a query or a fragment.
    pub fn parse(url: &Url) -> Result<Self, BadBucket> {
        let extra = !url.username().is_empty()
            || url.password().is_some()
            || url.port().is_some()
            || url.query().is_some()
            || url.fragment().is_some();
        if url.scheme() != "s3" || extra {
            return Err(BadBucket::Form);
        }
        let bucket = url.host_str().unwrap_or_default().to_owned();
        let end = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        let bytes = bucket.as_bytes();
        let good = (3..=63).contains(&bytes.len())
            && bytes.iter().copied().all(inside)
            && end(bytes.first())
            && end(bytes.last())
            && !bucket.contains("..");
        if !good {
            return Err(if bucket.is_empty() { BadBucket::Form } else { BadBucket::Bucket });
        }
        let prefix = percent_decode_str(url.path().trim_matches('/')).decode_utf8();
        let prefix = prefix.map_err(|_| BadBucket::Form)?.into_owned();
        Prefix::new(&prefix)?;
        Ok(Self { bucket, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<S3Location, BadBucket> {
        S3Location::parse(&Url::parse(url).unwrap())
    }

    #[test]
    fn bucket_and_prefix_are_read() {
        for (url, bucket, prefix) in [
            ("s3://mail", "mail", ""),
            ("s3://mail.example.com/", "mail.example.com", ""),
            ("s3://mail-1/a/b%20c/", "mail-1", "a/b c"),
        ] {
            let expected = S3Location { bucket: bucket.into(), prefix: prefix.into() };
            assert_eq!(parse(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_names_no_bucket_is_refused() {
        for (url, error) in [
            ("az://mail", BadBucket::Form),
            ("s3:///mail", BadBucket::Form),
            ("s3://mail?versionId=x", BadBucket::Form),
            ("s3://key:secret@mail", BadBucket::Form),
            ("s3://Mail", BadBucket::Bucket),
            ("s3://my_mail", BadBucket::Bucket),
            ("s3://-mail", BadBucket::Bucket),
            ("s3://ma", BadBucket::Bucket),
            ("s3://mail/a//b", BadBucket::Prefix(BadPrefix)),
        ] {
            assert_eq!(parse(url), Err(error), "{url}");
        }
    }
}
