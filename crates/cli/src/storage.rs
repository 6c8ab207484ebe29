//! Where the platform keeps everything: the same flags for every command that works on it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use appliance::exit::{Ending, Exit};
use clap::Args;
use record::{Chain, clock::SystemClock};
use store::{Contents, DatabaseUrl, Folder, Opening, Store, StoreError, Trouble, Version};

use crate::containers::container;

const VARIABLE: &str = "TRIBUTARY_DATABASE_URL";
const FILE_VARIABLE: &str = "TRIBUTARY_DATABASE_URL_FILE";
/// Largest file with a URL, in bytes.
const MAX_FILE: u64 = 64 * 1024;

#[derive(Args, Clone)]
pub(crate) struct Storage {
    /// Folder with the database and the mail. `serve` makes it if it is not there.
    #[arg(long, value_name = "DIR", default_value = "tributary-data")]
    pub(crate) data: PathBuf,
    /// PostgreSQL in place of the database in the folder: `postgres://USER@HOST/DATABASE`. A URL
    /// with a password does not belong here, where every user of the machine can read it: set
    /// `TRIBUTARY_DATABASE_URL`, or `TRIBUTARY_DATABASE_URL_FILE` to the file that it is in.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Where contents go that are too large for the database, in place of the folder:
    /// `az://ACCOUNT/CONTAINER`, or with `/PREFIX`, or `file://DIR`.
    #[arg(long, value_name = "URL")]
    object_store: Option<String>,
    /// File with certificates of authorities (PEM) that are trusted for the object store, besides
    /// those of the system.
    #[arg(long, value_name = "FILE", requires = "object_store")]
    object_store_ca_file: Option<PathBuf>,
}

/// A failure of the store, with the exit code that says whether trying again may help.
pub(crate) fn stored(error: &StoreError) -> Ending {
    let exit = match error {
        StoreError::TooNew { .. }
        | StoreError::TooOld { .. }
        | StoreError::Unsuitable { .. }
        | StoreError::Occupied { .. } => Exit::Config,
        StoreError::Denied { .. } => Exit::Refused,
        StoreError::Contents { trouble, .. } => match trouble {
            Trouble::Away => Exit::Temporary,
            Trouble::Refused => Exit::Refused,
            Trouble::Unsuitable => Exit::Config,
        },
        StoreError::Unreachable { .. } | StoreError::Busy(_) | StoreError::Exists { .. } => {
            Exit::Temporary
        }
        _ => Exit::Io,
    };
    let hint = error.hint().map(|hint| format!("\nHint: {hint}")).unwrap_or_default();
    Ending::new(exit, format!("{}{hint}", Chain(error)))
}

pub(crate) fn wrong(message: impl Into<String>) -> Ending {
    Ending::new(Exit::Config, message)
}

impl Storage {
    /// The database, unless it is the one in the folder.
    pub(crate) fn database(&self) -> Result<Option<DatabaseUrl>, Ending> {
        #[expect(clippy::disallowed_methods, reason = "the command line reads the environment")]
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (variable, file) = (read(VARIABLE), read(FILE_VARIABLE));
        let given = [
            ("--database-url", self.database_url.is_some()),
            (VARIABLE, variable.is_some()),
            (FILE_VARIABLE, file.is_some()),
        ];
        let given: Vec<_> = given.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
        if given.len() > 1 {
            let names = given.join("` and `");
            return Err(wrong(format!("`{names}` are both given\nHint: Give one of them.")));
        }
        let Some(name) = given.first() else { return Ok(None) };
        let text = match (&self.database_url, variable, file) {
            (Some(text), ..) => text.clone(),
            (None, Some(text), _) => text,
            (None, None, Some(path)) => read_file(Path::new(&path))?,
            (None, None, None) => return Ok(None),
        };
        let url = DatabaseUrl::parse(&text).map_err(|bad| wrong(format!("`{name}`: {bad}")))?;
        if self.database_url.is_some() && url.has_password() {
            return Err(wrong(format!(
                "`--database-url` has a password, which every user of this machine can read\n\
                 Hint: Set `{VARIABLE}`, or write the URL into a file that only you can read and \
                 set `{FILE_VARIABLE}` to its path."
            )));
        }
        Ok(Some(url))
    }

    /// Where large contents go, unless it is the folder.
    pub(crate) fn contents(&self) -> Result<Option<Arc<dyn Contents>>, Ending> {
        let Some(url) = &self.object_store else { return Ok(None) };
        if let Some(path) = url.strip_prefix("file://")
            && path.starts_with('/')
        {
            let folder = Folder::open(Path::new(path)).map_err(|err| stored(&err))?;
            return Ok(Some(Arc::new(folder)));
        }
        let container = container(url, self.object_store_ca_file.clone())?;
        // Where bodies of requests wait, too.
        let folder = self.data.join("contents").join("tmp");
        Ok(Some(Arc::new(contents::InContainer::new(container, folder))))
    }

    /// For messages.
    pub(crate) fn place(&self) -> Result<String, Ending> {
        let folder = self.data.display();
        Ok(match self.database()? {
            Some(url) => format!("{}` and `{folder}", url.place()),
            None => folder.to_string(),
        })
    }

    /// Opens what is there, or makes it.
    pub(crate) async fn open_or_make(&self) -> Result<Store, Ending> {
        self.with(Version::Newest).await
    }

    /// Opens what is there.
    pub(crate) async fn open(&self, version: Version) -> Result<Store, Ending> {
        if self.database()?.is_none() && !self.data.join("tributary.db").exists() {
            return Err(wrong(format!(
                "there is no platform in `{}`\nHint: Give the folder of `tributary serve` with \
                 `--data`.",
                self.data.display()
            )));
        }
        self.with(version).await
    }

    async fn with(&self, version: Version) -> Result<Store, Ending> {
        let (database, contents) = (self.database()?, self.contents()?);
        let opening = Opening {
            database: database.as_ref(),
            folder: &self.data,
            contents,
            clock: Arc::new(SystemClock),
            version,
        };
        Store::with(opening).await.map_err(|err| stored(&err))
    }
}

fn read_file(path: &Path) -> Result<String, Ending> {
    use std::io::Read;
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
    read.map_err(|err| {
        let message = format!("`{FILE_VARIABLE}`: `{}` cannot be read: {err}", path.display());
        Ending::new(Exit::Io, message)
    })?;
    Ok(text.trim().to_owned())
}
