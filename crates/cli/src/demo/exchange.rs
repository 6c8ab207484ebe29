//! The simulated Exchange of the demo, and the configuration with which an appliance reads it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use appliance::{
    config::{self, Settings},
    environment::Environment,
    exit::Ending,
};
use record::{Clock, clock::SystemClock};
use serde_json::{Value, json};
use simulators::{
    exchange::{Auth, ChannelBinding, Exchange, Options},
    generate::{self, Plan},
    load,
};

use super::{Api, BUCKET, Demo, OWNER, failed};

pub(super) async fn start(demo: &Demo) -> Result<Exchange, Ending> {
    let options = Options { auth: Auth::ntlm(ChannelBinding::Require), ..Options::default() };
    let server = Exchange::start(options)
        .await
        .map_err(|err| failed("could not start the simulated Exchange", err))?;
    let now = SystemClock.now();
    if let Some(path) = &demo.mail {
        let address = "you@example.com";
        server.add_mailbox(address);
        let what = format!("could not read mail from `{}`", path.display());
        let failed = |err| failed(&what, format!("{err:#}"));
        let found = load::search(path).map_err(failed)?;
        load::fill(&server, &[address.to_owned()], found.messages).map_err(failed)?;
        return Ok(server);
    }
    for number in 0..demo.mailboxes {
        let address = format!("mailbox-{}@example.com", number + 1);
        server.add_mailbox(&address);
        let share =
            demo.messages / demo.mailboxes + u64::from(number < demo.messages % demo.mailboxes);
        let plan = Plan {
            seed: demo.seed.wrapping_add(number),
            messages: share,
            size: None,
            until: now,
            with_other_items: true,
        };
        generate::fill(&server, &address, &plan)
            .map_err(|err| failed("could not generate mail", format!("{err:#}")))?;
    }
    Ok(server)
}

/// Writes the configuration that the appliance reads, where an operator would put it.
pub(super) fn configure(
    server: &Exchange,
    api: Api,
    into: &Path,
) -> Result<(PathBuf, Settings), Ending> {
    let folder = into.join("config").join(OWNER);
    let write = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, content).map_err(|err| failed(&path.display().to_string(), err))?;
        Ok::<PathBuf, Ending>(path)
    };
    fs::create_dir_all(&folder).map_err(|err| failed(&folder.display().to_string(), err))?;
    let ca = write("ca.pem", server.ca_pem())?;
    let mailboxes: serde_json::Map<String, serde_json::Value> = server
        .mailboxes()
        .into_iter()
        .map(|address| (address, json!({"bucket": {"owner": OWNER, "name": BUCKET}})))
        .collect();
    let sign_in = match api {
        Api::Ews => json!({
            "ews_endpoint": server.ews_url(),
            "auth_type": "ntlm",
            "auth_user": Options::USER,
            "auth_password": Options::PASSWORD,
        }),
        Api::Graph => json!({
            "microsoft_api": "graph",
            "graph_endpoint": server.graph_url(),
            "auth_oauth_authority": server.authority_url(),
            "auth_oauth_client_id": Options::CLIENT_ID,
            "auth_oauth_client_secret": Options::CLIENT_SECRET,
            // Whoever watches wants to see each new email.
            "idle_poll_limit": 2,
        }),
    };
    let others = json!({"ews_ca_file": ca, "poll_frequency": 2, "mailboxes": mailboxes});
    let keys = [sign_in, others].into_iter().filter_map(|keys| match keys {
        Value::Object(keys) => Some(keys),
        _ => None,
    });
    let config = Value::Object(keys.flatten().collect());
    let text = format!("{config:#}\n");
    let path = write("exchange.json", text.as_bytes())?;
    let settings = config::parse(text.as_bytes(), OWNER, &Environment::default());
    Ok((path, settings.map_err(|err| Ending::config(&err))?))
}
