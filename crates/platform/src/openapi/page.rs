//! The document as a page to read: one file, no script, nothing from elsewhere.

use comment::escape;
use serde_json::Value;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--mark:#0b7285}@media(prefers-color-scheme:dark){:root{--mark:#66d9e8}}\
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
code,pre{font:13px/1.45 ui-monospace,monospace}pre{overflow:auto;padding:.6rem .8rem;border:1px solid var(--line);border-radius:6px}\
details{border:1px solid var(--line);border-radius:6px;margin:.4rem 0;padding:.3rem .8rem}\
summary{cursor:pointer;overflow-wrap:anywhere}summary b{display:inline-block;min-width:4.2rem;color:var(--mark)}\
summary span{opacity:.75;margin-left:.6rem}table{border-collapse:collapse}td,th{text-align:left;padding:.15rem 1rem .15rem 0;vertical-align:top}\
nav a{margin-right:1rem}a{color:var(--mark)}";

/// Writes the page of an OpenAPI document.
pub(super) fn page(document: &Value) -> String {
    let mut page = Page(String::new());
    let text =
        |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    page.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.raw("<meta name=\"viewport\" content=\"width=device-width\"><title>Tributary API</title><style>");
    page.raw(STYLE);
    page.raw("</style></head><body><header><h1>Tributary API ");
    page.text(text("/info/version"));
    page.raw("</h1>");
    page.paragraphs(text("/info/description"));
    page.raw(
        "<p><a href=\"openapi.json\">OpenAPI document</a></p></header><nav aria-label=\"Parts\">",
    );
    let tags = list(document, "/tags").iter().filter_map(|tag| tag.get("name")?.as_str());
    let tags: Vec<&str> = tags.collect();
    for tag in tags.iter().copied().chain(["Schemas"]) {
        page.raw("<a href=\"#");
        page.text(&anchor(tag));
        page.raw("\">");
        page.text(tag);
        page.raw("</a>");
    }
    page.raw("</nav><main>");
    for tag in tags {
        page.heading(tag);
        for (path, methods) in entries(document, "/paths") {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let own = operation.pointer("/tags/0").and_then(Value::as_str);
                if own == Some(tag) {
                    page.operation(path, method, operation);
                }
            }
        }
    }
    page.heading("Schemas");
    for (name, schema) in entries(document, "/components/schemas") {
        page.raw("<details id=\"schema-");
        page.text(name);
        page.raw("\"><summary><code>");
        page.text(name);
        page.raw("</code></summary>");
        page.json(schema);
        page.raw("</details>");
    }
    page.raw("</main></body></html>\n");
    page.0
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn entries<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.pointer(pointer).and_then(Value::as_object).into_iter().flatten()
}

fn anchor(name: &str) -> String {
    name.to_ascii_lowercase().replace(' ', "-")
}

struct Page(String);

impl Page {
    fn raw(&mut self, html: &str) {
        self.0.push_str(html);
    }

    fn text(&mut self, text: &str) {
        escape(text, &mut self.0);
    }

    fn paragraphs(&mut self, text: &str) {
        for paragraph in text.split("\n\n") {
            self.raw("<p>");
            // Backticks around code come in pairs.
            for (number, piece) in paragraph.split('`').enumerate() {
                self.raw(if number % 2 == 1 { "<code>" } else { "" });
                self.text(piece);
                self.raw(if number % 2 == 1 { "</code>" } else { "" });
            }
            self.raw("</p>");
        }
    }

    fn heading(&mut self, name: &str) {
        self.raw("<h2 id=\"");
        self.text(&anchor(name));
        self.raw("\">");
        self.text(name);
        self.raw("</h2>");
    }

    fn json(&mut self, value: &Value) {
        self.raw("<pre>");
        let shown = serde_json::to_string_pretty(value).unwrap_or_default();
        self.text(&shown);
        self.raw("</pre>");
    }

    fn operation(&mut self, path: &str, method: &str, operation: &Value) {
        let text = |name: &str| operation.get(name).and_then(Value::as_str).unwrap_or_default();
        self.raw("<details id=\"");
        self.text(text("operationId"));
        self.raw("\"><summary><b>");
        self.text(&method.to_ascii_uppercase());
        self.raw("</b><code>");
        self.text(path);
        self.raw("</code><span>");
        self.text(text("summary"));
        self.raw("</span></summary>");
        self.paragraphs(text("description"));
        let parameters = list(operation, "/parameters");
        if !parameters.is_empty() {
            self.raw("<h4>Parameters</h4><table>");
            for parameter in parameters {
                let text =
                    |name: &str| parameter.get(name).and_then(Value::as_str).unwrap_or_default();
                self.raw("<tr><td><code>");
                self.text(text("name"));
                self.raw("</code></td><td>");
                self.text(text("in"));
                self.raw("</td><td><code>");
                self.text(&parameter.get("schema").map(Value::to_string).unwrap_or_default());
                self.raw("</code></td></tr>");
            }
            self.raw("</table>");
        }
        if let Some(content) = operation.pointer("/requestBody/content") {
            self.raw("<h4>Body</h4>");
            self.json(content);
        }
        for (status, response) in entries(operation, "/responses") {
            if let Some(content) = response.get("content") {
                self.raw("<h4>Answer ");
                self.text(status);
                self.raw("</h4>");
                self.json(content);
            }
        }
        let refusals = entries(operation, "/responses").filter(|(_, it)| it.get("$ref").is_some());
        let refusals: Vec<&str> = refusals.map(|(status, _)| status.as_str()).collect();
        self.raw("<p>Refusals: ");
        self.text(&refusals.join(", "));
        self.raw("</p></details>");
    }
}
