//! The way to the database: what its URL may say, and what a failure means.

use std::{fmt, net::IpAddr, path::Path, str::FromStr, time::Duration};

use record::Secret;
use sqlx::{
    Any, AnyConnection, AnyPool, ConnectOptions, Connection, Row, Transaction,
    any::AnyConnectOptions,
};
use url::{Host, Url};

use crate::{Kind, READERS, Result, StoreError};

/// The oldest PostgreSQL that its makers still mend.
const OLDEST: i64 = 14;
/// Time for the first connection.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the driver knows; it would pass over anything else.
const PARAMETERS: [&str; 8] = [
    "application_name",
    "host",
    "options",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
];
const MODES: [&str; 5] = ["disable", "prefer", "require", "verify-ca", "verify-full"];

/// Where a PostgreSQL is, with user and password.
#[derive(Clone)]
pub struct DatabaseUrl {
    url: Secret,
    place: String,
    has_password: bool,
}

/// What is wrong with the URL of a database. It does not repeat it: a password may be in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the URL of the database {0}")]
pub struct BadUrl(String);

impl From<BadUrl> for StoreError {
    fn from(bad: BadUrl) -> Self {
        let hint = "It has the form `postgres://USER:PASSWORD@HOST:5432/DATABASE`.";
        Self::Unsuitable { place: "?".to_owned(), detail: bad.to_string(), hint }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.place)
    }
}

impl DatabaseUrl {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…`.
    ///
    /// Without `sslmode`, a server on another machine must prove who it is (`verify-full`): the
    /// default of libpq would send mail, and with some servers the password, to anybody who
    /// stands in between.
    ///
    /// # Errors
    ///
    /// [`BadUrl`].
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let bad = |what: String| Err(BadUrl(what));
        let Ok(mut url) = Url::parse(text.trim()) else {
            return bad("is none: expected `postgres://USER@HOST/DATABASE`".to_owned());
        };
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            let scheme = url.scheme();
            return bad(format!("begins with `{scheme}:`; allowed: `postgres:`, `postgresql:`"));
        }
        let name = url.path().trim_matches('/').to_owned();
        if name.is_empty() || name.contains('/') {
            return bad("names no database: expected one name after the host".to_owned());
        }
        let (mut mode, mut socket) = (None, None);
        for (key, value) in url.query_pairs() {
            if !PARAMETERS.contains(&&*key) {
                let known = PARAMETERS.join("`, `");
                return bad(format!("has the parameter `{key}`; allowed: `{known}`"));
            }
            match &*key {
                "sslmode" if !MODES.contains(&&*value) => {
                    let known = MODES.join("`, `");
                    return bad(format!("has `sslmode={value}`; allowed: `{known}`"));
                }
                "sslmode" => mode = Some(value.into_owned()),
                "host" => socket = Some(value.into_owned()),
                _ => {}
            }
        }
        let host = match url.host() {
            Some(Host::Domain(host)) => percent_decoded(host),
            Some(host) => host.to_string(),
            None => String::new(),
        };
        let host = socket.unwrap_or(host);
        if host.is_empty() {
            return bad("names no host".to_owned());
        }
        if mode.is_none() && !is_here(&host) {
            url.query_pairs_mut().append_pair("sslmode", "verify-full");
        }
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Ok(Self {
            place: format!("{host}{port}/{name}"),
            has_password: url.password().is_some(),
            url: Secret::from(String::from(url)),
        })
    }

    /// Host, port and name, for messages.
    pub fn place(&self) -> &str {
        &self.place
    }

    pub fn has_password(&self) -> bool {
        self.has_password
    }
}

fn percent_decoded(text: &str) -> String {
    let pairs = format!("h={text}");
    let mut pairs = url::form_urlencoded::parse(pairs.as_bytes());
    pairs.next().map(|(_, host)| host.into_owned()).unwrap_or_default()
}

/// Whether what is sent there stays on this machine.
fn is_here(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || host.starts_with('/') || address.is_ok_and(|ip| ip.is_loopback())
}

/// The embedded database.
pub(crate) fn file(folder: &Path) -> Result<AnyConnectOptions> {
    let path = folder.join("tributary.db");
    let escaped = path.display().to_string().replace('%', "%25").replace('?', "%3f");
    let options = AnyConnectOptions::from_str(&format!("sqlite://{escaped}?mode=rwc"))?;
    Ok(options.disable_statement_logging())
}

/// Tries the way to a server once, so that what is wrong with it is told as it is and at once:
/// the pool would try again until its time is over.
pub(crate) async fn connect(url: &DatabaseUrl) -> Result<AnyConnectOptions> {
    let options = AnyConnectOptions::from_str(url.url.reveal())
        .map_err(|_| BadUrl("cannot be read by the driver".to_owned()))?
        // A server has a log of its own for statements that take long.
        .disable_statement_logging();
    let place = || url.place.clone();
    let unreachable = |cause: record::Cause| StoreError::Unreachable { place: place(), cause };
    let connecting = tokio::time::timeout(PATIENCE, AnyConnection::connect_with(&options));
    let connection = match connecting.await {
        Err(_) => return Err(unreachable("no answer within 20 seconds".into())),
        Ok(connection) => connection,
    };
    let mut connection = connection.map_err(|error| refused(place(), error))?;
    let query = "SELECT current_setting('server_version_num')::bigint, \
                 current_setting('server_version')::text, \
                 current_setting('server_encoding')::text, \
                 CASE WHEN pg_is_in_recovery() THEN 1::bigint ELSE 0::bigint END";
    let row = sqlx::query(query).fetch_one(&mut connection).await?;
    let version: i64 = row.try_get(0)?;
    let unsuitable =
        judge(version, row.try_get(1)?, row.try_get(2)?, row.try_get::<i64, _>(3)? != 0);
    connection.close().await?;
    match unsuitable {
        Some((detail, hint)) => Err(StoreError::Unsuitable { place: place(), detail, hint }),
        None => Ok(options),
    }
}

/// Why a server is not one that can be used.
fn judge(
    version: i64,
    shown: String,
    encoding: String,
    is_standby: bool,
) -> Option<(String, &'static str)> {
    if version < OLDEST * 10_000 {
        let hint = "Upgrade the server; 14 is the oldest version that still gets corrections.";
        return Some((format!("it is PostgreSQL {shown}, and {OLDEST} is needed"), hint));
    }
    if encoding != "UTF8" {
        let hint = "Make the database with `createdb --encoding=UTF8 --template=template0`.";
        return Some((format!("its encoding is {encoding}, and UTF8 is needed"), hint));
    }
    is_standby.then(|| {
        let hint = "Give the host of the primary server.";
        ("it is a standby, which takes no writes".to_owned(), hint)
    })
}

/// What a first connection failed of.
fn refused(place: String, error: sqlx::Error) -> StoreError {
    // Spec: "PostgreSQL Error Codes", Appendix A, PostgreSQL documentation.
    match code(&error).as_deref() {
        Some("28P01" | "28000") => StoreError::Denied { place, cause: error.into() },
        Some("3D000") => StoreError::Unsuitable {
            place,
            detail: "there is no database of that name".to_owned(),
            hint: "Make it: `createdb --encoding=UTF8 --template=template0 NAME`.",
        },
        _ => match error {
            sqlx::Error::Tls(cause) => StoreError::Unsuitable {
                place,
                detail: format!("TLS failed ({cause})"),
                hint: "Give the certificate of its authority with `sslrootcert=FILE`; \
                       `sslmode=disable` sends mail and password in the clear.",
            },
            error => StoreError::Unreachable { place, cause: error.into() },
        },
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(|code| code.into_owned())
}

/// What a failure of a statement means.
pub(crate) fn sort(error: sqlx::Error) -> StoreError {
    match code(&error).as_deref() {
        // PostgreSQL: serialization failure, deadlock, and a row that came or went between two
        // statements of ours. SQLite: another process writes for longer than we wait.
        Some("40001" | "40P01" | "23503" | "23505" | "5" | "517") => StoreError::Busy(error),
        // SQLite. Spec: "Result and Error Codes", SQLITE_CORRUPT and SQLITE_NOTADB.
        Some("11" | "26" | "267" | "523" | "779") => {
            StoreError::Damaged { what: format!("the database (`tributary.db`: {error})") }
        }
        _ => StoreError::Database(error),
    }
}

/// Begins a transaction. A connection that broke while nobody used it, as all do when a server
/// starts again, is replaced: nothing has been asked of it yet.
pub(crate) async fn begin(
    pool: &AnyPool,
    kind: Kind,
    statement: &'static str,
) -> Result<Transaction<'static, Any>> {
    for _ in 0..READERS {
        match pool.begin_with(statement).await {
            Err(error) if kind == Kind::Postgres && is_lost(&error) => {
                tracing::debug!("A connection to the database was lost: {error}");
            }
            begun => return Ok(begun?),
        }
    }
    Ok(pool.begin_with(statement).await?)
}

fn is_lost(error: &sqlx::Error) -> bool {
    let ended = |code: String| matches!(&*code, "57P01" | "57P02" | "57P03" | "08006" | "08003");
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::BeginFailed)
        || code(error).is_some_and(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let told = match DatabaseUrl::parse(text) {
            Ok(url) => {
                let query = url.url.reveal().split_once('?').map_or("", |(_, query)| query);
                format!("{} {query}", url.place())
            }
            Err(bad) => bad.to_string(),
        };
        assert!(!told.contains("hunter2"), "{told}");
        assert_eq!(told.trim(), expected, "{text}");
    }

    #[test]
    fn a_url_is_read_and_a_server_elsewhere_must_prove_who_it_is() {
        let said = |what: &str| format!("the URL of the database {what}");
        check(
            "postgres://a:hunter2@db.example.com/mail",
            "db.example.com/mail sslmode=verify-full",
        );
        check("postgresql://a@db:5433/mail?sslmode=require", "db:5433/mail sslmode=require");
        check("postgres://a:hunter2@localhost:5433/mail", "localhost:5433/mail");
        check("postgres://[::1]/mail", "[::1]/mail");
        check("postgres://test@%2Ftmp%2Fx/mail", "/tmp/x/mail");
        check("postgres:///mail?host=/run/postgresql", "/run/postgresql/mail host=/run/postgresql");
        check(
            "postgres://a:hunter2@db",
            &said("names no database: expected one name after the host"),
        );
        check("hunter2", &said("is none: expected `postgres://USER@HOST/DATABASE`"));
        check("postgres:///mail", &said("names no host"));
        check(
            "mysql://a:hunter2@db/mail",
            &said("begins with `mysql:`; allowed: `postgres:`, `postgresql:`"),
        );
        let modes = "`disable`, `prefer`, `require`, `verify-ca`, `verify-full`";
        check(
            "postgres://db/mail?sslmode=on",
            &said(&format!("has `sslmode=on`; allowed: {modes}")),
        );
        let known = PARAMETERS.join("`, `");
        check(
            "postgres://db/mail?sslmod=require",
            &said(&format!("has the parameter `sslmod`; allowed: `{known}`")),
        );
    }

    #[test]
    fn a_server_that_cannot_be_used_is_told_apart() {
        let judged = |version, encoding: &str, standby| {
            judge(version, "x".to_owned(), encoding.to_owned(), standby).map(|(detail, _)| detail)
        };
        assert_eq!(judged(140_000, "UTF8", false), None);
        assert!(judged(139_999, "UTF8", false).unwrap().contains("14 is needed"));
        assert!(judged(150_018, "SQL_ASCII", false).unwrap().contains("SQL_ASCII"));
        assert!(judged(150_018, "UTF8", true).unwrap().contains("standby"));
    }
}
