//! Everything that the platform stores.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use hyper::StatusCode;
use serde_json::{Value, json};

use super::{email::Emails, refusal::Refusal, route::BucketName, schema::show};

#[derive(Debug)]
pub(crate) struct Project {
    id: String,
    name: String,
    pub(crate) title: String,
    pub(crate) description: String,
    created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

impl Project {
    pub(crate) fn show(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "created_at": show(self.created_at),
            "updated_at": show(self.updated_at),
            "user_auto_join": false,
        })
    }
}

/// The one text in which an appliance keeps its state.
#[derive(Clone, Debug)]
pub(crate) struct SyncState {
    pub(crate) fields: Value,
    /// Grows with every write.
    pub(crate) version: u64,
}

impl SyncState {
    pub(crate) fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }
}

#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) id: String,
    pub(crate) owner: String,
    name: String,
    pub(crate) title: String,
    created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) last_updated_by: Option<Value>,
    pub(crate) emails: Emails,
    pub(crate) sync_state: Option<SyncState>,
    /// By key.
    pub(crate) keyed_sync_states: BTreeMap<String, Value>,
}

impl Bucket {
    pub(crate) fn show(&self) -> Value {
        let mut bucket = json!({
            "id": self.id,
            "owner": self.owner,
            "name": self.name,
            "title": self.title,
            "created_at": show(self.created_at),
            "updated_at": show(self.updated_at),
        });
        if let (Some(map), Some(by)) = (bucket.as_object_mut(), &self.last_updated_by) {
            map.insert("last_updated_by".to_owned(), by.clone());
        }
        bucket
    }
}

/// Projects, buckets and configurations.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) projects: BTreeMap<String, Project>,
    /// By `owner/name`.
    pub(crate) buckets: BTreeMap<String, Bucket>,
    /// By owner and key.
    pub(crate) configs: BTreeMap<(String, String), Bytes>,
    last_id: u64,
}

impl World {
    /// A resource id: 16 hex digits.
    fn id(&mut self) -> String {
        self.last_id += 1;
        format!("{:016x}", 0x1000 + self.last_id)
    }

    /// Adds a project unless it is there.
    pub(crate) fn add_project(&mut self, name: &str, now: DateTime<Utc>) -> &mut Project {
        let id = self.id();
        self.projects.entry(name.to_owned()).or_insert_with(|| Project {
            id,
            name: name.to_owned(),
            title: name.to_owned(),
            description: String::new(),
            created_at: now,
            updated_at: now,
        })
    }

    /// Adds a bucket unless it is there.
    pub(crate) fn add_bucket(
        &mut self,
        owner: &str,
        name: &str,
        now: DateTime<Utc>,
    ) -> &mut Bucket {
        let id = self.id();
        self.buckets.entry(format!("{owner}/{name}")).or_insert_with(|| Bucket {
            id,
            owner: owner.to_owned(),
            name: name.to_owned(),
            title: name.to_owned(),
            created_at: now,
            updated_at: now,
            last_updated_by: None,
            emails: Emails::default(),
            sync_state: None,
            keyed_sync_states: BTreeMap::new(),
        })
    }

    pub(crate) fn project(&mut self, name: &str) -> Result<&mut Project, Refusal> {
        let missing = || Refusal::not_found(format_args!("the project `{name}`"));
        self.projects.get_mut(name).ok_or_else(missing)
    }

    /// The key of a bucket among the others.
    pub(crate) fn full_name(&self, name: &BucketName) -> Result<String, Refusal> {
        let found = match name {
            BucketName::Full(full) => self.buckets.get_key_value(full).map(|(full, _)| full),
            BucketName::Id(id) => {
                self.buckets.iter().find(|(_, bucket)| bucket.id == *id).map(|(full, _)| full)
            }
        };
        let missing = || Refusal::not_found(format_args!("the bucket `{}`", name.text()));
        found.cloned().ok_or_else(missing)
    }

    pub(crate) fn bucket(&mut self, name: &BucketName) -> Result<&mut Bucket, Refusal> {
        let full = self.full_name(name)?;
        let missing = || Refusal::not_found(format_args!("the bucket `{full}`"));
        self.buckets.get_mut(&full).ok_or_else(missing)
    }
}

/// The refusal to make what is there already.
pub(crate) fn exists(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(StatusCode::CONFLICT, format!("{what} already exists"))
}
