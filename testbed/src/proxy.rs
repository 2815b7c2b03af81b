//! A TCP proxy that cuts, silences, delays or disturbs connections.

mod aim;
mod batches;

pub use aim::CutAt;
use aim::Frames;
pub use batches::Batches;
use batches::{BATCH, Stream};
use socket2::SockRef;
use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// Connections that the kernel keeps for the listener, as the standard library asks for.
const WAITING: i32 = 128;
/// To which no connection is made within this, takes no more.
const FULL_AFTER: Duration = Duration::from_millis(200);

/// Forwards connections on a loopback port to a target, until told otherwise.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    listener: TcpListener,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    target: SocketAddr,
    /// Of clients that speak CQL: what they send is looked at.
    batches: Option<Arc<Batches>>,
    line: Mutex<Line>,
    changed: Condvar,
}

#[derive(Debug)]
struct Line {
    mode: Mode,
    connections: Vec<TcpStream>,
    /// Whether the listener keeps somebody waiting, and so accepts nobody.
    is_held: bool,
    /// Where batches are still to be cut.
    cuts: Vec<CutAt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// What is to be delayed: each piece, or every so-manieth.
    Open(Delay),
    /// Nothing passes this way, nothing closes; `None`: neither way.
    Blocked(Option<Way>),
    /// The same, and no new connection is acknowledged.
    Vanished,
    /// Connections are closed at once.
    Cut,
    /// The proxy is gone.
    Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ToServer,
    ToClient,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Delay {
    time: Duration,
    /// 0: none, 1: each piece, 20: every twentieth.
    every: usize,
}

impl Proxy {
    /// Starts a proxy for `target` on a port of 127.0.0.1 that the system chooses.
    pub fn start(target: impl ToSocketAddrs) -> io::Result<Self> {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), target)
    }

    /// Starts a proxy for `target` on this address.
    pub fn start_on(listen: SocketAddr, target: impl ToSocketAddrs) -> io::Result<Self> {
        Self::start_as(listen, target, None)
    }

    /// The same for clients that speak CQL (binary protocol v4), whose batches it can tell apart.
    pub fn start_cql_on(
        listen: SocketAddr,
        target: impl ToSocketAddrs,
        batches: Arc<Batches>,
    ) -> io::Result<Self> {
        Self::start_as(listen, target, Some(batches))
    }

    fn start_as(
        listen: SocketAddr,
        target: impl ToSocketAddrs,
        batches: Option<Arc<Batches>>,
    ) -> io::Result<Self> {
        let target = target.to_socket_addrs()?.next().ok_or(io::ErrorKind::InvalidInput)?;
        let listener = TcpListener::bind(listen)?;
        let address = listener.local_addr()?;
        let line = Mutex::new(Line {
            mode: Mode::Open(Delay::default()),
            connections: Vec::new(),
            is_held: false,
            cuts: Vec::new(),
        });
        let state = Arc::new(State { target, batches, line, changed: Condvar::new() });
        let (accepting, accepted) = (Arc::clone(&state), listener.try_clone()?);
        thread::spawn(move || accepting.accept(&accepted));
        Ok(Self { address, listener, state })
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
        self.state.set(Mode::Blocked(None));
    }

    /// As if its machine were gone: what is sent is not answered, nor is who tries to connect, not even by the kernel.
    ///
    /// # Errors
    /// When the kernel does not take so few connections.
    pub fn vanish(&self) -> io::Result<()> {
        self.state.set(Mode::Vanished);
        SockRef::from(&self.listener).listen(0)?;
        // The listener accepts this one, and no other. To a queue of no length the kernel lets one.
        let _first = TcpStream::connect(self.address)?;
        let line = self.state.changed.wait_while(self.state.line(), |line| !line.is_held);
        drop(line.unwrap_or_else(PoisonError::into_inner));
        while TcpStream::connect_timeout(&self.address, FULL_AFTER).is_ok() {}
        Ok(())
    }

    /// Swallows what clients send. What the server says passes.
    pub fn block_to_server(&self) {
        self.state.set(Mode::Blocked(Some(Way::ToServer)));
    }

    /// Swallows what the server says. What clients send passes.
    pub fn block_to_client(&self) {
        self.state.set(Mode::Blocked(Some(Way::ToClient)));
    }

    /// Holds everything back for so long, in both directions.
    pub fn delay(&self, time: Duration) {
        self.state.set(Mode::Open(Delay { time, every: 1 }));
    }

    /// Holds every so-manieth piece, and all behind it, back for so long: what a lost packet does to a connection
    /// that waits for its retransmission.
    pub fn stall(&self, every: usize, time: Duration) {
        self.state.set(Mode::Open(Delay { time, every }));
    }

    /// Closes so many connections, each when the next batch goes by. The proxy was started for CQL.
    pub fn cut_batches(&self, place: CutAt, times: usize) {
        self.state.line().cuts = vec![place; times];
    }

    /// How many of those were not closed yet.
    pub fn batches_to_cut(&self) -> usize {
        self.state.line().cuts.len()
    }

    /// Lets everything pass again, also what was held back.
    pub fn restore(&self) {
        // It may have vanished. Fails only for what does not listen.
        let _ = SockRef::from(&self.listener).listen(WAITING);
        self.state.set(Mode::Open(Delay::default()));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.restore();
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
        (line.mode, line.is_held) = (mode, false);
        if matches!(mode, Mode::Cut | Mode::Dropped) {
            for connection in line.connections.drain(..) {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
        self.changed.notify_all();
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().flatten() {
            let mut line = self.line();
            line.is_held = line.mode == Mode::Vanished;
            self.changed.notify_all();
            let line = self.changed.wait_while(line, |line| line.mode == Mode::Vanished);
            if line.unwrap_or_else(PoisonError::into_inner).mode == Mode::Dropped {
                return;
            }
            let state = Arc::clone(self);
            thread::spawn(move || state.serve(client));
        }
    }

    fn serve(self: Arc<Self>, client: TcpStream) -> io::Result<()> {
        self.register(&client)?;
        self.wait_while_blocked(Way::ToServer);
        let server = TcpStream::connect(self.target)?;
        self.register(&server)?;
        for end in [&client, &server] {
            end.set_nodelay(true)?;
        }
        let (from_server, to_client) = (server.try_clone()?, client.try_clone()?);
        let backward = Arc::clone(&self);
        thread::spawn(move || backward.forward(Way::ToClient, from_server, to_client));
        self.forward(Way::ToServer, client, server);
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

    fn forward(&self, way: Way, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 * 1024];
        let mut pieces = 0_usize;
        let (mut frames, mut stream) = (Frames::default(), Stream::default());
        let batches = self.batches.as_ref().filter(|_| way == Way::ToServer);
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            pieces += 1;
            self.hold(way, pieces);
            let cut = batches.and_then(|_| self.cut_at(&mut frames, &buffer[..length]));
            let passing = &buffer[..cut.unwrap_or(length)];
            if let Some(batches) = batches {
                batches.sent(&mut stream, passing, cut.is_some());
            }
            if to.write_all(passing).is_err() {
                break;
            }
            if cut.is_some() {
                let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                break;
            }
        }
        // An end is news too, and must not pass a blocked line either.
        self.wait_while_blocked(way);
        let _ = to.shutdown(Shutdown::Write);
        self.forget_closed();
    }

    /// How many of these bytes a client's connection lives to send; `None`: all.
    fn cut_at(&self, frames: &mut Frames, bytes: &[u8]) -> Option<usize> {
        frames.cut(bytes, |opcode| if opcode == BATCH { self.line().cuts.pop() } else { None })
    }

    /// Waits as long as a piece of this number is to be held back.
    fn hold(&self, way: Way, piece: usize) {
        self.wait_while_blocked(way);
        let mode = self.line().mode;
        if let Mode::Open(delay) = mode
            && delay.every > 0
            && piece.is_multiple_of(delay.every)
        {
            thread::sleep(delay.time);
            self.wait_while_blocked(way);
        }
    }

    fn wait_while_blocked(&self, way: Way) {
        let line = self.line();
        let blocked = self.changed.wait_while(line, |line| match line.mode {
            Mode::Blocked(blocked) => blocked.is_none_or(|blocked| blocked == way),
            Mode::Vanished => true,
            _ => false,
        });
        drop(blocked.unwrap_or_else(PoisonError::into_inner));
    }

    /// A long campaign opens many connections: what has ended is not kept.
    fn forget_closed(&self) {
        self.line().connections.retain(|connection| connection.peer_addr().is_ok());
    }
}
