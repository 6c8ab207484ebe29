//! Search over the comments that a token may read.

use std::collections::{BTreeMap, BTreeSet};

use search::{MAX_RANGES, Mark, Names, Node, Query, QueryError};
use serde_json::{Map, Value, json};
use store::{Comment, Count, Search, SearchProgress, Session, Source};

use crate::{
    call::Call,
    permissions::project::SOURCES_READ,
    refusal::{Position, Refusal},
    reply::Reply,
    request::Payload,
    schema::{
        Fields, TimeRange, any_text, flag, list as array, natural, one_of, text, time_range, top,
        wrong,
    },
    search_reply::{Hit, shown},
};

/// Comments or threads of a page, unless the request says how many.
const PAGE: usize = 20;
const MAX_PAGE: usize = 100;
/// Comments that are counted, unless the request says how far.
const COUNTED: u64 = 1_000;
const MAX_COUNTED: u64 = 100_000;
/// Values of a list.
const MAX_VALUES: usize = 128;

/// What the token may read.
pub(crate) struct Scope {
    /// Ids by name.
    pub(crate) projects: BTreeMap<String, String>,
    /// By id.
    pub(crate) sources: BTreeMap<String, Source>,
}

impl Scope {
    pub(crate) async fn of(call: &Call<'_>, session: &mut Session) -> Result<Self, Refusal> {
        let projects = session.projects().await?.into_iter();
        let projects: BTreeMap<String, String> = projects
            .filter(|project| call.caller.may(&project.name, SOURCES_READ))
            .map(|project| (project.name, project.id))
            .collect();
        let sources = session.sources().await?.into_iter();
        let sources = sources
            .filter(|source| projects.contains_key(&source.owner))
            .map(|source| (source.id.clone(), source))
            .collect();
        Ok(Self { projects, sources })
    }

    fn ids(&self) -> BTreeSet<String> {
        self.projects.values().cloned().collect()
    }
}

impl Names for Scope {
    fn source(&self, name: &str) -> Option<String> {
        let (owner, name) = name.split_once('/')?;
        let mut sources = self.sources.values();
        sources.find(|own| own.owner == owner && own.name == name).map(|own| own.id.clone())
    }

    fn project(&self, name: &str) -> Option<String> {
        self.projects.get(name).cloned()
    }
}

/// A query and a filter, as they were sent.
#[derive(Default)]
pub(crate) struct Wanted {
    text: String,
    filter: Filter,
}

/// What may be given beside a query; all of it must be met.
#[derive(Default)]
struct Filter {
    projects: Option<Vec<String>>,
    sources: Option<Vec<String>>,
    range: TimeRange,
    /// Each must be met.
    nodes: Vec<Node>,
    attachments: Option<bool>,
}

impl Wanted {
    pub(crate) fn read(body: &mut Fields) -> Result<Self, Refusal> {
        // How much a query may have is said by its own mistakes.
        let text = body.optional("query", any_text)?.unwrap_or_default();
        Ok(Self { text, filter: body.optional("filter", filter)?.unwrap_or_default() })
    }

    /// Whether it says nothing of what comments say.
    pub(crate) fn is_of_sources_alone(&self) -> bool {
        let filter = &self.filter;
        self.text.trim().is_empty() && filter.nodes.is_empty() && filter.attachments.is_none()
    }

    pub(crate) fn range(&self) -> TimeRange {
        self.filter.range
    }

    /// The sources that are looked through.
    pub(crate) fn sources(&self, scope: &Scope) -> Result<Vec<String>, Refusal> {
        let (projects, sources) = (&self.filter.projects, &self.filter.sources);
        for id in sources.iter().flatten() {
            if !scope.sources.contains_key(id) {
                return Err(Refusal::not_found(format_args!("the source `{id}`")));
            }
        }
        for name in projects.iter().flatten() {
            if !scope.projects.contains_key(name) {
                return Err(Refusal::not_found(format_args!("the project `{name}`")));
            }
        }
        let is_wanted = |source: &&Source| {
            sources.as_ref().is_none_or(|own| own.contains(&source.id))
                && projects.as_ref().is_none_or(|own| own.contains(&source.owner))
        };
        Ok(scope.sources.values().filter(is_wanted).map(|source| source.id.clone()).collect())
    }

    /// The query with the filter in it.
    pub(crate) fn query(self, scope: &Scope) -> Result<Query, Refusal> {
        self.sources(scope)?;
        let refused = |error: QueryError| position(&self.text, error);
        let mut query = search::parse(&self.text, scope).map_err(refused)?;
        let filter = self.filter;
        query = query.within(filter.range.0, filter.range.1);
        if let Some(projects) = filter.projects {
            let ids = projects.iter().filter_map(|name| scope.projects.get(name));
            query = query.and(Node::any_mark(ids.map(|id| Mark::project(id))));
        }
        if let Some(sources) = filter.sources {
            query = query.and(Node::any_mark(sources.iter().map(|id| Mark::source(id))));
        }
        for node in filter.nodes {
            query = query.and(node);
        }
        Ok(match filter.attachments {
            None => query,
            Some(true) => query.and(Node::Mark(Mark::has_attachment())),
            Some(false) => query.and(Node::Not(Box::new(Node::Mark(Mark::has_attachment())))),
        })
    }
}

/// The refusal of a query, with the place of the mistake in both units that clients count in.
fn position(text: &str, error: QueryError) -> Refusal {
    let units = |count: usize| text.chars().take(count).map(char::len_utf16).sum::<usize>();
    let (start, end) = (error.start, error.start + error.length);
    let position = Position {
        char_start: start,
        char_end: end,
        utf16_byte_start: units(start) * 2,
        utf16_byte_end: units(end) * 2,
    };
    Refusal { position: Some(position), ..wrong("query", error) }
}

fn filter(path: &str, value: Value) -> Result<Filter, Refusal> {
    let mut fields = Fields::of(path, value)?;
    let mut found = Filter {
        projects: fields.optional("projects", values(text(1, 1024)))?,
        sources: fields.optional("sources", values(text(1, 64)))?,
        ..Filter::default()
    };
    if let Some(range) = fields.optional("timestamp", time_range)? {
        found.range = range;
    }
    found.nodes = fields.optional("user_properties", properties)?.unwrap_or_default();
    let domain = |domain: &String| domain.trim_start_matches('@').trim_end_matches('.').to_owned();
    for (name, from, to) in
        [("domains", true, true), ("from_domains", true, false), ("to_domains", false, true)]
    {
        let domains = fields.optional(name, values(text(1, 255)))?;
        let Some(domains) = domains else { continue };
        let domains = domains.iter().map(domain).collect::<Vec<_>>();
        let from = domains.iter().filter(|_| from).map(|own| Mark::from_domain(own));
        let to = domains.iter().filter(|_| to).map(|own| Mark::to_domain(own));
        found.nodes.push(Node::any_mark(from.chain(to)));
    }
    if let Some(thread) = fields.optional("thread_id", text(1, 2056))? {
        found.nodes.push(Node::Mark(Mark::thread(&thread)));
    }
    found.attachments = fields.optional("has_attachments", flag)?;
    fields.finish()?;
    Ok(found)
}

fn values(
    read: impl Fn(&str, Value) -> Result<String, Refusal>,
) -> impl FnOnce(&str, Value) -> Result<Vec<String>, Refusal> {
    move |path, value| {
        let found = array(read)(path, value)?;
        if (1..=MAX_VALUES).contains(&found.len()) {
            return Ok(found);
        }
        Err(wrong(path, format_args!("expected 1 to {MAX_VALUES} values")))
    }
}

/// `{"string:Folder": ["Inbox", "Sent"], "number:Score": [5], "number:Size": {"minimum": 10}}`
fn properties(path: &str, value: Value) -> Result<Vec<Node>, Refusal> {
    let Value::Object(map) = value else { return Err(wrong(path, "expected an object")) };
    if map.len() > MAX_VALUES {
        return Err(wrong(path, format_args!("expected at most {MAX_VALUES} properties")));
    }
    if map.values().filter(|value| value.is_object()).count() > MAX_RANGES {
        return Err(wrong(path, format_args!("expected at most {MAX_RANGES} ranges")));
    }
    let one = |(name, value): (String, Value)| {
        let path = format!("{path}.{name}");
        let is_number = name.starts_with("number:");
        if !is_number && !name.starts_with("string:") {
            return Err(wrong(&path, "the name must begin with `string:` or `number:`"));
        }
        if is_number && value.is_object() {
            return range(&path, &name, value);
        }
        let marks = array(|path: &str, value: Value| match is_number {
            true => Ok(Mark::number_property(&name, number(path, value)?)),
            false => Ok(Mark::text_property(&name, &any_text(path, value)?)),
        })(&path, value)?;
        if (1..=MAX_VALUES).contains(&marks.len()) {
            return Ok(Node::any_mark(marks));
        }
        Err(wrong(&path, format_args!("expected 1 to {MAX_VALUES} values")))
    };
    map.into_iter().map(one).collect()
}

/// `{"minimum": 10, "maximum": 20}`, both included, as in a filter of comments.
fn range(path: &str, name: &str, value: Value) -> Result<Node, Refusal> {
    let mut fields = Fields::of(path, value)?;
    let least = fields.optional("minimum", number)?;
    let most = fields.optional("maximum", number)?;
    fields.finish()?;
    if least.is_none() && most.is_none() {
        return Err(wrong(path, "expected `minimum` or `maximum`, or both"));
    }
    Ok(Node::number_between(name, least, most))
}

fn number(path: &str, value: Value) -> Result<f64, Refusal> {
    value.as_f64().ok_or_else(|| wrong(path, "expected a number"))
}

/// A page, as it was asked for.
struct Page {
    by_thread: bool,
    limit: usize,
    counted: u64,
    after: Option<i64>,
}

fn page(body: &mut Fields) -> Result<Page, Refusal> {
    let by_thread = body.optional("group_by", one_of(&["thread"]))?.is_some();
    let within = |least: u64, most: u64| {
        move |path: &str, value: Value| {
            let number = natural(path, value)?;
            if (least..=most).contains(&number) {
                return Ok(number);
            }
            Err(wrong(path, format_args!("expected a number from {least} to {most}")))
        }
    };
    let limit = body.optional("limit", within(1, MAX_PAGE as u64))?;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE);
    let counted = body.optional("count_up_to", within(0, MAX_COUNTED))?.unwrap_or(COUNTED);
    let after = body.optional("continuation", |path, value| {
        let text = any_text(path, value)?;
        let place = text.strip_prefix("before_").and_then(|place| place.parse().ok());
        place.ok_or_else(|| wrong(path, "this continuation was not issued here"))
    })?;
    Ok(Page { by_thread, limit, counted, after })
}

pub(crate) fn count(count: Count) -> Value {
    match count {
        Count::Exact(value) => json!({ "kind": "exact", "value": value }),
        Count::AtLeast(value) => json!({ "kind": "lower_bound", "value": value }),
    }
}

/// `POST /api/_private/search`
pub(crate) async fn search(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut body = top(payload.json()?)?;
    let wanted = Wanted::read(&mut body)?;
    let page = page(&mut body)?;
    body.finish()?;
    let mut session = call.shared.store.read().await?;
    let scope = Scope::of(call, &mut session).await?;
    let query = wanted.query(&scope)?;
    let search = Search { query, projects: scope.ids(), after: page.after };
    let (hits, after, found) = find(&mut session, &search, &page).await?;
    let mut reply = Map::new();
    if let Some(found) = found {
        reply.insert("count".to_owned(), count(found));
    }
    if let Some(after) = after {
        reply.insert("continuation".to_owned(), format!("before_{after}").into());
    }
    let is_complete = session.search_progress().await? == SearchProgress::Complete;
    reply.insert("index".to_owned(), json!({ "complete": is_complete }));
    drop(session);
    // Reading long texts again keeps a processor busy.
    let show = move || {
        let shown = hits.iter().map(|hit| shown(&search.query, &scope, hit)).collect::<Vec<_>>();
        reply.insert("results".to_owned(), shown.into());
        Reply::json(Value::Object(reply))
    };
    tokio::task::spawn_blocking(show).await.map_err(|error| {
        tracing::error!("Showing comments did not end: {error}");
        Refusal::busy("the server could not show what it found; its log has the reason", 1)
    })
}

async fn find(
    session: &mut Session,
    search: &Search,
    page: &Page,
) -> Result<(Vec<Hit>, Option<i64>, Option<Count>), Refusal> {
    // The first page counts.
    let counted = if page.after.is_none() { page.counted } else { 0 };
    if page.by_thread {
        let found = session.search_threads(search, page.limit).await?;
        let count = match counted {
            0 => None,
            counted => Some(session.search_count(search, counted).await?),
        };
        let hits = found.hits.into_iter();
        let hits =
            hits.map(|hit| Hit { thread: Some((hit.found, hit.comments)), comment: hit.comment });
        return Ok((hits.collect(), found.after, count));
    }
    // One more tells whether there are more.
    let (mut comments, count): (Vec<Comment>, Count) =
        session.search_and_count(search, page.limit + 1, counted).await?;
    let has_more = comments.len() > page.limit;
    comments.truncate(page.limit);
    let after = comments.last().filter(|_| has_more).map(|last| last.place);
    let hits = comments.into_iter().map(|comment| Hit { comment, thread: None });
    Ok((hits.collect(), after, (counted > 0).then_some(count)))
}
