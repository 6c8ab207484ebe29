//! Who asks, and whether they may. What somebody may not know about looks as if it were not there.
//!
//! The session of a browser is worth what a token of its user is, once `cross_site` has let the
//! request pass.
//!
//! | The token or session | Answer |
//! |---|---|
//! | missing, unknown, expired, revoked | 401, whatever the path |
//! | worth nothing in the project | 404, as if there were no such thing |
//! | worth something there, but not this | 403, which names the permission |

use std::{collections::BTreeSet, net::IpAddr};

use hyper::{StatusCode, header::AUTHORIZATION};
use record::Secret;
use store::{Actor, Bucket, Dataset, Grant, Integration, Project, Session, Source, User};

use crate::{
    cookies::Cookie,
    cross_site,
    permissions::{PROJECTS_ADMIN, ROOT, TENANT_USERS_READ, gives, project},
    refusal::Refusal,
    request::Head,
    routes::{BucketName, ItemName, Named, Need, Op, Route},
    server::Shared,
};

/// Longest text that is looked at as a token.
const MAX_TOKEN: usize = 1024;

/// Whoever sent a request.
pub(crate) struct Caller {
    pub(crate) grant: Grant,
    pub(crate) actor: Actor,
    pub(crate) address: IpAddr,
}

/// A user as somebody who acts.
pub(crate) fn actor(user: &User, address: IpAddr) -> Actor {
    Actor {
        user_id: user.id.clone(),
        username: user.username.clone(),
        email: user.email.clone(),
        address: address.to_string(),
    }
}

/// What the path of a request leads to, as far as it is there.
#[derive(Default)]
pub(crate) struct Target {
    pub(crate) project: Option<Project>,
    pub(crate) bucket: Option<Bucket>,
    pub(crate) integration: Option<Integration>,
    pub(crate) dataset: Option<Dataset>,
    pub(crate) source: Option<Source>,
    pub(crate) user: Option<User>,
}

impl Caller {
    /// Finds out who asks: by the token, or else by the session.
    pub(crate) async fn sign_in(
        shared: &Shared,
        session: &mut Session,
        head: &Head,
        address: IpAddr,
    ) -> Result<Self, Refusal> {
        let refused = |message: &str| Refusal::new(StatusCode::UNAUTHORIZED, message);
        let headers = &head.parts.headers;
        let grant = if let Some(header) = headers.get(AUTHORIZATION) {
            let header = header.to_str().unwrap_or_default();
            let token = header.split_once(' ');
            let token = token.filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
            let (_, token) =
                token.ok_or_else(|| refused("`Authorization` must be `Bearer <token>`"))?;
            let token = Secret::from(token.trim());
            let grant =
                if token.reveal().len() > MAX_TOKEN { None } else { session.grant(&token).await? };
            grant.ok_or_else(|| refused("the token is not valid"))?
        } else {
            let cookie = Cookie::Session.find(&shared.site, headers);
            let cookie = cookie.ok_or_else(|| refused("the request carries no token"))?;
            let cookie = Secret::from(cookie);
            let grant = session.grant_of_session(&cookie, shared.people.session_idle).await?;
            let grant = grant.ok_or_else(|| refused("the session has ended"))?;
            cross_site::check(&shared.site, &head.parts.method, headers)?;
            grant
        };
        let actor = actor(&grant.user, address);
        Ok(Self { grant, actor, address })
    }

    fn allows(&self, permission: &str) -> bool {
        self.grant.permissions.as_ref().is_none_or(|own| gives(own, permission))
    }

    /// What the user may do everywhere: what people gave, and what groups give.
    fn everywhere(&self) -> [&BTreeSet<String>; 2] {
        [&self.grant.user.global, &self.grant.user.group_global]
    }

    /// The same in the project of that name.
    fn within(&self, project: &str) -> impl Iterator<Item = &BTreeSet<String>> {
        let user = &self.grant.user;
        user.projects.get(project).into_iter().chain(user.group_projects.get(project))
    }

    /// Whether the credential is worth everything that its user may do.
    pub(crate) fn is_whole(&self) -> bool {
        self.grant.permissions.is_none() && self.grant.project.is_none()
    }

    fn is_root(&self) -> bool {
        self.grant.user.global.contains(ROOT)
    }

    /// Whether the token is worth that permission everywhere.
    pub(crate) fn may_everywhere(&self, permission: &str) -> bool {
        let has = self.is_root() || self.everywhere().iter().any(|own| gives(own, permission));
        has && self.grant.project.is_none() && self.allows(permission)
    }

    /// Whether the token is worth anything in the project of that name.
    pub(crate) fn is_member(&self, project: &str) -> bool {
        self.grant.project.as_ref().is_none_or(|only| only == project)
            && (self.is_root() || self.within(project).next().is_some())
    }

    /// Whether the token is worth that permission in the project of that name.
    pub(crate) fn may(&self, project: &str, permission: &str) -> bool {
        // What the official client calls streams, the description calls triggers.
        let other = permission.strip_prefix("streams-").map(|rest| format!("triggers-{rest}"));
        self.is_member(project)
            && (self.is_root()
                || self.within(project).any(|own| {
                    gives(own, permission)
                        || other.as_deref().is_some_and(|other| gives(own, other))
                }))
            && self.allows(permission)
    }

    /// Whether the token is worth that permission in any project.
    pub(crate) fn may_somewhere(&self, permission: &str) -> bool {
        let user = &self.grant.user;
        let own = user.projects.keys().chain(user.group_projects.keys());
        own.chain(&self.grant.project).any(|name| self.may(name, permission))
    }

    /// Whether the project of that name is to be seen.
    pub(crate) fn sees_project(&self, name: &str) -> bool {
        self.is_member(name) || self.may_everywhere(PROJECTS_ADMIN)
    }

    /// Whether that user is to be seen: whoever asks, and members of the same projects.
    pub(crate) fn sees_user(&self, user: &User) -> bool {
        user.id == self.grant.user.id
            || self.may_everywhere(TENANT_USERS_READ)
            || user
                .projects
                .keys()
                .chain(user.group_projects.keys())
                .any(|name| self.may(name, project::USERS_READ))
    }

    /// Lets a request in, and tells what its path leads to.
    pub(crate) async fn enter(
        &self,
        session: &mut Session,
        route: &Route,
        named: &Named,
    ) -> Result<Target, Refusal> {
        let permission = match route.need {
            Need::Public | Need::Token => return Ok(Target::default()),
            Need::Global(permission) => {
                if self.may_everywhere(permission) {
                    return Ok(Target::default());
                }
                return Err(Refusal::forbidden(permission));
            }
            Need::User => return self.enter_user(session, named).await,
            Need::Member | Need::ManageProject => None,
            Need::Project(permission) => Some(permission),
        };
        if let Some(name) = &named.bucket {
            return self.enter_bucket(session, route.op, name, permission).await;
        }
        if let Some(name) = &named.item {
            // Every such route names a permission; one that does not is for administrators.
            let permission = permission.unwrap_or("role-cm-project-admin");
            return self.enter_item(session, route, name, permission).await;
        }
        if named.source.is_some() || named.attachment.is_some() {
            return self.enter_source(session, route.op, named, permission).await;
        }
        let name = named.project.as_deref().unwrap_or_default();
        let missing = || Refusal::not_found(format_args!("the project `{name}`"));
        if !self.sees_project(name) || permission.is_some() && !self.is_member(name) {
            return Err(missing());
        }
        let refused = match (route.need, permission) {
            (_, Some(permission)) => Some(permission).filter(|name_of| !self.may(name, name_of)),
            (Need::ManageProject, None) => {
                Some(PROJECTS_ADMIN).filter(|name| !self.may_everywhere(name))
            }
            _ => None,
        };
        if let Some(permission) = refused {
            return Err(Refusal::forbidden(permission));
        }
        let project = session.project(name).await?.ok_or_else(missing)?;
        Ok(Target { project: Some(project), ..Target::default() })
    }

    async fn enter_bucket(
        &self,
        session: &mut Session,
        op: Op,
        name: &BucketName,
        permission: Option<&'static str>,
    ) -> Result<Target, Refusal> {
        let missing = || Refusal::not_found(format_args!("the bucket `{name}`"));
        let permission = permission.unwrap_or(project::BUCKETS_READ);
        let (owner, bucket) = match name {
            BucketName::Id(id) => {
                let bucket = session.bucket_by_id(id).await?.ok_or_else(missing)?;
                (bucket.owner.clone(), Some(bucket))
            }
            BucketName::Full { owner, name } => (owner.clone(), session.bucket(owner, name).await?),
        };
        let makes = op == Op::CreateBucket;
        if !self.is_member(&owner) {
            // Whoever makes one learns what is missing for it.
            let no_project = || Refusal::not_found(format_args!("the project `{owner}`"));
            return Err(if makes { no_project() } else { missing() });
        }
        if !self.may(&owner, permission) {
            return Err(Refusal::forbidden(permission));
        }
        if !makes {
            let bucket = Some(bucket.ok_or_else(missing)?);
            return Ok(Target { bucket, ..Target::default() });
        }
        let no_project = || Refusal::not_found(format_args!("the project `{owner}`"));
        let project = Some(session.project(&owner).await?.ok_or_else(no_project)?);
        Ok(Target { project, bucket, ..Target::default() })
    }

    /// As with a bucket: an integration or a dataset.
    async fn enter_item(
        &self,
        session: &mut Session,
        route: &Route,
        name: &ItemName,
        permission: &'static str,
    ) -> Result<Target, Refusal> {
        let (is_dataset, makes) = match route.op {
            Op::CreateIntegration => (false, true),
            Op::CreateDataset => (true, true),
            _ => (route.path.contains("{dataset}"), false),
        };
        let what = if is_dataset { "dataset" } else { "integration" };
        let missing = || Refusal::not_found(format_args!("the {what} `{name}`"));
        let mut target = Target::default();
        match (is_dataset, name) {
            (false, ItemName::Id(id)) => target.integration = session.integration_by_id(id).await?,
            (false, ItemName::Full { owner, name }) => {
                target.integration = session.integration(owner, name).await?;
            }
            (true, ItemName::Id(id)) => target.dataset = session.dataset_by_id(id).await?,
            (true, ItemName::Full { owner, name }) => {
                target.dataset = session.dataset(owner, name).await?;
            }
        }
        let found = target.integration.as_ref().map(|own| &own.owner);
        let found = found.or(target.dataset.as_ref().map(|own| &own.owner));
        let owner = match name {
            ItemName::Id(_) => found.ok_or_else(missing)?.clone(),
            ItemName::Full { owner, .. } => owner.clone(),
        };
        let no_project = || Refusal::not_found(format_args!("the project `{owner}`"));
        if !self.is_member(&owner) {
            return Err(if makes { no_project() } else { missing() });
        }
        if !self.may(&owner, permission) {
            return Err(Refusal::forbidden(permission));
        }
        if makes {
            target.project = Some(session.project(&owner).await?.ok_or_else(no_project)?);
        } else if target.integration.is_none() && target.dataset.is_none() {
            return Err(missing());
        }
        Ok(target)
    }

    /// The same for sources, which attachments lead to as well.
    async fn enter_source(
        &self,
        session: &mut Session,
        op: Op,
        named: &Named,
        permission: Option<&'static str>,
    ) -> Result<Target, Refusal> {
        let permission = permission.unwrap_or(project::SOURCES_READ);
        if let Some(reference) = &named.attachment {
            let missing = || Refusal::not_found(format_args!("the attachment `{reference}`"));
            let source = reference.split('-').next().unwrap_or_default();
            let source = session.source_by_id(source).await?.ok_or_else(missing)?;
            if !self.is_member(&source.owner) {
                return Err(missing());
            }
            if !self.may(&source.owner, permission) {
                return Err(Refusal::forbidden(permission));
            }
            return Ok(Target { source: Some(source), ..Target::default() });
        }
        let Some(name) = &named.source else {
            return Err(Refusal::invalid("the path names no source"));
        };
        let missing = || Refusal::not_found(format_args!("the source `{name}`"));
        let (owner, source) = match name {
            BucketName::Id(id) => {
                let source = session.source_by_id(id).await?.ok_or_else(missing)?;
                (source.owner.clone(), Some(source))
            }
            BucketName::Full { owner, name } => (owner.clone(), session.source(owner, name).await?),
        };
        let makes = op == Op::CreateSource;
        let no_project = || Refusal::not_found(format_args!("the project `{owner}`"));
        if !self.is_member(&owner) {
            return Err(if makes { no_project() } else { missing() });
        }
        if !self.may(&owner, permission) {
            return Err(Refusal::forbidden(permission));
        }
        if !makes {
            let source = Some(source.ok_or_else(missing)?);
            return Ok(Target { source, ..Target::default() });
        }
        let project = Some(session.project(&owner).await?.ok_or_else(no_project)?);
        Ok(Target { project, source, ..Target::default() })
    }

    async fn enter_user(&self, session: &mut Session, named: &Named) -> Result<Target, Refusal> {
        let id = named.other(0);
        let user = session.user(id).await?.filter(|user| self.sees_user(user));
        let missing = || Refusal::not_found(format_args!("the user `{id}`"));
        Ok(Target { user: Some(user.ok_or_else(missing)?), ..Target::default() })
    }
}
