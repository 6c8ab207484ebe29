//! The server's side of an NTLM sign-in, for a scripted server.

use std::collections::{HashMap, HashSet};

use base64::{Engine, prelude::BASE64_STANDARD};
use net::ntlm::{Acceptor, Binding, Pending};
use record::Secret;

use crate::server::{Reply, Request, reply};

/// Checks sign-ins by connection, as IIS does.
pub(crate) struct Desk {
    pub(crate) password: &'static str,
    /// What a sign-in may present.
    pub(crate) binding_is_good: Box<dyn Fn(Binding) -> bool + Send>,
    /// Sign-ins that came with a proof, good or bad.
    pub(crate) proofs: usize,
    pending: HashMap<usize, Pending>,
    signed_in: HashSet<usize>,
}

impl Desk {
    pub(crate) fn new(password: &'static str) -> Self {
        Self {
            password,
            binding_is_good: Box::new(|_| true),
            proofs: 0,
            pending: HashMap::new(),
            signed_in: HashSet::new(),
        }
    }

    /// `None` if the request comes from somebody who is signed in.
    pub(crate) fn refuse(&mut self, request: &Request) -> Option<Reply> {
        let header = request.header("authorization").and_then(|value| value.strip_prefix("NTLM "));
        let Some(message) = header.map(|value| BASE64_STANDARD.decode(value).unwrap()) else {
            let known = self.signed_in.contains(&request.connection);
            return (!known).then(refusal);
        };
        self.signed_in.remove(&request.connection);
        if message[8] == 1 {
            let acceptor = Acceptor {
                domain: "EXAMPLE".into(),
                computer: "MAIL".into(),
                host: "mail.example.com".into(),
            };
            let pending = acceptor.challenge(&message, [3; 8], 132_000_000_000_000_000).unwrap();
            let challenge = BASE64_STANDARD.encode(pending.challenge());
            self.pending.insert(request.connection, pending);
            return Some(reply("401 No", &[&format!("WWW-Authenticate: NTLM {challenge}")], ""));
        }
        self.proofs += 1;
        let pending = self.pending.remove(&request.connection).expect("a challenge was issued");
        let accepted = pending.verify(&message, |_| Some(Secret::from(self.password)));
        match accepted {
            Ok(accepted) if (self.binding_is_good)(accepted.binding) => {
                self.signed_in.insert(request.connection);
                None
            }
            _ => Some(refusal()),
        }
    }

    /// Forgets who is signed in on `connection`.
    pub(crate) fn forget(&mut self, connection: usize) {
        self.signed_in.remove(&connection);
    }
}

fn refusal() -> Reply {
    reply("401 No", &["WWW-Authenticate: Negotiate", "WWW-Authenticate: NTLM"], "go away")
}
