//! From a method and a path to an operation.

use hyper::Method;
use percent_encoding::percent_decode_str;

use super::{log::Op, refusal::Refusal};

/// A bucket, as a path names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BucketName {
    Id(String),
    /// `owner/name`
    Full(String),
}

impl BucketName {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Id(id) => format!("id:{id}"),
            Self::Full(name) => name.clone(),
        }
    }
}

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) op: Op,
    pub(crate) bucket: Option<BucketName>,
    /// Owner of what is listed, or of a configuration; name of a project.
    pub(crate) owner: Option<String>,
    /// Key of a state or of a configuration.
    pub(crate) key: Option<String>,
}

impl Route {
    /// A path that leads nowhere.
    pub(crate) const NOWHERE: Self = Self { op: Op::Other, bucket: None, owner: None, key: None };

    fn new(op: Op) -> Self {
        Self { op, ..Self::NOWHERE }
    }

    fn bucket(op: Op, bucket: BucketName) -> Self {
        Self { bucket: Some(bucket), ..Self::new(op) }
    }
}

/// The parts of a path. Slashes that follow one another are one, and an encoded slash is a slash:
/// clients write `owner%2Fname`, others `owner/name`, and some a slash too many.
pub(crate) fn parts(path: &str) -> Vec<String> {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    decoded.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Finds the operation; the refusal is 404 for an unknown path and 405 for a wrong method.
pub(crate) fn route(method: &Method, path: &str, base: &str) -> Result<Route, Refusal> {
    let parts = parts(path);
    let base = self::parts(base);
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let nowhere = || Refusal::not_found(format_args!("the path `{path}`"));
    let rest = base.iter().try_fold(parts.as_slice(), |rest, own| {
        rest.split_first().filter(|(first, _)| *first == own).map(|(_, rest)| rest)
    });
    let found = match rest.ok_or_else(nowhere)? {
        ["auth", "user"] => by(method, &[(Method::GET, Op::CurrentUser)]),
        ["auth", "refresh-user-permissions"] => {
            by(method, &[(Method::POST, Op::RefreshPermissions)])
        }
        ["api", "_private" | "v1", "projects"] => by(method, &[(Method::GET, Op::ListProjects)]),
        ["api", "_private", "projects", name] => by(
            method,
            &[
                (Method::GET, Op::GetProject),
                (Method::PUT, Op::CreateProject),
                (Method::POST, Op::UpdateProject),
                (Method::DELETE, Op::DeleteProject),
            ],
        )
        .map(|route| Route { owner: Some((*name).to_owned()), ..route }),
        ["api", "_private" | "v1", "appliance-configs", owner, key] => {
            by(method, &[(Method::GET, Op::GetConfig), (Method::PUT, Op::PutConfig)]).map(|route| {
                Route { owner: Some((*owner).to_owned()), key: Some((*key).to_owned()), ..route }
            })
        }
        ["api", "_private", "bucket-sync-state", owner, name] => {
            by(method, &[(Method::GET, Op::GetSyncState), (Method::PUT, Op::PutSyncState)])
                .map(|route| Route::bucket(route.op, BucketName::Full(format!("{owner}/{name}"))))
        }
        ["api", "_private", "buckets"] => by(method, &[(Method::GET, Op::ListBuckets)]),
        ["api", "_private", "buckets", rest @ ..] => match rest {
            [first, rest @ ..] if first.starts_with("id:") => {
                let id = first.trim_start_matches("id:").to_owned();
                in_bucket(method, BucketName::Id(id), rest)
            }
            [owner] => by(method, &[(Method::GET, Op::ListBuckets)])
                .map(|route| Route { owner: Some((*owner).to_owned()), ..route }),
            [owner, name, rest @ ..] => {
                in_bucket(method, BucketName::Full(format!("{owner}/{name}")), rest)
            }
            [] => Err(None),
        },
        _ => Err(None),
    };
    found.map_err(|refusal| refusal.unwrap_or_else(nowhere))
}

/// No refusal: the path is unknown.
type Found = Result<Route, Option<Refusal>>;

fn in_bucket(method: &Method, bucket: BucketName, rest: &[&str]) -> Found {
    let mut key = None;
    let found = match rest {
        [] => by(
            method,
            &[
                (Method::GET, Op::GetBucket),
                (Method::PUT, Op::CreateBucket),
                (Method::POST, Op::UpdateBucket),
                (Method::DELETE, Op::DeleteBucket),
            ],
        ),
        ["statistics"] => by(method, &[(Method::GET, Op::BucketStatistics)]),
        ["emails"] => by(
            method,
            &[
                (Method::PUT, Op::PutEmails),
                (Method::POST, Op::ListEmails),
                (Method::GET, Op::GetEmail),
                (Method::DELETE, Op::DeleteEmails),
            ],
        ),
        ["emails", "query"] => by(method, &[(Method::POST, Op::QueryEmails)]),
        ["keyed-sync-states"] => by(method, &[(Method::GET, Op::ListKeyedSyncStates)]),
        ["keyed-sync-state-ids"] => by(method, &[(Method::POST, Op::KeyedSyncStateIds)]),
        ["keyed-sync-state", own] => {
            key = Some((*own).to_owned());
            by(
                method,
                &[
                    (Method::GET, Op::GetKeyedSyncState),
                    (Method::PUT, Op::PutKeyedSyncState),
                    (Method::DELETE, Op::DeleteKeyedSyncState),
                ],
            )
        }
        _ => Err(None),
    };
    found.map(|route| Route { bucket: Some(bucket), key, ..route })
}

fn by(method: &Method, known: &[(Method, Op)]) -> Found {
    match known.iter().find(|(own, _)| own == method) {
        Some((_, op)) => Ok(Route::new(*op)),
        None => Err(Some(Refusal::new(
            hyper::StatusCode::METHOD_NOT_ALLOWED,
            format!("this path does not know the method {method}"),
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn get(path: &str) -> Route {
        route(&Method::GET, path, "/org/reinfer_/").unwrap()
    }

    #[test]
    fn one_encoded_part_two_parts_and_slashes_too_many_are_the_same() {
        let expected = Route::bucket(Op::GetBucket, BucketName::Full("proj/bkt".to_owned()));
        for path in [
            "/org/reinfer_/api/_private/buckets/proj%2Fbkt",
            "/org/reinfer_/api/_private/buckets/proj/bkt",
            "//org/reinfer_//api/_private/buckets/proj%2fbkt/",
        ] {
            assert_eq!(get(path), expected, "{path}");
        }
        let states = get("/org/reinfer_/api/_private/buckets/id:00aa/keyed-sync-states%2F");
        let id = BucketName::Id("00aa".to_owned());
        assert_eq!(states, Route::bucket(Op::ListKeyedSyncStates, id));
    }

    #[test]
    fn unknown_paths_and_methods_are_told_apart() {
        let status = |method, path| route(&method, path, "").unwrap_err().status.unwrap();
        assert_eq!(status(Method::GET, "/api/_private/nothing"), 404);
        assert_eq!(status(Method::PATCH, "/auth/user"), 405);
        assert!(route(&Method::GET, "/auth/user", "/org").is_err());
    }
}
