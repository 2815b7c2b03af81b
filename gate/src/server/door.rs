//! A listener that can be closed without slamming it: whoever has connected is served, whoever comes later is
//! refused. (The server by itself would drop connections that were made while it stops; with TLS, it drops those whose handshake is not
//! done when it does.)

use axum_server::{AddrListener, Address};
use process::Stopper;
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::net::{TcpListener, TcpStream};

/// A listener until it is told to close.
pub(super) struct Door {
    /// None once it is closed.
    listener: Mutex<Option<Arc<Listener>>>,
    closing: Stopper,
}

/// One socket twice. Asked directly, it tells who is waiting; the runtime only knows who was, a moment ago.
struct Listener {
    patient: TcpListener,
    direct: std::net::TcpListener,
}

/// The address of a client or of the door.
#[derive(Clone, Debug)]
pub(super) struct Peer(SocketAddr);

impl Door {
    pub(super) fn open(listener: std::net::TcpListener, closing: Stopper) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = Listener { direct: listener.try_clone()?, patient: TcpListener::from_std(listener)? };
        Ok(Self { listener: Mutex::new(Some(Arc::new(listener))), closing })
    }

    fn listener(&self) -> Option<Arc<Listener>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn close(&self) {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl AddrListener<TcpStream, Peer> for Door {
    async fn bind_to(Peer(address): Peer) -> io::Result<Self> {
        Self::open(std::net::TcpListener::bind(address)?, Stopper::new())
    }

    async fn accept_stream(&self) -> io::Result<(TcpStream, Peer)> {
        if let Some(listener) = self.listener() {
            tokio::select! {
                accepted = listener.patient.accept() => {
                    return accepted.map(|(stream, address)| (stream, Peer(address)));
                }
                () = self.closing.stopped() => match listener.direct.accept() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    waited => {
                        let (stream, address) = waited?;
                        stream.set_nonblocking(true)?;
                        return Ok((TcpStream::from_std(stream)?, Peer(address)));
                    }
                },
            }
        }
        self.close();
        std::future::pending().await
    }

    fn get_local_addr(&self) -> io::Result<Peer> {
        match self.listener() {
            Some(listener) => listener.direct.local_addr().map(Peer),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Address for Peer {
    type Stream = TcpStream;
    type Listener = Door;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::TcpStream as Client, time::Duration};

    #[tokio::test]
    async fn whoever_waits_outside_is_let_in_and_whoever_comes_later_is_refused() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let closing = Stopper::new();
        let door = Door::open(listener, closing.clone()).unwrap();
        let waiting: Vec<_> = (0..8).map(|_| Client::connect(address).unwrap()).collect();
        closing.stop();
        for _ in &waiting {
            door.accept_stream().await.unwrap();
        }
        let nobody = tokio::time::timeout(Duration::from_millis(10), door.accept_stream()).await;
        assert!(nobody.is_err());
        assert_eq!(Client::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
