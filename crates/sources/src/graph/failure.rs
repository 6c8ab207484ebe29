//! What a failure means: the one place that knows status codes and error codes.
//!
//! Spec: "Microsoft Graph error responses and resource types", "Microsoft Graph throttling
//! guidance", "Use delta query to track changes in Microsoft Graph data". Codes that begin with
//! `Error` are those of Exchange: `ResponseCode`, Exchange Web Services reference.

use std::time::Duration;

use net::{HeaderMap, NetError, Stage, header};
use record::{FolderId, Scope, SourceError};

use super::wire::Fault;
use crate::{
    answer::{breaks_an_item, is_html, pause},
    run::ItemVerdict,
};

const NO_RIGHT: &str = "Give the app registration the application permission `Mail.Read` with \
    admin consent (`Mail.ReadBasic` is not enough, it shows no content). If access is restricted \
    by RBAC for Applications or an application access policy, see that this mailbox is in its \
    scope: `Test-ServicePrincipalAuthorization` tells. Changes take up to some hours to apply.";
const NO_MAILBOX: &str = "See that the address is that of a mailbox in Exchange Online: a mailbox \
    that is still on premises is read over EWS (`microsoft_api`), one without licence or one that \
    was deleted cannot be read.";
const NOT_GRAPH: &str = "The address does not answer as Microsoft Graph does. See that it is that \
    of the right cloud, such as `https://graph.microsoft.com/v1.0`, and that no gateway stands in \
    front of it.";

/// What a call was about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) host: &'a str,
    pub(super) operation: &'static str,
    pub(super) subject: Subject<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    /// The mailbox as a whole.
    Mailbox,
    /// The items of one folder; `link` if the server's own link was followed.
    Folder { id: &'a FolderId, link: bool },
    /// This many items, or one of them.
    Items(usize),
}

/// A failure status: of an answer, or of one within a batch.
#[derive(Clone, Debug, Default)]
pub(super) struct Status {
    pub(super) status: u16,
    pub(super) fault: Option<Fault>,
    pub(super) retry_after: Option<Duration>,
    /// `x-ms-throttle-scope`.
    pub(super) throttle_scope: Option<String>,
    /// Where a redirect leads, without its query.
    pub(super) location: Option<String>,
    pub(super) is_html: bool,
}

impl Status {
    pub(super) fn new(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let retry_after = text(header::RETRY_AFTER.as_str());
        let location = text("location").and_then(|location| location.split(['?', '#']).next());
        Self {
            status,
            fault: super::wire::fault(body),
            retry_after: retry_after.and_then(|wanted| pause(wanted, text("date"))),
            throttle_scope: text("x-ms-throttle-scope").map(str::to_owned),
            location: location.map(str::to_owned),
            is_html: is_html(headers, body),
        }
    }

    /// The code of the service, or the status.
    pub(super) fn code(&self) -> String {
        match &self.fault {
            Some(fault) if is_code(&fault.code) => fault.code.clone(),
            _ => format!("HTTP {}", self.status),
        }
    }

    fn is(&self, codes: &[&str]) -> bool {
        let code = self.fault.as_ref().map(|fault| fault.code.as_str()).unwrap_or_default();
        codes.iter().any(|known| known.eq_ignore_ascii_case(code))
    }

    fn says(&self, what: &str) -> bool {
        let message = self.fault.as_ref().map(|fault| fault.message.as_str()).unwrap_or_default();
        message.to_ascii_lowercase().contains(what)
    }

    /// The answer may mean that the server does not understand a part of the question.
    pub(super) fn is_not_understood(&self) -> bool {
        matches!(self.status, 400 | 501) && !self.is_lost_state() && !self.concerns_mailbox()
    }

    /// The server has no delta query for what was asked.
    pub(super) fn has_no_delta(&self) -> bool {
        matches!(self.status, 405 | 501)
            || (matches!(self.status, 400 | 404) && self.says("'delta'"))
            || (self.status == 400 && (self.says("not supported") || self.is(&["NotSupported"])))
    }

    /// A request too many at the same time in one mailbox.
    pub(super) fn is_concurrency(&self) -> bool {
        self.status == 429 && self.says("mailboxconcurrency")
    }

    fn is_lost_state(&self) -> bool {
        self.status == 410
            || self.is(&[
                "syncStateNotFound",
                "resyncRequired",
                "syncStateInvalid",
                "ErrorInvalidSyncStateData",
            ])
    }

    pub(super) fn concerns_mailbox(&self) -> bool {
        self.is(&[
            "MailboxNotEnabledForRESTAPI",
            "MailboxNotSupportedForRESTAPI",
            "ErrorInvalidUser",
            "ErrorNonExistentMailbox",
            "ErrorAccountDisabled",
            "ErrorMailboxConfiguration",
            "ErrorUserNotFound",
            "Request_ResourceNotFound",
            "ResourceNotFound",
            "UserNotFound",
        ])
    }

    fn is_missing(&self) -> bool {
        self.is(&["ErrorItemNotFound", "ErrorInvalidIdMalformed", "ErrorInvalidId", "ItemNotFound"])
    }
}

/// A sign that something went wrong.
#[derive(Debug)]
pub(super) enum Signal {
    /// There was no answer.
    Net(NetError),
    /// The answer broke off in its middle.
    Cut(NetError),
    Status(Box<Status>),
    /// The answer does not have the shape that the protocol prescribes.
    Unreadable(record::Cause),
    TooLarge,
    Spool(std::io::Error),
}

impl Signal {
    /// What became of the call, in a word, for the metrics.
    pub(super) fn code(&self) -> String {
        match self {
            Self::Net(err) => word(err).to_owned(),
            Self::Cut(_) => "cut".to_owned(),
            Self::Status(status) => status.status.to_string(),
            Self::Unreadable(_) | Self::TooLarge => "unreadable".to_owned(),
            Self::Spool(_) => "spool".to_owned(),
        }
    }
}

/// What to do.
#[derive(Debug)]
pub(super) enum Verdict {
    Error(SourceError),
    /// It concerns one item only, or, when the answer was cut, one of those asked for.
    Item {
        what: ItemVerdict,
        code: String,
        detail: String,
    },
}

/// Decides what a failed call, or the failed part of one, means. Total: every signal has a
/// verdict. What it says of the service concerns the application that asked.
pub(super) fn judge(signal: Signal, context: Context<'_>) -> Verdict {
    match signal {
        Signal::Net(err) => net_error(err, context),
        Signal::Cut(err) => cut(err, context),
        Signal::Status(status) => judge_status(&status, context),
        Signal::Unreadable(cause) => bad_reply(cause, context),
        Signal::TooLarge => too_large(context),
        Signal::Spool(cause) => Verdict::Error(SourceError::Spool { cause }),
    }
}

pub(super) fn judge_status(status: &Status, context: Context<'_>) -> Verdict {
    let host = context.host.to_owned();
    let code = status.code();
    let fault = status.fault.as_ref();
    let detail = match fault {
        Some(fault) if !fault.message.is_empty() => fault.message.clone(),
        _ => format!("the server answered with status {}", status.status),
    };
    let unavailable = |host, code| SourceError::Unavailable { host, code, scope: Scope::Mailbox };
    let item = |what| Verdict::Item { what, code: code.clone(), detail: detail.clone() };
    let hint = |hint: &str| Some(hint.to_owned());
    // What the code says counts more than the status: they do not always agree.
    if status.concerns_mailbox() {
        return Verdict::Error(SourceError::NoMailbox { code, hint: hint(NO_MAILBOX) });
    }
    if let Subject::Folder { id, link } = context.subject {
        // A link is all that is asked with: when it cannot be understood, it is worth nothing.
        let of_link = link && matches!(status.status, 400 | 501) && !status.is_missing();
        if status.is_lost_state() || of_link {
            return Verdict::Error(SourceError::CursorExpired { folder: id.clone() });
        }
        if status.is_missing() || status.is(&["ErrorFolderNotFound", "ErrorSyncFolderNotFound"]) {
            return Verdict::Error(SourceError::FolderGone { folder: id.clone() });
        }
    }
    if let Subject::Items(count) = context.subject {
        match count {
            1 if status.is_missing() => return item(ItemVerdict::Gone),
            1 if fault.is_some_and(|fault| breaks_an_item(&fault.code)) => {
                return item(ItemVerdict::Broken);
            }
            1 if status.status == 403 => return item(ItemVerdict::Denied),
            1 if matches!(status.status, 400 | 404..=406 | 409 | 410 | 422 | 500 | 501) => {
                return item(ItemVerdict::Puzzling);
            }
            // It may be the item that takes the server too long.
            1 if matches!(status.status, 408 | 413 | 502 | 504) => {
                return item(ItemVerdict::Puzzling);
            }
            0 | 1 => {}
            _ if matches!(status.status, 400 | 408 | 413 | 500 | 502 | 504) => {
                return Verdict::Error(SourceError::TooMuch { host, code });
            }
            _ => {}
        }
    }
    Verdict::Error(match status.status {
        401 => SourceError::Unauthorized { host, cause: None },
        403 => denied(code),
        429 => SourceError::Throttled {
            host,
            scope: throttled(status),
            retry_after: status.retry_after,
        },
        503 | 507 if status.retry_after.is_some() => {
            SourceError::Throttled { host, scope: Scope::Mailbox, retry_after: status.retry_after }
        }
        408 | 413 | 504 if matches!(context.subject, Subject::Folder { link: false, .. }) => {
            SourceError::TooMuch { host, code }
        }
        407 => SourceError::Misconfigured {
            host,
            hint: "A proxy on the way asks for credentials.".to_owned(),
            cause: None,
        },
        300..=399 => {
            let location = status.location.as_deref().unwrap_or("nowhere");
            let hint = format!("The server redirects to `{location}`. {NOT_GRAPH}");
            SourceError::Misconfigured { host, hint, cause: None }
        }
        // Without an error in Graph's form, nobody knows who has answered.
        404 | 405 if fault.is_none() => {
            SourceError::Misconfigured { host, hint: NOT_GRAPH.to_owned(), cause: None }
        }
        200..=299 if status.is_html => {
            SourceError::Misconfigured { host, hint: NOT_GRAPH.to_owned(), cause: None }
        }
        200..=299 => return bad_reply("it is not the JSON of Graph".into(), context),
        _ => unavailable(host, code),
    })
}

/// The right to read seems to be gone.
pub(super) fn denied(code: String) -> SourceError {
    SourceError::Denied { code, scope: Scope::Mailbox, hint: Some(NO_RIGHT.to_owned()) }
}

/// Whom a 429 concerns: the mailbox, unless it speaks of the application.
///
/// Spec: "Microsoft Graph throttling guidance", `x-ms-throttle-scope`; Outlook's limits are those
/// of one application in one mailbox.
fn throttled(status: &Status) -> Scope {
    let scope = status.throttle_scope.as_deref().unwrap_or_default().to_ascii_lowercase();
    let of_application = scope.starts_with("application") || scope.starts_with("tenant");
    if of_application { Scope::Service } else { Scope::Mailbox }
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
        NetError::NotOffered { .. } | NetError::Crypto { .. } => {
            misconfigured(host, err, "See the settings of the app registration.")
        }
        NetError::Tls { .. } => misconfigured(host, err, "See the certificate of the server."),
        NetError::Blocked { .. } => misconfigured(host, err, "See the egress settings."),
        NetError::BadReply { .. } => return bad_reply(Box::new(err), context),
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
            detail: "the answer that holds it is too large".to_owned(),
        },
        _ => Verdict::Error(SourceError::TooMuch {
            host: context.host.to_owned(),
            code: "the answer is too large".to_owned(),
        }),
    }
}

fn bad_reply(cause: record::Cause, context: Context<'_>) -> Verdict {
    Verdict::Error(SourceError::BadReply {
        host: context.host.to_owned(),
        operation: context.operation,
        cause,
    })
}

fn divisible(context: Context<'_>) -> bool {
    match context.subject {
        Subject::Mailbox => false,
        Subject::Folder { link, .. } => !link,
        Subject::Items(count) => count > 1,
    }
}

/// Whether `code` looks like one of Graph's codes, which may go into logs and metrics.
fn is_code(code: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    !code.is_empty() && code.len() <= 64 && code.bytes().all(known)
}

fn word(err: &NetError) -> &'static str {
    match err {
        NetError::Unauthorized { .. } => "401",
        NetError::NotOffered { .. } | NetError::TokenRefused { .. } => "refused",
        NetError::Unreachable { .. } | NetError::TokenUnavailable { .. } => "unreachable",
        NetError::Timeout { .. } => "timeout",
        NetError::Tls { .. } => "tls",
        NetError::Blocked { .. } => "blocked",
        NetError::BadReply { .. } | NetError::TooLarge { .. } => "unreadable",
        NetError::Crypto { .. } => "crypto",
    }
}
