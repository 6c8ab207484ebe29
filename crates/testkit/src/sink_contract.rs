//! What every sink promises, as one list of cases; [`sink_contract!`](crate::sink_contract!)
//! makes a test of each.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use record::{
    Body, BucketId, Checkpoint, Email, FolderId, FolderState, Held, ItemId, MailboxId, Metadata,
    Position, Quarantined, Route, Sink, SinkError, Uid,
};

/// A sink under test, with the store behind it.
pub trait SinkUnderTest {
    /// Opens the store, as a program does when it starts. The one before is closed by then.
    fn open(&self) -> Box<dyn Sink>;

    /// Every copy that the store holds for `route`, as a stranger would find it.
    fn copies(&self, route: &Route) -> Vec<(Uid, Vec<u8>)>;

    /// What the store holds of an email with this content: not every store takes all bytes.
    fn as_kept(&self, content: &[u8]) -> Vec<u8> {
        content.to_vec()
    }

    /// Whether the store can be asked which emails it holds.
    fn can_tell_what_it_holds(&self) -> bool {
        true
    }

    /// Changes one bit of the stored checkpoint. `false`: this store cannot be damaged.
    fn damage_checkpoint(&self, route: &Route) -> bool;
}

/// One test for each promise: `sink_contract!(local_files, LocalFilesUnderTest::new())`.
#[macro_export]
macro_rules! sink_contract {
    ($name:ident, $subject:expr) => {
        $crate::sink_contract!(@cases $name, $subject;
            a_new_route_starts_at_generation_0,
            an_email_is_kept_byte_for_byte,
            writing_twice_leaves_one_copy,
            no_records_are_no_trouble,
            a_record_of_30_mb_is_kept,
            find_tells_what_is_held,
            relocate_corrects_the_folder_and_nothing_else,
            routes_do_not_mix,
            the_checkpoint_is_replaced_whole,
            a_superseded_checkpoint_is_refused,
            saving_the_same_checkpoint_again_is_no_conflict,
            a_damaged_checkpoint_is_loud,
            quarantine_is_kept_replaced_and_left,
        );
    };
    (@cases $name:ident, $subject:expr; $($case:ident),+ $(,)?) => {
        mod $name {
            #[allow(unused_imports, reason = "the subject may need nothing from there")]
            use super::*;

            $(#[tokio::test]
            async fn $case() {
                $crate::sink_contract::$case(&$subject).await;
            })+
        }
    };
}

/// The route that the cases use.
pub fn route() -> Route {
    route_to("abc@example.com", "bucket")
}

fn route_to(mailbox: &str, bucket: &str) -> Route {
    let mailbox: MailboxId = mailbox.parse().unwrap();
    Route { mailbox, bucket: BucketId::new("owner", bucket).unwrap() }
}

fn second(n: u64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_700_000_000 + i64::try_from(n).unwrap())
}

/// Uid of the email with number `n`.
pub fn uid(n: u64) -> Uid {
    Uid::derive("test", &route().mailbox, &n.to_be_bytes(), "")
}

/// Email number `n` with a body of its own, in folder `Inbox`.
pub fn email(n: u64) -> Email {
    email_with(n, format!("Subject: {n}\r\n\r\nbody of {n}\r\n").into_bytes())
}

fn email_with(n: u64, body: Vec<u8>) -> Email {
    Email {
        uid: uid(n),
        item: ItemId(format!("item-{n}")),
        message_id: Some(format!("<{n}@example.com>")),
        timestamp: second(n),
        metadata: Metadata { folder: vec!["Inbox".into()], ..Metadata::default() },
        body: Body::Memory(Bytes::from(body)),
    }
}

fn checkpoint(generation: u64, token: &str) -> Checkpoint {
    let position = Some(Position::Cursor { token: token.into() });
    let mut new = Checkpoint { generation, ..Checkpoint::default() };
    new.folders.insert(FolderId("f".into()), FolderState { position, ..FolderState::default() });
    new
}

fn set_aside(n: u64, attempts: u32) -> Quarantined {
    Quarantined {
        uid: uid(n),
        protocol: record::Protocol::Ews,
        item: ItemId(format!("item-{n}")),
        folder: FolderId("f".into()),
        folder_path: vec!["Inbox".into()],
        message_id: None,
        received: Some(second(n)),
        size: Some(7),
        code: "ErrorItemCorrupt".into(),
        detail: "the server will not hand it out".into(),
        since: second(0),
        attempts,
    }
}

fn in_inbox() -> Option<Held> {
    Some(Held { folder: vec!["Inbox".into()] })
}

pub async fn a_new_route_starts_at_generation_0(subject: &dyn SinkUnderTest) {
    let sink = subject.open();
    assert_eq!(sink.load_checkpoint(&route()).await.unwrap(), Checkpoint::default());
    assert_eq!(sink.quarantined(&route()).await.unwrap(), []);
    assert_eq!(sink.find(&route(), &[uid(1)]).await.unwrap(), [None]);
}

pub async fn an_email_is_kept_byte_for_byte(subject: &dyn SinkUnderTest) {
    let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    subject.open().write(&route(), &[email_with(1, body.clone())]).await.unwrap();
    assert_eq!(subject.copies(&route()), [(uid(1), subject.as_kept(&body))]);
}

pub async fn writing_twice_leaves_one_copy(subject: &dyn SinkUnderTest) {
    let sink = subject.open();
    let emails = [email(1), email(2), email(1)];
    sink.write(&route(), &emails).await.unwrap();
    sink.write(&route(), &emails).await.unwrap();
    drop(sink);
    subject.open().write(&route(), &emails).await.unwrap();
    let mut uids: Vec<Uid> = subject.copies(&route()).into_iter().map(|(uid, _)| uid).collect();
    uids.sort_unstable();
    let mut expected = vec![uid(1), uid(2)];
    expected.sort_unstable();
    assert_eq!(uids, expected);
}

pub async fn no_records_are_no_trouble(subject: &dyn SinkUnderTest) {
    let sink = subject.open();
    sink.write(&route(), &[]).await.unwrap();
    sink.relocate(&route(), &[]).await.unwrap();
    sink.quarantine(&route(), &[]).await.unwrap();
    assert_eq!(sink.find(&route(), &[]).await.unwrap(), []);
    assert_eq!(subject.copies(&route()), []);
}

pub async fn a_record_of_30_mb_is_kept(subject: &dyn SinkUnderTest) {
    let body: Vec<u8> = (0..30_000_000u32).map(|n| n.to_le_bytes()[1]).collect();
    subject.open().write(&route(), &[email_with(1, body.clone())]).await.unwrap();
    let copies = subject.copies(&route());
    let kept = subject.as_kept(&body);
    assert!(copies.len() == 1 && copies[0].1 == kept, "the bytes have changed");
}

pub async fn find_tells_what_is_held(subject: &dyn SinkUnderTest) {
    if !subject.can_tell_what_it_holds() {
        return;
    }
    let sink = subject.open();
    sink.write(&route(), &[email(1), email(3)]).await.unwrap();
    let expected = [in_inbox(), None, in_inbox()];
    assert_eq!(sink.find(&route(), &[uid(1), uid(2), uid(3)]).await.unwrap(), expected);
    drop(sink);
    let found = subject.open().find(&route(), &[uid(1), uid(2), uid(3)]).await.unwrap();
    assert_eq!(found, expected, "forgotten by a restart");
}

pub async fn relocate_corrects_the_folder_and_nothing_else(subject: &dyn SinkUnderTest) {
    if !subject.can_tell_what_it_holds() {
        return;
    }
    let sink = subject.open();
    sink.write(&route(), &[email(1), email(2)]).await.unwrap();
    let before = subject.copies(&route());
    let folder = vec!["Archive".to_owned(), "a/b".to_owned()];
    sink.relocate(&route(), &[(uid(1), folder.clone()), (uid(9), folder.clone())]).await.unwrap();
    drop(sink);
    let found = subject.open().find(&route(), &[uid(1), uid(2), uid(9)]).await.unwrap();
    assert_eq!(found, [Some(Held { folder }), in_inbox(), None]);
    assert_eq!(subject.copies(&route()), before);
}

pub async fn routes_do_not_mix(subject: &dyn SinkUnderTest) {
    let sink = subject.open();
    sink.write(&route(), &[email(1)]).await.unwrap();
    sink.save_checkpoint(&route(), &checkpoint(1, "a")).await.unwrap();
    sink.quarantine(&route(), &[set_aside(2, 1)]).await.unwrap();
    for other in [route_to("abd@example.com", "bucket"), route_to("abc@example.com", "other")] {
        assert_eq!(sink.find(&other, &[uid(1)]).await.unwrap(), [None]);
        assert_eq!(sink.load_checkpoint(&other).await.unwrap(), Checkpoint::default());
        assert_eq!(sink.quarantined(&other).await.unwrap(), []);
    }
}

pub async fn the_checkpoint_is_replaced_whole(subject: &dyn SinkUnderTest) {
    let sink = subject.open();
    let mut first = checkpoint(1, &"long".repeat(1000));
    first.folders.insert(FolderId("gone later".into()), FolderState::default());
    sink.save_checkpoint(&route(), &first).await.unwrap();
    assert_eq!(sink.load_checkpoint(&route()).await.unwrap(), first);
    let second = checkpoint(2, "b");
    sink.save_checkpoint(&route(), &second).await.unwrap();
    assert_eq!(sink.load_checkpoint(&route()).await.unwrap(), second);
    drop(sink);
    assert_eq!(subject.open().load_checkpoint(&route()).await.unwrap(), second);
}

pub async fn a_superseded_checkpoint_is_refused(subject: &dyn SinkUnderTest) {
    let sink = subject.open();
    sink.save_checkpoint(&route(), &checkpoint(1, "a")).await.unwrap();
    sink.save_checkpoint(&route(), &checkpoint(2, "b")).await.unwrap();
    for stale in [0, 1, 2, 4] {
        let result = sink.save_checkpoint(&route(), &checkpoint(stale, "stale")).await;
        let refused = matches!(result, Err(SinkError::Superseded { .. }));
        assert!(refused, "generation {stale} gave {result:?}");
    }
    assert_eq!(sink.load_checkpoint(&route()).await.unwrap(), checkpoint(2, "b"));
}

/// A save that failed half-way is repeated by the engine, and may find itself done.
pub async fn saving_the_same_checkpoint_again_is_no_conflict(subject: &dyn SinkUnderTest) {
    let sink = subject.open();
    sink.save_checkpoint(&route(), &checkpoint(1, "a")).await.unwrap();
    sink.save_checkpoint(&route(), &checkpoint(1, "a")).await.unwrap();
    sink.save_checkpoint(&route(), &checkpoint(2, "b")).await.unwrap();
    assert_eq!(sink.load_checkpoint(&route()).await.unwrap(), checkpoint(2, "b"));
}

pub async fn a_damaged_checkpoint_is_loud(subject: &dyn SinkUnderTest) {
    let sink = subject.open();
    sink.save_checkpoint(&route(), &checkpoint(1, "a")).await.unwrap();
    if !subject.damage_checkpoint(&route()) {
        return;
    }
    // A sink may remember what it wrote; at the latest the next start must notice.
    drop(sink);
    let sink = subject.open();
    let result = sink.load_checkpoint(&route()).await;
    assert!(matches!(result, Err(SinkError::Corrupt { .. })), "{result:?}");
    let result = sink.save_checkpoint(&route(), &checkpoint(1, "a")).await;
    assert!(matches!(result, Err(SinkError::Corrupt { .. })), "overwritten: {result:?}");
}

pub async fn quarantine_is_kept_replaced_and_left(subject: &dyn SinkUnderTest) {
    let sink = subject.open();
    sink.quarantine(&route(), &[set_aside(1, 1), set_aside(2, 1)]).await.unwrap();
    sink.quarantine(&route(), &[set_aside(1, 2)]).await.unwrap();
    drop(sink);
    let sink = subject.open();
    let mut list = sink.quarantined(&route()).await.unwrap();
    list.sort_by_key(|item| item.item.0.clone());
    assert_eq!(list, [set_aside(1, 2), set_aside(2, 1)]);
    sink.write(&route(), &[email(1)]).await.unwrap();
    drop(sink);
    assert_eq!(subject.open().quarantined(&route()).await.unwrap(), [set_aside(2, 1)]);
}
