//! Where the configuration is, and when it has changed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    config::{self, ConfigError, Settings},
    environment::Environment,
    exit::{Ending, Exit},
    flags::{ConfigPlace, Flags},
};

/// A configuration file that may change while we run.
pub struct ConfigFile {
    path: PathBuf,
    environment: Environment,
    /// The bytes that were last looked at, good or bad.
    seen: Vec<u8>,
}

impl ConfigFile {
    /// Finds the file that flags and environment name.
    ///
    /// # Errors
    ///
    /// None is named, or the platform is to be asked for it.
    pub fn find(flags: &Flags, environment: &Environment) -> Result<Self, Ending> {
        match flags.config_place(environment).map_err(|err| Ending::config(&err))? {
            ConfigPlace::File(path) => Ok(Self::new(path, environment.clone())),
            ConfigPlace::Remote { .. } => Err(Ending::new(
                Exit::Config,
                "this version does not fetch configurations from a platform yet\n\
                 Hint: Set REINFER_EWS_CONFIG to the path of a JSON file.",
            )),
        }
    }

    pub fn new(path: PathBuf, environment: Environment) -> Self {
        Self { path, environment, seen: Vec::new() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads and checks the file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong with it.
    pub fn load(&mut self) -> Result<Settings, ConfigError> {
        self.seen = fs::read(&self.path).unwrap_or_default();
        config::load(&self.path, &self.environment)
    }

    /// Looks whether the file says something new; `None` if it does not. Each version is judged
    /// once.
    pub fn changed(&mut self) -> Option<Result<Settings, ConfigError>> {
        // A file that is gone for a moment, as while it is replaced, is no new version.
        let bytes = fs::read(&self.path).ok()?;
        if bytes == self.seen {
            return None;
        }
        self.seen = bytes;
        Some(config::parse(&self.seen, &self.path.display().to_string(), &self.environment))
    }
}
