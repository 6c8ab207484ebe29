//! One JSON object per line, as the platform's client takes it with `re create emails`.

use std::{fs, io::Write, path::Path};

use super::{ExportError, Failure, Filter, Report, each};
use crate::{
    ascii_safe::to_unicode,
    email_new::EmailNew,
    local_files::{Flaw, hex_sha256},
};

/// Writes the emails as JSON lines. One email at a time is in memory.
///
/// MIME that is not Unicode is rewritten as ASCII, see [`crate::ascii_safe`].
///
/// # Errors
///
/// [`ExportError`] if the folder cannot be read or the output cannot be written. An email that is
/// not whole is no error: it is in the report.
pub fn json_lines(
    prefix: &Path,
    filter: &Filter,
    out: &mut dyn Write,
) -> Result<Report, ExportError> {
    let report = each(prefix, filter, |eml, sidecar| {
        let bytes = fs::read(eml).map_err(|err| Failure::Email(Flaw::EmlUnreadable(err)))?;
        if hex_sha256(&bytes) != sidecar.sha256 {
            return Err(Failure::Email(Flaw::WrongHash));
        }
        let email = EmailNew {
            id: &sidecar.id,
            mailbox: &sidecar.mailbox,
            timestamp: sidecar.timestamp,
            mime_content: &to_unicode(bytes),
            metadata: &sidecar.metadata,
        };
        serde_json::to_writer(&mut *out, &email)
            .map_err(std::io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
            .map_err(Failure::Output)
    })?;
    out.flush().map_err(ExportError::Output)?;
    Ok(report)
}
