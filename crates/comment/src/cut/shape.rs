//! What a line looks like: a number, a name, a sentence, a date.

use super::phrases;

/// Small letters, straight apostrophes, plain blanks, no emphasis around it.
pub(super) fn normal(line: &str) -> String {
    let line = line.trim();
    if line.is_ascii() && !line.contains(['*', '`', '\t']) {
        return line.to_ascii_lowercase();
    }
    line.chars()
        .map(|it| match it {
            '\u{a0}' | '\u{202f}' | '\t' => ' ',
            '\u{2019}' | '\u{2018}' | '`' => '\'',
            other => other,
        })
        .filter(|it| !matches!(it, '*' | '\u{200e}' | '\u{200f}'))
        .flat_map(char::to_lowercase)
        .collect()
}

pub(super) fn words(line: &str) -> usize {
    line.split_whitespace().filter(|it| it.chars().any(char::is_alphanumeric)).count()
}

/// Digits by their runs: how many digits each has.
fn digit_runs(text: &str) -> impl Iterator<Item = &str> {
    text.split(|it: char| !it.is_ascii_digit()).filter(|it| !it.is_empty())
}

/// A year, or a date in numbers.
pub(super) fn has_date(text: &str) -> bool {
    let year = digit_runs(text)
        .any(|run| run.len() == 4 && (run.starts_with("19") || run.starts_with("20")));
    year || text.split_whitespace().any(|word| {
        let word = word.trim_matches(|it: char| !it.is_ascii_digit());
        ['/', '.', '-'].iter().any(|separator| {
            let mut pieces = 0;
            let all = word.split(*separator).all(|piece| {
                pieces += 1;
                (1..=4).contains(&piece.len()) && piece.bytes().all(|it| it.is_ascii_digit())
            });
            all && pieces == 3
        })
    })
}

/// A time of day: `10:30`, `10h30`, `10.30 Uhr`.
pub(super) fn has_time(text: &str) -> bool {
    text.split_whitespace().any(|word| {
        let word = word.trim_matches(|it: char| matches!(it, ',' | '(' | ')' | '.'));
        let hour = word.bytes().take_while(u8::is_ascii_digit).count();
        let rest = word.get(hour..).unwrap_or_default();
        let minutes = rest.strip_prefix([':', 'h', 'H']).unwrap_or_default();
        (1..=2).contains(&hour) && minutes.bytes().take(2).filter(u8::is_ascii_digit).count() == 2
    })
}

pub(super) fn has_address(text: &str) -> bool {
    text.split_whitespace().any(|word| {
        let Some((local, domain)) = word.rsplit_once('@') else { return false };
        local.chars().next_back().is_some_and(char::is_alphanumeric)
            && domain.chars().next().is_some_and(char::is_alphanumeric)
            && domain.contains('.')
    })
}

pub(super) fn has_link(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.contains("http://") || lower.contains("https://") || lower.contains("www.")
}

/// A telephone number: at least seven digits with nothing but blanks and signs between them.
pub(super) fn has_phone(text: &str) -> bool {
    let mut digits = 0;
    let mut separators = 0;
    for character in text.chars() {
        match character {
            '0'..='9' => {
                digits += 1;
                separators = 0;
            }
            '+' | '(' | ')' | '.' | '-' | '/' | ' ' | '\u{a0}' if separators < 3 => separators += 1,
            _ if digits >= 7 => return true,
            _ => digits = 0,
        }
        if separators >= 3 && digits < 7 {
            digits = 0;
        }
    }
    digits >= 7
}

/// `Tel.`, `Phone:`, `Mobil`, `Fax` at the start of a line or before a number.
pub(super) fn has_phone_label(normal: &str) -> bool {
    const LABELS: &[&str] = &[
        "tel",
        "tél",
        "phone",
        "mobile",
        "mobil",
        "cell",
        "fax",
        "telefon",
        "téléphone",
        "telefax",
        "teléfono",
        "móvil",
        "portable",
        "direct",
        "office",
        "fon",
        "handy",
        "mob",
        "ph",
        "t",
        "m",
        "f",
        "standard",
        "durchwahl",
        "zentrale",
        "e-mail",
        "email",
        "mail",
        "web",
        "skype",
    ];
    let label = normal.split([':', '.', '|', ' ', '+']).next().unwrap_or_default();
    LABELS.contains(&label)
}

/// Reads like running text.
pub(super) fn is_sentence(line: &str) -> bool {
    let line = line.trim();
    let count = words(line);
    let small = line
        .split_whitespace()
        .filter(|it| it.chars().next().is_some_and(char::is_lowercase))
        .count();
    let ends = line.ends_with(['.', '?', '!', ':', '…']);
    (count >= 5 && small * 2 >= count && (ends || count >= 7)) || (ends && count >= 4 && small >= 3)
}

/// Could be a person's name: one to five words in capitals, particles between them.
pub(super) fn is_name(line: &str) -> bool {
    const PARTICLES: &[&str] = &[
        "de", "von", "van", "der", "den", "la", "le", "del", "di", "da", "y", "und", "e", "zu",
        "du",
    ];
    let line = line.trim().trim_end_matches([',', '.']);
    let count = line.split_whitespace().count();
    (1..=5).contains(&count)
        && line.chars().count() <= 50
        && line
            .chars()
            .all(|it| it.is_alphabetic() || matches!(it, ' ' | '.' | '-' | '\'' | '’' | ','))
        && line.split_whitespace().all(|word| {
            PARTICLES.contains(&word) || word.chars().next().is_some_and(char::is_uppercase)
        })
}

/// A line that ends a letter: "Best regards,".
pub(super) fn is_closing(line: &str) -> bool {
    // Nobody ends a letter with a longer line; most lines of a text are, and cost nothing so.
    const MAX: usize = 240;
    const MAX_PLAIN: usize = 80;
    if line.len() > MAX {
        return false;
    }
    let text = normal(line);
    if phrases::ANY_FORMULA.finds(&text) && words(&text) <= 24 {
        return true;
    }
    if line.len() > MAX_PLAIN {
        return false;
    }
    let known = phrases::is_known_closing;
    let bare = text.trim_matches(|it: char| !it.is_alphanumeric());
    if known(bare) {
        return true;
    }
    // "Danke und LG": two closings.
    let joined = [" and ", " & ", " und ", " et ", " y ", " e "];
    let both = joined.iter().find_map(|it| bare.split_once(it));
    if both.is_some_and(|(one, other)| known(one) && known(other)) {
        return true;
    }
    // "Thanks, Bob": a closing and a name.
    if let Some((closing, name)) = line.split_once([',', '!', '.'])
        && known(normal(closing).trim())
        && (words(name) <= 3 && is_name(name) || is_closing(name))
    {
        return true;
    }
    // "Viele Grüße aus Berlin", "Bien cordialement à tous".
    const AFTER: &[&str] = &[
        " aus ", " from ", " desde ", " de ", " à tous", " to ", " und ", " and ", " an ", " et ",
        " y ", " nach ",
    ];
    words(&text) <= 5
        && !text.ends_with(['?', ':'])
        && AFTER.iter().any(|it| {
            text.split_once(it)
                .is_some_and(|(start, _)| start.len() >= 9 && start.contains(' ') && known(start))
        })
}

/// The name of the sender, or a part of it, or the initials.
pub(super) fn is_sender(line: &str, sender: &str) -> bool {
    let clean = |text: &str| normal(text).replace(['.', ',', '"'], " ");
    let (line, sender) = (clean(line), clean(sender));
    let parts: Vec<&str> = sender.split_whitespace().filter(|it| !it.contains('@')).collect();
    let names: Vec<&str> = line.split_whitespace().collect();
    if names.is_empty() || names.len() > 5 || parts.is_empty() {
        return false;
    }
    let initials: String = parts.iter().filter_map(|it| it.chars().next()).collect();
    let (Some(first), 1) = (names.first(), names.len()) else {
        return names.iter().filter(|it| parts.contains(it)).count() * 2 >= names.len();
    };
    parts.contains(first)
        || *first == initials
        || first.chars().count() == 1 && initials.starts_with(first)
}
