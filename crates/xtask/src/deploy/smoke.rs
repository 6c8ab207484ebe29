//! Runs the image as a cluster would: read-only, without rights, 128 MiB, a twentieth of a CPU.

mod container;
mod network;
mod place;
mod servers;

use std::{fs, path::Path, process::Command};

use anyhow::{Result, bail};

use self::{
    network::{free_port, name_server},
    place::Place,
    servers::{Platform, TOKEN},
};
use super::output;

const PREFIX: [&str; 2] = ["--local-files-prefix", "/mnt/ews"];

/// Two runs, one for each form of arguments that manifests have; then `verify` compares the
/// mailboxes with the folder. A third run brings the same emails to a platform.
pub(super) fn check() -> Result<()> {
    if let Some(reason) = forbidden() {
        #[expect(clippy::disallowed_methods, reason = "CI is told by this variable that it is one")]
        if std::env::var_os("CI").is_some() {
            bail!("CI must be able to run containers: {reason}");
        }
        println!("skipped: the image is not built and not run ({reason})");
        return Ok(());
    }
    let place = Place::prepare()?;
    // As in the manifests of the replaced appliance; names are resolved by the name server.
    place.resolve_by("", &format!("nameserver {}\n", name_server()))?;
    let shard = ["--shard-name", "reinfer-ews-appliance-0", "--total-shards", "1"];
    // The container shares this machine's network, where the usual port may be taken.
    let port = free_port()?;
    let address = format!("0.0.0.0:{port}");
    let bind = ["reinfer-ews", "--bind", &address];
    let told = place.appliance(&[&bind[..], &shard[..], &PREFIX].concat(), &[], Some(port))?;
    // As in `docker run IMAGE --flag …`; names are in the file.
    place.resolve_by("127.0.0.1 localhost\n", "")?;
    place.appliance(&PREFIX, &[], None)?;
    let verified = place.verify()?;
    if verified.lines().count() != 2 || verified.matches(" 0 differences").count() != 2 {
        bail!("the folder and the mailboxes differ:\n{verified}");
    }
    println!("image: {told}\n{}", verified.trim_end());
    let platform = Platform::start(&place.files.join("config"))?;
    let endpoint = platform.endpoint();
    let ca_file = ["--destination-ca-file", "/mnt/config/platform.pem"];
    let arguments = [&["--reinfer-api-endpoint", &endpoint][..], &ca_file].concat();
    let token = format!("REINFER_API_TOKEN={TOKEN}");
    let told = place.appliance(&arguments, &[&token], None)?;
    let (held, expected) = (platform.emails()?, place.emails()?);
    if held != expected || held == 0 {
        bail!("the platform holds {held} emails, and the folder {expected}");
    }
    println!("image, to a platform: {held} emails, {told}");
    Ok(())
}

/// Why this machine cannot run a container, if it cannot.
fn forbidden() -> Option<String> {
    let root = output(Command::new("id").arg("-u")).is_ok_and(|id| id == "0\n");
    if !root {
        return Some("only root can".to_owned());
    }
    let version1 = Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    let parents: &[&str] = match version1.exists() {
        true => &["/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpu"],
        false => &["/sys/fs/cgroup"],
    };
    parents.iter().find_map(|parent| {
        let group = Path::new(parent).join(format!("tributary-try-{}", std::process::id()));
        let tried = fs::create_dir(&group).and_then(|()| fs::remove_dir(&group));
        tried.err().map(|err| format!("no control group, `{}`: {err}", group.display()))
    })
}
