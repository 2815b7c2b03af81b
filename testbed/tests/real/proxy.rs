use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use testbed::Proxy;

const A_WHILE: Duration = Duration::from_millis(200);

/// A server that sends back what it gets.
fn echo_proxy() -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || std::io::copy(&mut client.try_clone().unwrap(), &mut &client));
        }
    });
    proxy
}

fn echo(client: &mut TcpStream) -> std::io::Result<()> {
    client.write_all(b"ping")?;
    client.read_exact(&mut [0; 4])
}

#[test]
fn what_goes_in_comes_out() {
    let proxy = echo_proxy();
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    echo(&mut client).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0; 4]).unwrap(), 0, "the end of a stream passes too");
}

#[test]
fn a_cut_closes_old_and_new_connections_until_restored() {
    let proxy = echo_proxy();
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    echo(&mut client).unwrap();
    proxy.cut();
    echo(&mut client).unwrap_err();
    echo(&mut TcpStream::connect(proxy.address()).unwrap()).unwrap_err();
    proxy.restore();
    echo(&mut TcpStream::connect(proxy.address()).unwrap()).unwrap();
}

#[test]
fn a_blocked_line_is_silent_and_loses_nothing() {
    let proxy = echo_proxy();
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    echo(&mut client).unwrap();
    proxy.block();
    client.set_read_timeout(Some(A_WHILE)).unwrap();
    let error = echo(&mut client).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    let mut newcomer = TcpStream::connect(proxy.address()).unwrap();
    newcomer.write_all(b"ping").unwrap();
    proxy.restore();
    client.set_read_timeout(None).unwrap();
    client.read_exact(&mut [0; 4]).unwrap();
    newcomer.read_exact(&mut [0; 4]).unwrap();
}

#[test]
fn a_line_that_is_blocked_one_way_passes_the_other_way() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).unwrap();
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let silent = |reader: &mut TcpStream| {
        reader.set_read_timeout(Some(A_WHILE)).unwrap();
        let error = reader.read_exact(&mut [0; 4]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        reader.set_read_timeout(None).unwrap();
    };
    proxy.block_to_server();
    client.write_all(b"ping").unwrap();
    server.write_all(b"pong").unwrap();
    client.read_exact(&mut [0; 4]).unwrap();
    silent(&mut server);
    proxy.block_to_client();
    server.read_exact(&mut [0; 4]).unwrap();
    server.write_all(b"pong").unwrap();
    silent(&mut client);
    proxy.restore();
    client.read_exact(&mut [0; 4]).unwrap();
}

#[test]
fn a_delayed_line_is_slow_and_a_disturbed_one_now_and_then() {
    let proxy = echo_proxy();
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    let mut time = |proxy: &Proxy| {
        let began = std::time::Instant::now();
        for _ in 0..4 {
            echo(&mut client).unwrap();
        }
        proxy.restore();
        began.elapsed()
    };
    proxy.delay(A_WHILE / 4);
    assert!(time(&proxy) >= A_WHILE * 2, "four times there and back");
    proxy.stall(4, A_WHILE);
    assert!(time(&proxy) >= A_WHILE, "one of four");
}
