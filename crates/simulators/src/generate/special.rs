//! Mail that is not a letter: meeting requests, delivery reports, and odd MIME.

use chrono::DateTime;

use super::{
    compose::{Writer, date},
    recipe::Recipe,
};

/// A meeting request (RFC 6047).
pub(super) fn meeting(recipe: &Recipe, out: &mut Writer) {
    let mut dice = recipe.dice(20);
    let start = recipe.at + i64::try_from(dice.between(3600, 900_000)).unwrap_or_default();
    let time = |at| DateTime::from_timestamp(at, 0).unwrap_or_default().format("%Y%m%dT%H%M%SZ");
    let (_, sender) = recipe.sender();
    recipe.head(out, "Invitation: weekly review", "utf-8");
    let calendar = format!(
        "BEGIN:VCALENDAR\r\nPRODID:-//Example//Calendar 1.0//EN\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\n\
         BEGIN:VEVENT\r\nUID:{:x}@example.net\r\nDTSTAMP:{}\r\nDTSTART:{}\r\nDTEND:{}\r\n\
         ORGANIZER:mailto:{sender}\r\nATTENDEE;RSVP=TRUE:mailto:{}\r\nSUMMARY:Weekly review\r\n\
         LOCATION:Room {}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
        dice.next(),
        time(recipe.at),
        time(start),
        time(start + 3600),
        recipe.to,
        dice.between(1, 9),
    );
    out.text("text/calendar; method=REQUEST", &calendar, "utf-8", "base64");
}

/// A report that a message could not be delivered (RFC 3464).
pub(super) fn delivery_report(recipe: &Recipe, out: &mut Writer) {
    let boundary = format!("=_report_{:x}", recipe.dice(21).next());
    out.field("From", "Mail Delivery System <mailer-daemon@mail.example.net>");
    out.field("To", &recipe.to);
    out.field("Subject", "Undeliverable: Question about order");
    out.field("Date", &date(recipe.at, 0));
    out.field("Message-ID", &recipe.message_id().unwrap_or_default());
    out.field("Auto-Submitted", "auto-replied");
    out.field("MIME-Version", "1.0");
    out.field(
        "Content-Type",
        &format!("multipart/report; report-type=delivery-status; boundary=\"{boundary}\""),
    );
    out.line("");
    out.line(&format!("--{boundary}"));
    let text = "The message could not be delivered.\r\nThe mailbox is full.\r\n";
    out.text("text/plain", text, "us-ascii", "7bit");
    out.line(&format!("--{boundary}"));
    out.field("Content-Type", "message/delivery-status");
    out.line("");
    out.field("Reporting-MTA", "dns; mail.example.net");
    out.line("");
    out.field("Final-Recipient", "rfc822; orders@example.org");
    out.field("Action", "failed");
    out.field("Status", "5.2.2");
    out.line(&format!("--{boundary}"));
    out.field("Content-Type", "message/rfc822");
    out.line("");
    out.field("From", &recipe.to);
    out.field("To", "orders@example.org");
    out.field("Subject", "Question about order");
    out.line("");
    out.line("Where is it?");
    out.line(&format!("--{boundary}--"));
}

/// One of fifteen things that real mailboxes contain.
pub(super) fn odd(recipe: &Recipe, out: &mut Writer, what: usize) {
    let mut dice = recipe.dice(22);
    let sentence = dice.pick(recipe.language().sentences);
    match what {
        // 0 has no Message-ID: `Recipe::message_id` sees to that.
        0 => {
            recipe.head(out, "No id", "utf-8");
            out.text("text/plain", sentence, "utf-8", "8bit");
        }
        1 => {
            recipe.head(out, "Nothing in it", "utf-8");
            out.line("");
        }
        2 => {
            // Lines end in LF only, also in the header.
            recipe.head(out, "Unix lines", "utf-8");
            out.text("text/plain", sentence, "utf-8", "8bit");
            out.0.retain(|byte| *byte != b'\r');
        }
        3 => {
            recipe.head(out, "Never closed", "utf-8");
            out.field("Content-Type", "multipart/mixed; boundary=open");
            out.line("\r\n--open");
            out.text("text/plain", sentence, "utf-8", "8bit");
        }
        4 => {
            // Neither declared nor UTF-8.
            recipe.head(out, "Bytes", "utf-8");
            out.line("");
            out.0.extend((0x80..=0xff).chain([0, 0x0b, 0x1b, b'\r', b'\n']));
        }
        5 => {
            recipe.head(out, "A long line", "utf-8");
            out.line("");
            out.line(&"0123456789".repeat(dice.between(200, 5000)));
        }
        6 => {
            recipe.head(out, "Unknown character set", "utf-8");
            out.field("Content-Type", "text/plain; charset=x-unknown-99");
            out.line("");
            out.line(sentence);
        }
        7 => nested(recipe, out, sentence),
        8 => {
            recipe.head(out, "Twice", "utf-8");
            out.field("Subject", "Twice, the second");
            out.field("Content-Type", "text/plain; charset=utf-8; charset=us-ascii");
            out.line("");
            out.line(sentence);
        }
        9 => {
            recipe.head(out, "Broken base64", "utf-8");
            out.field("Content-Type", "application/octet-stream; name=\"a.bin\"");
            out.field("Content-Transfer-Encoding", "base64");
            out.line("");
            out.line("AAEC*&^AwQ=\r\nBQ");
        }
        10 => {
            recipe.head(out, "From lines", "utf-8");
            out.line("");
            out.line(
                "From the start\r\n>From here\r\n.\r\n..\r\nFrom nobody Mon Jan  1 00:00:00 2024",
            );
        }
        11 => {
            recipe.head(out, "name in parts", "utf-8");
            out.field(
                "Content-Type",
                "application/pdf;\r\n name*0*=utf-8''Rechnung%20;\r\n name*1*=f%C3%BCr%20Mai.pdf",
            );
            out.field("Content-Transfer-Encoding", "base64");
            out.line("\r\nJVBERi0xLjcK");
        }
        12 => {
            recipe.head(out, "uuencoded", "utf-8");
            out.line("\r\nbegin 644 a.txt\r\n#0V%T\r\n`\r\nend");
        }
        13 => {
            // Other programs' control characters in a subject.
            recipe.head(out, "Bell \u{7} and tab \u{b} in it", "utf-8");
            out.line("");
            out.line(sentence);
        }
        _ => {
            recipe.head(out, "=?utf-8?Q?half_a_word=C3?= =?x?", "utf-8");
            out.field("Content-Type", "multipart/alternative; boundary=\"\"");
            out.line("");
            out.line(sentence);
        }
    }
}

/// A message in a message, several deep.
fn nested(recipe: &Recipe, out: &mut Writer, sentence: &str) {
    recipe.head(out, "Forwarded as it was", "utf-8");
    for depth in 0..4 {
        out.field("Content-Type", "message/rfc822");
        out.line("");
        out.field("From", "archive@example.org");
        out.field("Subject", &format!("Level {depth}"));
        out.field("MIME-Version", "1.0");
    }
    out.text("text/plain", sentence, "utf-8", "8bit");
}
