//! Finds the items that another protocol named.

use std::collections::HashMap;

use record::{ItemId, Protocol, SourceError};
use serde::Serialize;

use super::{
    failure::Subject,
    mailbox::GraphMailbox,
    service::Ask,
    wire::{Collection, Translated},
};

/// Most ids in one request. Spec: "user: translateExchangeIds".
const IDS_AT_ONCE: usize = 1000;
const OPERATION: &str = "translateExchangeIds";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wanted<'a> {
    input_ids: Vec<&'a str>,
    source_id_type: &'static str,
    target_id_type: &'static str,
}

impl GraphMailbox {
    /// The immutable ids of items that EWS named. Some clouds do not translate, and some
    /// applications may not: then nobody can tell.
    pub(super) async fn translate_ids(
        &mut self,
        from: Protocol,
        items: &[ItemId],
    ) -> Result<Vec<Option<ItemId>>, SourceError> {
        match from {
            Protocol::Graph => return Ok(items.iter().cloned().map(Some).collect()),
            Protocol::Ews => {}
        }
        let mut found: HashMap<String, String> = HashMap::new();
        for group in items.chunks(IDS_AT_ONCE) {
            let wanted = Wanted {
                input_ids: group.iter().map(|id| id.0.as_str()).collect(),
                source_id_type: "ewsId",
                target_id_type: "restImmutableEntryId",
            };
            let json = serde_json::to_vec(&wanted).map_err(|err| self.bad_page(Box::new(err)))?;
            let ask = Ask::post(OPERATION, self.target(&[OPERATION]), json);
            match self.ask::<Collection<Translated>>(&ask).await {
                Ok(reply) => found.extend(
                    reply
                        .value
                        .into_iter()
                        .filter_map(|pair| Some((pair.source_id?, pair.target_id?))),
                ),
                Err(refused)
                    if refused.status().is_some_and(|status| {
                        matches!(status.status, 400 | 403..=405 | 501) && !status.concerns_mailbox()
                    }) =>
                {
                    tracing::info!(
                        mailbox.id = %self.id,
                        "The ids of `{}` cannot be translated, items are found by what they are",
                        self.id,
                    );
                    return Ok(vec![None; items.len()]);
                }
                Err(refused) => return Err(self.error(refused, OPERATION, Subject::Mailbox)),
            }
        }
        let target =
            |id: &ItemId| found.get(&id.0).filter(|id| !id.is_empty()).cloned().map(ItemId);
        Ok(items.iter().map(target).collect())
    }
}
