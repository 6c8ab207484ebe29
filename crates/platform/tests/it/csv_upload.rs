//! Comments out of CSV files: what is found in a file, what becomes of its rows, and that a file
//! with one bad row leaves nothing behind.

use hyper::Request;
use serde_json::{Value, json};
use testkit::platform_contract::client::{Answer, Client, whole};

use crate::server::Running;

const SYNC: &str = "/api/_private/sources/own%2Fletters/sync-csv";
const SNIFF: &str = "/api/_private/sources/sniff-csv";
const MAPPED: &str = "text=Body&timestamp=Date&id=Id&subject=Subject&from=From&to=To\
                      &string=Team&number=Age&date_order=dmy";
const FILE: &str = "Id;Date;From;To;Subject;Body;Team;Age\r\n\
    1;31/01/2026 09:30;Ann <a@example.com>;\"b@x.org; c@x.org\";Hi;\"Two\r\nlines \u{20ac}\";Red;3.5\r\n\
    2;02/03/2026;a@example.com;;;short;;\r\n\
    ;;;;;;;\r\n";

async fn start() -> (Running, Client) {
    let server = Running::start().await;
    server.add_project("own").await;
    server.add_source("own", None).await;
    let client = server.client().await;
    (server, client)
}

async fn put(client: &mut Client, path: &str, query: &str, file: impl Into<Vec<u8>>) -> Answer {
    let request = Request::put(format!("{path}?{query}"));
    let request = request.header("content-type", "application/octet-stream");
    client.try_send(request, whole(file.into())).await.unwrap()
}

async fn stored(server: &Running) -> Vec<Value> {
    let page = server.get("/api/_private/sources/own%2Fletters/comments").await;
    page["comments"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_row_becomes_a_comment_and_the_same_file_changes_nothing() {
    let (server, mut client) = start().await;
    let done = put(&mut client, SYNC, MAPPED, FILE).await;
    assert_eq!(done.status, 200, "{}", done.message());
    let counts = |new: u32, updated: u32, unchanged: u32, text: u32| {
        json!({ "status": "ok", "new": new, "updated": updated, "unchanged": unchanged,
                "updated_properties_only": updated - text, "updated_text_changed": text })
    };
    assert_eq!(done.json(), counts(2, 0, 0, 0));
    let all = stored(&server).await;
    assert_eq!(all.len(), 2);
    let first = &all[0];
    assert_eq!((&first["id"], &first["timestamp"]), (&json!("1"), &json!("2026-01-31T09:30:00Z")));
    let message = json!([{
        "from": "Ann <a@example.com>", "to": ["b@x.org", "c@x.org"], "subject": { "text": "Hi" },
        "body": { "text": "Two\r\nlines \u{20ac}" }, "sent_at": "2026-01-31T09:30:00Z",
    }]);
    assert_eq!(first["messages"], message);
    assert_eq!(first["user_properties"], json!({ "string:Team": "Red", "number:Age": 3.5 }));
    assert_eq!(all[1]["user_properties"], json!({}));
    assert_eq!(all[1]["timestamp"], "2026-03-02T00:00:00Z");
    let again = put(&mut client, SYNC, MAPPED, FILE).await;
    assert_eq!(again.json(), counts(0, 0, 2, 0));
    let changed = FILE.replace("short", "long").replace("Red", "Blue");
    let changed = put(&mut client, SYNC, MAPPED, changed).await;
    assert_eq!(changed.json(), counts(0, 2, 0, 1));
}

#[tokio::test]
async fn without_a_column_of_ids_a_row_keeps_its_own() {
    let (server, mut client) = start().await;
    let mapped = MAPPED.replace("&id=Id", "");
    for (new, unchanged) in [(2, 0), (0, 2)] {
        let done = put(&mut client, SYNC, &mapped, FILE).await.json();
        assert_eq!((&done["new"], &done["unchanged"]), (&json!(new), &json!(unchanged)));
    }
    let ids: Vec<Value> = stored(&server).await.iter().map(|own| own["id"].clone()).collect();
    assert!(ids.iter().all(|id| id.as_str().unwrap().len() == 32), "{ids:?}");
}

#[tokio::test]
async fn files_of_other_programs_are_read_as_they_are() {
    let (_server, mut client) = start().await;
    let utf16 = |mark: &[u8], text: &str| {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        mark.iter().copied().chain(units).collect::<Vec<u8>>()
    };
    let euro = |byte: &[u8]| [b"A,B\n1,".as_slice(), byte, b"\n"].concat();
    for (file, query, encoding, delimiter, cell) in [
        (euro("\u{20ac}".as_bytes()), "", "UTF-8", ",", "\u{20ac}"),
        ([b"\xef\xbb\xbf".to_vec(), euro(b"x")].concat(), "", "UTF-8", ",", "x"),
        (euro(b"\x80"), "", "windows-1252", ",", "\u{20ac}"),
        (euro(b"\xa4"), "encoding=iso-8859-15", "ISO-8859-15", ",", "\u{20ac}"),
        (utf16(b"\xff\xfe", "A\tB\r\n1\t\u{20ac}\r\n"), "", "UTF-16LE", "\t", "\u{20ac}"),
        (utf16(b"", "A\tB\r\n1\tx\r\n"), "", "UTF-16LE", "\t", "x"),
        (b"A;B\n\"a,b\";x\n".to_vec(), "", "UTF-8", ";", "x"),
        (b"A|B\n1,5|x\n2,5|y\n".to_vec(), "", "UTF-8", "|", "x"),
        (b"A;B,C\n1;2,x\n".to_vec(), "delimiter=,", "UTF-8", ",", "x"),
    ] {
        let found = put(&mut client, SNIFF, query, file).await;
        assert_eq!(found.status, 200, "{}", found.message());
        let found = found.json();
        let shown = (&found["encoding"], &found["delimiter"], &found["rows"][0][1]);
        assert_eq!(shown, (&json!(encoding), &json!(delimiter), &json!(cell)), "{found}");
        assert_eq!(found["columns"].as_array().unwrap().len(), 2, "{found}");
    }
    let kinds = put(&mut client, SNIFF, "", FILE).await.json();
    let columns = ["Id", "Date", "From", "To", "Subject", "Body", "Team", "Age"];
    assert_eq!(kinds["columns"], json!(columns));
    let expected =
        ["number", "date", "address", "address", "property", "text", "property", "number"];
    assert_eq!(kinds["kinds"], json!(expected));
    assert_eq!(kinds["rows"][0][5], "Two\r\nlines \u{20ac}");
    assert_eq!(kinds["rows"].as_array().unwrap().len(), 2, "the row of separators is none");
}

#[tokio::test]
async fn a_bad_row_is_named_and_nothing_of_its_file_is_stored() {
    let (server, mut client) = start().await;
    let query = "text=Body&timestamp=Date&number=Age&id=Id";
    let good = "Id,Date,Body,Age\n1,2026-01-01,a,1\n\"2\",2026-01-01,\"b\nc\",2\n";
    for (row, expected) in [
        ("3,soon,a,1", "line 5, column `Date`: this is no date"),
        ("3,02/03/2026,a,1", "line 5, column `Date`: the day and the month"),
        ("3,2026-01-01,a,many", "line 5, column `Age`: 'many' is no number"),
        ("3,2026-01-01,a,\"1,5\"", "line 5, column `Age`: '1,5' is no number"),
        (",2026-01-01,a,1", "line 5, column `Id`: an id is missing"),
        ("a b,2026-01-01,a,1", "`line 5.id`: the character ' '"),
        ("3,2026-01-01,a", "line 5 has 3 columns, and the first has 4"),
        ("3,2026-01-01,\"a", "line 5 has 3 columns"),
    ] {
        let file = format!("{good}{row}\n");
        for file in [file.replace('\n', "\r\n"), file] {
            let refused = put(&mut client, SYNC, query, file).await;
            assert_eq!(refused.status, 422, "{row}");
            assert!(refused.message().contains(expected), "{row}: {}", refused.message());
        }
    }
    for (query, file, expected) in [
        ("text=Body", good, "`timestamp`: this query parameter is required"),
        ("timestamp=Date", good, "`text`: this query parameter is required"),
        ("text=Text&timestamp=Date", good, "no column `Text`; it has `Id`, `Date`"),
        ("text=A&timestamp=B", "A,A,B\n1,2,3\n", "several columns `A`"),
        ("text=A&text=B&timestamp=B", good, "`text`: this query parameter appears twice"),
        ("text=Body&timestamp=Date&delimiter=x", good, "`delimiter`: expected a comma"),
        ("text=Body&timestamp=Date&encoding=klingon", good, "'klingon' is no encoding"),
        ("text=Body&timestamp=Date&date_order=ymd", good, "`date_order`: expected dmy or mdy"),
        ("text=Body&timestamp=Date&no_charge=x", good, "`no_charge`: expected true or false"),
        ("text=Body&timestamp=Date&title=Id", good, "`title`: unknown query parameter"),
        ("text=Body&timestamp=Date", "", "the file is empty"),
    ] {
        let refused = put(&mut client, SYNC, query, file).await;
        let is_about_the_file = expected.contains("the file") || expected.contains("column");
        let status = if is_about_the_file { 422 } else { 400 };
        assert_eq!(refused.status, status, "{query}");
        assert!(refused.message().contains(expected), "{query}: {}", refused.message());
    }
    let broken = [good.as_bytes(), b"3,2026-01-01,\xff,1\n"].concat();
    let refused = put(&mut client, SYNC, &format!("{query}&encoding=utf-8"), broken).await;
    assert!(refused.message().contains("line 5 of the file is not UTF-8"), "{}", refused.message());
    let many = format!("Id,Date,Body,Age\n{}", "1,2026-01-01,a,1\n".repeat(65_537));
    let refused = put(&mut client, SYNC, query, many).await;
    assert!(refused.message().contains("more than 65536 rows"), "{}", refused.message());
    assert_eq!(stored(&server).await, [] as [Value; 0]);
    let wide = ",".repeat(2000);
    for (path, file, line) in [
        (SNIFF, wide.clone(), 1),
        (SNIFF, format!("{}\n", ";".repeat(2000)), 1),
        (SNIFF, format!("{good}{wide}"), 5),
        (SYNC, wide.clone(), 1),
        (SYNC, format!("{good}{wide}"), 5),
    ] {
        let query = if path == SYNC { query } else { "" };
        let refused = put(&mut client, path, query, file).await;
        let expected = format!("line {line} of the file has more than 1024 columns");
        assert!(refused.message().contains(&expected), "{}", refused.message());
        assert_eq!(refused.status, 422);
    }
    assert_eq!(stored(&server).await, [] as [Value; 0]);
    // More rows than are stored at once.
    let rows = (0..4100).map(|n| format!("{n},2026-01-01,a,1\n")).collect::<String>();
    let done = put(&mut client, SYNC, query, format!("Id,Date,Body,Age\n{rows}")).await;
    assert_eq!(done.json()["new"], 4100);
}
