//! Every route of the API: what it is for, and what it takes to be let in.
//!
//! This table is the router. A request that no row matches leads nowhere, so nothing can be
//! served without a row that says who may have it.

use hyper::Method;
use percent_encoding::percent_decode_str;

use crate::{permissions::project, refusal::Refusal};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Op {
    CurrentUser,
    RefreshPermissions,
    ListProjects,
    ListProjectNames,
    GetProject,
    CreateProject,
    UpdateProject,
    DeleteProject,
    CountResources,
    ListBuckets,
    GetBucket,
    CreateBucket,
    UpdateBucket,
    DeleteBucket,
    BucketStatistics,
    PutEmails,
    ListEmails,
    GetEmail,
    QueryEmails,
    DeleteEmails,
    PutAttachment,
    GetOriginal,
    GetOriginalHtml,
    GetOriginalPart,
    GetOriginalRaw,
    GetSyncState,
    PutSyncState,
    ListKeyedSyncStates,
    GetKeyedSyncState,
    PutKeyedSyncState,
    DeleteKeyedSyncState,
    KeyedSyncStateIds,
    GetConfig,
    PutConfig,
    ListUsers,
    ListUserNames,
    GetUser,
    CreateUser,
    UpdateUser,
    DeleteUser,
    QueryAuditEvents,
    ListSources,
    GetSource,
    CreateSource,
    UpdateSource,
    DeleteSource,
    SourceStatistics,
    ListThreads,
    ListTransformTags,
    GetTransformTag,
    GetConversion,
    RetryConversion,
    PutComments,
    SyncComments,
    SyncRawEmails,
    SniffCsv,
    SyncCsv,
    ListComments,
    GetComment,
    DeleteComments,
    PutCommentAttachment,
    PutAudio,
    GetAudio,
    GetAttachment,
    ListQuotas,
    SetQuota,

    // How people come in.
    SignInOptions,
    SignIn,
    SignOut,
    InspectLink,
    UseLink,
    StartOidc,
    FinishOidc,
    SignedOutOidc,
    GetAccount,
    ChangePassword,
    ListSessions,
    EndSessions,
    EndSession,
    ListTokens,
    CreateToken,
    RevokeToken,
    ListRoles,
    MakeLink,
    RevokeAccess,
    Search,
    SearchVolume,
    GetThread,
    ListConfigs,
    ListConfigVersions,
    GetConfigVersion,
    ListIntegrations,
    GetIntegration,
    CreateIntegration,
    UpdateIntegration,
    DeleteIntegration,
    IntegrationErrors,
    IntegrationConfig,
    ValidateExchange,
    ListMails,
    DeleteMail,
    WelcomeEmail,
    ListDatasets,
    GetDataset,
    CreateDataset,
    UpdateDataset,
    DeleteDataset,
    DatasetStatistics,
    PutLabels,
    QueryDataset,
    SummarizeDataset,
    ListModels,
    GetValidation,
    AskModel,
    ListAnnotations,
    Annotate,
    ListStreams,
    PutStream,
    GetStream,
    DeleteStream,
    FetchStream,
    AdvanceStream,
    ResetStream,
    StreamExceptions,
    StreamResults,
    // For the web UI.
    BucketVolume,
}

/// What a token must be worth. `crate::access` says what becomes of those that are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: how people come in.
    Public,
    /// Any valid token; the answer holds what it may see.
    Token,
    /// The permission everywhere.
    Global(&'static str),
    /// Any permission in the project that the path names.
    Member,
    /// The global permission to manage projects; members hear 403, others 404.
    ManageProject,
    /// The permission in the project that the path names, or in that of the bucket.
    Project(&'static str),
    /// That of whoever may see the user; what is changed decides about the rest.
    User,
}

/// What the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Nothing,
    Json,
    /// JSON with one long text.
    State,
    Emails,
    Comments,
    RawEmails,
    /// A form with a file, or the file itself.
    File,
}

pub(crate) struct Route {
    pub(crate) method: Method,
    /// Literal parts, `{bucket}` and `{source}` for an id or a full name, `{…}` for any other
    /// single part.
    pub(crate) path: &'static str,
    pub(crate) op: Op,
    pub(crate) need: Need,
    pub(crate) content: Content,
    /// Query parameters.
    pub(crate) query: &'static [&'static str],
}

const fn route(
    method: Method,
    path: &'static str,
    op: Op,
    need: Need,
    content: Content,
    query: &'static [&'static str],
) -> Route {
    Route { method, path, op, need, content, query }
}

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;
const POST: Method = Method::POST;
const DELETE: Method = Method::DELETE;

const READ: Need = Need::Project(project::BUCKETS_READ);
const WRITE: Need = Need::Project(project::BUCKETS_WRITE);
const APPEND: Need = Need::Project(project::BUCKETS_APPEND);
const ITEMS: Need = Need::Project(project::BUCKETS_ITEMS_READ);
const CONFIG_READ: Need = Need::Project(project::APPLIANCE_CONFIG_READ);
const CONFIG_WRITE: Need = Need::Project(project::APPLIANCE_CONFIG_WRITE);
const SOURCES: Need = Need::Project(project::SOURCES_READ);
const SOURCES_ADMIN: Need = Need::Project(project::SOURCES_ADMIN);
const ADD_COMMENTS: Need = Need::Project(project::SOURCES_ADD_COMMENTS);
const PAGE_OF_COMMENTS: &[&str] = &[
    "limit",
    "after",
    "from_timestamp",
    "to_timestamp",
    "include_markup",
    "include_thread_properties",
    "direction",
];
/// How a CSV file is written, and which of its columns is what.
const CSV: &[&str] = &[
    "no_charge",
    "encoding",
    "delimiter",
    "date_order",
    "id",
    "timestamp",
    "text",
    "subject",
    "from",
    "to",
    "cc",
    "bcc",
    "thread_id",
    "string",
    "number",
];
const NONE: &[&str] = &[];
/// Whatever a provider adds: RFC 6749 §4.1.2 has clients ignore parameters that they do not know.
pub(crate) const ANY: &[&str] = &["*"];

const INTEGRATIONS: Need = Need::Project(project::INTEGRATIONS_READ);
const INTEGRATE: Need = Need::Project(project::INTEGRATIONS_WRITE);
const DATASETS: Need = Need::Project(project::DATASETS_READ);
const DATASETS_ADMIN: Need = Need::Project(project::DATASETS_ADMIN);
const REVIEW: Need = Need::Project(project::DATASETS_REVIEW);
const STREAMS: Need = Need::Project(project::STREAMS_READ);
const STREAM_WRITE: Need = Need::Project(project::STREAMS_WRITE);
const CONSUME: Need = Need::Project(project::STREAMS_CONSUME);
const TENANT_ADMIN: Need = Need::Global("tenant-admin");

#[rustfmt::skip]
pub(crate) static ROUTES: &[Route] = &[
    route(GET, "auth/user", Op::CurrentUser, Need::Token, Content::Nothing, NONE),
    route(POST, "auth/refresh-user-permissions", Op::RefreshPermissions, Need::Token, Content::Json, NONE),

    route(GET, "api/_private/projects", Op::ListProjects, Need::Token, Content::Nothing, &["cm_only"]),
    route(GET, "api/v1/projects", Op::ListProjectNames, Need::Token, Content::Nothing, NONE),
    route(GET, "api/_private/projects/{project}", Op::GetProject, Need::Member, Content::Nothing, NONE),
    route(PUT, "api/_private/projects/{project}", Op::CreateProject, Need::Global("projects-admin"), Content::Json, NONE),
    route(POST, "api/_private/projects/{project}", Op::UpdateProject, Need::ManageProject, Content::Json, NONE),
    route(DELETE, "api/_private/projects/{project}", Op::DeleteProject, Need::ManageProject, Content::Nothing, &["force"]),
    route(GET, "api/_private/projects/{project}/resource_counts", Op::CountResources, Need::Member, Content::Nothing, NONE),

    route(GET, "api/_private/buckets", Op::ListBuckets, Need::Token, Content::Nothing, NONE),
    route(GET, "api/_private/buckets/{project}", Op::ListBuckets, READ, Content::Nothing, NONE),
    route(GET, "api/_private/buckets/{bucket}", Op::GetBucket, READ, Content::Nothing, NONE),
    route(PUT, "api/_private/buckets/{bucket}", Op::CreateBucket, WRITE, Content::Json, NONE),
    route(POST, "api/_private/buckets/{bucket}", Op::UpdateBucket, APPEND, Content::Json, NONE),
    route(DELETE, "api/_private/buckets/{bucket}", Op::DeleteBucket, WRITE, Content::Nothing, NONE),
    route(GET, "api/_private/buckets/{bucket}/statistics", Op::BucketStatistics, READ, Content::Nothing, NONE),
    route(PUT, "api/_private/buckets/{bucket}/emails", Op::PutEmails, APPEND, Content::Emails, &["no_charge"]),
    route(POST, "api/_private/buckets/{bucket}/emails", Op::ListEmails, ITEMS, Content::Json, NONE),
    route(GET, "api/_private/buckets/{bucket}/emails", Op::GetEmail, ITEMS, Content::Nothing, &["id"]),
    route(DELETE, "api/_private/buckets/{bucket}/emails", Op::DeleteEmails, WRITE, Content::Nothing, &["id"]),
    route(POST, "api/_private/buckets/{bucket}/emails/query", Op::QueryEmails, ITEMS, Content::Json, NONE),
    route(PUT, "api/_private/buckets/{bucket}/emails/{email}/attachments/{index}", Op::PutAttachment, APPEND, Content::File, NONE),

    route(GET, "api/_private/buckets/{bucket}/emails/{email}/original", Op::GetOriginal, ITEMS, Content::Nothing, NONE),
    route(GET, "api/_private/buckets/{bucket}/emails/{email}/original/html", Op::GetOriginalHtml, ITEMS, Content::Nothing, &["remote"]),
    route(GET, "api/_private/buckets/{bucket}/emails/{email}/original/parts/{index}", Op::GetOriginalPart, ITEMS, Content::Nothing, NONE),
    route(GET, "api/_private/buckets/{bucket}/emails/{email}/original/raw", Op::GetOriginalRaw, ITEMS, Content::Nothing, NONE),

    route(GET, "api/_private/bucket-sync-state/{bucket}", Op::GetSyncState, READ, Content::Nothing, NONE),
    route(PUT, "api/_private/bucket-sync-state/{bucket}", Op::PutSyncState, APPEND, Content::State, NONE),
    route(GET, "api/_private/buckets/{bucket}/keyed-sync-states", Op::ListKeyedSyncStates, READ, Content::Nothing, NONE),
    route(POST, "api/_private/buckets/{bucket}/keyed-sync-state-ids", Op::KeyedSyncStateIds, READ, Content::Json, NONE),
    route(GET, "api/_private/buckets/{bucket}/keyed-sync-state/{key}", Op::GetKeyedSyncState, READ, Content::Nothing, NONE),
    route(PUT, "api/_private/buckets/{bucket}/keyed-sync-state/{key}", Op::PutKeyedSyncState, APPEND, Content::Json, NONE),
    route(DELETE, "api/_private/buckets/{bucket}/keyed-sync-state/{key}", Op::DeleteKeyedSyncState, WRITE, Content::Nothing, NONE),

    route(GET, "api/v1/sources", Op::ListSources, Need::Token, Content::Nothing, NONE),
    route(GET, "api/v1/sources/{project}", Op::ListSources, SOURCES, Content::Nothing, NONE),
    route(GET, "api/v1/sources/{source}", Op::GetSource, SOURCES, Content::Nothing, NONE),
    route(PUT, "api/v1/sources/{source}", Op::CreateSource, SOURCES_ADMIN, Content::Json, NONE),
    route(POST, "api/v1/sources/{source}", Op::UpdateSource, SOURCES_ADMIN, Content::Json, NONE),
    route(DELETE, "api/v1/sources/{source}", Op::DeleteSource, SOURCES_ADMIN, Content::Nothing, NONE),
    route(POST, "api/v1/sources/{source}/statistics", Op::SourceStatistics, SOURCES, Content::Json, NONE),
    route(GET, "api/v1/sources/{source}/threads", Op::ListThreads, SOURCES, Content::Nothing, &["limit", "after"]),
    route(GET, "api/_private/sources/email-transform", Op::ListTransformTags, Need::Token, Content::Nothing, NONE),
    route(GET, "api/_private/sources/email-transform/{tag}", Op::GetTransformTag, Need::Token, Content::Nothing, NONE),
    route(GET, "api/_private/sources/{source}/conversion", Op::GetConversion, SOURCES, Content::Nothing, NONE),
    route(POST, "api/_private/sources/{source}/conversion/retry", Op::RetryConversion, SOURCES_ADMIN, Content::Json, NONE),
    route(PUT, "api/_private/sources/{source}/comments", Op::PutComments, ADD_COMMENTS, Content::Comments, &["no_charge"]),
    route(GET, "api/_private/sources/{source}/comments", Op::ListComments, SOURCES, Content::Nothing, PAGE_OF_COMMENTS),
    route(POST, "api/v1/sources/{source}/sync", Op::SyncComments, ADD_COMMENTS, Content::Comments, &["no_charge"]),
    route(POST, "api/v1/sources/{source}/sync-raw-emails", Op::SyncRawEmails, ADD_COMMENTS, Content::RawEmails, &["no_charge"]),
    route(PUT, "api/_private/sources/sniff-csv", Op::SniffCsv, Need::Token, Content::File, &["encoding", "delimiter"]),
    route(PUT, "api/_private/sources/{source}/sync-csv", Op::SyncCsv, ADD_COMMENTS, Content::File, CSV),
    route(GET, "api/v1/sources/{source}/comments/{comment}", Op::GetComment, SOURCES, Content::Nothing, &["include_markup"]),
    route(DELETE, "api/v1/sources/{source}/comments", Op::DeleteComments, ADD_COMMENTS, Content::Nothing, &["id", "ids"]),
    route(PUT, "api/_private/sources/{source}/comments/{comment}/attachments/{index}", Op::PutCommentAttachment, ADD_COMMENTS, Content::File, NONE),
    route(PUT, "api/_private/sources/{source}/comments/{comment}/audio", Op::PutAudio, ADD_COMMENTS, Content::File, NONE),
    route(GET, "api/_private/sources/{source}/comments/{comment}/audio", Op::GetAudio, SOURCES, Content::Nothing, NONE),
    route(GET, "api/v1/attachments/{attachment}", Op::GetAttachment, SOURCES, Content::Nothing, NONE),

    route(GET, "api/v1/appliance-configs/{project}/{name}", Op::GetConfig, CONFIG_READ, Content::Nothing, NONE),
    route(PUT, "api/v1/appliance-configs/{project}/{name}", Op::PutConfig, CONFIG_WRITE, Content::File, NONE),
    route(GET, "api/_private/appliance-configs/{project}/{name}", Op::GetConfig, CONFIG_READ, Content::Nothing, NONE),
    route(PUT, "api/_private/appliance-configs/{project}/{name}", Op::PutConfig, CONFIG_WRITE, Content::File, NONE),

    route(GET, "api/_private/users", Op::ListUsers, Need::Token, Content::Nothing, NONE),
    route(GET, "api/v1/users", Op::ListUserNames, Need::Token, Content::Nothing, NONE),
    route(PUT, "api/_private/users", Op::CreateUser, Need::Global("tenant-admin"), Content::Json, NONE),
    route(GET, "api/_private/users/{user}", Op::GetUser, Need::User, Content::Nothing, NONE),
    route(POST, "api/_private/users/{user}", Op::UpdateUser, Need::User, Content::Json, NONE),
    route(DELETE, "api/_private/users/{user}", Op::DeleteUser, Need::Global("tenant-admin"), Content::Nothing, NONE),

    route(POST, "api/_private/search", Op::Search, Need::Token, Content::Json, NONE),
    route(POST, "api/_private/search/volume", Op::SearchVolume, Need::Token, Content::Json, NONE),
    route(GET, "api/_private/sources/{source}/threads/{thread}", Op::GetThread, SOURCES, Content::Nothing, &["limit", "after", "include_markup"]),

    route(POST, "api/v1/audit_events/query", Op::QueryAuditEvents, Need::Global("audit-read"), Content::Json, NONE),

    route(GET, "api/_private/quotas", Op::ListQuotas, Need::Global("tenant-quota-read"), Content::Nothing, NONE),
    route(GET, "api/_private/quotas/{tenant}", Op::ListQuotas, Need::Global("tenant-quota-read"), Content::Nothing, NONE),
    route(POST, "api/_private/quotas/{tenant}/{kind}", Op::SetQuota, Need::Global("tenant-quota-write"), Content::Json, NONE),

    route(GET, "auth/options", Op::SignInOptions, Need::Public, Content::Nothing, NONE),
    route(POST, "auth/sign-in", Op::SignIn, Need::Public, Content::Json, NONE),
    route(POST, "auth/sign-out", Op::SignOut, Need::Token, Content::Json, NONE),
    route(POST, "auth/link/inspect", Op::InspectLink, Need::Public, Content::Json, NONE),
    route(POST, "auth/link", Op::UseLink, Need::Public, Content::Json, NONE),
    route(GET, "auth/oidc/start", Op::StartOidc, Need::Public, Content::Nothing, &["return_to"]),
    route(GET, "auth/oidc/callback", Op::FinishOidc, Need::Public, Content::Nothing, ANY),
    route(GET, "auth/oidc/signed-out", Op::SignedOutOidc, Need::Public, Content::Nothing, ANY),

    route(GET, "api/_private/account", Op::GetAccount, Need::Token, Content::Nothing, NONE),
    route(POST, "api/_private/account/password", Op::ChangePassword, Need::Token, Content::Json, NONE),
    route(GET, "api/_private/account/sessions", Op::ListSessions, Need::Token, Content::Nothing, NONE),
    route(DELETE, "api/_private/account/sessions", Op::EndSessions, Need::Token, Content::Nothing, NONE),
    route(DELETE, "api/_private/account/sessions/{session}", Op::EndSession, Need::Token, Content::Nothing, NONE),
    route(GET, "api/_private/account/tokens", Op::ListTokens, Need::Token, Content::Nothing, NONE),
    route(POST, "api/_private/account/tokens", Op::CreateToken, Need::Token, Content::Json, NONE),
    route(DELETE, "api/_private/account/tokens/{token}", Op::RevokeToken, Need::Token, Content::Nothing, NONE),
    route(GET, "api/_private/roles", Op::ListRoles, Need::Token, Content::Nothing, NONE),
    route(POST, "api/_private/users/{user}/link", Op::MakeLink, Need::Global("tenant-admin"), Content::Json, NONE),
    route(POST, "api/_private/users/{user}/revoke", Op::RevokeAccess, Need::Global("tenant-admin"), Content::Json, NONE),
    route(GET, "api/_private/appliance-configs/{project}", Op::ListConfigs, CONFIG_READ, Content::Nothing, NONE),
    route(GET, "api/_private/appliance-configs/{project}/{name}/versions", Op::ListConfigVersions, CONFIG_READ, Content::Nothing, &["before"]),
    route(GET, "api/_private/appliance-configs/{project}/{name}/versions/{version}", Op::GetConfigVersion, CONFIG_READ, Content::Nothing, NONE),

    route(GET, "api/_private/integrations", Op::ListIntegrations, Need::Token, Content::Nothing, NONE),
    route(GET, "api/_private/integrations/{project}", Op::ListIntegrations, INTEGRATIONS, Content::Nothing, NONE),
    route(GET, "api/_private/integrations/{integration}", Op::GetIntegration, INTEGRATIONS, Content::Nothing, NONE),
    route(PUT, "api/_private/integrations/{integration}", Op::CreateIntegration, INTEGRATE, Content::Json, NONE),
    route(POST, "api/_private/integrations/{integration}", Op::UpdateIntegration, INTEGRATE, Content::Json, NONE),
    route(DELETE, "api/_private/integrations/{integration}", Op::DeleteIntegration, INTEGRATE, Content::Nothing, NONE),
    route(GET, "api/_private/integrations/{integration}/errors", Op::IntegrationErrors, INTEGRATIONS, Content::Nothing, NONE),
    route(GET, "api/_private/integrations/{integration}/appliance-config", Op::IntegrationConfig, INTEGRATIONS, Content::Nothing, NONE),
    route(PUT, "api/_private/validate-exchange-credentials", Op::ValidateExchange, Need::Token, Content::Json, NONE),

    route(GET, "api/_private/mail-outbox", Op::ListMails, TENANT_ADMIN, Content::Nothing, &["limit", "before"]),
    route(DELETE, "api/_private/mail-outbox/{mail}", Op::DeleteMail, TENANT_ADMIN, Content::Nothing, NONE),
    route(POST, "api/_private/users/{user}/welcome-email", Op::WelcomeEmail, TENANT_ADMIN, Content::Json, NONE),

    route(GET, "api/v1/datasets", Op::ListDatasets, Need::Token, Content::Nothing, NONE),
    route(GET, "api/v1/datasets/{project}", Op::ListDatasets, DATASETS, Content::Nothing, NONE),
    route(GET, "api/v1/datasets/{dataset}", Op::GetDataset, DATASETS, Content::Nothing, NONE),
    route(PUT, "api/v1/datasets/{dataset}", Op::CreateDataset, DATASETS_ADMIN, Content::Json, NONE),
    route(POST, "api/v1/datasets/{dataset}", Op::UpdateDataset, DATASETS_ADMIN, Content::Json, NONE),
    route(DELETE, "api/v1/datasets/{dataset}", Op::DeleteDataset, DATASETS_ADMIN, Content::Nothing, NONE),
    route(POST, "api/_private/datasets/{dataset}/statistics", Op::DatasetStatistics, DATASETS, Content::Json, NONE),
    route(POST, "api/_private/datasets/{dataset}/query", Op::QueryDataset, DATASETS, Content::Json, NONE),
    route(POST, "api/_private/datasets/{dataset}/recent", Op::QueryDataset, DATASETS, Content::Json, NONE),
    route(POST, "api/_private/datasets/{dataset}/summary", Op::SummarizeDataset, DATASETS, Content::Json, NONE),
    route(POST, "api/_private/datasets/{dataset}/labellers", Op::ListModels, DATASETS, Content::Json, NONE),
    route(GET, "api/_private/datasets/{dataset}/labellers/{version}/validation", Op::GetValidation, DATASETS, Content::Nothing, NONE),
    route(POST, "api/_private/datasets/{dataset}/labellers/{version}/label-validation", Op::AskModel, DATASETS, Content::Json, NONE),
    route(POST, "api/v1/datasets/{dataset}/labellers/{version}/predict-comments", Op::AskModel, DATASETS, Content::Json, NONE),
    route(PUT, "api/_private/datasets/{dataset}/labels/{group}", Op::PutLabels, DATASETS_ADMIN, Content::Json, NONE),
    route(GET, "api/_private/datasets/{dataset}/labellings", Op::ListAnnotations, DATASETS, Content::Nothing, &["id", "source_id", "return_predictions", "after", "limit"]),
    route(POST, "api/_private/datasets/{dataset}/labellings/{comment}", Op::Annotate, REVIEW, Content::Json, NONE),

    route(GET, "api/v1/datasets/{dataset}/streams", Op::ListStreams, STREAMS, Content::Nothing, NONE),
    route(PUT, "api/v1/datasets/{dataset}/streams", Op::PutStream, STREAM_WRITE, Content::Json, NONE),
    route(GET, "api/v1/datasets/{dataset}/streams/{stream}", Op::GetStream, STREAMS, Content::Nothing, NONE),
    route(DELETE, "api/v1/datasets/{dataset}/streams/{stream}", Op::DeleteStream, STREAM_WRITE, Content::Nothing, NONE),
    route(POST, "api/v1/datasets/{dataset}/streams/{stream}/fetch", Op::FetchStream, CONSUME, Content::Json, NONE),
    route(POST, "api/v1/datasets/{dataset}/streams/{stream}/advance", Op::AdvanceStream, CONSUME, Content::Json, NONE),
    route(POST, "api/v1/datasets/{dataset}/streams/{stream}/reset", Op::ResetStream, CONSUME, Content::Json, NONE),
    route(PUT, "api/v1/datasets/{dataset}/streams/{stream}/exceptions", Op::StreamExceptions, CONSUME, Content::Json, NONE),
    route(GET, "api/v1/datasets/{dataset}/streams/{stream}/results", Op::StreamResults, CONSUME, Content::Nothing, &["max_results"]),
    // For the web UI.
    route(GET, "api/_private/buckets/{bucket}/volume", Op::BucketVolume, READ, Content::Nothing, &["interval", "from", "to"]),
];

/// Every route as `METHOD /path`.
pub fn routes() -> impl Iterator<Item = String> {
    ROUTES.iter().map(|route| format!("{} /{}", route.method, route.path))
}

/// A bucket or a source, as a path names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BucketName {
    Id(String),
    Full { owner: String, name: String },
}

impl std::fmt::Display for BucketName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(formatter, "id:{id}"),
            Self::Full { owner, name } => write!(formatter, "{owner}/{name}"),
        }
    }
}

/// An integration or a dataset, as a path names it: in the same ways as a bucket.
pub(crate) use BucketName as ItemName;

/// What the path of a request names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) bucket: Option<BucketName>,
    pub(crate) source: Option<BucketName>,
    /// The attachment that the path refers to.
    pub(crate) attachment: Option<String>,
    pub(crate) project: Option<String>,
    /// The integration or the dataset.
    pub(crate) item: Option<ItemName>,
    /// The other parts in their order.
    pub(crate) others: Vec<String>,
}

impl Named {
    pub(crate) fn other(&self, place: usize) -> &str {
        self.others.get(place).map(String::as_str).unwrap_or_default()
    }
}

/// The parts of a path, decoded. Slashes that follow one another are one.
fn parts(path: &str) -> Vec<String> {
    let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    path.split('/').filter(|part| !part.is_empty()).map(decode).collect()
}

/// Finds the route; the refusal is 404 for an unknown path and 405 for a wrong method.
pub(crate) fn find(
    method: &Method,
    path: &str,
    base: &str,
) -> Result<(&'static Route, Named), Refusal> {
    let parts = parts(path);
    let rest = self::parts(base).iter().try_fold(parts.as_slice(), |rest, own| {
        rest.split_first().filter(|(first, _)| *first == own).map(|(_, rest)| rest)
    });
    let nowhere = || Refusal::not_found(format_args!("the path `{path}`"));
    // No name has this character, and not every database can look for it.
    let rest = rest.filter(|_| !parts.iter().any(|part| part.contains('\0')));
    let rest = rest.ok_or_else(nowhere)?;
    let mut known = Vec::new();
    for route in ROUTES {
        let Some(named) = matches(route.path, rest) else { continue };
        if route.method == *method {
            return Ok((route, named));
        }
        known.push(route.method.as_str());
    }
    if !known.is_empty() {
        let message = format!("this path does not know the method {method}");
        let refusal = Refusal::new(hyper::StatusCode::METHOD_NOT_ALLOWED, message);
        known.dedup();
        return Err(Refusal { allow: Some(known.join(", ")), ..refusal });
    }
    Err(nowhere())
}

fn matches(pattern: &str, mut parts: &[String]) -> Option<Named> {
    let mut named = Named::default();
    for wanted in pattern.split('/') {
        let (part, rest) = parts.split_first()?;
        parts = rest;
        match wanted {
            "{bucket}" => {
                let (bucket, rest) = bucket(part, rest)?;
                named.bucket = Some(bucket);
                parts = rest;
            }
            "{integration}" | "{dataset}" => {
                let (item, rest) = bucket(part, rest)?;
                named.item = Some(item);
                parts = rest;
            }
            "{source}" => {
                let (source, rest) = bucket(part, rest)?;
                named.source = Some(source);
                parts = rest;
            }
            "{attachment}" => named.attachment = Some(part.clone()),
            "{project}" if !part.starts_with("id:") && !part.contains('/') => {
                named.project = Some(part.clone());
            }
            "{project}" => return None,
            _ if wanted.starts_with('{') => named.others.push(part.clone()),
            // Some clients encode a slash too many at the end.
            _ if part.trim_end_matches('/') == wanted => {}
            _ => return None,
        }
    }
    parts.is_empty().then_some(named)
}

/// A bucket is one part, `id:…` or `owner%2Fname`, or the two parts `owner/name`.
fn bucket<'a>(part: &str, rest: &'a [String]) -> Option<(BucketName, &'a [String])> {
    if let Some(id) = part.strip_prefix("id:") {
        return Some((BucketName::Id(id.to_owned()), rest));
    }
    let full = |owner: &str, name: &str| BucketName::Full {
        owner: owner.to_owned(),
        name: name.to_owned(),
    };
    if let Some((owner, name)) = part.split_once('/') {
        return (!owner.is_empty()).then(|| (full(owner, name), rest));
    }
    let (name, rest) = rest.split_first()?;
    Some((full(part, name), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn get(path: &str) -> (Op, Named) {
        let (route, named) = find(&Method::GET, path, "/org/reinfer_/").unwrap();
        (route.op, named)
    }

    #[test]
    fn one_encoded_part_two_parts_and_slashes_too_many_are_the_same() {
        let full = BucketName::Full { owner: "proj".into(), name: "bkt".into() };
        for path in [
            "/org/reinfer_/api/_private/buckets/proj%2Fbkt",
            "/org/reinfer_/api/_private/buckets/proj/bkt",
            "//org/reinfer_//api/_private/buckets/proj%2fbkt/",
        ] {
            let (op, named) = get(path);
            assert_eq!((op, named.bucket), (Op::GetBucket, Some(full.clone())), "{path}");
        }
        let (op, named) = get("/org/reinfer_/api/_private/buckets/id:00aa/keyed-sync-states%2F");
        assert_eq!(op, Op::ListKeyedSyncStates);
        assert_eq!(named.bucket, Some(BucketName::Id("00aa".into())));
        let (op, named) = get("/org/reinfer_/api/_private/buckets/proj");
        assert_eq!((op, named.project.as_deref()), (Op::ListBuckets, Some("proj")));
    }

    #[test]
    fn a_part_keeps_the_slashes_that_it_encodes() {
        let path = "/api/_private/buckets/id:0a/emails/%3Ca%2Fb%40x%3E/attachments/3";
        let (route, named) = find(&Method::PUT, path, "").unwrap();
        assert_eq!(
            (route.op, named.others),
            (Op::PutAttachment, vec!["<a/b@x>".into(), "3".into()])
        );
    }

    #[test]
    fn unknown_paths_and_methods_are_told_apart() {
        let status = |method, path| find(&method, path, "").err().unwrap().status;
        assert_eq!(status(Method::GET, "/api/_private/nothing"), 404);
        assert_eq!(status(Method::PATCH, "/auth/user"), 405);
        assert!(find(&Method::GET, "/auth/user", "/org").is_err());
    }
}
