//! `penstock serve`: gate and worker in one process on a data directory.

use super::{
    binaries::binary,
    server::{Ready, Server},
    service::Service,
    stage::Stage,
};
use std::net::SocketAddr;
use testbed::Port;

/// A running `penstock serve`. Dropping it kills it.
pub(crate) struct Embedded {
    pub(crate) server: Server,
    address: SocketAddr,
    password: String,
    _port: Port,
}

impl Embedded {
    /// Serves from an empty directory on `stage`, and returns when it serves.
    pub(crate) fn start(stage: &Stage) -> Self {
        let port = Port::reserve().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
        let mut server = launch(stage, "penstock", address);
        server.wait_ready();
        let password = printed_password(&mut server);
        Self { server, address, password, _port: port }
    }

    /// Starts one more process on the same directory.
    pub(crate) fn start_another(&self, stage: &Stage) -> Server {
        let port = Port::reserve().unwrap();
        launch(stage, "another-penstock", SocketAddr::from((self.address.ip(), port.number())))
    }

    pub(crate) async fn service(&self) -> Service {
        Service::open(vec![format!("http://{}", self.address)], &self.password).await
    }
}

fn launch(stage: &Stage, name: &str, address: SocketAddr) -> Server {
    let data = stage.path().join("data");
    Server::launch(stage, name, Ready::Readyz(address), move || {
        let mut command = binary("penstock");
        command.arg("serve").arg("--data").arg(&data).args(["--bind", &address.to_string()]);
        command
    })
}

/// The first start mints the admin's password and prints it once.
fn printed_password(server: &mut Server) -> String {
    let line = server.wait_for_line("shown only now:");
    line.split_whitespace().last().unwrap().to_owned()
}
