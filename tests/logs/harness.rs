//! What these tests share with the scenarios.

#[path = "../harness/answer.rs"]
#[expect(dead_code, reason = "scenarios look closer")]
mod answer;
#[path = "../harness/binaries.rs"]
mod binaries;
#[path = "../harness/client.rs"]
#[expect(dead_code, reason = "scenarios do more")]
mod client;
#[path = "../harness/cluster.rs"]
#[expect(dead_code, reason = "scenarios start other ones")]
mod cluster;
#[path = "../harness/cql.rs"]
#[expect(dead_code, reason = "only the keyspace is taken away")]
mod cql;
#[path = "../harness/ground.rs"]
#[expect(dead_code, reason = "scenarios look into queues")]
mod ground;
#[path = "../harness/server.rs"]
#[expect(dead_code, reason = "scenarios hurt them")]
mod server;
#[path = "../harness/service.rs"]
#[expect(dead_code, reason = "scenarios have more people")]
mod service;
#[path = "../harness/stage.rs"]
#[expect(dead_code, reason = "scenarios show logs when they fail")]
mod stage;

use std::{fs, path::Path};

pub(crate) use binaries::binary;
pub(crate) use client::Client;
pub(crate) use cluster::Cluster;
pub(crate) use ground::Ground;
pub(crate) use server::{Ready, Server};
pub(crate) use service::{Service, unique};
pub(crate) use stage::Stage;

/// A file of the repository.
pub(crate) fn repository(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All lines of the files in a directory.
pub(crate) fn lines(directory: &Path) -> Vec<String> {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.map(|path| String::from_utf8(fs::read(path).unwrap()).unwrap());
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}
