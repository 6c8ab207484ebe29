//! Sources, comments and the queue between emails and comments, on whatever database.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use sqlx::{Connection, Row};
use store::{
    AUDIO, Annotation, Claim, Claimant, Comment, CommentQuery, CommentWrite, Dataset, NewComment,
    Session, Source, SourceDetails, Store, StoreError, Wanted,
};

use crate::contract::{Opened, at, bucket, email, read};

async fn source(session: &mut Session, name: &str, bucket_id: Option<&str>) -> Source {
    let details =
        SourceDetails { bucket_id: bucket_id.map(str::to_owned), ..SourceDetails::default() };
    session.create_source("p", name, details).await.unwrap()
}

fn comment(id: &str, second: i64) -> NewComment {
    NewComment {
        id: id.to_owned(),
        at: at(second),
        thread_id: Some(format!("t{}", second % 2)),
        body: format!("{{\"id\":\"{id}\"}}"),
        email: None,
        generation: 0,
        changes_text: false,
        no_charge: false,
    }
}

async fn put(session: &mut Session, source: &Source, new: Vec<NewComment>) -> Vec<Comment> {
    assert!(session.begin_comments(&source.id).await.unwrap());
    let ids: Vec<String> = new.iter().map(|own| own.id.clone()).collect();
    let mut held = session.comments_by_id(&source.id, &ids).await.unwrap();
    let write = |new: NewComment| CommentWrite { old: held.remove(&new.id), new };
    let writes = new.into_iter().map(write).collect();
    session.put_comments(&source.id, writes).await.unwrap()
}

async fn ids(session: &mut Session, source: &Source, query: CommentQuery) -> Vec<String> {
    let mut wanted = CommentQuery { limit: 7, ..query };
    let mut seen = Vec::new();
    loop {
        let page = session.comments(&source.id, &wanted).await.unwrap();
        let Some(last) = page.last() else { return seen };
        wanted.after = Some(last.after());
        seen.extend(page.into_iter().map(|comment| comment.id));
    }
}

pub(crate) async fn comments_have_one_order_over_all_sources(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    bucket(&mut session, "p").await;
    let (one, two) =
        (source(&mut session, "one", None).await, source(&mut session, "two", None).await);
    // All at one time, and one at the place that the second of them wants.
    let mut next = comment("next", 5);
    next.at = at(5) + TimeDelta::microseconds(1);
    put(&mut session, &two, vec![next]).await;
    for batch in 0..3 {
        for source in [&one, &two] {
            let new = (0..20).map(|number| comment(&format!("{batch}-{number:02}"), 5));
            put(&mut session, source, new.collect()).await;
        }
    }
    put(&mut session, &one, vec![comment("first", 4), comment("last", 6)]).await;
    session.commit().await.unwrap();
    let mut session = opened.store.read().await.unwrap();
    let mut all = ids(&mut session, &one, CommentQuery::default()).await;
    // The one whose place was taken went behind those of its time; the others are as they came.
    let mut expected: Vec<String> = vec!["first".to_owned()];
    expected.extend((0..3).flat_map(|b| (0..20).map(move |n| format!("{b}-{n:02}"))));
    expected.push("last".to_owned());
    let moved = expected.remove(2);
    expected.insert(20, moved);
    assert_eq!(all, expected);
    let range = CommentQuery { from: Some(at(4)), to: Some(at(4)), ..CommentQuery::default() };
    assert_eq!(ids(&mut session, &one, range).await, ["first"]);
    all.reverse();
    let newest = CommentQuery { newest_first: true, ..CommentQuery::default() };
    assert_eq!(ids(&mut session, &one, newest).await, all);
    assert_eq!(session.count_comments(&one.id, Some(at(5)), Some(at(5))).await.unwrap(), 60);
    let all = CommentQuery { limit: 1000, ..CommentQuery::default() };
    let mut places = BTreeSet::new();
    for source in [&one, &two] {
        for comment in session.comments(&source.id, &all).await.unwrap() {
            assert!(comment.place >= comment.at.timestamp_micros());
            assert!(places.insert(comment.place), "{comment:?}");
            let found = session.comment_at(comment.place).await.unwrap();
            assert_eq!(found.as_ref(), Some(&comment));
        }
    }
    assert_eq!(places.len(), 123);
    for source in [&one, &two] {
        let newest = CommentQuery { newest_first: true, limit: 1000, ..CommentQuery::default() };
        let all = session.comments(&source.id, &newest).await.unwrap();
        let known: Vec<_> = all.iter().map(Comment::after).collect();
        let newest = session.newest_places(&source.id, None, None, 1000).await.unwrap();
        assert_eq!(newest, known);
        let some = session.newest_places(&source.id, Some(known[2]), Some(known[9]), 1000).await;
        assert_eq!(some.unwrap(), known[3..9]);
        let some = session.newest_places(&source.id, Some(known[2]), None, 4).await.unwrap();
        assert_eq!(some, known[3..7]);
        assert_eq!(session.comments_of_places(&known).await.unwrap(), all);
    }
    let thread = session.comments_of_thread(&one.id, "t0", 10).await.unwrap();
    assert_eq!(thread.iter().map(|own| &*own.id).collect::<Vec<_>>(), ["first", "last"]);
    let threads = session.threads(&one.id, "", 10).await.unwrap();
    let threads: Vec<_> = threads.iter().map(|own| (&*own.id, own.comments)).collect();
    assert_eq!(threads, [("t0", 2), ("t1", 60)]);
}

pub(crate) async fn a_comment_keeps_its_place_as_long_as_its_time(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    bucket(&mut session, "p").await;
    let own = source(&mut session, "own", None).await;
    let first = put(&mut session, &own, vec![comment("c", 5)]).await.remove(0);
    let mut changed = comment("c", 5);
    changed.body = "{\"id\":\"c\",\"x\":1}".to_owned();
    let second = put(&mut session, &own, vec![changed.clone()]).await.remove(0);
    assert_eq!((second.place, &second.body), (first.place, &changed.body));
    assert!(second.version > first.version);
    changed.at = at(7);
    let third = put(&mut session, &own, vec![changed]).await.remove(0);
    assert_eq!((third.place, third.created_at), (at(7).timestamp_micros(), first.created_at));
    assert!(third.version > second.version);
    assert_eq!(session.comment(&own.id, "c").await.unwrap().as_ref(), Some(&third));
    assert_eq!(session.comment_at(first.place).await.unwrap(), None);
    let removed = session.delete_comments(&own.id, &["c".into(), "d".into()]).await.unwrap();
    assert_eq!(removed, [third]);
    assert!(session.delete_comments(&own.id, &["c".into()]).await.unwrap().is_empty());
}

pub(crate) async fn what_is_sent_beside_a_comment_goes_with_it(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    bucket(&mut session, "p").await;
    let own = source(&mut session, "own", None).await;
    let content = email(&opened.store, 1, "bytes").content;
    for place in [AUDIO, 0] {
        session.put_comment_attachment(&own.id, "c", place, &content).await.unwrap();
    }
    put(&mut session, &own, vec![comment("c", 5), comment("d", 6)]).await;
    session.commit().await.unwrap();
    let mut session = opened.store.write().await.unwrap();
    let hash = session.comment_attachment(&own.id, "c", 0).await.unwrap().unwrap();
    assert_eq!(read(&mut session, &hash).await, "bytes");
    let mut sent = session.attachments_of(&own.id, &["c".into(), "d".into()]).await.unwrap();
    sent.sort_unstable();
    assert_eq!(sent, [("c".to_owned(), AUDIO), ("c".to_owned(), 0)]);
    session.delete_comments(&own.id, &["c".into()]).await.unwrap();
    assert!(matches!(session.content(&hash).await, Err(StoreError::Damaged { .. })));
    session.put_comment_attachment(&own.id, "later", 0, &content).await.unwrap();
    // What is sent in its place takes it away.
    let other = email(&opened.store, 2, "other bytes").content;
    session.put_comment_attachment(&own.id, "later", 0, &other).await.unwrap();
    assert!(matches!(session.content(&hash).await, Err(StoreError::Damaged { .. })));
    let hash = session.comment_attachment(&own.id, "later", 0).await.unwrap().unwrap();
    assert_eq!(read(&mut session, &hash).await, "other bytes");
    session.delete_source(&own.id).await.unwrap();
    assert!(matches!(session.content(&hash).await, Err(StoreError::Damaged { .. })));
    assert_eq!(session.source_by_id(&own.id).await.unwrap(), None);
}

fn claimant(name: &str) -> Claimant {
    Claimant {
        name: name.to_owned(),
        format: 1,
        lease: TimeDelta::seconds(30),
        emails: 100,
        bytes: 1 << 20,
        strikes: 3,
    }
}

fn numbers(claims: &[Claim]) -> Vec<&str> {
    claims.iter().map(|claim| &*claim.id).collect()
}

async fn claim(store: &Store, by: &Claimant) -> Vec<Claim> {
    claim_of(store, by, Wanted::Any).await
}

async fn claim_of(store: &Store, by: &Claimant, wanted: Wanted) -> Vec<Claim> {
    let is_worth = store.read().await.unwrap().may_claim_conversions(by).await.unwrap();
    let mut session = store.write().await.unwrap();
    let claims = session.claim_conversions(by, wanted).await.unwrap();
    session.commit().await.unwrap();
    assert!(is_worth || claims.is_empty(), "a glance would have missed them");
    claims
}

async fn finish(store: &Store, by: &Claimant, claims: &[Claim]) -> Vec<bool> {
    let mut session = store.write().await.unwrap();
    let all: Vec<&Claim> = claims.iter().collect();
    let still = session.finish_conversions(by, &all).await.unwrap();
    session.commit().await.unwrap();
    still
}

pub(crate) async fn emails_wait_in_the_queue_of_each_source(opened: Opened) {
    let store = &opened.store;
    let mut session = store.write().await.unwrap();
    let bucket = bucket(&mut session, "p").await;
    session.put_emails(&bucket.id, vec![email(store, 0, "0")], false).await.unwrap();
    let mut one = source(&mut session, "one", Some(&bucket.id)).await;
    source(&mut session, "two", None).await;
    session.put_emails(&bucket.id, vec![email(store, 1, "1")], false).await.unwrap();
    session.commit().await.unwrap();
    let by = claimant("a");
    let claims = claim(store, &by).await;
    assert_eq!(numbers(&claims), ["<0@example.com>", "<1@example.com>"]);
    assert!(claims.iter().all(|claim| claim.source_id == one.id && claim.size == 1));
    assert!(claim(store, &claimant("b")).await.is_empty(), "they are claimed");
    // One is changed meanwhile, and one is uploaded as it was.
    let mut session = store.write().await.unwrap();
    let again = vec![email(store, 0, "0"), email(store, 1, "changed")];
    session.put_emails(&bucket.id, again, false).await.unwrap();
    session.commit().await.unwrap();
    assert_eq!(finish(store, &by, &claims).await, [true, false]);
    let claims = claim(store, &by).await;
    assert_eq!(numbers(&claims), ["<1@example.com>"]);
    assert_eq!(finish(store, &by, &claims).await, [true]);
    assert!(claim(store, &by).await.is_empty());
    assert!(!store.read().await.unwrap().may_claim_conversions(&by).await.unwrap());
    // Another tag: everything once more.
    let mut session = store.write().await.unwrap();
    one.details.transform_version = Some(2);
    session.update_source(&mut one).await.unwrap();
    let waiting = session.conversion(&one.id).await.unwrap();
    assert_eq!((waiting.waiting, waiting.scanning), (2, true));
    session.commit().await.unwrap();
    let claims = claim(store, &by).await;
    assert_eq!(claims.len(), 2);
    // Without its bucket, nothing.
    let mut session = store.write().await.unwrap();
    one.details.bucket_id = None;
    session.update_source(&mut one).await.unwrap();
    session.commit().await.unwrap();
    assert_eq!(finish(store, &by, &claims).await, [false, false]);
    assert!(claim(store, &by).await.is_empty());
}

pub(crate) async fn an_email_that_ends_processes_is_set_aside(opened: Opened) {
    let store = &opened.store;
    let mut session = store.write().await.unwrap();
    let bucket = bucket(&mut session, "p").await;
    let own = source(&mut session, "own", Some(&bucket.id)).await;
    let emails = (0..3).map(|number| email(store, number, &number.to_string())).collect();
    session.put_emails(&bucket.id, emails, false).await.unwrap();
    session.commit().await.unwrap();
    // A claim that ran out is one of a process that was killed.
    let dead = Claimant { lease: TimeDelta::microseconds(-1), ..claimant("dead") };
    let claims = claim(store, &dead).await;
    assert_eq!((claims.len(), claims.iter().any(|claim| claim.is_suspect)), (3, false));
    // Now one at a time: the first is innocent, the second is not, and ends two more.
    let by = claimant("a");
    assert!(claim_of(store, &by, Wanted::NoSuspects).await.is_empty());
    let first = claim(store, &by).await;
    assert_eq!((numbers(&first), first[0].is_suspect), (vec!["<0@example.com>"], true));
    assert_eq!(finish(store, &by, &first).await, [true]);
    assert_eq!(numbers(&claim(store, &dead).await), ["<1@example.com>"]);
    // New ones do not wait for it, nor those that were there less often, whose turn comes now and
    // then although there are new ones.
    let mut session = store.write().await.unwrap();
    session.put_emails(&bucket.id, vec![email(store, 3, "3")], false).await.unwrap();
    session.commit().await.unwrap();
    for (id, wanted) in
        [("<2@example.com>", Wanted::SuspectsFirst), ("<3@example.com>", Wanted::Any)]
    {
        let next = claim_of(store, &by, wanted).await;
        assert_eq!(numbers(&next), [id]);
        assert_eq!(finish(store, &by, &next).await, [true]);
    }
    assert_eq!(numbers(&claim(store, &dead).await), ["<1@example.com>"]);
    assert!(claim(store, &by).await.is_empty());
    let mut session = store.write().await.unwrap();
    let counts = session.conversion(&own.id).await.unwrap();
    assert_eq!((counts.waiting, counts.quarantined), (0, 1));
    let aside = session.quarantined(&own.id, 10).await.unwrap();
    assert_eq!(aside[0].email_id, "<1@example.com>");
    assert!(aside[0].reason.contains("3 times"), "{}", aside[0].reason);
    // The same content under other metadata stays aside; another content is tried.
    let mut same = email(store, 1, "1");
    same.mailbox = "other@example.com".to_owned();
    session.put_emails(&bucket.id, vec![same], false).await.unwrap();
    session.commit().await.unwrap();
    assert!(claim(store, &by).await.is_empty());
    let mut session = store.write().await.unwrap();
    session.put_emails(&bucket.id, vec![email(store, 1, "better")], false).await.unwrap();
    session.commit().await.unwrap();
    assert_eq!(claim(store, &by).await.len(), 1);
}

pub(crate) async fn who_is_late_takes_nothing_back_from_who_took_it_over(opened: Opened) {
    let store = &opened.store;
    let mut session = store.write().await.unwrap();
    let bucket = bucket(&mut session, "p").await;
    let own = source(&mut session, "own", Some(&bucket.id)).await;
    session.put_emails(&bucket.id, vec![email(store, 0, "0")], false).await.unwrap();
    session.commit().await.unwrap();
    let late = Claimant { lease: TimeDelta::microseconds(-1), ..claimant("late") };
    let by = claimant("a");
    let old = claim(store, &late).await;
    let new = claim(store, &by).await;
    assert_eq!((old.len(), new.len()), (1, 1));
    let mut session = store.write().await.unwrap();
    session.postpone(&late, &old[0], TimeDelta::zero()).await.unwrap();
    assert!(!session.quarantine(&late, &old[0], "late").await.unwrap());
    session.commit().await.unwrap();
    assert!(claim(store, &claimant("b")).await.is_empty(), "it was put back");
    let mut session = store.write().await.unwrap();
    assert_eq!(session.conversion(&own.id).await.unwrap().quarantined, 0);
    // Who holds it does both.
    session.postpone(&by, &new[0], TimeDelta::zero()).await.unwrap();
    session.commit().await.unwrap();
    let again = claim(store, &by).await;
    let mut session = store.write().await.unwrap();
    assert!(session.quarantine(&by, &again[0], "bad").await.unwrap());
    session.commit().await.unwrap();
    assert_eq!(finish(store, &by, &new).await, [false]);
}

pub(crate) async fn notes_of_other_processes_are_counted_until_they_are_taken_back(opened: Opened) {
    let store = &opened.store;
    let hashes: Vec<String> = (0..900).map(|number| format!("{number:064x}")).collect();
    let counted = async |holder: &str| -> Vec<u64> {
        let mut session = store.read().await.unwrap();
        let noted = session.noted_conversions(holder, &hashes).await.unwrap();
        assert_eq!(noted.values().filter(|count| **count == 0).count(), 0);
        [0, 1, 899].map(|at| noted.get(&hashes[at]).copied().unwrap_or_default()).to_vec()
    };
    let mut session = store.write().await.unwrap();
    session.note_conversions("a", &hashes).await.unwrap();
    // Twice in one upload, and in two at the same time.
    let twice = [hashes[0].clone(), hashes[0].clone()];
    session.note_conversions("a", &twice).await.unwrap();
    session.note_conversions("b", &twice).await.unwrap();
    session.commit().await.unwrap();
    assert_eq!(counted("a").await, [1, 0, 0]);
    assert_eq!(counted("b").await, [1, 1, 1]);
    assert_eq!(counted("c").await, [2, 1, 1]);
    let mut session = store.write().await.unwrap();
    session.forget_conversions(&hashes[1..]).await.unwrap();
    session.commit().await.unwrap();
    assert_eq!(counted("c").await, [2, 0, 0]);
}

pub(crate) async fn a_later_format_converts_anew_and_an_earlier_one_keeps_off(opened: Opened) {
    let store = &opened.store;
    let mut session = store.write().await.unwrap();
    let bucket = bucket(&mut session, "p").await;
    source(&mut session, "own", Some(&bucket.id)).await;
    session.put_emails(&bucket.id, vec![email(store, 0, "0")], false).await.unwrap();
    assert!(!session.adopt_format(1).await.unwrap(), "nothing was made yet");
    session.commit().await.unwrap();
    let by = claimant("a");
    let claims = claim(store, &by).await;
    finish(store, &by, &claims).await;
    let mut session = store.write().await.unwrap();
    assert!(!session.adopt_format(1).await.unwrap());
    assert!(session.adopt_format(2).await.unwrap());
    session.commit().await.unwrap();
    assert!(claim(store, &by).await.is_empty(), "that is for the later version");
    assert_eq!(claim(store, &Claimant { format: 2, ..by }).await.len(), 1);
}

pub(crate) async fn emails_and_buckets_take_their_comments_with_them(opened: Opened) {
    let store = &opened.store;
    let mut session = store.write().await.unwrap();
    let bucket = bucket(&mut session, "p").await;
    let own = source(&mut session, "own", Some(&bucket.id)).await;
    let emails = (0..3).map(|number| email(store, number, &number.to_string())).collect();
    session.put_emails(&bucket.id, emails, false).await.unwrap();
    session.commit().await.unwrap();
    let claims = claim(store, &claimant("a")).await;
    let mut session = store.write().await.unwrap();
    let made = claims.iter().zip(0..).map(|(claim, second)| NewComment {
        email: Some(claim.email),
        ..comment(&claim.id, second)
    });
    put(&mut session, &own, made.collect()).await;
    put(&mut session, &own, vec![comment("by a client", 9)]).await;
    let dataset = Dataset { project_id: own.project_id.clone(), ..Dataset::default() };
    let dataset = session.create_dataset(dataset).await.unwrap();
    let said = |id: &str| Annotation {
        source_id: own.id.clone(),
        comment_id: id.to_owned(),
        content: "{}".to_owned(),
    };
    for id in ["<2@example.com>", "by a client"] {
        session.put_annotation(&dataset.id, &said(id)).await.unwrap();
    }
    session.delete_emails(&bucket.id, &["<1@example.com>".to_owned()]).await.unwrap();
    session.commit().await.unwrap();
    let mut session = store.write().await.unwrap();
    let all = ids(&mut session, &own, CommentQuery::default()).await;
    assert_eq!(all, ["<0@example.com>", "<2@example.com>", "by a client"]);
    session.delete_bucket(&bucket.id).await.unwrap();
    let all = ids(&mut session, &own, CommentQuery::default()).await;
    assert_eq!(all, ["<2@example.com>", "by a client"], "somebody has said something about them");
    let kept = session.comments_by_id(&own.id, &["<2@example.com>".to_owned()]).await.unwrap();
    assert_eq!(kept["<2@example.com>"].email, None);
    // Who removes a comment itself removes what was said, too.
    session.begin_comments(&own.id).await.unwrap();
    session.delete_comments(&own.id, &["<2@example.com>".to_owned()]).await.unwrap();
    let left = session.annotations(&dataset.id, ("", ""), 9).await.unwrap();
    assert_eq!(left, [said("by a client")]);
    let source = session.source_by_id(&own.id).await.unwrap().unwrap();
    assert_eq!(source.details.bucket_id, None);
}

/// What such platforms bill: texts that changed, but for uploads that say they cost nothing.
pub(crate) async fn changes_of_text_are_counted_and_their_order_is_that_of_time(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    bucket(&mut session, "p").await;
    let own = source(&mut session, "own", None).await;
    let free = NewComment { no_charge: true, ..comment("free", 1) };
    let text = |body: &str, changes_text: bool| NewComment {
        body: body.to_owned(),
        changes_text,
        ..comment("c", 2)
    };
    let first = put(&mut session, &own, vec![free, comment("c", 2)]).await.remove(1);
    // In one moment of the clock, later changes are later all the same.
    let mut changes = vec![first.updated_at];
    for new in [text("{\"x\":1}", true), text("{\"x\":2}", false), text("{\"x\":3}", true)] {
        changes.push(put(&mut session, &own, vec![new]).await.remove(0).updated_at);
    }
    assert!(changes.is_sorted_by(|one, next| one < next), "{changes:?}");
    // With its time, a comment gets a new row.
    let moved = NewComment { at: at(3), no_charge: true, ..text("{\"x\":4}", true) };
    let moved = put(&mut session, &own, vec![moved]).await.remove(0);
    assert_eq!(moved.created_at, first.created_at);
    session.commit().await.unwrap();
    let mut connection = sqlx::AnyConnection::connect(&opened.url).await.unwrap();
    let sql = "SELECT id, text_changes, no_charge FROM comments ORDER BY id";
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    let row =
        |row: &sqlx::any::AnyRow| -> (String, i64, i64) { (row.get(0), row.get(1), row.get(2)) };
    let rows: Vec<_> = rows.iter().map(row).collect();
    assert_eq!(rows, [("c".to_owned(), 3, 1), ("free".to_owned(), 0, 1)]);
}

pub(crate) async fn a_claim_is_of_so_many_emails_and_so_many_bytes(opened: Opened) {
    let store = &opened.store;
    let mut session = store.write().await.unwrap();
    let bucket = bucket(&mut session, "p").await;
    source(&mut session, "own", Some(&bucket.id)).await;
    let emails = (0..4).map(|number| email(store, number, "four")).collect();
    session.put_emails(&bucket.id, emails, false).await.unwrap();
    session.commit().await.unwrap();
    let few = Claimant { emails: 1, ..claimant("few") };
    assert_eq!(numbers(&claim(store, &few).await), ["<0@example.com>"]);
    let small = Claimant { bytes: 8, ..claimant("small") };
    assert_eq!(numbers(&claim(store, &small).await), ["<1@example.com>", "<2@example.com>"]);
    let tiny = Claimant { bytes: 1, ..claimant("tiny") };
    assert_eq!(numbers(&claim(store, &tiny).await), ["<3@example.com>"], "one is always taken");
}
