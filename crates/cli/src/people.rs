//! Flags of `tributary serve` about people: how they come in, and how much each gets.

use std::{fs::File, io::Read, path::PathBuf};

use appliance::exit::{Ending, Exit};
use clap::Args;
use platform::{GroupRole, Network, NewUsers, Oidc, People, PublicUrl, RateLimit};
use record::Secret;

/// Environment variable with the secret of the client, and one with the name of its file.
const SECRET: &str = "TRIBUTARY_OIDC_CLIENT_SECRET";
const SECRET_FILE: &str = "TRIBUTARY_OIDC_CLIENT_SECRET_FILE";
/// Longest secret that is read from a file, in bytes.
const MAX_SECRET: u64 = 64 * 1024;

#[derive(Args)]
pub(crate) struct PeopleFlags {
    /// Address of the platform as people type it, such as `https://mail.example.com/path`, where a
    /// proxy stands before it.
    #[arg(long, value_name = "URL")]
    public_url: Option<PublicUrl>,
    /// Address or network of a proxy whose `X-Forwarded-For` is believed; several may be given.
    #[arg(long, value_name = "NETWORK")]
    trusted_proxy: Vec<Network>,
    /// Requests a second that one token or session may make in the long run; 0 for no limit.
    #[arg(long, value_name = "NUMBER", default_value = "1000")]
    max_requests_per_second: u32,
    /// Lets people sign in with the OpenID Connect provider that names itself so.
    #[arg(long, value_name = "URL", requires = "oidc_client_id")]
    oidc_issuer: Option<String>,
    /// What the provider calls this platform. Its secret is in the environment:
    /// `TRIBUTARY_OIDC_CLIENT_SECRET`, or `TRIBUTARY_OIDC_CLIENT_SECRET_FILE` with a file; without
    /// one, the client is public.
    #[arg(long, value_name = "ID", requires = "oidc_issuer")]
    oidc_client_id: Option<String>,
    /// What the button says.
    #[arg(long, value_name = "TEXT", default_value = "single sign-on")]
    oidc_name: String,
    /// A scope to ask for beside `openid email profile`; several may be given.
    #[arg(long, value_name = "SCOPE", requires = "oidc_issuer")]
    oidc_scope: Vec<String>,
    /// Only people with verified addresses of this domain come in; several may be given.
    #[arg(long, value_name = "DOMAIN", requires = "oidc_issuer")]
    oidc_allowed_domain: Vec<String>,
    /// Makes users of people from the allowed domains who are none yet, with this role in the
    /// projects that everybody joins. Without it, only who was invited comes in.
    #[arg(long, value_name = "ROLE", requires = "oidc_allowed_domain", value_parser = role)]
    oidc_create_users: Option<String>,
    /// Believes email addresses that the provider does not call verified. Only for a provider
    /// where nobody chooses their own address.
    #[arg(long, requires = "oidc_issuer")]
    oidc_trust_email: bool,
    /// Whoever signs out is signed out here and not at the provider: for one that demands an ID token
    /// for that, such as Okta, or whose session belongs to more than this platform.
    #[arg(long, requires = "oidc_issuer")]
    oidc_local_sign_out: bool,
    /// Claim with the groups of a person.
    #[arg(long, value_name = "NAME", default_value = "groups")]
    oidc_groups_claim: String,
    /// What a group gives: `GROUP=PROJECT:ROLE`, or `GROUP=ROLE` for everywhere; several may be
    /// given.
    #[arg(long, value_name = "GROUP=[PROJECT:]ROLE", requires = "oidc_issuer")]
    oidc_group_role: Vec<GroupRole>,
    /// Certificates to trust beside those of the system when the provider is asked, in PEM form.
    #[arg(long, value_name = "FILE", requires = "oidc_issuer")]
    oidc_ca_file: Option<PathBuf>,
}

fn role(name: &str) -> Result<String, String> {
    let found = platform::role_named(name).filter(|role| role.scope == platform::Scope::Project);
    let none = || "there is no such role of projects; `role-cm-viewer` is one".to_owned();
    found.map(|role| role.name.to_owned()).ok_or_else(none)
}

/// The secret of the client, from the environment or from a file that it names.
fn secret(read: &dyn Fn(&str) -> Option<String>) -> Result<Option<Secret>, Ending> {
    let wrong = |message: String| Ending::new(Exit::Config, message);
    match (read(SECRET), read(SECRET_FILE)) {
        (Some(_), Some(_)) => {
            Err(wrong(format!("`{SECRET}` and `{SECRET_FILE}` are both set; keep one of them")))
        }
        (Some(secret), None) => Ok(Some(Secret::from(secret))),
        (None, Some(path)) => {
            let mut text = String::new();
            let file = File::open(&path).map(|file| file.take(MAX_SECRET));
            file.and_then(|mut file| file.read_to_string(&mut text)).map_err(|err| {
                wrong(format!("could not read `{path}` of `{SECRET_FILE}`: {err}"))
            })?;
            let secret = text.trim_end_matches(['\r', '\n']);
            if secret.is_empty() {
                return Err(wrong(format!("the file `{path}` of `{SECRET_FILE}` is empty")));
            }
            Ok(Some(Secret::from(secret)))
        }
        (None, None) => Ok(None),
    }
}

impl PeopleFlags {
    /// The address that was given.
    pub(crate) fn public_url(&self) -> Option<&PublicUrl> {
        self.public_url.as_ref()
    }

    /// The settings, with secrets from the environment that `read` reads.
    pub(crate) fn settings(&self, read: &dyn Fn(&str) -> Option<String>) -> Result<People, Ending> {
        let oidc = match (&self.oidc_issuer, &self.oidc_client_id) {
            (Some(issuer), Some(client_id)) => Some(Oidc {
                issuer: issuer.clone(),
                client_id: client_id.clone(),
                client_secret: secret(read)?,
                name: self.oidc_name.clone(),
                scopes: self.oidc_scope.clone(),
                allowed_domains: self.oidc_allowed_domain.clone(),
                new_users: match &self.oidc_create_users {
                    Some(role) => NewUsers::Created { role: role.clone() },
                    None => NewUsers::Refused,
                },
                trust_email: self.oidc_trust_email,
                local_sign_out: self.oidc_local_sign_out,
                groups_claim: self.oidc_groups_claim.clone(),
                group_roles: self.oidc_group_role.clone(),
                ca_file: self.oidc_ca_file.clone(),
            }),
            _ => None,
        };
        let per_second = self.max_requests_per_second;
        let defaults = RateLimit::default();
        let burst = per_second.saturating_mul(defaults.burst / defaults.per_second);
        Ok(People {
            public_url: self.public_url.clone(),
            trusted_proxies: self.trusted_proxy.clone(),
            rate: RateLimit { per_second, burst, ..defaults },
            oidc,
            ..People::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        flags: PeopleFlags,
    }

    const PROVIDER: [&str; 5] =
        ["serve", "--oidc-issuer", "https://login.example.com", "--oidc-client-id", "own"];

    fn parse(more: &[&str]) -> Result<PeopleFlags, String> {
        let all = PROVIDER.iter().chain(more);
        Only::try_parse_from(all).map(|only| only.flags).map_err(|err| err.to_string())
    }

    #[test]
    fn only_who_was_invited_comes_in_unless_told_otherwise() {
        let none = |_: &str| None;
        let oidc = parse(&[]).unwrap().settings(&none).unwrap().oidc.unwrap();
        assert_eq!(oidc.new_users, NewUsers::Refused);
        assert!(oidc.client_secret.is_none() && !oidc.trust_email && !oidc.local_sign_out);
        // Everybody whom a provider knows is not to come in by one flag.
        let create = ["--oidc-create-users", "role-cm-viewer"];
        assert!(parse(&create).err().unwrap().contains("--oidc-allowed-domain"));
        let domain = ["--oidc-allowed-domain", "example.com"];
        let oidc =
            parse(&[create, domain].concat()).unwrap().settings(&none).unwrap().oidc.unwrap();
        assert_eq!(oidc.new_users, NewUsers::Created { role: "role-cm-viewer".to_owned() });
        for bad in [
            ["--oidc-create-users", "role-cm-tenant-admin"],
            ["--oidc-group-role", "staff=root"],
            ["--trusted-proxy", "proxy.example.com"],
            ["--public-url", "mail.example.com"],
        ] {
            assert!(parse(&[bad, domain].concat()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_secret_comes_from_the_environment_or_a_file_and_never_from_both() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "of the file\n").unwrap();
        let path = path.to_str().unwrap().to_owned();
        let read = |own: Option<&'static str>, file: Option<String>| {
            secret(&move |name: &str| match name {
                SECRET => own.map(str::to_owned),
                _ => file.clone(),
            })
        };
        assert_eq!(read(None, None).ok().unwrap(), None);
        assert_eq!(read(Some("own"), None).ok().unwrap().unwrap().reveal(), "own");
        let of_file = read(None, Some(path.clone())).ok().unwrap().unwrap();
        assert_eq!(of_file.reveal(), "of the file");
        assert!(read(Some("own"), Some(path.clone())).is_err());
        assert!(read(None, Some(format!("{path}x"))).is_err());
        std::fs::write(&path, "\n").unwrap();
        assert!(read(None, Some(path)).is_err());
    }
}
