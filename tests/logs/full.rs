//! A service whose log directory is full serves on, says so once, and logs there again when there is room.

use super::harness::{Client, Ready, Server, Stage, binary};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};
use testbed::{Log, Port};
use tokio::task::block_in_place;

const RECOVERS_WITHIN: Duration = Duration::from_secs(30);
/// In a mount namespace of its own, so that the file system is gone with the service.
const ON_A_SMALL_DISK: &str =
    "mkdir -p \"$LOG_DIR\" && mount -t tmpfs -o size=192k penstock \"$LOG_DIR\" && exec \"$@\"";

/// `penstock serve` with 192 KiB for its log files.
struct Cramped {
    server: Server,
    client: Client,
    directory: PathBuf,
    _port: Port,
}

impl Cramped {
    fn start(stage: &Stage) -> Self {
        let port = Port::reserve().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
        let (path, directory) = (stage.path().to_owned(), stage.path().join("files"));
        let files = directory.clone();
        let mut server = Server::launch(stage, "penstock", Ready::Readyz(address), move || {
            let penstock = binary("penstock");
            let mut command = Command::new("unshare");
            command.env_clear().envs(penstock.get_envs().filter_map(|(name, value)| Some((name, value?))));
            command.args(["--mount", "sh", "-c", ON_A_SMALL_DISK, "sh"]).arg(penstock.get_program());
            command.args(["serve", "--bind", &address.to_string()]).arg("--data").arg(path.join("data"));
            command.env("LOG_DIR", &files).env("LOG_FILE_BYTES", "65536").env("LOG_FILES", "2");
            command
        });
        server.wait_ready();
        // As the service sees it.
        let directory = PathBuf::from(format!("/proc/{}/root{}", server.pid(), directory.display()));
        Self { server, client: Client::new(&format!("http://{address}")), directory, _port: port }
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut filler = File::create(self.directory.join("filler")).unwrap();
        while filler.write_all(&[0; 512]).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.directory.join("filler")).unwrap();
    }

    /// How many lines of the stream say this.
    fn said(&self, what: &str) -> usize {
        lines_with(self.server.log(), what)
    }

    fn lines(&self) -> Vec<String> {
        let names = fs::read_dir(&self.directory).unwrap().map(|entry| entry.unwrap().path());
        let files = names.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
        files
            .flat_map(|path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    async fn serve_some(&self) {
        for _ in 0..200 {
            self.client.get("/openapi.json").await.is(200);
        }
    }
}

fn lines_with(log: &Log, what: &str) -> usize {
    log.text().lines().filter(|line| line.contains(what)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_directory_stops_nobody_is_told_once_and_used_again() {
    let stage = Stage::new();
    let mut cramped = block_in_place(|| Cramped::start(&stage));
    cramped.serve_some().await;
    cramped.fill();
    let before = cramped.said("GET /openapi.json 200");
    cramped.serve_some().await;
    cramped.serve_some().await;
    block_in_place(|| {
        cramped
            .server
            .wait_until("the stream goes on", |log| lines_with(log, "GET /openapi.json 200") >= before + 400);
    });
    assert_eq!(cramped.said("log-files-failed"), 1, "{}", cramped.server.log().tail());
    assert_eq!(cramped.said("log-files-recovered"), 0);
    cramped.make_room();
    let end = Instant::now() + RECOVERS_WITHIN;
    while cramped.said("log-files-recovered") == 0 {
        assert!(Instant::now() < end, "{}", cramped.server.log().tail());
        cramped.client.get("/openapi.json").await.is(200);
    }
    let directory = cramped.directory.clone();
    block_in_place(|| {
        cramped.server.wait_until("the line in the file", |_| {
            let files = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
            files
                .into_iter()
                .any(|path| fs::read_to_string(path).is_ok_and(|text| text.contains("log-files-recovered")))
        });
    });
    for line in cramped.lines() {
        let whole: Result<Value, _> = serde_json::from_str(&line);
        assert!(whole.is_ok(), "no half lines: {line}");
    }
    assert_eq!(cramped.said("log-files-failed"), 1);
}
