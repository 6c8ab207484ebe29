//! Writes letters of which is known what each line is: languages, programs and habits by chance.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "code of tests and examples")]

mod tongue;

use std::fmt::Write;

use comment::Label;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
pub(crate) use tongue::{TONGUES, Tongue};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Gmail,
    GmailPlain,
    OutlookHtml,
    OutlookWeb,
    OutlookPlain,
    AppleHtml,
    ApplePlain,
    Thunderbird,
    Terminal,
}

pub(crate) const CLIENTS: [Client; 9] = [
    Client::Gmail,
    Client::GmailPlain,
    Client::OutlookHtml,
    Client::OutlookWeb,
    Client::OutlookPlain,
    Client::AppleHtml,
    Client::ApplePlain,
    Client::Thunderbird,
    Client::Terminal,
];

/// A message, and what its lines are.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) raw: Vec<u8>,
    pub(crate) client: Client,
    pub(crate) lines: Vec<(Label, String)>,
}

/// A piece of a letter, of one label.
#[derive(Clone, Debug)]
enum Piece {
    Text(Vec<String>),
    Signature(Vec<String>),
    Attribution(String),
    Quote(Vec<String>),
    /// Separator, fields, and the text below.
    History(Option<String>, Vec<String>, Vec<String>),
    Forward(String, Vec<String>, Vec<String>),
}

const PEOPLE: [(&str, &str); 5] = [
    ("Jane Doe", "jane@example.com"),
    ("Karl Brandt", "karl.brandt@example.org"),
    ("Sophie Martin", "s.martin@example.net"),
    ("Luis Ortega", "luis@example.com"),
    ("Amy Lee", "amy@example.org"),
];

struct Writer<'a> {
    rng: ChaCha8Rng,
    tongue: &'a Tongue,
}

pub(crate) fn write(tongue: &Tongue, seed: u64) -> Letter {
    let mut writer = Writer { rng: ChaCha8Rng::seed_from_u64(seed), tongue };
    let client = writer.pick(&CLIENTS);
    let me = writer.below(PEOPLE.len());
    let other = (me + 1 + writer.below(PEOPLE.len() - 1)) % PEOPLE.len();
    let (pieces, reply, forward) = writer.compose(client, PEOPLE[me], PEOPLE[other]);
    let subject = if forward {
        tongue.forward
    } else if reply {
        tongue.answer
    } else {
        ""
    };
    let mut raw = format!(
        "From: {} <{}>\r\nTo: {} <{}>\r\nSubject: {subject}case {}\r\nDate: Mon, 3 Mar 2025 12:00:00 +0000\r\nMessage-ID: <{seed}@example.com>\r\nMIME-Version: 1.0\r\n",
        PEOPLE[me].0,
        PEOPLE[me].1,
        PEOPLE[other].0,
        PEOPLE[other].1,
        seed % 1000
    );
    if reply {
        raw.push_str("In-Reply-To: <root@example.com>\r\nReferences: <root@example.com>\r\n");
    }
    let mut lines = Vec::new();
    match client {
        Client::Gmail | Client::OutlookHtml | Client::OutlookWeb | Client::AppleHtml => {
            let html = html(&pieces, client, &mut lines);
            write!(raw, "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{html}").expect("a string");
        }
        _ => {
            let flowed = client == Client::Thunderbird && writer.chance(50);
            let kind = if flowed { "; format=flowed" } else { "" };
            let text = plain(&pieces, client, flowed, &mut lines);
            write!(raw, "Content-Type: text/plain; charset=utf-8{kind}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{text}").expect("a string");
        }
    }
    Letter { raw: raw.into_bytes(), client, lines }
}

impl Writer<'_> {
    fn below(&mut self, n: usize) -> usize {
        self.rng.random_range(0..n)
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Replaces each `#` by digits.
    fn fill(&mut self, template: &str) -> String {
        let mut out = String::new();
        let single = template.matches('#').count() > 1;
        for character in template.chars() {
            match character {
                '#' if single => write!(out, "{}", self.below(10)).expect("a string"),
                '#' => write!(out, "{}", 100 + self.below(900_000)).expect("a string"),
                other => out.push(other),
            }
        }
        out
    }

    fn sentences(&mut self, most: usize) -> Vec<String> {
        let count = 1 + self.below(most);
        (0..count)
            .map(|_| {
                let template = self.pick(self.tongue.talk);
                self.fill(template)
            })
            .collect()
    }

    fn text(&mut self, pieces: &mut Vec<Piece>, most: usize) {
        for _ in 0..1 + self.below(most) {
            let lines = if self.chance(20) {
                let trap = self.pick(self.tongue.traps);
                trap.iter().map(|it| self.fill(it)).collect()
            } else {
                vec![self.sentences(3).join(" ")]
            };
            pieces.push(Piece::Text(lines));
        }
    }

    fn signature(&mut self, pieces: &mut Vec<Piece>, client: Client, me: (&str, &str)) {
        let first = me.0.split(' ').next().unwrap_or_default().to_owned();
        let closing = self.pick(self.tongue.closings).to_owned();
        let card = |writer: &mut Self| {
            let mut card = vec![me.0.to_owned()];
            if writer.chance(70) {
                card.push(writer.pick(writer.tongue.titles).to_owned());
            }
            for _ in 0..1 + writer.below(3) {
                let number = writer.pick(writer.tongue.numbers);
                let number = writer.fill(number);
                card.push(number);
            }
            if writer.chance(30) {
                card.push(me.1.to_owned());
            }
            card
        };
        match self.below(7) {
            0 => {}
            1 => pieces.push(Piece::Signature(vec![first])),
            2 => pieces.push(Piece::Signature(vec![closing, first])),
            3 => {
                pieces.push(Piece::Signature(vec![closing]));
                let card = card(self);
                pieces.push(Piece::Signature(card));
            }
            4 => {
                let mut all = vec![closing, me.0.to_owned()];
                all.extend(card(self).into_iter().skip(1));
                pieces.push(Piece::Signature(all));
            }
            5 if !matches!(
                client,
                Client::OutlookHtml | Client::OutlookWeb | Client::OutlookPlain
            ) =>
            {
                let mut all = vec!["-- ".to_owned()];
                all.extend(card(self));
                pieces.push(Piece::Signature(all));
            }
            _ => {
                if self.chance(50) {
                    pieces.push(Piece::Signature(vec![closing, first]));
                }
                let device = self.pick(self.tongue.devices).to_owned();
                pieces.push(Piece::Signature(vec![device]));
            }
        }
        if self.chance(20) {
            let notice = self.pick(self.tongue.notices).to_owned();
            pieces.push(Piece::Signature(vec![notice]));
        }
    }

    fn attribution(&mut self, client: Client, other: (&str, &str)) -> String {
        let template = match client {
            Client::Gmail | Client::GmailPlain => self.tongue.gmail,
            Client::AppleHtml | Client::ApplePlain => self.tongue.apple,
            Client::Thunderbird => self.tongue.thunderbird,
            _ => self.pick(self.tongue.short),
        };
        let day = (1 + self.below(28)).to_string();
        template.replace("@N", other.0).replace("@A", other.1).replace("@D", &day)
    }

    fn fields(&mut self, from: (&str, &str), to: (&str, &str)) -> Vec<String> {
        let [f, s, t, b] = self.tongue.fields;
        let day = (1 + self.below(28)).to_string();
        vec![
            format!("{f} {} <{}>", from.0, from.1),
            format!("{s} {}", self.tongue.sent.replace("@D", &day)),
            format!("{t} {} <{}>", to.0, to.1),
            format!("{b} case {day}"),
        ]
    }

    /// Text of an earlier message, with its own ending.
    fn earlier(&mut self, other: (&str, &str)) -> Vec<String> {
        let mut lines = vec![self.pick(self.tongue.greetings).to_owned()];
        lines.extend(self.sentences(4));
        lines.push(self.pick(self.tongue.closings).to_owned());
        lines.push(other.0.to_owned());
        lines
    }

    fn compose(
        &mut self,
        client: Client,
        me: (&str, &str),
        other: (&str, &str),
    ) -> (Vec<Piece>, bool, bool) {
        let mut pieces = Vec::new();
        let outlook =
            matches!(client, Client::OutlookHtml | Client::OutlookWeb | Client::OutlookPlain);
        let kind = self.below(100);
        if kind < 25 {
            pieces.push(Piece::Text(vec![self.pick(self.tongue.greetings).to_owned()]));
            self.text(&mut pieces, 4);
            self.signature(&mut pieces, client, me);
            return (pieces, false, false);
        }
        if kind < 37 {
            if self.chance(60) {
                self.text(&mut pieces, 1);
            }
            if !pieces.is_empty() {
                self.signature(&mut pieces, client, me);
            }
            let marker = match client {
                Client::Gmail | Client::GmailPlain => self.tongue.forwarded[0],
                Client::AppleHtml | Client::ApplePlain => self.tongue.forwarded[2],
                _ if outlook => self.tongue.original,
                _ => self.tongue.forwarded[1],
            };
            let marker = if matches!(client, Client::OutlookHtml | Client::OutlookWeb) {
                ""
            } else {
                marker
            };
            let fields = self.fields(other, me);
            let earlier = self.earlier(other);
            pieces.push(Piece::Forward(marker.to_owned(), fields, earlier));
            return (pieces, false, true);
        }
        let history = |writer: &mut Self| {
            let separated = client == Client::OutlookPlain && writer.chance(50);
            let separator = separated.then(|| writer.tongue.original.to_owned());
            let fields = writer.fields(other, me);
            let earlier = writer.earlier(other);
            Piece::History(separator, fields, earlier)
        };
        if outlook {
            self.text(&mut pieces, 3);
            self.signature(&mut pieces, client, me);
            let last = history(self);
            pieces.push(last);
            return (pieces, true, false);
        }
        match kind {
            // The answer above.
            37..=64 => {
                self.text(&mut pieces, 3);
                self.signature(&mut pieces, client, me);
                pieces.push(Piece::Attribution(self.attribution(client, other)));
                pieces.push(Piece::Quote(self.earlier(other)));
            }
            // The answer below.
            65..=79 => {
                pieces.push(Piece::Attribution(self.attribution(client, other)));
                pieces.push(Piece::Quote(self.earlier(other)));
                self.text(&mut pieces, 3);
                self.signature(&mut pieces, client, me);
            }
            // Answers between.
            _ => {
                pieces.push(Piece::Attribution(self.attribution(client, other)));
                for _ in 0..2 + self.below(3) {
                    let quoted = self.sentences(2);
                    pieces.push(Piece::Quote(quoted));
                    let answer = self.sentences(2).join(" ");
                    pieces.push(Piece::Text(vec![answer]));
                }
                self.signature(&mut pieces, client, me);
            }
        }
        (pieces, true, false)
    }
}

/// Breaks a line at 72 characters.
fn wrap(line: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let last = lines.last_mut().expect("one line");
        if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > 72 {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

fn plain(
    pieces: &[Piece],
    client: Client,
    flowed: bool,
    lines: &mut Vec<(Label, String)>,
) -> String {
    let mut out = String::new();
    let mut add = |label: Label, prefix: &str, text: &str, fold: bool, out: &mut String| {
        if text == "-- " {
            out.push_str("-- \r\n");
            lines.push((label, "--".to_owned()));
            return;
        }
        let wrapped = if fold { wrap(text) } else { vec![text.to_owned()] };
        let count = wrapped.len();
        for (index, line) in wrapped.iter().enumerate() {
            // A line of the writer's own that begins with the sign of a quote is stuffed.
            let stuffed =
                if flowed && prefix.is_empty() && line.starts_with('>') { " " } else { "" };
            let soft = if flowed && index + 1 < count { " " } else { "" };
            out.push_str(&format!("{prefix}{stuffed}{line}{soft}\r\n"));
            if !flowed {
                lines.push((label, line.clone()));
            }
        }
        if flowed {
            lines.push((label, text.to_owned()));
        }
    };
    let fold = client != Client::OutlookPlain;
    for piece in pieces {
        match piece {
            Piece::Text(text) => {
                text.iter().for_each(|it| add(Label::Body, "", it, fold, &mut out))
            }
            Piece::Signature(text) => {
                text.iter().for_each(|it| add(Label::Signature, "", it, fold, &mut out));
            }
            Piece::Attribution(text) => {
                add(Label::Quote, "", text, fold, &mut out);
                if matches!(client, Client::Terminal | Client::Thunderbird) {
                    continue;
                }
            }
            Piece::Quote(text) => {
                text.iter().for_each(|it| add(Label::Quote, "> ", it, fold, &mut out));
            }
            Piece::History(separator, fields, text) => {
                let head = separator.iter().chain(fields);
                head.for_each(|it| add(Label::Quote, "", it, false, &mut out));
                out.push_str("\r\n");
                text.iter().for_each(|it| add(Label::Quote, "", it, fold, &mut out));
            }
            Piece::Forward(marker, fields, text) => {
                let head = Some(marker).filter(|it| !it.is_empty()).into_iter().chain(fields);
                head.for_each(|it| add(Label::Body, "", it, false, &mut out));
                out.push_str("\r\n");
                text.iter().for_each(|it| add(Label::Body, "", it, fold, &mut out));
            }
        }
        out.push_str("\r\n");
    }
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn html(pieces: &[Piece], client: Client, lines: &mut Vec<(Label, String)>) -> String {
    let mut out = String::from("<html><head><style>p{margin:0}</style></head><body>");
    let open_close = match client {
        Client::OutlookHtml => {
            ("<p class=\"MsoNormal\"><span lang=\"EN\">", "<o:p></o:p></span></p>\r\n")
        }
        _ => ("<div>", "</div>\r\n"),
    };
    let blank = match client {
        Client::OutlookHtml => "<p class=\"MsoNormal\"><o:p>&nbsp;</o:p></p>\r\n",
        _ => "<div><br></div>\r\n",
    };
    let mut add = |label: Label, text: &str, out: &mut String| {
        out.push_str(&format!("{}{}{}", open_close.0, escape(text), open_close.1));
        lines.push((label, text.trim().to_owned()));
    };
    let mut nested = false;
    for (index, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Text(text) => text.iter().for_each(|it| add(Label::Body, it, &mut out)),
            Piece::Signature(text) => {
                let marked = client == Client::Gmail && text[0] == "-- ";
                if marked {
                    out.push_str("<span class=\"gmail_signature_prefix\">-- </span><br><div dir=\"ltr\" class=\"gmail_signature\">");
                }
                text.iter()
                    .filter(|it| !marked || *it != "-- ")
                    .for_each(|it| add(Label::Signature, it, &mut out));
                if marked {
                    out.push_str("</div>");
                }
            }
            Piece::Attribution(text) => match client {
                Client::Gmail => {
                    nested = true;
                    out.push_str(
                        "<div class=\"gmail_quote\"><div dir=\"ltr\" class=\"gmail_attr\">",
                    );
                    add(Label::Quote, text, &mut out);
                    out.push_str("<br></div>");
                    continue;
                }
                _ => {
                    out.push_str("<div>");
                    add(Label::Quote, text, &mut out);
                    out.push_str("<br class=\"Apple-interchange-newline\"></div>");
                    continue;
                }
            },
            Piece::Quote(text) => {
                out.push_str(match client {
                    Client::Gmail => "<blockquote class=\"gmail_quote\" style=\"margin:0 0 0 .8ex;border-left:1px #ccc solid\">",
                    _ => "<blockquote type=\"cite\"><div>",
                });
                text.iter().for_each(|it| add(Label::Quote, it, &mut out));
                out.push_str("</blockquote>");
            }
            Piece::History(_, fields, text) | Piece::Forward(_, fields, text) => {
                let label =
                    if matches!(piece, Piece::Forward(..)) { Label::Body } else { Label::Quote };
                if let Piece::Forward(marker, ..) = piece
                    && !marker.is_empty()
                {
                    if client == Client::Gmail {
                        out.push_str(
                            "<div class=\"gmail_quote\"><div dir=\"ltr\" class=\"gmail_attr\">",
                        );
                        nested = true;
                    }
                    add(label, marker, &mut out);
                }
                match client {
                    Client::OutlookHtml => out.push_str("<div style=\"border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm\"><p class=\"MsoNormal\">"),
                    Client::OutlookWeb => out.push_str("<div id=\"appendonsend\"></div><hr style=\"display:inline-block;width:98%\"><div id=\"divRplyFwdMsg\" dir=\"ltr\"><font face=\"Calibri\">"),
                    _ => out.push_str("<div>"),
                }
                for field in fields {
                    let (name, value) = field.split_once(": ").expect("a field");
                    out.push_str(&format!("<b>{}:</b> {}<br>\r\n", escape(name), escape(value)));
                    lines_push(&mut add, label, field);
                }
                out.push_str("</div>");
                if client == Client::Gmail && nested {
                    out.push_str("</div>");
                }
                text.iter().for_each(|it| add(label, it, &mut out));
            }
        }
        if index + 1 < pieces.len() {
            out.push_str(blank);
        }
    }
    if nested {
        out.push_str("</div>");
    }
    out.push_str("</body></html>");
    out
}

/// Notes a line that was written otherwise.
fn lines_push(add: &mut impl FnMut(Label, &str, &mut String), label: Label, line: &str) {
    let mut nowhere = String::new();
    add(label, line, &mut nowhere);
}
