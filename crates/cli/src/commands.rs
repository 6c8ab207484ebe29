//! The commands of `tributary` beside the appliance.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use appliance::{
    config::{self, Settings},
    destination::{self, local_prefix},
    exit::{Ending, Exit},
    flags::Flags,
    shard::Shard,
    verify,
};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use record::{BucketId, MailboxId};
use sinks::export;
use tokio_util::sync::CancellationToken;

use crate::{
    backup::{Backup, Restore},
    demo,
    doctor::Doctor,
    environment,
    fsck::Fsck,
    migrate_source::MigrateSource,
    plan::Plan,
    platform::Serve,
    quarantine::Quarantine,
    read_environment,
    replay::Replay,
    serve::{Signals, runtime},
    state::State,
    status::Status,
    token::Token,
    user::User,
};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Copies mail continuously: `tributary appliance --help` lists the flags. Also installed as
    /// `reinfer-ews`.
    Appliance,
    /// Shows the whole way in a minute: a simulated Exchange, the appliance, a folder of mail.
    Demo(demo::Demo),
    /// Serves the platform: buckets of raw email, for the appliance and for the client `re`.
    Serve(Serve),
    /// Makes, lists and revokes tokens of the platform.
    #[command(subcommand)]
    Token(Token),
    /// Makes, lists, disables and enables users of the platform, and makes links for passwords.
    #[command(subcommand)]
    User(User),
    /// Looks at everything that the platform keeps; exit code 1 if something is damaged or lost.
    Fsck(Fsck),
    /// Copies everything that the platform keeps, of one moment, while it runs.
    Backup(Backup),
    /// Makes a platform from a backup, on either database; refused where something is.
    Restore(Restore),
    /// Starts a simulated server.
    #[command(subcommand)]
    Simulate(Simulate),
    /// Checks and explains the configuration.
    #[command(subcommand)]
    Config(Config),
    /// Tells what would be copied, by which shard, into which bucket and from where.
    Plan(Plan),
    /// Tries everything that the appliance needs, and tells what to do about what fails.
    Doctor(Doctor),
    /// Tells how far each mailbox and folder is.
    Status(Status),
    /// Moves the state of mailboxes from EWS to Graph, or back, for a configuration with another
    /// `microsoft_api`. The appliance does the same when it starts.
    MigrateSource(MigrateSource),
    /// Compares every mailbox with the ledger and with the files; exit code 0 only if they agree.
    Verify(Verify),
    /// Writes stored emails to one stream.
    #[command(subcommand)]
    Export(Export),
    /// Sends stored emails to a platform, a container or a folder; sending them again leaves one copy.
    Replay(Replay),
    /// Lists the items that were set aside, asks for another attempt, or forgets them.
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Shows, exports, imports or resets how far mailboxes have been delivered.
    #[command(subcommand)]
    State(State),
}

#[derive(Subcommand)]
pub(crate) enum Simulate {
    /// Exchange Web Services, with mailboxes of generated mail or of your own.
    Exchange(simulators::command::ExchangeArgs),
    /// The platform that takes emails, as far as an appliance uses it.
    Platform(simulators::command::platform::PlatformArgs),
}

#[derive(Subcommand)]
pub(crate) enum Config {
    /// Tells everything that is wrong with the configuration; exit code 0 if nothing is.
    Check {
        #[command(flatten)]
        flags: Flags,
        /// Contacts the server as well and looks into every mailbox.
        #[arg(long)]
        online: bool,
    },
    /// Prints every value in force and where it comes from; secrets are hidden.
    Print {
        #[command(flatten)]
        flags: Flags,
    },
    /// Prints the JSON Schema of the configuration, for editors.
    Schema,
    /// Prints the reference page of the configuration.
    Reference,
    /// Prints the reference page of flags and environment variables.
    CommandLine,
    /// Prints the OpenAPI document of the platform.
    Openapi,
}

#[derive(Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    flags: Flags,
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
pub(crate) enum Export {
    /// JSON Lines, one raw email each, as `re create emails` takes them.
    Jsonl(ExportArgs),
    /// One mbox file (mboxrd).
    Mbox(ExportArgs),
}

#[derive(Args)]
pub(crate) struct ExportArgs {
    /// Folder that the appliance writes to.
    #[arg(long, value_name = "PATH")]
    local_files_prefix: PathBuf,
    /// Only emails of this bucket, `owner/name`.
    #[arg(long, value_name = "OWNER/NAME", value_parser = bucket)]
    bucket: Option<BucketId>,
    /// Only emails of this mailbox.
    #[arg(long, value_name = "ADDRESS")]
    mailbox: Option<MailboxId>,
    /// Only emails received at or after this time, such as `2026-01-01T00:00:00Z`.
    #[arg(long, value_name = "TIME")]
    since: Option<DateTime<Utc>>,
    /// File to write; without it, stdout.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn bucket(text: &str) -> Result<BucketId, String> {
    let (owner, name) = text.split_once('/').ok_or("expected `owner/name`")?;
    BucketId::new(owner, name).map_err(|err| err.to_string())
}

impl Command {
    pub(crate) fn run(self) -> Result<Exit, Ending> {
        match self {
            // Handled before; here for the list of commands only.
            Self::Appliance => Ok(Exit::Success),
            Self::Demo(demo) => demo.run(),
            Self::Serve(command) => command.run(),
            Self::Token(command) => command.run(),
            Self::User(command) => command.run(),
            Self::Fsck(command) => command.run(),
            Self::Backup(command) => command.run(),
            Self::Restore(command) => command.run(),
            Self::Simulate(simulated) => simulated.run(),
            Self::Config(command) => command.run(),
            Self::Plan(command) => command.run(),
            Self::Doctor(command) => command.run(),
            Self::Status(command) => command.run(),
            Self::MigrateSource(command) => command.run(),
            Self::Verify(command) => command.run(),
            Self::Export(command) => command.run(),
            Self::Replay(command) => command.run(),
            Self::Quarantine(command) => command.run(),
            Self::State(command) => command.run(),
        }
    }
}

/// Prints to stdout; a reader that has gone away, as of `| head`, is no failure.
pub(crate) fn show(text: &str) -> Result<(), Ending> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(err) if err.kind() != io::ErrorKind::BrokenPipe => {
            Err(Ending::new(Exit::Io, format!("could not write to stdout: {err}")))
        }
        _ => Ok(()),
    }
}

pub(crate) fn show_json(value: &impl serde::Serialize) -> Result<(), Ending> {
    let text = serde_json::to_string_pretty(value);
    show(&(text.map_err(|err| Ending::new(Exit::Io, err.to_string()))? + "\n"))
}

impl Simulate {
    fn run(self) -> Result<Exit, Ending> {
        runtime()?.block_on(async {
            let shutdown = CancellationToken::new();
            tokio::spawn(Signals::listen()?.obey(shutdown.clone(), Arc::default(), Arc::default()));
            let (mut out, stop) = (io::stdout(), shutdown.cancelled_owned());
            let ended = match self {
                Self::Exchange(args) => simulators::command::run(&args, &mut out, stop).await,
                Self::Platform(args) => {
                    simulators::command::platform::run(&args, &mut out, stop).await
                }
            };
            ended.map_err(|err| Ending::new(Exit::Config, format!("{err:#}")))
        })?;
        Ok(Exit::Success)
    }
}

pub(crate) fn shard(flags: &Flags) -> Result<Shard, Ending> {
    flags.shard().map_err(|err| Ending::config(&err))
}

pub(crate) fn load(flags: &Flags) -> Result<Settings, Ending> {
    flags.check().map_err(|err| Ending::config(&err))?;
    let mut configuration = destination::configuration(flags, Arc::new(read_environment))?;
    Ok(runtime()?.block_on(configuration.load())?)
}

impl Config {
    fn run(self) -> Result<Exit, Ending> {
        match self {
            Self::Check { flags, online } => {
                let settings = load(&flags)?;
                appliance::exchange::check(&settings)?;
                for warning in &settings.warnings {
                    eprintln!("warning: {warning}");
                }
                show(&format!(
                    "The configuration is valid: {} mailboxes.\n",
                    settings.mailboxes.len()
                ))?;
                if !online {
                    return Ok(Exit::Success);
                }
                let report =
                    runtime()?.block_on(appliance::online::check(&settings, shard(&flags)?))?;
                show(&report.text)?;
                Ok(report.exit)
            }
            Self::Print { flags } => show(&load(&flags)?.print()).map(|()| Exit::Success),
            Self::Schema => show(&config::reference::json_schema()).map(|()| Exit::Success),
            Self::Reference => show(&config::reference::markdown()).map(|()| Exit::Success),
            Self::CommandLine => show(&config::reference::command_line()).map(|()| Exit::Success),
            Self::Openapi => show(&platform::openapi_text()).map(|()| Exit::Success),
        }
    }
}

impl Verify {
    fn run(self) -> Result<Exit, Ending> {
        let settings = load(&self.flags)?;
        let prefix = local_prefix(&self.flags, &environment()?)?;
        let verdicts =
            runtime()?.block_on(verify::verify(&settings, &prefix, shard(&self.flags)?))?;
        if self.json {
            show_json(&verdicts)?
        } else {
            show(&verify::table(&verdicts))?
        }
        let equal = verdicts.iter().all(|verdict| verdict.differences.is_empty());
        Ok(if equal { Exit::Success } else { Exit::Difference })
    }
}

impl Export {
    fn run(self) -> Result<Exit, Ending> {
        type Exporter = fn(
            &Path,
            &export::Filter,
            &mut dyn Write,
        ) -> Result<export::Report, export::ExportError>;
        let (args, exporter): (ExportArgs, Exporter) = match self {
            Self::Jsonl(args) => (args, export::json_lines),
            Self::Mbox(args) => (args, export::mbox),
        };
        let filter =
            export::Filter { bucket: args.bucket, mailbox: args.mailbox, since: args.since };
        let prefix = &args.local_files_prefix;
        let failed = |err: &dyn std::fmt::Display| Ending::new(Exit::Io, err.to_string());
        let report = match &args.output {
            Some(path) => {
                let create = File::create(path);
                let file = create.map_err(|err| failed(&format!("`{}`: {err}", path.display())))?;
                let mut out = BufWriter::new(file);
                let report = exporter(prefix, &filter, &mut out)
                    .map_err(|err| failed(&record::Chain(&err)))?;
                out.into_inner()
                    .map_err(|err| failed(&err))?
                    .sync_all()
                    .map_err(|err| failed(&err))?;
                report
            }
            None => {
                let mut out = BufWriter::new(io::stdout().lock());
                let report = exporter(prefix, &filter, &mut out)
                    .map_err(|err| failed(&record::Chain(&err)))?;
                out.flush().map_err(|err| failed(&err))?;
                report
            }
        };
        eprintln!("{} emails exported, {} skipped", report.exported, report.skipped);
        for skipped in &report.reasons {
            eprintln!("skipped {}: {}", skipped.path.display(), skipped.reason);
        }
        Ok(if report.skipped == 0 { Exit::Success } else { Exit::Difference })
    }
}
