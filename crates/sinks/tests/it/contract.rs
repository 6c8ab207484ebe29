//! The local folder passes the contract of all sinks.

use std::fs;

use record::{Route, Sink, Uid};
use sinks::local_files::LocalFiles;
use tempfile::TempDir;
use testkit::{sink_contract, sink_contract::SinkUnderTest};

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl SinkUnderTest for Folder {
    fn open(&self) -> Box<dyn Sink> {
        Box::new(LocalFiles::open(self.0.path()).unwrap())
    }

    fn copies(&self, route: &Route) -> Vec<(Uid, Vec<u8>)> {
        let folder = LocalFiles::open_read_only(self.0.path()).unwrap();
        let files = folder.stored(route).unwrap();
        files.map(|stored| (stored.uid, fs::read(stored.eml).unwrap())).collect()
    }

    fn damage_checkpoint(&self, route: &Route) -> bool {
        let path = self.0.path().join(format!(
            "state/{}/{}/{}/checkpoint.json",
            route.bucket.owner(),
            route.bucket.name(),
            route.mailbox
        ));
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        true
    }
}

sink_contract!(local_files, Folder::new());
