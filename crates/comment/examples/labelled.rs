//! Compares the labels with what other people expect: a folder of `NAME.txt`, each with
//! `NAME.reply` (the text without quotes) or `NAME.signature` (the signature in it, and the
//! sender in `NAME.sender`).
//! `cargo run -p comment --example labelled -- FOLDER`
#![allow(clippy::print_stdout, clippy::expect_used, reason = "an example for people to read")]

use std::{collections::HashMap, path::Path};

use comment::{Context, Hint, Label, Line, label};

fn main() {
    let folder = std::env::args().nth(1).expect("the folder with the texts");
    let mut texts: Vec<_> = std::fs::read_dir(&folder)
        .expect("a folder")
        .filter_map(Result::ok)
        .map(|it| it.path())
        .filter(|it| it.extension().is_some_and(|it| it == "txt"))
        .collect();
    texts.sort();
    let (mut all, mut right, mut whole) = (0, 0, 0);
    for path in &texts {
        let wrong = judge(path, &mut all);
        whole += usize::from(wrong.is_empty());
        right += wrong.len();
        for line in wrong.iter().take(6) {
            println!("{}: {line}", path.display());
        }
    }
    let percent = 100.0 - 100.0 * right as f64 / f64::from(all.max(1));
    println!("{} texts, {whole} all right; {all} lines, {percent:.2} % right", texts.len());
}

fn judge(path: &Path, all: &mut i32) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("a text");
    let (expected, signature) = match std::fs::read_to_string(path.with_extension("reply")) {
        Ok(reply) => (reply, false),
        Err(_) => (
            std::fs::read_to_string(path.with_extension("signature")).expect("what is expected"),
            true,
        ),
    };
    let mut wanted: HashMap<&str, usize> = HashMap::new();
    for line in expected.lines() {
        *wanted.entry(line.trim()).or_default() += 1;
    }
    let lines: Vec<Line<'_>> = text.lines().map(|text| Line { text, hint: Hint::None }).collect();
    let sender = std::fs::read_to_string(path.with_extension("sender")).unwrap_or_default();
    let sender = sender.split('<').next().unwrap_or_default().trim();
    let reply = (!signature).then_some(true);
    let labels = label(&lines, &Context { reply, sender, forward: false });
    let mut wrong = Vec::new();
    for (line, label) in lines.iter().zip(labels) {
        let text = line.text.trim();
        if text.is_empty() {
            continue;
        }
        *all += 1;
        let is_wanted = match wanted.get_mut(text) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        };
        let picked = if signature { label == Label::Signature } else { label != Label::Quote };
        if is_wanted != picked {
            wrong.push(format!("{label:?}: {text}"));
        }
    }
    wrong
}
