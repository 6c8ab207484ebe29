//! `cargo xtask docs`: the pages that are generated from the program itself.

use std::{fs, process::Command};

use anyhow::{Context, Result, bail};

use crate::{LIKE_TESTS, build_debug, cargo, root, run, target_dir};

/// Each page, and the arguments with which `tributary` prints it.
const PAGES: &[(&str, &[&str])] = &[
    ("docs/reference/configuration.md", &["config", "reference"]),
    ("docs/reference/appliance-config.schema.json", &["config", "schema"]),
    ("docs/reference/openapi.json", &["config", "openapi"]),
    ("docs/reference/command-line.md", &["config", "command-line"]),
];

pub(crate) fn write() -> Result<()> {
    for (page, text) in generate()? {
        let path = root().join(page);
        if fs::read(&path).ok().as_deref() != Some(text.as_slice()) {
            fs::write(&path, &text).with_context(|| format!("could not write {page}"))?;
            println!("wrote {page}");
        }
    }
    Ok(())
}

/// Fails if a generated page is not what the program prints, or the API docs do not build.
pub(crate) fn check() -> Result<()> {
    for (page, text) in generate()? {
        if fs::read(root().join(page)).ok().as_deref() != Some(text.as_slice()) {
            bail!("{page} is out of date; run `cargo xtask docs`");
        }
    }
    let doc = ["doc", "--quiet", "--workspace", "--no-deps"];
    run(cargo().env("RUSTDOCFLAGS", "-D warnings").args(doc).args(LIKE_TESTS))
}

fn generate() -> Result<Vec<(&'static str, Vec<u8>)>> {
    build_debug()?;
    let binary = target_dir().join("debug/tributary");
    let print = |args: &[&str]| -> Result<Vec<u8>> {
        let output =
            Command::new(&binary).args(args).output().context("could not run tributary")?;
        if !output.status.success() {
            bail!("`tributary {}` failed", args.join(" "));
        }
        Ok(output.stdout)
    };
    PAGES.iter().map(|(page, args)| Ok((*page, print(args)?))).collect()
}
