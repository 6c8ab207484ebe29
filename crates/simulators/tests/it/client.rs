//! A plain client: one connection, one request at a time.

use std::pin::Pin;

use base64_simd::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, StatusCode, client::conn::http1};
use hyper_util::rt::TokioIo;
use openssl::ssl::{SslConnector, SslMethod};
use simulators::exchange::{Exchange, Options};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

/// The mailbox of most tests.
pub(crate) const ABC: &str = "abc@example.com";

/// A connection to a server, and what each request carries.
pub(crate) struct Client {
    sender: http1::SendRequest<Full<Bytes>>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// A reply, as far as it came.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The body came to its end.
    pub(crate) whole: bool,
}

impl Reply {
    #[track_caller]
    pub(crate) fn text(&self) -> String {
        assert!(self.whole, "the reply was cut");
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The text of the first element with this local name.
    #[track_caller]
    pub(crate) fn first(&self, name: &str) -> String {
        self.all(name).into_iter().next().unwrap_or_else(|| panic!("no {name} in {}", self.text()))
    }

    /// The texts of all elements with this local name.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let text = self.text();
        let document = roxmltree::Document::parse(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let named = document.descendants().filter(|node| node.tag_name().name() == name);
        named.map(|node| node.text().unwrap_or_default().to_owned()).collect()
    }

    /// The attribute of all elements with this local name.
    pub(crate) fn attributes(&self, name: &str, attribute: &str) -> Vec<String> {
        let text = self.text();
        let document = roxmltree::Document::parse(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let named = document.descendants().filter(|node| node.tag_name().name() == name);
        named.filter_map(|node| node.attribute(attribute).map(str::to_owned)).collect()
    }
}

impl Client {
    /// Connects with the credentials that the server has by default.
    pub(crate) async fn connect(server: &Exchange) -> Self {
        let mut client = Self::anonymous(server).await;
        let basic = format!("{}:{}", Options::USER, Options::PASSWORD);
        client
            .headers
            .push(("authorization", format!("Basic {}", STANDARD.encode_to_string(basic))));
        client
    }

    pub(crate) async fn anonymous(server: &Exchange) -> Self {
        let stream = TcpStream::connect(server.address()).await.unwrap();
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.set_ca_file(server.ca_file()).unwrap();
        let ssl = connector.build().configure().unwrap().into_ssl("localhost").unwrap();
        let mut stream = SslStream::new(ssl, stream).unwrap();
        Pin::new(&mut stream).connect().await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender, headers: Vec::new() }
    }

    /// Posts a whole envelope.
    pub(crate) async fn post(&mut self, path: &str, body: String) -> Result<Reply, hyper::Error> {
        let mut request = Request::post(path).header("host", "localhost");
        request = request.header("content-type", "text/xml; charset=utf-8");
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        self.send(request.body(Full::from(body)).unwrap()).await
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Reply, hyper::Error> {
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let (parts, mut body) = response.into_parts();
        let (mut bytes, mut whole) = (Vec::new(), true);
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Err(_) => {
                    whole = false;
                    break;
                }
            }
        }
        Ok(Reply { status: parts.status, headers: parts.headers, body: bytes, whole })
    }

    /// Sends an operation to the service.
    pub(crate) async fn try_call(&mut self, operation: &str) -> Result<Reply, hyper::Error> {
        self.post("/EWS/Exchange.asmx", envelope("Exchange2013", operation)).await
    }

    #[track_caller]
    pub(crate) fn call(&mut self, operation: &str) -> impl Future<Output = Reply> {
        let operation = operation.to_owned();
        async move { self.try_call(&operation).await.unwrap() }
    }
}

/// An envelope around an operation, which may use the prefixes `m` and `t`.
pub(crate) fn envelope(version: &str, operation: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
         <s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:m=\"http://schemas.microsoft.com/exchange/services/2006/messages\" \
         xmlns:t=\"http://schemas.microsoft.com/exchange/services/2006/types\">\
         <s:Header><t:RequestServerVersion Version=\"{version}\"/></s:Header>\
         <s:Body>{operation}</s:Body></s:Envelope>"
    )
}

/// A folder of [`ABC`] by its distinguished name.
pub(crate) fn distinguished(name: &str) -> String {
    format!(
        "<t:DistinguishedFolderId Id=\"{name}\"><t:Mailbox><t:EmailAddress>{ABC}</t:EmailAddress>\
         </t:Mailbox></t:DistinguishedFolderId>"
    )
}

pub(crate) fn sync_items(folder: &str, state: &str, most: usize, fields: &[&str]) -> String {
    let state = if state.is_empty() {
        String::new()
    } else {
        format!("<m:SyncState>{state}</m:SyncState>")
    };
    format!(
        "<m:SyncFolderItems><m:ItemShape>{}</m:ItemShape><m:SyncFolderId>{folder}</m:SyncFolderId>\
         {state}<m:MaxChangesReturned>{most}</m:MaxChangesReturned>\
         <m:SyncScope>NormalItems</m:SyncScope></m:SyncFolderItems>",
        shape(fields)
    )
}

pub(crate) fn sync_folders(state: &str) -> String {
    let state = if state.is_empty() {
        String::new()
    } else {
        format!("<m:SyncState>{state}</m:SyncState>")
    };
    format!(
        "<m:SyncFolderHierarchy><m:FolderShape>{}</m:FolderShape><m:SyncFolderId>{}\
         </m:SyncFolderId>{state}</m:SyncFolderHierarchy>",
        shape(&["folder:DisplayName", "folder:FolderClass", "folder:ParentFolderId"]),
        distinguished("msgfolderroot")
    )
}

pub(crate) fn get_items(ids: &[String], fields: &[&str]) -> String {
    let ids: String = ids.iter().map(|id| format!("<t:ItemId Id=\"{id}\"/>")).collect();
    format!(
        "<m:GetItem><m:ItemShape>{}</m:ItemShape><m:ItemIds>{ids}</m:ItemIds></m:GetItem>",
        shape(fields)
    )
}

/// A shape: names of properties, or MAPI properties as `0x300b:Binary`.
pub(crate) fn shape(fields: &[&str]) -> String {
    let fields: String = fields
        .iter()
        .map(|field| match field.strip_prefix("0x").and_then(|field| field.split_once(':')) {
            Some((tag, kind)) => {
                format!("<t:ExtendedFieldURI PropertyTag=\"0x{tag}\" PropertyType=\"{kind}\"/>")
            }
            None => format!("<t:FieldURI FieldURI=\"{field}\"/>"),
        })
        .collect();
    let more = if fields.is_empty() {
        String::new()
    } else {
        format!("<t:AdditionalProperties>{fields}</t:AdditionalProperties>")
    };
    format!("<t:BaseShape>IdOnly</t:BaseShape>{more}")
}
