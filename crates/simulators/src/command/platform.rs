//! `tributary simulate platform`: a simulated platform for people.

use std::{io::Write, net::SocketAddr, path::PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use super::write_file;
use crate::platform::{Limits, Options, Platform, Token, Transport};

/// Runs a simulated platform that takes emails, until Ctrl-C. What it holds is in memory.
#[derive(Clone, Debug, Args)]
pub struct PlatformArgs {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub bind: SocketAddr,
    /// API token that is accepted; may be given several times.
    #[arg(long, default_value = Options::TOKEN)]
    pub token: Vec<String>,
    /// Bucket that is there at the start, as owner/name; may be given several times.
    #[arg(long, default_value = Options::BUCKET, value_parser = bucket)]
    pub bucket: Vec<String>,
    /// Configuration of appliances that is there at the start, as owner/key=FILE.
    #[arg(long, value_parser = config)]
    pub config: Vec<(String, String, PathBuf)>,
    /// Path before every route, such as /organization/tenant/reinfer_.
    #[arg(long, default_value = "")]
    pub base_path: String,
    /// Serves HTTPS with a certificate that is made at the start.
    #[arg(long)]
    pub tls: bool,
    /// Writes the certificate that clients must trust to this file.
    #[arg(long, requires = "tls")]
    pub ca_file: Option<PathBuf>,
    /// Takes compressed bodies, and says so.
    #[arg(long)]
    pub gzip: bool,
    /// Honors If-Match and If-None-Match for the sync state of a bucket.
    #[arg(long)]
    pub conditional_writes: bool,
    /// Most bytes of a request's body; more is answered with 413.
    #[arg(long, default_value_t = Limits::default().max_body)]
    pub max_body: u64,
    /// Most emails in one upload.
    #[arg(long, default_value_t = Limits::default().max_emails)]
    pub max_emails: usize,
    /// Keeps the hash and the size of emails only, which then cannot be read back.
    #[arg(long)]
    pub forget_bodies: bool,
}

fn bucket(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((owner, name)) if !owner.is_empty() && !name.is_empty() => Ok(text.to_owned()),
        _ => Err("expected `owner/name`".to_owned()),
    }
}

fn config(text: &str) -> Result<(String, String, PathBuf), String> {
    let split = text.split_once('=').and_then(|(name, file)| {
        let (owner, key) = name.split_once('/')?;
        Some((owner.to_owned(), key.to_owned(), PathBuf::from(file)))
    });
    split.ok_or_else(|| "expected `owner/key=FILE`".to_owned())
}

/// Starts the server.
///
/// # Errors
///
/// The address is taken, or a file cannot be read or written.
pub async fn start(args: &PlatformArgs) -> Result<Platform> {
    let limits =
        Limits { max_body: args.max_body, max_emails: args.max_emails, ..Limits::default() };
    let server = Platform::start(Options {
        bind: args.bind,
        transport: if args.tls { Transport::SelfSigned } else { Transport::Plain },
        base_path: args.base_path.clone(),
        tokens: args.token.iter().map(|token| Token::new(token)).collect(),
        buckets: args.bucket.clone(),
        limits,
        keep_bodies: !args.forget_bodies,
        accepts_gzip: args.gzip,
        conditional_writes: args.conditional_writes,
        ..Options::default()
    })
    .await?;
    for (owner, key, path) in &args.config {
        let content =
            std::fs::read(path).with_context(|| format!("could not read `{}`", path.display()))?;
        server.set_config(owner, key, content);
    }
    if let Some(path) = &args.ca_file {
        write_file(path, server.ca_pem())?;
    }
    Ok(server)
}

/// Runs the server until `stop` is ready; what people need to know goes to `out`.
///
/// # Errors
///
/// Those of [`start`], and those of `out`.
pub async fn run(
    args: &PlatformArgs,
    out: &mut (impl Write + Send),
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let server = start(args).await?;
    writeln!(out, "Simulated platform: {}", server.url())?;
    writeln!(out, "Endpoint for the appliance: {}", server.endpoint())?;
    if args.tls {
        let path = args.ca_file.clone().unwrap_or_else(|| server.ca_file());
        writeln!(out, "Certificate to trust: {}", path.display())?;
    }
    writeln!(out, "Tokens: {}", args.token.join(", "))?;
    writeln!(out, "Buckets: {}", args.bucket.join(", "))?;
    for (owner, key, _) in &args.config {
        writeln!(out, "Configuration: {owner}/{key}")?;
    }
    out.flush()?;
    stop.await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: PlatformArgs,
    }

    #[tokio::test]
    async fn says_where_it_is_and_stops_when_told() {
        let line = ["simulate", "--bind", "127.0.0.1:0", "--token", "abc", "--bucket", "a/b"];
        let args = Cli::parse_from(line.iter().chain(&["--bucket", "c/d"])).args;
        let mut out = Vec::new();
        run(&args, &mut out, std::future::ready(())).await.unwrap();
        let text = String::from_utf8(out).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        assert!(first.starts_with("Simulated platform: http://127.0.0.1:"), "{text}");
        assert!(rest.ends_with("/api/\nTokens: abc\nBuckets: a/b, c/d\n"), "{text}");
    }

    #[test]
    fn names_are_checked() {
        assert!(Cli::try_parse_from(["simulate", "--bucket", "mail"]).is_err());
        assert!(Cli::try_parse_from(["simulate", "--config", "owner=file"]).is_err());
        let args = Cli::parse_from(["simulate", "--config", "o/k=f.json"]).args;
        assert_eq!(args.config, [("o".to_owned(), "k".to_owned(), "f.json".into())]);
    }
}
