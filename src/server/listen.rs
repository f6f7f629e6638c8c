//! The public port: HTTP on [connections](Connection) that have bounds of their own.

use super::tls::Tls;
use super::{SHUTDOWN_TIMEOUT, StartError};
use crate::access::authenticator::Authenticator;
use crate::config::ServerSettings;
use crate::http::connection::{Bounds, Connection};
use crate::http::expect;
use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol, Request, Response};
use actix_server::{GracefulShutdownSignal, Server, ServerBuilder};
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_tls::accept::TlsError;
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Extensions};
use actix_web::web::Data;
use rustls::ServerConfig;
use std::fmt::Debug;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

/// Connections that wait to be taken.
const BACKLOG: u32 = 1024;

/// How the port is served.
#[derive(Clone)]
struct Serving {
    authenticator: Data<Authenticator>,
    bounds: Bounds,
    end: CancellationToken,
    shutdown: GracefulShutdownSignal,
    request_head: Duration,
    keep_alive: Duration,
}

/// Binds the port; `end` is cancelled when idle connections are to be closed.
pub(super) fn bind<A, I, S, B>(
    app: A,
    settings: &ServerSettings,
    tls: Option<&Tls>,
    authenticator: Data<Authenticator>,
    end: CancellationToken,
) -> Result<(Server, SocketAddr), StartError>
where
    A: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Future: 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: Debug,
    S::Response: Into<Response<B>> + 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let address = settings.listen;
    let refused = |cause| StartError::Bind { address, cause };
    let builder = ServerBuilder::new()
        .workers(settings.workers())
        .shutdown_timeout(SHUTDOWN_TIMEOUT.as_secs())
        .disable_signals();
    let serving = Serving::new(settings, authenticator, end, builder.graceful_shutdown_signal());
    let listener = listen_at(address).map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    let name = "public port";
    let builder = match tls {
        None => builder.listen(name, listener, move || {
            let serving = serving.clone();
            let connections = serving.clone();
            let accept = fn_service(move |io: TcpStream| {
                let peer = peer_of(&io);
                let connection = connections.connection(io, Protocol::Http1);
                async move { Ok((connection, Protocol::Http1, peer)) }
            });
            accept.and_then(serving.http(&app))
        }),
        Some(tls) => {
            let (config, handshake) = (with_protocols(tls.server_config()?), tls.handshake_timeout);
            builder.listen(name, listener, move || {
                let serving = serving.clone();
                let connections = serving.clone();
                let mut acceptor = Acceptor::new(config.clone());
                acceptor.set_handshake_timeout(handshake);
                let accept = acceptor.map_err(TlsError::into_service_error);
                let accept = accept.and_then(move |io: TlsStream<TcpStream>| {
                    let protocol = match io.get_ref().1.alpn_protocol() {
                        Some(b"h2") => Protocol::Http2,
                        _ => Protocol::Http1,
                    };
                    let peer = peer_of(io.get_ref().0);
                    let connection = connections.connection(io, protocol);
                    async move { Ok((connection, protocol, peer)) }
                });
                accept.and_then(serving.http(&app).map_err(TlsError::Service))
            })
        }
    };
    Ok((builder.map_err(refused)?.run(), bound))
}

impl Serving {
    fn new(
        settings: &ServerSettings,
        authenticator: Data<Authenticator>,
        end: CancellationToken,
        shutdown: GracefulShutdownSignal,
    ) -> Self {
        Self {
            authenticator,
            bounds: Bounds::new(
                Duration::from_secs(settings.write_timeout_seconds),
                settings.max_connection_unsent_bytes,
                settings.max_unsent_bytes,
            ),
            end,
            shutdown,
            request_head: Duration::from_secs(settings.request_head_seconds),
            keep_alive: Duration::from_secs(settings.keep_alive_seconds),
        }
    }

    fn connection<T>(&self, io: T, protocol: Protocol) -> Connection<T> {
        Connection::new(io, protocol == Protocol::Http2, &self.bounds, &self.end)
    }

    /// What answers on connections.
    fn http<A, T, I, S, B>(
        &self,
        app: &A,
    ) -> impl ServiceFactory<
        (Connection<T>, Protocol, Option<SocketAddr>),
        Config = (),
        Response = (),
        Error = DispatchError,
        InitError = (),
    > + use<A, T, I, S, B>
    where
        A: Fn() -> I,
        T: AsyncRead + AsyncWrite + Unpin + 'static,
        I: IntoServiceFactory<S, Request>,
        S: ServiceFactory<Request, Config = AppConfig> + 'static,
        S::Future: 'static,
        S::Error: Into<actix_web::Error> + 'static,
        S::InitError: Debug,
        S::Response: Into<Response<B>> + 'static,
        S::Service: 'static,
        B: MessageBody + 'static,
    {
        let service = app().into_factory();
        let service = service.map_err(|cause| cause.into().as_response_error().error_response());
        let (authenticator, shutdown) = (self.authenticator.clone(), self.shutdown.clone());
        HttpService::build()
            .graceful_shutdown_signal(move || {
                let shutdown = shutdown.clone();
                async move { shutdown.notified().await }
            })
            .keep_alive(self.keep_alive)
            .client_request_timeout(self.request_head)
            // Who is refused while it still sends has this long to send the rest and to read why.
            .client_disconnect_timeout(self.bounds.write_timeout)
            .on_connect_ext(|connection: &Connection<T>, data: &mut Extensions| {
                data.insert(connection.unsent().clone());
            })
            .expect(fn_service(move |request: Request| {
                let authenticator = authenticator.clone();
                async move { expect::admit(request, &authenticator).await }
            }))
            .finish(map_config(service, |()| AppConfig::default()))
    }
}

/// Answers are sent at once.
fn peer_of(io: &TcpStream) -> Option<SocketAddr> {
    // Where that cannot be set, they are sent a little later.
    let _ = io.set_nodelay(true);
    io.peer_addr().ok()
}

fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

fn with_protocols(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}
