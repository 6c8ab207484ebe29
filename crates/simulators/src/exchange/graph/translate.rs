//! `translateExchangeIds`: ids of one kind into those of another ("user:
//! translateExchangeIds").

use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    super::{id::Id, mailbox::Mailbox},
    answer::{Answer, Call},
    error::Refusal,
    id::{Known, immutable_id, rest_id},
};

/// Most ids of one call.
const MOST: usize = 1000;
const KINDS: [&str; 5] = ["entryId", "ewsId", "immutableEntryId", "restId", "restImmutableEntryId"];

pub(super) fn translate(call: &Call<'_>) -> Result<Answer, Refusal> {
    let body: Value = serde_json::from_slice(&call.request.body)
        .map_err(|_| Refusal::bad("Unable to read JSON request payload."))?;
    // The names of parameters are compared without regard to case.
    let parameter = |name: &str| {
        let fields = body.as_object().into_iter().flatten();
        fields.into_iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let kind = |name: &str| -> Result<&str, Refusal> {
        let kind = parameter(name).and_then(Value::as_str).unwrap_or_default();
        let known = KINDS.into_iter().find(|own| own.eq_ignore_ascii_case(kind));
        known.ok_or_else(|| Refusal::bad(format!("`{name}` must be one of {}.", KINDS.join(", "))))
    };
    let (from, to) = (kind("sourceIdType")?, kind("targetIdType")?);
    let ids = parameter("inputIds").and_then(Value::as_array);
    let ids = ids.ok_or_else(|| Refusal::bad("`inputIds` must be a list of ids."))?;
    if ids.len() > MOST {
        let text = format!("`inputIds` must have at most {MOST} ids.");
        return Err(Refusal::new(400, "ErrorInvalidParameter", text));
    }
    let mut value = Vec::new();
    for id in ids {
        let id = id.as_str().ok_or_else(|| Refusal::bad("`inputIds` must be texts."))?;
        let malformed = || Refusal::code(400, "ErrorInvalidIdMalformed");
        let known = decode(id, from).ok_or_else(malformed)?;
        // Also for what is gone: a translation does not look into the store.
        let target = encode(call.mailbox, known, to).ok_or_else(malformed)?;
        value.push(json!({ "sourceId": id, "targetId": target }));
    }
    let origin = &call.request.origin;
    let context = format!("{origin}/v1.0/$metadata#Collection(microsoft.graph.convertIdResult)");
    Ok(Answer::Json(json!({ "@odata.context": context, "value": value }), Vec::new()))
}

fn decode(id: &str, kind: &str) -> Option<Known> {
    match kind {
        "ewsId" => {
            Id::decode(id)?;
            Known::decode(&rest_id(id))
        }
        "restId" => Known::decode(id).filter(|known| !matches!(known, Known::Immutable(..))),
        "restImmutableEntryId" => {
            Known::decode(id).filter(|known| matches!(known, Known::Immutable(..)))
        }
        _ => {
            // Base64 for URLs, with the number of signs that fill it up at its end.
            let digits = id.strip_suffix(['0', '1', '2'])?;
            let bytes = URL_SAFE_NO_PAD.decode_to_vec(digits.as_bytes()).ok()?;
            Known::decode(&rest_id(&STANDARD.encode_to_string(&bytes)))
        }
    }
}

fn encode(mailbox: &Mailbox, known: Known, kind: &str) -> Option<String> {
    let rest = match (known, kind) {
        (Known::Folder(guid, no), _) if guid == mailbox.guid => rest_id(&mailbox.folder_id(no)),
        (Known::Item(guid, no), "immutableEntryId" | "restImmutableEntryId") => {
            let item = mailbox.items.get(&no);
            (guid == mailbox.guid)
                .then(|| immutable_id(guid, item.map_or(no, |item| item.immutable)))?
        }
        (Known::Item(guid, no), _) if guid == mailbox.guid => rest_id(&mailbox.item_id(no)),
        (Known::Immutable(guid, no), "immutableEntryId" | "restImmutableEntryId") => {
            (guid == mailbox.guid).then(|| immutable_id(guid, no))?
        }
        (Known::Immutable(..), _) => rest_id(&mailbox.item_id(known.item(mailbox)?.no)),
        _ => return None,
    };
    let standard = rest.replace('-', "/").replace('_', "+");
    Some(match kind {
        "ewsId" => standard,
        "entryId" | "immutableEntryId" => {
            let bytes = STANDARD.decode_to_vec(standard.as_bytes()).ok()?;
            let filling = standard.len() - standard.trim_end_matches('=').len();
            format!("{}{filling}", URL_SAFE_NO_PAD.encode_to_string(&bytes))
        }
        _ => rest,
    })
}
