//! Integrations, mails that wait, datasets and streams: the contract on both databases.

use store::{Annotation, Dataset, Integration, NewMail, Session, StoreError, Stream};

use crate::contract::{Opened, bucket};

async fn integration(session: &mut Session, owner: &str, name: &str) -> Integration {
    let project = session.project(owner).await.unwrap().unwrap();
    let new = Integration {
        id: session.draw_id().unwrap(),
        project_id: project.id,
        owner: owner.to_owned(),
        name: name.to_owned(),
        title: "T".to_owned(),
        kind: "exchange_online".to_owned(),
        enabled: true,
        disabled_reason: None,
        configuration: "{}".to_owned(),
        secrets: Some("sealed".to_owned()),
        mailboxes: 2,
        created_at: session.now(),
        updated_at: session.now(),
    };
    session.create_integration(new).await.unwrap()
}

pub(crate) async fn integrations_change_and_keep_their_last_errors(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    bucket(&mut session, "p").await;
    let mut own = integration(&mut session, "p", "ex").await;
    assert_eq!(session.integration("p", "ex").await.unwrap().as_ref(), Some(&own));
    assert_eq!(session.integration_by_id(&own.id).await.unwrap().as_ref(), Some(&own));
    let again = session.create_integration(own.clone()).await;
    assert!(matches!(again, Err(StoreError::Exists { .. })), "{again:?}");
    let before = own.updated_at;
    (own.enabled, own.secrets, own.mailboxes) = (false, None, 7);
    own.disabled_reason = Some("sync_error".to_owned());
    session.update_integration(&mut own).await.unwrap();
    // Also within one microsecond, who has seen the one before can tell.
    assert!(own.updated_at > before);
    assert_eq!(session.integrations().await.unwrap(), [own.clone()]);
    let quota = session.quota("mailboxes_per_integration").await.unwrap().unwrap();
    assert_eq!(quota.used, 7);
    for number in 0..103 {
        let text = number.to_string();
        session.add_integration_error(&own.id, "mailbox_removed", "{}", &text).await.unwrap();
    }
    let errors = session.integration_errors(&own.id).await.unwrap();
    let texts: Vec<_> = errors.iter().map(|error| &*error.text).collect();
    assert_eq!((texts.len(), texts.first(), texts.last()), (100, Some(&"102"), Some(&"3")));
    assert_eq!(session.count_integrations(&own.project_id).await.unwrap(), 1);
    session.delete_integration(&own.id).await.unwrap();
    assert_eq!(session.integrations().await.unwrap(), []);
    assert_eq!(session.integration_errors(&own.id).await.unwrap(), []);
}

pub(crate) async fn a_mail_waits_exactly_when_what_it_is_about_has_happened(opened: Opened) {
    let mail = |number: u32| NewMail {
        kind: "test",
        recipient: "ann@example.com".to_owned(),
        subject: format!("Mail {number}"),
        text: "Line\n".to_owned(),
    };
    let mut session = opened.store.write().await.unwrap();
    session.post_mail(mail(0)).await.unwrap();
    drop(session);
    let mut session = opened.store.write().await.unwrap();
    for number in 1..4 {
        session.post_mail(mail(number)).await.unwrap();
    }
    session.commit().await.unwrap();
    let mut session = opened.store.write().await.unwrap();
    let waiting = session.waiting_mails(None, 2).await.unwrap();
    let subjects: Vec<_> = waiting.iter().map(|mail| &*mail.subject).collect();
    assert_eq!(subjects, ["Mail 3", "Mail 2"]);
    let rest = session.waiting_mails(Some(waiting[1].number), 2).await.unwrap();
    assert_eq!(rest.iter().map(|mail| &*mail.subject).collect::<Vec<_>>(), ["Mail 1"]);
    assert!(rest[0].expires_at > rest[0].created_at);
    assert!(session.drop_mail(&rest[0].id).await.unwrap());
    assert!(!session.drop_mail(&rest[0].id).await.unwrap());
    assert_eq!(session.waiting_mails(None, 9).await.unwrap().len(), 2);
}

pub(crate) async fn datasets_hold_their_sources_in_order_and_take_the_rest_along(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    let project_id = bucket(&mut session, "p").await.project_id;
    let new = Dataset {
        project_id: project_id.clone(),
        owner: "p".to_owned(),
        name: "ds".to_owned(),
        definition: "{}".to_owned(),
        labels: 3,
        source_ids: vec!["2".to_owned(), "1".to_owned()],
        ..Dataset::default()
    };
    let mut own = session.create_dataset(new.clone()).await.unwrap();
    let again = session.create_dataset(new).await;
    assert!(matches!(again, Err(StoreError::Exists { .. })), "{again:?}");
    assert_eq!(session.dataset("p", "ds").await.unwrap().as_ref(), Some(&own));
    own.source_ids = vec!["3".to_owned(), "2".to_owned(), "0".to_owned()];
    own.has_sentiment = false;
    session.update_dataset(&mut own).await.unwrap();
    assert_eq!(session.dataset_by_id(&own.id).await.unwrap().as_ref(), Some(&own));
    assert_eq!(session.datasets().await.unwrap(), [own.clone()]);
    assert_eq!(session.quota("sources_per_dataset").await.unwrap().unwrap().used, 3);
    for (source_id, comment_id) in [("1", "b"), ("1", "a"), ("0", "z"), ("1", "a")] {
        let (source_id, comment_id) = (source_id.to_owned(), comment_id.to_owned());
        let content = format!("{{\"{comment_id}\":1}}");
        let said = Annotation { source_id, comment_id, content };
        session.put_annotation(&own.id, &said).await.unwrap();
    }
    let page = session.annotations(&own.id, ("", ""), 2).await.unwrap();
    let ids = |page: &[Annotation]| -> Vec<String> {
        page.iter().map(|own| format!("{}.{}", own.source_id, own.comment_id)).collect()
    };
    assert_eq!(ids(&page), ["0.z", "1.a"]);
    let rest = session.annotations(&own.id, ("1", "a"), 2).await.unwrap();
    assert_eq!(ids(&rest), ["1.b"]);
    let said = session.annotation(&own.id, "1", "b").await.unwrap();
    assert_eq!(said.as_deref(), Some("{\"b\":1}"));
    let stream = Stream {
        dataset_id: own.id.clone(),
        name: "st".to_owned(),
        definition: "{}".to_owned(),
        ..Stream::default()
    };
    let made = session.put_stream(stream.clone()).await.unwrap();
    let titled = Stream { title: "T".to_owned(), ..stream };
    let replaced = session.put_stream(titled).await.unwrap();
    assert_eq!((&replaced.id, &*replaced.title, made.id.len()), (&made.id, "T", 32));
    let far = [("1".to_owned(), (7, 1)), ("2".to_owned(), (5, 0))].into();
    session.move_stream(&made.id, &far).await.unwrap();
    session.move_stream(&made.id, &[("1".to_owned(), (6, 2))].into()).await.unwrap();
    let positions = session.stream_positions(&made.id).await.unwrap();
    assert_eq!(positions, [("1".to_owned(), (6, 2)), ("2".to_owned(), (5, 0))].into());
    session.put_stream_exception(&made.id, "1.a", "first").await.unwrap();
    session.put_stream_exception(&made.id, "1.a", "second").await.unwrap();
    let exceptions = session.stream_exceptions(&made.id, 9).await.unwrap();
    assert_eq!((exceptions.len(), &*exceptions[0].1), (1, "second"));
    session.delete_dataset(&own.id).await.unwrap();
    assert_eq!(session.datasets().await.unwrap(), []);
    assert_eq!(session.streams(&own.id).await.unwrap(), []);
    assert_eq!(session.annotations(&own.id, ("", ""), 9).await.unwrap(), []);
    assert_eq!(session.stream_exceptions(&made.id, 9).await.unwrap(), []);
}
