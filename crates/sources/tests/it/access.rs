//! Sign-in, delegates and impersonation, schema versions.

use net::{ChannelBinding, Identity, Login, TokenSource, oauth};
use record::{Advice, Checkpoint, Scope, Source, SourceError};
use simulators::exchange::{
    Auth, ChannelBinding as Demanded, Exchange, Fault, FaultRule, Options, Rights, Shape, User,
    Version,
};
use sources::ews::{Access, EwsSettings};

use crate::server::{
    INBOX, MAILBOX, basic, deliver, entries, ews, folder, mime, open, outcomes, settings, start,
    survey, transport,
};

/// Reads the inbox with `identity` and `access`; returns what became of its three emails.
async fn read(exchange: &Exchange, identity: Identity, access: Access) -> Vec<String> {
    deliver(exchange, 0..3);
    let service = ews(exchange, identity, EwsSettings { access, ..settings() });
    let mut source = service.mailbox(&MAILBOX.parse().unwrap());
    let inbox = folder(&mut source, INBOX).await;
    let entries = entries(&mut source, &inbox).await;
    outcomes(&source.fetch(&inbox, &entries).await.unwrap())
}

fn client(exchange: &Exchange) -> Identity {
    let credentials = oauth::ClientCredentials {
        authority: exchange.authority_url(),
        client_id: Options::CLIENT_ID.to_owned(),
        proof: oauth::Proof::Secret(Options::CLIENT_SECRET.into()),
        scope: "https://outlook.office365.com/.default".to_owned(),
    };
    Identity::Token(TokenSource::new(credentials, transport(exchange)).unwrap())
}

#[tokio::test]
async fn reads_with_each_way_to_sign_in() {
    for access in [Access::Delegate, Access::Impersonation] {
        let exchange = start(Options::default()).await;
        assert_eq!(read(&exchange, basic(), access).await, ["email"; 3]);

        let auth = Auth::ntlm(Demanded::Require);
        let exchange = start(Options { auth, ..Options::default() }).await;
        let login = Login::ntlm(Options::USER, Options::PASSWORD.into(), ChannelBinding::Auto);
        assert_eq!(read(&exchange, Identity::Password(login), access).await, ["email"; 3]);
    }
    let exchange = start(Options { auth: Auth::bearer(), ..Options::default() }).await;
    let identity = client(&exchange);
    assert_eq!(read(&exchange, identity, Access::Impersonation).await, ["email"; 3]);
}

#[tokio::test]
async fn an_expired_token_is_renewed_and_a_refused_one_stops() {
    let exchange = start(Options { auth: Auth::bearer(), ..Options::default() }).await;
    let settings = EwsSettings { access: Access::Impersonation, ..settings() };
    let service = ews(&exchange, client(&exchange), settings);
    let mut source = service.mailbox(&MAILBOX.parse().unwrap());
    survey(&mut source, true).await;
    exchange.revoke_tokens();
    survey(&mut source, false).await;
    assert_eq!(exchange.token_count(), 2);
    exchange.refuse_tokens(Some("2000003;reason=\"wrong audience\""));
    let err = source.survey(&Checkpoint::default(), false).await.unwrap_err();
    assert_eq!(err.advice(), Advice::StopService, "{err:?}");
}

#[tokio::test]
async fn every_request_names_the_mailbox_for_the_front_end() {
    let exchange = start(Options::default()).await;
    read(&exchange, basic(), Access::Delegate).await;
    for request in exchange.requests() {
        assert_eq!(request.anchor.as_deref(), Some(MAILBOX), "{request:?}");
    }
}

#[tokio::test]
async fn requests_of_one_mailbox_share_one_connection() {
    let exchange = start(Options::default()).await;
    read(&exchange, basic(), Access::Delegate).await;
    assert_eq!(exchange.connection_count(), 1);
}

#[tokio::test]
async fn steps_down_to_the_version_that_the_server_has() {
    for (highest, code) in [
        ("Exchange2010_SP1", "ErrorInvalidServerVersion"),
        ("Exchange2010", "ErrorIncorrectSchemaVersion"),
        ("Exchange2007_SP1", "ErrorInvalidRequest"),
        ("Exchange2007_SP1", "ErrorInvalidSchemaVersionForMailboxVersion"),
    ] {
        let options = Options {
            accepts_up_to: Some(highest.to_owned()),
            version_refusal: code.to_owned(),
            version: Version::EXCHANGE_2007_SP1,
            ..Options::default()
        };
        let exchange = start(options).await;
        assert_eq!(
            read(&exchange, basic(), Access::Impersonation).await,
            ["email"; 3],
            "{highest}"
        );
        let refused = exchange.requests().iter().filter(|request| request.code.is_some()).count();
        assert!((1..=3).contains(&refused), "{highest}: {refused} requests were refused");
    }
}

#[tokio::test]
async fn a_server_that_takes_no_version_pauses_the_mailbox() {
    let exchange = start(Options::default()).await;
    exchange.fault(FaultRule::new(Fault::VersionRefused).always());
    let err = open(&exchange).survey(&Checkpoint::default(), true).await.unwrap_err();
    assert_eq!(err.advice(), Advice::PauseMailbox, "{err:?}");
}

#[tokio::test]
async fn a_wrong_password_stops_before_the_account_is_locked() {
    let exchange = start(Options::default()).await;
    let login = Login::basic(Options::USER, "wrong".into());
    let service = ews(&exchange, Identity::Password(login), settings());
    for _ in 0..3 {
        let mut source = service.mailbox(&MAILBOX.parse().unwrap());
        let err = source.survey(&Checkpoint::default(), true).await.unwrap_err();
        assert_eq!(err.advice(), Advice::StopService, "{err:?}");
    }
    assert!(exchange.requests().len() <= 2, "{:#?}", exchange.requests());
}

#[tokio::test]
async fn a_mailbox_without_rights_concerns_no_other() {
    for denial in ["ErrorAccessDenied", "ErrorItemNotFound", "ErrorFolderNotFound"] {
        let mut user = User::new(Options::USER, Options::PASSWORD);
        user.rights = Rights { only: None, denied: ["secret@example.com".to_owned()].into() };
        let options =
            Options { users: vec![user], denial: denial.to_owned(), ..Options::default() };
        let exchange = start(options).await;
        exchange.add_mailbox("secret@example.com");
        let service = ews(&exchange, basic(), settings());
        let mut secret = service.mailbox(&"secret@example.com".parse().unwrap());
        let err = secret.survey(&Checkpoint::default(), true).await.unwrap_err();
        assert!(
            matches!(err, SourceError::Denied { scope: Scope::Mailbox, hint: Some(_), .. }),
            "{denial}: {err:?}"
        );
        let mut own = service.mailbox(&MAILBOX.parse().unwrap());
        assert!(!survey(&mut own, true).await.is_empty());
    }
}

#[tokio::test]
async fn a_mailbox_that_is_not_there_is_paused() {
    let exchange = start(Options::default()).await;
    for access in [Access::Delegate, Access::Impersonation] {
        let service = ews(&exchange, basic(), EwsSettings { access, ..settings() });
        let mut nobody = service.mailbox(&"nobody@example.com".parse().unwrap());
        let err = nobody.survey(&Checkpoint::default(), true).await.unwrap_err();
        assert_eq!(err.advice(), Advice::PauseMailbox, "{err:?}");
    }
}

#[tokio::test]
async fn a_pause_of_the_service_holds_for_all_mailboxes_and_one_of_a_mailbox_does_not() {
    for (access, other_waits) in [(Access::Delegate, true), (Access::Impersonation, false)] {
        let exchange = start(Options::default()).await;
        exchange.add_mailbox("other@example.com");
        let service = ews(&exchange, basic(), EwsSettings { access, ..settings() });
        let busy = Fault::ServerBusy {
            back_off: Some(std::time::Duration::from_secs(600)),
            shape: Shape::SoapFault,
        };
        exchange.fault(FaultRule::new(busy).mailbox(MAILBOX));
        let mut own = service.mailbox(&MAILBOX.parse().unwrap());
        own.survey(&Checkpoint::default(), true).await.unwrap_err();
        let mut other = service.mailbox(&"other@example.com".parse().unwrap());
        let waits = other.survey(&Checkpoint::default(), true).await.is_err();
        assert_eq!(waits, other_waits, "{access:?}");
    }
}

#[tokio::test]
async fn fewer_connections_are_used_when_the_server_has_no_room() {
    let exchange = start(Options::default()).await;
    exchange.deliver(MAILBOX, INBOX, mime(1), crate::server::at(1)).unwrap();
    let mut source = open(&exchange);
    let full = Fault::RequestError {
        code: "ErrorExceededConnectionCount".to_owned(),
        shape: Shape::SoapFault,
    };
    exchange.fault(FaultRule::new(full.clone()).times(2));
    assert!(!survey(&mut source, true).await.is_empty());
    exchange.fault(FaultRule::new(full).always());
    let err = source.survey(&Checkpoint::default(), true).await.unwrap_err();
    assert!(matches!(err.advice(), Advice::Retry { scope: Scope::Service, .. }), "{err:?}");
}
