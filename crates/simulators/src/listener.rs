//! Accepts connections, with TLS or without, and hands their requests to a service.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{
    Request, Response,
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use openssl::ssl::{Ssl, SslAcceptor};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_openssl::SslStream;

/// Most connections at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 10_000;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);

/// What answers the requests.
pub(crate) trait Service: Send + Sync + 'static {
    /// What is known of one connection.
    type Connection: Send + Sync + 'static;
    type Body: Body<Data = Bytes, Error = io::Error> + Send + 'static;

    /// A connection was accepted.
    fn connect(self: &Arc<Self>) -> Self::Connection;

    /// Answers a request. An error breaks the connection without a reply.
    fn answer(
        connection: Arc<Self::Connection>,
        request: Request<Incoming>,
    ) -> impl Future<Output = io::Result<Response<Self::Body>>> + Send;
}

/// Accepts connections until the task is aborted.
pub(crate) async fn serve<S: Service>(
    listener: TcpListener,
    tls: Option<SslAcceptor>,
    service: Arc<S>,
) {
    let mut tasks = JoinSet::new();
    loop {
        while tasks.len() >= MAX_CONNECTIONS {
            tasks.join_next().await;
        }
        while tasks.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, from)) => {
                let tls = tls.clone();
                let connection = Arc::new(service.connect());
                tasks.spawn(async move {
                    if let Err(error) = attend::<S>(stream, tls, connection).await {
                        tracing::debug!(%from, "Connection ended: {error:#}");
                    }
                });
            }
            Err(error) => {
                tracing::warn!("Could not accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn attend<S: Service>(
    stream: TcpStream,
    tls: Option<SslAcceptor>,
    connection: Arc<S::Connection>,
) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    match tls {
        None => converse::<S>(stream, connection).await,
        Some(acceptor) => {
            let mut stream = SslStream::new(Ssl::new(acceptor.context())?, stream)?;
            tokio::time::timeout(HANDSHAKE_TIMEOUT, Pin::new(&mut stream).accept()).await??;
            converse::<S>(stream, connection).await
        }
    }
}

async fn converse<S: Service>(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    connection: Arc<S::Connection>,
) -> anyhow::Result<()> {
    let service = service_fn(move |request| S::answer(Arc::clone(&connection), request));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}
