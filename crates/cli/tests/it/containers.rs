//! Containers on servers of somebody else's making, as the program is told of them.

use std::{collections::BTreeMap, process::Command};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use testkit::{
    azurite::{self, ACCOUNT, azurite},
    seaweedfs::{self, KEY_ID, seaweedfs},
};

use crate::harness::{Appliance, PROGRAM, World, hex};

const PREFIX: &str = "some/prefix";

/// A container that no other test uses.
#[derive(Clone, Debug)]
pub enum Container {
    Azurite(String),
    SeaweedFs(String),
}

impl Container {
    pub fn on_azurite() -> Self {
        Self::Azurite(azurite().new_container())
    }

    pub fn on_seaweedfs() -> Self {
        Self::SeaweedFs(seaweedfs().new_bucket())
    }

    /// One on the same server that nobody has made.
    pub fn missing(&self) -> Self {
        match self {
            Self::Azurite(_) => Self::Azurite("missing".into()),
            Self::SeaweedFs(_) => Self::SeaweedFs("missing".into()),
        }
    }

    /// What `--private-file-prefix` is set to.
    pub fn place(&self) -> String {
        match self {
            Self::Azurite(name) => format!("az://{ACCOUNT}/{name}/{PREFIX}"),
            Self::SeaweedFs(name) => format!("s3://{name}/{PREFIX}"),
        }
    }

    /// What signs in, and must not be shown.
    pub fn secret(&self) -> &'static str {
        match self {
            Self::Azurite(_) => azurite::KEY,
            Self::SeaweedFs(_) => seaweedfs::SECRET,
        }
    }

    /// Environment variables that lead to the server.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Azurite(_) => {
                vec![("AZURE_STORAGE_CONNECTION_STRING", azurite().connection_string())]
            }
            Self::SeaweedFs(_) => vec![
                ("AWS_ACCESS_KEY_ID", KEY_ID.into()),
                ("AWS_SECRET_ACCESS_KEY", seaweedfs::SECRET.into()),
                ("AWS_ENDPOINT_URL", seaweedfs().url.clone()),
            ],
        }
    }

    /// A command of the program that can reach it.
    pub fn command(&self, world: &World, arguments: &[&str]) -> Command {
        let mut command = world.command(arguments);
        command.envs(self.variables());
        command
    }

    /// The appliance, which delivers to it.
    pub fn start(&self, world: &World, more: &[&str]) -> Appliance {
        let place = self.place();
        let mut arguments = vec!["appliance", "--private-file-prefix", &place];
        arguments.extend(more);
        let variables = self.variables();
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        world.start_with(PROGRAM, &arguments, &variables)
    }

    /// The names of all blobs, with tags that change with each write.
    pub fn tags(&self) -> BTreeMap<String, String> {
        match self {
            Self::Azurite(name) => azurite().tags(name),
            Self::SeaweedFs(name) => seaweedfs().tags(name),
        }
    }

    /// Those of the emails.
    pub fn tags_of_emails(&self) -> BTreeMap<String, String> {
        let mut tags = self.tags();
        tags.retain(|name, _| name.contains("/data/"));
        tags
    }

    pub fn overwrite(&self, blob: &str, content: &[u8]) {
        match self {
            Self::Azurite(name) => azurite().overwrite(name, blob, content),
            Self::SeaweedFs(name) => seaweedfs().overwrite(name, blob, content),
        }
    }

    /// What it holds, in the form of [`World::truth`].
    pub fn stored(&self) -> BTreeMap<(String, String), usize> {
        let blobs = match self {
            Self::Azurite(name) => azurite().blobs(name),
            Self::SeaweedFs(name) => seaweedfs().objects(name),
        };
        let mut stored = BTreeMap::new();
        for (name, bytes) in blobs.iter().filter(|(name, _)| name.ends_with(".eml")) {
            assert!(name.starts_with("some/prefix/data/project/bucket/"), "{name}");
            let sidecar = &blobs[&name.replace(".eml", ".json")];
            let sidecar: Value = serde_json::from_slice(sidecar).unwrap();
            let hash = hex(&Sha256::digest(bytes));
            assert_eq!(sidecar["sha256"], json!(hash), "{name}");
            let mailbox = sidecar["mailbox"].as_str().unwrap().to_owned();
            *stored.entry((mailbox, hash)).or_default() += 1;
        }
        let data = blobs.keys().filter(|name| name.contains("/data/")).count();
        assert_eq!(data, 2 * stored.values().sum::<usize>(), "a file without its other half");
        stored
    }
}

/// Each case on each of them.
macro_rules! in_containers {
    ($($case:ident),+ $(,)?) => {
        mod azure_blobs {
            $(#[test]
            fn $case() { super::$case($crate::containers::Container::on_azurite()); })+
        }
        mod s3_objects {
            $(#[test]
            fn $case() { super::$case($crate::containers::Container::on_seaweedfs()); })+
        }
    };
}

pub(crate) use in_containers;
