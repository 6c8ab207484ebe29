//! What an element is to a text: how it breaks lines, and what mail programs mean by it.

use crate::{
    comment::{List, Style},
    html::tokens::Attributes,
    text::Hint,
};

/// Elements that do something to a text; all others are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Anchor,
    Styled(Style),
    Inline,
    Br,
    Hr,
    Image,
    Paragraph,
    Heading,
    Block,
    Blockquote,
    List(List),
    Item,
    Table,
    Row,
    Cell,
    Pre,
}

impl Tag {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        /// Longest name that means something here.
        const MAX: usize = 10;
        let mut lower = [0_u8; MAX];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        Some(match &*lower {
            b"a" => Self::Anchor,
            b"b" | b"strong" => Self::Styled(Style::Bold),
            b"i" | b"em" => Self::Styled(Style::Italic),
            b"u" | b"ins" => Self::Styled(Style::Underline),
            b"s" | b"strike" | b"del" => Self::Styled(Style::Strike),
            b"code" | b"tt" | b"kbd" => Self::Styled(Style::Code),
            b"span" | b"font" => Self::Inline,
            b"br" => Self::Br,
            b"hr" => Self::Hr,
            b"img" => Self::Image,
            b"p" => Self::Paragraph,
            b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" => Self::Heading,
            b"div" | b"section" | b"article" | b"header" | b"footer" | b"main" | b"center"
            | b"form" | b"address" | b"dl" | b"dt" | b"dd" | b"fieldset" | b"figure"
            | b"caption" | b"body" | b"html" => Self::Block,
            b"blockquote" => Self::Blockquote,
            b"ul" | b"menu" | b"dir" => Self::List(List::Ul),
            b"ol" => Self::List(List::Ol),
            b"li" => Self::Item,
            b"table" => Self::Table,
            b"tr" => Self::Row,
            b"td" | b"th" => Self::Cell,
            b"pre" => Self::Pre,
            _ => return None,
        })
    }

    /// An element without end tag.
    pub(super) fn is_void(self) -> bool {
        matches!(self, Self::Br | Self::Hr | Self::Image)
    }

    pub(super) fn is_block(self) -> bool {
        !matches!(
            self,
            Self::Anchor | Self::Styled(_) | Self::Inline | Self::Br | Self::Image | Self::Cell
        )
    }
}

/// Whether there is a tag, a comment, a declaration or an entity in a text. What stands between
/// angle brackets may also be an address.
pub(crate) fn has_markup(text: &str) -> bool {
    /// Elements that do nothing to a text but to show what it is.
    const OTHERS: [&str; 8] = ["head", "meta", "style", "script", "title", "tbody", "base", "link"];
    let bytes = text.as_bytes();
    memchr::memchr2_iter(b'<', b'&', bytes).any(|at| {
        let rest = text.get(at + 1..).unwrap_or_default();
        let length = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let (name, after) = rest.split_at(length);
        if bytes.get(at) == Some(&b'&') {
            return after.starts_with(';') && length > 0 || rest.starts_with('#');
        }
        let ends = after.starts_with(['>', '/', ' ', '\t', '\r', '\n']);
        let known = || {
            Tag::from_name(name).is_some()
                || OTHERS.iter().any(|other| name.eq_ignore_ascii_case(other))
        };
        rest.starts_with(['/', '!']) || ends && length > 0 && known()
    })
}

/// What is read of the attributes of a tag.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) hint: Option<Hint>,
    /// What follows in the text is the message that is answered or forwarded.
    pub(super) divides: bool,
    pub(super) hidden: bool,
    /// The paragraph has no space around it: Outlook's are so.
    pub(super) tight: bool,
    pub(super) href: Option<String>,
    pub(super) alt: Option<String>,
    pub(super) start: Option<u32>,
}

impl Told {
    pub(super) fn read(tag: Tag, attributes: &str) -> Self {
        /// More attributes than any mail program writes on one tag.
        const MAX: usize = 64;
        let mut told = Self::default();
        if tag == Tag::Blockquote {
            told.hint = Some(Hint::WeakQuote);
        }
        for (name, value) in Attributes::new(attributes).take(MAX) {
            match name.to_ascii_lowercase().as_str() {
                "class" => told.read_class(tag, &value),
                "id" => told.read_id(&value),
                "style" => told.read_style(&value),
                "type" if tag == Tag::Blockquote && value.eq_ignore_ascii_case("cite") => {
                    told.hint = Some(Hint::Quote);
                }
                "data-smartmail" if value == "gmail_signature" => told.hint = Some(Hint::Signature),
                "hidden" => told.hidden = true,
                "href" => told.href = Some(value.into_owned()),
                "alt" => told.alt = Some(value.into_owned()),
                "start" => told.start = value.trim().parse().ok(),
                _ => {}
            }
        }
        told
    }

    /// Classes of Gmail, Thunderbird, Yahoo, Proton, Zoho, Tutanota, Outlook. A program that
    /// quotes a message may put a prefix before the names in it: `x_gmail_quote`.
    fn read_class(&mut self, tag: Tag, value: &str) {
        for class in value.split_ascii_whitespace().take(20) {
            match class {
                "gmail_quote" if tag == Tag::Blockquote => self.hint = Some(Hint::Quote),
                "gmail_attr" | "moz-cite-prefix" | "gmail_extra_attr" => {
                    self.hint = Some(Hint::Attribution);
                }
                "yahoo_quoted"
                | "protonmail_quote"
                | "zmail_extra"
                | "tutanota_quote"
                | "moz-forward-container" => self.hint = Some(Hint::Quote),
                "gmail_signature"
                | "moz-signature"
                | "protonmail_signature_block"
                | "ms-outlook-mobile-signature"
                | "yahoo-signature" => {
                    self.hint = Some(Hint::Signature);
                }
                "gmail_signature_prefix" => self.hint = Some(Hint::Signature),
                "ms-outlook-mobile-reference-message" => self.divides = true,
                "MsoNormal" | "MsoPlainText" | "MsoListParagraph" | "x_MsoNormal" => {
                    self.tight = true;
                }
                _ => {}
            }
        }
    }

    fn read_id(&mut self, value: &str) {
        match value {
            "divRplyFwdMsg"
            | "appendonsend"
            | "stopSpelling"
            | "reply-intro"
            | "mail-editor-reference-message-container"
            | "OLK_SRC_BODY_SECTION" => {
                self.divides = true;
            }
            "Signature" | "signature" | "ms-outlook-mobile-signature" | "AppleMailSignature" => {
                self.hint = Some(Hint::Signature);
            }
            _ => {}
        }
    }

    fn read_style(&mut self, value: &str) {
        const MAX: usize = 1_000;
        let style: String = value
            .chars()
            .take(MAX)
            .filter(|it| !it.is_whitespace())
            .collect::<String>()
            .to_ascii_lowercase();
        self.hidden |= style.contains("display:none")
            || style.contains("mso-hide:all")
            || style.contains("max-height:0") && style.contains("overflow:hidden");
        self.tight |= style.contains("margin:0") || style.contains("margin-bottom:0");
        // Outlook's line above the header of the message that is answered.
        self.divides |= style.contains("border-top:solid#")
            && style.contains("border:none")
            && style.contains("padding:3.0pt0");
    }
}
