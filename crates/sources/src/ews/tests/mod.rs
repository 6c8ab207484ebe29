//! Tests that need bytes only: no server, no network.

mod compose;
mod failure;
mod reply;
mod request;
mod stream;

use crate::body::Limits;

const MIB: usize = 1024 * 1024;

fn limits() -> Limits {
    Limits { spool_dir: std::env::temp_dir(), max_size: 8 * MIB as u64, memory: 4 * MIB }
}

/// A reply of Exchange around `body`.
fn envelope(body: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages" xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types"><s:Header><t:ServerVersionInfo MajorVersion="15" MinorVersion="2"/></s:Header><s:Body>{body}</s:Body></s:Envelope>"#
    )
}

/// A `GetItem` reply that consists of `messages`.
fn get_item_reply(messages: &str) -> String {
    envelope(&format!(
        "<m:GetItemResponse><m:ResponseMessages>{messages}</m:ResponseMessages></m:GetItemResponse>"
    ))
}

/// One email in a `GetItem` reply, with this text as its MIME content.
fn mime_message(id: &str, mime: &str) -> String {
    format!(
        r#"<m:GetItemResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode><m:Items><t:Message><t:MimeContent CharacterSet="UTF-8">{mime}</t:MimeContent><t:ItemId Id="{id}" ChangeKey="c"/></t:Message></m:Items></m:GetItemResponseMessage>"#
    )
}
