//! `tributary config check --online`: does the configuration work against the real server?

use record::Checkpoint;

use crate::{
    config::Settings,
    exchange,
    exit::{Ending, Exit},
    shard::Shard,
    terms::routes,
};

/// What the server said about each mailbox.
pub struct Report {
    pub text: String,
    /// The worst that was found.
    pub exit: Exit,
}

/// Looks into every mailbox of the configuration.
///
/// # Errors
///
/// What concerns all mailboxes: the server cannot be reached or refuses the sign-in.
pub async fn check(settings: &Settings, shard: Shard) -> Result<Report, Ending> {
    let opened = exchange::open_to_look(settings, shard).await?;
    let mut report = Report { text: format!("{}.\n", opened.told), exit: Exit::Success };
    for route in routes(settings, shard) {
        let mut source = opened.exchange.mailbox(&route.mailbox);
        let line = match source.survey(&Checkpoint::default(), true).await {
            Ok(survey) => {
                let items: u64 = survey.folders.iter().filter_map(|folder| folder.total).sum();
                format!(
                    "ok      {}: {} folders, {items} items",
                    route.mailbox,
                    survey.folders.len()
                )
            }
            Err(err) if err.advice() == record::Advice::StopService => {
                return Err(Ending::from(&err));
            }
            Err(err) => {
                let ending = Ending::from(&err);
                // What may work later is told apart from what the server refuses.
                if report.exit != Exit::Refused {
                    report.exit = ending.exit;
                }
                let message = ending.message.replace('\n', "\n        ");
                format!("failed  {}: {message}", route.mailbox)
            }
        };
        report.text.push_str(&line);
        report.text.push('\n');
    }
    Ok(report)
}
