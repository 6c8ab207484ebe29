//! Whole mailboxes: nested folders, mail in them, and what is no mail.

use anyhow::Result;
use chrono::{DateTime, Duration, Utc};

use super::{Dice, Recipe};
use crate::exchange::{Delivery, Exchange};

/// What a generated mailbox is to hold.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    /// Messages in mail folders.
    pub messages: u64,
    /// Size of every message to aim at, in bytes; `None` as it comes.
    pub size: Option<u32>,
    /// When the newest message was received.
    pub until: DateTime<Utc>,
    /// Calendar, contacts, a draft and a search folder too: nothing of it is to be copied.
    pub with_other_items: bool,
}

/// Folders and how many of a hundred messages go there.
const FOLDERS: &[(&[&str], usize)] = &[
    (&["Inbox"], 40),
    (&["Inbox", "Claims"], 10),
    (&["Inbox", "Claims", "2026/Q1"], 5),
    (&["Inbox", "Orders & Returns"], 6),
    (&["Inbox", "Größe, œuvre, ñandú"], 3),
    (&["Inbox", "重要"], 3),
    (&["Projects"], 3),
    (&["Projects", "..", "con.", "a:b|c?"], 2),
    (&["Archive"], 8),
    (&["Sent Items"], 12),
    (&["Deleted Items"], 4),
    (&["Junk Email"], 4),
];

/// Adds a mailbox and fills it.
///
/// The same plan gives the same folders and messages.
///
/// # Errors
///
/// Never in practice: the folders are made first.
pub fn fill(server: &Exchange, address: &str, plan: &Plan) -> Result<()> {
    server.add_mailbox(address);
    for (path, _) in FOLDERS {
        server.add_folder(address, path, "IPF.Note")?;
    }
    // Two years at most, so that dates look like those of a mailbox in use.
    let step = (2 * 365 * 86_400 / plan.messages.max(1)).clamp(1, 3600);
    for number in 0..plan.messages {
        let age = i64::try_from((plan.messages - 1 - number) * step).unwrap_or_default();
        let received = plan.until - Duration::seconds(age);
        let mut dice = Dice::of(plan.seed ^ 0xf01d, number);
        deliver(server, address, plan, number, received, pick_folder(&mut dice), &mut dice)?;
    }
    if plan.with_other_items {
        add_others(server, address, plan)?;
    }
    Ok(())
}

/// Delivers the message with this number into the inbox.
fn deliver_one(
    server: &Exchange,
    address: &str,
    plan: &Plan,
    number: u64,
    received: DateTime<Utc>,
) -> Result<()> {
    let mut dice = Dice::of(plan.seed ^ 0xf01d, number);
    deliver(server, address, plan, number, received, &["Inbox"], &mut dice)
}

fn deliver(
    server: &Exchange,
    address: &str,
    plan: &Plan,
    number: u64,
    received: DateTime<Utc>,
    folder: &[&str],
    dice: &mut Dice,
) -> Result<()> {
    let recipe = Recipe {
        seed: plan.seed,
        number,
        at: received.timestamp(),
        to: address.into(),
        size: plan.size,
    };
    let mut delivery = Delivery::recipe(recipe, received);
    delivery.is_read = dice.percent(70);
    if dice.percent(10) {
        delivery.categories.push(dice.pick(&["Red category", "Customer", "À traiter"]).to_owned());
    }
    server.deliver_as(address, folder, delivery)?;
    Ok(())
}

fn pick_folder(dice: &mut Dice) -> &'static [&'static str] {
    let mut roll = dice.below(100);
    for (path, share) in FOLDERS {
        if roll < *share {
            return path;
        }
        roll -= share;
    }
    &["Inbox"]
}

/// What a mailbox has beside mail: folder, class, content type, text.
const OTHERS: &[(&str, &str, &str, &str)] = &[
    ("Calendar", "IPM.Appointment", "text/calendar", "Weekly review"),
    ("Contacts", "IPM.Contact", "text/vcard", "Service Desk"),
    ("Tasks", "IPM.Task", "text/plain", "Order paper"),
    ("Notes", "IPM.StickyNote", "text/plain", "Key is in the safe"),
    ("Sync Issues", "IPM.Note", "text/plain", "Synchronization log"),
];

fn add_others(server: &Exchange, address: &str, plan: &Plan) -> Result<()> {
    for (folder, class, kind, text) in OTHERS {
        if !server.has_folder(address, &[folder]) {
            continue;
        }
        let mime = format!(
            "Subject: {text}\r\nDate: Sat, 21 Nov 2026 08:00:00 +0000\r\n\
             Content-Type: {kind}; charset=utf-8\r\n\r\n{text}\r\n"
        );
        let delivery = Delivery::new(mime, plan.until).class(class);
        server.deliver_as(address, &[folder], delivery)?;
    }
    let draft = Delivery::new("Subject: Not finished\r\n\r\nDear\r\n", plan.until);
    server.deliver_as(address, &["Drafts"], draft.draft().without_message_id())?;
    server.add_search_folder(address, &["Unread Mail"])?;
    Ok(())
}

/// Delivers a new message every `period` into one mailbox after the other, for ever. `numbers`
/// are those of the messages, so that they are others than the ones that are there.
///
/// # Errors
///
/// A mailbox was removed meanwhile.
pub async fn deliver_every(
    server: &Exchange,
    period: std::time::Duration,
    plan: &Plan,
    numbers: impl IntoIterator<Item = u64>,
) -> Result<()> {
    let mut ticks = tokio::time::interval(period.max(std::time::Duration::from_millis(1)));
    ticks.tick().await;
    let mailboxes = server.mailboxes();
    for (number, address) in numbers.into_iter().zip(mailboxes.iter().cycle()) {
        ticks.tick().await;
        deliver_one(server, address, plan, number, server.now())?;
    }
    Ok(())
}
