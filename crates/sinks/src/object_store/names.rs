//! Which blob is where: the names of the local folder, below a prefix.

use object_store::path::Path;
use objects::Prefix;
use record::{Route, Uid};

use crate::local_files::layout::{bucket_dir, mailbox_dir, route_of};

/// The names below one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names(Prefix);

impl Names {
    pub(crate) fn new(prefix: Prefix) -> Self {
        Self(prefix)
    }

    /// The blob with the emails of `route`, as the start of their names.
    pub(crate) fn data(&self, route: &Route) -> Path {
        self.0.below(&["data", &dirs(route)])
    }

    pub(crate) fn eml(&self, route: &Route, uid: Uid) -> Path {
        self.0.below(&["data", &dirs(route), &format!("{uid}.eml")])
    }

    pub(crate) fn sidecar(&self, route: &Route, uid: Uid) -> Path {
        self.0.below(&["data", &dirs(route), &format!("{uid}.json")])
    }

    pub(crate) fn state(&self, route: &Route, kind: &str) -> Path {
        self.0.below(&["state", &dirs(route), &format!("{kind}.json")])
    }

    pub(crate) fn all_data(&self) -> Path {
        self.0.below(&["data"])
    }

    pub(crate) fn all_state(&self) -> Path {
        self.0.below(&["state"])
    }

    /// What `doctor` writes and leaves behind.
    pub(crate) fn probe(&self) -> Path {
        self.0.below(&["state", "tributary-probe.txt"])
    }

    /// The route and the file name of a state blob; without a route if its name was shortened.
    pub(crate) fn state_of<'a>(&self, path: &'a Path) -> Option<(Option<Route>, &'a str)> {
        let rest = path.as_ref().strip_prefix(self.all_state().as_ref())?.strip_prefix('/')?;
        let mut parts = rest.split('/');
        let (owner, bucket) = (parts.next()?, parts.next()?);
        let (mailbox, file) = (parts.next()?, parts.next()?);
        parts.next().is_none().then(|| (route_of(owner, bucket, mailbox), file))
    }
}

/// The route of a directory of emails, unless its name was shortened.
pub(crate) fn route_of_data(dir: &Path) -> Option<Route> {
    let mut parts = dir.as_ref().rsplit('/');
    let (mailbox, bucket, owner) = (parts.next()?, parts.next()?, parts.next()?);
    route_of(owner, bucket, mailbox)
}

fn dirs(route: &Route) -> String {
    let (owner, name) = (bucket_dir(route.bucket.owner()), bucket_dir(route.bucket.name()));
    format!("{owner}/{name}/{}", mailbox_dir(route.mailbox.as_str()))
}

/// The uid of a blob `…/<uid>.<extension>`.
pub(crate) fn uid_of(path: &Path, extension: &str) -> Option<Uid> {
    path.filename()?.strip_suffix(extension)?.strip_suffix('.')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use record::BucketId;

    use super::*;

    fn route(mailbox: &str) -> Route {
        let bucket = BucketId::new("owner", "bucket").unwrap();
        Route { mailbox: mailbox.parse().unwrap(), bucket }
    }

    #[test]
    fn names_are_those_of_the_local_folder() {
        let uid = "00112233445566778899aabbccddeeff".parse().unwrap();
        for (prefix, start) in [("", ""), ("/a/b c/", "a/b c/")] {
            let names = Names::new(Prefix::new(prefix).unwrap());
            let route = route("jürgen+x@example.com");
            assert_eq!(
                names.eml(&route, uid).as_ref(),
                format!("{start}data/owner/bucket/j%C3%BCrgen+x@example.com/{uid}.eml")
            );
            let state = names.state(&route, "checkpoint");
            assert_eq!(names.state_of(&state), Some((Some(route), "checkpoint.json")));
        }
    }
}
