//! Changes of a remote configuration that would hand the credentials to somebody else.

use url::Url;

use crate::config::{Auth, EgressPolicy, Settings};

/// Tells what of `new` may make the credentials of `old` go to another party; `None` if nothing
/// does.
///
/// Whoever can write the remote configuration must not be able to redirect the credentials of the
/// mailboxes, which need not stand in it. So this is refused unless the operator of this process
/// has allowed it.
pub fn redirection(old: &Settings, new: &Settings) -> Option<String> {
    let changed = |what: &str, from: &str, to: &str| {
        Some(format!("it changes {what} from `{from}` to `{to}`"))
    };
    let (from, to) = (&old.server.endpoint, &new.server.endpoint);
    if origin(from) != origin(to) {
        return changed("the Exchange server", &origin(from), &origin(to));
    }
    if let Auth::OAuth2(after) = &new.auth {
        match &old.auth {
            Auth::OAuth2(before) if before.token_url == after.token_url => {}
            Auth::OAuth2(before) => {
                let (from, to) = (before.token_url.as_str(), after.token_url.as_str());
                return changed("the token endpoint", from, to);
            }
            // Otherwise two harmless looking steps would lead to any endpoint.
            Auth::Ntlm { .. } | Auth::Basic { .. } => {
                return Some(format!("it adds the token endpoint `{}`", after.token_url));
            }
        }
    }
    let scheme = |auth: &Auth| match auth {
        Auth::Ntlm { .. } => "ntlm",
        Auth::Basic { .. } => "basic",
        Auth::OAuth2(_) => "oauth2",
    };
    // The password itself goes over the wire with `basic` only.
    if scheme(&old.auth) != scheme(&new.auth) && scheme(&new.auth) == "basic" {
        return changed("`auth_type`", scheme(&old.auth), "basic");
    }
    if old.tls.verify && !new.tls.verify {
        return changed("`ews_ssl_verify`", "true", "false");
    }
    if old.tls.ca_file != new.tls.ca_file {
        return Some("it changes which certificate authorities are trusted".to_owned());
    }
    if old.tls.ciphers != new.tls.ciphers {
        return Some("it changes `ews_ssl_ciphers`, which can switch verification off".to_owned());
    }
    if old.tls.channel_binding != new.tls.channel_binding {
        return Some("it changes `ews_channel_binding`".to_owned());
    }
    if strictness(new.egress_policy) < strictness(old.egress_policy) {
        return Some("it allows connections to more networks".to_owned());
    }
    None
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn strictness(policy: EgressPolicy) -> u8 {
    match policy {
        EgressPolicy::Off => 0,
        EgressPolicy::Metadata => 1,
        EgressPolicy::Private => 2,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{config, environment::Environment};

    fn ntlm() -> Value {
        json!({
            "ews_endpoint": "https://mail.example.com/EWS/Exchange.asmx",
            "auth_type": "ntlm", "auth_user": "svc@example.com", "auth_password": "p",
            "mailboxes": {"abc@example.com": {"bucket": {"owner": "o", "name": "b"}}},
        })
    }

    fn oauth() -> Value {
        json!({
            "ews_endpoint": "https://mail.example.com/EWS/Exchange.asmx",
            "auth_type": "oauth2", "auth_oauth_authority": "https://login.example.com/t/",
            "auth_oauth_client_id": "c", "auth_oauth_client_secret": "s",
            "access_type": "impersonation",
            "mailboxes": {"abc@example.com": {"bucket": {"owner": "o", "name": "b"}}},
        })
    }

    fn parse(config: &Value) -> Settings {
        let text = config.to_string();
        config::parse(text.as_bytes(), "test", &Environment::default()).unwrap()
    }

    /// What `config` with `key` set to `value` is told.
    fn judge(config: &Value, key: &str, value: Value) -> Option<String> {
        let mut changed = config.clone();
        changed[key] = value;
        redirection(&parse(config), &parse(&changed))
    }

    #[test]
    fn everything_that_leads_credentials_elsewhere_is_noticed() {
        for (key, value) in [
            ("ews_endpoint", json!("https://evil.example.net/EWS/Exchange.asmx")),
            ("ews_endpoint", json!("https://mail.example.com:8443/EWS/Exchange.asmx")),
            ("auth_type", json!("basic")),
            ("ews_ssl_verify", json!("false")),
            ("ews_ca_file", json!("/tmp/ca.pem")),
            ("egress_policy", json!("off")),
            ("ews_ssl_ciphers", json!("aNULL")),
            ("ews_channel_binding", json!("off")),
        ] {
            assert!(judge(&ntlm(), key, value.clone()).is_some(), "{key} {value} is let through");
        }
        let authority = json!("https://login.example.net/t/");
        let told = judge(&oauth(), "auth_oauth_authority", authority).unwrap();
        assert!(told.contains("login.example.net"), "{told}");
        let told = redirection(&parse(&ntlm()), &parse(&oauth())).unwrap();
        assert!(told.contains("login.example.com"), "{told}");
    }

    #[test]
    fn other_changes_pass() {
        for (key, value) in [
            ("poll_frequency", json!(60)),
            ("auth_password", json!("another")),
            ("ews_endpoint", json!("https://mail.example.com/ews/exchange.asmx")),
            ("egress_policy", json!("private")),
        ] {
            assert_eq!(judge(&ntlm(), key, value.clone()), None, "{key} {value}");
        }
    }
}
