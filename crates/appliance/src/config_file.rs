//! Where the configuration is, and when it has changed.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    config::{self, ConfigError, Settings},
    environment::{Environment, EnvironmentError},
    exit::{Ending, Exit},
    flags::{ConfigPlace, Flags},
};

/// Reads the environment, and the files that its `…_FILE` variables name.
pub type ReadEnvironment = Arc<dyn Fn() -> Result<Environment, EnvironmentError> + Send + Sync>;

/// A configuration file, with secrets beside it, that may change while we run.
pub struct ConfigFile {
    path: PathBuf,
    read_environment: ReadEnvironment,
    /// What was last looked at, good or bad.
    seen: Vec<u8>,
    environment: Environment,
}

impl ConfigFile {
    /// Finds the file that flags and environment name.
    ///
    /// # Errors
    ///
    /// None is named, the platform is to be asked for it, or a variable is unusable.
    pub fn find(flags: &Flags, read_environment: ReadEnvironment) -> Result<Self, Ending> {
        let environment = read_environment().map_err(|err| Ending::config(&err))?;
        match flags.config_place(&environment).map_err(|err| Ending::config(&err))? {
            ConfigPlace::File(path) => {
                Ok(Self { path, read_environment, seen: Vec::new(), environment })
            }
            ConfigPlace::Remote { .. } => Err(Ending::new(
                Exit::Config,
                "this version does not fetch configurations from a platform yet\n\
                 Hint: Set REINFER_EWS_CONFIG to the path of a JSON file.",
            )),
        }
    }

    pub fn environment(&self) -> &Environment {
        &self.environment
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
        let settings = config::load(&self.path, &self.environment)?;
        self.seen = self.bytes().unwrap_or_default();
        Ok(settings)
    }

    /// Looks whether the file or a secret says something new; `None` if not. Each version is
    /// judged once.
    pub fn changed(&mut self) -> Option<Result<Settings, ConfigError>> {
        // A file that is gone for a moment, as while it is replaced, is no new version.
        let bytes = self.bytes()?;
        let environment = (self.read_environment)().ok()?;
        if bytes == self.seen && environment == self.environment {
            return None;
        }
        self.seen = bytes;
        self.environment = environment;
        Some(config::parse(&self.seen, &self.path.display().to_string(), &self.environment))
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        // One byte more than allowed, so that a larger file is noticed.
        let file = File::open(&self.path).ok()?;
        file.take(config::MAX_CONFIG_SIZE + 1).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }
}
