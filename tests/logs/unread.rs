//! A service whose standard stream nobody reads any more, as when Docker stands still, serves on, and logs into its files.

use super::harness::{Client, Ready, Server, Stage, binary};
use std::{fs, net::SocketAddr, process::Command};
use testbed::Port;
use tokio::task::block_in_place;

/// The stream is a pipe that is never read, and takes 64 KiB.
const INTO_NOTHING: &str = "mkfifo \"$LOG_DIR.pipe\" && exec \"$@\" <> \"$LOG_DIR.pipe\" >&0 2>&0";
/// A line each, of some 500 bytes.
const REQUESTS: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_nobody_reads_stops_nobody() {
    let stage = Stage::new();
    let port = Port::reserve().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
    let (path, files) = (stage.path().to_owned(), stage.path().join("files"));
    let directory = files.clone();
    let mut server = block_in_place(|| {
        Server::launch(&stage, "penstock", Ready::Readyz(address), move || {
            let penstock = binary("penstock");
            let mut command = Command::new("sh");
            command.env_clear().envs(penstock.get_envs().filter_map(|(name, value)| Some((name, value?))));
            command.args(["-c", INTO_NOTHING, "sh"]).arg(penstock.get_program());
            command.args(["serve", "--bind", &address.to_string()]).arg("--data").arg(path.join("data"));
            command.env("LOG_DIR", &directory);
            command
        })
    });
    block_in_place(|| server.wait_ready());
    let client = Client::new(&format!("http://{address}"));
    for _ in 0..REQUESTS {
        client.get("/openapi.json").await.is(200);
    }
    block_in_place(|| {
        server.wait_until("all lines in the files", |_| {
            let files = fs::read_dir(&files)
                .unwrap()
                .filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok());
            files.map(|text| text.matches("GET /openapi.json 200").count()).sum::<usize>() >= REQUESTS
        });
    });
}
