//! From listeners to answers, and back to silence.

mod door;

use crate::{
    config::Settings,
    gate::{Backends, Gate, keep_comparing},
    observe, routes,
    tls::Certificate,
};
use anyhow::Context;
use axum::{Router, middleware};
use axum_server::{Handle, Server, accept::NoDelayAcceptor, tls_rustls::RustlsAcceptor};
use door::{Door, Peer};
use futures_util::future::{BoxFuture, try_join_all};
use process::Stopper;
use socket2::SockRef;
use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};
use tower_http::catch_panic::CatchPanicLayer;

/// How long whoever came in last has to say what they want.
const LAST_REQUESTS: Duration = Duration::from_millis(100);
/// Connections that nobody has taken yet, as far as the kernel lets (`net.core.somaxconn`). The standard library's 128 are fewer than an edge may open at once, and who is
/// dropped tries again after a second.
const BACKLOG: i32 = 4096;
/// Requests of one HTTP/2 connection at once.
const MAX_STREAMS: u32 = 256;
/// The most bytes that are read of a connection before anybody asks for them, and so the longest head of a request: for each of
/// a thousand connections.
const MAX_BUFFER: usize = 32 << 10;

fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen at {address}"))?;
    SockRef::from(&listener).listen(BACKLOG).with_context(|| format!("cannot listen at {address}"))?;
    Ok(listener)
}

/// Where a gate listens: without TLS, and with it, if there is a certificate.
#[derive(Debug)]
pub struct Listeners {
    plain: TcpListener,
    secure: Option<(TcpListener, Certificate)>,
}

impl Listeners {
    /// At an address without TLS, and at one with it; port 0 takes a free one.
    ///
    /// # Errors
    /// When one of them cannot be listened at.
    pub fn open(bind: SocketAddr, tls: Option<(SocketAddr, Certificate)>) -> anyhow::Result<Self> {
        let secure = match tls {
            Some((bind, certificate)) => Some((listen(bind)?, certificate)),
            None => None,
        };
        Ok(Self { plain: listen(bind)?, secure })
    }

    /// The address without TLS, and the other one.
    ///
    /// # Errors
    /// When the system does not know them.
    pub fn addresses(&self) -> io::Result<(SocketAddr, Option<SocketAddr>)> {
        let secure = self.secure.as_ref().map(|(listener, _)| listener.local_addr()).transpose()?;
        Ok((self.plain.local_addr()?, secure))
    }

    /// The same sockets once more.
    fn again(&self) -> io::Result<Self> {
        let secure = match &self.secure {
            Some((listener, certificate)) => Some((listener.try_clone()?, certificate.clone())),
            None => None,
        };
        Ok(Self { plain: self.plain.try_clone()?, secure })
    }
}

/// Serves the API until told to stop; then stays ready to answer for [`Settings::shutdown_linger`], finishes what is
/// in flight within [`Settings::shutdown_grace`], answering on meanwhile, and returns. Backends need not be up yet.
///
/// # Errors
/// When a listener cannot be used.
pub async fn serve(
    listeners: Listeners,
    backends: Backends,
    settings: Settings,
    stopper: Stopper,
) -> anyhow::Result<()> {
    let late = listeners.again().context("the listener cannot be used twice")?;
    let gate = Arc::new(Gate::new(backends, settings.clone(), stopper.clone()).await?);
    let bus = Arc::clone(&gate.bus);
    let router = router(gate);
    let (handle, door_closing, late_handle) = (Handle::new(), Stopper::new(), Handle::new());
    let server = serve_at(listeners, &door_closing, &handle, &settings, &router)?;
    let late_server = serve_at(late, &Stopper::new(), &late_handle, &settings, &router)?;
    let comparing = tokio::spawn(keep_comparing(bus, stopper.clone()));
    let closing = tokio::spawn(async move {
        stopper.stopped().await;
        tokio::time::sleep(settings.shutdown_linger).await;
        door_closing.stop();
        tokio::time::sleep(LAST_REQUESTS).await;
        handle.graceful_shutdown(Some(settings.shutdown_grace));
        // While something is in flight, checks must not find a gate that is gone: that would break it off.
        late_server.await
    });
    let end = server.await;
    late_handle.graceful_shutdown(Some(LAST_REQUESTS));
    if end.is_err() {
        closing.abort();
    }
    // How it went for whoever came late tells nothing about what was served.
    let _ = closing.await;
    comparing.abort();
    end?;
    Ok(())
}

/// Serves whoever comes through a door to one of these, once it is polled.
fn serve_at(
    listeners: Listeners,
    closing: &Stopper,
    handle: &Handle<Peer>,
    settings: &Settings,
    router: &Router,
) -> io::Result<impl Future<Output = io::Result<Vec<()>>> + Send + use<>> {
    let service = || router.clone().into_make_service();
    let plain = server_at(Door::open(listeners.plain, closing.clone())?, handle, settings);
    let mut servers: Vec<BoxFuture<'static, io::Result<()>>> = vec![Box::pin(plain.serve(service()))];
    if let Some((listener, Certificate(config))) = listeners.secure {
        let tls = RustlsAcceptor::new(config).handshake_timeout(settings.header_timeout);
        let secure = server_at(Door::open(listener, closing.clone())?, handle, settings);
        servers.push(Box::pin(secure.acceptor(tls.acceptor(NoDelayAcceptor::new())).serve(service())));
    }
    Ok(try_join_all(servers))
}

fn server_at(door: Door, handle: &Handle<Peer>, settings: &Settings) -> Server<Peer, NoDelayAcceptor> {
    let mut server = Server::from_listener(door)
        .acceptor(NoDelayAcceptor::new())
        .handle(handle.clone())
        .first_request_timeout(settings.header_timeout);
    server.http_builder().http1().header_read_timeout(settings.header_timeout).max_buf_size(MAX_BUFFER);
    let mut http2 = server.http_builder().http2();
    http2.max_concurrent_streams(MAX_STREAMS).keep_alive_interval(settings.header_timeout);
    server
}

/// All routes, with what is around every request.
fn router(gate: Arc<Gate>) -> Router {
    routes::router()
        .layer(CatchPanicLayer::custom(observe::panicked))
        .layer(middleware::from_fn_with_state(Arc::clone(&gate), observe::admit))
        .layer(middleware::from_fn_with_state(Arc::clone(&gate), observe::observe))
        .with_state(gate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    /// More than the standard library lets wait; few enough for the files that a process may open.
    const AT_ONCE: usize = 300;

    #[test]
    fn connections_wait_to_be_taken() {
        let listener = listen(([127, 0, 0, 1], 0).into()).expect("there is a free port");
        let address = listener.local_addr().expect("it listens");
        let connect = |number| {
            TcpStream::connect_timeout(&address, Duration::from_millis(900))
                .unwrap_or_else(|error| panic!("connection {number}: {error}"))
        };
        let waiting: Vec<TcpStream> = (0..AT_ONCE).map(connect).collect();
        assert_eq!(waiting.len(), AT_ONCE);
    }
}
