//! Paragraphs that no person wrote for this email: notices, footers of devices, lists, scanners.

use super::{Line, phrases, shape};

/// A paragraph is a footer.
pub(super) fn is_footer(paragraph: &[Line<'_>]) -> bool {
    is_device(paragraph) || is_notice(paragraph) || is_rule(paragraph) || is_boilerplate(paragraph)
}

/// "Sent from my phone".
fn is_device(paragraph: &[Line<'_>]) -> bool {
    let Some(first) = paragraph.first() else { return false };
    let normal = shape::normal(first.text);
    let bare = normal.trim_start_matches(|it: char| !it.is_alphanumeric());
    paragraph.len() <= 2
        && shape::words(bare) <= 14
        && !bare.ends_with(['?', ':'])
        && phrases::DEVICES.iter().any(|it| bare.starts_with(it))
        && !bare.starts_with("sent via the")
        && (shape::words(bare) <= 8 || shape::has_link(bare))
        && is_device_line(bare)
}

/// A footer of a device names one, or a program.
fn is_device_line(bare: &str) -> bool {
    const DEVICES: &[&str] = &[
        "iphone",
        "ipad",
        "android",
        "samsung",
        "galaxy",
        "huawei",
        "blackberry",
        "outlook",
        "mail",
        "gmail",
        "yahoo",
        "handy",
        "smartphone",
        "mobile",
        "mobil",
        "tablet",
        "phone",
        "windows",
        "device",
        "nokia",
        "xiaomi",
        "pixel",
        "app",
        "móvil",
        "téléphone",
        "teléfono",
        "telefon",
        "thunderbird",
        "mac",
        "apple",
        "proton",
        "spark",
        "gerät",
        "gmx",
        "web.de",
        "watch",
    ];
    let mut words = bare.split(|it: char| !it.is_alphanumeric() && it != '.');
    words.any(|word| DEVICES.iter().any(|it| word == *it || word.starts_with(it) && it.len() > 4))
}

/// A legal notice, or the footer of a list.
fn is_notice(paragraph: &[Line<'_>]) -> bool {
    /// A notice of a thousand words is one by its start.
    const MAX_CHARS: usize = 4_000;
    let mut text = String::new();
    for line in paragraph {
        if text.len() > MAX_CHARS {
            break;
        }
        text.push_str(&shape::normal(line.text));
        text.push(' ');
    }
    let hits = phrases::ANY_NOTICE.count(&text);
    if hits == 0 {
        return false;
    }
    let words = shape::words(&text);
    // A long paragraph needs more to be a notice: letters speak of viruses too.
    match words {
        0..=7 => paragraph.len() == 1 && !text.trim_end().ends_with('?') && is_short_notice(&text),
        8..=40 => hits >= 2,
        41..=120 => hits >= 3,
        _ => hits >= 4,
    }
}

fn is_short_notice(text: &str) -> bool {
    const ALONE: &[&str] = &[
        "disclaimer",
        "confidentiality notice",
        "unsubscribe",
        "abmelden",
        "darse de baja",
        "se désabonner",
        "avast",
        "mailing list",
        "listinfo",
    ];
    ALONE.iter().any(|it| text.contains(it))
}

/// Only a line of dashes or underscores.
fn is_rule(paragraph: &[Line<'_>]) -> bool {
    paragraph.iter().all(|line| {
        let text = line.text.trim();
        text.len() >= 3
            && text.chars().all(|it| matches!(it, '-' | '_' | '=' | '*' | '~' | '—' | '#'))
    })
}

/// A rule, then short lines with links: what list servers and free mail add.
fn is_boilerplate(paragraph: &[Line<'_>]) -> bool {
    let Some((first, rest)) = paragraph.split_first() else { return false };
    let ruled = is_rule(std::slice::from_ref(first)) && first.text.trim().len() >= 5;
    ruled
        && !rest.is_empty()
        && rest.len() <= 8
        && rest.iter().any(|it| shape::has_link(it.text) || shape::has_address(it.text))
}
