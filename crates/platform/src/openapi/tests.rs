use std::collections::BTreeSet;

use super::*;

#[test]
fn every_route_is_described() {
    assert_eq!(undescribed(), Vec::<String>::new());
}

#[test]
fn the_document_beside_the_sources_is_this_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/openapi.json");
    expect_test::expect_file![path].assert_eq(&openapi_text());
}

#[test]
fn declarations_and_routes_agree() {
    for route in ROUTES {
        let Some(operation) = operation_of(route.op) else { continue };
        let name = format!("{} {}", route.method, route.path);
        let asked: BTreeSet<&str> = operation.query.iter().map(|(name, _)| *name).collect();
        let known: BTreeSet<&str> = route.query.iter().copied().collect();
        assert_eq!(asked, known, "{name}");
        let fits = match route.content {
            Content::Nothing => matches!(operation.body, Body::None),
            Content::File => matches!(operation.body, Body::File),
            _ => matches!(operation.body, Body::Json(_)),
        };
        assert!(fits, "{name}: the route takes {:?}", route.content);
        assert!(!operation.summary.is_empty() && !operation.summary.ends_with('.'), "{name}");
    }
}

#[test]
fn every_name_that_is_referred_to_is_there_and_used() {
    let document = openapi("");
    let text = document.to_string();
    let names = document["components"]["schemas"].as_object().unwrap();
    for name in names.keys() {
        assert!(text.contains(&format!("#/components/schemas/{name}\"")), "{name} is not used");
    }
    for piece in text.split("#/components/schemas/").skip(1) {
        let name = piece.split('"').next().unwrap();
        assert!(names.contains_key(name), "{name} is not there");
    }
}

#[test]
fn names_of_operations_are_unique() {
    let document = openapi("/base");
    assert_eq!(document["servers"][0]["url"], "/base");
    let paths = document["paths"].as_object().unwrap();
    let all = paths.values().flat_map(|path| path.as_object().unwrap().values());
    let ids: Vec<&str> = all.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    assert!(ids.contains(&"listBuckets") && ids.contains(&"getConfig2"), "{ids:?}");
}

#[test]
fn the_page_is_whole_and_loads_nothing() {
    let page = page::page(&openapi(""));
    assert!(page.contains("id=\"createBucket\"") && page.contains("id=\"schema-Bucket\""));
    for loader in ["<script", "src=", "url(", "<link", "http-equiv"] {
        assert!(!page.contains(loader), "{loader}");
    }
}
