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
    #[expect(clippy::disallowed_methods, reason = "cargo names the folder this way")]
    let out = std::env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("no OUT_DIR"))?;
    let copies = Path::new(&out).join("ui");
    if copies.exists() {
        fs::remove_dir_all(&copies)?;
    }
    fs::create_dir(&copies)?;
    let mut number = 0;
    // Copied, so that a build of the UI beside this one takes nothing away from the compiler.
    let mut kept = |path: PathBuf| -> io::Result<String> {
        if !path.is_file() {
            return Ok("None".to_owned());
        }
        number += 1;
        let copy = copies.join(number.to_string());
        fs::copy(&path, &copy)?;
        Ok(format!("Some(include_bytes!({copy:?}))"))
    };
    let mut code = String::from("pub(super) static FILES: &[File] = &[\n");
    for file in &files {
        let Ok(name) = file.strip_prefix(&app) else { continue };
        let mut coded = |ending: &str| {
            let mut path = file.clone().into_os_string();
            path.push(ending);
            kept(PathBuf::from(path))
        };
        let (plain, brotli, gzip) = (coded("")?, coded(".br")?, coded(".gz")?);
        let line = format!("{{ name: {name:?}, plain: {plain}, brotli: {brotli}, gzip: {gzip} }}");
        writeln!(code, "    File {line},").map_err(io::Error::other)?;
    }
    code.push_str("];\n");
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
