//! One message out of a seed and a number.

use std::sync::Arc;

use super::{
    Dice,
    compose::{Writer, date, mailbox},
    special,
    words::{DOMAINS, LANGUAGES, Language, ROLES},
};

/// Longest chain of replies that `References` names.
const MAX_THREAD: usize = 12;
/// Sentences of a paragraph that a reply quotes.
const QUOTED: usize = 4;

/// What a message is made of; the message itself is written when it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    pub seed: u64,
    pub number: u64,
    /// When it was sent, in seconds since 1970.
    pub at: i64,
    pub to: Arc<str>,
    /// Size to aim at, in bytes; `None` as it comes.
    pub size: Option<u32>,
}

/// What kind of message a number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    /// Text and HTML.
    Alternative,
    Newsletter,
    Attachments,
    Meeting,
    DeliveryReport,
    /// Something that is not as it should be; the number says what.
    Odd(usize),
}

impl Recipe {
    pub fn new(seed: u64, number: u64) -> Self {
        Self { seed, number, at: 1_795_249_800, to: "team@example.com".into(), size: None }
    }

    /// A message of about this size, if it is more than what comes by itself.
    #[must_use]
    pub fn sized(mut self, bytes: u32) -> Self {
        self.size = Some(bytes);
        self
    }

    #[must_use]
    pub fn at(mut self, seconds: i64) -> Self {
        self.at = seconds;
        self
    }

    #[must_use]
    pub fn to(mut self, address: &str) -> Self {
        self.to = address.into();
        self
    }

    pub(super) fn kind(&self) -> Kind {
        match self.dice(0).below(100) {
            0..35 => Kind::Plain,
            35..65 => Kind::Alternative,
            65..74 => Kind::Newsletter,
            74..88 => Kind::Attachments,
            88..92 => Kind::Meeting,
            92..95 => Kind::DeliveryReport,
            other => Kind::Odd(other - 95 + self.dice(1).below(3) * 5),
        }
    }

    /// Dice for one aspect of the message, so that one can be asked without the others.
    pub(super) fn dice(&self, aspect: u64) -> Dice {
        Dice::of(self.seed ^ (aspect << 56), self.number)
    }

    /// The Message-ID in its header, if it has one.
    pub fn message_id(&self) -> Option<String> {
        (self.kind() != Kind::Odd(0)).then(|| self.id_of(self.number))
    }

    fn id_of(&self, number: u64) -> String {
        let id = Dice::of(self.seed ^ (7 << 56), number).next();
        format!("<{id:016x}.{number}@mail.example.net>")
    }

    fn other(&self, number: u64) -> Self {
        let earlier = i64::try_from(self.number - number).unwrap_or_default();
        Self { number, at: self.at - earlier * 3571, ..self.clone() }
    }

    /// The message that this one answers.
    fn parent(&self) -> Option<Self> {
        let mut dice = self.dice(2);
        let is_reply = self.number > 0
            && matches!(self.kind(), Kind::Plain | Kind::Alternative | Kind::Attachments)
            && dice.percent(55);
        let back = u64::try_from(dice.between(1, 9)).unwrap_or(1);
        let parent = self.other(self.number.checked_sub(back).filter(|_| is_reply)?);
        // Nobody answers a newsletter.
        matches!(parent.kind(), Kind::Plain | Kind::Alternative | Kind::Attachments)
            .then_some(parent)
    }

    /// This message and what it goes back to, the first message of the thread last.
    fn thread(&self) -> Vec<Self> {
        let mut thread = vec![self.clone()];
        while let Some(parent) = thread.last().and_then(Self::parent) {
            if thread.len() == MAX_THREAD {
                break;
            }
            thread.push(parent);
        }
        thread
    }

    pub(super) fn language(&self) -> &'static Language {
        let at = self.dice(3).below(LANGUAGES.len());
        LANGUAGES.get(at).copied().unwrap_or(FALLBACK)
    }

    /// Name and address of the sender.
    pub(super) fn sender(&self) -> (&'static str, String) {
        let mut dice = self.dice(4);
        let at = dice.below(ROLES.len());
        let (name, local) = ROLES.get(at).copied().unwrap_or_default();
        (name, format!("{local}@{}", dice.pick(DOMAINS)))
    }

    /// The sentences of the message, without greeting and quotation.
    fn sentences(&self, language: &Language) -> Vec<&'static str> {
        let mut dice = self.dice(5);
        let count = dice.between(2, 14);
        (0..count).map(|_| dice.pick(language.sentences)).collect()
    }

    /// The message.
    pub fn write(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(self.size.unwrap_or(6000) as usize + 2048));
        match self.kind() {
            Kind::Meeting => special::meeting(self, &mut out),
            Kind::DeliveryReport => special::delivery_report(self, &mut out),
            Kind::Odd(what) => special::odd(self, &mut out, what),
            kind => self.write_ordinary(&mut out, kind),
        }
        out.0
    }

    fn write_ordinary(&self, out: &mut Writer, kind: Kind) {
        let thread = self.thread();
        let language = thread.last().map_or(FALLBACK, Self::language);
        let mut dice = self.dice(6);
        let charset = dice.pick(language.charsets);
        let encoding = match charset {
            "us-ascii" => "7bit",
            "gb18030" | "shift_jis" | "koi8-r" => dice.pick(&["base64", "8bit"]),
            _ => dice.pick(&["quoted-printable", "quoted-printable", "base64", "8bit"]),
        };
        self.head(out, &self.subject(&thread, language), charset);
        if let Some(parent) = thread.get(1) {
            out.field("In-Reply-To", &self.id_of(parent.number));
            let ids: Vec<_> = thread.iter().skip(1).rev().map(|m| self.id_of(m.number)).collect();
            out.field("References", &ids.join("\r\n "));
        }
        let text = self.body(&thread, language);
        match kind {
            Kind::Plain if self.size.is_none() => out.text("text/plain", &text, charset, encoding),
            Kind::Alternative if self.size.is_none() => {
                self.alternative(out, &text, charset, encoding);
            }
            Kind::Newsletter => self.newsletter(out, language, charset),
            _ => {
                let boundary = format!("=_mixed_{:x}", self.dice(8).next());
                out.field("Content-Type", &format!("multipart/mixed; boundary=\"{boundary}\""));
                out.line("");
                out.line("This is a multi-part message in MIME format.");
                out.line(&format!("--{boundary}"));
                if kind == Kind::Plain {
                    out.text("text/plain", &text, charset, encoding);
                } else {
                    self.alternative(out, &text, charset, encoding);
                }
                let count = dice.between(1, 3);
                for left in (1..=count).rev() {
                    out.line(&format!("--{boundary}"));
                    let size = match self.size {
                        Some(size) => {
                            (size as usize).saturating_sub(out.0.len() + 200) * 3 / 4 / left
                        }
                        // Most attachments are small, a few are large.
                        None => 3000 << dice.below(dice.clone().between(1, 7)),
                    };
                    out.attachment(&mut dice, size);
                }
                out.line(&format!("--{boundary}--"));
            }
        }
    }

    fn subject(&self, thread: &[Self], language: &Language) -> String {
        let root = thread.last().unwrap_or(self);
        let subject = root.dice(9).pick(language.subjects);
        let reply = if thread.len() > 1 { language.reply } else { "" };
        format!("{reply}{subject} {}", root.dice(10).between(1000, 99_999))
    }

    /// The header fields that every message has.
    pub(super) fn head(&self, out: &mut Writer, subject: &str, charset: &str) {
        let mut dice = self.dice(11);
        let (name, address) = self.sender();
        out.field(
            "Received",
            &format!(
                "from mail.example.net (mail.example.net [192.0.2.{}])\r\n\tby mx.example.com with \
                 ESMTPS id {:x};\r\n\t{}",
                dice.between(1, 250),
                dice.next() >> 20,
                date(self.at, 0)
            ),
        );
        out.field("From", &mailbox(name, &address, charset));
        out.field("To", &self.to);
        if dice.percent(30) {
            let at = dice.below(ROLES.len());
            let (name, local) = ROLES.get(at).copied().unwrap_or_default();
            out.field("Cc", &mailbox(name, &format!("{local}@example.com"), charset));
        }
        out.text_field("Subject", subject, charset);
        let zone = i64::try_from(dice.between(0, 12)).unwrap_or_default() - 3;
        out.field("Date", &date(self.at - 7, zone));
        if let Some(id) = self.message_id() {
            out.field("Message-ID", &id);
        }
        out.field("MIME-Version", "1.0");
        if dice.percent(5) {
            out.field("Importance", "high");
        }
        if dice.percent(30) {
            out.field("X-Mailer", "Example Mail 16.0");
        }
    }

    /// Greeting, text, signature and what is quoted below.
    fn body(&self, thread: &[Self], language: &Language) -> String {
        let mut dice = self.dice(12);
        let mut text = format!("{}\r\n\r\n", dice.pick(language.greetings));
        for (at, sentence) in self.sentences(language).iter().enumerate() {
            text.push_str(sentence);
            text.push_str(if at % 4 == 3 { "\r\n\r\n" } else { "\r\n" });
        }
        let (name, address) = self.sender();
        let name = if name.is_empty() { &address } else { name };
        let closing = dice.pick(language.closings);
        text.push_str(&format!("\r\n{closing}\r\n\r\n-- \r\n{name}\r\n{address}\r\n"));
        if dice.percent(40) {
            text.push_str("Tel. +00 000 0000-0\r\nhttps://www.example.org/\r\n");
        }
        for (depth, quoted) in thread.iter().enumerate().skip(1).take(3) {
            let mark = "> ".repeat(depth);
            let above = "> ".repeat(depth - 1);
            let (_, address) = quoted.sender();
            let wrote = language.wrote.replace("{}", &address);
            text.push_str(&format!("\r\n{above}{wrote}\r\n"));
            for sentence in quoted.sentences(language).iter().take(QUOTED) {
                text.push_str(&format!("{mark}{sentence}\r\n"));
            }
        }
        text
    }

    fn alternative(&self, out: &mut Writer, text: &str, charset: &str, encoding: &str) {
        let boundary = format!("=_alt_{:x}", self.dice(13).next());
        out.field("Content-Type", &format!("multipart/alternative;\r\n\tboundary=\"{boundary}\""));
        out.line("");
        out.line(&format!("--{boundary}"));
        out.text("text/plain", text, charset, encoding);
        out.line(&format!("--{boundary}"));
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let paragraphs = escaped.replace("\r\n", "<br>\r\n");
        let html = format!(
            "<html><head><meta http-equiv=\"Content-Type\" content=\"text/html; charset={charset}\">\
             \r\n<style>p.MsoNormal {{ margin: 0cm; font-family: Calibri }}</style></head>\r\n\
             <body lang=\"EN-US\"><div class=\"WordSection1\"><p class=\"MsoNormal\">{paragraphs}\
             </p></div></body></html>\r\n"
        );
        out.text("text/html", &html, charset, encoding);
        out.line(&format!("--{boundary}--"));
    }

    fn newsletter(&self, out: &mut Writer, language: &Language, charset: &str) {
        let mut dice = self.dice(14);
        out.field("List-Unsubscribe", "<https://news.example.org/unsubscribe>");
        out.field("Precedence", "bulk");
        let mut html = String::from(
            "<!DOCTYPE html>\r\n<html><body style=\"margin:0;background:#f4f4f4\">\r\n\
             <table width=\"600\" align=\"center\" cellpadding=\"0\" cellspacing=\"0\">\r\n",
        );
        for _ in 0..dice.between(4, 20) {
            html.push_str(&format!(
                "<tr><td style=\"padding:24px;font-family:Arial,sans-serif\"><img width=\"552\" \
                 src=\"https://news.example.org/i/{}.png\" alt=\"\">\r\n<h2>{}</h2>\r\n<p>{} {}</p>\r\n\
                 <a href=\"https://news.example.org/a/{}?utm_source=mail&amp;utm_medium=x\">&raquo;</a>\
                 </td></tr>\r\n",
                dice.next() >> 40,
                dice.pick(language.subjects),
                dice.pick(language.sentences),
                dice.pick(language.sentences),
                dice.next() >> 30,
            ));
        }
        html.push_str("</table></body></html>\r\n");
        if let Some(size) = self.size {
            let room = (size as usize).saturating_sub(html.len() * 4 / 3 + 1500);
            html.push_str(&format!("<!-- {} -->\r\n", "tracking ".repeat(room / 12)));
        }
        out.text("text/html", &html, charset, "quoted-printable");
    }
}

/// The language if the list had none.
const FALLBACK: &Language = &Language {
    charsets: &["us-ascii"],
    subjects: &["Note"],
    greetings: &["Hello,"],
    sentences: &["Nothing to say."],
    closings: &["Regards"],
    wrote: "{} wrote:",
    reply: "Re: ",
};

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    // Whoever keeps a mailbox made by an older version must get the same bytes again.
    #[test]
    fn a_seed_gives_the_same_bytes_in_every_version() {
        let mut hash = openssl::sha::Sha256::new();
        for number in 0..500 {
            hash.update(&Recipe::new(1, number).write());
        }
        hash.update(&Recipe::new(1, 3).sized(20_000).write());
        assert_eq!(hex(&hash.finish()[..8]), "9ef857e9ff31f789");
    }

    #[test]
    fn every_message_has_its_own_id_and_says_it_in_its_header() {
        let mut seen = HashSet::new();
        for number in 0..2000 {
            let recipe = Recipe::new(9, number);
            let message = recipe.write();
            let text = String::from_utf8_lossy(&message).into_owned();
            let head = text.split("\n\r\n").next().unwrap().split("\n\n").next().unwrap();
            match recipe.message_id() {
                Some(id) => {
                    assert!(head.contains(&format!("Message-ID: {id}")), "{text}");
                    assert!(seen.insert(id), "twice");
                }
                None => assert!(!head.contains("Message-ID:"), "{text}"),
            }
        }
    }

    #[test]
    fn there_is_something_of_everything() {
        let kinds: HashSet<_> =
            (0..3000).map(|number| format!("{:?}", Recipe::new(2, number).kind())).collect();
        assert_eq!(kinds.len(), 6 + 15, "{kinds:?}");
        let all: Vec<u8> = (0..400).flat_map(|number| Recipe::new(2, number).write()).collect();
        let all = String::from_utf8_lossy(&all);
        for mark in [
            "References: ",
            "charset=iso-8859-15",
            "charset=koi8-r",
            "charset=shift_jis",
            "charset=gb18030",
            "quoted-printable",
            "multipart/mixed",
            "filename=",
            "\r\n> ",
            "method=REQUEST",
            "delivery-status",
            "List-Unsubscribe",
        ] {
            assert!(all.contains(mark), "{mark} does not occur");
        }
    }

    #[test]
    fn a_wanted_size_is_met() {
        let sizes: Vec<_> =
            (0..300).map(|n| Recipe::new(4, n).sized(20_000).write().len()).collect();
        let mean = sizes.iter().sum::<usize>() / sizes.len();
        assert!((16_000..24_000).contains(&mean), "{mean}");
    }
}
