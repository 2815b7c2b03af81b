//! A deployment that scenarios share.

use super::{
    cluster::Cluster, embedded::Embedded, ground::Ground, runner::guarded, service::Service, stage::Stage,
};
use libtest_mimic::Failed;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::runtime::Runtime;

/// What the service runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deployed {
    /// One process.
    Embedded,
    /// Two gates, two workers.
    Cluster,
}

/// Started when the first scenario needs it.
pub(super) struct Shared {
    deployed: Deployed,
    stage: Stage,
    started: Mutex<Option<Result<(Running, Service), Failed>>>,
}

enum Running {
    Embedded(Embedded),
    Cluster(Cluster),
}

impl Shared {
    pub(super) fn new(deployed: Deployed) -> Self {
        Self { deployed, stage: Stage::new(), started: Mutex::new(None) }
    }

    pub(super) fn name(&self) -> &'static str {
        match self.deployed {
            Deployed::Embedded => "embedded",
            Deployed::Cluster => "cluster",
        }
    }

    pub(super) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// The running service. If it could not be started, it is not tried again.
    pub(super) fn service(&self, runtime: &Runtime) -> Result<Service, Failed> {
        let mut started = self.started();
        let started = started.get_or_insert_with(|| guarded(&self.stage, || self.start(runtime)));
        started.as_ref().map(|(_, service)| service.clone()).map_err(Clone::clone)
    }

    /// Takes the deployment down, if it was started: nothing may be left in its queues.
    pub(super) fn finish(&self) {
        match self.started().take() {
            Some(Ok((Running::Cluster(cluster), _))) => cluster.ground.assert_drained(),
            Some(Ok((Running::Embedded(mut embedded), _))) => embedded.server.kill(),
            Some(Err(_)) | None => {}
        }
    }

    fn start(&self, runtime: &Runtime) -> (Running, Service) {
        match self.deployed {
            Deployed::Embedded => {
                let embedded = Embedded::start(&self.stage);
                let service = runtime.block_on(embedded.service());
                (Running::Embedded(embedded), service)
            }
            Deployed::Cluster => {
                let cluster = Cluster::start(&self.stage, Ground::shared());
                let service = runtime.block_on(cluster.service());
                (Running::Cluster(cluster), service)
            }
        }
    }

    fn started(&self) -> MutexGuard<'_, Option<Result<(Running, Service), Failed>>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
