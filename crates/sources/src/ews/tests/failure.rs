//! The tables of errors: one line for each code and status.

use expect_test::{Expect, expect};
use net::{HeaderMap, HeaderName, HeaderValue, NetError, Stage, header};
use record::{Advice, FolderId, Scope, SourceError};
use std::time::Duration;

use crate::ews::{
    failure::{Context, Signal, Subject, Verdict, judge},
    reply::Fault,
    request::Access,
    stream::{Malformed, SplitError},
};

/// What the verdict amounts to, in a few words.
fn shown(verdict: Verdict) -> String {
    match verdict {
        Verdict::Error(err) => {
            let advice = match err.advice() {
                Advice::Retry { scope, after: Some(after) } => format!("wait {after:?}, {scope:?}"),
                Advice::Retry { scope, after: None } => format!("wait, {scope:?}"),
                advice => format!("{advice:?}"),
            };
            let name = format!("{err:?}");
            format!("{advice} ({})", name.split([' ', '{']).next().unwrap_or_default())
        }
        Verdict::Item { what, .. } => format!("item {what:?}"),
        Verdict::LowerVersion { .. } => "lower version".to_owned(),
        Verdict::Readdress { primary } => format!("use {primary}"),
        Verdict::FewerConnections => "fewer connections".to_owned(),
        Verdict::SkipFolder { .. } => "skip folder".to_owned(),
    }
}

fn context<'a>(access: Access, subject: Subject<'a>) -> Context<'a> {
    Context { host: "mail.example.com", operation: "GetItem", access, subject }
}

fn folder() -> FolderId {
    FolderId("F1".to_owned())
}

fn fault(code: &str) -> Fault {
    Fault { code: code.to_owned(), ..Fault::default() }
}

/// Verdicts on a code: about the mailbox, a folder, one item, several items.
fn about(code: &str) -> String {
    let id = folder();
    let subjects = [
        Subject::Mailbox,
        Subject::Folder { id: &id, divisible: true },
        Subject::Items(1),
        Subject::Items(20),
    ];
    let verdict =
        |subject| shown(judge(Signal::Fault(&fault(code)), context(Access::Delegate, subject)));
    let mut verdicts = subjects.map(verdict).to_vec();
    verdicts.dedup();
    format!("{code}: {}", verdicts.join(" | "))
}

#[track_caller]
fn check(codes: &[&str], expected: Expect) {
    expected.assert_eq(&codes.iter().map(|code| about(code)).collect::<Vec<_>>().join("\n"));
}

#[test]
fn codes_of_the_service() {
    check(
        &[
            "ErrorServerBusy",
            "ErrorExceededConnectionCount",
            "ErrorInternalServerError",
            "ErrorNobodyKnows",
        ],
        expect![[r#"
            ErrorServerBusy: wait, Service (Throttled)
            ErrorExceededConnectionCount: fewer connections
            ErrorInternalServerError: wait, Mailbox (Unavailable) | item Puzzling | Split (TooMuch)
            ErrorNobodyKnows: wait, Mailbox (Unavailable) | item Puzzling | Split (TooMuch)"#]],
    );
}

#[test]
fn codes_of_a_request_a_mailbox_or_a_folder() {
    check(
        &[
            "ErrorTimeoutExpired",
            "ErrorBatchProcessingStopped",
            "ErrorExceededFindCountLimit",
            "ErrorTooManyObjectsOpened",
            "ErrorInternalServerTransientError",
            "ErrorInsufficientResources",
            "ErrorNotEnoughMemory",
            "ErrorADUnavailable",
            "ErrorADOperation",
            "ErrorConnectionFailed",
            "ErrorConnectionFailedTransientError",
            "ErrorClientDisconnected",
            "ErrorNoRespondingCASInDestinationSite",
            "ErrorMailboxStoreUnavailable",
            "ErrorMailboxFailover",
            "ErrorMailboxMoveInProgress",
            "ErrorMailboxLogonFailed",
            "ErrorCrossSiteRequest",
            "ErrorProxyServiceDiscoveryFailed",
            "ErrorInvalidSyncStateData",
            "ErrorSyncFolderNotFound",
            "ErrorFolderNotFound",
            "ErrorNonExistentMailbox",
            "ErrorAccountDisabled",
            "ErrorMailboxConfiguration",
            "ErrorInvalidSmtpAddress",
            "ErrorCannotFindUser",
            "ErrorNonPrimarySmtpAddress",
            "ErrorAccessDenied",
            "ErrorImpersonateUserDenied",
            "ErrorImpersonationDenied",
            "ErrorImpersonationFailed",
            "ErrorInvalidExchangeImpersonationHeaderData",
            "ErrorSchemaValidation",
            "ErrorInvalidRequest",
            "ErrorInvalidServerVersion",
            "ErrorIncorrectSchemaVersion",
            "ErrorInvalidSchemaVersionForMailboxVersion",
            "ErrorQuotaExceeded",
        ],
        expect![[r#"
            ErrorTimeoutExpired: wait, Mailbox (Unavailable) | Split (TooMuch)
            ErrorBatchProcessingStopped: wait, Mailbox (Unavailable) | Split (TooMuch)
            ErrorExceededFindCountLimit: wait, Mailbox (Unavailable) | Split (TooMuch)
            ErrorTooManyObjectsOpened: wait, Mailbox (Unavailable)
            ErrorInternalServerTransientError: wait, Mailbox (Unavailable)
            ErrorInsufficientResources: wait, Mailbox (Unavailable)
            ErrorNotEnoughMemory: wait, Mailbox (Unavailable)
            ErrorADUnavailable: wait, Mailbox (Unavailable)
            ErrorADOperation: wait, Mailbox (Unavailable)
            ErrorConnectionFailed: wait, Mailbox (Unavailable)
            ErrorConnectionFailedTransientError: wait, Mailbox (Unavailable)
            ErrorClientDisconnected: wait, Mailbox (Unavailable)
            ErrorNoRespondingCASInDestinationSite: wait, Mailbox (Unavailable)
            ErrorMailboxStoreUnavailable: wait, Mailbox (Unavailable)
            ErrorMailboxFailover: wait, Mailbox (Unavailable)
            ErrorMailboxMoveInProgress: wait, Mailbox (Unavailable)
            ErrorMailboxLogonFailed: wait, Mailbox (Unavailable)
            ErrorCrossSiteRequest: wait, Mailbox (Unavailable)
            ErrorProxyServiceDiscoveryFailed: wait, Mailbox (Unavailable)
            ErrorInvalidSyncStateData: PauseMailbox (Denied) | RestartFolder (CursorExpired) | item Puzzling | Split (TooMuch)
            ErrorSyncFolderNotFound: PauseMailbox (Denied) | ReviewFolders (FolderGone) | item Puzzling | Split (TooMuch)
            ErrorFolderNotFound: PauseMailbox (Denied) | ReviewFolders (FolderGone) | item Puzzling | Split (TooMuch)
            ErrorNonExistentMailbox: PauseMailbox (NoMailbox)
            ErrorAccountDisabled: PauseMailbox (NoMailbox)
            ErrorMailboxConfiguration: PauseMailbox (NoMailbox)
            ErrorInvalidSmtpAddress: PauseMailbox (NoMailbox)
            ErrorCannotFindUser: PauseMailbox (NoMailbox)
            ErrorNonPrimarySmtpAddress: PauseMailbox (NoMailbox)
            ErrorAccessDenied: PauseMailbox (Denied) | skip folder | item Broken | Split (TooMuch)
            ErrorImpersonateUserDenied: PauseMailbox (Denied)
            ErrorImpersonationDenied: PauseMailbox (Denied)
            ErrorImpersonationFailed: PauseMailbox (Denied)
            ErrorInvalidExchangeImpersonationHeaderData: PauseMailbox (Denied)
            ErrorSchemaValidation: lower version
            ErrorInvalidRequest: lower version
            ErrorInvalidServerVersion: lower version
            ErrorIncorrectSchemaVersion: lower version
            ErrorInvalidSchemaVersionForMailboxVersion: lower version
            ErrorQuotaExceeded: wait, Mailbox (Unavailable)"#]],
    );
}

#[test]
fn codes_of_one_item() {
    check(
        &[
            "ErrorItemNotFound",
            "ErrorInvalidIdMalformed",
            "ErrorInvalidId",
            "ErrorInvalidIdEmpty",
            "ErrorContentConversionFailed",
            "ErrorMimeContentConversionFailed",
            "ErrorItemCorrupt",
            "ErrorCorruptData",
            "ErrorObjectCorrupt",
            "ErrorItemPropertyRequestFailed",
            "ErrorPropertyRequestFailed",
            "ErrorUnsupportedMimeConversion",
            "ErrorDataSizeLimitExceeded",
            "ErrorMessageSizeExceeded",
            "ErrorRightsManagementPermanentException",
            "ErrorVirusDetected",
            "ErrorVirusMessageDeleted",
        ],
        expect![[r#"
            ErrorItemNotFound: PauseMailbox (Denied) | ReviewFolders (FolderGone) | item Gone | Split (TooMuch)
            ErrorInvalidIdMalformed: PauseMailbox (Denied) | ReviewFolders (FolderGone) | item Gone | Split (TooMuch)
            ErrorInvalidId: PauseMailbox (Denied) | ReviewFolders (FolderGone) | item Gone | Split (TooMuch)
            ErrorInvalidIdEmpty: PauseMailbox (Denied) | ReviewFolders (FolderGone) | item Gone | Split (TooMuch)
            ErrorContentConversionFailed: wait, Mailbox (Unavailable) | item Broken | Split (TooMuch)
            ErrorMimeContentConversionFailed: wait, Mailbox (Unavailable) | item Broken | Split (TooMuch)
            ErrorItemCorrupt: wait, Mailbox (Unavailable) | item Broken | Split (TooMuch)
            ErrorCorruptData: wait, Mailbox (Unavailable) | item Broken | Split (TooMuch)
            ErrorObjectCorrupt: wait, Mailbox (Unavailable) | item Broken | Split (TooMuch)
            ErrorItemPropertyRequestFailed: wait, Mailbox (Unavailable) | item Broken | Split (TooMuch)
            ErrorPropertyRequestFailed: wait, Mailbox (Unavailable) | item Broken | Split (TooMuch)
            ErrorUnsupportedMimeConversion: wait, Mailbox (Unavailable) | item Broken | Split (TooMuch)
            ErrorDataSizeLimitExceeded: wait, Mailbox (Unavailable) | item Broken | Split (TooMuch)
            ErrorMessageSizeExceeded: wait, Mailbox (Unavailable) | item Broken | Split (TooMuch)
            ErrorRightsManagementPermanentException: wait, Mailbox (Unavailable) | item Broken | Split (TooMuch)
            ErrorVirusDetected: wait, Mailbox (Unavailable) | item Broken | Split (TooMuch)
            ErrorVirusMessageDeleted: wait, Mailbox (Unavailable) | item Broken | Split (TooMuch)"#]],
    );
}

#[test]
fn the_servers_pause_is_obeyed_and_concerns_whom_it_must() {
    let busy = Fault { back_off: Some(Duration::from_secs(45)), ..fault("ErrorServerBusy") };
    let wrapped = Fault {
        code: "ErrorInternalServerError".to_owned(),
        inner: Some("ErrorServerBusy".to_owned()),
        ..busy.clone()
    };
    for fault in [busy, wrapped] {
        let verdict =
            |access| shown(judge(Signal::Fault(&fault), context(access, Subject::Items(1))));
        assert_eq!(verdict(Access::Delegate), "wait 45s, Service (Throttled)");
        assert_eq!(verdict(Access::Impersonation), "wait 45s, Mailbox (Throttled)");
    }
}

#[test]
fn a_secondary_address_leads_to_the_primary_one() {
    let known = Fault {
        primary: Some("first@example.com".to_owned()),
        ..fault("ErrorNonPrimarySmtpAddress")
    };
    let verdict = judge(Signal::Fault(&known), context(Access::Impersonation, Subject::Mailbox));
    assert_eq!(shown(verdict), "use first@example.com");
}

fn http(status: u16, header: Option<(HeaderName, &'static str)>, head: &str) -> String {
    let mut headers = HeaderMap::new();
    if let Some((name, value)) = header {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let signal = Signal::Http { status, headers: &headers, head: head.as_bytes() };
    let verdict = judge(signal, context(Access::Delegate, Subject::Items(2)));
    let hint = match &verdict {
        Verdict::Error(err) => err.hint().unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    let shown = shown(verdict);
    let words: String = hint.chars().take(72).collect();
    format!("{status} {head:.30}: {shown} {words}").trim_end().to_owned()
}

#[test]
fn statuses_without_soap() {
    let location = |to| Some((header::LOCATION, to));
    let lines = [
        http(503, Some((header::RETRY_AFTER, "30")), ""),
        http(503, None, ""),
        http(429, Some((header::RETRY_AFTER, "Sat, 21 Nov 2026 08:15:00 GMT")), ""),
        http(500, None, "<html><title>Server Error in '/EWS' Application"),
        http(500, None, "The specified server version is invalid"),
        http(302, location("/ews/genericerrorpage.htm?aspxerrorpath=/ews/exchange.asmx"), ""),
        http(302, location("/internalsite/internalerror.asp"), ""),
        http(302, location("/internalsite/initparams.aspx"), ""),
        http(302, location("https://owa.example.com/owa/auth/logon.aspx?token=secret"), ""),
        http(307, location("https://new.example.com/EWS/Exchange.asmx?token=secret"), ""),
        http(451, location("https://new.example.com/EWS/"), ""),
        http(401, None, ""),
        http(403, None, ""),
        http(404, None, ""),
        http(405, None, ""),
        http(440, None, ""),
        http(456, None, ""),
        http(407, None, ""),
        http(200, None, " <!doctype HTML><html>Sign in"),
        http(200, Some((header::CONTENT_TYPE, "text/html; charset=utf-8")), "Sign in"),
        http(200, None, ""),
        http(400, None, ""),
        http(408, None, ""),
        http(413, None, ""),
        http(502, None, ""),
        http(504, None, ""),
        http(418, None, ""),
    ];
    expect![[r#"
        503 : wait 30s, Service (Throttled)
        503 : wait, Service (Throttled)
        429 : wait, Service (Throttled)
        500 <html><title>Server Error in ': wait, Mailbox (Unavailable)
        500 The specified server version i: lower version
        302 : wait, Mailbox (Unavailable)
        302 : StopService (Misconfigured) Its gateway reports trouble with a certificate of the server.
        302 : StopService (Misconfigured) Its gateway reports trouble with a certificate of the server.
        302 : StopService (Misconfigured) The address answers with a web page instead of Exchange Web Services. Se
        307 : StopService (Misconfigured) The server redirects to `https://new.example.com/EWS/Exchange.asmx`. If
        451 : PauseMailbox (Denied) The mailbox is served by another server now: `https://new.example.com/EW
        401 : StopService (Unauthorized) Check user and password, or the client id with its secret or certificate
        403 : StopService (Denied) Exchange does not let this account use EWS. In Exchange Online, EWS is b
        404 : StopService (Misconfigured) The address answers with a web page instead of Exchange Web Services. Se
        405 : StopService (Misconfigured) The address answers with a web page instead of Exchange Web Services. Se
        440 : StopService (Misconfigured) The address answers with a web page instead of Exchange Web Services. Se
        456 : StopService (Misconfigured) The address answers with a web page instead of Exchange Web Services. Se
        407 : StopService (Misconfigured) A proxy on the way asks for credentials.
        200  <!doctype HTML><html>Sign in: StopService (Misconfigured) The address answers with a web page instead of Exchange Web Services. Se
        200 Sign in: StopService (Misconfigured) The address answers with a web page instead of Exchange Web Services. Se
        200 : Split (BadReply)
        400 : Split (BadReply)
        408 : Split (TooMuch)
        413 : Split (TooMuch)
        502 : wait, Mailbox (Unavailable)
        504 : Split (TooMuch)
        418 : wait, Mailbox (Unavailable)"#]].assert_eq(&lines.join("\n"));
}

#[test]
fn hints_never_hold_a_query() {
    let headers = HeaderMap::from_iter([(
        header::LOCATION,
        HeaderValue::from_static("https://a.example.com/x?token=secret#secret"),
    )]);
    for status in [302, 451] {
        let signal = Signal::Http { status, headers: &headers, head: b"" };
        let verdict = format!("{:?}", judge(signal, context(Access::Delegate, Subject::Mailbox)));
        assert!(verdict.contains("a.example.com/x") && !verdict.contains("secret"), "{verdict}");
    }
}

#[test]
fn the_end_of_ews_in_exchange_online_is_named() {
    let signal = Signal::Http { status: 403, headers: &HeaderMap::new(), head: b"" };
    let Verdict::Error(err) = judge(signal, context(Access::Impersonation, Subject::Mailbox))
    else {
        panic!("no error");
    };
    let hint = err.hint().unwrap();
    assert!(hint.contains("October 2026") && hint.contains("microsoft_api"), "{hint}");
    assert!(matches!(err, SourceError::Denied { scope: Scope::Service, .. }));
}

#[test]
fn failures_of_the_transport() {
    let host = || "mail.example.com".to_owned();
    let timeout = |stage| NetError::Timeout { host: host(), stage, limit: Duration::from_secs(1) };
    let token = |retry_after| NetError::TokenUnavailable {
        host: host(),
        code: "429".to_owned(),
        retry_after,
    };
    let errors = [
        NetError::Unauthorized { host: host(), detail: None, locked_out: true },
        NetError::NotOffered { host: host(), wanted: "NTLM", offered: "Basic".to_owned() },
        NetError::TokenRefused { host: host(), code: "invalid_client".to_owned(), hint: None },
        token(Some(Duration::from_secs(9))),
        token(None),
        timeout(Stage::Connect),
        timeout(Stage::SignIn),
        timeout(Stage::Answer),
        timeout(Stage::Body),
        NetError::Blocked { host: host(), address: [127, 0, 0, 1].into() },
        NetError::TooLarge { host: host(), limit: 1 },
    ];
    let mut lines = Vec::new();
    for err in errors {
        let verdicts = [Subject::Items(1), Subject::Items(2)].map(|subject| {
            shown(judge(Signal::Net(err.clone()), context(Access::Delegate, subject)))
        });
        lines.push(format!("{err}: {}", verdicts.join(" | ")));
    }
    expect![[r#"
        `mail.example.com` refused the credentials: StopService (Unauthorized) | StopService (Unauthorized)
        `mail.example.com` offers no NTLM sign-in, only: Basic: StopService (Misconfigured) | StopService (Misconfigured)
        `mail.example.com` refused to issue a token (invalid_client): StopService (Unauthorized) | StopService (Unauthorized)
        `mail.example.com` cannot issue a token now (429): wait 9s, Service (Throttled) | wait 9s, Service (Throttled)
        `mail.example.com` cannot issue a token now (429): wait, Service (Unavailable) | wait, Service (Unavailable)
        `mail.example.com` took longer than 1 s to accept a connection: wait, Mailbox (Unreachable) | wait, Mailbox (Unreachable)
        `mail.example.com` took longer than 1 s to start the sign-in: wait, Mailbox (Unreachable) | wait, Mailbox (Unreachable)
        `mail.example.com` took longer than 1 s to answer: wait, Mailbox (Unreachable) | Split (TooMuch)
        `mail.example.com` took longer than 1 s to send more of its reply: wait, Mailbox (Unreachable) | wait, Mailbox (Unreachable)
        the address `127.0.0.1` of `mail.example.com` is blocked by the egress policy: StopService (Misconfigured) | StopService (Misconfigured)
        the reply of `mail.example.com` is larger than 1 bytes: item TooLarge | Split (TooMuch)"#]].assert_eq(&lines.join("\n"));
}

#[test]
fn a_reply_that_breaks_off_may_be_the_fault_of_an_item() {
    let lost = || NetError::Timeout {
        host: "mail.example.com".to_owned(),
        stage: Stage::Body,
        limit: Duration::from_secs(1),
    };
    let verdict = |subject| shown(judge(Signal::Cut(lost()), context(Access::Delegate, subject)));
    assert_eq!(verdict(Subject::Items(9)), "item Cut");
    assert_eq!(verdict(Subject::Items(1)), "item Cut");
    assert_eq!(verdict(Subject::Mailbox), "wait, Mailbox (Unreachable)");
}

#[test]
fn replies_that_cannot_be_taken_apart() {
    let id = folder();
    for (subject, large) in [
        (Subject::Items(1), "item TooLarge"),
        (Subject::Items(2), "Split (TooMuch)"),
        (Subject::Folder { id: &id, divisible: true }, "Split (TooMuch)"),
    ] {
        let verdict = |err| shown(judge(Signal::Split(err), context(Access::Delegate, subject)));
        assert_eq!(verdict(SplitError::TooLarge), large);
        assert_eq!(verdict(Malformed::Doctype.into()), "Split (BadReply)");
        let full = std::io::ErrorKind::StorageFull.into();
        assert_eq!(verdict(SplitError::Spool(full)), "wait, Mailbox (Spool)");
    }
}
