//! Several requests in one ("Combine multiple HTTP requests using JSON batching").

use std::collections::{HashMap, HashSet};

use hyper::{
    HeaderMap, Method,
    header::{HeaderName, HeaderValue},
};
use serde_json::{Map, Value, json};

use super::{
    super::{fault::Fault, log::Op, reply::Segment, server::Connection},
    Context, Entry,
    answer::{Admitted, Answer, Caller, Done, Request, admit, complete},
    error::Refusal,
    render,
};

/// Most requests of one batch.
const MOST: usize = 20;

/// One request of a batch.
struct Part {
    id: String,
    request: Request,
    /// Ids of the requests that must succeed before.
    after: Vec<String>,
}

/// Does the requests of a batch, and returns the segments of the answer.
pub(super) async fn perform(
    connection: &Connection,
    caller: &Caller,
    request: &Request,
    context: &Context,
    struck: &[Fault],
) -> Result<(Vec<Segment>, usize), Refusal> {
    let parts = read(request)?;
    let count = parts.len();
    let options = &connection.shared.options;
    let stopped = struck.iter().find_map(|fault| match fault {
        Fault::BatchTimeout { after } => Some(*after),
        _ => None,
    });
    let mut failed: HashSet<String> = HashSet::new();
    let mut responses = Vec::new();
    let mut waiting = parts.iter().enumerate().peekable();
    while waiting.peek().is_some() {
        // What runs at once: no more in a mailbox than the service does, and nothing that waits
        // for another of these.
        let mut wave: Vec<(usize, &Part, Option<Admitted>)> = Vec::new();
        let mut running: HashMap<Option<String>, usize> = HashMap::new();
        while let Some((at, part)) = waiting.peek().copied() {
            if wave.iter().any(|(_, other, _)| part.after.contains(&other.id)) {
                break;
            }
            if stopped.is_some_and(|after| at >= after)
                || part.after.iter().any(|id| failed.contains(id))
            {
                wave.push((at, part, None));
                waiting.next();
                continue;
            }
            let user = part.request.path.split('/').nth(2).map(str::to_ascii_lowercase);
            let own = running.entry(user).or_default();
            if *own >= options.graph.batch_parallel.max(1) {
                break;
            }
            *own += 1;
            wave.push((at, part, Some(admit(&connection.shared, caller, &part.request))));
            waiting.next();
        }
        if !options.latency.is_zero() {
            tokio::time::sleep(options.latency).await;
        }
        for (at, part, admitted) in wave {
            let done = match &admitted {
                Some(admitted) => complete(&connection.shared, caller, &part.request, admitted),
                None => left_out(stopped.is_some_and(|after| at >= after)),
            };
            let (status, segments, code) = response(part, done, context);
            if status >= 400 {
                failed.insert(part.id.clone());
            }
            context.log(
                connection,
                caller,
                &part.request,
                Entry {
                    op: admitted.as_ref().map_or(Op::Other, |admitted| admitted.op),
                    mailbox: admitted.and_then(|admitted| admitted.mailbox),
                    status,
                    code,
                    asked: 1,
                    in_batch: true,
                },
            );
            responses.push(segments);
        }
    }
    // In another order than asked for, which clients must not rely on.
    responses.reverse();
    let mut body = vec![Segment::Text(b"{\"responses\":[".to_vec())];
    for (at, segments) in responses.into_iter().enumerate() {
        if at > 0 {
            body.push(Segment::Text(b",".to_vec()));
        }
        body.extend(segments);
    }
    body.push(Segment::Text(b"]}".to_vec()));
    Ok((body, count))
}

/// What a request gets that did not come to its turn.
fn left_out(stopped: bool) -> Done {
    let refusal = match stopped {
        true => Refusal::status(504, None),
        false => Refusal::new(424, "FailedDependency", "A request that this depends on failed."),
    };
    Done { struck: Vec::new(), outcome: Err(refusal), applied: Vec::new() }
}

/// The requests of a batch.
///
/// # Errors
///
/// The batch as a whole is malformed.
fn read(batch: &Request) -> Result<Vec<Part>, Refusal> {
    let invalid = |text: String| Refusal::bad(format!("Invalid batch payload format: {text}"));
    let body: Value = serde_json::from_slice(&batch.body)
        .map_err(|error| invalid(format!("it is no JSON: {error}.")))?;
    let requests = body.get("requests").and_then(Value::as_array);
    let requests = requests.ok_or_else(|| invalid("`requests` must be a list.".to_owned()))?;
    if requests.is_empty() || requests.len() > MOST {
        let count = requests.len();
        let text = format!("it must have 1 to {MOST} requests, and has {count}.");
        return Err(invalid(text));
    }
    let mut known: HashSet<String> = HashSet::new();
    let mut parts = Vec::new();
    for request in requests {
        let text = |name: &str| request.get(name).and_then(Value::as_str);
        let id = text("id").ok_or_else(|| invalid("`id` must be a text.".to_owned()))?;
        // Not case-sensitive.
        let id = id.to_ascii_lowercase();
        let after = request.get("dependsOn").and_then(Value::as_array);
        let after: Vec<String> = after
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_ascii_lowercase)
            .collect();
        if let Some(other) = after.iter().find(|other| !known.contains(*other)) {
            return Err(invalid(format!(
                "`{id}` depends on `{other}`, which does not precede it."
            )));
        }
        if !known.insert(id.clone()) {
            return Err(invalid(format!("the id `{id}` is not unique.")));
        }
        let method: Method = text("method")
            .and_then(|method| method.parse().ok())
            .ok_or_else(|| invalid(format!("`{id}` has no method.")))?;
        let url = text("url").ok_or_else(|| invalid(format!("`{id}` has no URL.")))?;
        // The SDKs send whole URLs; they must lead to where the batch went.
        let url = url.strip_prefix(&format!("{}/v1.0", batch.origin)).unwrap_or(url);
        if url.contains("://") || url.contains("$batch") {
            return Err(invalid(format!("the URL of `{id}` must be relative, and no batch.")));
        }
        let headers = headers(request.get("headers"));
        let body = request.get("body").filter(|body| !body.is_null());
        if body.is_some() && !headers.contains_key("content-type") {
            return Err(invalid(format!("`{id}` has a body and no Content-Type.")));
        }
        if body.is_some() && method == Method::GET {
            return Err(invalid(format!("`{id}` is a GET with a body.")));
        }
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let request = Request {
            method,
            path: format!("/{}", path.trim_start_matches('/')),
            query: query.to_owned(),
            headers,
            body: body.map(|body| body.to_string().into()).unwrap_or_default(),
            origin: batch.origin.clone(),
        };
        let id = text("id").unwrap_or_default().to_owned();
        parts.push(Part { id, request, after });
    }
    Ok(parts)
}

fn headers(headers: Option<&Value>) -> HeaderMap {
    let pairs = headers.and_then(Value::as_object).into_iter().flatten();
    pairs
        .filter_map(|(name, value)| {
            let name: HeaderName = name.parse().ok()?;
            Some((name, HeaderValue::from_str(value.as_str()?).ok()?))
        })
        .collect()
}

/// The status of one response, its segments, and its error code.
fn response(part: &Part, done: Done, context: &Context) -> (u16, Vec<Segment>, Option<String>) {
    let mut headers = Map::new();
    let mut set = |name: &str, value: String| headers.insert(name.to_owned(), json!(value));
    set("Cache-Control", "private".to_owned());
    if !done.applied.is_empty() {
        set("Preference-Applied", done.applied.join(", "));
    }
    let Done { struck, outcome, .. } = done;
    // What befalls a connection befalls, inside of a batch, the way to the store.
    let broken = struck.iter().any(|fault| {
        matches!(
            fault,
            Fault::DropConnection { .. }
                | Fault::Stall { .. }
                | Fault::Html200
                | Fault::RedirectToErrorPage
                | Fault::BadXml
                | Fault::GzipBomb { .. }
        )
    });
    let outcome = if broken { Err(Refusal::status(502, None)) } else { outcome };
    let (status, code, body) = match outcome {
        Ok(Answer::Json(value, faults)) => {
            set("Content-Type", super::JSON.to_owned());
            (200, None, vec![Segment::Text(render::write(&value, &faults))])
        }
        Ok(Answer::Content(content)) => {
            set("Content-Type", "text/plain".to_owned());
            let digits = content.size().div_ceil(3) * 4;
            // Not a multiple of four, so that no decoder can take it for the end.
            let limit = struck.contains(&Fault::TruncatedBase64).then_some((digits / 2) | 1);
            let quote = || Segment::Text(b"\"".to_vec());
            (200, None, vec![quote(), Segment::Base64 { content, limit }, quote()])
        }
        Err(refusal) => {
            set("Content-Type", super::JSON.to_owned());
            if let Some(pause) = refusal.retry_after {
                set("Retry-After", pause.as_secs().to_string());
            }
            if refusal.status == 410 {
                let Request { origin, path, .. } = &part.request;
                set("Location", format!("{origin}/v1.0{path}"));
            }
            let body = context.error(&refusal).to_string().into_bytes();
            (refusal.status, Some(refusal.code), vec![Segment::Text(body)])
        }
    };
    let start = format!(
        "{{\"id\":{},\"status\":{status},\"headers\":{},\"body\":",
        json!(part.id),
        json!(headers)
    );
    let mut segments = vec![Segment::Text(start.into_bytes())];
    segments.extend(body);
    segments.push(Segment::Text(b"}".to_vec()));
    (status, segments, code)
}
