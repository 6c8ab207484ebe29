//! `tributary fsck`: whether everything that the platform keeps is what it was given.

use std::path::PathBuf;

use appliance::exit::{Ending, Exit};
use clap::Args;
use indicatif::HumanBytes;
use serde_json::{Map, json};
use store::{Finding, Repair, Report, Version, find};

use crate::{
    commands::{show, show_json},
    serve::runtime,
    storage::{Storage, stored},
    watch::Watch,
};

#[derive(Args)]
pub(crate) struct Fsck {
    #[command(flatten)]
    storage: Storage,
    /// Removes what nothing needs and sets damaged contents aside; also while the server runs.
    #[arg(long)]
    repair: bool,
    /// A backup, or a folder of them, from which damaged and missing contents are put back.
    #[arg(long, value_name = "DIR", requires = "repair")]
    from: Option<PathBuf>,
    /// Prints JSON instead of text.
    #[arg(long)]
    json: bool,
}

impl Fsck {
    pub(crate) fn run(self) -> Result<Exit, Ending> {
        runtime()?.block_on(Box::pin(self.check()))
    }

    async fn check(self) -> Result<Exit, Ending> {
        let from = self.from.as_deref().map(find).transpose().map_err(|err| stored(&err))?;
        let store = self.storage.open(Version::AsItIs).await?;
        let watch = Watch::new();
        let repair = Repair { wanted: self.repair, from: from.as_deref() };
        let report = store.check(repair, &|progress| watch.show(progress)).await;
        watch.end();
        store.close().await;
        let report = report.map_err(|err| stored(&err))?;
        if self.json {
            show_json(&as_json(&report))?;
        } else {
            show(&as_text(&report, &self.storage.place()?))?;
        }
        Ok(if report.is_damaged() { Exit::Difference } else { Exit::Success })
    }
}

fn as_json(report: &Report) -> serde_json::Value {
    let counts: Map<_, _> = report
        .counts
        .iter()
        .map(|(kind, (found, repaired))| {
            let count = json!({ "found": found, "repaired": repaired, "advice": kind.advice() });
            (name(*kind), count)
        })
        .collect();
    let swept = report.swept.map(|swept| {
        json!({
            "staged": swept.staged, "contents": swept.contents,
            "files": swept.files, "bytes": swept.bytes,
        })
    });
    json!({
        "damaged": report.is_damaged(), "contents": report.contents, "bytes": report.bytes,
        "files": report.files, "counts": counts, "findings": report.findings, "swept": swept,
    })
}

fn name(kind: store::FindingKind) -> String {
    let value = serde_json::to_value(kind).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn as_text(report: &Report, place: &str) -> String {
    let mut text = format!(
        "Looked at {} contents ({}) and {} files in `{place}`.\n",
        report.contents,
        HumanBytes(report.bytes),
        report.files
    );
    for (kind, (found, repaired)) in &report.counts {
        text.push_str(&format!("\n{}: {found}", name(*kind).replace('_', " ")));
        if *repaired > 0 {
            text.push_str(&format!(", {repaired} of them restored"));
        }
        text.push('\n');
        let own: Vec<&Finding> = report.findings.iter().filter(|own| own.kind == *kind).collect();
        for finding in &own {
            text.push_str(&format!("  {}", finding.what));
            if let Some(done) = &finding.repaired {
                text.push_str(&format!(" – {done}"));
            }
            text.push('\n');
            for name in finding.needed_by.names() {
                text.push_str(&format!("    {name}\n"));
            }
        }
        if *found > own.len() as u64 {
            text.push_str(&format!("  … and {} more\n", found - own.len() as u64));
        }
        if found > repaired {
            text.push_str(&format!("  {}\n", kind.advice()));
        }
    }
    if let Some(swept) = report.swept {
        text.push_str(&format!(
            "\nRemoved {} staged files, {} contents and {} files ({}) that nothing needed.\n",
            swept.staged,
            swept.contents,
            swept.files,
            HumanBytes(swept.bytes)
        ));
    }
    text.push_str(if report.is_damaged() {
        "\nSomething is damaged or lost.\n"
    } else {
        "\nNothing is damaged and nothing is lost.\n"
    });
    text
}
