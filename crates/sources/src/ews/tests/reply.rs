//! Replies, read after the way that they take in production.

use expect_test::{Expect, expect};

use super::{envelope, get_item_reply, limits};
use crate::ews::{
    clean::clean,
    reply::{self, Rejected, parse_time},
    stream::{Bodies, Malformed, Splitter},
};

/// Splits and cleans `xml`, and shows what `read` makes of it.
#[track_caller]
fn check<T: std::fmt::Debug>(
    xml: &str,
    read: fn(&roxmltree::Document<'_>) -> Result<T, Rejected>,
    expected: Expect,
) {
    let mut splitter = Splitter::new(Bodies::MimeAndContent, limits());
    splitter.push(xml.as_bytes()).unwrap();
    let skeleton = splitter.finish().unwrap().skeleton;
    let cleaned = clean(&skeleton);
    let shown = match reply::parse(&cleaned.text) {
        Ok(document) => compact(&format!("{:?}", read(&document))),
        Err(malformed) => malformed.to_string(),
    };
    expected.assert_eq(&shown);
}

/// A line for each thing in a list, without what is `None`.
fn compact(shown: &str) -> String {
    let mut shown = shown.to_owned();
    for thing in
        ["FolderRow", "ItemRow", "Attachment {", "Ok(Folder", "Ok(ItemC", "Err(Fault", "metadata"]
    {
        shown = shown.replace(thing, &format!("\n{thing}"));
    }
    let none = [
        "class",
        "parent",
        "total",
        "children",
        "commit_time",
        "deleted",
        "received",
        "size",
        "message_id",
        "search_key",
        "inner",
        "back_off",
        "primary",
        "sent",
        "created",
        "name",
        "content_type",
        "content_id",
        "sender",
    ];
    for field in none {
        shown =
            shown.replace(&format!("{field}: None, "), "").replace(&format!(", {field}: None"), "");
    }
    shown.replace(", \n", ",\n").trim().to_owned()
}

fn hierarchy_reply(inside: &str) -> String {
    envelope(&format!(
        r#"<m:SyncFolderHierarchyResponse><m:ResponseMessages><m:SyncFolderHierarchyResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>{inside}</m:SyncFolderHierarchyResponseMessage></m:ResponseMessages></m:SyncFolderHierarchyResponse>"#
    ))
}

fn items_reply(inside: &str) -> String {
    envelope(&format!(
        r#"<m:SyncFolderItemsResponse><m:ResponseMessages><m:SyncFolderItemsResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>{inside}</m:SyncFolderItemsResponseMessage></m:ResponseMessages></m:SyncFolderItemsResponse>"#
    ))
}

#[test]
fn reads_a_folder_tree_with_all_kinds_of_change() {
    let xml = hierarchy_reply(
        r#"<m:SyncState> SDE= </m:SyncState><m:IncludesLastFolderInRange>true</m:IncludesLastFolderInRange><m:Changes>
        <t:Create><t:Folder><t:FolderId Id="F1" ChangeKey="k"/><t:ParentFolderId Id="R"/><t:FolderClass>IPF.Note</t:FolderClass><t:DisplayName>In&#x1;box &amp; Söhne</t:DisplayName><t:TotalCount>2</t:TotalCount><t:ChildFolderCount>1</t:ChildFolderCount></t:Folder></t:Create>
        <t:Update><t:CalendarFolder><t:FolderId Id="F2"/><t:DisplayName>Calendar</t:DisplayName></t:CalendarFolder></t:Update>
        <t:Delete><t:FolderId Id="F3"/></t:Delete></m:Changes>"#,
    );
    check(
        &xml,
        reply::hierarchy_page,
        expect![[r#"
            Ok(HierarchyPage { folders: [
            FolderRow { id: FolderId("F1"), parent: Some(FolderId("R")), name: "In�box & Söhne", class: Some("IPF.Note"), plain: true, total: Some(2), children: Some(1) },
            FolderRow { id: FolderId("F2"), name: "Calendar", plain: false }], deleted: [FolderId("F3")], state: "SDE=", last: true })"#]],
    );
}

#[test]
fn reads_folder_marks_and_single_faults() {
    let xml = envelope(
        r#"<x:GetFolderResponse xmlns:x="http://schemas.microsoft.com/exchange/services/2006/messages"><x:ResponseMessages>
        <x:GetFolderResponseMessage ResponseClass="Success"><x:ResponseCode>NoError</x:ResponseCode><x:Folders><t:Folder><t:FolderId Id="F1"/><t:DisplayName>Inbox</t:DisplayName><t:TotalCount>3</t:TotalCount>
        <t:ExtendedProperty><t:ExtendedFieldURI PropertyTag="0x670A" PropertyType="SystemTime"/><t:Value>2026-11-22T01:20:42Z</t:Value></t:ExtendedProperty>
        <t:ExtendedProperty><t:ExtendedFieldURI PropertyTag="26379" PropertyType="Integer"/><t:Value>4</t:Value></t:ExtendedProperty></t:Folder></x:Folders></x:GetFolderResponseMessage>
        <x:GetFolderResponseMessage ResponseClass="Error"><x:MessageText>Not here.</x:MessageText><x:ResponseCode>ErrorFolderNotFound</x:ResponseCode><x:DescriptiveLinkKey>0</x:DescriptiveLinkKey><x:Folders/></x:GetFolderResponseMessage>
        </x:ResponseMessages></x:GetFolderResponse>"#,
    );
    check(
        &xml,
        reply::folder_marks,
        expect![[r#"
            Ok([Ok(
            FolderRow { id: FolderId("F1"), name: "Inbox", plain: true, total: Some(3), commit_time: Some("2026-11-22T01:20:42Z"), deleted: Some("4") }),
            Err(Fault { code: "ErrorFolderNotFound", text: "Not here." })])"#]],
    );
}

#[test]
fn reads_a_listing_and_leaves_out_what_is_no_mail() {
    let xml = items_reply(
        r#"<m:SyncState>STI=</m:SyncState><m:IncludesLastItemInRange>false</m:IncludesLastItemInRange><m:Changes>
        <t:Create><t:Message><t:ItemId Id="I1" ChangeKey="k"/><t:ItemClass>IPM.Note</t:ItemClass><t:DateTimeReceived>2026-11-21T08:15:02.1234567Z</t:DateTimeReceived><t:Size>612</t:Size><t:IsDraft>false</t:IsDraft><t:ExtendedProperty><t:ExtendedFieldURI PropertyTag="0x300b" PropertyType="Binary"/><t:Value>AAEC</t:Value></t:ExtendedProperty><t:InternetMessageId>&lt;4711@example.org&gt;</t:InternetMessageId></t:Message></t:Create>
        <t:Create><t:MeetingRequest><t:ItemId Id="I2"/></t:MeetingRequest></t:Create>
        <t:Update><t:Item><t:ItemId Id="I3"/><t:ItemClass>ipm.task.Team</t:ItemClass></t:Item></t:Update>
        <t:Update><t:Item><t:ItemId Id="I4"/><t:ItemClass>IPM.TaskRequest</t:ItemClass><t:IsDraft>true</t:IsDraft></t:Item></t:Update>
        <t:Create><t:Contact><t:ItemId Id="I5"/></t:Contact></t:Create>
        <t:Create><t:Message><t:Size>1</t:Size></t:Message></t:Create>
        <t:Delete><t:ItemId Id="I6"/></t:Delete>
        <t:ReadFlagChange><t:ItemId Id="I7"/><t:IsRead>true</t:IsRead></t:ReadFlagChange></m:Changes>"#,
    );
    check(
        &xml,
        reply::items_page,
        expect![[r#"
            Ok(ItemsPage { rows: [
            ItemRow { id: ItemId("I1"), is_mail: true, message_id: Some("<4711@example.org>"), received: Some(2026-11-21T08:15:02.123456700Z), size: Some(612), is_draft: false, search_key: Some([0, 1, 2]) },
            ItemRow { id: ItemId("I2"), is_mail: true, is_draft: false },
            ItemRow { id: ItemId("I3"), is_mail: false, is_draft: false },
            ItemRow { id: ItemId("I4"), is_mail: true, is_draft: true },
            ItemRow { id: ItemId("I5"), is_mail: false, is_draft: false }], removed: 1, nameless: 1, state: "STI=", last: false })"#]],
    );
}

#[test]
fn a_page_that_does_not_tell_whether_it_is_the_last() {
    let full = r#"<m:SyncState>S</m:SyncState><m:Changes><t:Delete><t:ItemId Id="I"/></t:Delete></m:Changes>"#;
    let empty = "<m:SyncState>S</m:SyncState><m:Changes/>";
    for (inside, last) in [(full, false), (empty, true)] {
        let xml = items_reply(inside);
        let document = reply::parse(&xml).unwrap();
        assert_eq!(reply::items_page(&document).unwrap().last, last);
    }
}

#[test]
fn reads_fetched_items_with_faults_between_them() {
    let xml = get_item_reply(
        r#"<m:GetItemResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode><m:Items><t:Message><t:MimeContent CharacterSet="UTF-8">QUJD</t:MimeContent><t:ItemId Id="I1"/><t:DateTimeReceived>2026-11-21T08:15:02</t:DateTimeReceived><t:Size>612</t:Size><t:Categories><t:String>Red &#xD83D;&#xDE00;</t:String><t:String/></t:Categories><t:Importance>High</t:Importance><t:Sensitivity>Private</t:Sensitivity><t:HasAttachments>true</t:HasAttachments><t:ConversationId Id="C1"/><t:ConversationTopic>Invoice &#x0;</t:ConversationTopic><t:InternetMessageId>&lt;4711@example.org&gt;</t:InternetMessageId><t:IsRead>0</t:IsRead></t:Message></m:Items></m:GetItemResponseMessage>
        <m:GetItemResponseMessage ResponseClass="Error"><m:MessageText>No such item in the store.</m:MessageText><m:ResponseCode>ErrorItemNotFound</m:ResponseCode><m:DescriptiveLinkKey>0</m:DescriptiveLinkKey><m:Items/></m:GetItemResponseMessage>
        <m:GetItemResponseMessage ResponseClass="Warning"><m:MessageText>Stopped.</m:MessageText><m:ResponseCode>ErrorBatchProcessingStopped</m:ResponseCode><m:DescriptiveLinkKey>0</m:DescriptiveLinkKey><m:Items/></m:GetItemResponseMessage>
        <m:GetItemResponseMessage ResponseClass="Error"><m:MessageText>Busy.</m:MessageText><m:ResponseCode>ErrorInternalServerError</m:ResponseCode><m:DescriptiveLinkKey>0</m:DescriptiveLinkKey><m:MessageXml><t:Value Name="InnerErrorMessageText">Busy.</t:Value><t:Value Name="InnerErrorResponseCode">ErrorServerBusy</t:Value><t:Value Name="BackOffMilliseconds">45000</t:Value></m:MessageXml><m:Items/></m:GetItemResponseMessage>"#,
    );
    check(
        &xml,
        reply::get_items,
        expect![[r#"
            Ok([
            Ok(ItemContent { id: Some(ItemId("I1")), message_id: Some("<4711@example.org>"), mime: Some(0),
            metadata: Metadata { folder: [], received_at: Some(2026-11-21T08:15:02Z), size: Some(612), categories: ["Red 😀"], importance: Some("High"), sensitivity: Some("Private"), has_attachments: Some(true), is_read: Some(false), conversation_id: Some("C1"), conversation_topic: Some("Invoice �") } }),
            Err(Fault { code: "ErrorItemNotFound", text: "No such item in the store." }),
            Err(Fault { code: "ErrorBatchProcessingStopped", text: "Stopped." }),
            Err(Fault { code: "ErrorInternalServerError", text: "Busy.", inner: Some("ErrorServerBusy"), back_off: Some(45s) })])"#]],
    );
}

#[test]
fn reads_the_parts_of_a_message() {
    let xml = get_item_reply(
        r#"<m:GetItemResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode><m:Items><t:Message><t:ItemId Id="I1"/><t:Subject>S</t:Subject><t:Body BodyType="HTML">&lt;p&gt;Hi&lt;/p&gt;</t:Body><t:Attachments>
        <t:FileAttachment><t:AttachmentId Id="A1"/><t:Name>a.pdf</t:Name><t:ContentType>application/pdf</t:ContentType><t:ContentId>c1</t:ContentId><t:IsInline>true</t:IsInline></t:FileAttachment>
        <t:ItemAttachment><t:AttachmentId Id="A2"/><t:Name>Forwarded</t:Name></t:ItemAttachment></t:Attachments>
        <t:InternetMessageHeaders><t:InternetMessageHeader HeaderName="Received">from a</t:InternetMessageHeader><t:InternetMessageHeader HeaderName="X-Empty"/></t:InternetMessageHeaders>
        <t:ToRecipients><t:Mailbox><t:Name>B</t:Name><t:EmailAddress>b@example.com</t:EmailAddress></t:Mailbox><t:Mailbox/></t:ToRecipients>
        <t:From><t:Mailbox><t:EmailAddress>a@example.org</t:EmailAddress></t:Mailbox></t:From></t:Message></m:Items></m:GetItemResponseMessage>"#,
    );
    let parts = |document: &roxmltree::Document<'_>| Ok(reply::get_parts(document)?.1);
    check(
        &xml,
        parts,
        expect![[r#"
            Ok(Parts { subject: Some("S"), headers: [("Received", "from a"), ("X-Empty", "")], from: Some(Address { email: Some("a@example.org") }), to: [Address { name: Some("B"), email: Some("b@example.com") }], cc: [], body: Some("<p>Hi</p>"), body_is_html: true, attachments: [
            Attachment { id: "A1", name: Some("a.pdf"), content_type: Some("application/pdf"), content_id: Some("c1"), is_inline: true, kind: File },
            Attachment { id: "A2", name: Some("Forwarded"), is_inline: false, kind: Item }] })"#]],
    );
}

#[test]
fn finds_the_content_of_an_attachment() {
    let reply = |inside: &str| {
        envelope(&format!(
            r#"<m:GetAttachmentResponse><m:ResponseMessages><m:GetAttachmentResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode><m:Attachments>{inside}</m:Attachments></m:GetAttachmentResponseMessage></m:ResponseMessages></m:GetAttachmentResponse>"#
        ))
    };
    let file = "<t:FileAttachment><t:Name>a</t:Name><t:Content>QUJD</t:Content></t:FileAttachment>";
    check(&reply(file), reply::attachment, expect!["Ok(Some(File(0)))"]);
    let item = "<t:ItemAttachment><t:Name>a</t:Name><t:Message><t:MimeContent>QUJD</t:MimeContent></t:Message></t:ItemAttachment>";
    check(&reply(item), reply::attachment, expect!["Ok(Some(Message(0)))"]);
    check(&reply("<t:ItemAttachment/>"), reply::attachment, expect!["Ok(None)"]);
}

#[test]
fn reads_soap_faults_of_two_servers() {
    let throttled = r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode xmlns:a="http://schemas.microsoft.com/exchange/services/2006/types">a:ErrorServerBusy</faultcode><faultstring xml:lang="en-US">Too busy, come back later.</faultstring><detail><e:ResponseCode xmlns:e="http://schemas.microsoft.com/exchange/services/2006/errors">ErrorServerBusy</e:ResponseCode><e:Message xmlns:e="http://schemas.microsoft.com/exchange/services/2006/errors">Later.</e:Message><t:MessageXml xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types"><t:Value Name="BackOffMilliseconds">45000</t:Value></t:MessageXml></detail></s:Fault></s:Body></s:Envelope>"#;
    check(
        throttled,
        reply::items_page,
        expect![[
            r#"Err(Fault(Fault { code: "ErrorServerBusy", text: "Later.", back_off: Some(45s) }))"#
        ]],
    );
    let plain = "<s:Envelope xmlns:s='x'><s:Body><s:Fault><faultcode>ErrorCannotFindUser</faultcode><faultstring>Who?</faultstring></s:Fault></s:Body></s:Envelope>";
    check(
        plain,
        reply::items_page,
        expect![[r#"Err(Fault(Fault { code: "ErrorCannotFindUser", text: "Who?" }))"#]],
    );
}

#[test]
fn an_error_message_is_the_fault_of_the_whole_call_where_there_is_but_one() {
    let xml = envelope(
        r#"<m:SyncFolderItemsResponse><m:ResponseMessages><m:SyncFolderItemsResponseMessage ResponseClass="Error"><m:MessageText>Use the primary address.</m:MessageText><m:ResponseCode>ErrorNonPrimarySmtpAddress</m:ResponseCode><m:DescriptiveLinkKey>0</m:DescriptiveLinkKey><m:MessageXml><t:Value Name="Primary">first@example.com</t:Value></m:MessageXml><m:SyncState/></m:SyncFolderItemsResponseMessage></m:ResponseMessages></m:SyncFolderItemsResponse>"#,
    );
    check(
        &xml,
        reply::items_page,
        expect![[
            r#"Err(Fault(Fault { code: "ErrorNonPrimarySmtpAddress", text: "Use the primary address.", primary: Some("first@example.com") }))"#
        ]],
    );
}

#[test]
fn says_what_a_reply_lacks() {
    check(
        "<html/>",
        reply::items_page,
        expect![[r#"Err(Malformed(Missing("response messages")))"#]],
    );
    check(
        &items_reply("<m:Changes/>"),
        reply::items_page,
        expect![[r#"Err(Malformed(Missing("SyncState")))"#]],
    );
    let no_item = get_item_reply("<m:GetItemResponseMessage ResponseClass='Success'/>");
    check(&no_item, reply::get_items, expect![[r#"Err(Malformed(Missing("item")))"#]]);
    check("<a><b></a></b>", reply::get_items, expect!["expected 'b' tag, not 'a' at 1:7"]);
}

#[test]
fn a_reply_of_millions_of_elements_is_refused() {
    let xml = format!("<a>{}</a>", "<b/>".repeat(700_000));
    assert!(matches!(reply::parse(&xml), Err(Malformed::Xml(_))));
}

#[test]
fn reads_dates_of_all_servers() {
    for (text, expected) in [
        ("2026-11-22T01:20:42Z", Some("2026-11-22T01:20:42Z")),
        ("2026-11-22T01:20:42", Some("2026-11-22T01:20:42Z")),
        ("2026-11-22T01:20:42.5Z", Some("2026-11-22T01:20:42.500Z")),
        ("2026-11-22T01:20:42.123456789Z", Some("2026-11-22T01:20:42.123456789Z")),
        ("2026-11-22T01:20:42.1234567899999", Some("2026-11-22T01:20:42.123456789Z")),
        ("2026-11-22T01:20:42.+02:00", Some("2026-11-21T23:20:42Z")),
        ("2026-11-22T01:20:42-05:30", Some("2026-11-22T06:50:42Z")),
        ("4501-01-01T00:00:00Z", Some("4501-01-01T00:00:00Z")),
        ("0001-01-01T00:00:00Z", None),
        ("2026-13-22T01:20:42Z", None),
        ("2026-11-22", None),
        ("1.é", None),
        ("", None),
    ] {
        let time =
            parse_time(text).map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true));
        assert_eq!(time.as_deref(), expected, "{text:?}");
    }
}
