//! From the bytes of a request to the response, with the faults that strike on the way.

use std::time::Duration;

use hyper::{Response, StatusCode, header};
use roxmltree::{Document, Node};

use super::{
    auth::{self, SignedIn},
    fault::{Fault, Occasion, Shape},
    id::{Id, Target},
    log::Op,
    ops::{self, Call},
    options::REQUEST_VERSIONS,
    reply::{self, Reply, ReplyBody, Segment, Streamed, Trouble},
    server::{Connection, Envelope, Shared},
    soap::{self, Refusal},
    world::World,
    xml::{child, child_text, elements, name},
};

/// Replies with more text than this are sent in chunks.
const MAX_WHOLE: usize = 1024 * 1024;

/// A response, and what the log says about it.
pub(crate) struct Answer {
    /// `None`: the connection breaks without one.
    pub(crate) response: Option<Response<ReplyBody>>,
    pub(crate) op: Option<Op>,
    pub(crate) mailbox: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) asked: usize,
    pub(crate) user: Option<String>,
}

impl Answer {
    /// An answer to no operation.
    pub(crate) fn plain(response: Response<ReplyBody>) -> Self {
        let response = Some(response);
        Self { response, op: None, mailbox: None, code: None, asked: 0, user: None }
    }
}

/// An HTML page.
pub(crate) fn page(text: &str) -> Response<ReplyBody> {
    let html = format!(
        "<!DOCTYPE html><html><head><title>Outlook</title></head><body><p>{text}</p></body></html>"
    );
    let mut response = Response::new(html.into_bytes().into());
    content_type(&mut response, "text/html; charset=utf-8");
    response
}

fn content_type(response: &mut Response<ReplyBody>, kind: &'static str) {
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
}

fn status(status: u16, retry_after: Option<Duration>) -> Response<ReplyBody> {
    let mut response = Response::new(Vec::new().into());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(pause) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, pause.as_secs().into());
    }
    response
}

/// Answers a request for a token.
pub(crate) fn token(shared: &Shared, envelope: &Envelope) -> Answer {
    let occasion = Occasion { op: Op::Token, mailbox: None, items: &[], folders: &[] };
    let struck = shared.faults.strike_request(occasion);
    let response = match struck.first() {
        Some(Fault::DropConnection { .. }) => None,
        Some(Fault::Http { status: code, retry_after }) => Some(status(*code, *retry_after)),
        Some(Fault::Html200) => Some(page("Sign in to your account")),
        _ => Some(shared.authority.respond(envelope)),
    };
    Answer { op: Some(Op::Token), response, ..Answer::plain(status(200, None)) }
}

/// Answers a request for the document that names the token endpoint.
pub(crate) fn discovery(shared: &Shared) -> Answer {
    Answer::plain(shared.authority.discovery())
}

/// Answers a request to the service by somebody who is signed in.
pub(crate) fn answer(connection: &Connection, envelope: &Envelope, who: SignedIn) -> Answer {
    let shared = &connection.shared;
    let user = who.user.clone();
    let text = String::from_utf8_lossy(&envelope.body);
    let answer = match Document::parse(&text) {
        Ok(document) => match read(document.root_element()) {
            Some(request) => answer_request(connection, envelope, who, &request),
            None => {
                refused(shared, &Refusal::new("ErrorInvalidRequest", "The request is invalid."))
            }
        },
        Err(error) => {
            let text = format!("The request failed schema validation: {error}");
            refused(shared, &Refusal::new("ErrorSchemaValidation", text))
        }
    };
    Answer { user, ..answer }
}

fn refused(shared: &Shared, refusal: &Refusal) -> Answer {
    Answer {
        code: Some(refusal.code.clone()),
        ..Answer::plain(fault_response(soap::fault(refusal, Some(shared.options.version), None)))
    }
}

fn fault_response(xml: Vec<u8>) -> Response<ReplyBody> {
    let mut response = Response::new(xml.into());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    content_type(&mut response, "text/xml; charset=utf-8");
    response
}

/// A request, taken apart.
struct Request<'a> {
    op: Op,
    node: Node<'a, 'a>,
    version: Option<&'a str>,
    impersonated: Option<String>,
}

fn read<'a>(envelope: Node<'a, 'a>) -> Option<Request<'a>> {
    let node = child(envelope, "Body")?.first_element_child()?;
    let header = child(envelope, "Header");
    let version = header.and_then(|header| child(header, "RequestServerVersion"));
    let impersonated = header
        .and_then(|header| child(header, "ExchangeImpersonation"))
        .and_then(|header| child(header, "ConnectingSID"))
        .and_then(|sid| sid.first_element_child())
        .and_then(|address| address.text())
        .map(|address| address.trim().to_ascii_lowercase());
    Some(Request {
        op: name(node).parse().unwrap_or(Op::Other),
        node,
        version: version.and_then(|version| version.attribute("Version")),
        impersonated,
    })
}

fn answer_request(
    connection: &Connection,
    envelope: &Envelope,
    who: SignedIn,
    request: &Request<'_>,
) -> Answer {
    let shared = &connection.shared;
    let mut world = shared.world();
    let mailbox = request
        .impersonated
        .clone()
        .or_else(|| mailbox_of(&world, request.node))
        .or_else(|| who.access.own.clone());
    let struck = if shared.faults.is_empty() {
        Vec::new()
    } else {
        let items = names_of_items(&world, request.node);
        let folders = names_of_folders(&world, request.node);
        let op = request.op;
        let mailbox = mailbox.as_deref();
        let occasion = Occasion { op, mailbox, items: &items, folders: &folders };
        shared.faults.strike_request(occasion)
    };
    let mut answer = Answer {
        op: Some(request.op),
        mailbox,
        asked: ops::asked(request.node),
        ..Answer::plain(status(200, None))
    };
    if let Some((response, code)) = instead(connection, &struck) {
        answer.response = response;
        answer.code = code;
        return answer;
    }
    let mut call = Call {
        options: &shared.options,
        world: &mut world,
        faults: &shared.faults,
        op: request.op,
        access: who.access,
        version: None,
        struck,
        reply: Reply::default(),
        code: None,
    };
    let outcome = prepare(&mut call, request).and_then(|()| match message_error(&call.struck) {
        Some(refusal) => {
            call.refuse_all(request.node, &refusal);
            Ok(())
        }
        None => call.perform(request.node),
    });
    answer.response = Some(match &outcome {
        Ok(()) => {
            let gzip = shared.options.gzip
                && envelope.header("accept-encoding").is_some_and(|value| value.contains("gzip"));
            success(call.reply, &call.struck, gzip)
        }
        Err(refusal) => {
            let spoil = call.spoiled_text();
            fault_response(soap::fault(refusal, Some(shared.options.version), spoil))
        }
    });
    answer.code = outcome.err().map(|refusal| refusal.code).or(call.code);
    answer
}

/// Checks the header of a request.
fn prepare(call: &mut Call<'_>, request: &Request<'_>) -> Result<(), Refusal> {
    if let Some(version) = request.version {
        let place = |name: &str| REQUEST_VERSIONS.iter().position(|own| *own == name);
        let asked = place(version).ok_or_else(|| Refusal::code("ErrorInvalidServerVersion"))?;
        if call.options.accepts_up_to.as_deref().and_then(place).is_some_and(|most| asked > most) {
            return Err(Refusal::code(&call.options.version_refusal));
        }
        call.version = Some(asked);
    }
    match &request.impersonated {
        Some(address) => {
            let Some(mailbox) = call.world.mailbox(address) else {
                return Err(Refusal::code("ErrorNonExistentMailbox"));
            };
            if !call.access.rights.allow(&mailbox.address) {
                return Err(Refusal::code("ErrorImpersonateUserDenied"));
            }
            call.access.impersonated = Some(address.clone());
        }
        None if call.access.app_only => {
            return Err(Refusal::new(
                "ErrorImpersonationRequired",
                "ExchangeImpersonation SOAP header must be present for this type of OAuth token.",
            ));
        }
        None => {}
    }
    Ok(())
}

/// The mailbox that a request names first.
fn mailbox_of(world: &World, node: Node<'_, '_>) -> Option<String> {
    node.descendants().find_map(|node| match node.tag_name().name() {
        "EmailAddress" if node.parent().is_some_and(|p| p.tag_name().name() == "Mailbox") => {
            node.text().map(|text| text.trim().to_ascii_lowercase())
        }
        "ItemId" | "FolderId" | "AttachmentId" | "AlternateId" => {
            let id = Id::decode(node.attribute("Id")?)?;
            Some(world.by_guid(id.mailbox)?.address.clone())
        }
        _ => None,
    })
}

fn names_of_items<'n>(world: &World, node: Node<'n, 'n>) -> Vec<String> {
    let mut names = Vec::new();
    for id in ops::item_ids(node) {
        names.push(id.to_owned());
        if let Some(id) = Id::decode(id)
            && let Target::Item(no) = id.target
            && let Some(item) = world.by_guid(id.mailbox).and_then(|m| m.items.get(&no))
        {
            names.extend(item.delivery.message_id.clone());
        }
    }
    names
}

fn names_of_folders<'n>(world: &World, node: Node<'n, 'n>) -> Vec<String> {
    let lists = ["SyncFolderId", "FolderIds", "ParentFolderIds", "ToFolderId"];
    let nodes = lists.iter().filter_map(|list| child(node, list)).flat_map(elements);
    let mut names = Vec::new();
    for node in nodes {
        let Some(id) = node.attribute("Id") else { continue };
        names.push(id.to_owned());
        let address =
            child(node, "Mailbox").and_then(|mailbox| child_text(mailbox, "EmailAddress"));
        let folder = match Id::decode(id) {
            Some(id) => match id.target {
                Target::Folder(no) => world.by_guid(id.mailbox).and_then(|m| m.folder(no)),
                _ => None,
            },
            None => address
                .and_then(|address| world.mailbox(address))
                .and_then(|mailbox| mailbox.folder(mailbox.distinguished(id)?)),
        };
        names.extend(folder.map(|folder| folder.name.clone()));
    }
    names
}

/// What a fault answers instead of the service: a response or none, and its code.
type Instead = (Option<Response<ReplyBody>>, Option<String>);

fn instead(connection: &Connection, struck: &[Fault]) -> Option<Instead> {
    let version = connection.shared.options.version;
    let soap = |refusal: &Refusal| {
        (
            Some(fault_response(soap::fault(refusal, Some(version), None))),
            Some(refusal.code.clone()),
        )
    };
    struck.iter().find_map(|fault| match fault {
        Fault::Http { status: code, retry_after } => {
            Some((Some(status(*code, *retry_after)), None))
        }
        Fault::Unauthorized => {
            *connection.session() = auth::Session::default();
            Some((Some(auth::challenge(connection, None)), None))
        }
        Fault::DropConnection { after_bytes: None } => Some((None, None)),
        Fault::Html200 => {
            Some((Some(page("Sign in to your account to continue to Outlook.")), None))
        }
        Fault::RedirectToErrorPage => {
            let mut response = status(302, None);
            let to = "/ews/genericerrorpage.htm?aspxerrorpath=/ews/exchange.asmx";
            let to = header::HeaderValue::from_static(to);
            response.headers_mut().insert(header::LOCATION, to);
            Some((Some(response), None))
        }
        Fault::GzipBomb { decoded_bytes } => {
            let mut response = Response::new(reply::gzip_bomb(*decoded_bytes).into());
            content_type(&mut response, "text/xml; charset=utf-8");
            let gzip = header::HeaderValue::from_static("gzip");
            response.headers_mut().insert(header::CONTENT_ENCODING, gzip);
            Some((Some(response), None))
        }
        Fault::ServerBusy { back_off, shape: Shape::SoapFault } => Some(soap(&busy(*back_off))),
        Fault::RequestError { code, shape: Shape::SoapFault } => Some(soap(&Refusal::code(code))),
        Fault::VersionRefused => Some(soap(&Refusal::code("ErrorInvalidServerVersion"))),
        _ => None,
    })
}

fn busy(back_off: Option<Duration>) -> Refusal {
    let pause = back_off.map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
    Refusal { back_off_ms: pause, ..Refusal::code("ErrorServerBusy") }
}

/// The error that every response message carries because of a fault.
fn message_error(struck: &[Fault]) -> Option<Refusal> {
    struck.iter().find_map(|fault| match fault {
        Fault::ServerBusy { back_off, shape: Shape::Message } => Some(busy(*back_off)),
        Fault::RequestError { code, shape: Shape::Message } => Some(Refusal::code(code)),
        Fault::MailboxMove => Some(Refusal::code("ErrorMailboxMoveInProgress")),
        _ => None,
    })
}

/// The response that carries a reply, or what a fault leaves of it.
fn success(reply: Reply, struck: &[Fault], gzip: bool) -> Response<ReplyBody> {
    let mut segments = reply.into_segments();
    if struck.contains(&Fault::BadXml)
        && let Some(Segment::Text(text)) = segments.last_mut()
    {
        // Inside a tag, wherever the half of the text is.
        text.truncate(text.len() / 2);
        text.extend_from_slice(b"<t:");
    }
    let length: u64 = segments.iter().map(Segment::length).sum();
    let wrong_length = struck.contains(&Fault::WrongContentLength);
    let gzip = gzip && !wrong_length;
    let trouble = struck.iter().find_map(|fault| match fault {
        Fault::DropConnection { after_bytes: Some(after) } => Some(Trouble::Cut { after: *after }),
        Fault::WrongContentLength => Some(Trouble::Cut { after: length }),
        Fault::Stall { after_bytes } => Some(Trouble::Stall { after: *after_bytes }),
        Fault::SlowBody { bytes_per_second } => {
            Some(Trouble::Slow { bytes_per_second: *bytes_per_second })
        }
        _ => None,
    });
    let body = match segments.as_mut_slice() {
        [Segment::Text(text)] if trouble.is_none() && text.len() <= MAX_WHOLE => {
            let text = std::mem::take(text);
            if gzip { reply::gzip(&text) } else { text }.into()
        }
        _ => ReplyBody::Streamed(Box::new(Streamed::new(segments, gzip, trouble))),
    };
    let mut response = Response::new(body);
    content_type(&mut response, "text/xml; charset=utf-8");
    if gzip {
        let value = header::HeaderValue::from_static("gzip");
        response.headers_mut().insert(header::CONTENT_ENCODING, value);
    }
    if wrong_length {
        response.headers_mut().insert(header::CONTENT_LENGTH, (length + 1000).into());
    }
    response
}
