//! Which mailboxes are read, from when on, and into which buckets.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use record::{BucketId, MailboxId};

use super::{
    folders::{FolderPattern, FolderRules},
    problem::{self, quoted},
    settings::{MailboxSettings, StartFrom, Written},
    validate::Reader,
    written::MailboxConfig,
};

impl Reader<'_> {
    /// The mailboxes that can be used; each other one has left a problem.
    pub(super) fn mailboxes(&mut self) -> BTreeMap<MailboxId, MailboxSettings> {
        let allow = self.config.folders_allow.take();
        let deny = self.config.folders_deny.take();
        let general = Arc::new(FolderRules {
            allow: self.patterns("folders_allow", allow.as_deref(), true),
            deny: self.patterns("folders_deny", deny.as_deref(), false),
        });
        let in_general = (allow.is_some(), deny.is_some());
        let written = std::mem::take(&mut self.config.mailboxes);
        if written.is_empty() {
            self.problem("`mailboxes` is empty; allowed: at least one mailbox".into());
        }
        let mut spelled: BTreeMap<MailboxId, String> = BTreeMap::new();
        let mut mailboxes = BTreeMap::new();
        for (address, mailbox) in written {
            let path = format!("mailboxes.{}", problem::key(&address));
            let Ok(id) = address.parse::<MailboxId>() else {
                self.problem(format!(
                    "`{path}` is not the address of a mailbox; allowed: an address such as \
                     `abc@example.com`"
                ));
                continue;
            };
            if let Some(first) = spelled.insert(id.clone(), path.clone()) {
                self.problem(format!(
                    "`{first}` and `{path}` are the same mailbox; allowed: one of the two"
                ));
                continue;
            }
            if let Some(settings) = self.mailbox(&path, mailbox, &general, in_general) {
                mailboxes.insert(id, settings);
            }
        }
        mailboxes
    }

    fn mailbox(
        &mut self,
        path: &str,
        mailbox: MailboxConfig,
        general: &Arc<FolderRules>,
        in_general: (bool, bool),
    ) -> Option<MailboxSettings> {
        let bucket = self.bucket(path, &mailbox);
        let start_timestamp = match mailbox.start_timestamp.as_deref().map(parse_time) {
            Some(None) => {
                self.problem(format!(
                    "`{path}.start_timestamp` is `{}`; allowed: a date and time with an offset, \
                     such as `\"2020-01-01T00:00:00+00:00\"`",
                    quoted(mailbox.start_timestamp.as_deref().unwrap_or_default())
                ));
                None
            }
            time => time.flatten(),
        };
        let allow = mailbox.folders_allow.as_deref();
        let deny = mailbox.folders_deny.as_deref();
        let folders = if allow.is_none() && deny.is_none() {
            Arc::clone(general)
        } else {
            let own_allow = self.patterns(&format!("{path}.folders_allow"), allow, true);
            let own_deny = self.patterns(&format!("{path}.folders_deny"), deny, false);
            Arc::new(FolderRules {
                allow: if allow.is_some() { own_allow } else { general.allow.clone() },
                deny: if deny.is_some() { own_deny } else { general.deny.clone() },
            })
        };
        Some(MailboxSettings {
            bucket: bucket?,
            start_from: mailbox.start_from.unwrap_or(StartFrom::Bucket),
            start_timestamp,
            folders,
            written: Written {
                start_from: mailbox.start_from.is_some(),
                folders_allow: allow.is_some() || in_general.0,
                folders_deny: deny.is_some() || in_general.1,
            },
        })
    }

    fn bucket(&mut self, path: &str, mailbox: &MailboxConfig) -> Option<BucketId> {
        let (owner, name) = (&mailbox.bucket.owner, &mailbox.bucket.name);
        for (key, part) in [("owner", owner), ("name", name)] {
            if BucketId::new(part, part).is_err() {
                self.problem(format!(
                    "`{path}.bucket.{key}` is `{}`; allowed: 1 to 256 letters, digits, `-` or `_`",
                    quoted(part)
                ));
            }
        }
        BucketId::new(owner, name).ok()
    }

    fn patterns(
        &mut self,
        path: &str,
        written: Option<&[String]>,
        refuse_empty: bool,
    ) -> Vec<FolderPattern> {
        if refuse_empty && written.is_some_and(<[String]>::is_empty) {
            self.problem(format!(
                "`{path}` is an empty list; allowed: at least one pattern, such as `\"**\"` for \
                 every folder"
            ));
        }
        let mut patterns = Vec::new();
        for (index, text) in written.unwrap_or_default().iter().enumerate() {
            match FolderPattern::parse(text) {
                Ok(pattern) => patterns.push(pattern),
                Err(bad) => {
                    self.problem(format!("`{path}[{index}]` is `{}`; allowed: {bad}", quoted(text)))
                }
            }
        }
        patterns
    }
}

fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
}
