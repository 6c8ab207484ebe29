//! How many lines of generated letters get the right label, by language and program.

use std::collections::{BTreeMap, HashMap};

use comment::Label;

use crate::{
    convert_plainly,
    letters::{self, Letter, TONGUES},
};

const LETTERS: u64 = 400;
/// Wrong lines that are printed for each language.
const MAX_SHOWN: usize = 12;

fn normal(line: &str) -> String {
    line.trim_start_matches(['>', ' ']).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lines that got the right label, and those that did not.
fn judge(letter: &Letter) -> (usize, Vec<(Label, String)>) {
    let converted = convert_plainly(&letter.raw);
    let message = &converted.comment.messages[0];
    let signature = message.signature.as_ref().map(|it| it.text.as_str()).unwrap_or_default();
    let mut found: HashMap<(u8, String), usize> = HashMap::new();
    for (label, text) in [
        (Label::Body, message.body.text.as_str()),
        (Label::Signature, signature),
        (Label::Quote, converted.quoted.as_str()),
    ] {
        for line in text.lines() {
            *found.entry((label as u8, normal(line))).or_default() += 1;
        }
    }
    let mut right = 0;
    let mut wrong = Vec::new();
    for (label, line) in &letter.lines {
        match found.get_mut(&(*label as u8, normal(line))) {
            Some(count) if *count > 0 => {
                *count -= 1;
                right += 1;
            }
            _ => wrong.push((*label, line.clone())),
        }
    }
    (right, wrong)
}

#[test]
fn accuracy_is_at_least_95_percent_of_lines_in_each_language() {
    let mut by_client: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut table = String::from(
        "| language | letters | lines | right | body | quote | signature |\n|---|---|---|---|---|---|---|\n",
    );
    let mut low = Vec::new();
    for tongue in &TONGUES {
        let (mut all, mut right) = (0, 0);
        let mut kinds = [(0_usize, 0_usize); 3];
        let mut shown = 0;
        for seed in 0..LETTERS {
            let letter = letters::write(tongue, seed);
            let (good, wrong) = judge(&letter);
            right += good;
            all += letter.lines.len();
            let one = by_client.entry(format!("{:?}", letter.client)).or_default();
            *one = (one.0 + good, one.1 + letter.lines.len());
            for (label, _) in &letter.lines {
                kinds[*label as usize].1 += 1;
            }
            for (label, line) in &wrong {
                kinds[*label as usize].0 += 1;
                if shown < MAX_SHOWN {
                    shown += 1;
                    println!("{} {seed} {:?} {label:?}: {line}", tongue.code, letter.client);
                }
            }
        }
        let percent = |wrong: usize, of: usize| 100.0 - 100.0 * wrong as f64 / of.max(1) as f64;
        table.push_str(&format!(
            "| {} | {LETTERS} | {all} | {:.2} % | {:.2} % | {:.2} % | {:.2} % |\n",
            tongue.code,
            percent(all - right, all),
            percent(kinds[0].0, kinds[0].1),
            percent(kinds[1].0, kinds[1].1),
            percent(kinds[2].0, kinds[2].1),
        ));
        if percent(all - right, all) < 95.0 {
            low.push(tongue.code);
        }
    }
    println!("{table}");
    for (client, (right, all)) in by_client {
        println!("| {client} | {all} | {:.2} % |", 100.0 * right as f64 / all as f64);
    }
    assert!(low.is_empty(), "below 95 %: {low:?}\n{table}");
}
