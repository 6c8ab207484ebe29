//! The environment variables of the appliance, read once and passed on.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use record::Secret;
use sinks::object_store;

use crate::config::nearest;

/// Most bytes read from a file that a `…_FILE` variable names.
const MAX_SECRET_FILE: u64 = 1 << 20;

/// Numbers of the app registrations beside the first, `graph_applications` in the configuration.
const FURTHER: std::ops::RangeInclusive<usize> = 2..=16;

/// A variable that the appliance knows, for the reference page.
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    /// Also accepted as `NAME_FILE`: a file whose content is the value.
    pub(crate) secret: bool,
    pub(crate) doc: &'static str,
}

const CONFIG: &str = "REINFER_EWS_CONFIG";
const TOKEN: &str = "REINFER_API_TOKEN";
const TOKEN_ALIAS: &str = "REINFER_TOKEN";
const USER: &str = "REINFER_EWS_AUTH_USER";
const PASSWORD: &str = "REINFER_EWS_AUTH_PASS";
const ACCESS_TYPE: &str = "REINFER_EWS_ACCESS_TYPE";
const HOST: &str = "REINFER_EWS_HOST";
const PORT: &str = "REINFER_EWS_PORT";
const CLIENT_SECRET: &str = "REINFER_EWS_AUTH_OAUTH_CLIENT_SECRET";
const PRIVATE_KEY: &str = "REINFER_EWS_AUTH_OAUTH_CLIENT_CREDENTIAL_PRIVATE_KEY";
const CLIENT_SECRET_2: &str = "REINFER_EWS_AUTH_OAUTH_CLIENT_SECRET_2";
const PRIVATE_KEY_2: &str = "REINFER_EWS_AUTH_OAUTH_CLIENT_CREDENTIAL_PRIVATE_KEY_2";

const fn plain(name: &'static str, doc: &'static str) -> Variable {
    Variable { name, secret: false, doc }
}

const fn secret(name: &'static str, doc: &'static str) -> Variable {
    Variable { name, secret: true, doc }
}

pub(crate) const VARIABLES: &[Variable] = &[
    plain(CONFIG, "Path of the configuration file. Wins over a remote configuration."),
    secret(TOKEN, "Token of the platform. Refused together with `--local-files-prefix`."),
    secret(TOKEN_ALIAS, "Another name of `REINFER_API_TOKEN`. Give one of the two."),
    plain(USER, "Overrides `auth_user`."),
    secret(PASSWORD, "Overrides `auth_password`."),
    plain(ACCESS_TYPE, "Overrides `access_type`."),
    plain(HOST, "Overrides `host`. Also wins over `ews_endpoint`, with a warning."),
    plain(PORT, "Overrides `port`."),
    secret(CLIENT_SECRET, "Overrides `auth_oauth_client_secret`."),
    secret(PRIVATE_KEY, "Overrides `auth_oauth_client_credential_private_key`."),
    secret(
        CLIENT_SECRET_2,
        "Overrides `auth_oauth_client_secret` of the first of `graph_applications`, with `_3` that \
         of the next one, up to `_16`.",
    ),
    secret(PRIVATE_KEY_2, "The same for `auth_oauth_client_credential_private_key`."),
];

/// A value and the variable that it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given<T> {
    pub value: T,
    /// `REINFER_EWS_AUTH_PASS`, or `REINFER_EWS_AUTH_PASS_FILE`.
    pub variable: String,
}

/// What the environment says. A variable that is set to nothing counts as not set, as it comes
/// from `--env NAME=$NAME` with an empty shell variable.
///
/// `host`, `port` and the like are kept as written; the configuration judges them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    pub config: Option<PathBuf>,
    pub api_token: Option<Given<Secret>>,
    pub auth_user: Option<Given<String>>,
    pub auth_password: Option<Given<Secret>>,
    pub access_type: Option<Given<String>>,
    pub host: Option<Given<String>>,
    pub port: Option<Given<String>>,
    pub oauth_client_secret: Option<Given<Secret>>,
    pub oauth_private_key: Option<Given<Secret>>,
    /// By the number of the app registration, from 2 on.
    pub further_client_secrets: BTreeMap<usize, Given<Secret>>,
    /// By the number of the app registration, from 2 on.
    pub further_private_keys: BTreeMap<usize, Given<Secret>>,
    /// What the tools of Azure and AWS read.
    pub object_store: object_store::Environment,
    /// Sentences for the log: variables that look misspelt.
    pub warnings: Vec<String>,
}

/// A variable cannot be used. The value is never part of the message.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    #[error("the environment variable `{variable}` is not valid UTF-8")]
    NotText { variable: String },
    #[error(
        "the environment variables `{first}` and `{second}` are both set; allowed: one of the two"
    )]
    Both { first: String, second: String },
    #[error(
        "the environment variable `{variable}` names the file `{}`, which cannot be read: {reason}",
        .path.display()
    )]
    Unreadable { variable: String, path: PathBuf, reason: String },
    #[error(
        "the environment variable `{variable}` holds a blank, a line break or another character \
         that no token has; allowed: printable ASCII characters"
    )]
    NotToken { variable: String },
}

impl Environment {
    /// Picks the appliance's variables out of `variables`, and reads the files that the
    /// `…_FILE` ones name. Called again, it sees secrets that have been replaced meanwhile.
    ///
    /// # Errors
    ///
    /// [`EnvironmentError`] with the name of the variable.
    pub fn read(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, EnvironmentError> {
        let mut given = BTreeMap::new();
        let mut of_stores = BTreeMap::new();
        let mut warnings = Vec::new();
        for (name, value) in variables {
            if let (Some(name), Some(value)) = (name.to_str(), value.to_str())
                && object_store::Environment::reads(name)
            {
                of_stores.insert(name.to_owned(), value.to_owned());
            }
            let Some(name) = name.to_str().filter(|name| name.starts_with("REINFER_")) else {
                continue;
            };
            if value.is_empty() {
                continue;
            }
            if known_names().any(|known| known == name) {
                given.insert(name.to_owned(), value);
            } else if let Some(near) = nearest(name, known_names()) {
                warnings.push(format!(
                    "The environment variable `{name}` is not known. Did you mean `{near}`?"
                ));
            }
        }
        warnings.sort();
        let mut given = Variables(given);

        let api_token = match (given.secret(TOKEN)?, given.secret(TOKEN_ALIAS)?) {
            (Some(token), Some(alias)) if token.value != alias.value => {
                return Err(EnvironmentError::Both {
                    first: token.variable,
                    second: alias.variable,
                });
            }
            (token, alias) => token.or(alias),
        };
        // A token travels in an HTTP header, where a line break would start another one.
        if let Some(token) = api_token.as_ref()
            && token.value.reveal().chars().any(|c| !c.is_ascii_graphic())
        {
            return Err(EnvironmentError::NotToken { variable: token.variable.clone() });
        }
        Ok(Self {
            config: given.0.remove(CONFIG).map(PathBuf::from),
            api_token,
            auth_user: given.text(USER)?,
            auth_password: given.secret(PASSWORD)?,
            access_type: given.text(ACCESS_TYPE)?,
            host: given.text(HOST)?,
            port: given.text(PORT)?,
            oauth_client_secret: given.secret(CLIENT_SECRET)?,
            oauth_private_key: given.secret(PRIVATE_KEY)?,
            further_client_secrets: given.numbered(CLIENT_SECRET)?,
            further_private_keys: given.numbered(PRIVATE_KEY)?,
            object_store: object_store::Environment::read(|name| of_stores.get(name).cloned()),
            warnings,
        })
    }
}

impl Environment {
    /// Secrets of mailboxes are here, beside the configuration.
    pub(crate) fn has_credentials(&self) -> bool {
        let secrets = [&self.auth_password, &self.oauth_client_secret, &self.oauth_private_key];
        secrets.into_iter().any(Option::is_some)
            || !self.further_client_secrets.is_empty()
            || !self.further_private_keys.is_empty()
    }
}

/// Every name that is read, with the `…_FILE` forms.
fn known_names() -> impl Iterator<Item = String> {
    let listed = VARIABLES.iter().flat_map(|variable| {
        let file = variable.secret.then(|| format!("{}_FILE", variable.name));
        std::iter::once(variable.name.to_owned()).chain(file)
    });
    let numbered = FURTHER.flat_map(|number| {
        [CLIENT_SECRET, PRIVATE_KEY]
            .iter()
            .flat_map(move |name| [format!("{name}_{number}"), format!("{name}_{number}_FILE")])
    });
    listed.chain(numbered)
}

struct Variables(BTreeMap<String, OsString>);

impl Variables {
    fn text(&mut self, name: &str) -> Result<Option<Given<String>>, EnvironmentError> {
        let Some(value) = self.0.remove(name) else { return Ok(None) };
        let variable = name.to_owned();
        match value.into_string() {
            Ok(value) => Ok(Some(Given { value, variable })),
            Err(_) => Err(EnvironmentError::NotText { variable }),
        }
    }

    /// The values of `NAME_2`, `NAME_3` and so on, each also by a file.
    fn numbered(&mut self, name: &str) -> Result<BTreeMap<usize, Given<Secret>>, EnvironmentError> {
        let mut values = BTreeMap::new();
        for number in FURTHER {
            if let Some(value) = self.secret(&format!("{name}_{number}"))? {
                values.insert(number, value);
            }
        }
        Ok(values)
    }

    /// The value of `name`, or the content of the file that `NAME_FILE` names.
    fn secret(&mut self, name: &str) -> Result<Option<Given<Secret>>, EnvironmentError> {
        let direct = self.text(name)?;
        let variable = format!("{name}_FILE");
        let path = self.0.remove(&variable);
        match (direct, path) {
            (Some(_), Some(_)) => {
                Err(EnvironmentError::Both { first: name.to_owned(), second: variable })
            }
            (Some(Given { value, variable }), None) => {
                Ok(Some(Given { value: value.into(), variable }))
            }
            (None, Some(path)) => read_secret(&variable, &path).map(Some),
            (None, None) => Ok(None),
        }
    }
}

fn read_secret(variable: &str, path: &OsStr) -> Result<Given<Secret>, EnvironmentError> {
    let path = Path::new(path);
    let unreadable = |reason: String| EnvironmentError::Unreadable {
        variable: variable.to_owned(),
        path: path.to_owned(),
        reason,
    };
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_SECRET_FILE + 1).read_to_end(&mut content))
        .map_err(|cause: io::Error| unreadable(cause.to_string()))?;
    if content.len() as u64 > MAX_SECRET_FILE {
        return Err(unreadable(format!("it is larger than {MAX_SECRET_FILE} bytes")));
    }
    let content =
        Secret::from(String::from_utf8(content).map_err(|_| unreadable("not UTF-8".into()))?);
    // Editors and `echo` end a file with a line break that is not part of the secret.
    let value = content.reveal().trim_end_matches(['\r', '\n']);
    if value.is_empty() {
        return Err(unreadable("it is empty".into()));
    }
    Ok(Given { value: value.into(), variable: variable.to_owned() })
}
