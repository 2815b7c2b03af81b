//! A TCP proxy that cuts or silences connections.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// Forwards connections on a loopback port to a target, until told otherwise.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    target: SocketAddr,
    line: Mutex<Line>,
    changed: Condvar,
}

#[derive(Debug)]
struct Line {
    mode: Mode,
    connections: Vec<TcpStream>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    /// Nothing passes, nothing closes.
    Blocked,
    /// Connections are closed at once.
    Cut,
    /// The proxy is gone.
    Dropped,
}

impl Proxy {
    /// Starts a proxy for `target`.
    pub fn start(target: impl ToSocketAddrs) -> io::Result<Self> {
        let target = target.to_socket_addrs()?.next().ok_or(io::ErrorKind::InvalidInput)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let line = Mutex::new(Line { mode: Mode::Open, connections: Vec::new() });
        let state = Arc::new(State { target, line, changed: Condvar::new() });
        let accepting = Arc::clone(&state);
        thread::spawn(move || accepting.accept(&listener));
        Ok(Self { address, state })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections, and each new one at once.
    pub fn cut(&self) {
        self.state.set(Mode::Cut);
    }

    /// Swallows everything: connections stay open, new ones too, and nothing passes in either direction.
    pub fn block(&self) {
        self.state.set(Mode::Blocked);
    }

    /// Lets everything pass again, also what was held back.
    pub fn restore(&self) {
        self.state.set(Mode::Open);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.set(Mode::Dropped);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, mode: Mode) {
        let mut line = self.line();
        line.mode = mode;
        if matches!(mode, Mode::Cut | Mode::Dropped) {
            for connection in line.connections.drain(..) {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
        self.changed.notify_all();
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().flatten() {
            if self.line().mode == Mode::Dropped {
                return;
            }
            let state = Arc::clone(self);
            thread::spawn(move || state.serve(client));
        }
    }

    fn serve(self: Arc<Self>, client: TcpStream) -> io::Result<()> {
        self.register(&client)?;
        self.wait_while_blocked();
        let server = TcpStream::connect(self.target)?;
        self.register(&server)?;
        let (from_server, to_client) = (server.try_clone()?, client.try_clone()?);
        let backward = Arc::clone(&self);
        thread::spawn(move || backward.forward(from_server, to_client));
        self.forward(client, server);
        Ok(())
    }

    /// Makes a connection known, so that a cut closes it; fails if the line is cut.
    fn register(&self, connection: &TcpStream) -> io::Result<()> {
        let handle = connection.try_clone()?;
        let mut line = self.line();
        if matches!(line.mode, Mode::Cut | Mode::Dropped) {
            return handle.shutdown(Shutdown::Both);
        }
        line.connections.push(handle);
        Ok(())
    }

    fn forward(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            self.wait_while_blocked();
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        // An end is news too, and must not pass a blocked line either.
        self.wait_while_blocked();
        let _ = to.shutdown(Shutdown::Write);
    }

    fn wait_while_blocked(&self) {
        let line = self.line();
        let blocked = self.changed.wait_while(line, |line| line.mode == Mode::Blocked);
        drop(blocked.unwrap_or_else(PoisonError::into_inner));
    }
}
