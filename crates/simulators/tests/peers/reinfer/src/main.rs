//! Uses a platform with the types and the requests of its official client library.
//!
//! `reinfer-peer MODE ENDPOINT OWNER/BUCKET [FILE]`, with the token in `REINFER_PEER_TOKEN`:
//!
//! - `exercise`: makes the bucket, uploads mail, reads it in every way, deletes some; one JSON
//!   object on stdout says what came back.
//! - `upload FILE`: uploads JSON lines, as `re create emails --resume-on-error` does.
//! - `comments FILE`: the life of a source and its comments; FILE is an attachment.
//! - `dump`: one JSON line for each stored email.

mod comments;

use std::{
    env,
    fs::File,
    io::{self, BufRead, BufReader, Write},
};

use anyhow::{bail, Context, Result};
use chrono::{DateTime, Duration, Utc};
use openssl::sha::sha256;
use reinfer_client::{
    resources::{
        bucket::{BucketType, FolderStatus, GetKeyedSyncStateIdsRequest},
        bucket_statistics::Count,
        email::{Email, EmailMetadata},
    },
    BucketFullName, Client, Config, EmailId, EmailsQueryFilter, Mailbox, MimeContent, NewBucket,
    NewEmail, Token,
};
use serde_json::{json, Value};

/// Emails in one upload, as the official command line sends them.
const BATCH: usize = 128;
/// Emails that `exercise` uploads: more than two pages.
const EMAILS: i64 = 150;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (mode, endpoint, bucket, rest) = match arguments.as_slice() {
        [mode, endpoint, bucket, rest @ ..] => (*mode, *endpoint, *bucket, rest),
        _ => bail!("usage: reinfer-peer exercise|comments|upload|dump ENDPOINT OWNER/BUCKET [FILE]"),
    };
    let token = env::var("REINFER_PEER_TOKEN").context("REINFER_PEER_TOKEN is not set")?;
    let client = Client::new(Config {
        endpoint: endpoint.parse().context("the endpoint is no URL")?,
        token: Token(token),
        ..Config::default()
    })?;
    let bucket: BucketFullName = bucket.parse()?;
    match (mode, rest) {
        ("exercise", []) => println!("{}", exercise(&client, &bucket)?),
        ("comments", [file]) => println!("{}", comments::exercise(&client, &bucket, file)?),
        ("upload", [file]) => println!("{}", upload(&client, &bucket, file)?),
        ("dump", []) => dump(&client, &bucket)?,
        _ => bail!("unknown mode `{mode}`, or a wrong number of arguments"),
    }
    Ok(())
}

fn exercise(client: &Client, name: &BucketFullName) -> Result<Value> {
    let user = client.get_current_user().context("get_current_user")?;
    client.refresh_user_permissions().context("refresh_user_permissions")?;
    let new = NewBucket { bucket_type: BucketType::Emails, title: Some("Mail of the peer") };
    let made = client.create_bucket(name, new).context("create_bucket")?;
    let by_name = client.get_bucket(name.clone()).context("get_bucket by name")?;
    let by_id = client.get_bucket(made.id.clone()).context("get_bucket by id")?;
    let listed = client.get_buckets().context("get_buckets")?;

    let emails: Vec<NewEmail> = (0..EMAILS).map(new_email).collect();
    for batch in emails.chunks(BATCH) {
        client.put_emails(name, batch.to_vec(), false).context("put_emails")?;
    }
    // The same again changes nothing.
    client.put_emails(name, emails[..3].to_vec(), true).context("put_emails again")?;

    let mut pages = Vec::new();
    let mut read = Vec::new();
    for page in client.get_emails_iter(name, None) {
        let page = page.context("get_emails")?;
        pages.push(page.len());
        read.extend(page);
    }
    let same = read.len() == emails.len()
        && read.iter().zip(&emails).all(|(read, sent)| is_same(read, sent));

    let query = |filter| -> Result<Vec<Email>> {
        let pages: Result<Vec<_>, _> = client.query_emails_iter(name, filter, Some(16)).collect();
        Ok(pages.context("query_emails")?.concat())
    };
    let of_mailbox = query(EmailsQueryFilter {
        mailbox_name: Some("even@example.com".to_owned()),
        ..EmailsQueryFilter::default()
    })?;
    let of_range = query(EmailsQueryFilter {
        from_timestamp: Some(time(10)),
        to_timestamp: Some(time(20)),
        mailbox_name: None,
    })?;
    let odd_id = client.get_email(name, EmailId(id(7))).context("get_email")?;
    let unknown_id = client.get_email(name, EmailId("<none@x>".to_owned())).context("get_email")?;
    let count = |client: &Client| -> Result<i32> {
        Ok(match client.get_bucket_statistics(name).context("get_bucket_statistics")?.count {
            Count::LowerBoundBucketCount { value } | Count::ExactBucketCount { value } => value,
        })
    };
    let before = count(client)?;
    client.delete_emails(name.clone(), &[EmailId(id(0)), EmailId(id(1))]).context("delete")?;
    // Ids that are gone are no error.
    client.delete_emails(name.clone(), &[EmailId(id(1))]).context("delete again")?;
    let after = count(client)?;

    let states = client.get_keyed_sync_states(&made.id).context("get_keyed_sync_states")?;
    Ok(json!({
        "user": user.username.0,
        "bucket": { "same": made == by_name && made == by_id, "listed": listed.contains(&made) },
        "pages": pages,
        "same": same,
        "of_mailbox": of_mailbox.len(),
        "of_range": of_range.len(),
        "odd_id": odd_id.len(),
        "unknown_id": unknown_id.len(),
        "count": [before, after],
        "keyed_sync_states": states.len(),
    }))
}

fn time(number: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + Duration::minutes(number)
}

fn id(number: i64) -> String {
    format!("<m{number}+odd/%&=?@example.com>")
}

fn new_email(number: i64) -> NewEmail {
    let mailbox = if number % 2 == 0 { "even@example.com" } else { "odd@example.com" };
    // Every ASCII control character but NUL, and characters of two, three and four bytes.
    let odd: String = ('\u{1}'..=' ').chain("\"\\é€😀".chars()).collect();
    let metadata = EmailMetadata {
        size: Some(20),
        is_read: Some(true),
        folder: Some(vec!["Inbox".to_owned(), "a/b".to_owned()]),
        categories: Some(Vec::new()),
        received_at: Some(time(number).to_rfc3339()),
        ..EmailMetadata::default()
    };
    NewEmail {
        id: EmailId(id(number)),
        mailbox: Mailbox(mailbox.to_owned()),
        timestamp: time(number),
        mime_content: MimeContent(format!("Subject: {number}\r\n\r\n{odd}\r\n")),
        metadata: Some(metadata),
        attachments: Vec::new(),
    }
}

fn is_same(read: &Email, sent: &NewEmail) -> bool {
    read.id == sent.id
        && read.mailbox == sent.mailbox
        && read.timestamp == sent.timestamp
        && read.mime_content == sent.mime_content
        && read.metadata == sent.metadata
        && read.attachments == sent.attachments
}

fn upload(client: &Client, name: &BucketFullName, path: &str) -> Result<Value> {
    let bucket = client.get_bucket(name.clone()).context("get_bucket")?;
    let file = BufReader::new(File::open(path).with_context(|| format!("could not open {path}"))?);
    let (mut uploaded, mut failed, mut batch) = (0, 0, Vec::new());
    let mut send = |batch: &mut Vec<NewEmail>| {
        let count = batch.len();
        let name = bucket.full_name();
        let result = client.put_emails_split_on_failure(&name, std::mem::take(batch), false);
        uploaded += count - result.num_failed;
        failed += result.num_failed;
    };
    for (number, line) in file.lines().enumerate() {
        let email = serde_json::from_str(&line?)
            .with_context(|| format!("line {} is no email", number + 1))?;
        batch.push(email);
        if batch.len() == BATCH {
            send(&mut batch);
        }
    }
    if !batch.is_empty() {
        send(&mut batch);
    }
    Ok(json!({ "uploaded": uploaded, "failed": failed }))
}

fn dump(client: &Client, name: &BucketFullName) -> Result<()> {
    let bucket = client.get_bucket(name.clone()).context("get_bucket")?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    for page in client.get_emails_iter(name, None) {
        for email in page.context("get_emails")? {
            let content = email.mime_content.0.as_bytes();
            let line = json!({
                "id": email.id,
                "mailbox": email.mailbox,
                "timestamp": email.timestamp,
                "metadata": email.metadata,
                "attachments": email.attachments,
                "sha256": hex(&sha256(content)),
                "size": content.len(),
            });
            writeln!(out, "{line}")?;
        }
    }
    for state in client.get_keyed_sync_states(&bucket.id).context("get_keyed_sync_states")? {
        let request = GetKeyedSyncStateIdsRequest { mailbox_name: state.mailbox_name.clone() };
        let ids = client.get_keyed_sync_state_ids(&bucket.id, &request);
        let line = json!({
            "keyed_sync_state": {
                "mailbox_name": state.mailbox_name,
                "folder_id": state.folder_id,
                "folder_path": state.folder_path,
                "up_to_date": state.status == FolderStatus::UpToDate,
                "synced_until": state.synced_until,
                "ids_of_mailbox": ids.context("get_keyed_sync_state_ids")?,
            }
        });
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
