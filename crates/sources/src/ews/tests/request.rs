//! Requests, as text and against Microsoft's schema.

use std::{path::PathBuf, process::Command};

use expect_test::expect;
use record::FolderId;

use crate::ews::request::{Access, Envelope, Escaped, ItemShape, Target, Version};

const ACCESSES: [Access; 2] = [Access::Delegate, Access::Impersonation];
const VERSIONS: [Version; 4] = [
    Version::Exchange2007Sp1,
    Version::Exchange2010,
    Version::Exchange2010Sp1,
    Version::Exchange2010Sp2,
];

fn all_requests(envelope: Envelope<'_>) -> Vec<String> {
    let folder = FolderId("Rk9M\"<&>'\u{1}".to_owned());
    vec![
        envelope.sync_folder_hierarchy(None),
        envelope.sync_folder_hierarchy(Some("c3RhdGU=")),
        envelope.folder_marks([Target::Root, (&folder).into()]),
        envelope.sync_folder_items(&folder, None, 512),
        envelope.sync_folder_items(&folder, Some("c3RhdGU="), 0),
        envelope.sync_folder_items(&folder, None, 1_000_000),
        envelope.get_item(["a", "b\"&"], ItemShape::Keys),
        envelope.get_item(["a"], ItemShape::Mime),
        envelope.get_item(["a"], ItemShape::Parts),
        envelope.get_attachment("a&b"),
    ]
}

#[test]
fn names_the_mailbox_of_a_delegate_in_the_folder() {
    let envelope = Envelope {
        version: Version::NEWEST,
        access: Access::Delegate,
        mailbox: "o'neil&co@example.com",
    };
    let request = envelope.sync_folder_hierarchy(Some("U1RBVEU="));
    expect![[r#"
        <s:Header>
        <t:RequestServerVersion Version="Exchange2010_SP2"/>
        </s:Header>
        <s:Body>
        <m:SyncFolderHierarchy>
        <m:FolderShape>
        <t:BaseShape>IdOnly</t:BaseShape>
        <t:AdditionalProperties>
        <t:FieldURI FieldURI="folder:FolderId"/>
        <t:FieldURI FieldURI="folder:ParentFolderId"/>
        <t:FieldURI FieldURI="folder:FolderClass"/>
        <t:FieldURI FieldURI="folder:DisplayName"/>
        <t:FieldURI FieldURI="folder:TotalCount"/>
        <t:FieldURI FieldURI="folder:ChildFolderCount"/>
        </t:AdditionalProperties>
        </m:FolderShape>
        <m:SyncFolderId>
        <t:DistinguishedFolderId Id="msgfolderroot">
        <t:Mailbox>
        <t:EmailAddress>o'neil&amp;co@example.com</t:EmailAddress>
        </t:Mailbox>
        </t:DistinguishedFolderId>
        </m:SyncFolderId>
        <m:SyncState>U1RBVEU=</m:SyncState>
        </m:SyncFolderHierarchy>
        </s:Body>
        </s:Envelope>"#]]
    .assert_eq(&shown(&request));
}

#[test]
fn an_old_server_is_asked_only_what_it_knows() {
    let envelope = Envelope {
        version: Version::Exchange2007Sp1,
        access: Access::Impersonation,
        mailbox: "abc@example.com",
    };
    let folder = FolderId("F1".to_owned());
    expect![[r#"
        <s:Header>
        <t:RequestServerVersion Version="Exchange2007_SP1"/>
        <t:ExchangeImpersonation>
        <t:ConnectingSID>
        <t:PrimarySmtpAddress>abc@example.com</t:PrimarySmtpAddress>
        </t:ConnectingSID>
        </t:ExchangeImpersonation>
        </s:Header>
        <s:Body>
        <m:SyncFolderItems>
        <m:ItemShape>
        <t:BaseShape>IdOnly</t:BaseShape>
        <t:AdditionalProperties>
        <t:FieldURI FieldURI="item:ItemClass"/>
        <t:FieldURI FieldURI="item:DateTimeReceived"/>
        <t:FieldURI FieldURI="item:Size"/>
        <t:FieldURI FieldURI="item:IsDraft"/>
        <t:FieldURI FieldURI="message:InternetMessageId"/>
        <t:ExtendedFieldURI PropertyTag="0x300b" PropertyType="Binary"/>
        </t:AdditionalProperties>
        </m:ItemShape>
        <m:SyncFolderId>
        <t:FolderId Id="F1"/>
        </m:SyncFolderId>
        <m:MaxChangesReturned>512</m:MaxChangesReturned>
        </m:SyncFolderItems>
        </s:Body>
        </s:Envelope>"#]]
    .assert_eq(&shown(&envelope.sync_folder_items(&folder, None, 9999)));
    for request in all_requests(envelope) {
        assert!(!request.contains("SyncScope") && !request.contains("ConversationId"), "{request}");
    }
}

/// The request from its header on, one tag on a line.
fn shown(request: &str) -> String {
    let from = request.find("<s:Header>").unwrap();
    request[from..].replace("><", ">\n<")
}

#[test]
fn values_cannot_leave_their_place() {
    assert_eq!(
        Escaped("a\"<b>&'\r\n\t\u{0}\u{1F}\u{FFFE}\u{1F600}").to_string(),
        "a&quot;&lt;b&gt;&amp;'&#13;&#10;&#9;\u{FFFD}\u{FFFD}\u{FFFD}\u{1F600}"
    );
    for access in ACCESSES {
        for version in VERSIONS {
            for request in all_requests(Envelope { version, access, mailbox: "\"><&\u{8}@x" }) {
                roxmltree::Document::parse(&request).unwrap();
            }
        }
    }
}

#[test]
fn versions_step_down_to_2007() {
    let steps = std::iter::successors(Some(Version::NEWEST), |version| version.lower());
    assert_eq!(
        steps.map(Version::as_str).collect::<Vec<_>>(),
        ["Exchange2010_SP2", "Exchange2010_SP1", "Exchange2010", "Exchange2007_SP1"]
    );
}

#[test]
fn every_request_obeys_the_schema() {
    #[expect(clippy::disallowed_methods, reason = "the schema is no part of this project")]
    let Ok(schema) = std::env::var("TRIBUTARY_EWS_XSD").map(PathBuf::from) else {
        #[expect(clippy::print_stdout, reason = "says why the test proves nothing")]
        {
            println!("skipped: no TRIBUTARY_EWS_XSD");
        }
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for access in ACCESSES {
        for version in VERSIONS {
            for request in all_requests(Envelope { version, access, mailbox: "abc@example.com" }) {
                let file = dir.path().join(format!("{}.xml", files.len()));
                std::fs::write(&file, request).unwrap();
                files.push(file);
            }
        }
    }
    let checked = Command::new("xmllint")
        .args(["--noout", "--nonet", "--schema"])
        .arg(schema.join("soap-envelope.xsd"))
        .args(&files)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
