//! Declarations of a `style` attribute: known properties whose values cannot load or cover anything.
//!
//! As with the elements, what counts is what comes out: no backslash, no comment, no `@`, no
//! function but those of colors, quotes and parentheses in pairs.

/// Longest attribute that is looked at, in bytes, and most declarations of it.
const MAX_BYTES: usize = 8_192;
const MAX_DECLARATIONS: usize = 100;

/// Properties, and beginnings of the names of properties (with a dash at the end).
#[rustfmt::skip]
const PROPERTIES: &[&str] = &[
    "background", "background-color", "border", "border-", "caption-side", "clear", "color",
    "direction", "display", "empty-cells", "float", "font", "font-", "height", "letter-spacing",
    "line-height", "list-style", "list-style-position", "list-style-type", "margin", "margin-",
    "max-height", "max-width", "min-height", "min-width", "opacity", "overflow-wrap", "padding",
    "padding-", "table-layout", "text-", "vertical-align", "visibility", "white-space", "width",
    "word-break", "word-spacing", "word-wrap",
];
/// Begin like a known property, but load a picture.
const LOADING: &[&str] = &["border-image", "border-image-source"];
const FUNCTIONS: &[&str] = &["rgb", "rgba", "hsl", "hsla"];

/// What is left of the declarations, each with its semicolon.
pub(super) fn clean(css: &str) -> String {
    let mut out = String::new();
    let css = css.get(..css.floor_char_boundary(MAX_BYTES)).unwrap_or(css);
    for declaration in css.split(';').take(MAX_DECLARATIONS) {
        let Some((property, value)) = declaration.split_once(':') else { continue };
        let property = property.trim().to_ascii_lowercase();
        let value = value.trim();
        if is_known(&property) && is_harmless(value) {
            out.push_str(&property);
            out.push(':');
            out.push_str(value);
            out.push(';');
        }
    }
    out
}

fn is_known(property: &str) -> bool {
    let letters = property.bytes().all(|it| it.is_ascii_lowercase() || it == b'-');
    let listed = |known: &str| match known.strip_suffix('-') {
        Some(_) => property.starts_with(known),
        None => property == known,
    };
    letters && !LOADING.contains(&property) && PROPERTIES.iter().any(|known| listed(known))
}

fn is_harmless(value: &str) -> bool {
    let mut quote = None;
    let mut depth = 0_usize;
    for (at, character) in value.char_indices() {
        let plain = character.is_alphanumeric()
            || matches!(
                character,
                ' ' | '\t' | '\r' | '\n' | '#' | '%' | '.' | ',' | '-' | '+' | '!' | '_'
            );
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, '(') => {
                let before = value.get(..at).unwrap_or_default();
                let name =
                    before.rsplit(|it: char| !it.is_ascii_alphanumeric() && it != '-').next();
                let name = name.unwrap_or_default().to_ascii_lowercase();
                if depth > 0 || !FUNCTIONS.contains(&name.as_str()) {
                    return false;
                }
                depth += 1;
            }
            (None, ')') if depth > 0 => depth -= 1,
            (None, '/') if !value.contains("/*") => {}
            _ if plain => {}
            _ => return false,
        }
    }
    quote.is_none() && depth == 0 && !value.is_empty()
}
