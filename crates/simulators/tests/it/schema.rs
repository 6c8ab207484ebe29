//! Every kind of reply against Microsoft's schemas, if there are some.

use std::{path::Path, process::Stdio};

use simulators::exchange::{Delivery, Fault, FaultRule, Op, Shape};
use tokio::process::Command;

use crate::{
    client::{ABC, Client, distinguished, get_items, shape, sync_folders, sync_items},
    requests::{at, mail, server},
};

/// All the properties that replies can have.
const ITEM_FIELDS: [&str; 44] = [
    "item:MimeContent",
    "item:ParentFolderId",
    "item:ItemClass",
    "item:Subject",
    "item:Sensitivity",
    "item:Body",
    "item:Attachments",
    "item:DateTimeReceived",
    "item:Size",
    "item:Categories",
    "item:Importance",
    "item:InReplyTo",
    "item:IsSubmitted",
    "item:IsDraft",
    "item:IsFromMe",
    "item:IsResend",
    "item:IsUnmodified",
    "item:InternetMessageHeaders",
    "item:DateTimeSent",
    "item:DateTimeCreated",
    "item:DisplayCc",
    "item:DisplayTo",
    "item:HasAttachments",
    "item:EffectiveRights",
    "item:LastModifiedTime",
    "item:IsAssociated",
    "item:ConversationId",
    "item:TextBody",
    "message:Sender",
    "message:ToRecipients",
    "message:CcRecipients",
    "message:BccRecipients",
    "message:ConversationTopic",
    "message:From",
    "message:InternetMessageId",
    "message:IsRead",
    "message:References",
    "message:ReplyTo",
    "0x300b:Binary",
    "0x0e06:SystemTime",
    "0x0e08:Integer",
    "0x001a:String",
    "0x1035:String",
    "0x007d:String",
];

const MULTIPART: &str = "From: Claims <claims@example.org>\r\nTo: \"Desk, Main\" <desk@example.com>, c@example.com\r\n\
    Cc: d@example.com\r\nReply-To: e@example.com\r\nReferences: <1@x> <2@x>\r\nIn-Reply-To: <2@x>\r\n\
    Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nImportance: high\r\nSensitivity: private\r\n\
    Message-ID: <m@example.org>\r\nDate: Sat, 21 Nov 2026 08:15:00 +0100\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>a & b</p>\r\n\
    --b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment\r\n\
    Content-ID: <cid@x>\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b--\r\n";

async fn validate(schemas: &str, replies: &[(String, String)]) {
    let directory = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (at, (_, reply)) in replies.iter().enumerate() {
        let file = directory.path().join(format!("{at:03}.xml"));
        std::fs::write(&file, reply).unwrap();
        files.push(file);
    }
    let output = Command::new("xmllint")
        .args(["--noout", "--nonet", "--schema"])
        .arg(Path::new(schemas).join("soap-envelope.xsd"))
        .args(&files)
        .current_dir(schemas)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .await
        .expect("xmllint must be installed (Debian: libxml2-utils)");
    let said = String::from_utf8_lossy(&output.stderr);
    for (at, (request, reply)) in replies.iter().enumerate() {
        let file = format!("{at:03}.xml validates");
        assert!(said.contains(&file), "{request}\n{reply}\n{said}");
    }
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "says why nothing was checked")]
#[expect(clippy::disallowed_methods, reason = "tests read their own settings")]
async fn every_kind_of_reply_is_valid() {
    let Ok(schemas) = std::env::var("TRIBUTARY_EWS_XSD") else {
        eprintln!("skipped: no TRIBUTARY_EWS_XSD");
        return;
    };
    let (server, mut ids) = server(3).await;
    for class in [
        "IPM.Note",
        "IPM.Schedule.Meeting.Request",
        "IPM.Schedule.Meeting.Resp.Pos",
        "IPM.Schedule.Meeting.Canceled",
        "REPORT.IPM.Note.NDR",
        "IPM.Appointment",
        "IPM.Contact",
        "IPM.Task",
        "IPM.Post",
        "IPM.Sharing",
        "IPM.Odd",
    ] {
        let delivery = Delivery::new(MULTIPART, at(5)).class(class).category("Red & Blue");
        ids.push(server.deliver_as(ABC, &["Inbox"], delivery).unwrap());
    }
    server.add_folder(ABC, &["Inbox", "Claims/2026"], "IPF.Note").unwrap();
    server.add_folder_without_class(ABC, &["Inbox", "Bare"]).unwrap();
    server.add_search_folder(ABC, &["Unread"]).unwrap();
    let mut client = Client::connect(&server).await;
    let inbox = distinguished("inbox");
    let folder_fields = shape(&[
        "folder:FolderId",
        "folder:ParentFolderId",
        "folder:FolderClass",
        "folder:DisplayName",
        "folder:TotalCount",
        "folder:ChildFolderCount",
        "folder:EffectiveRights",
        "folder:DistinguishedFolderId",
        "folder:PermissionSet",
        "folder:UnreadCount",
        "0x670a:SystemTime",
        "0x670b:Integer",
    ]);
    let names: String = [
        "root",
        "msgfolderroot",
        "inbox",
        "calendar",
        "contacts",
        "tasks",
        "searchfolders",
        "voicemail",
    ]
    .map(distinguished)
    .concat();
    let light: Vec<&str> = ITEM_FIELDS
        .iter()
        .copied()
        .filter(|f| {
            !["Mime", "Body", "Attachments", "Headers", "Recipients", "ReplyTo"]
                .iter()
                .any(|heavy| f.contains(heavy) && *f != "item:HasAttachments")
        })
        .collect();
    let item_shape = shape(&light);
    let mime = base64_simd::STANDARD.encode_to_string(mail(77));
    let first = &ids[0];
    let mut requests = vec![
        "<m:ConvertId DestinationFormat=\"EntryId\"><m:SourceIds><t:AlternateId Id=\"DUMMY\" \
         Format=\"EwsId\" Mailbox=\"DUMMY\"/></m:SourceIds></m:ConvertId>"
            .to_owned(),
        format!(
            "<m:ConvertId DestinationFormat=\"EwsId\"><m:SourceIds><t:AlternateId Id=\"{first}\" \
         Format=\"EwsId\" Mailbox=\"x@y\"/></m:SourceIds></m:ConvertId>"
        ),
        format!(
            "<m:GetFolder><m:FolderShape>{folder_fields}</m:FolderShape><m:FolderIds>{names}\
         <t:FolderId Id=\"bad\"/></m:FolderIds></m:GetFolder>"
        ),
        format!(
            "<m:GetFolder><m:FolderShape><t:BaseShape>AllProperties</t:BaseShape></m:FolderShape>\
         <m:FolderIds>{names}</m:FolderIds></m:GetFolder>"
        ),
        format!(
            "<m:FindFolder Traversal=\"Deep\"><m:FolderShape>{folder_fields}</m:FolderShape>\
         <m:IndexedPageFolderView MaxEntriesReturned=\"7\" Offset=\"2\" BasePoint=\"Beginning\"/>\
         <m:ParentFolderIds>{}</m:ParentFolderIds></m:FindFolder>",
            distinguished("root")
        ),
        sync_folders(""),
        sync_items(&inbox, "", 512, &light),
        sync_items(&inbox, "bad", 512, &[]),
        sync_items(&inbox, "", 512, &["item:MimeContent"]),
        format!(
            "<m:FindItem Traversal=\"Shallow\"><m:ItemShape>{item_shape}</m:ItemShape>\
         <m:IndexedPageItemView MaxEntriesReturned=\"5\" Offset=\"0\" BasePoint=\"Beginning\"/>\
         <m:Restriction><t:IsGreaterThan><t:FieldURI FieldURI=\"item:DateTimeReceived\"/>\
         <t:FieldURIOrConstant><t:Constant Value=\"2026-01-01T00:00:00Z\"/></t:FieldURIOrConstant>\
         </t:IsGreaterThan></m:Restriction><m:SortOrder><t:FieldOrder Order=\"Ascending\">\
         <t:FieldURI FieldURI=\"item:DateTimeReceived\"/></t:FieldOrder></m:SortOrder>\
         <m:ParentFolderIds>{inbox}</m:ParentFolderIds></m:FindItem>"
        ),
        get_items(&ids, &ITEM_FIELDS),
        get_items(&["bad".to_owned(), first.clone()], &[]),
        format!(
            "<m:GetItem><m:ItemShape><t:BaseShape>AllProperties</t:BaseShape>\
         <t:IncludeMimeContent>true</t:IncludeMimeContent></m:ItemShape><m:ItemIds>\
         <t:ItemId Id=\"{}\"/></m:ItemIds></m:GetItem>",
            ids[4]
        ),
        format!(
            "<m:CreateItem MessageDisposition=\"SaveOnly\"><m:SavedItemFolderId>{inbox}\
         </m:SavedItemFolderId><m:Items><t:Message><t:MimeContent>{mime}</t:MimeContent></t:Message>\
         <t:Message/></m:Items></m:CreateItem>"
        ),
        format!(
            "<m:UpdateItem ConflictResolution=\"AutoResolve\" MessageDisposition=\"SaveOnly\">\
         <m:ItemChanges><t:ItemChange><t:ItemId Id=\"{first}\"/><t:Updates><t:SetItemField>\
         <t:FieldURI FieldURI=\"message:IsRead\"/><t:Message><t:IsRead>true</t:IsRead></t:Message>\
         </t:SetItemField></t:Updates></t:ItemChange></m:ItemChanges></m:UpdateItem>"
        ),
        format!(
            "<m:CopyItem><m:ToFolderId>{}</m:ToFolderId><m:ItemIds><t:ItemId Id=\"{first}\"/>\
         </m:ItemIds></m:CopyItem>",
            distinguished("junkemail")
        ),
        format!(
            "<m:MoveItem><m:ToFolderId>{}</m:ToFolderId><m:ItemIds><t:ItemId Id=\"{}\"/>\
         <t:ItemId Id=\"bad\"/></m:ItemIds></m:MoveItem>",
            distinguished("junkemail"),
            ids[1]
        ),
        format!(
            "<m:DeleteItem DeleteType=\"HardDelete\"><m:ItemIds><t:ItemId Id=\"{}\"/>\
         <t:ItemId Id=\"{}\"/></m:ItemIds></m:DeleteItem>",
            ids[2], ids[2]
        ),
        format!(
            "<m:CreateFolder><m:ParentFolderId>{inbox}</m:ParentFolderId><m:Folders><t:Folder>\
         <t:DisplayName>New</t:DisplayName></t:Folder></m:Folders></m:CreateFolder>"
        ),
        format!(
            "<m:UpdateFolder><m:FolderChanges><t:FolderChange>{inbox}<t:Updates><t:SetFolderField>\
         <t:FieldURI FieldURI=\"folder:DisplayName\"/><t:Folder><t:DisplayName>In</t:DisplayName>\
         </t:Folder></t:SetFolderField></t:Updates></t:FolderChange></m:FolderChanges></m:UpdateFolder>"
        ),
        format!(
            "<m:DeleteFolder DeleteType=\"HardDelete\"><m:FolderIds>{inbox}</m:FolderIds></m:DeleteFolder>"
        ),
    ];
    let attachments = client
        .call(&get_items(&ids[4..5], &["item:Attachments"]))
        .await
        .attributes("AttachmentId", "Id");
    requests.push(format!(
        "<m:GetAttachment><m:AttachmentIds><t:AttachmentId Id=\"{}\"/><t:AttachmentId Id=\"bad\"/>\
         </m:AttachmentIds></m:GetAttachment>",
        attachments[0]
    ));
    // What changed since the start, with every kind of change.
    let items = client.call(&sync_items(&inbox, "", 512, &[])).await.first("SyncState");
    let folders = client.call(&sync_folders("")).await.first("SyncState");
    let mut replies = Vec::new();
    for request in requests {
        let reply = client.call(&request).await;
        replies.push((request, reply.text()));
    }
    server.delete_folder(ABC, &["In", "New"]).unwrap();
    server.delete_folder(ABC, &["In", "Bare"]).unwrap();
    for request in [sync_items(&inbox, &items, 512, &light), sync_folders(&folders)] {
        let reply = client.call(&request).await;
        assert!(!reply.all("Delete").is_empty());
        replies.push((request, reply.text()));
    }
    let last = ids.last().unwrap().clone();
    for fault in [
        Fault::ServerBusy {
            back_off: Some(std::time::Duration::from_secs(45)),
            shape: Shape::Message,
        },
        Fault::ServerBusy { back_off: None, shape: Shape::SoapFault },
        Fault::BatchTimeout { after: 1 },
        Fault::MailboxMove,
        Fault::VersionRefused,
        Fault::item_error("ErrorItemCorrupt"),
    ] {
        server.fault(FaultRule::new(fault).op(Op::GetItem));
        let request = get_items(&[ids[3].clone(), last.clone()], &[]);
        let reply = client.call(&request).await;
        replies.push((request, reply.text()));
    }
    assert_eq!(server.outstanding_faults(), 0);
    server.fault(FaultRule::new(Fault::PhantomItem));
    let request = sync_items(&inbox, "", 512, &[]);
    replies.push((request.clone(), client.call(&request).await.text()));
    validate(&schemas, &replies).await;
}
