//! What the operations promise, asked over a real connection.

use chrono::{DateTime, TimeZone, Utc};
use simulators::{
    exchange::{Delivery, Exchange, Large, Options},
    generate::{self, Plan},
};

use crate::client::{ABC, Client, distinguished, get_items, shape, sync_folders, sync_items};

pub(crate) fn at(minute: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 21, 8, minute % 60, 0).unwrap()
}

pub(crate) fn mail(number: u32) -> String {
    format!(
        "From: Claims Team <claims@example.org>\r\nTo: {ABC}\r\nSubject: Re: Invoice {number}\r\n\
         Message-ID: <{number}@example.org>\r\nDate: Sat, 21 Nov 2026 08:15:00 +0000\r\n\r\n\
         Please pay.\r\n"
    )
}

/// A server with one mailbox and so many messages in its inbox, and their ids.
pub(crate) async fn server(messages: u32) -> (Exchange, Vec<String>) {
    let server = Exchange::start(Options::default()).await.unwrap();
    server.add_mailbox(ABC);
    let ids =
        (0..messages).map(|n| server.deliver(ABC, &["Inbox"], mail(n), at(n)).unwrap()).collect();
    (server, ids)
}

#[tokio::test]
async fn first_listing_shows_every_item_once_newest_first() {
    let (server, ids) = server(23).await;
    let mut client = Client::connect(&server).await;
    let (mut state, mut seen) = (String::new(), Vec::new());
    loop {
        let reply = client.call(&sync_items(&distinguished("inbox"), &state, 10, &[])).await;
        seen.extend(reply.attributes("ItemId", "Id"));
        state = reply.first("SyncState");
        if reply.first("IncludesLastItemInRange") == "true" {
            break;
        }
    }
    seen.reverse();
    assert_eq!(seen, ids);
}

#[tokio::test]
async fn nothing_slips_through_while_a_listing_goes_on() {
    let (server, ids) = server(30).await;
    let mut client = Client::connect(&server).await;
    let reply = client.call(&sync_items(&distinguished("inbox"), "", 10, &[])).await;
    let state = reply.first("SyncState");
    // Not shown yet: one changes, one goes, one comes.
    server.update_item(&ids[3], |item| item.categories.push("Red".to_owned())).unwrap();
    server.delete_item(&ids[4]).unwrap();
    let new = server.deliver(ABC, &["Inbox"], mail(99), at(59)).unwrap();

    let reply = client.call(&sync_items(&distinguished("inbox"), &state, 512, &[])).await;
    let rest = reply.attributes("ItemId", "Id");
    assert_eq!(rest.len(), 19, "twenty were left, one of them is gone");
    assert!(rest.contains(&ids[3]) && !rest.contains(&ids[4]));
    assert_eq!(reply.first("IncludesLastItemInRange"), "false");
    let state = reply.first("SyncState");
    let reply = client.call(&sync_items(&distinguished("inbox"), &state, 512, &[])).await;
    assert_eq!(reply.attributes("ItemId", "Id"), [ids[3].clone(), ids[4].clone(), new]);
    assert_eq!(
        [reply.all("Update").len(), reply.all("Delete").len(), reply.all("Create").len()],
        [1; 3]
    );
}

#[tokio::test]
async fn a_move_is_a_delete_here_and_a_create_there() {
    let (server, ids) = server(2).await;
    let mut client = Client::connect(&server).await;
    let inbox = client.call(&sync_items(&distinguished("inbox"), "", 512, &[])).await;
    let junk = client.call(&sync_items(&distinguished("junkemail"), "", 512, &[])).await;
    let before = server.truth(ABC).unwrap();
    let moved = server.move_item(&ids[0], &["Junk Email"]).unwrap();
    assert_ne!(moved, ids[0]);

    let inbox = sync_items(&distinguished("inbox"), &inbox.first("SyncState"), 512, &[]);
    let inbox = client.call(&inbox).await;
    assert_eq!(
        (inbox.all("Delete").len(), inbox.attributes("ItemId", "Id")),
        (1, vec![ids[0].clone()])
    );
    let junk = sync_items(&distinguished("junkemail"), &junk.first("SyncState"), 512, &[]);
    let junk = client.call(&junk).await;
    assert_eq!(
        (junk.all("Create").len(), junk.attributes("ItemId", "Id")),
        (1, vec![moved.clone()])
    );

    let reply = client.call(&get_items(&[ids[0].clone(), moved.clone()], &["0x300b:Binary"])).await;
    assert_eq!(reply.all("ResponseCode"), ["ErrorItemNotFound", "NoError"]);
    let after = server.truth(ABC).unwrap();
    let after = after.iter().find(|item| item.id == moved).unwrap();
    assert_eq!(before[0].search_key, after.search_key);
}

#[tokio::test]
async fn a_state_of_another_folder_and_a_forgotten_one_are_refused() {
    let (server, _) = server(1).await;
    let mut client = Client::connect(&server).await;
    let state =
        client.call(&sync_items(&distinguished("inbox"), "", 5, &[])).await.first("SyncState");
    for (folder, state) in
        [("junkemail", state.as_str()), ("inbox", &state[..20]), ("inbox", "SDAwMDE=")]
    {
        let reply = client.call(&sync_items(&distinguished(folder), state, 5, &[])).await;
        assert_eq!(reply.first("ResponseCode"), "ErrorInvalidSyncStateData");
    }
    server.invalidate_sync_states(ABC);
    let reply = client.call(&sync_items(&distinguished("inbox"), &state, 5, &[])).await;
    assert_eq!(reply.first("ResponseCode"), "ErrorInvalidSyncStateData");
    let too_many = client.call(&sync_items(&distinguished("inbox"), "", 513, &[])).await;
    assert_eq!(too_many.first("ResponseCode"), "ErrorSchemaValidation");
}

#[tokio::test]
async fn only_the_read_flag_is_a_change_of_its_own() {
    let (server, ids) = server(1).await;
    let mut client = Client::connect(&server).await;
    let state =
        client.call(&sync_items(&distinguished("inbox"), "", 5, &[])).await.first("SyncState");
    server.set_read(&ids[0], true).unwrap();
    let reply = client.call(&sync_items(&distinguished("inbox"), &state, 5, &[])).await;
    assert_eq!((reply.all("ReadFlagChange").len(), reply.first("IsRead")), (1, "true".to_owned()));
    let new = client.call(&sync_items(&distinguished("inbox"), "", 5, &[])).await;
    assert_eq!(new.all("Create").len(), 1);
}

#[tokio::test]
async fn the_list_of_folders_follows_what_happens_to_them() {
    let (server, _) = server(0).await;
    server.add_folder(ABC, &["Inbox", "Old"], "IPF.Note").unwrap();
    let mut client = Client::connect(&server).await;
    let reply = client.call(&sync_folders("")).await;
    assert!(reply.all("DisplayName").contains(&"Old".to_owned()));
    assert!(!reply.all("DisplayName").contains(&"Finder".to_owned()), "it is not below the top");
    let state = reply.first("SyncState");
    assert!(client.call(&sync_folders(&state)).await.all("FolderId").is_empty());
    server.rename_folder(ABC, &["Inbox"], "Posteingang").unwrap();
    server.add_folder(ABC, &["Posteingang", "Claims/2026"], "IPF.Note").unwrap();
    server.delete_folder(ABC, &["Posteingang", "Old"]).unwrap();
    let reply = client.call(&sync_folders(&state)).await;
    assert_eq!(reply.all("DisplayName"), ["Posteingang", "Claims/2026"]);
    assert_eq!(
        [reply.all("Update").len(), reply.all("Create").len(), reply.all("Delete").len()],
        [1; 3]
    );
}

#[tokio::test]
async fn content_comes_back_byte_for_byte_however_large() {
    let (server, mut ids) = server(1).await;
    let odd: Vec<u8> = (0..=255).cycle().take(100_001).collect();
    ids.push(server.deliver(ABC, &["Inbox"], odd, at(1)).unwrap());
    ids.push(server.deliver(ABC, &["Inbox"], Large::new(3, 3_000_001), at(2)).unwrap());
    let truth = server.truth(ABC).unwrap();
    let mut client = Client::connect(&server).await;
    let reply = client.call(&get_items(&ids, &["item:MimeContent", "item:Size"])).await;
    assert_eq!(reply.headers["transfer-encoding"], "chunked");
    for (item, mime) in truth.iter().zip(reply.all("MimeContent")) {
        let mime = base64_simd::STANDARD.decode_to_vec(mime).unwrap();
        assert_eq!(mime.len() as u64, item.size);
        let hash = openssl::sha::sha256(&mime);
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, item.sha256);
    }
}

#[tokio::test]
async fn an_item_without_dates_or_message_id_has_no_such_elements() {
    let (server, _) = server(0).await;
    let bare = Delivery::new(mail(1), at(1)).without_received().without_message_id();
    let exact = Delivery::new(mail(2), at(2)).date_digits(7);
    let ids = [bare, exact].map(|item| server.deliver_as(ABC, &["Inbox"], item).unwrap());
    let mut client = Client::connect(&server).await;
    let fields = ["item:DateTimeReceived", "message:InternetMessageId"];
    let reply = client.call(&get_items(&ids, &fields)).await;
    assert_eq!(reply.all("DateTimeReceived"), ["2026-11-21T08:02:00.0000000Z"]);
    assert_eq!(reply.all("InternetMessageId"), ["<2@example.org>"]);
}

#[tokio::test]
async fn prefixes_paths_and_missing_versions_do_not_matter() {
    let (server, _) = server(1).await;
    let mut client = Client::connect(&server).await;
    let request = format!(
        "<Envelope xmlns=\"http://schemas.xmlsoap.org/soap/envelope/\"><Body>\
         <x:GetFolder xmlns:x=\"http://schemas.microsoft.com/exchange/services/2006/messages\" \
         xmlns=\"http://schemas.microsoft.com/exchange/services/2006/types\"><x:FolderShape>\
         <BaseShape>Default</BaseShape></x:FolderShape><x:FolderIds>\
         <DistinguishedFolderId Id=\"inbox\"><Mailbox><EmailAddress>ABC@Example.com</EmailAddress>\
         </Mailbox></DistinguishedFolderId><DistinguishedFolderId Id=\"nosuchname\"><Mailbox>\
         <EmailAddress>{ABC}</EmailAddress></Mailbox></DistinguishedFolderId>\
         </x:FolderIds></x:GetFolder></Body></Envelope>"
    );
    let reply = client.post("/ews/EXCHANGE.asmx", request).await.unwrap();
    assert_eq!(reply.all("ResponseCode"), ["NoError", "ErrorFolderNotFound"]);
    assert_eq!(reply.first("TotalCount"), "1");
}

#[tokio::test]
async fn every_change_of_a_folder_changes_its_marks() {
    let clock = std::sync::Arc::new(Ticking::default());
    let server = Exchange::start(Options { clock, ..Options::default() }).await.unwrap();
    server.add_mailbox(ABC);
    let mut client = Client::connect(&server).await;
    let request = format!(
        "<m:GetFolder><m:FolderShape>{}</m:FolderShape><m:FolderIds>{}</m:FolderIds></m:GetFolder>",
        shape(&["folder:TotalCount", "0x670a:SystemTime", "0x670b:Integer"]),
        distinguished("inbox")
    );
    let mut marks = vec![client.call(&request).await.all("Value")];
    let id = server.deliver(ABC, &["Inbox"], mail(1), at(1)).unwrap();
    marks.push(client.call(&request).await.all("Value"));
    server.set_read(&id, true).unwrap();
    marks.push(client.call(&request).await.all("Value"));
    assert_eq!(client.call(&request).await.all("Value"), marks[2], "asking changes nothing");
    server.delete_item(&id).unwrap();
    marks.push(client.call(&request).await.all("Value"));
    let times: Vec<_> = marks.iter().map(|mark| mark[0].clone()).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    assert_eq!(marks.iter().map(|mark| mark[1].as_str()).collect::<Vec<_>>(), ["0", "0", "0", "1"]);
}

/// A clock that goes on by a second whenever it is looked at.
#[derive(Default)]
struct Ticking(std::sync::atomic::AtomicI64);

impl record::Clock for Ticking {
    fn now(&self) -> DateTime<Utc> {
        let seconds = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        at(0) + chrono::Duration::seconds(seconds)
    }
}

fn find_items(page: &str, restriction: &str) -> String {
    format!(
        "<m:FindItem Traversal=\"Shallow\"><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape>\
         <m:IndexedPageItemView {page} BasePoint=\"Beginning\"/>{restriction}\
         <m:SortOrder><t:FieldOrder Order=\"Ascending\"><t:FieldURI FieldURI=\"item:DateTimeReceived\"/>\
         </t:FieldOrder></m:SortOrder><m:ParentFolderIds>{}</m:ParentFolderIds></m:FindItem>",
        distinguished("inbox")
    )
}

#[tokio::test]
async fn a_search_gives_at_most_what_its_caps_allow() {
    let (server, ids) = server(1100).await;
    let mut client = Client::connect(&server).await;
    let reply = client.call(&find_items("MaxEntriesReturned=\"5000\" Offset=\"0\"", "")).await;
    assert_eq!(reply.attributes("ItemId", "Id").len(), 1000);
    assert_eq!(reply.attributes("RootFolder", "IndexedPagingOffset"), ["1000"]);
    assert_eq!(reply.attributes("RootFolder", "IncludesLastItemInRange"), ["false"]);
    let reply = client.call(&find_items("MaxEntriesReturned=\"5000\" Offset=\"1000\"", "")).await;
    assert_eq!(reply.attributes("ItemId", "Id").len(), 100);
    assert_eq!(reply.attributes("RootFolder", "IncludesLastItemInRange"), ["true"]);
    let restriction = "<m:Restriction><t:And><t:IsGreaterThanOrEqualTo>\
        <t:FieldURI FieldURI=\"item:DateTimeReceived\"/><t:FieldURIOrConstant>\
        <t:Constant Value=\"2026-11-21T08:30:00Z\"/></t:FieldURIOrConstant></t:IsGreaterThanOrEqualTo>\
        <t:Not><t:Contains><t:FieldURI FieldURI=\"item:Subject\"/><t:Constant Value=\"invoice 1079\"/>\
        </t:Contains></t:Not></t:And></m:Restriction>";
    let page = "MaxEntriesReturned=\"5000\" Offset=\"0\"";
    let reply = client.call(&find_items(page, restriction)).await;
    let found = reply.attributes("ItemId", "Id");
    assert_eq!(found.len(), 250);
    assert!(!found.contains(&ids[1]), "minute 1 is before");
    // Minutes 30 to 59 of 1100 messages, without one.
    assert_eq!(reply.attributes("RootFolder", "TotalItemsInView"), ["539"]);
}

#[tokio::test]
async fn the_list_of_folders_comes_in_pages() {
    let options = Options { hierarchy_page: 4, ..Options::default() };
    let server = Exchange::start(options).await.unwrap();
    server.add_mailbox(ABC);
    let mut client = Client::connect(&server).await;
    let (mut state, mut names, mut pages) = (String::new(), Vec::new(), 0);
    loop {
        let reply = client.call(&sync_folders(&state)).await;
        names.extend(reply.all("DisplayName"));
        state = reply.first("SyncState");
        pages += 1;
        if reply.first("IncludesLastFolderInRange") == "true" {
            break;
        }
    }
    assert_eq!((names.len(), pages), (15, 4), "{names:?}");
}

#[tokio::test]
async fn compressed_replies_are_the_same_replies() {
    let server = Exchange::start(Options { gzip: true, ..Options::default() }).await.unwrap();
    server.add_mailbox(ABC);
    let id = server.deliver(ABC, &["Inbox"], Large::new(1, 300_000), at(1)).unwrap();
    let mut client = Client::connect(&server).await;
    for fields in [&["item:Size"][..], &["item:MimeContent"]] {
        let request = get_items(std::slice::from_ref(&id), fields);
        let plain = client.call(&request).await;
        client.headers.push(("accept-encoding", "gzip, deflate".to_owned()));
        let packed = client.call(&request).await;
        client.headers.pop();
        assert!(!plain.headers.contains_key("content-encoding"));
        assert_eq!(packed.headers["content-encoding"], "gzip");
        let mut unpacked = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(packed.body.as_slice());
        std::io::Read::read_to_end(&mut decoder, &mut unpacked).unwrap();
        assert_eq!(unpacked, plain.body);
    }
}

#[tokio::test]
async fn old_servers_list_the_oldest_first() {
    let options = Options { newest_first: false, ..Options::default() };
    let server = Exchange::start(options).await.unwrap();
    server.add_mailbox(ABC);
    let ids: Vec<_> =
        (0..7).map(|n| server.deliver(ABC, &["Inbox"], mail(n), at(n)).unwrap()).collect();
    let mut client = Client::connect(&server).await;
    let first = client.call(&sync_items(&distinguished("inbox"), "", 4, &[])).await;
    let request = sync_items(&distinguished("inbox"), &first.first("SyncState"), 4, &[]);
    let second = client.call(&request).await;
    let listed = [first.attributes("ItemId", "Id"), second.attributes("ItemId", "Id")].concat();
    assert_eq!(listed, ids);
}

#[tokio::test(start_paused = true)]
async fn new_mail_keeps_coming() {
    let (server, _) = server(0).await;
    let plan = Plan { seed: 1, messages: 0, size: None, until: at(0), with_other_items: false };
    let period = std::time::Duration::from_secs(10);
    generate::deliver_every(&server, period, &plan, 0..5).await.unwrap();
    assert_eq!(server.mail_count(ABC), 5);
}
