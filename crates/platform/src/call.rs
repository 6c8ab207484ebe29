//! A request that was let in, and which code does what it asks.

use std::sync::Arc;

use store::{Bucket, Dataset, Integration, Project, Session, Source, User};

use crate::{
    access::{Caller, Target},
    account, audit, buckets, comment_files, comment_pages, comments, configs, conversion,
    csv_upload, datasets, emails, integrations, mail, original, own_tokens, projects, quotas,
    refusal::Refusal,
    reply::Reply,
    request::{Head, Payload},
    roles,
    routes::{Named, Op, Route},
    search, search_volume,
    server::Shared,
    sources, states, user_access, users, volume,
};

pub(crate) struct Call<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) route: &'static Route,
    pub(crate) named: &'a Named,
    pub(crate) head: &'a Head,
    pub(crate) caller: &'a Caller,
    pub(crate) target: Target,
}

impl Call<'_> {
    pub(crate) fn bucket(&self) -> Result<&Bucket, Refusal> {
        self.target.bucket.as_ref().ok_or_else(|| Refusal::invalid("the path names no bucket"))
    }

    pub(crate) fn project(&self) -> Result<&Project, Refusal> {
        self.target.project.as_ref().ok_or_else(|| Refusal::invalid("the path names no project"))
    }

    pub(crate) fn user(&self) -> Result<&User, Refusal> {
        self.target.user.as_ref().ok_or_else(|| Refusal::invalid("the path names no user"))
    }

    pub(crate) fn source(&self) -> Result<&Source, Refusal> {
        self.target.source.as_ref().ok_or_else(|| Refusal::invalid("the path names no source"))
    }

    /// The source as it is in the transaction that is about to change it.
    pub(crate) async fn source_again(&self, session: &mut Session) -> Result<Source, Refusal> {
        let source = self.source()?;
        let full_name = format!("{}/{}", source.owner, source.name);
        let missing = || Refusal::not_found(format_args!("the source `{full_name}`"));
        session.source_by_id(&source.id).await?.ok_or_else(missing)
    }

    /// The bucket as it is in the transaction that is about to change it.
    pub(crate) async fn bucket_again(&self, session: &mut Session) -> Result<Bucket, Refusal> {
        let bucket = self.bucket()?;
        let full_name = format!("{}/{}", bucket.owner, bucket.name);
        let missing = || Refusal::not_found(format_args!("the bucket `{full_name}`"));
        session.bucket_by_id(&bucket.id).await?.ok_or_else(missing)
    }

    pub(crate) fn dataset(&self) -> Result<&Dataset, Refusal> {
        self.target.dataset.as_ref().ok_or_else(|| Refusal::invalid("the path names no dataset"))
    }

    /// The dataset as it is in this transaction.
    pub(crate) async fn dataset_again(&self, session: &mut Session) -> Result<Dataset, Refusal> {
        let own = self.dataset()?;
        let full_name = format!("{}/{}", own.owner, own.name);
        let missing = || Refusal::not_found(format_args!("the dataset `{full_name}`"));
        session.dataset_by_id(&own.id).await?.ok_or_else(missing)
    }

    pub(crate) fn integration(&self) -> Result<&Integration, Refusal> {
        let named = self.target.integration.as_ref();
        named.ok_or_else(|| Refusal::invalid("the path names no integration"))
    }

    /// The integration as it is in the transaction that is about to change it.
    pub(crate) async fn integration_again(
        &self,
        session: &mut Session,
    ) -> Result<Integration, Refusal> {
        let own = self.integration()?;
        let full_name = format!("{}/{}", own.owner, own.name);
        let missing = || Refusal::not_found(format_args!("the integration `{full_name}`"));
        session.integration_by_id(&own.id).await?.ok_or_else(missing)
    }

    /// The project as it is in the transaction that is about to change it.
    pub(crate) async fn project_again(&self, session: &mut Session) -> Result<Project, Refusal> {
        let name = &self.project()?.name;
        let missing = || Refusal::not_found(format_args!("the project `{name}`"));
        session.project(name).await?.ok_or_else(missing)
    }
}

/// Does what the request asks.
pub(crate) async fn perform(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    match call.route.op {
        Op::CurrentUser => users::current(call),
        Op::RefreshPermissions => users::refresh(payload),
        Op::ListProjects | Op::ListProjectNames => projects::list(call).await,
        Op::GetProject => projects::get(call),
        Op::CreateProject => projects::create(call, payload).await,
        Op::UpdateProject => projects::update(call, payload).await,
        Op::DeleteProject => projects::delete(call).await,
        Op::CountResources => projects::count(call).await,
        Op::ListBuckets => buckets::list(call).await,
        Op::GetBucket => buckets::get(call),
        Op::CreateBucket => buckets::create(call, payload).await,
        Op::UpdateBucket => buckets::update(call, payload).await,
        Op::DeleteBucket => buckets::delete(call).await,
        Op::BucketStatistics => buckets::statistics(call).await,
        Op::PutEmails => emails::put(call, payload).await,
        Op::ListEmails | Op::QueryEmails => emails::page(call, payload).await,
        Op::GetEmail => emails::one(call).await,
        Op::DeleteEmails => emails::delete(call).await,
        Op::PutAttachment => emails::put_attachment(call, payload).await,
        Op::GetOriginal => original::get(call).await,
        Op::GetOriginalHtml => original::html(call).await,
        Op::GetOriginalPart => original::part(call).await,
        Op::GetOriginalRaw => original::raw(call).await,
        Op::GetSyncState => states::get(call).await,
        Op::PutSyncState => states::put(call, payload).await,
        Op::ListKeyedSyncStates => states::list_keyed(call).await,
        Op::GetKeyedSyncState => states::get_keyed(call).await,
        Op::PutKeyedSyncState => states::put_keyed(call, payload).await,
        Op::DeleteKeyedSyncState => states::delete_keyed(call).await,
        Op::KeyedSyncStateIds => states::keys(call, payload).await,
        Op::ListSources => sources::list(call).await,
        Op::GetSource => sources::get(call),
        Op::CreateSource => sources::create(call, payload).await,
        Op::UpdateSource => sources::update(call, payload).await,
        Op::DeleteSource => sources::delete(call).await,
        Op::SourceStatistics => sources::statistics(call, payload).await,
        Op::ListThreads => comment_pages::threads(call).await,
        Op::ListTransformTags => Ok(sources::transform_tags()),
        Op::GetTransformTag => sources::transform_tag(call),
        Op::GetConversion => conversion::status(call).await,
        Op::RetryConversion => conversion::retry(call, payload).await,
        Op::PutComments => comments::put(call, payload).await,
        Op::SyncComments => comments::sync(call, payload).await,
        Op::SyncRawEmails => comments::sync_raw(call, payload).await,
        Op::SniffCsv => csv_upload::sniff(call, payload).await,
        Op::SyncCsv => csv_upload::sync(call, payload).await,
        Op::ListComments => comment_pages::page(call).await,
        Op::GetComment => comment_pages::one(call).await,
        Op::DeleteComments => comments::delete(call).await,
        Op::PutCommentAttachment => comment_files::put(call, payload).await,
        Op::PutAudio => comment_files::put_audio(call, payload).await,
        Op::GetAudio => comment_files::audio(call).await,
        Op::GetAttachment => comment_files::get(call).await,
        Op::GetConfig => configs::get(call).await,
        Op::PutConfig => configs::put(call, payload).await,
        Op::ListUsers | Op::ListUserNames => users::list(call).await,
        Op::GetUser => users::get(call),
        Op::CreateUser => users::create(call, payload).await,
        Op::UpdateUser => users::update(call, payload).await,
        Op::DeleteUser => users::delete(call).await,
        Op::QueryAuditEvents => audit::query(call, payload).await,
        Op::ListQuotas => quotas::list(call).await,
        Op::SetQuota => quotas::set(call, payload).await,

        Op::SignOut => account::sign_out(call, payload).await,
        Op::GetAccount => account::get(call).await,
        Op::ChangePassword => account::change_password(call, payload).await,
        Op::ListSessions => account::list_sessions(call).await,
        Op::EndSessions => account::end_sessions(call).await,
        Op::EndSession => account::end_session(call).await,
        Op::ListTokens => own_tokens::list(call).await,
        Op::CreateToken => own_tokens::create(call, payload).await,
        Op::RevokeToken => own_tokens::revoke(call).await,
        Op::ListRoles => Ok(roles::list()),
        Op::MakeLink => user_access::make_link(call, payload).await,
        Op::RevokeAccess => user_access::revoke(call, payload).await,
        // `public` has these, for whoever comes.
        Op::SignInOptions
        | Op::SignIn
        | Op::InspectLink
        | Op::UseLink
        | Op::StartOidc
        | Op::FinishOidc
        | Op::SignedOutOidc => Err(Refusal::invalid("this path is for those who come in")),
        Op::Search => search::search(call, payload).await,
        Op::SearchVolume => search_volume::volume(call, payload).await,
        Op::GetThread => comment_pages::thread(call).await,
        Op::ListConfigs => configs::list(call).await,
        Op::ListConfigVersions => configs::versions(call).await,
        Op::GetConfigVersion => configs::version(call).await,
        Op::ListIntegrations => integrations::list(call).await,
        Op::GetIntegration => integrations::get(call),
        Op::CreateIntegration => integrations::create(call, payload).await,
        Op::UpdateIntegration => integrations::update(call, payload).await,
        Op::DeleteIntegration => integrations::delete(call).await,
        Op::IntegrationErrors => integrations::errors(call).await,
        Op::IntegrationConfig => integrations::appliance_config(call),
        Op::ValidateExchange => integrations::validate(call, payload).await,
        Op::ListMails => mail::list(call).await,
        Op::DeleteMail => mail::delete(call).await,
        Op::WelcomeEmail => mail::send_welcome(call, payload).await,
        Op::ListDatasets => datasets::list(call).await,
        Op::GetDataset => datasets::get(call),
        Op::CreateDataset => datasets::create(call, payload).await,
        Op::UpdateDataset => datasets::update(call, payload).await,
        Op::DeleteDataset => datasets::delete(call).await,
        Op::DatasetStatistics => datasets::statistics(call, payload).await,
        Op::QueryDataset => datasets::query(call, payload).await,
        Op::SummarizeDataset => datasets::summary(call, payload).await,
        Op::ListModels => datasets::models(call, payload),
        Op::GetValidation | Op::AskModel => datasets::no_model(call),
        Op::PutLabels => datasets::put_labels(call, payload).await,
        Op::ListAnnotations => datasets::annotations(call).await,
        Op::Annotate => datasets::annotate(call, payload).await,
        Op::ListStreams => datasets::list_streams(call).await,
        Op::PutStream => datasets::put_stream(call, payload).await,
        Op::GetStream => datasets::get_stream(call).await,
        Op::DeleteStream => datasets::delete_stream(call).await,
        Op::FetchStream => datasets::fetch(call, payload).await,
        Op::AdvanceStream => datasets::advance(call, payload).await,
        Op::ResetStream => datasets::reset(call, payload).await,
        Op::StreamExceptions => datasets::exceptions(call, payload).await,
        Op::StreamResults => datasets::results(call).await,
        // For the web UI.
        Op::BucketVolume => volume::of_bucket(call).await,
    }
}
