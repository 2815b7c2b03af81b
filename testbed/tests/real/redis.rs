use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use testbed::{Persistence, Redis, Scratch};

/// A connection that speaks inline commands.
struct Client {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        Self { stream, lines }
    }

    fn send(&mut self, command: &str) {
        self.stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.line().unwrap()
    }
}

#[test]
fn redis_keeps_acknowledged_writes_over_a_kill() {
    let scratch = Scratch::new().unwrap();
    let mut redis = Redis::start(scratch.path(), Persistence::AppendOnlyFile).unwrap();
    assert_eq!(Client::connect(redis.address()).ask("SET key 42"), "+OK");
    redis.kill();
    TcpStream::connect(redis.address()).unwrap_err();
    redis.restart().unwrap();
    let mut client = Client::connect(redis.address());
    assert_eq!(client.ask("GET key"), "$2");
    assert_eq!(client.line().unwrap(), "42");
    assert!(redis.stop().unwrap().success());
}

#[test]
fn redis_without_persistence_forgets_and_writes_no_file() {
    let scratch = Scratch::new().unwrap();
    let mut redis = Redis::start(scratch.path(), Persistence::None).unwrap();
    assert_eq!(Client::connect(redis.address()).ask("SET key 42"), "+OK");
    redis.stop().unwrap();
    assert_eq!(scratch.path().join("redis").read_dir().unwrap().count(), 0);
    redis.restart().unwrap();
    assert_eq!(Client::connect(redis.address()).ask("GET key"), "$-1");
}

#[test]
fn a_frozen_redis_answers_when_thawed() {
    let scratch = Scratch::new().unwrap();
    let mut redis = Redis::start(scratch.path(), Persistence::None).unwrap();
    let mut client = Client::connect(redis.address());
    redis.freeze().unwrap();
    client.stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    client.send("PING");
    client.line().unwrap_err();
    redis.thaw().unwrap();
    client.stream.set_read_timeout(None).unwrap();
    assert_eq!(client.line().unwrap(), "+PONG");
}
