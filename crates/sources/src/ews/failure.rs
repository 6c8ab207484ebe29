//! What a failure means: the one place that knows status codes and response codes.
//!
//! Codes: `ResponseCode`, Exchange Web Services reference,
//! <https://learn.microsoft.com/exchange/client-developer/web-service-reference/responsecode>.

use net::{HeaderMap, NetError, Stage, header};
use record::{FolderId, Scope, SourceError};

use super::{reply::Fault, request::Access, stream::SplitError};
use crate::{
    answer::{breaks_an_item, is_html, retry_after},
    run::ItemVerdict,
};

/// Where to look when EWS itself is refused.
const EWS_REFUSED: &str = "Exchange does not let this account use EWS. In Exchange Online, EWS is \
    blocked since October 2026 for applications that are not on the allow list of the tenant \
    (`EwsAllowedAppIDs`) and ends on 1 April 2027: read it over Microsoft Graph (`microsoft_api`). \
    On premises, see that EWS is enabled for the account and the mailbox.";
const NO_RIGHT: &str = "Give the account Full Access to the mailbox, or the right to impersonate \
    its owner, and see that the address of the mailbox is right.";
const LOGIN_PAGE: &str = "The address answers with a web page instead of Exchange Web Services. \
    See that `ews_endpoint` ends in `/EWS/Exchange.asmx` and that no sign-in page stands in front \
    of it.";

/// What a call was about.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub host: &'a str,
    pub operation: &'static str,
    pub access: Access,
    pub subject: Subject<'a>,
}

#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// The mailbox as a whole, by its top folder.
    Mailbox,
    /// The items of one folder; `divisible` if fewer can be asked for.
    Folder { id: &'a FolderId, divisible: bool },
    /// This many items, or one of them.
    Items(usize),
}

/// A sign that something went wrong.
#[derive(Debug)]
pub enum Signal<'a> {
    /// There was no answer.
    Net(NetError),
    /// The answer broke off in its middle.
    Cut(NetError),
    /// An answer without a SOAP envelope; `head` is the beginning of its body.
    Http { status: u16, headers: &'a HeaderMap, head: &'a [u8] },
    /// What the server says about the call, or about one item of it.
    Fault(&'a Fault),
    /// The envelope could not be taken apart.
    Split(SplitError),
}

/// What to do.
#[derive(Debug)]
pub enum Verdict {
    Error(SourceError),
    /// The server does not know the version asked for.
    LowerVersion {
        code: String,
    },
    /// The mailbox has this primary address.
    Readdress {
        primary: String,
    },
    /// Use one connection fewer and ask again.
    FewerConnections,
    /// This folder cannot be read, others can.
    SkipFolder {
        code: String,
    },
    /// It concerns one item only, or, when the reply was cut, one of those asked for.
    Item {
        what: ItemVerdict,
        code: String,
        detail: String,
    },
}

/// What a response code is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Busy,
    Connections,
    TooMuch,
    Transient,
    Puzzling,
    Cursor,
    FolderGone,
    NoMailbox,
    NonPrimary,
    Denied,
    Impersonation,
    Version,
    ItemGone,
    ItemBroken,
}

fn kind_of(code: &str) -> Kind {
    match code {
        "ErrorServerBusy" => Kind::Busy,
        "ErrorExceededConnectionCount" => Kind::Connections,
        "ErrorTimeoutExpired" | "ErrorBatchProcessingStopped" | "ErrorExceededFindCountLimit" => {
            Kind::TooMuch
        }
        // Conditions of the server, then conditions of a mailbox that is away for a while.
        "ErrorTooManyObjectsOpened"
        | "ErrorInternalServerTransientError"
        | "ErrorInsufficientResources"
        | "ErrorNotEnoughMemory"
        | "ErrorADUnavailable"
        | "ErrorADOperation"
        | "ErrorConnectionFailed"
        | "ErrorConnectionFailedTransientError"
        | "ErrorClientDisconnected"
        | "ErrorNoRespondingCASInDestinationSite"
        | "ErrorMailboxStoreUnavailable"
        | "ErrorMailboxFailover"
        | "ErrorMailboxMoveInProgress"
        | "ErrorMailboxLogonFailed"
        | "ErrorCrossSiteRequest"
        | "ErrorProxyServiceDiscoveryFailed"
        // A quota stops who writes. A reader meets it, if ever, by a server's mistake.
        | "ErrorQuotaExceeded" => Kind::Transient,
        "ErrorInvalidSyncStateData" => Kind::Cursor,
        "ErrorSyncFolderNotFound" | "ErrorFolderNotFound" => Kind::FolderGone,
        "ErrorNonExistentMailbox"
        | "ErrorAccountDisabled"
        | "ErrorMailboxConfiguration"
        | "ErrorInvalidSmtpAddress"
        | "ErrorCannotFindUser" => Kind::NoMailbox,
        "ErrorNonPrimarySmtpAddress" => Kind::NonPrimary,
        "ErrorAccessDenied" => Kind::Denied,
        "ErrorImpersonateUserDenied"
        | "ErrorImpersonationDenied"
        | "ErrorImpersonationFailed"
        | "ErrorInvalidExchangeImpersonationHeaderData" => Kind::Impersonation,
        "ErrorSchemaValidation"
        | "ErrorInvalidRequest"
        | "ErrorInvalidServerVersion"
        | "ErrorIncorrectSchemaVersion"
        | "ErrorInvalidSchemaVersionForMailboxVersion" => Kind::Version,
        "ErrorItemNotFound" | "ErrorInvalidIdMalformed" | "ErrorInvalidId"
        | "ErrorInvalidIdEmpty" => Kind::ItemGone,
        code if breaks_an_item(code) => Kind::ItemBroken,
        // `ErrorInternalServerError`, and codes that we have never seen.
        _ => Kind::Puzzling,
    }
}

/// Decides what a failed call, or the failed part of one, means. Total: every signal has a
/// verdict.
pub fn judge(signal: Signal<'_>, context: Context<'_>) -> Verdict {
    match signal {
        Signal::Net(err) => net_error(err, context),
        Signal::Cut(err) => cut(err, context),
        Signal::Http { status, headers, head } => http(status, headers, head, context),
        Signal::Fault(fault) => soap(fault, context),
        Signal::Split(SplitError::TooLarge) => too_large(context),
        Signal::Split(SplitError::Spool(cause)) => Verdict::Error(SourceError::Spool { cause }),
        Signal::Split(SplitError::Malformed(malformed)) => bad_reply(malformed, context),
    }
}

fn soap(fault: &Fault, context: Context<'_>) -> Verdict {
    // The outer code of a wrapped error says nothing.
    let code = match &fault.inner {
        Some(inner) if fault.code == "ErrorInternalServerError" => inner,
        _ => &fault.code,
    };
    let code = code.clone();
    let host = context.host.to_owned();
    let in_mailbox = |hint: &str| SourceError::Denied {
        code: code.clone(),
        scope: Scope::Mailbox,
        hint: Some(hint.to_owned()),
    };
    let no_mailbox =
        |hint: &str| SourceError::NoMailbox { code: code.clone(), hint: Some(hint.to_owned()) };
    let item = |what| Verdict::Item { what, code: code.clone(), detail: fault.text.clone() };
    let unavailable =
        |host| SourceError::Unavailable { host, code: code.clone(), scope: Scope::Mailbox };
    Verdict::Error(match (kind_of(&code), context.subject) {
        (Kind::Busy, _) => SourceError::Throttled {
            host,
            // Under impersonation the budget is that of the mailbox (EWS throttling in
            // Exchange); a delegate spends its own, for all mailboxes.
            scope: match context.access {
                Access::Impersonation => Scope::Mailbox,
                Access::Delegate => Scope::Service,
            },
            retry_after: fault.back_off,
        },
        (Kind::Connections, _) => return Verdict::FewerConnections,
        // The questions about a mailbox as a whole are small already.
        (Kind::TooMuch, Subject::Mailbox) => unavailable(host),
        (Kind::TooMuch, _) => SourceError::TooMuch { host, code },
        (Kind::Version, _) => return Verdict::LowerVersion { code },
        (Kind::NonPrimary, _) => match &fault.primary {
            Some(primary) => return Verdict::Readdress { primary: primary.clone() },
            None => no_mailbox("Configure the mailbox by its primary SMTP address."),
        },
        (Kind::NoMailbox, _) => {
            no_mailbox("See that the mailbox exists, is enabled and has this address.")
        }
        (Kind::Impersonation, _) => in_mailbox(NO_RIGHT),
        (Kind::Transient, _) => unavailable(host),

        (Kind::Cursor | Kind::FolderGone | Kind::Denied | Kind::ItemGone, Subject::Mailbox) => {
            in_mailbox(NO_RIGHT)
        }
        (Kind::Cursor, Subject::Folder { id, .. }) => {
            SourceError::CursorExpired { folder: id.clone() }
        }
        // To a delegate without rights, Exchange says "not found" as often as "denied".
        (Kind::FolderGone | Kind::ItemGone, Subject::Folder { id, .. }) => {
            SourceError::FolderGone { folder: id.clone() }
        }
        (Kind::Denied, Subject::Folder { .. }) => return Verdict::SkipFolder { code },
        (Kind::Puzzling | Kind::ItemBroken, Subject::Mailbox | Subject::Folder { .. }) => {
            unavailable(host)
        }

        (Kind::ItemGone, Subject::Items(1)) => return item(ItemVerdict::Gone),
        (Kind::ItemBroken | Kind::Denied, Subject::Items(1)) => {
            return item(ItemVerdict::Broken);
        }
        (Kind::Puzzling | Kind::Cursor | Kind::FolderGone, Subject::Items(1)) => {
            return item(ItemVerdict::Puzzling);
        }
        // A fault of the whole call, over something in one of its items.
        (
            Kind::ItemGone
            | Kind::ItemBroken
            | Kind::Denied
            | Kind::Puzzling
            | Kind::Cursor
            | Kind::FolderGone,
            Subject::Items(_),
        ) => SourceError::TooMuch { host, code },
    })
}

fn http(status: u16, headers: &HeaderMap, head: &[u8], context: Context<'_>) -> Verdict {
    let host = context.host.to_owned();
    let code = format!("HTTP {status}");
    let says = |text: &str| memchr::memmem::find(head, text.as_bytes()).is_some();
    if says("The specified server version is invalid")
        || says("ErrorInvalidSchemaVersionForMailboxVersion")
    {
        return Verdict::LowerVersion { code };
    }
    let misconfigured =
        |host, hint: &str| SourceError::Misconfigured { host, hint: hint.to_owned(), cause: None };
    Verdict::Error(match status {
        429 | 503 => SourceError::Throttled {
            host,
            scope: Scope::Service,
            retry_after: retry_after(headers),
        },
        403 => {
            SourceError::Denied { code, scope: Scope::Service, hint: Some(EWS_REFUSED.to_owned()) }
        }
        401 => SourceError::Unauthorized { host, cause: None },
        404 | 405 | 440 | 456 => misconfigured(host, LOGIN_PAGE),
        407 => misconfigured(host, "A proxy on the way asks for credentials."),
        300..=399 | 451 => redirect(headers, code, host),
        408 | 413 | 504 if divisible(context) => SourceError::TooMuch { host, code },
        413 => return too_large(context),
        400 => return bad_reply(NotSoap { status }, context),
        200..=299 if is_html(headers, head) => misconfigured(host, LOGIN_PAGE),
        200..=299 => return bad_reply(NotSoap { status }, context),
        // Among them 500 with an error page of ASP.NET: Exchange is overloaded or starting.
        _ => SourceError::Unavailable { host, code, scope: Scope::Mailbox },
    })
}

/// Where Exchange sends a client away to.
fn redirect(headers: &HeaderMap, code: String, host: String) -> SourceError {
    let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    let location = location.unwrap_or_default();
    let target = location.to_ascii_lowercase();
    // The query may carry a token.
    let shown = location.split(['?', '#']).next().unwrap_or_default();
    let misconfigured =
        |hint: String| SourceError::Misconfigured { host: host.clone(), hint, cause: None };
    if target.contains("genericerrorpage.htm") {
        SourceError::Unavailable { host, code, scope: Scope::Mailbox }
    } else if target.contains("/internalsite/") {
        misconfigured("Its gateway reports trouble with a certificate of the server.".to_owned())
    } else if ["logon", "login", "/owa", "/adfs"].iter().any(|part| target.contains(part)) {
        misconfigured(LOGIN_PAGE.to_owned())
    } else if code == "HTTP 451" {
        SourceError::Denied {
            code,
            scope: Scope::Mailbox,
            hint: Some(format!("The mailbox is served by another server now: `{shown}`.")),
        }
    } else {
        misconfigured(format!(
            "The server redirects to `{shown}`. If that is right, set `ews_endpoint` to it."
        ))
    }
}

fn net_error(err: NetError, context: Context<'_>) -> Verdict {
    let host = context.host.to_owned();
    let hint = err.hint().map(str::to_owned);
    let misconfigured = |host, err: NetError, otherwise: &str| SourceError::Misconfigured {
        host,
        hint: hint.clone().unwrap_or_else(|| otherwise.to_owned()),
        cause: Some(Box::new(err)),
    };
    Verdict::Error(match err {
        NetError::Unauthorized { .. } | NetError::TokenRefused { .. } => {
            SourceError::Unauthorized { host, cause: Some(Box::new(err)) }
        }
        NetError::TokenUnavailable { retry_after: Some(after), .. } => {
            SourceError::Throttled { host, scope: Scope::Service, retry_after: Some(after) }
        }
        NetError::TokenUnavailable { retry_after: None, code, .. } => {
            SourceError::Unavailable { host, code, scope: Scope::Service }
        }
        NetError::Timeout { stage: Stage::Answer, .. } if divisible(context) => {
            SourceError::TooMuch { host, code: "no answer in time".to_owned() }
        }
        NetError::Unreachable { .. } | NetError::Timeout { .. } => {
            SourceError::Unreachable { host, cause: Box::new(err) }
        }
        NetError::NotOffered { .. } => misconfigured(
            host,
            err,
            "The server does not offer this way to sign in; see `auth_type`.",
        ),
        NetError::Tls { .. } => {
            misconfigured(host, err, "See `ews_ssl_verify` and the certificate of the server.")
        }
        NetError::Blocked { .. } => misconfigured(host, err, "See the egress settings."),
        NetError::Crypto { .. } => misconfigured(host, err, "See the account's settings."),
        NetError::BadReply { .. } => return bad_reply(err, context),
        NetError::TooLarge { .. } => return too_large(context),
    })
}

/// One item may be what breaks the connection, each time, so a batch has to be taken apart.
fn cut(err: NetError, context: Context<'_>) -> Verdict {
    match (&err, context.subject) {
        (NetError::Unreachable { .. } | NetError::Timeout { .. }, Subject::Items(_)) => {
            Verdict::Item {
                what: ItemVerdict::Cut,
                code: "ConnectionCut".to_owned(),
                detail: err.to_string(),
            }
        }
        _ => net_error(err, context),
    }
}

fn too_large(context: Context<'_>) -> Verdict {
    match context.subject {
        Subject::Items(1) => Verdict::Item {
            what: ItemVerdict::TooLarge,
            code: "TooLarge".to_owned(),
            detail: "the reply that holds it is too large".to_owned(),
        },
        _ => Verdict::Error(SourceError::TooMuch {
            host: context.host.to_owned(),
            code: "the reply is too large".to_owned(),
        }),
    }
}

fn bad_reply(cause: impl Into<record::Cause>, context: Context<'_>) -> Verdict {
    Verdict::Error(SourceError::BadReply {
        host: context.host.to_owned(),
        operation: context.operation,
        cause: cause.into(),
    })
}

fn divisible(context: Context<'_>) -> bool {
    match context.subject {
        Subject::Mailbox => false,
        Subject::Folder { divisible, .. } => divisible,
        Subject::Items(count) => count > 1,
    }
}

/// The answer is not SOAP.
#[derive(Debug, thiserror::Error)]
#[error("it has status {status} and no SOAP envelope")]
struct NotSoap {
    status: u16,
}
