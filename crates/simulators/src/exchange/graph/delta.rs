//! Delta queries: what changed among the messages of a folder, or among the folders.

use base64_simd::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::{
    super::{
        fault::Fault,
        folder::{Change, Folder, Kind},
        id::{FolderNo, Id, ItemNo, Target, checksum},
        item::Item,
        sync_state::{Progress, SyncState},
    },
    answer::{Answer, Call},
    error::Refusal,
    id::{of_item, rest_id},
    query::{FOLDER, Filter, MESSAGE, Query, Shape},
    render::{self, is_mail_folder, is_message},
};

/// A place in the order by time of receipt: nanoseconds, and the number of the item.
type Place = (Option<i64>, ItemNo);

/// What a link says: where the client stands, and what it asked for at the start.
struct Round {
    state: SyncState,
    query: Query,
    /// Messages that earlier pages showed.
    shown: usize,
    /// The last message shown, in a listing by time of receipt.
    before: Option<Place>,
}

impl Round {
    /// A round that begins, or the one that the token of a link goes on with.
    fn read(call: &Call<'_>, folder: FolderNo, hierarchy: bool) -> Result<Self, Refusal> {
        let (query, mailbox) = (call.query, call.mailbox);
        let token = query.get("$skiptoken").or_else(|| query.get("$deltatoken"));
        let Some(token) = token else {
            let high = mailbox.high();
            let newest_first = call.shared.options.newest_first && !hierarchy;
            let cursor = if newest_first { high + 1 } else { 0 };
            let progress = Progress::Listing { high, cursor };
            let epoch = mailbox.epoch;
            let state = SyncState { mailbox: mailbox.guid, folder, hierarchy, epoch, progress };
            return Ok(Self { state, query: query.clone(), shown: 0, before: None });
        };
        if query.0.len() > 1 {
            let text = "A token cannot be combined with other query options.";
            return Err(Refusal::bad(text));
        }
        let round = Self::decode(token, call).ok_or_else(|| Refusal::bad("Badly formed token."))?;
        if round.state.folder != folder || round.state.hierarchy != hierarchy {
            return Err(Refusal::bad("The token belongs to another collection."));
        }
        let seen = match round.state.progress {
            Progress::Listing { high, .. } => high,
            Progress::Until(seq) => seq,
        };
        if round.state.epoch != mailbox.epoch || seen > mailbox.high() {
            return Err(Refusal::code(410, "SyncStateNotFound"));
        }
        Ok(round)
    }

    fn decode(token: &str, call: &Call<'_>) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode_to_vec(token.as_bytes()).ok()?;
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        if checksum(body) != sum {
            return None;
        }
        let (state, query, shown, before): (String, Vec<(String, String)>, usize, Option<Place>) =
            serde_json::from_slice(body).ok()?;
        let state = SyncState::decode(&state, call.mailbox.guid)?;
        Some(Self { state, query: Query(query), shown, before })
    }

    fn encode(&self) -> String {
        let round = (self.state.encode(), &self.query.0, self.shown, self.before);
        let mut bytes = json!(round).to_string().into_bytes();
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        URL_SAFE_NO_PAD.encode_to_string(&bytes)
    }

    /// Entries of the next page.
    fn page(&self, call: &Call<'_>) -> Result<usize, Refusal> {
        if call.struck.contains(&Fault::IgnorePageSize) {
            return Ok(usize::MAX);
        }
        let options = &call.shared.options.graph;
        let wanted = call.prefer.page.or(self.query.number("$top")?).unwrap_or(options.page);
        Ok(wanted.clamp(1, options.largest_page))
    }

    /// The page: entries and the link to what follows.
    fn answer(self, call: &Call<'_>, context: &str, entries: Vec<Value>, more: bool) -> Value {
        let twice = if call.struck.contains(&Fault::Duplicates) { 2 } else { 1 };
        let value: Vec<_> =
            entries.into_iter().flat_map(|entry| std::iter::repeat_n(entry, twice)).collect();
        let mut page = Map::new();
        let origin = &call.request.origin;
        page.insert(
            "@odata.context".to_owned(),
            json!(format!("{origin}/v1.0/$metadata#{context}")),
        );
        let (name, token) = match more {
            true => ("@odata.nextLink", "$skiptoken"),
            false => ("@odata.deltaLink", "$deltatoken"),
        };
        let origin = if call.struck.contains(&Fault::ForeignLink) {
            "https://graph.example.net"
        } else {
            origin
        };
        let path = call.delta_path();
        let link = format!("{origin}/v1.0{path}?{token}={}", self.encode());
        page.insert(name.to_owned(), json!(link));
        page.insert("value".to_owned(), Value::Array(value));
        Value::Object(page)
    }
}

/// One entry of a page.
enum Shown<'a> {
    Item(&'a Item),
    Removed { item: ItemNo, immutable: ItemNo },
}

pub(super) fn messages(call: &Call<'_>, folder: &Folder) -> Result<Answer, Refusal> {
    let options = &call.shared.options.graph;
    if folder.kind == Kind::Search {
        return Err(Refusal::code(400, "ErrorInvalidOperation"));
    }
    let mut round = Round::read(call, folder.no, false)?;
    let names = ["$select", "$expand", "$filter", "$orderby", "$top", "$skiptoken", "$deltatoken"];
    round.query.allow(&names)?;
    let shape = Shape::read(&round.query, MESSAGE)?;
    if !shape.expand.is_empty() && !options.expand_in_delta {
        return Err(Refusal::bad("The query option '$expand' is not supported in a delta query."));
    }
    call.check_expand(&shape)?;
    let filter = round.query.get("$filter").map(Filter::read).transpose()?;
    if filter.as_ref().is_some_and(|filter| !filter.fits_delta()) {
        let text = "A delta query supports only filters `receivedDateTime ge` and `gt`.";
        return Err(Refusal::new(400, "ErrorInvalidUrlQueryFilter", text));
    }
    let by_date = match round.query.get("$orderby") {
        None => false,
        Some(order) if order.eq_ignore_ascii_case("receivedDateTime desc") => true,
        Some(_) => {
            let text = "A delta query supports only the order `receivedDateTime desc`.";
            return Err(Refusal::bad(text));
        }
    };
    let kinds = round.query.get("changeType").map(str::to_owned);
    if let Some(kind) = kinds.as_deref()
        && !["created", "updated", "deleted"].contains(&kind)
    {
        return Err(Refusal::bad(format!("The changeType `{kind}` is not supported.")));
    }
    let most = round.page(call)?;
    if call.struck.contains(&Fault::EmptyPage) {
        let page = round.answer(call, "Collection(message)", Vec::new(), true);
        return Ok(Answer::Json(page, Vec::new()));
    }
    let fits =
        |item: &Item| is_message(item) && filter.as_ref().is_none_or(|filter| filter.matches(item));
    let (shown, more) = match round.state.progress {
        Progress::Listing { high, cursor } => {
            let left = match filter {
                Some(_) => options.filtered_delta.saturating_sub(round.shown),
                None => usize::MAX,
            };
            let mut listing =
                Listing { most: most.min(left), fits: &fits, shown: Vec::new(), last: None };
            let items = &call.mailbox.items;
            let more = if by_date {
                let all = folder.by_date.iter().rev().filter_map(|(_, no)| items.get(no));
                let place = |item: &Item| (nanoseconds(item.delivery.received), item.no);
                let before = round.before;
                let rest = all.filter(|item| item.created <= high);
                listing.take(rest.filter(|item| before.is_none_or(|before| place(item) < before)))
            } else if call.shared.options.newest_first {
                let rest = folder.items.range(..cursor.min(high + 1)).rev();
                listing.take(rest.filter_map(|(_, no)| items.get(no)))
            } else {
                let rest = folder.items.range(cursor + 1..high.max(cursor) + 1);
                listing.take(rest.filter_map(|(_, no)| items.get(no)))
            };
            let more = more && listing.shown.len() < left;
            if let Some(last) = listing.last {
                round.before = Some((nanoseconds(last.delivery.received), last.no));
                round.state.progress = Progress::Listing { high, cursor: last.created };
            }
            if !more {
                round.state.progress = Progress::Until(high);
            }
            round.shown += listing.shown.len();
            (listing.shown.into_iter().map(Shown::Item).collect::<Vec<_>>(), more)
        }
        Progress::Until(seen) => {
            let wants = |kind: &str| kinds.as_deref().is_none_or(|own| own == kind);
            let (shown, last, more) = changes(call, folder, seen, most, &fits, &wants);
            round.state.progress = Progress::Until(last);
            (shown, more)
        }
    };
    let mut faults = Vec::new();
    let mut entries: Vec<_> = shown
        .iter()
        .map(|shown| match shown {
            Shown::Item(item) => {
                let own = call.text_faults(item);
                let mut entry = call.message(item, &shape, &own);
                faults.extend(own);
                entry.entry("@odata.type").or_insert(json!("#microsoft.graph.message"));
                Value::Object(entry)
            }
            Shown::Removed { item, immutable } => removed(call, *item, *immutable),
        })
        .collect();
    if call.struck.contains(&Fault::PhantomItem) {
        let no = u64::MAX - call.mailbox.high();
        let id = Id { mailbox: call.mailbox.guid, target: Target::Item(no) }.encode();
        entries.push(json!({ "@odata.type": "#microsoft.graph.message", "id": rest_id(&id) }));
    }
    Ok(Answer::Json(round.answer(call, "Collection(message)", entries, more), faults))
}

/// A page of a first listing while it fills.
struct Listing<'a, 'f> {
    most: usize,
    fits: &'f dyn Fn(&Item) -> bool,
    shown: Vec<&'a Item>,
    /// The last item that was looked at.
    last: Option<&'a Item>,
}

impl<'a> Listing<'a, '_> {
    /// Takes items until the page is full, and says whether there are more.
    fn take(&mut self, items: impl Iterator<Item = &'a Item>) -> bool {
        for item in items {
            if self.shown.len() >= self.most {
                return true;
            }
            self.last = Some(item);
            if (self.fits)(item) {
                self.shown.push(item);
            }
        }
        false
    }
}

/// The changes of a folder after `seen`, the last one that was looked at, and whether there are
/// more.
fn changes<'a>(
    call: &Call<'a>,
    folder: &Folder,
    seen: u64,
    most: usize,
    fits: &dyn Fn(&Item) -> bool,
    wants: &dyn Fn(&str) -> bool,
) -> (Vec<Shown<'a>>, u64, bool) {
    let (mut shown, mut last) = (Vec::new(), seen);
    for (seq, change) in folder.log.range(seen + 1..) {
        if shown.len() >= most {
            return (shown, last, true);
        }
        last = *seq;
        match change {
            Change::Present(no) | Change::Read(no) => {
                let Some(item) = call.mailbox.items.get(no) else { continue };
                let kind = if item.created > seen { "created" } else { "updated" };
                if fits(item) && wants(kind) {
                    shown.push(Shown::Item(item));
                }
            }
            Change::Gone { item, immutable, created, .. } => {
                if *created <= seen && wants("deleted") {
                    shown.push(Shown::Removed { item: *item, immutable: *immutable });
                }
            }
        }
    }
    (shown, last, false)
}

fn nanoseconds(at: Option<DateTime<Utc>>) -> Option<i64> {
    at.map(|at| at.timestamp_nanos_opt().unwrap_or_default())
}

/// `changed` for what can be restored ("Use delta query to track changes").
fn removed(call: &Call<'_>, item: ItemNo, immutable: ItemNo) -> Value {
    let mailbox = call.mailbox;
    let trash = mailbox.distinguished("deleteditems");
    let in_trash = mailbox.by_immutable(immutable).is_some_and(|item| Some(item.folder) == trash);
    json!({
        "@odata.type": "#microsoft.graph.message",
        "id": of_item(mailbox, item, immutable, call.prefer.immutable),
        "@removed": { "reason": if in_trash { "changed" } else { "deleted" } },
    })
}

pub(super) fn folders(call: &Call<'_>) -> Result<Answer, Refusal> {
    let options = &call.shared.options.graph;
    let mailbox = call.mailbox;
    let top = mailbox.distinguished("msgfolderroot").ok_or_else(Refusal::item_not_found)?;
    let mut round = Round::read(call, top, true)?;
    round.query.allow(&["$select", "$expand", "$top", "$skiptoken", "$deltatoken"])?;
    let shape = Shape::read(&round.query, FOLDER)?;
    if !shape.expand.is_empty() && !options.expand_in_folder_delta {
        return Err(Refusal::bad("The query option '$expand' is not supported in a delta query."));
    }
    call.check_expand(&shape)?;
    let most = round.page(call)?;
    let context = format!("users('{}')/mailFolders", call.route.user);
    if call.struck.contains(&Fault::EmptyPage) {
        let page = round.answer(call, &context, Vec::new(), true);
        return Ok(Answer::Json(page, Vec::new()));
    }
    let visible =
        |folder: &Folder| !folder.deleted && !folder.hidden && mailbox.is_below(folder.no, top);
    let all = || mailbox.folders.values().filter(|folder| is_mail_folder(folder));
    let mut shown: Vec<(&Folder, bool)> = Vec::new();
    let mut more = false;
    match round.state.progress {
        Progress::Listing { high, cursor } => {
            let rest = all().filter(|folder| folder.created > cursor && folder.created <= high);
            round.state.progress = Progress::Until(high);
            for folder in rest.filter(|folder| visible(folder)) {
                if shown.len() == most {
                    more = true;
                    break;
                }
                shown.push((folder, false));
            }
            if let (true, Some((last, _))) = (more, shown.last()) {
                round.state.progress = Progress::Listing { high, cursor: last.created };
            }
        }
        Progress::Until(seen) => {
            let active = |folder: &Folder| match folder.log.keys().next_back() {
                Some(last) if options.count_changes => folder.logged.max(*last),
                _ => folder.logged,
            };
            let mut changed: Vec<_> =
                all().map(|folder| (active(folder), folder)).filter(|(at, _)| *at > seen).collect();
            changed.sort_by_key(|(at, _)| *at);
            let mut last = seen;
            for (at, folder) in changed {
                if shown.len() == most {
                    more = true;
                    break;
                }
                last = at;
                if visible(folder) || folder.created <= seen {
                    shown.push((folder, !visible(folder)));
                }
            }
            round.state.progress = Progress::Until(last);
        }
    }
    let mut faults = Vec::new();
    let entries = shown
        .iter()
        .map(|(folder, removed)| {
            if *removed {
                let id = rest_id(&mailbox.folder_id(folder.no));
                return json!({ "id": id, "@removed": { "reason": "deleted" } });
            }
            let own = call.name_faults(folder);
            let entry = render::folder(mailbox, folder, &shape, &own);
            faults.extend(own);
            Value::Object(entry)
        })
        .collect();
    Ok(Answer::Json(round.answer(call, &context, entries, more), faults))
}
