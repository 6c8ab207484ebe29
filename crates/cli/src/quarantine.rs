//! `tributary quarantine`: what was set aside, and what is to be done about it.

use appliance::{
    exit::{Ending, Exit},
    status::shown,
};
use clap::Subcommand;
use record::{MailboxId, Quarantined, SinkError};

use crate::{
    commands::{show, show_json},
    place::{Opened, Place, block_on, no_state},
    quarantine_drop::DropArgs,
};

#[derive(Subcommand)]
pub(crate) enum Quarantine {
    /// Lists what was set aside, and why.
    List {
        #[command(flatten)]
        place: Place,
        /// Prints JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Asks the appliance, running or started later, to try everything in quarantine again. Only
    /// for a folder; with another destination, send SIGUSR1 to the running appliance.
    Retry {
        #[command(flatten)]
        place: Place,
        /// Only this mailbox.
        #[arg(long, value_name = "ADDRESS")]
        mailbox: Option<MailboxId>,
    },
    /// Forgets entries of one mailbox for good; works while the appliance runs.
    Drop(DropArgs),
}

/// An entry on one line.
pub(crate) fn line(mailbox: &MailboxId, item: &Quarantined) -> String {
    format!(
        "{mailbox}  {}  {}  since {}, {} attempts: {} ({})\n",
        item.uid,
        shown(&item.folder_path),
        item.since.format("%Y-%m-%d %H:%M:%SZ"),
        item.attempts,
        item.code,
        shown(std::slice::from_ref(&item.detail)),
    )
}

impl Quarantine {
    pub(crate) fn run(self) -> Result<Exit, Ending> {
        match self {
            Self::List { place, json } => list(&place, json)?,
            Self::Retry { place, mailbox } => retry(&place, mailbox.as_ref())?,
            Self::Drop(args) => args.run()?,
        }
        Ok(Exit::Success)
    }
}

fn list(place: &Place, json: bool) -> Result<(), Ending> {
    let opened = place.look()?;
    let items = block_on(async {
        let mut items = Vec::new();
        for route in place.routes(&opened, None).await? {
            let list = opened.quarantined(&route).await?.into_iter();
            items.extend(list.map(|item| (route.mailbox.clone(), item)));
        }
        Ok(items)
    })?;
    if json {
        return show_json(&items);
    }
    for (mailbox, item) in &items {
        show(&line(mailbox, item))?;
    }
    show(&format!("{} items in quarantine\n", items.len()))
}

fn retry(place: &Place, mailbox: Option<&MailboxId>) -> Result<(), Ending> {
    if !place.is_folder() {
        let text = "nobody is asked: only a folder passes this on to the appliance\n\
                    Hint: Send SIGUSR1 to the running appliance (`kill -USR1 PROCESS`), and it \
                    tries everything in quarantine again.";
        return Err(Ending::new(Exit::Config, text));
    }
    let opened = place.look()?;
    let wanted = block_on(place.routes(&opened, mailbox))?;
    if let (Some(only), true) = (mailbox, wanted.is_empty()) {
        return Err(no_state(only, &opened));
    }
    if let Opened::Folder { files, .. } = &opened {
        let asked = wanted.iter().try_for_each(|route| files.request_quarantine_retry(route));
        asked.map_err(|err: SinkError| Ending::from(&err))?;
    }
    show(&format!("Asked for {} mailboxes\n", wanted.len()))
}
