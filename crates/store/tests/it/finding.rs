//! Search on whatever database, compared with a reader who knows no index.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use search::{Names, Query};
use serde_json::{Value, json};
use store::{
    Comment, CommentWrite, Count, NewComment, NewProject, Search, SearchProgress, Session,
    SourceDetails, Store,
};

use crate::contract::Opened;

const WORDS: &[&str] = &[
    "in",
    "inv",
    "invoice",
    "inversion",
    "due",
    "date",
    "dates",
    "re",
    "42",
    "x9",
    "über",
    "漢字",
];
const PEOPLE: &[&str] = &[
    "Ann Lee <ann.lee@example.com>",
    "bob@mail.example.com",
    "Carl in Date <carl@example.org>",
    "due@invoice.example.net",
];
const AMOUNTS: &[f64] = &[-1000.5, -1.0, 0.0, 0.25, 3.0, 16.0, 17.0, 255.0, 1e6];
const FOLDERS: &[&str] = &["Inbox", "Inbox/Claims", "Sent"];
const DAY: i64 = 24 * 3600;
const MONDAY: i64 = 1_790_000_000 / (7 * DAY) * (7 * DAY);

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.roll(all.len())]
    }

    fn words(&mut self, most: usize) -> String {
        let count = self.roll(most + 1);
        let words: Vec<&str> = (0..count).map(|_| self.of(WORDS)).collect();
        words.join(self.of(&[" ", ", ", "\n"]))
    }
}

/// A world with two projects of two sources each.
pub(crate) struct World {
    pub(crate) projects: Vec<String>,
    sources: Vec<(String, String)>,
}

impl Names for World {
    fn source(&self, name: &str) -> Option<String> {
        self.sources.iter().find(|(own, _)| own == name).map(|(_, id)| id.clone())
    }

    fn project(&self, name: &str) -> Option<String> {
        name.strip_prefix('p')
            .and_then(|number| self.projects.get(number.parse::<usize>().ok()?))
            .cloned()
    }
}

impl World {
    pub(crate) async fn new(session: &mut Session) -> Self {
        let (mut projects, mut sources) = (Vec::new(), Vec::new());
        for project in ["p0", "p1"] {
            let new = NewProject { name: project.to_owned(), ..NewProject::default() };
            projects.push(session.create_project(new).await.unwrap().id);
            for source in ["s0", "s1"] {
                let details = SourceDetails::default();
                let made = session.create_source(project, source, details).await.unwrap();
                sources.push((format!("{project}/{source}"), made.id));
            }
        }
        Self { projects, sources }
    }

    fn everybody(&self) -> BTreeSet<String> {
        self.projects.iter().cloned().collect()
    }

    fn query(&self, text: &str) -> Query {
        search::parse(text, self).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn search(&self, text: &str) -> Search {
        Search { query: self.query(text), projects: self.everybody(), after: None }
    }
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(MONDAY + second, 0).unwrap()
}

fn made_up(dice: &mut Dice, number: usize) -> NewComment {
    let thread_id = (dice.roll(4) > 0).then(|| format!("thread {}", dice.roll(12)));
    let mut attachments = Vec::new();
    for _ in 0..dice.roll(3) {
        let name = format!("{}.pdf", dice.words(2));
        let inline = dice.roll(3) == 0;
        attachments
            .push(json!({ "name": name, "size": 1, "content_type": ".pdf", "inline": inline }));
    }
    let to: Vec<&str> = (0..dice.roll(3)).map(|_| dice.of(PEOPLE)).collect();
    let cc: Vec<&str> = (0..dice.roll(2)).map(|_| dice.of(PEOPLE)).collect();
    let when = at(i64::try_from(dice.roll(20)).unwrap() * DAY / 4);
    let body = json!({
        "id": format!("c{number}"),
        "timestamp": when.to_rfc3339(),
        "messages": [{
            "from": dice.of(PEOPLE), "to": to, "cc": cc,
            "subject": { "text": dice.words(3) },
            "body": { "text": dice.words(9) },
        }],
        "user_properties": {
            "string:Folder": dice.of(FOLDERS),
            "number:Score": i32::try_from(dice.roll(3)).unwrap(),
            "number:Amount": dice.of(AMOUNTS),
        },
        "attachments": attachments,
    });
    NewComment {
        id: format!("c{number}"),
        at: when,
        thread_id,
        body: body.to_string(),
        email: None,
        generation: 0,
        changes_text: false,
        no_charge: false,
    }
}

/// Writes, replaces and removes; what is there in the end is what the reader reads.
async fn fill(store: &Store, world: &World, dice: &mut Dice, count: usize) -> Vec<Comment> {
    let mut all = BTreeMap::new();
    for _ in 0..6 {
        for (_, source) in &world.sources {
            let mut session = store.write().await.unwrap();
            assert!(session.begin_comments(source).await.unwrap());
            let ids: BTreeSet<usize> = (0..count / 12).map(|_| dice.roll(count / 4)).collect();
            let names: Vec<String> = ids.iter().map(|id| format!("c{id}")).collect();
            let mut old = session.comments_by_id(source, &names).await.unwrap();
            let writes = ids.iter().map(|id| {
                let new = made_up(dice, *id);
                CommentWrite { old: old.remove(&new.id), new }
            });
            let writes = writes.collect();
            for own in session.put_comments(source, writes).await.unwrap() {
                all.insert((source.clone(), own.id.clone()), own);
            }
            let gone: Vec<String> = (0..3).map(|_| format!("c{}", dice.roll(count / 4))).collect();
            for own in session.delete_comments(source, &gone).await.unwrap() {
                all.remove(&(source.clone(), own.id));
            }
            session.commit().await.unwrap();
        }
    }
    let mut all: Vec<Comment> = all.into_values().collect();
    all.sort_by_key(|comment| std::cmp::Reverse(comment.place));
    all
}

/// Words by whoever knows no Unicode beyond these words.
fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase().replace('ü', "u");
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn stands(texts: &[String], wanted: &[String], is_prefix: bool) -> bool {
    texts.iter().any(|text| {
        words(text).windows(wanted.len()).any(|own| {
            let (last, rest) = own.split_last().unwrap();
            let (wanted_last, wanted_rest) = wanted.split_last().unwrap();
            let fits = if is_prefix { last.starts_with(wanted_last) } else { last == wanted_last };
            rest == wanted_rest && fits
        })
    })
}

fn texts(comment: &Comment, field: &str) -> Vec<String> {
    let body: Value = serde_json::from_str(&comment.body).unwrap();
    let message = &body["messages"][0];
    let list = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|own| own.as_str().unwrap().to_owned()).collect()
    };
    let text = |value: &Value| vec![value.as_str().unwrap().to_owned()];
    match field {
        "subject" => text(&message["subject"]["text"]),
        "body" => text(&message["body"]["text"]),
        "from" => text(&message["from"]),
        "to" => [list(&message["to"]), list(&message["cc"])].concat(),
        "filename" => {
            let files = body["attachments"].as_array().unwrap().iter();
            files
                .filter(|own| own["inline"] == false)
                .map(|own| own["name"].as_str().unwrap().to_owned())
                .collect()
        }
        "folder" => text(&body["user_properties"]["string:Folder"]),
        "amount" => vec![body["user_properties"]["number:Amount"].to_string()],
        "score" => vec![body["user_properties"]["number:Score"].to_string()],
        _ => ["subject", "body", "from", "to"].iter().flat_map(|own| texts(comment, own)).collect(),
    }
}

type Meets = Box<dyn Fn(&Comment) -> bool>;

/// A query, and what it means to the reader.
fn asked(dice: &mut Dice, world: &World, depth: usize) -> (String, Meets) {
    let field =
        |dice: &mut Dice| dice.of(&["", "", "", "subject:", "body:", "from:", "to:", "filename:"]);
    match dice.roll(if depth == 0 { 10 } else { 15 }) {
        0..=2 => {
            let (field, word) = (field(dice), dice.of(WORDS));
            (
                format!("{field}{word}"),
                Box::new(move |own| {
                    stands(&texts(own, field.trim_end_matches(':')), &words(word), false)
                }),
            )
        }
        3 | 4 => {
            let (field, phrase) = (field(dice), [dice.of(WORDS), dice.of(WORDS)].join(" "));
            (
                format!("{field}\"{phrase}\""),
                Box::new(move |own| {
                    stands(&texts(own, field.trim_end_matches(':')), &words(&phrase), false)
                }),
            )
        }
        5 => {
            let (field, prefix) = (field(dice), dice.of(&["in", "inv", "da", "due", "un"]));
            (
                format!("{field}{prefix}*"),
                Box::new(move |own| {
                    stands(&texts(own, field.trim_end_matches(':')), &words(prefix), true)
                }),
            )
        }
        6 => {
            let (word, prefix) = (dice.of(WORDS), dice.of(&["in", "inv", "dat"]));
            let phrase = format!("{word} {prefix}");
            (
                format!("\"{phrase}*\""),
                Box::new(move |own| stands(&texts(own, ""), &words(&phrase), true)),
            )
        }
        7 => {
            let domain = dice.of(&["example.com", "mail.example.com", "example.org", "ample.com"]);
            let (field, name) = dice.of(&[("from-domain:", "from"), ("to-domain:", "to")]);
            (
                format!("{field}{domain}"),
                Box::new(move |own| {
                    texts(own, name).iter().any(|address| {
                        let address = address.trim_end_matches('>');
                        address.ends_with(&format!("@{domain}"))
                            || address.ends_with(&format!(".{domain}"))
                    })
                }),
            )
        }
        8 => match dice.roll(4) {
            0 => {
                let folder = dice.of(&["inbox", "Inbox/Claims", "Claims"]);
                (
                    format!("folder:{folder}"),
                    Box::new(move |own| {
                        let folder = folder.to_lowercase();
                        let own = texts(own, "folder")[0].to_lowercase();
                        own == folder || own.starts_with(&format!("{folder}/"))
                    }),
                )
            }
            1 => {
                let score = dice.roll(3).to_string();
                (
                    format!("prop:score={score}"),
                    Box::new(move |own| texts(own, "score")[0] == score),
                )
            }
            2 => {
                let amount = |own: &Comment| -> f64 { texts(own, "amount")[0].parse().unwrap() };
                let (sign, bound) = (dice.roll(4), dice.of(AMOUNTS));
                let text = format!("prop:Amount{}{bound}", ["<", "<=", ">", ">="][sign]);
                let meets: Meets = match sign {
                    0 => Box::new(move |own| amount(own) < bound),
                    1 => Box::new(move |own| amount(own) <= bound),
                    2 => Box::new(move |own| amount(own) > bound),
                    _ => Box::new(move |own| amount(own) >= bound),
                };
                (text, meets)
            }
            _ => ("has:attachment".to_owned(), Box::new(|own| !texts(own, "filename").is_empty())),
        },
        9 => {
            let (name, id) = &world.sources[dice.roll(4)];
            let id = id.clone();
            (format!("source:{name}"), Box::new(move |own| own.source_id == id))
        }
        10 | 11 => {
            let (left, right) = (asked(dice, world, depth - 1), asked(dice, world, depth - 1));
            (format!("({} {})", left.0, right.0), Box::new(move |own| left.1(own) && right.1(own)))
        }
        12 | 13 => {
            let (left, right) = (asked(dice, world, depth - 1), asked(dice, world, depth - 1));
            (
                format!("({} OR {})", left.0, right.0),
                Box::new(move |own| left.1(own) || right.1(own)),
            )
        }
        _ => {
            let inner = asked(dice, world, depth - 1);
            (format!("-({})", inner.0), Box::new(move |own| !inner.1(own)))
        }
    }
}

fn places(comments: &[Comment]) -> Vec<i64> {
    comments.iter().map(|comment| comment.place).collect()
}

/// All pages.
async fn found(session: &mut Session, search: &Search, page: usize) -> Vec<i64> {
    let (mut search, mut all) = (search.clone(), Vec::new());
    loop {
        let hits = session.search(&search, page).await.unwrap();
        let Some(last) = hits.last() else { return all };
        search.after = Some(last.place);
        all.extend(places(&hits));
        if hits.len() < page {
            return all;
        }
    }
}

pub(crate) async fn search_finds_what_a_reader_finds(opened: Opened) {
    let store = &opened.store;
    let mut dice = Dice(0x5eed);
    let mut session = store.write().await.unwrap();
    let world = World::new(&mut session).await;
    session.commit().await.unwrap();
    let all = fill(store, &world, &mut dice, 240).await;
    assert!(all.len() > 100);
    let (mut session, mut some, mut none) = (store.read().await.unwrap(), 0, 0);
    for _ in 0..300 {
        let (mut text, meets) = asked(&mut dice, &world, 3);
        let mut wanted =
            Search { query: Query::default(), projects: world.everybody(), after: None };
        if dice.roll(3) == 0 {
            wanted.projects.remove(&world.projects[dice.roll(2)]);
        }
        let from = (dice.roll(3) == 0).then(|| at(i64::try_from(dice.roll(5)).unwrap() * DAY));
        let to = (dice.roll(3) == 0).then(|| at(i64::try_from(dice.roll(5)).unwrap() * DAY));
        if let Some(from) = from {
            text.push_str(&format!(" after:{}", from.to_rfc3339().replace("+00:00", "Z")));
        }
        if let Some(to) = to {
            text.push_str(&format!(" before:{}", to.format("%Y-%m-%d")));
        }
        wanted.query = world.query(&text);
        let of_project = |own: &Comment| {
            let number = world.sources.iter().position(|(_, id)| *id == own.source_id).unwrap() / 2;
            wanted.projects.contains(&world.projects[number])
        };
        let expected: Vec<Comment> = all
            .iter()
            .filter(|own| meets(own) && of_project(own))
            .filter(|own| from.is_none_or(|from| own.place >= from.timestamp_micros()))
            .filter(|own| to.is_none_or(|to| own.place < to.timestamp_micros()))
            .cloned()
            .collect();
        *(if expected.is_empty() { &mut none } else { &mut some }) += 1;
        let page = 1 + dice.roll(30);
        assert_eq!(found(&mut session, &wanted, page).await, places(&expected), "{text}");
        let count = expected.len() as u64;
        assert_eq!(session.search_count(&wanted, 1000).await.unwrap(), Count::Exact(count));
        if count > 2 {
            assert_eq!(session.search_count(&wanted, 2).await.unwrap(), Count::AtLeast(2));
        }
        let mut days = BTreeMap::new();
        expected.iter().for_each(|own| *days.entry(own.at.timestamp() / DAY).or_insert(0) += 1);
        let volume = session.search_volume(&wanted, 1000).await.unwrap();
        assert_eq!((volume.days, volume.since), (days, None), "{text}");
        threads_are_as_a_reader_groups_them(&mut session, &wanted, &expected, &all, page).await;
    }
    assert!(some > 100 && none > 10, "{some} {none}");
}

pub(crate) async fn words_are_found_however_many_have_them(opened: Opened) {
    let store = &opened.store;
    let mut session = store.write().await.unwrap();
    let world = World::new(&mut session).await;
    let source = &world.sources[0].1;
    assert!(session.begin_comments(source).await.unwrap());
    // More than are looked at one by one: a few words, each in others of them.
    type Has = fn(i64) -> bool;
    let has: &[(&str, Has)] = &[
        ("every", |_| true),
        ("half", |n| n % 2 == 0),
        ("some", |n| n % 60 == 0),
        ("seldom", |n| n % 900 == 0),
        ("older", |n| n < 1_000),
        ("oldest", |n| n < 30),
        ("newest", |n| n >= 5_970),
    ];
    let mut placed = Vec::new();
    for some in (0..6_000).collect::<Vec<i64>>().chunks(500) {
        let new = some.iter().map(|n| {
            let words = has.iter().filter(|(_, has)| has(*n)).map(|(word, _)| *word);
            let text = words.collect::<Vec<_>>().join(" ");
            let mut new = made_up(&mut Dice(1), usize::try_from(*n).unwrap());
            // Far apart long ago, and one in a second lately: who goes back by what is there lately
            // does not come far.
            new.at = at(if *n < 5_000 { *n * 3_600 } else { 5_000 * 3_600 + *n });
            new.body = json!({ "messages": [{ "body": { "text": text } }] }).to_string();
            CommentWrite { new, old: None }
        });
        placed.extend(places(&session.put_comments(source, new.collect()).await.unwrap()));
    }
    placed.sort_unstable();
    for (word, has) in has {
        let here = (0..).zip(&placed).filter(|(n, _)| has(*n)).map(|(_, place)| *place);
        let mut expected: Vec<i64> = here.collect();
        expected.reverse();
        for page in [21, 1_000] {
            let found = found(&mut session, &world.search(word), page).await;
            assert!(found == expected, "{word}, {page}: {} found", found.len());
        }
        for most in [20, 1_000, 10_000] {
            let count = session.search_count(&world.search(word), most).await.unwrap();
            let exact = Count::Exact(expected.len() as u64);
            let all = if expected.len() as u64 > most { Count::AtLeast(most) } else { exact };
            assert_eq!(count, all, "{word}");
        }
    }
    // Words beside one another: texts are read, and not for ever to count.
    let wanted = world.search("\"every half\"");
    let evens = (0..).zip(&placed).filter(|(n, _)| n % 2 == 0).map(|(_, place)| *place);
    let mut expected: Vec<i64> = evens.collect();
    expected.reverse();
    assert!(found(&mut session, &wanted, 21).await == expected);
    let (first, count) = session.search_and_count(&wanted, 21, 10_000).await.unwrap();
    assert_eq!(places(&first), expected[..21]);
    match count {
        Count::Exact(count) => assert_eq!(count, 3_000),
        Count::AtLeast(count) => assert!((20..3_000).contains(&count), "{count}"),
    }
}

async fn threads_are_as_a_reader_groups_them(
    session: &mut Session,
    wanted: &Search,
    expected: &[Comment],
    all: &[Comment],
    most: usize,
) {
    let key = |own: &Comment| own.thread_id.clone().map(|thread| (own.source_id.clone(), thread));
    let mut seen = BTreeSet::new();
    let heads: Vec<_> = expected
        .iter()
        .filter(|own| key(own).is_none_or(|key| seen.insert(key)))
        .map(|head| {
            let of = |all: &[Comment]| match key(head) {
                None => 1,
                some => all.iter().filter(|own| key(own) == some).count() as u64,
            };
            (head.place, Count::Exact(of(expected)), Count::Exact(of(all)))
        })
        .collect();
    let (mut wanted, mut hits) = (wanted.clone(), Vec::new());
    loop {
        let page = session.search_threads(&wanted, most).await.unwrap();
        assert!(page.hits.len() <= most);
        hits.extend(page.hits.iter().map(|hit| (hit.comment.place, hit.found, hit.comments)));
        wanted.after = page.after;
        if page.after.is_none() {
            break;
        }
    }
    assert_eq!(hits, heads);
}

pub(crate) async fn an_index_is_rebuilt_while_comments_change(opened: Opened) {
    let store = &opened.store;
    let mut dice = Dice(0xfeed);
    let mut session = store.write().await.unwrap();
    let world = World::new(&mut session).await;
    session.commit().await.unwrap();
    fill(store, &world, &mut dice, 120).await;
    let mut session = store.write().await.unwrap();
    assert_eq!(session.search_progress().await.unwrap(), SearchProgress::Complete);
    session.discard_search().await.unwrap();
    assert_eq!(session.search_progress().await.unwrap(), SearchProgress::Missing);
    assert!(session.search(&world.search(""), 9).await.unwrap().is_empty());
    assert!(session.rebuild_search(10).await.unwrap());
    assert!(matches!(session.search_progress().await.unwrap(), SearchProgress::Upto(_)));
    session.commit().await.unwrap();
    // Some of what is written now is behind what was rebuilt, and some before it.
    let all = fill(store, &world, &mut dice, 120).await;
    let mut rounds = 0;
    loop {
        let mut session = store.write().await.unwrap();
        let more = session.rebuild_search(10).await.unwrap();
        session.commit().await.unwrap();
        rounds += 1;
        if !more {
            break;
        }
    }
    assert!(rounds > 3, "{rounds}");
    let mut session = store.read().await.unwrap();
    assert_eq!(session.search_progress().await.unwrap(), SearchProgress::Complete);
    let everything = found(&mut session, &world.search(""), 50).await;
    // Those of the first filling that the second did not touch are there too.
    assert!(places(&all).iter().all(|place| everything.contains(place)));
    let mut expected = Vec::new();
    for (_, source) in &world.sources {
        let query = store::CommentQuery { limit: 1000, ..store::CommentQuery::default() };
        expected.extend(places(&session.comments(source, &query).await.unwrap()));
    }
    expected.sort_unstable_by_key(|place| std::cmp::Reverse(*place));
    assert_eq!(everything, expected);
    let sources: Vec<String> = world.sources.iter().map(|(_, id)| id.clone()).collect();
    let mut days = BTreeMap::new();
    expected.iter().for_each(|own| *days.entry(own / 1_000_000 / DAY).or_insert(0) += 1);
    assert_eq!(session.source_volume(&sources, None, None).await.unwrap(), days);
    for (from, to) in
        [(3 * DAY / 2, 3 * DAY), (DAY / 4, DAY / 2), (DAY, 2 * DAY), (DAY / 4, 9 * DAY / 4)]
    {
        let within = expected
            .iter()
            .filter(|own| (at(from).timestamp_micros()..at(to).timestamp_micros()).contains(*own));
        let mut days = BTreeMap::new();
        within.for_each(|own| *days.entry(own / 1_000_000 / DAY).or_insert(0) += 1);
        let volume = session.source_volume(&sources, Some(at(from)), Some(at(to))).await.unwrap();
        assert_eq!(volume, days, "{from} {to}");
    }
}

pub(crate) async fn nobody_finds_what_is_in_another_project(opened: Opened) {
    let store = &opened.store;
    let mut dice = Dice(0xdead);
    let mut session = store.write().await.unwrap();
    let world = World::new(&mut session).await;
    session.commit().await.unwrap();
    let all = fill(store, &world, &mut dice, 120).await;
    let mut session = store.read().await.unwrap();
    let others = world.sources.iter().filter(|(name, _)| name.starts_with("p1"));
    let others: BTreeSet<&String> = others.map(|(_, id)| id).collect();
    let mut own =
        Search { projects: BTreeSet::from([world.projects[0].clone()]), ..world.search("") };
    let theirs = found(&mut session, &own, 100).await;
    let expected: Vec<i64> =
        all.iter().filter(|own| !others.contains(&own.source_id)).map(|own| own.place).collect();
    assert_eq!(theirs, expected);
    for text in [
        "source:p1/s0",
        "project:p1",
        "-due -(date)",
        "in OR project:p1",
        "-project:p0",
        "NOT NOT project:p1",
        "invoice) OR (project:p1",
    ] {
        let Ok(query) = search::parse(text, &world) else { continue };
        own.query = query;
        for hit in session.search(&own, 1000).await.unwrap() {
            assert!(!others.contains(&hit.source_id), "{text}");
        }
        let page = session.search_threads(&own, 1000).await.unwrap();
        assert!(page.hits.iter().all(|hit| !others.contains(&hit.comment.source_id)));
    }
    own.projects.clear();
    own.query = Query::default();
    assert!(session.search(&own, 10).await.unwrap().is_empty());
    assert_eq!(session.search_count(&own, 10).await.unwrap(), Count::Exact(0));
    assert!(session.search_volume(&own, 10).await.unwrap().days.is_empty());
}

/// Queries of every shape reach the database without a syntax error.
pub(crate) async fn no_query_is_an_error_of_the_database(opened: Opened) {
    let store = &opened.store;
    let mut dice = Dice(0xbad);
    let mut session = store.write().await.unwrap();
    let world = World::new(&mut session).await;
    session.commit().await.unwrap();
    fill(store, &world, &mut dice, 60).await;
    let mut session = store.read().await.unwrap();
    let pieces = [
        "in",
        "\"due date\"",
        "inv*",
        " ",
        "(",
        ")",
        " OR ",
        " AND ",
        " NOT ",
        "-",
        "subject:",
        "\"",
        "'",
        "*",
        "NEAR",
        "^",
        "+",
        "{",
        "}",
        ":",
        "&",
        "|",
        "!",
        "<->",
        "\\",
        "--",
        ";",
        "%",
        "_all",
        "漢字",
        "字",
        "😀",
        "\u{0}",
        "prop:",
        "=",
        "$1",
        "\u{fdfa}",
        "é*",
        "from:a@b",
        "rowid:1",
    ];
    let mut understood = 0;
    for _ in 0..1500 {
        let count = 1 + dice.roll(8);
        let text: String = (0..count).map(|_| dice.of(&pieces)).collect();
        let Ok(query) = search::parse(&text, &world) else { continue };
        understood += 1;
        let search = Search { query, ..world.search("") };
        session.search(&search, 3).await.unwrap_or_else(|error| panic!("{text:?}: {error:?}"));
    }
    assert!(understood > 300, "{understood}");
    let many: Vec<String> = (0..64).map(|number| format!("w{number}")).collect();
    let deep = format!("{}in{}", "-(".repeat(7), ")".repeat(7));
    let phrases: Vec<String> = (0..40).map(|_| format!("\"{}\"", "in ".repeat(32))).collect();
    for text in [
        many.join(" OR "),
        many.join(" "),
        format!("-{}", many.join(" -")),
        deep,
        phrases.join(" OR "),
    ] {
        session.search(&world.search(&text), 3).await.unwrap();
    }
}
