//! Envelopes, response messages and faults.

use super::{fault::Forbidden, options::Version, render::forbidden, xml::Xml};

/// An operation says no to one of the things asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) text: String,
    pub(crate) back_off_ms: Option<u64>,
    /// A Warning: the request was right, the server did not come to it.
    pub(crate) warning: bool,
}

impl Refusal {
    pub(crate) fn new(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.to_owned(), text: text.into(), back_off_ms: None, warning: false }
    }

    /// A code with a text that says what is known of it.
    pub(crate) fn code(code: &str) -> Self {
        let text = match code {
            "ErrorItemNotFound" => "The specified object was not found in the store.",
            "ErrorFolderNotFound" | "ErrorSyncFolderNotFound" => {
                "The specified folder could not be found in the store."
            }
            "ErrorInvalidIdMalformed" => "Id is malformed.",
            "ErrorAccessDenied" => "Access is denied. Check credentials and try again.",
            "ErrorNonExistentMailbox" => "The SMTP address has no mailbox associated with it.",
            "ErrorInvalidSyncStateData" => {
                "Synchronization state data is corrupt or otherwise invalid."
            }
            "ErrorServerBusy" => {
                "The server cannot service this request right now. Try again later."
            }
            "ErrorMailboxMoveInProgress" => "Mailbox move in progress. Try again later.",
            "ErrorImpersonateUserDenied" => {
                "The account does not have permission to impersonate the requested user."
            }
            "ErrorInvalidServerVersion" => "The specified server version is invalid.",
            "ErrorBatchProcessingStopped" => {
                "The batch processing was stopped because of an earlier error or time-out."
            }
            _ => "The operation failed.",
        };
        Self::new(code, text)
    }
}

/// Opens the envelope of a reply.
pub(crate) fn open(xml: &mut Xml, version: Version, operation: &str) {
    xml.raw("<?xml version=\"1.0\" encoding=\"utf-8\"?>");
    xml.raw("<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Header>");
    version_info(xml, version);
    xml.raw("</s:Header><s:Body xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" ");
    xml.raw("xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\"><m:").raw(operation);
    xml.raw("Response xmlns:m=\"http://schemas.microsoft.com/exchange/services/2006/messages\" ");
    xml.raw("xmlns:t=\"http://schemas.microsoft.com/exchange/services/2006/types\">");
    xml.raw("<m:ResponseMessages>");
}

/// Closes what [`open`] opened.
pub(crate) fn close(xml: &mut Xml, operation: &str) {
    xml.raw("</m:ResponseMessages></m:").raw(operation).raw("Response></s:Body></s:Envelope>");
}

fn version_info(xml: &mut Xml, version: Version) {
    xml.raw("<h:ServerVersionInfo");
    for (name, number) in [
        ("MajorVersion", version.major),
        ("MinorVersion", version.minor),
        ("MajorBuildNumber", version.build),
        ("MinorBuildNumber", version.revision),
    ] {
        xml.attribute(name, &number.to_string());
    }
    if let Some(name) = version.name {
        xml.attribute("Version", name);
    }
    xml.raw(" xmlns:h=\"http://schemas.microsoft.com/exchange/services/2006/types\"/>");
}

/// Writes a response message that says no. `tail` is what the type of the message demands
/// after the error: `<m:Items/>`.
pub(crate) fn refuse(
    xml: &mut Xml,
    operation: &str,
    refusal: &Refusal,
    tail: &str,
    spoil: Option<Forbidden>,
) {
    let class = if refusal.warning { "Warning" } else { "Error" };
    xml.raw("<m:").raw(operation).raw("ResponseMessage").attribute("ResponseClass", class);
    xml.raw("><m:MessageText>").text(&refusal.text);
    if let Some(what) = spoil {
        forbidden(xml, what);
    }
    xml.raw("</m:MessageText>").element("m:ResponseCode", &refusal.code);
    xml.raw("<m:DescriptiveLinkKey>0</m:DescriptiveLinkKey>");
    if let Some(pause) = refusal.back_off_ms {
        xml.raw("<m:MessageXml><t:Value Name=\"BackOffMilliseconds\">");
        xml.raw(&pause.to_string()).raw("</t:Value></m:MessageXml>");
    }
    xml.raw(tail).raw("</m:").raw(operation).raw("ResponseMessage>");
}

/// Opens a response message that says yes.
pub(crate) fn accept(xml: &mut Xml, operation: &str) {
    xml.raw("<m:").raw(operation).raw("ResponseMessage ResponseClass=\"Success\">");
    xml.raw("<m:ResponseCode>NoError</m:ResponseCode>");
}

pub(crate) fn end(xml: &mut Xml, operation: &str) {
    xml.raw("</m:").raw(operation).raw("ResponseMessage>");
}

/// A SOAP fault.
pub(crate) fn fault(
    refusal: &Refusal,
    version: Option<Version>,
    spoil: Option<Forbidden>,
) -> Vec<u8> {
    let mut xml = Xml::default();
    xml.raw("<?xml version=\"1.0\" encoding=\"utf-8\"?>");
    xml.raw("<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\">");
    if let Some(version) = version {
        xml.raw("<s:Header>");
        version_info(&mut xml, version);
        xml.raw("</s:Header>");
    }
    xml.raw("<s:Body><s:Fault><faultcode xmlns:a=\"");
    xml.raw("http://schemas.microsoft.com/exchange/services/2006/types\">a:");
    xml.raw(&refusal.code).raw("</faultcode><faultstring xml:lang=\"en-US\">");
    xml.text(&refusal.text);
    if let Some(what) = spoil {
        forbidden(&mut xml, what);
    }
    xml.raw("</faultstring><detail><e:ResponseCode xmlns:e=\"");
    xml.raw("http://schemas.microsoft.com/exchange/services/2006/errors\">");
    xml.raw(&refusal.code).raw("</e:ResponseCode><e:Message xmlns:e=\"");
    xml.raw("http://schemas.microsoft.com/exchange/services/2006/errors\">");
    xml.text(&refusal.text).raw("</e:Message>");
    if let Some(pause) = refusal.back_off_ms {
        xml.raw("<t:MessageXml xmlns:t=\"");
        xml.raw("http://schemas.microsoft.com/exchange/services/2006/types\">");
        xml.raw("<t:Value Name=\"BackOffMilliseconds\">").raw(&pause.to_string());
        xml.raw("</t:Value></t:MessageXml>");
    }
    xml.raw("</detail></s:Fault></s:Body></s:Envelope>");
    xml.0
}
