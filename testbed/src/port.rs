//! Free ports on loopback.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::{Ipv4Addr, TcpListener, UdpSocket},
};

/// Below Linux's range of ephemeral ports (32768 up), so that no outgoing connection, least of all a client
/// that reconnects to a dead server's port, takes the port while its server is down.
const RANGE: std::ops::Range<u16> = 10_000..32_000;

/// A TCP port reserved for one service, across all processes that ask here, as long as this value lives.
///
/// The reservation is a bound UDP socket of the same number: it does not hinder a TCP listener, and the
/// kernel takes it back however its process ends.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reservation: UdpSocket,
}

impl Port {
    /// Reserves a port on which nobody listens.
    pub fn reserve() -> io::Result<Self> {
        let span = u64::from(RANGE.end - RANGE.start);
        for attempt in 0..1000_u32 {
            let random = RandomState::new().hash_one(attempt) % span;
            let number = RANGE.start + u16::try_from(random).unwrap_or_default();
            // All addresses: a node may listen on 127.0.0.2.
            let Ok(reservation) = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, number)) else { continue };
            if TcpListener::bind((Ipv4Addr::UNSPECIFIED, number)).is_ok() {
                return Ok(Self { number, _reservation: reservation });
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, format!("no free port in {RANGE:?}")))
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// A port on which nobody listens now. Prefer [`Port::reserve`] where the value can be kept.
pub fn free_port() -> io::Result<u16> {
    Port::reserve().map(|port| port.number())
}
