//! Changes of a remote configuration that would hand the credentials to somebody else.

use url::Url;

use crate::config::{Auth, EgressPolicy, Settings, is_exchange_online, is_graph};

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
    if let Some(told) = other_server(old, new) {
        return Some(told);
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

/// A server that would be given passwords or tokens, and was not before.
fn other_server(old: &Settings, new: &Settings) -> Option<String> {
    let changed = |what: &str, from: Option<&Url>, to: &Url| {
        let from = from.map_or_else(|| "none".to_owned(), origin);
        Some(format!("it changes {what} from `{from}` to `{}`", origin(to)))
    };
    let ews = |settings: &'_ Settings| settings.service.ews().map(|ews| ews.endpoint.clone());
    if let Some(to) = ews(new) {
        let from = ews(old);
        // A mailbox may go back from Graph to EWS: Microsoft's tokens go to Microsoft.
        let goes_back = from.is_none()
            && matches!(new.auth, Auth::OAuth2(_))
            && to.scheme() == "https"
            && to.port().is_none()
            && is_exchange_online(&to);
        if from.as_ref().map(origin) != Some(origin(&to)) && !goes_back {
            return changed("the Exchange server", from.as_ref(), &to);
        }
    }
    let graph = |settings: &'_ Settings| settings.service.graph().map(|it| it.endpoint.clone());
    if let Some(to) = graph(new) {
        let from = graph(old);
        // A mailbox may move from EWS to Graph, for the same reason.
        let moves = from.is_none() && to.scheme() == "https" && is_graph(&to);
        if from.as_ref().map(origin) != Some(origin(&to)) && !moves {
            return changed("the address of Microsoft Graph", from.as_ref(), &to);
        }
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

    fn over(api: &str) -> Value {
        let mut config = oauth();
        config["ews_endpoint"] = json!("https://outlook.office365.com/EWS/Exchange.asmx");
        config["microsoft_api"] = json!(api);
        config
    }

    #[test]
    fn a_mailbox_may_move_between_the_two_interfaces_of_microsoft() {
        for from in ["ews", "graph", "auto"] {
            for to in ["ews", "graph", "auto"] {
                let told = redirection(&parse(&over(from)), &parse(&over(to)));
                assert_eq!(told, None, "{from} to {to}");
            }
        }
    }

    #[test]
    fn no_token_follows_a_move_to_another_address() {
        let elsewhere = json!("https://graph.example.net/v1.0");
        for from in ["ews", "graph", "auto"] {
            for to in ["graph", "auto"] {
                let mut new = over(to);
                new["graph_endpoint"] = elsewhere.clone();
                let told = redirection(&parse(&over(from)), &parse(&new)).unwrap();
                assert!(told.contains("graph.example.net"), "{told}");
            }
        }
        for port in ["https://graph.microsoft.com:8443/v1.0", "http://127.0.0.1:8443/v1.0"] {
            let told = judge(&over("graph"), "graph_endpoint", json!(port));
            assert!(told.is_some(), "{port}");
        }
        let mut back = over("ews");
        back["ews_endpoint"] = json!("https://mail.example.net/EWS/Exchange.asmx");
        let told = redirection(&parse(&over("graph")), &parse(&back)).unwrap();
        assert!(told.contains("mail.example.net"), "{told}");
        // The password may be known to the environment.
        let mut back = ntlm();
        back["ews_endpoint"] = json!("https://outlook.office365.com/EWS/Exchange.asmx");
        assert!(redirection(&parse(&over("graph")), &parse(&back)).is_some());
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
