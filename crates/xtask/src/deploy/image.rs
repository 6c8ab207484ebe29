//! The container image: its files, and the archive around them.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{folder, make, make_empty, output, products, run_quiet, sbom, utf8, write};
use crate::{LIKE_TESTS, build_debug, cargo, programs, root, run, target_dir};

/// The user that the image runs as.
pub(super) const USER: u32 = 65532;

/// Certificates of public authorities, from Debian's package `ca-certificates`.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Libraries of this machine that become part of the program, by the folder of their license.
const LINKED: [&str; 2] = ["libc6", "libssl-dev"];

/// How the program is compiled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    /// As the tests have it already: only linking is left to do.
    Dev,
    /// As it is shipped. Takes minutes.
    Release,
}

/// `cargo xtask image`, or `cargo xtask image root FOLDER`
pub(crate) fn command(args: &[String]) -> Result<()> {
    match args {
        [] => {
            programs::need_for_deployment()?;
            let archive = build(Profile::Release, &products().join("image"))?;
            println!("Image: {}", archive.display());
            println!("Components: {}", products().join("image/tributary.cdx.json").display());
            Ok(())
        }
        [root, path] if root == "root" => {
            programs::need_libraries()?;
            assemble(Profile::Release, Path::new(path))
        }
        _ => bail!("unknown arguments; allowed: none, or `root FOLDER`"),
    }
}

/// Builds the image in `work` and returns the archive, which `docker load`, `podman load` and
/// `skopeo copy oci-archive:…` read.
pub(super) fn build(profile: Profile, work: &Path) -> Result<PathBuf> {
    make_empty(work)?;
    let context = work.join("context");
    assemble(profile, &context.join("root"))?;
    let components = context.join("root/usr/share/doc/tributary/components.cdx.json");
    fs::copy(components, work.join("tributary.cdx.json")).context("no list of components")?;
    pack(&context, work)
}

/// Puts the image around the files in `context/root`.
fn pack(context: &Path, work: &Path) -> Result<PathBuf> {
    let name = format!("localhost/tributary:{}", env!("CARGO_PKG_VERSION"));
    let archive = work.join("tributary.oci.tar");
    // No daemon, no kernel features: works as root in a container too.
    buildah(work, &["bud", "--isolation", "chroot", "--timestamp", "0", "--layers=false"])
        .args(["--pull-never", "--quiet", "--target", "prebuilt", "--tag", &name, "--label"])
        .arg(format!("org.opencontainers.image.version={}", env!("CARGO_PKG_VERSION")))
        .arg("--file")
        .arg(folder().join("Dockerfile"))
        .arg(context)
        .pipe(run_quiet)?;
    let to = format!("oci-archive:{}:{name}", utf8(&archive)?);
    buildah(work, &["push", "--quiet", &name, &to]).pipe(run_quiet)?;
    Ok(archive)
}

/// Buildah with a storage of its own below `work`.
fn buildah(work: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("buildah");
    command.args(["--storage-driver", "vfs", "--root"]).arg(work.join("storage"));
    command.arg("--runroot").arg(work.join("run"));
    // A policy for pulled images must exist, though none is pulled.
    let policy = folder().join("tools/policy.json");
    command
        .args(args.first())
        .arg("--signature-policy")
        .arg(policy)
        .args(args.get(1..).unwrap_or_default());
    command
}

trait Pipe: Sized {
    fn pipe<T>(&mut self, then: impl FnOnce(&mut Self) -> T) -> T {
        then(self)
    }
}

impl Pipe for Command {}

/// Everything that is in the image.
fn assemble(profile: Profile, to: &Path) -> Result<()> {
    let program = link(profile)?;
    make_empty(to)?;
    for folder in ["usr/bin", "usr/share/doc/tributary", "etc/ssl/certs", "tmp"] {
        make(&to.join(folder))?;
    }
    mode(&to.join("tmp"), 0o1777)?;
    copy(&program, &to.join("usr/bin/tributary"), 0o755)?;
    // Put the tests' own program back: the same file name, linked in the ordinary way.
    if profile == Profile::Dev {
        build_debug()?;
    }
    symlink("tributary", to.join("usr/bin/reinfer-ews")).context("could not link reinfer-ews")?;
    copy(Path::new(CERTIFICATES), &to.join("etc/ssl/certs/ca-certificates.crt"), 0o644)
        .context("install the package ca-certificates")?;
    // Some libraries and `kubectl exec` want to know the user's name.
    write(&to.join("etc/passwd"), format!("nonroot:x:{USER}:{USER}::/:/nologin\n"))?;
    write(&to.join("etc/group"), format!("nonroot:x:{USER}:\n"))?;
    // Without it, glibc asks DNS before it looks into /etc/hosts.
    write(&to.join("etc/nsswitch.conf"), "hosts: files dns\n")?;
    let doc = to.join("usr/share/doc/tributary");
    copy(&root().join("LICENSE"), &doc.join("LICENSE"), 0o644)?;
    for package in LINKED {
        let license = Path::new("/usr/share/doc").join(package).join("copyright");
        copy(&license, &doc.join(format!("{package}.copyright")), 0o644)?;
    }
    write(&doc.join("components.cdx.json"), sbom::describe(&LINKED)?)
}

/// Links the program with everything it needs, so that the image holds no other library.
///
/// Name resolution works nonetheless: since glibc 2.34 the services `files` and `dns` are part of
/// libc itself (GNU C Library 2.34 release notes). The smoke test resolves by both.
fn link(profile: Profile) -> Result<PathBuf> {
    let archives = products().join("static");
    make(&archives)?;
    for name in ["libssl.a", "libcrypto.a"] {
        let found = output(Command::new("cc").arg(format!("-print-file-name={name}")))?;
        let (found, link) = (Path::new(found.trim()), archives.join(name));
        if !found.is_absolute() {
            bail!("no `{name}` on this machine; install the package libssl-dev");
        }
        if !link.exists() {
            symlink(found, &link).with_context(|| format!("could not link `{name}`"))?;
        }
    }
    let mut command = cargo();
    command.args(["rustc", "--quiet", "--package", "cli", "--bin", "tributary"]);
    if profile == Profile::Release {
        // Paths of this machine in messages of panics would make each machine's program another.
        let remap = [(root(), "/source"), (cargo_home()?, "/cargo")];
        let flags: Vec<String> = remap
            .iter()
            .map(|(from, to)| Ok(format!("--remap-path-prefix={}={to}", utf8(from)?)))
            .collect::<Result<_>>()?;
        command.arg("--release").env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    } else {
        command.args(LIKE_TESTS);
    }
    // This folder holds nothing but the archives, and comes first: no shared library is found.
    command
        .args(["--", "-C", "target-feature=+crt-static", "-C", "strip=symbols", "-L"])
        .arg(format!("native={}", archives.display()));
    run(&mut command)?;
    let profile = if profile == Profile::Release { "release" } else { "debug" };
    let program = target_dir().join(profile).join("tributary");
    let told = output(Command::new("ldd").arg(&program))?;
    if !told.contains("statically linked") {
        bail!("`{}` is not static:\n{told}", program.display());
    }
    Ok(program)
}

/// Where cargo keeps the sources of other crates.
fn cargo_home() -> Result<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "cargo is told its folder this way")]
    let (home, user) = (std::env::var_os("CARGO_HOME"), std::env::var_os("HOME"));
    home.map(PathBuf::from)
        .or(user.map(|user| Path::new(&user).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")
}

/// The same files give the same image.
pub(super) fn check_reproducible() -> Result<()> {
    let work = products().join("image");
    let first = build(Profile::Release, &work)?;
    let second = products().join("image-again");
    make_empty(&second)?;
    let again = pack(&work.join("context"), &second)?;
    let (first, again) = (digest(&first)?, digest(&again)?);
    if first != again {
        bail!("the same files gave two images: {first} and {again}");
    }
    println!("image {first}");
    Ok(())
}

/// The digest by which a registry would know the image.
fn digest(archive: &Path) -> Result<String> {
    let index = output(Command::new("tar").arg("-xOf").arg(archive).arg("index.json"))?;
    let index: serde_json::Value = serde_json::from_str(&index).context("index.json")?;
    let digest = index.pointer("/manifests/0/digest").and_then(serde_json::Value::as_str);
    Ok(digest.context("the archive has no manifest")?.to_owned())
}

fn copy(from: &Path, to: &Path, bits: u32) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("could not copy `{}`", from.display()))?;
    mode(to, bits)
}

fn mode(path: &Path, bits: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(bits))
        .with_context(|| format!("could not set the mode of `{}`", path.display()))
}
