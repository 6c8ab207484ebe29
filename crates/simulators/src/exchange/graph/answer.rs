//! From one request, alone or out of a batch, to what is answered.

use hyper::{HeaderMap, Method};
use serde_json::{Map, Value};

use super::{
    super::{
        content::Content, fault::Fault, folder::Folder, item::Item, log::Op, mailbox::Mailbox,
        options::Rights, server::Shared, world::World,
    },
    collections, delta,
    error::Refusal,
    fault,
    id::Known,
    query::{Prefer, Query, Shape},
    render::{self, is_mail_folder},
    route::{Resource, Route},
    throttle::{Exceeded, Slot},
    translate,
};

/// The names by which folders can be asked for ("mailFolder resource type").
const WELL_KNOWN: &[&str] = &[
    "archive",
    "clutter",
    "conflicts",
    "conversationhistory",
    "deleteditems",
    "drafts",
    "inbox",
    "junkemail",
    "localfailures",
    "msgfolderroot",
    "outbox",
    "recoverableitemsdeletions",
    "scheduled",
    "searchfolders",
    "sentitems",
    "serverfailures",
    "syncissues",
];

/// The app that asks.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) app: String,
    pub(super) rights: Rights,
    pub(super) roles: Vec<String>,
}

impl Caller {
    fn has(&self, roles: &[&str]) -> bool {
        self.roles.iter().any(|role| roles.contains(&role.as_str()))
    }

    fn reads_mail(&self) -> bool {
        self.has(&["Mail.Read", "Mail.ReadWrite"])
    }
}

/// A request, alone or out of a batch.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    /// Below `/v1.0`, as it came.
    pub(super) path: String,
    /// As it came.
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: bytes::Bytes,
    /// Scheme, host and port of the links in answers.
    pub(super) origin: String,
}

/// A request that was let in, or was not.
pub(super) struct Admitted {
    pub(super) op: Op,
    /// Address of the mailbox, if the path names one.
    pub(super) mailbox: Option<String>,
    route: Result<Route, Refusal>,
    /// The slot that it takes, if it is about a mailbox.
    pub(super) slot: Option<Result<Slot, Exceeded>>,
}

/// What a request gets when all goes well.
pub(super) enum Answer {
    /// With the faults that concern its texts.
    Json(Value, Vec<Fault>),
    Content(Content),
}

/// What is done about a request, before it becomes a response or a part of one.
pub(super) struct Done {
    /// What strikes the request as a whole.
    pub(super) struck: Vec<Fault>,
    pub(super) outcome: Result<Answer, Refusal>,
    pub(super) applied: Vec<String>,
}

/// Reads the path and takes a slot.
pub(super) fn admit(shared: &Shared, caller: &Caller, request: &Request) -> Admitted {
    let route = Route::read(&request.method, &request.path);
    let Ok(known) = &route else {
        return Admitted { op: Op::Other, mailbox: None, route, slot: None };
    };
    let address = known.user.to_ascii_lowercase();
    let slot = shared.throttle.enter(&caller.app, &address);
    Admitted { op: known.resource.op(), mailbox: Some(address), route, slot: Some(slot) }
}

/// Does what a request asks for.
pub(super) fn complete(
    shared: &Shared,
    caller: &Caller,
    request: &Request,
    admitted: &Admitted,
) -> Done {
    let refused = |refusal| Done { struck: Vec::new(), outcome: Err(refusal), applied: Vec::new() };
    let (route, address) = match (&admitted.route, &admitted.mailbox) {
        (Ok(route), Some(address)) => (route, address),
        (Err(refusal), _) => return refused(refusal.clone()),
        (Ok(_), None) => return refused(Refusal::item_not_found()),
    };
    if let Some(Err(limit)) = admitted.slot {
        return refused(Refusal::throttled(limit, shared.options.graph.retry_after));
    }
    let world = shared.world();
    let mailbox = world.mailbox(address);
    let struck = fault::strike(shared, mailbox, admitted.op, address, route);
    if let Some(refusal) = fault::refusal(&struck) {
        return Done { struck, outcome: Err(refusal), applied: Vec::new() };
    }
    let prefer = Prefer::read(&request.headers);
    let applied = prefer.applied.clone();
    let outcome = check(caller, route, &world, mailbox, address).and_then(|mailbox| {
        let query = Query::read(&request.query)?;
        let basic = !caller.reads_mail();
        let call = Call {
            shared,
            mailbox,
            request,
            route,
            query: &query,
            prefer: &prefer,
            basic,
            op: admitted.op,
            struck: &struck,
        };
        call.perform()
    });
    Done { struck, outcome, applied }
}

/// Whether the app may do this, and whether the mailbox is there.
fn check<'a>(
    caller: &Caller,
    route: &Route,
    world: &World,
    mailbox: Option<&'a Mailbox>,
    address: &str,
) -> Result<&'a Mailbox, Refusal> {
    let denied = || Refusal::code(403, "ErrorAccessDenied");
    let allowed = match route.resource {
        Resource::TranslateIds => caller.has(&["User.Read.All", "User.ReadWrite.All"]),
        Resource::Value { .. } => caller.reads_mail(),
        _ => caller.reads_mail() || caller.has(&["Mail.ReadBasic", "Mail.ReadBasic.All"]),
    };
    if !allowed {
        return Err(denied());
    }
    let Some(mailbox) = mailbox else {
        let domain = |address: &str| address.rsplit_once('@').map(|(_, own)| own.to_owned());
        let own = domain(address);
        let is_ours = own.is_some() && world.addresses().iter().any(|each| domain(each) == own);
        return Err(match is_ours {
            true => {
                let text = format!("The requested user '{}' is invalid.", route.user);
                Refusal::new(404, "ErrorInvalidUser", text)
            }
            false => Refusal::code(404, "ResourceNotFound"),
        });
    };
    if !caller.rights.allow(&mailbox.address) {
        return Err(denied());
    }
    match mailbox.out_of_service.as_deref() {
        Some(code @ ("ErrorMailboxMoveInProgress" | "ErrorMailboxStoreUnavailable")) => {
            Err(Refusal::code(503, code))
        }
        Some(_) => Err(Refusal::code(404, "MailboxNotEnabledForRESTAPI")),
        None if !mailbox.in_cloud => Err(Refusal::code(404, "MailboxNotEnabledForRESTAPI")),
        None => Ok(mailbox),
    }
}

/// The folder of an id or a well-known name.
pub(super) fn find_folder<'a>(mailbox: &'a Mailbox, id: &str) -> Result<&'a Folder, Refusal> {
    if let Some(name) = WELL_KNOWN.iter().find(|name| name.eq_ignore_ascii_case(id)) {
        let no = mailbox.distinguished(name).ok_or_else(Refusal::item_not_found)?;
        return mailbox.folder(no).ok_or_else(Refusal::item_not_found);
    }
    match Known::decode(id) {
        Some(Known::Folder(guid, no)) => mailbox
            .folder(no)
            .filter(|folder| guid == mailbox.guid && is_mail_folder(folder))
            .ok_or_else(Refusal::item_not_found),
        Some(_) => Err(Refusal::code(400, "ErrorCannotUseItemIdForFolderId")),
        None => Err(Refusal::code(400, "ErrorInvalidIdMalformed")),
    }
}

/// A request that is being answered.
pub(super) struct Call<'a> {
    pub(super) shared: &'a Shared,
    pub(super) mailbox: &'a Mailbox,
    pub(super) request: &'a Request,
    pub(super) route: &'a Route,
    pub(super) query: &'a Query,
    pub(super) prefer: &'a Prefer,
    /// The app may not see bodies and extended properties.
    basic: bool,
    pub(super) op: Op,
    pub(super) struck: &'a [Fault],
}

impl<'a> Call<'a> {
    fn perform(&self) -> Result<Answer, Refusal> {
        let options = &self.shared.options.graph;
        let no_segment =
            |name: &str| Refusal::bad(format!("Resource not found for the segment '{name}'."));
        match &self.route.resource {
            Resource::FoldersDelta | Resource::MessagesDelta(_) if !options.delta => {
                Err(no_segment("delta"))
            }
            Resource::TranslateIds if !options.translate => Err(no_segment("translateExchangeIds")),
            Resource::Folders { below } => {
                let parent = self.folder(below.as_deref().unwrap_or("msgfolderroot"))?;
                collections::folders(self, parent)
            }
            Resource::FoldersDelta => delta::folders(self),
            Resource::Folder(id) => collections::folder(self, self.folder(id)?),
            Resource::Messages { folder } => {
                let folder = folder.as_deref().map(|id| self.folder(id)).transpose()?;
                collections::messages(self, folder)
            }
            Resource::MessagesDelta(id) => delta::messages(self, self.folder(id)?),
            Resource::Message { folder, id } => {
                collections::message(self, self.item(folder.as_deref(), id)?)
            }
            Resource::Value { folder, id } => {
                let item = self.item(folder.as_deref(), id)?;
                Ok(Answer::Content(item.delivery.content.clone()))
            }
            Resource::TranslateIds => translate::translate(self),
        }
    }

    fn folder(&self, id: &str) -> Result<&'a Folder, Refusal> {
        find_folder(self.mailbox, id)
    }

    fn item(&self, folder: Option<&str>, id: &str) -> Result<&'a Item, Refusal> {
        let folder = folder.map(|id| self.folder(id)).transpose()?;
        let known = Known::decode(id);
        let known = known.ok_or_else(|| Refusal::code(400, "ErrorInvalidIdMalformed"))?;
        let item = known.item(self.mailbox).ok_or_else(Refusal::item_not_found)?;
        let is_there = folder.is_none_or(|folder| folder.no == item.folder);
        if is_there && render::is_message(item) { Ok(item) } else { Err(Refusal::item_not_found()) }
    }

    /// The path of links of a delta query, as the documentation shows it.
    pub(super) fn delta_path(&self) -> String {
        let user = self.route.user.replace('\'', "''");
        match &self.route.resource {
            Resource::MessagesDelta(folder) => {
                format!("/users/{user}/mailFolders('{folder}')/messages/delta")
            }
            _ => format!("/users/{user}/mailFolders/delta"),
        }
    }

    /// Refuses extended properties to those who may see the basics only.
    pub(super) fn check_expand(&self, shape: &Shape) -> Result<(), Refusal> {
        match self.basic && !shape.expand.is_empty() {
            true => Err(Refusal::code(403, "ErrorAccessDenied")),
            false => Ok(()),
        }
    }

    pub(super) fn message(
        &self,
        item: &Item,
        shape: &Shape,
        faults: &[Fault],
    ) -> Map<String, Value> {
        render::message(self.mailbox, item, shape, self.prefer, self.basic, faults)
    }
}
