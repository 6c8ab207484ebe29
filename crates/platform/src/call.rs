//! A request that was let in, and which code does what it asks.

use std::sync::Arc;

use store::{Bucket, Integration, Project, Session, User};

use crate::{
    access::{Caller, Target},
    audit, buckets, configs, emails, integrations, mail, projects, quotas,
    refusal::Refusal,
    reply::Reply,
    request::{Head, Payload},
    routes::{Named, Op, Route},
    server::Shared,
    states, users,
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

    /// The bucket as it is in the transaction that is about to change it.
    pub(crate) async fn bucket_again(&self, session: &mut Session) -> Result<Bucket, Refusal> {
        let bucket = self.bucket()?;
        let full_name = format!("{}/{}", bucket.owner, bucket.name);
        let missing = || Refusal::not_found(format_args!("the bucket `{full_name}`"));
        session.bucket_by_id(&bucket.id).await?.ok_or_else(missing)
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
        Op::GetSyncState => states::get(call).await,
        Op::PutSyncState => states::put(call, payload).await,
        Op::ListKeyedSyncStates => states::list_keyed(call).await,
        Op::GetKeyedSyncState => states::get_keyed(call).await,
        Op::PutKeyedSyncState => states::put_keyed(call, payload).await,
        Op::DeleteKeyedSyncState => states::delete_keyed(call).await,
        Op::KeyedSyncStateIds => states::keys(call, payload).await,
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
    }
}
