//! The file of keys, and what is done with them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use openssl::rand::rand_bytes;
use record::Secret;
use zeroize::Zeroizing;

use crate::{
    Result, VaultError,
    seal::{KEY, Key, Sealed, open, seal},
};

/// Largest file of keys, in bytes: hundreds of keys.
const MAX_FILE: u64 = 64 * 1024;

/// The keys, newest first: the first one seals, and all of them open.
pub struct Vault {
    keys: Vec<(String, Key)>,
}

impl Vault {
    /// Reads the file of keys. One that is not there is made, if `create` says so.
    ///
    /// # Errors
    ///
    /// [`VaultError::File`], [`VaultError::BadKey`], [`VaultError::Shared`].
    pub fn open(path: &Path, create: bool) -> Result<Self> {
        let failed = |cause| VaultError::File { path: path.to_owned(), cause };
        let file = match File::open(path) {
            Err(error) if create && error.kind() == io::ErrorKind::NotFound => {
                make(path)?;
                File::open(path)
            }
            opened => opened,
        };
        let file = file.map_err(failed)?;
        if file.metadata().map_err(failed)?.mode() & 0o077 != 0 {
            return Err(VaultError::Shared { path: path.to_owned() });
        }
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
        Self::read(&text, path)
    }

    fn read(text: &str, path: &Path) -> Result<Self> {
        let mut keys: Vec<(String, Key)> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = || VaultError::BadKey { path: path.to_owned(), line: number };
            let (id, key) = line.split_once(':').ok_or_else(bad)?;
            let bytes = Zeroizing::new(STANDARD.decode(key).map_err(|_| bad())?);
            let key: [u8; KEY] = bytes.as_slice().try_into().map_err(|_| bad())?;
            if !is_id(id) || keys.iter().any(|(known, _)| known == id) {
                return Err(bad());
            }
            keys.push((id.to_owned(), Zeroizing::new(key)));
        }
        if keys.is_empty() {
            return Err(VaultError::NoKey { path: path.to_owned() });
        }
        Ok(Self { keys })
    }

    fn current(&self) -> Result<(&str, &Key)> {
        let (id, key) = self.keys.first().ok_or(VaultError::Damaged)?;
        Ok((id, key))
    }

    fn key(&self, id: &str) -> Result<&Key> {
        let known = self.keys.iter().find(|(known, _)| known == id);
        let (_, key) = known.ok_or_else(|| VaultError::UnknownKey { id: id.to_owned() })?;
        Ok(key)
    }

    /// Seals a credential for the row that `about` names, and nowhere else.
    ///
    /// # Errors
    ///
    /// [`VaultError::Library`].
    pub fn seal(&self, about: &str, secret: &Secret) -> Result<String> {
        let (id, key) = self.current()?;
        let mut own: Key = Zeroizing::new([0; KEY]);
        rand_bytes(own.as_mut_slice()).map_err(|_| VaultError::Library { operation: "random" })?;
        let wrapped = seal(key, &wrap_about(id, about), own.as_slice())?;
        let sealed = seal(&own, about.as_bytes(), secret.reveal().as_bytes())?;
        Ok(Sealed { key_id: id.to_owned(), wrapped, sealed }.to_string())
    }

    /// Opens what was sealed for the row that `about` names.
    ///
    /// # Errors
    ///
    /// [`VaultError::Damaged`], also for a text of another row; [`VaultError::UnknownKey`].
    pub fn unseal(&self, about: &str, text: &str) -> Result<Secret> {
        let sealed: Sealed = text.parse()?;
        let own = self.unwrap_key(about, &sealed)?;
        let bytes = Zeroizing::new(open(&own, about.as_bytes(), &sealed.sealed)?);
        let text = std::str::from_utf8(&bytes).map_err(|_| VaultError::Damaged)?;
        Ok(Secret::from(text))
    }

    fn unwrap_key(&self, about: &str, sealed: &Sealed) -> Result<Key> {
        let key = self.key(&sealed.key_id)?;
        let own = Zeroizing::new(open(key, &wrap_about(&sealed.key_id, about), &sealed.wrapped)?);
        let own: [u8; KEY] = own.as_slice().try_into().map_err(|_| VaultError::Damaged)?;
        Ok(Zeroizing::new(own))
    }

    /// Whether the first key wraps it.
    pub fn is_current(&self, text: &str) -> bool {
        let id = text.parse::<Sealed>().ok().map(|sealed| sealed.key_id);
        id.is_some_and(|id| self.keys.first().is_some_and(|(first, _)| *first == id))
    }

    /// The same credential under the first key; for the change of keys.
    ///
    /// # Errors
    ///
    /// As [`Self::unseal`].
    pub fn renew(&self, about: &str, text: &str) -> Result<String> {
        let sealed: Sealed = text.parse()?;
        let own = self.unwrap_key(about, &sealed)?;
        let (id, key) = self.current()?;
        let wrapped = seal(key, &wrap_about(id, about), own.as_slice())?;
        Ok(Sealed { key_id: id.to_owned(), wrapped, ..sealed }.to_string())
    }
}

/// The id of the key is bound as well: nobody can make a row ask for another one.
fn wrap_about(id: &str, about: &str) -> Vec<u8> {
    format!("key {id} of {about}").into_bytes()
}

fn is_id(id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=64).contains(&id.len()) && id.bytes().all(fits)
}

/// Makes a file with one key. Another process that makes it at the same time wins or loses as a
/// whole: the file appears complete, under its name, or not at all.
fn make(path: &Path) -> Result<()> {
    let failed = |cause| VaultError::File { path: path.to_owned(), cause };
    let mut bytes: Key = Zeroizing::new([0; KEY]);
    let mut id = [0; 4];
    rand_bytes(bytes.as_mut_slice())
        .and_then(|()| rand_bytes(&mut id))
        .map_err(|_| VaultError::Library { operation: "random" })?;
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = Zeroizing::new(STANDARD.encode(bytes.as_slice()));
    let text = Zeroizing::new(format!(
        "# Keys of the credentials in the database. Keep a copy apart from it: without this file\n\
         # no credential opens, and with both every one does. The first key seals.\n{id}:{}\n",
        key.as_str()
    ));
    let mut staged = path.as_os_str().to_owned();
    staged.push(format!(".{}", std::process::id()));
    let staged = Path::new(&staged);
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(staged);
    let file = file.as_mut().map_err(|cause| failed(io::Error::from(cause.kind())))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match fs::hard_link(staged, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let removed = fs::remove_file(staged);
    linked.and(removed).map_err(failed)?;
    // The name must be on the disk before a credential is sealed with it.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new("."))).and_then(|own| own.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(folder: &Path) -> Vault {
        Vault::open(&folder.join("vault.key"), true).unwrap()
    }

    #[test]
    fn a_credential_opens_for_its_own_row_only() {
        let folder = tempfile::tempdir().unwrap();
        let own = vault(folder.path());
        let text = own.seal("integration:1", &Secret::from("hunter2")).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        assert_ne!(text, own.seal("integration:1", &Secret::from("hunter2")).unwrap());
        // The file is read again at the next start.
        let again = vault(folder.path());
        assert_eq!(again.unseal("integration:1", &text).unwrap().reveal(), "hunter2");
        assert!(matches!(again.unseal("integration:2", &text), Err(VaultError::Damaged)));
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let own = vault(folder.path());
        let text = own.seal("row", &Secret::from("hunter2")).unwrap();
        for at in 0..text.len() {
            let mut forged = text.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert!(own.unseal("row", &forged).is_err(), "{at}: {forged}");
        }
        for cut in 0..text.len() {
            assert!(own.unseal("row", &text[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_new_first_key_seals_and_the_old_one_still_opens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.key");
        let old = vault(folder.path());
        let text = old.seal("row", &Secret::from("hunter2")).unwrap();
        assert!(old.is_current(&text));
        let line = fs::read_to_string(&path).unwrap();
        let new = format!("new:{}\n", STANDARD.encode([7; KEY]));
        fs::write(&path, format!("{new}{line}")).unwrap();
        let both = vault(folder.path());
        assert!(!both.is_current(&text));
        assert_eq!(both.unseal("row", &text).unwrap().reveal(), "hunter2");
        let renewed = both.renew("row", &text).unwrap();
        assert!(both.is_current(&renewed));
        fs::write(&path, new).unwrap();
        let after = vault(folder.path());
        assert_eq!(after.unseal("row", &renewed).unwrap().reveal(), "hunter2");
        assert!(matches!(after.unseal("row", &text), Err(VaultError::UnknownKey { .. })));
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_no_key_file_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.key");
        assert!(matches!(Vault::open(&path, false), Err(VaultError::File { .. })));
        vault(folder.path());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Vault::open(&path, true), Err(VaultError::Shared { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for bad in ["", "# nothing\n", "id:AAAA\n", "no key", "a b:AAAA"] {
            fs::write(&path, bad).unwrap();
            let refused = Vault::open(&path, true).map(|_| ()).unwrap_err();
            assert!(
                matches!(refused, VaultError::BadKey { .. } | VaultError::NoKey { .. }),
                "{bad}"
            );
        }
        let one = STANDARD.encode([1; KEY]);
        fs::write(&path, format!("a:{one}\na:{one}\n")).unwrap();
        assert!(matches!(Vault::open(&path, true), Err(VaultError::BadKey { line: 2, .. })));
    }
}
