//! The block of fields that Outlook puts above what is answered, in the forms that it takes in text.

use comment::{Delivery, Pieces, Transform, convert_pieces};
use record::Metadata;

use crate::convert_plainly;

struct Tongue {
    code: &'static str,
    separator: &'static str,
    /// Names of From, Sent, To, Cc, Subject and Importance.
    names: [&'static str; 6],
    sent: &'static str,
    day: &'static str,
    /// What stands before the colon.
    gap: &'static str,
}

const TONGUES: [Tongue; 4] = [
    Tongue {
        code: "en",
        separator: "-----Original Message-----",
        names: ["From", "Sent", "To", "Cc", "Subject", "Importance"],
        sent: "Monday, 3 March 2025 10:12",
        day: "Monday",
        gap: "",
    },
    Tongue {
        code: "de",
        separator: "-----Ursprüngliche Nachricht-----",
        names: ["Von", "Gesendet", "An", "Cc", "Betreff", "Priorität"],
        sent: "Montag, 3. März 2025 10:12",
        day: "Montag",
        gap: "",
    },
    Tongue {
        code: "fr",
        separator: "-----Message d'origine-----",
        names: ["De", "Envoyé", "À", "Cc", "Objet", "Importance"],
        sent: "lundi 3 mars 2025 10:12",
        day: "lundi",
        gap: " ",
    },
    Tongue {
        code: "es",
        separator: "-----Mensaje original-----",
        names: ["De", "Enviado el", "Para", "CC", "Asunto", "Importancia"],
        sent: "lunes, 3 de marzo de 2025 10:12",
        day: "lunes",
        gap: "",
    },
];

/// Two people in a list, on that many lines.
fn many(lines: usize) -> String {
    vec!["Bob Example <bob@example.com>; Carla Example <carla@example.org>;"; lines].join("\n")
}

/// Emphasis, what stands around the colon, and what ends a line.
struct Marks(&'static str, &'static str, &'static str, &'static str);

/// The fields by name and value, and how each line is written.
type Fields = Vec<(&'static str, String)>;

fn write(tongue: &Tongue, fields: &Fields, marks: &Marks) -> String {
    let Marks(sign, before, behind, end) = marks;
    let gap = if before.is_empty() { tongue.gap } else { before };
    let line =
        |(name, value): &(&str, String)| format!("{sign}{name}{gap}:{sign}{behind}{value}{end}");
    fields.iter().map(line).collect()
}

fn usual(tongue: &Tongue) -> Fields {
    let values = [
        "Ann Example <ann@example.com>",
        tongue.sent,
        "Bob Example",
        "Carla Example",
        "RE: Invoice",
        "High",
    ];
    tongue.names.into_iter().zip(values.map(str::to_owned)).collect()
}

/// The block in all of its forms, with their names.
fn forms(tongue: &Tongue) -> Vec<(String, String)> {
    let mut forms = Vec::new();
    let plain = Marks("", "", " ", "\n");
    for (name, marks) in [
        ("bold", Marks("*", "", " ", "\n")),
        ("Markdown", Marks("**", "", " ", "\n")),
        ("tab", Marks("", "", "\t", "\n")),
        ("tight", Marks("", "", "", "\n")),
        ("wide", Marks("", " ", " ", "\n")),
        ("hard blanks", Marks("", "\u{a0}", "\u{a0}", "\u{a0}\n")),
        ("narrow blank", Marks("", "\u{202f}", " ", "\n")),
        ("marks of direction", Marks("\u{200e}", "", " ", "\n")),
        ("CRLF", Marks("", "", " ", "\r\n")),
        ("vertical tabs", Marks("", "", " ", "\u{b}")),
        ("separators of lines", Marks("", "", " ", "\u{2028}")),
        ("doubled lines", Marks("", "", " ", "\n\n")),
        ("values below", Marks("", "", "\n", "\n")),
    ] {
        forms.push((name.to_owned(), write(tongue, &usual(tongue), &marks)));
    }
    for count in 1..=5 {
        let (above, below) = (usual(tongue)[..count].to_vec(), usual(tongue)[count..].to_vec());
        let text = format!("{}\n{}", write(tongue, &above, &plain), write(tongue, &below, &plain));
        forms.push((format!("a blank line after {count}"), text));
    }
    type Change = fn(&Tongue, &mut Fields);
    let changes: [(&str, Change); 13] = [
        ("as usual", |_, _| ()),
        ("Sent first", |_, fields| fields.swap(0, 1)),
        ("Subject second", |_, fields| fields.swap(1, 4)),
        ("four fields", |_, fields| {
            fields.retain(|it| !["Carla Example", "High"].contains(&&*it.1))
        }),
        ("no Subject", |_, fields| drop(fields.remove(4))),
        ("no Sent", |_, fields| drop(fields.remove(1))),
        ("names only", |_, fields| fields[0].1 = "Ann Example".to_owned()),
        ("names and a day", |tongue, fields| {
            fields[0].1 = "Ann".to_owned();
            fields[1].1 = tongue.day.to_owned();
        }),
        ("mailto", |_, fields| fields[0].1 = "Ann [mailto:ann@example.com]".to_owned()),
        ("address below", |_, fields| fields[0].1 = "Ann\n<ann@example.com>".to_owned()),
        ("wrapped To", |_, fields| fields[2].1 = many(2)),
        ("many in To and Cc", |_, fields| {
            fields[2].1 = many(30);
            fields[3].1 = many(30);
        }),
        ("many, then Sent and Subject", |_, fields| {
            fields[2].1 = many(10);
            fields.swap(1, 2);
        }),
    ];
    for (name, change) in changes {
        let mut fields = usual(tongue);
        change(tongue, &mut fields);
        forms.push((name.to_owned(), write(tongue, &fields, &plain)));
    }
    forms
}

/// Body and quoted history, whether the text comes in a message or alone.
fn split(header: &str, text: &str) -> (String, String) {
    let raw = format!("{header}Content-Type: text/plain; charset=utf-8\n\n{text}");
    let whole = convert_plainly(raw.as_bytes());
    let metadata = Metadata::default();
    let delivery = Delivery {
        email_id: "<a@b>",
        mailbox: "",
        timestamp: chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_000),
        metadata: &metadata,
        listed: &[],
    };
    let parts =
        |it: &comment::Converted| (it.comment.messages[0].body.text.clone(), it.quoted.clone());
    for pieces in [
        Pieces { headers: header.as_bytes(), plain: Some(text), html: None },
        // Some deliverers call every text HTML.
        Pieces { headers: header.as_bytes(), plain: None, html: Some(text) },
    ] {
        let converted = convert_pieces(&pieces, &delivery, &Transform::default());
        assert_eq!(parts(&converted), parts(&whole), "{pieces:?}");
    }
    parts(&whole)
}

#[test]
fn the_block_of_fields_of_outlook_is_cut_in_each_of_its_forms() {
    let mut kept = Vec::new();
    for tongue in &TONGUES {
        for (name, block) in forms(tongue) {
            for separator in ["", tongue.separator, "________________________________"] {
                for subject in ["Invoice", "RE: Invoice"] {
                    let header =
                        format!("From: Bob Example <bob@example.com>\nSubject: {subject}\n");
                    let text = format!("Paid today.\n\n{separator}\n{block}\nolder text\n");
                    let (body, quoted) = split(&header, &text);
                    if body != "Paid today." || !quoted.ends_with("older text") {
                        kept.push(format!(
                            "{} {name} {separator} {subject}: {body:?}",
                            tongue.code
                        ));
                    }
                }
            }
        }
    }
    assert!(kept.is_empty(), "{} kept:\n{}", kept.len(), kept.join("\n"));
}

#[test]
fn fields_of_other_things_stay() {
    for text in [
        "Here are the trains:\n\nFrom: Berlin\nTo: Hamburg\nDate: 3 March 2025 10:12\nPrice: 40\n\nPlease book.",
        "Two notes:\n\nFrom: the desk\nSubject: keys\n\nThey are with Ann.",
        "Please write to\n\nFrom: Berlin\nTo: Hamburg\nask bob@example.com\nfor the date: Monday\n\nand book.",
    ] {
        let (body, quoted) = split("Subject: RE: Travel\nIn-Reply-To: <x@y>\n", text);
        assert_eq!((body.as_str(), quoted.as_str()), (text, ""));
    }
}

#[test]
fn html_without_markup_is_text() {
    let text = |html: &str| {
        let raw = format!("Subject: x\nContent-Type: text/html; charset=utf-8\n\n{html}");
        convert_plainly(raw.as_bytes()).comment.messages[0].body.text.clone()
    };
    assert_eq!(text("One <ann@example.com>\ntwo & three\n"), "One <ann@example.com>\ntwo & three");
    for (html, expected) in [
        ("One\ntwo<br>three", "One two\nthree"),
        ("One\ntwo &amp; three", "One two & three"),
        ("One\ntwo<!-- none -->", "One two"),
        ("<SPAN\nclass='x'>One\ntwo</SPAN>", "One two"),
    ] {
        assert_eq!(text(html), expected, "{html}");
    }
}
