//! What the path of a request stands for.

use hyper::Method;
use percent_encoding::percent_decode_str;

use super::{super::log::Op, error::Refusal};

/// The resource of a mailbox that a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// The folders below one, or those at the top.
    Folders {
        below: Option<String>,
    },
    FoldersDelta,
    Folder(String),
    Messages {
        folder: Option<String>,
    },
    MessagesDelta(String),
    Message {
        folder: Option<String>,
        id: String,
    },
    Value {
        folder: Option<String>,
        id: String,
    },
    TranslateIds,
}

impl Resource {
    pub(crate) fn op(&self) -> Op {
        match self {
            Self::Folders { .. } => Op::MailFolders,
            Self::FoldersDelta => Op::FoldersDelta,
            Self::Folder(_) => Op::MailFolder,
            Self::Messages { .. } => Op::Messages,
            Self::MessagesDelta(_) => Op::MessagesDelta,
            Self::Message { .. } => Op::Message,
            Self::Value { .. } => Op::MessageValue,
            Self::TranslateIds => Op::TranslateIds,
        }
    }

    /// The folder that the path names.
    pub(crate) fn folder(&self) -> Option<&str> {
        match self {
            Self::Folders { below: folder }
            | Self::Messages { folder }
            | Self::Message { folder, .. }
            | Self::Value { folder, .. } => folder.as_deref(),
            Self::Folder(folder) | Self::MessagesDelta(folder) => Some(folder),
            Self::FoldersDelta | Self::TranslateIds => None,
        }
    }

    /// The message that the path names.
    pub(crate) fn item(&self) -> Option<&str> {
        match self {
            Self::Message { id, .. } | Self::Value { id, .. } => Some(id),
            _ => None,
        }
    }
}

/// The user in a path, and what is asked of the mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// As it stands there, decoded.
    pub(crate) user: String,
    pub(crate) resource: Resource,
}

impl Route {
    /// Reads a path below `/v1.0`.
    ///
    /// # Errors
    ///
    /// There is no such path, or not for this method.
    pub(crate) fn read(method: &Method, path: &str) -> Result<Self, Refusal> {
        let segments = segments(path)?;
        let mut segments = segments.iter().map(String::as_str);
        let unknown =
            |name: &str| Refusal::bad(format!("Resource not found for the segment '{name}'."));
        match segments.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "users" => {}
            "me" => {
                return Err(Refusal::bad(
                    "/me request is only valid with delegated authentication flow.",
                ));
            }
            other => return Err(unknown(other)),
        }
        let user = segments.next().ok_or_else(|| unknown("users"))?.to_owned();
        let rest: Vec<&str> = segments.collect();
        let lower: Vec<String> = rest.iter().map(|segment| function(segment)).collect();
        let names: Vec<&str> = lower.iter().map(String::as_str).collect();
        let text = |at: usize| rest.get(at).copied().unwrap_or_default().to_owned();
        let resource = match names.as_slice() {
            ["mailfolders"] => Resource::Folders { below: None },
            ["mailfolders", "delta"] => Resource::FoldersDelta,
            ["mailfolders", _] => Resource::Folder(text(1)),
            ["mailfolders", _, "childfolders"] => Resource::Folders { below: Some(text(1)) },
            ["mailfolders", _, "messages"] => Resource::Messages { folder: Some(text(1)) },
            ["mailfolders", _, "messages", "delta"] => Resource::MessagesDelta(text(1)),
            ["mailfolders", _, "messages", _] => {
                Resource::Message { folder: Some(text(1)), id: text(3) }
            }
            ["mailfolders", _, "messages", _, "$value"] => {
                Resource::Value { folder: Some(text(1)), id: text(3) }
            }
            ["messages"] => Resource::Messages { folder: None },
            ["messages", _] => Resource::Message { folder: None, id: text(1) },
            ["messages", _, "$value"] => Resource::Value { folder: None, id: text(1) },
            ["translateexchangeids"] => Resource::TranslateIds,
            _ => return Err(unknown(rest.last().copied().unwrap_or("users"))),
        };
        let wanted = if resource == Resource::TranslateIds { Method::POST } else { Method::GET };
        if *method != wanted {
            return Err(Refusal::new(
                405,
                "Request_BadRequest",
                "Specified HTTP method is not allowed for the request target.",
            ));
        }
        Ok(Self { user, resource })
    }
}

/// A name of a path in lower case, as functions are called in short.
fn function(segment: &str) -> String {
    let name = segment.to_ascii_lowercase();
    let name = name.strip_suffix("()").unwrap_or(&name);
    name.strip_prefix("microsoft.graph.").unwrap_or(name).to_owned()
}

/// The decoded segments of a path; `mailFolders('id')` is two.
fn segments(path: &str) -> Result<Vec<String>, Refusal> {
    let mut segments = Vec::new();
    for raw in path.split('/').filter(|segment| !segment.is_empty()) {
        let segment = percent_decode_str(raw)
            .decode_utf8()
            .map_err(|_| Refusal::bad("The path is no UTF-8."))?
            .into_owned();
        match segment.split_once("('") {
            Some((name, key)) if !name.is_empty() => {
                let key = key
                    .strip_suffix("')")
                    .ok_or_else(|| Refusal::bad("The key of a segment does not end."))?;
                segments.extend([name.to_owned(), key.replace("''", "'")]);
            }
            _ => segments.push(segment),
        }
    }
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Result<Route, Refusal> {
        Route::read(&Method::GET, path)
    }

    #[test]
    fn reads_every_spelling_of_a_path() {
        let user = "abc@example.com".to_owned();
        let delta = Route { user, resource: Resource::MessagesDelta("AAMk-_=".to_owned()) };
        for path in [
            "/users/abc@example.com/mailFolders/AAMk-_=/messages/delta",
            "/users/abc%40example.com/mailfolders/AAMk-_%3D/messages/delta()",
            "/users('abc%40example.com')/mailFolders('AAMk-_=')/messages/microsoft.graph.delta()",
        ] {
            assert_eq!(read(path), Ok(delta.clone()), "{path}");
        }
        let value = read("/users/u/messages/M/$value").unwrap();
        assert_eq!(value.resource, Resource::Value { folder: None, id: "M".to_owned() });
    }

    #[test]
    fn refuses_what_is_not_there_and_the_wrong_method() {
        assert_eq!(read("/users/u/mailbox").unwrap_err().status, 400);
        assert_eq!(read("/me/messages").unwrap_err().status, 400);
        let refused = Route::read(&Method::DELETE, "/users/u/messages/M").unwrap_err();
        assert_eq!(refused.status, 405);
        assert_eq!(read("/users/u/translateExchangeIds").unwrap_err().status, 405);
    }
}
