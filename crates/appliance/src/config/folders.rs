//! Which folders of a mailbox are read: patterns that name folders by their path.

/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 1024;

/// Names folders by their path from the top of the mailbox.
///
/// Parts are divided by `/`. `*` stands for any characters within one part. A part `**` stands
/// for any number of parts, also none. `\` takes the next character literally: `\/`, `\*`,
/// `\\`. Upper and lower case are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderPattern {
    /// As it was written.
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// `**`
    AnyParts,
    /// One name, with its wildcards.
    Name(Vec<Piece>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// `*`
    AnyCharacters,
    Character(char),
}

/// The text is not a folder pattern. Completes "allowed: …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    #[error("a folder pattern such as `Inbox/**`, not empty")]
    Empty,
    #[error("a folder pattern of at most {MAX_PATTERN} bytes")]
    TooLong,
    #[error("a folder pattern such as `Inbox/**`, with a name between each two `/`")]
    EmptyPart,
    #[error("a folder pattern with `**` only as a whole part, such as `Inbox/**`")]
    DoubleStar,
    #[error("a folder pattern in which another character follows each `\\`")]
    LoneBackslash,
}

impl FolderPattern {
    /// # Errors
    ///
    /// [`BadPattern`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        if text.is_empty() {
            return Err(BadPattern::Empty);
        }
        if text.len() > MAX_PATTERN {
            return Err(BadPattern::TooLong);
        }
        let mut parts = vec![Vec::new()];
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            let piece = match c {
                '/' => {
                    parts.push(Vec::new());
                    continue;
                }
                '*' => Piece::AnyCharacters,
                '\\' => Piece::Character(characters.next().ok_or(BadPattern::LoneBackslash)?),
                other => Piece::Character(other),
            };
            if let Some(part) = parts.last_mut() {
                part.push(piece);
            }
        }
        let parts = parts.into_iter().map(part).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Tells whether the folder with this path is named. Takes time in proportion to the
    /// product of both lengths, whatever the pattern.
    pub fn matches(&self, path: &[String]) -> bool {
        // `open[n]`: the parts of the pattern so far match the first n names of the path.
        let mut open = vec![false; path.len() + 1];
        if let Some(first) = open.first_mut() {
            *first = true;
        }
        for part in &self.parts {
            open = match part {
                Part::AnyParts => {
                    let mut reached = false;
                    open.iter()
                        .map(|here| {
                            reached |= *here;
                            reached
                        })
                        .collect()
                }
                Part::Name(pieces) => std::iter::once(false)
                    .chain(open.iter().zip(path).map(|(here, name)| *here && fits(pieces, name)))
                    .collect(),
            };
        }
        open.last().copied().unwrap_or(false)
    }
}

fn part(pieces: Vec<Piece>) -> Result<Part, BadPattern> {
    let stars =
        pieces.windows(2).any(|pair| pair.iter().all(|piece| *piece == Piece::AnyCharacters));
    match pieces.as_slice() {
        [] => Err(BadPattern::EmptyPart),
        [Piece::AnyCharacters, Piece::AnyCharacters] => Ok(Part::AnyParts),
        _ if stars => Err(BadPattern::DoubleStar),
        // Case is folded on both sides; one character may become several.
        _ => Ok(Part::Name(
            pieces
                .into_iter()
                .flat_map(|piece| match piece {
                    Piece::AnyCharacters => vec![piece],
                    Piece::Character(c) => c.to_lowercase().map(Piece::Character).collect(),
                })
                .collect(),
        )),
    }
}

/// Compares one part with one name. On a mismatch only the last `*` is stretched, which is
/// enough for wildcards and keeps the time bounded.
fn fits(pieces: &[Piece], name: &str) -> bool {
    let name: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
    let (mut piece, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(c) = name.get(at) {
        match pieces.get(piece) {
            Some(Piece::AnyCharacters) => {
                star = Some((piece, at));
                piece += 1;
            }
            Some(Piece::Character(wanted)) if wanted == c => {
                piece += 1;
                at += 1;
            }
            _ => {
                let Some((star_piece, star_at)) = star else { return false };
                star = Some((star_piece, star_at + 1));
                piece = star_piece + 1;
                at = star_at + 1;
            }
        }
    }
    pieces.iter().skip(piece).all(|rest| *rest == Piece::AnyCharacters)
}

/// Which folders of one mailbox are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderRules {
    /// Empty: every folder.
    pub allow: Vec<FolderPattern>,
    pub deny: Vec<FolderPattern>,
}

impl FolderRules {
    /// Tells whether the folder with this path is read: it is allowed, and not denied.
    pub fn includes(&self, path: &[String]) -> bool {
        let named = |patterns: &[FolderPattern]| patterns.iter().any(|it| it.matches(path));
        (self.allow.is_empty() || named(&self.allow)) && !named(&self.deny)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, path: &[&str], expected: bool) {
        let path: Vec<String> = path.iter().map(|&name| name.into()).collect();
        let pattern = FolderPattern::parse(pattern).unwrap();
        assert_eq!(pattern.matches(&path), expected, "{pattern:?} on {path:?}");
    }

    #[test]
    fn a_pattern_names_one_folder_unless_it_has_stars() {
        check("Inbox", &["Inbox"], true);
        check("inbox", &["INBOX"], true);
        check("Inbox", &["Inbox", "Claims"], false);
        check("Inbox/Claims", &["Inbox", "Claims"], true);
        check("ÄRGER", &["ärger"], true);
    }

    #[test]
    fn two_stars_stand_for_any_number_of_parts() {
        for path in [&["Inbox"][..], &["Inbox", "a"], &["Inbox", "a", "b"]] {
            check("Inbox/**", path, true);
        }
        check("Inbox/**", &["Sent"], false);
        check("**/Archive", &["Archive"], true);
        check("**/Archive", &["a", "b", "Archive"], true);
        check("**/Archive", &["a", "Archive", "c"], false);
        check("a/**/b/**/c", &["a", "b", "x", "b", "y", "c"], true);
        check("**", &["anything"], true);
    }

    #[test]
    fn one_star_stays_within_its_part() {
        check("Inbox/*", &["Inbox", "a"], true);
        check("Inbox/*", &["Inbox"], false);
        check("Inbox/*", &["Inbox", "a", "b"], false);
        check("Cl*s*6", &["Claims 2026"], true);
        check("Cl*s*7", &["Claims 2026"], false);
        check("*", &[""], true);
    }

    #[test]
    fn a_backslash_takes_the_next_character_literally() {
        check(r"Claims\/2026", &["Claims/2026"], true);
        check(r"Claims\/2026", &["Claims", "2026"], false);
        check(r"\*", &["*"], true);
        check(r"\*", &["a"], false);
        check(r"a\\b", &[r"a\b"], true);
    }

    #[test]
    fn refuses_what_is_no_pattern() {
        let cases = [
            ("", BadPattern::Empty),
            ("/Inbox", BadPattern::EmptyPart),
            ("Inbox/", BadPattern::EmptyPart),
            ("Inbox//a", BadPattern::EmptyPart),
            ("Inbox**", BadPattern::DoubleStar),
            ("a***", BadPattern::DoubleStar),
            ("Inbox\\", BadPattern::LoneBackslash),
        ];
        for (text, expected) in cases {
            assert_eq!(FolderPattern::parse(text), Err(expected), "{text:?}");
        }
        assert_eq!(FolderPattern::parse(&"a".repeat(1025)), Err(BadPattern::TooLong));
    }

    #[test]
    fn a_hostile_pattern_ends_soon() {
        let pattern = FolderPattern::parse(&"*a".repeat(500)).unwrap();
        assert!(!pattern.matches(&["a".repeat(400) + "b"]));
        let pattern = FolderPattern::parse(&["**"; 300].join("/")).unwrap();
        assert!(pattern.matches(&vec![String::from("x"); 300]));
    }

    #[test]
    fn denied_beats_allowed() {
        let rules = FolderRules {
            allow: vec![FolderPattern::parse("Inbox/**").unwrap()],
            deny: vec![FolderPattern::parse("**/Private").unwrap()],
        };
        let path = |names: &[&str]| names.iter().map(|&name| name.into()).collect::<Vec<_>>();
        assert!(rules.includes(&path(&["Inbox", "Claims"])));
        assert!(!rules.includes(&path(&["Inbox", "Private"])));
        assert!(!rules.includes(&path(&["Sent Items"])));
        assert!(FolderRules::default().includes(&path(&["Sent Items"])));
    }
}
