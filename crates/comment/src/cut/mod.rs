//! Tells the sender's own words from the quoted history and the signature, line by line.

mod attribution;
mod footer;
mod header;
mod phrases;
mod quotes;
mod shape;
mod signature;

use crate::text::Hint;

/// A line without its line break.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    pub text: &'a str,
    pub hint: Hint,
}

/// What a line of an email is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// The sender's words, or a message that the sender forwards.
    Body,
    /// An earlier message, and the line that says whose it is.
    Quote,
    /// Closing, name, title, numbers, footers of devices and lists, legal notices.
    Signature,
}

/// What the header says about the text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// Name of the sender; empty if unknown.
    pub sender: &'a str,
    /// Whether the email answers another one; `None` if nothing is known.
    pub reply: Option<bool>,
    /// Whether the email forwards another one.
    pub forward: bool,
}

/// Labels each line. Blank lines get the label of the line before them.
pub fn label(lines: &[Line<'_>], context: &Context<'_>) -> Vec<Label> {
    let mut labels = vec![Label::Body; lines.len()];
    let end = quotes::mark(lines, context, &mut labels);
    signature::mark(lines, context, end, &mut labels);
    let mut before = Label::Body;
    for (line, label) in lines.iter().zip(&mut labels) {
        if line.text.trim().is_empty() {
            *label = before;
        }
        before = *label;
    }
    labels
}

/// Whether a subject says that its email answers or forwards another one. The first prefix
/// counts: "Re: Fwd: …" answers.
pub(crate) fn prefixes(subject: &str) -> (bool, bool) {
    let Some((prefix, _)) = subject.split_once([':', '：']) else { return (false, false) };
    // `Re[2]:`, `AW (3):`
    let letters: String = prefix.chars().take_while(|it| it.is_alphabetic()).collect();
    let rest = prefix.get(letters.len()..).unwrap_or_default().trim();
    if rest.chars().any(char::is_alphabetic) {
        return (false, false);
    }
    let name = letters.to_lowercase();
    // `RV` forwards in Spanish; in other tongues it answers, which is rare.
    let forward = phrases::FORWARD_PREFIXES.contains(&name.as_str());
    (!forward && phrases::REPLY_PREFIXES.contains(&name.as_str()), forward)
}
