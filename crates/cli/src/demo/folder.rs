//! The demo's mail in a folder.

use std::path::Path;

use appliance::{config::Settings, exit::Ending, shard::Shard, verify};

/// Compares what the mailboxes hold with what is on disk, and shows it.
pub(super) async fn compare(settings: &Settings, folder: &Path) -> Result<bool, Ending> {
    println!("Now the comparison, `tributary verify`: source = ledger = files on disk?\n");
    let verdicts = verify::verify(settings, folder, Shard::ONLY).await?;
    print!("{}", verify::table(&verdicts));
    Ok(verdicts.iter().all(|verdict| verdict.differences.is_empty()))
}

pub(super) fn farewell(folder: &Path) {
    // Built by `cargo xtask demo`, the program need not be on the path.
    let program = std::env::current_exe().unwrap_or_else(|_| "tributary".into());
    println!(
        "\nThe emails are still in {0}\n\
         Look at one of data/*/*/*/*.eml and the .json beside it, or try\n\
         \x20 {1} status --local-files-prefix {0}\n\
         \x20 {1} export mbox --local-files-prefix {0} --output all.mbox",
        folder.display(),
        program.display()
    );
}
