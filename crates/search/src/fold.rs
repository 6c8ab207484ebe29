//! What characters count as: without case, without diacritics, in one form where Unicode has
//! several.

use unicode_normalization::char::{compose, decompose_compatible, is_combining_mark};

/// One character of a text as the search sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folded {
    /// Part of a word.
    Letter(char),
    /// Part of a text without blanks between words, where any two neighbors can be one.
    Wide(char),
    /// Nothing, even within a word.
    Silent,
    /// The end of a word.
    Gap,
}

/// Tells what `c` counts as, piece by piece.
pub(crate) fn fold(c: char, mut take: impl FnMut(Folded)) {
    if c.is_ascii() {
        return take(if c.is_ascii_alphanumeric() {
            Folded::Letter(c.to_ascii_lowercase())
        } else {
            Folded::Gap
        });
    }
    // Composed already, and taken apart these would become letters that nobody writes.
    if is_wide(c) && !is_compatibility(c) {
        return take(Folded::Wide(c));
    }
    decompose_compatible(c, |c| {
        if is_silent(c) {
            take(Folded::Silent);
        } else if is_wide(c) {
            take(Folded::Wide(c));
        } else if c.is_alphanumeric() || is_combining_mark(c) {
            // Twice, since `ẞ` has no upper case and `ß` becomes two letters only there.
            let upper = c.to_lowercase().flat_map(char::to_uppercase);
            upper.flat_map(char::to_lowercase).for_each(|c| match plain(c) {
                Some(letters) => letters.chars().for_each(|c| take(Folded::Letter(c))),
                // The dot that `İ` leaves behind.
                None if is_silent(c) => take(Folded::Silent),
                None => take(Folded::Letter(c)),
            });
        } else {
            take(Folded::Gap);
        }
    });
}

/// `c` together with `mark`, where a keyboard or a file system writes one character as two.
pub(crate) fn join(c: char, mark: char) -> Option<char> {
    let mark = match mark {
        '\u{3099}' | '\u{ff9e}' => '\u{3099}',
        '\u{309a}' | '\u{ff9f}' => '\u{309a}',
        '\u{1161}'..='\u{1175}' | '\u{11a8}'..='\u{11c2}' => mark,
        _ => return None,
    };
    let mut base = c;
    // Katakana of half width.
    if matches!(c, '\u{ff66}'..='\u{ff9d}') {
        decompose_compatible(c, |full| base = full);
    }
    compose(base, mark)
}

/// Scripts that put no blanks between words.
fn is_wide(c: char) -> bool {
    match c {
        // Thai, Lao, Myanmar, Khmer: their vowels are marks.
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' => {
            c.is_alphanumeric() || is_combining_mark(c)
        }
        '\u{3005}' | '\u{3007}' => true,
        '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{30fc}'..='\u{30ff}' => true,
        '\u{3105}'..='\u{312f}' | '\u{31f0}'..='\u{31ff}' => true,
        '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' => true,
        '\u{ac00}'..='\u{d7a3}' => true,
        '\u{20000}'..='\u{3ffff}' => true,
        _ => false,
    }
}

/// Ideographs that only exist twice.
fn is_compatibility(c: char) -> bool {
    matches!(c, '\u{f900}'..='\u{faff}' | '\u{2f800}'..='\u{2fa1f}' | '\u{e33}' | '\u{eb3}')
}

fn is_silent(c: char) -> bool {
    matches!(c,
        // Diacritics; points of Hebrew and Arabic.
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5c7}'
        | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{640}'
        | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}'
        | '\u{fe20}'..='\u{fe2f}'
        // The soft hyphen, joiners, marks of direction, variations.
        | '\u{ad}' | '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{2069}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{e0100}'..='\u{e01ef}')
}

/// Latin letters that Unicode does not take apart.
fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        'ø' => "o",
        'æ' => "ae",
        'œ' => "oe",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'þ' => "th",
        'ħ' => "h",
        'ŧ' => "t",
        'ŋ' => "n",
        'ĸ' => "k",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        let mut whole = String::new();
        for c in text.chars() {
            fold(c, |folded| match folded {
                Folded::Letter(c) | Folded::Wide(c) => whole.push(c),
                Folded::Silent => {}
                Folded::Gap => whole.push(' '),
            });
        }
        whole
    }

    #[test]
    fn case_and_diacritics_are_off() {
        for (text, expected) in [
            ("Straße STRASSE GROẞ", "strasse strasse gross"),
            ("Ångström e\u{301}té İstanbul ısı", "angstrom ete istanbul isi"),
            ("Łódź Ærø Þór œuvre", "lodz aero thor oeuvre"),
            ("ΌΔΟΣ οδός", "οδοσ οδοσ"),
            ("ＡＢＣ１２３ ﬁn ①", "abc123 fin 1"),
            ("so\u{ad}ft", "soft"),
            ("مُحَمَّد", "محمد"),
            ("हिन्दी", "हिन्दी"),
            ("a_b-c", "a b c"),
        ] {
            assert_eq!(folded(text), expected, "{text}");
        }
    }

    #[test]
    fn two_characters_that_are_one_are_joined() {
        assert_eq!(join('か', '\u{3099}'), Some('が'));
        assert_eq!(join('ｶ', 'ﾞ'), Some('ガ'));
        assert_eq!(join('\u{1112}', '\u{1161}').and_then(|c| join(c, '\u{11ab}')), Some('한'));
        assert_eq!(join('a', '\u{301}'), None);
    }
}
