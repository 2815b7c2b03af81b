//! Two gates and two storage workers, as separate processes on real services.

use super::{
    binaries::binary,
    ground::Ground,
    server::{Ready, Server},
    service::{ADMIN_PASSWORD, Service},
    stage::Stage,
};
use std::{net::SocketAddr, process::Command};
use testbed::Port;

const ADMIN_CREATED: &str = "created the account admin";
const PASSWORD_FILE: &str = "admin-password";
const KEYS_FILE: &str = "signing-keys";
const SIGNING_KEYS: &str = "a key of the scenarios, as long as it must be\n";

/// A running cluster. Dropping it kills its processes and removes its vhost and keyspace.
pub(crate) struct Cluster {
    pub(crate) gates: Vec<Server>,
    pub(crate) workers: Vec<Server>,
    pub(crate) ground: Ground,
    addresses: Vec<SocketAddr>,
    /// Where the workers tell how they are.
    pub(crate) admin_addresses: Vec<SocketAddr>,
    _ports: Vec<Port>,
}

impl Cluster {
    /// Starts two of each, and returns when all of them serve.
    pub(crate) fn start(stage: &Stage, ground: Ground) -> Self {
        let redis_urls = [ground.redis_url.clone(), ground.redis_url.clone()];
        Self::launch(stage, ground, &redis_urls, &[("CASSANDRA_REPLICATION", "1")])
    }

    /// The same with a gate for each of these, which keeps its sessions there.
    pub(crate) fn start_on(stage: &Stage, ground: Ground, redis_urls: &[String]) -> Self {
        Self::launch(stage, ground, redis_urls, &[("CASSANDRA_REPLICATION", "1")])
    }

    /// The same as [`Cluster::start`], with variables for all of its processes.
    pub(crate) fn start_with(stage: &Stage, ground: Ground, variables: &[(&'static str, &str)]) -> Self {
        let redis_urls = [ground.redis_url.clone(), ground.redis_url.clone()];
        Self::launch(stage, ground, &redis_urls, variables)
    }

    fn launch(
        stage: &Stage,
        ground: Ground,
        redis_urls: &[String],
        variables: &[(&'static str, &str)],
    ) -> Self {
        let gates = redis_urls.len();
        let ports: Vec<_> = (0..gates + 2).map(|_| Port::reserve().unwrap()).collect();
        let admin_addresses: Vec<_> =
            ports[gates..].iter().map(|port| SocketAddr::from(([127, 0, 0, 1], port.number()))).collect();
        let worker =
            |(address, number): (&SocketAddr, usize)| worker(stage, &ground, number, *address, variables);
        let mut workers: Vec<_> = admin_addresses.iter().zip(1..).map(worker).collect();
        let addresses: Vec<_> =
            ports[..gates].iter().map(|port| SocketAddr::from(([127, 0, 0, 1], port.number()))).collect();
        // Once: the first gate may read them while the second one is started.
        stage.secret(PASSWORD_FILE, ADMIN_PASSWORD);
        stage.secret(KEYS_FILE, SIGNING_KEYS);
        let gates = addresses.iter().zip(redis_urls).zip(1..);
        let mut gates: Vec<_> = gates
            .map(|((address, redis_url), number)| {
                gate(stage, &ground, redis_url, number, *address, variables)
            })
            .collect();
        workers.iter_mut().chain(&mut gates).for_each(Server::wait_ready);
        wait_for_admin(&mut gates);
        Self { gates, workers, ground, addresses, admin_addresses, _ports: ports }
    }

    /// As a scenario sees it.
    pub(crate) async fn service(&self) -> Service {
        let roots = self.addresses.iter().map(|address| format!("http://{address}")).collect();
        Service::open(roots, ADMIN_PASSWORD).await
    }
}

/// One of the gates creates the account on a fresh keyspace; they serve meanwhile.
fn wait_for_admin(gates: &mut [Server]) {
    let (first, others) = gates.split_first_mut().expect("there is a gate");
    first.wait_until("the account admin", |log| {
        let mut logs = others.iter().map(Server::log).chain([log]);
        logs.any(|log| log.line_with(ADMIN_CREATED).is_some())
    });
}

fn worker(
    stage: &Stage,
    ground: &Ground,
    number: usize,
    address: SocketAddr,
    more: &[(&'static str, &str)],
) -> Server {
    let name = format!("worker-{number}");
    let mut variables = vec![
        ("AMQP_URLS", ground.amqp_url.clone()),
        ("CASSANDRA", ground.cassandra.join(",")),
        ("CASSANDRA_KEYSPACE", ground.keyspace.clone()),
        ("WORKER_NAME", name.clone()),
        ("ADMIN_BIND", address.to_string()),
    ];
    variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Server::launch(stage, &name, Ready::Line("\"consuming\""), move || {
        let mut command = binary("storage-worker");
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command
    })
}

fn gate(
    stage: &Stage,
    ground: &Ground,
    redis_url: &str,
    number: usize,
    address: SocketAddr,
    more: &[(&'static str, &str)],
) -> Server {
    let name = format!("gate-{number}");
    let mut variables = vec![
        ("GATE_BIND", address.to_string()),
        ("GATE_NAME", name.clone()),
        ("AMQP_URLS", ground.amqp_url.clone()),
        ("REDIS_URL", redis_url.to_owned()),
        ("ADMIN_PASSWORD_FILE", stage.path().join(PASSWORD_FILE).display().to_string()),
        ("SIGNING_KEYS_FILE", stage.path().join(KEYS_FILE).display().to_string()),
    ];
    variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let launch = move || -> Command {
        let mut command = binary("gate");
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command
    };
    Server::launch(stage, &name, Ready::Readyz(address), launch)
}
