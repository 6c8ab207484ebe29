//! What a transform tag says about the making of comments.

/// How text is given in a comment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextFormat {
    /// Text alone.
    #[default]
    Plain,
    /// Text, and nodes that say what is a link, a list, a table.
    Markup,
}

/// Whether a comment names the mailbox that its email was read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MailboxProperty {
    #[default]
    Absent,
    AsWritten,
    /// In lower case.
    Normalized,
}

/// Choices in the making of comments.
#[derive(Clone, Debug)]
pub struct Transform {
    pub text_format: TextFormat,
    /// Leaves the quoted history out of the body.
    pub cut_quotes: bool,
    /// Puts the signature into its own field.
    pub separate_signature: bool,
    pub mailbox_property: MailboxProperty,
}

impl Default for Transform {
    fn default() -> Self {
        Self {
            text_format: TextFormat::Plain,
            cut_quotes: true,
            separate_signature: true,
            mailbox_property: MailboxProperty::Absent,
        }
    }
}

impl Transform {
    /// The tag of a source that names none.
    pub const DEFAULT_TAG: &'static str = "generic.0.CONVKER5";

    /// All tags, with the one whose comments hold the same text with markup.
    pub const TAGS: [(&'static str, Option<&'static str>); 3] = [
        (Self::DEFAULT_TAG, Some("generic-markup.0.CONVKER5")),
        ("generic-markup.0.CONVKER5", None),
        ("generic-uncut.0.CONVKER5", None),
    ];

    /// The choices of a tag; `None` for a tag that does not exist.
    pub fn from_tag(tag: &str) -> Option<Self> {
        match tag {
            Self::DEFAULT_TAG => Some(Self::default()),
            "generic-markup.0.CONVKER5" => {
                Some(Self { text_format: TextFormat::Markup, ..Self::default() })
            }
            "generic-uncut.0.CONVKER5" => {
                Some(Self { cut_quotes: false, separate_signature: false, ..Self::default() })
            }
            _ => None,
        }
    }
}
