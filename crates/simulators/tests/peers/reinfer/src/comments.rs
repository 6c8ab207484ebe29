//! The life of sources and comments.

use anyhow::{Context, Result};
use chrono::{DateTime, Duration, Utc};
use reinfer_client::{
    resources::{
        attachments::AttachmentMetadata,
        comment::CommentTimestampFilter,
        documents::{Document, RawEmail, RawEmailBody, RawEmailHeaders},
        source::StatisticsRequestParams,
    },
    BucketFullName, Client, CommentFilter, CommentId, CommentsIterTimerange, Message, MessageBody,
    MessageSubject, NewComment, NewSource, PropertyMap, SourceFullName, TransformTag, UpdateSource,
};
use serde_json::{json, Value};

/// More than two pages.
const COMMENTS: i64 = 150;

/// Makes a source, fills and reads it in every way; `bucket` is attached and let go of.
pub fn exercise(client: &Client, bucket: &BucketFullName, file: &str) -> Result<Value> {
    let name: SourceFullName = "example/by-peer".parse()?;
    let made = client.create_source(&name, NewSource::default()).context("create_source")?;
    let by_id = client.get_source(made.id.clone()).context("get_source by id")?;
    let listed = client.get_sources().context("get_sources")?.contains(&made);
    let bucket_id = client.get_bucket(bucket.clone()).context("get_bucket")?.id;
    let update = UpdateSource { bucket_id: Some(bucket_id.clone()), ..UpdateSource::default() };
    let attached = client.update_source(&name, update).context("update_source")?.bucket_id;
    let detached = client.update_source(&name, UpdateSource::default()).context("detach")?;
    let bad = TransformTag("generic.0.NONE".to_owned());
    let bad = UpdateSource { transform_tag: Some(&bad), ..UpdateSource::default() };
    let bad_tag = client.update_source(&name, bad).err().map(|error| error.to_string());

    let comments: Vec<NewComment> = (0..COMMENTS).map(new_comment).collect();
    client.put_comments(&name, comments[..100].to_vec(), false).context("put_comments")?;
    let synced = client.sync_comments(&name, comments.clone(), false).context("sync_comments")?;
    let (mut pages, mut read) = (Vec::new(), Vec::new());
    for page in client.get_comments_iter(&name, None, CommentsIterTimerange::default()) {
        let page = page.context("get_comments")?;
        pages.push(page.len());
        read.extend(page);
    }
    let same = read.len() == comments.len()
        && read.iter().zip(&comments).all(|(read, sent)| {
            read.id == sent.id
                && read.timestamp == sent.timestamp
                && read.messages == sent.messages
                && read.user_properties == sent.user_properties
                && read.thread_id == sent.thread_id
        });
    let range = CommentsIterTimerange { from: Some(time(10)), to: Some(time(20)) };
    let of_range: Result<Vec<_>, _> = client.get_comments_iter(&name, Some(4), range).collect();
    let of_range = of_range.context("get_comments of a range")?.concat().len();
    let filter = CommentFilter {
        timestamp: Some(CommentTimestampFilter { minimum: Some(time(10)), maximum: Some(time(20)) }),
        sources: vec![made.id.clone()],
        ..CommentFilter::default()
    };
    let counted = client
        .get_source_statistics(&name, &StatisticsRequestParams { comment_filter: filter })
        .context("get_source_statistics")?;
    let one = client.get_comment(&name, &CommentId(id(7))).context("get_comment")?;

    let beside = CommentId("with/file".to_owned());
    let uploaded = client
        .upload_comment_attachment(&made.id, &beside, 0, &file.into())
        .context("upload_comment_attachment")?;
    client.put_comment_audio(&made.id, &beside, file).context("put_comment_audio")?;
    let mut with_file = new_comment(3);
    with_file.id = beside.clone();
    with_file.attachments = vec![AttachmentMetadata {
        name: "a.txt".to_owned(),
        size: 5,
        content_type: ".txt".to_owned(),
        attachment_reference: None,
        content_hash: Some(uploaded.content_hash),
    }];
    client.sync_comments(&name, vec![with_file], false).context("sync with a file")?;
    let with_file = client.get_comment(&name, &beside).context("get_comment with a file")?;
    let reference = with_file.attachments[0].attachment_reference.clone().context("a reference")?;
    let attachment = client.get_attachment(&reference).context("get_attachment")?;

    let document = Document {
        comment_id: None,
        raw_email: RawEmail {
            attachments: Vec::new(),
            body: RawEmailBody::Plain("Hello".to_owned()),
            headers: RawEmailHeaders::Raw("Message-ID: <1@x>\nSubject: x\n".to_owned()),
        },
        user_properties: PropertyMap::new(),
    };
    let tag = TransformTag("generic.0.CONVKER5".to_owned());
    let raw = client
        .sync_raw_emails(&name, &[document], &tag, true, false)
        .context("sync_raw_emails")?;

    let gone = [CommentId(id(0)), CommentId(id(0)), CommentId(id(7)), CommentId("none".to_owned())];
    client.delete_comments(name.clone(), &gone).context("delete_comments")?;
    client.delete_comments(name.clone(), &gone[..1]).context("delete_comments again")?;
    let left = client
        .get_source_statistics(&name, &StatisticsRequestParams::default())
        .context("get_source_statistics")?;
    client.delete_source(made.id.clone()).context("delete_source")?;
    Ok(json!({
        "source": made == by_id && listed,
        "attached": attached == Some(bucket_id) && detached.bucket_id.is_none(),
        "bad_tag": bad_tag,
        "synced": [synced.new, synced.updated, synced.unchanged],
        "pages": pages,
        "same": same,
        "of_range": of_range,
        "counted": *counted.num_comments,
        "one": one.id.0 == id(7),
        "attachment": String::from_utf8_lossy(&attachment),
        "raw": [raw.new, raw.comments.len()],
        "left": *left.num_comments,
    }))
}

fn time(number: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + Duration::milliseconds(number * 60_001)
}

fn id(number: i64) -> String {
    format!("c{number}/odd%&=?")
}

fn new_comment(number: i64) -> NewComment {
    let mut user_properties = PropertyMap::new();
    user_properties.insert_string("Folder".to_owned(), "Inbox/\u{20ac}".to_owned());
    let markup = json!([{ "kind": "break", "name": "br", "span": { "char_start": 1, "char_end": 1,
        "utf16_byte_start": 2, "utf16_byte_end": 2 } }]);
    NewComment {
        id: CommentId(id(number)),
        thread_id: None,
        timestamp: time(number),
        messages: vec![Message {
            body: MessageBody {
                text: format!("Text \u{1f600} {number}"),
                text_markup: Some(markup),
                ..MessageBody::default()
            },
            subject: Some(MessageSubject { text: "S".to_owned(), translated_from: None }),
            from: Some("a@example.com".to_owned()),
            to: Some(vec!["b@example.com".to_owned()]),
            sent_at: Some(time(number)),
            ..Message::default()
        }],
        user_properties,
        attachments: Vec::new(),
    }
}
