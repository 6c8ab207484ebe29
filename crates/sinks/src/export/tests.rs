//! What comes out of a folder with good and bad emails.

use std::{collections::BTreeMap, fs};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use record::{Body, BucketId, Email, ItemId, Metadata, Route, Sink, Uid};
use tempfile::TempDir;

use super::*;
use crate::local_files::LocalFiles;

fn route(mailbox: &str, bucket: &str) -> Route {
    Route { mailbox: mailbox.parse().unwrap(), bucket: BucketId::new("owner", bucket).unwrap() }
}

fn time(n: u64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_700_000_000 + i64::try_from(n).unwrap())
}

fn email(n: u64, body: &[u8]) -> Email {
    Email {
        uid: Uid::derive("test", &"abc@example.com".parse().unwrap(), &n.to_be_bytes(), ""),
        item: ItemId(format!("item-{n}")),
        message_id: Some(format!("<{n}@example.com>")),
        timestamp: time(n),
        metadata: Metadata {
            folder: vec!["Inbox".into(), "a/b".into()],
            size: Some(17),
            is_read: Some(true),
            ..Metadata::default()
        },
        body: Body::Memory(Bytes::copy_from_slice(body)),
    }
}

/// Three emails in two mailboxes; the bytes of the second have changed since.
async fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let sink = LocalFiles::open(dir.path()).unwrap();
    let first = route("abc@example.com", "one");
    let emails = [email(1, b"Subject: 1\r\n\r\nna\xefve text\r\n"), email(2, b"two")];
    sink.write(&first, &emails).await.unwrap();
    sink.write(&route("xyz@example.com", "two"), &[email(3, "Grüße".as_bytes())]).await.unwrap();
    let changed = sink.stored_email(&first, emails[1].uid).unwrap().eml;
    fs::write(changed, "owt").unwrap();
    dir
}

fn lines(prefix: &Path, filter: &Filter) -> (Vec<serde_json::Value>, Report) {
    let mut out = Vec::new();
    let report = json_lines(prefix, filter, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), report)
}

#[tokio::test]
async fn json_lines_hold_what_the_client_takes_and_nothing_else() {
    let dir = folder().await;
    let (lines, report) = lines(dir.path(), &Filter::default());
    let by_id: BTreeMap<&str, &serde_json::Value> =
        lines.iter().map(|line| (line["id"].as_str().unwrap(), line)).collect();
    let expected = serde_json::json!({
        "id": "<1@example.com>",
        "mailbox": "abc@example.com",
        "timestamp": "2023-11-14T22:13:21Z",
        "mime_content": "Subject: 1\r\nMIME-Version: 1.0\r\n\
                         Content-Transfer-Encoding: quoted-printable\r\n\r\nna=EFve text\r\n",
        "metadata": {"folder": ["Inbox", "a/b"], "size": 17, "categories": [], "is_read": true},
    });
    assert_eq!(by_id["<1@example.com>"], &expected);
    assert_eq!(by_id["<3@example.com>"]["mime_content"], "Grüße");
    assert_eq!((report.exported, report.skipped), (2, 1));
    assert!(matches!(report.reasons[0].reason, Flaw::WrongHash));
}

#[tokio::test]
async fn filters_choose_bucket_mailbox_and_time() {
    let dir = folder().await;
    let ids = |filter: Filter| -> Vec<String> {
        let (lines, _) = lines(dir.path(), &filter);
        lines.iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect()
    };
    let bucket = Some(BucketId::new("owner", "one").unwrap());
    assert_eq!(ids(Filter { bucket, ..Filter::default() }), ["<1@example.com>"]);
    let mailbox = Some("xyz@example.com".parse().unwrap());
    assert_eq!(ids(Filter { mailbox, ..Filter::default() }), ["<3@example.com>"]);
    assert_eq!(ids(Filter { since: Some(time(3)), ..Filter::default() }), ["<3@example.com>"]);
    assert_eq!(ids(Filter { since: Some(time(4)), ..Filter::default() }), [""; 0]);
}

#[tokio::test]
async fn mbox_holds_every_whole_email() {
    let dir = folder().await;
    let mut out = Vec::new();
    let report = mbox(dir.path(), &Filter::default(), &mut out).unwrap();
    assert_eq!((report.exported, report.skipped), (2, 1));
    let froms = out.split(|b| *b == b'\n').filter(|line| line.starts_with(b"From MAILER")).count();
    assert_eq!(froms, 2);
}

#[test]
fn a_wrong_path_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let result = json_lines(&dir.path().join("nothing"), &Filter::default(), &mut Vec::new());
    assert!(matches!(result, Err(ExportError::Folder(_))));
}
