//! One of each service, for a whole test run.

use std::{path::Path, thread};

use anyhow::{Context, Result, anyhow};

use crate::{
    cassandra::Cassandra,
    elasticsearch::Elasticsearch,
    install,
    rabbitmq::RabbitMq,
    redis::{Persistence, Redis},
    scratch::Scratch,
    shared::{AMQP_URL, CASSANDRA, ELASTICSEARCH, RABBITMQ_MANAGEMENT_URL, REDIS_URL, set},
};

/// RabbitMQ, Cassandra, Redis and Elasticsearch, but for those that the environment already names. Dropping it kills them
/// and removes their data.
#[derive(Debug)]
pub struct Services {
    rabbitmq: Option<RabbitMq>,
    cassandra: Option<Cassandra>,
    redis: Option<Redis>,
    elasticsearch: Option<Elasticsearch>,
    // Dropped last: they live in it.
    scratch: Scratch,
}

impl Services {
    /// The variables that name running services.
    pub const VARIABLES: [&str; 5] = [AMQP_URL, RABBITMQ_MANAGEMENT_URL, CASSANDRA, REDIS_URL, ELASTICSEARCH];

    /// Installs what is missing, then starts one node of each service, at the same time.
    pub fn start() -> Result<Self> {
        if set(AMQP_URL).is_some() != set(RABBITMQ_MANAGEMENT_URL).is_some() {
            return Err(anyhow!("{AMQP_URL} and {RABBITMQ_MANAGEMENT_URL} are needed both, or neither"));
        }
        let scratch = Scratch::within(&install::cache()?)?;
        let directory = scratch.path();
        let (rabbitmq, cassandra, elasticsearch, redis) = thread::scope(|scope| {
            let rabbitmq = scope.spawn(|| unless_set(AMQP_URL, || RabbitMq::start(directory)));
            let cassandra = scope.spawn(|| unless_set(CASSANDRA, || Cassandra::start(directory)));
            let elasticsearch = scope.spawn(|| unless_set(ELASTICSEARCH, || Elasticsearch::start(directory)));
            let redis = unless_set(REDIS_URL, || Redis::start(directory, Persistence::None));
            (rabbitmq.join(), cassandra.join(), elasticsearch.join(), redis)
        });
        let rabbitmq =
            rabbitmq.map_err(|_| anyhow!("the start of RabbitMQ panicked"))?.context("RabbitMQ")?;
        let cassandra =
            cassandra.map_err(|_| anyhow!("the start of Cassandra panicked"))?.context("Cassandra")?;
        let elasticsearch = elasticsearch
            .map_err(|_| anyhow!("the start of Elasticsearch panicked"))?
            .context("Elasticsearch")?;
        let redis = redis.context("Redis")?;
        Ok(Self { rabbitmq, cassandra, redis, elasticsearch, scratch })
    }

    /// Where the data and the logs are.
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// The variables under which tests find the services, those of the environment included.
    pub fn variables(&self) -> Vec<(String, String)> {
        let started = |name: &str| match name {
            AMQP_URL => self.rabbitmq.as_ref().map(|node| node.url().to_owned()),
            RABBITMQ_MANAGEMENT_URL => {
                self.rabbitmq.as_ref().map(|node| node.broker().management_url().to_owned())
            }
            CASSANDRA => self.cassandra.as_ref().map(|node| node.address().to_string()),
            ELASTICSEARCH => self.elasticsearch.as_ref().map(Elasticsearch::url),
            _ => self.redis.as_ref().map(Redis::url),
        };
        let value = |name: &str| started(name).or_else(|| set(name));
        Self::VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), value(name)?))).collect()
    }
}

fn unless_set<T>(variable: &str, start: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
    if set(variable).is_some() { Ok(None) } else { start().map(Some) }
}
