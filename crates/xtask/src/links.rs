//! Keeps what the pages point at true: files that they link to, and tests that they name.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// Folders that hold no page of the project, beside those whose name begins with a dot.
const NOT_OURS: [&str; 2] = ["target", "node_modules"];

/// Deepest folder that is looked into.
const MAX_DEPTH: usize = 12;

/// What stands between the file and the name in `crates/cli/tests/it/crashes.rs::kill`.
const BEFORE_TEST: &str = ".rs::";

/// Fails with a list if a page below `root` links to a file that is not there, or names a test
/// that is not there.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut pages = Vec::new();
    find_pages(root, MAX_DEPTH, &mut pages)?;
    pages.sort_unstable();
    let mut wrong = Vec::new();
    for page in &pages {
        let text = fs::read_to_string(page).with_context(|| format!("could not read {page:?}"))?;
        let shown = page.strip_prefix(root).unwrap_or(page).display();
        let found = dead_links(page, &text).into_iter().chain(missing_tests(root, &text));
        wrong.extend(found.map(|(line, what)| format!("{shown}:{line}: {what}")));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("{} references lead nowhere:\n{}", wrong.len(), wrong.join("\n"))
}

fn find_pages(dir: &Path, depth: usize, pages: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("could not read {dir:?}"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // A link is not followed: it may lead out of the checkout, or round and round.
        if name.starts_with('.') || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            if depth > 0 && !NOT_OURS.contains(&name.as_ref()) {
                find_pages(&path, depth - 1, pages)?;
            }
        } else if name.ends_with(".md") {
            pages.push(path);
        }
    }
    Ok(())
}

/// Links to files that do not exist, each with its line. Code blocks are passed over, and so are
/// addresses on the web: whether those work is not for a test to find out.
fn dead_links(page: &Path, text: &str) -> Vec<(usize, String)> {
    let dir = page.parent().unwrap_or(Path::new("."));
    let mut dead = Vec::new();
    let mut in_code = false;
    for (line, text) in (1..).zip(text.lines()) {
        if text.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        for rest in text.split("](").skip(1).filter(|_| !in_code) {
            let target = rest.split([')', ' ', '#']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains(':') && !dir.join(target).exists() {
                dead.push((line, format!("no file `{target}`")));
            }
        }
    }
    dead
}

/// Tests that are named and do not exist, each with its line.
fn missing_tests(root: &Path, text: &str) -> Vec<(usize, String)> {
    let mut missing = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        for (at, _) in text.match_indices(BEFORE_TEST) {
            let (before, after) = text.split_at(at);
            let in_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
            let file = before.rsplit(|c| !in_path(c)).next().unwrap_or_default();
            let name = after.trim_start_matches(BEFORE_TEST);
            let name = name.split(|c| !is_part_of_name(c)).next().unwrap_or_default();
            if !file.starts_with("crates/") {
                continue;
            }
            match fs::read_to_string(root.join(format!("{file}.rs"))) {
                Err(_) => missing.push((line, format!("no file `{file}.rs`"))),
                Ok(code) if has_function(&code, name) => {}
                Ok(_) => missing.push((line, format!("no `fn {name}` in `{file}.rs`"))),
            }
        }
    }
    missing
}

fn is_part_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn has_function(code: &str, name: &str) -> bool {
    let is_it =
        |rest: &str| rest.strip_prefix(name).is_some_and(|end| !end.starts_with(is_part_of_name));
    // A name in a comment is no function.
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    !name.is_empty() && lines.flat_map(|line| line.split("fn ").skip(1)).any(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_links_are_found_and_others_left_alone() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("page.md");
        let text = "[a](Cargo.toml) [b](src/main.rs#top) [c](https://example.com/x) [d](#here)\n\
                    ```\n[e](in-a-code-block.md)\n```\n[f](gone.md#part) [g](src/nothing.rs)\n";
        let expected = [(5, "no file `gone.md`"), (5, "no file `src/nothing.rs`")];
        assert_eq!(dead_links(&page, text), expected.map(|(line, what)| (line, what.to_owned())));
    }

    #[test]
    fn missing_tests_are_found() {
        let file = "crates/xtask/src/links.rs";
        let here = format!("`{file}::missing_tests_are_found`");
        let text = format!("{here}\n{here}, {file}::nowhere, crates/no.rs::x, other.rs::y\n");
        let expected =
            [format!("no `fn {}` in `{file}`", "nowhere"), "no file `crates/no.rs`".into()];
        assert_eq!(missing_tests(&crate::root(), &text), expected.map(|what| (2, what)));
    }

    #[test]
    fn a_function_is_known_by_its_whole_name() {
        let code = "pub async fn ends(x: u8) {}\n// fn comment() {}\n";
        assert!(has_function(code, "ends"));
        assert!(!has_function(code, "end") && !has_function(code, "comment"));
    }
}
