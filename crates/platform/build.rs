//! Puts the built web UI into the program, if it has been built: `cargo xtask web`.
//!
//! Node is never started from here: a plain `cargo build` needs nothing but Rust.

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/dist");
    // The folder is always there. A path that is missing would count as changed each time.
    println!("cargo::rerun-if-changed={}", web.display());
    let mut files = Vec::new();
    let app = web.join("app");
    if app.join("index.html").is_file() {
        collect(&app, &mut files)?;
    }
    files.sort();
    let mut code = String::from("pub(super) static FILES: &[File] = &[\n");
    for file in &files {
        let Ok(name) = file.strip_prefix(&app) else { continue };
        let coded = |ending: &str| {
            let mut path = file.clone().into_os_string();
            path.push(ending);
            let path = PathBuf::from(path);
            if path.is_file() { format!("Some(include_bytes!({path:?}))") } else { "None".into() }
        };
        writeln!(
            code,
            "    File {{ name: {name:?}, plain: include_bytes!({file:?}), brotli: {}, gzip: {} }},",
            coded(".br"),
            coded(".gz"),
        )
        .map_err(io::Error::other)?;
    }
    code.push_str("];\n");
    #[expect(clippy::disallowed_methods, reason = "cargo names the folder this way")]
    let out = std::env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("no OUT_DIR"))?;
    fs::write(Path::new(&out).join("ui_files.rs"), code)
}

/// Every file below `folder`, without the compressed forms beside them.
fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else if !path.extension().is_some_and(|ending| ending == "br" || ending == "gz") {
            into.push(path);
        }
    }
    Ok(())
}
