//! The API's description of itself against the API: what it declares is taken and given, and
//! nothing else is taken.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a panic here is a failed test, which tells what it saw"
)]

mod document;
mod scene;
mod schemathesis;

use std::collections::BTreeMap;

use scene::Scene;
use serde_json::{Map, Value, json};

fn fields<'a>(value: &'a mut Value, pointer: &str) -> &'a mut Map<String, Value> {
    value.pointer_mut(pointer).unwrap().as_object_mut().unwrap()
}

#[tokio::test]
async fn every_declared_field_is_taken_and_no_other() {
    let mut scene = Scene::new().await;
    for (method, path, schema, _) in scene.routes() {
        let Some(schema) = schema else { continue };
        let shown = format!("{method} {path}");
        let body = scene.body(&schema);
        let answer = scene.ask(&method, &path, &body).await;
        assert_eq!(answer.status, 200, "{shown} with {body}: {answer:?}");
        let objects = scene.document.objects(&schema, &body, String::new());
        let objects: Vec<(String, Value)> =
            objects.into_iter().map(|(at, schema)| (at, schema.clone())).collect();
        assert!(!objects.is_empty(), "{shown}");
        for (at, schema) in objects {
            let mut more = scene.body(&schema_of(&scene, &method, &path));
            fields(&mut more, &at).insert("undeclared".to_owned(), 1.into());
            let answer = scene.ask(&method, &path, &more).await;
            let refused =
                answer.status == 400 && answer.message().contains("undeclared`: unknown field");
            assert!(refused, "{shown} with {more}: {answer:?}");
            for name in schema["required"].as_array().into_iter().flatten() {
                let name = name.as_str().unwrap();
                let mut less = scene.body(&schema_of(&scene, &method, &path));
                fields(&mut less, &at).remove(name);
                let answer = scene.ask(&method, &path, &less).await;
                let refused = answer.status == 400 && answer.message().contains(name);
                assert!(refused, "{shown} without {name}: {answer:?}");
            }
        }
    }
}

fn schema_of(scene: &Scene, method: &str, path: &str) -> Value {
    let pointer = format!(
        "/paths/{}/{}/requestBody/content/application~1json/schema",
        path.replace('/', "~1"),
        method.to_lowercase()
    );
    scene.document.0.pointer(&pointer).unwrap().clone()
}

#[tokio::test]
async fn every_answer_looks_as_declared() {
    let mut scene = Scene::new().await;
    let mut seen: BTreeMap<String, u16> = BTreeMap::new();
    // What a later one asks for is made by an earlier one; what removes it comes last.
    let mut routes = scene.routes();
    routes.sort_by_key(|(method, path, ..)| match method.as_str() {
        "PUT" => (0, path.len()),
        "DELETE" if path.ends_with("{user}") => (4, 0),
        "DELETE" if path.ends_with("{project}") => (3, 0),
        "DELETE" => (2, usize::MAX - path.len()),
        _ => (1, path.len()),
    });
    for (method, path, body, answer) in routes {
        let Some(schema) = answer else { continue };
        let shown = format!("{method} {path}");
        let body = body.map_or(Value::Null, |schema| scene.body(&schema));
        let path = match (method.as_str(), path.as_str()) {
            (_, path) if path.ends_with("/emails") && body.is_null() => format!("{path}?id=3c613e"),
            ("DELETE", path) if path.ends_with("/comments") => format!("{path}?id=3c613e"),
            ("DELETE", "/api/_private/projects/{project}") => format!("{path}?force=true"),
            _ => path,
        };
        let answer = scene.ask(&method, &path, &body).await;
        seen.insert(shown.clone(), answer.status.as_u16());
        let schema = if answer.status == 200 {
            schema
        } else {
            json!({ "$ref": "#/components/schemas/Error" })
        };
        let wrong = scene.document.check(&schema, &answer.json(), "answer");
        assert!(wrong.is_empty(), "{shown}: {wrong:#?} in {answer:?}");
    }
    // The few that need a file, or cannot be done to oneself.
    let refused: Vec<_> = seen.iter().filter(|(_, status)| **status != 200).collect();
    let expected = [
        "DELETE /api/_private/users/{user}",
        "DELETE /api/_private/account/sessions/{session}",
        "DELETE /api/_private/account/tokens/{token}",
    ];
    let others = refused.iter().filter(|(name, status)| {
        !expected.contains(&name.as_str()) && !matches!(**status, 400 | 415 | 422)
    });
    assert_eq!(others.count(), 0, "{refused:?}");
    assert!(seen.len() - refused.len() > 25, "{refused:?}");
}
