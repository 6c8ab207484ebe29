//! `tributary replay`: sends stored emails to a destination.

use std::{path::PathBuf, sync::Arc};

use appliance::{
    destination::{Destination, Uploads},
    exit::{Ending, Exit},
    flags::Flags,
    replay::{self, Filter, Origin},
};
use chrono::{DateTime, Utc};
use clap::Args;
use record::{BucketId, MailboxId, Unmetered};

use crate::{
    commands::{bucket, show},
    environment,
    place::{flags_of, path, text},
    serve::runtime,
};

#[derive(Args)]
pub(crate) struct Replay {
    /// Where the emails are: the folder that the appliance writes to, `az://ACCOUNT/CONTAINER` or
    /// `s3://BUCKET`.
    #[arg(long, value_name = "PATH|az://…|s3://…")]
    from: String,
    /// Address of the platform's API that receives them, such as
    /// `https://mydomain.example.com/api/`.
    #[arg(long, value_name = "URL", conflicts_with_all = ["private_file_prefix", "local_files_prefix"])]
    reinfer_api_endpoint: Option<String>,
    /// Container of Azure, or bucket of S3, that receives them.
    #[arg(
        long,
        value_name = "az://ACCOUNT/CONTAINER|s3://BUCKET",
        conflicts_with = "local_files_prefix"
    )]
    private_file_prefix: Option<String>,
    /// Folder that receives them.
    #[arg(long, value_name = "PATH")]
    local_files_prefix: Option<PathBuf>,
    /// Only emails received at or after this time, such as `2026-01-01T00:00:00Z`.
    #[arg(long, value_name = "TIME")]
    since: Option<DateTime<Utc>>,
    /// Only emails of this bucket, `owner/name`.
    #[arg(long, value_name = "OWNER/NAME", value_parser = bucket)]
    bucket: Option<BucketId>,
    /// Only emails of this mailbox.
    #[arg(long, value_name = "ADDRESS")]
    mailbox: Option<MailboxId>,
    /// Most emails of one upload.
    #[arg(long, value_name = "EMAILS", default_value = "80", value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,
    /// Uploads at a time.
    #[arg(long, value_name = "UPLOADS", default_value = "8", value_parser = clap::value_parser!(u8).range(1..=32))]
    uploads: u8,
    /// File with certificates of authorities (PEM) that are trusted for the platform and for
    /// object stores, besides those of the system.
    #[arg(long, value_name = "PATH")]
    destination_ca_file: Option<PathBuf>,
    /// Accepts a `--reinfer-api-endpoint` with `http:` on another machine.
    #[arg(long)]
    allow_http_endpoint: bool,
}

impl Replay {
    pub(crate) fn run(self) -> Result<Exit, Ending> {
        let environment = environment()?;
        let (batch, at_once) = (self.batch.into(), self.uploads.into());
        let uploads = Uploads { batch, at_once, with_state: false };
        let filter = Filter {
            bucket: self.bucket.clone(),
            mailbox: self.mailbox.clone(),
            since: self.since,
        };
        let flags = self.flags()?;
        let report = runtime()?.block_on(async {
            let from = Origin::open(&self.from, &flags, &environment)?;
            let to = Destination::open(&flags, &environment)?;
            let to = to.connect(&flags, &environment, uploads, Arc::new(Unmetered))?;
            to.prove().await?;
            replay::replay(&from, to.sink, &filter, uploads).await
        })?;
        show(&format!(
            "{} emails sent ({} bytes), {} not\n",
            report.sent, report.bytes, report.failed
        ))?;
        for sentence in &report.named {
            eprintln!("not sent: {sentence}");
        }
        Ok(if report.failed == 0 { Exit::Success } else { Exit::Difference })
    }

    /// The flags of the appliance that lead to the same destination.
    fn flags(&self) -> Result<Flags, Ending> {
        let given = [
            ("--reinfer-api-endpoint", text(&self.reinfer_api_endpoint)),
            ("--private-file-prefix", text(&self.private_file_prefix)),
            ("--local-files-prefix", path(&self.local_files_prefix)),
            ("--destination-ca-file", path(&self.destination_ca_file)),
        ];
        flags_of(given, self.allow_http_endpoint)
    }
}
