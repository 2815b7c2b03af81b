//! Logs: readable on a terminal, one JSON object in the Elastic Common Schema a line everywhere else.

use serde_json::{Map, Value};
use std::{fmt, io::IsTerminal};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// What is logged unless `RUST_LOG` says otherwise. Drivers and the embedded store tell every step at `info`, and lapin
/// shows what is in a message that came back.
const USUAL: &str = "info,fjall=warn,lsm_tree=warn,scylla=warn,lapin=warn,lapin::returned_messages=off";

/// Begins to log, to stderr. `RUST_LOG` chooses what; a service's name stands in each line.
pub fn init(service: &'static str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(USUAL));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error means that a test has already begun to log in this process.
    let _ = if std::io::stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.event_format(Ecs { service }).try_init()
    };
}

/// Elastic Common Schema 8: <https://www.elastic.co/guide/en/ecs/8.17/ecs-reference.html>.
struct Ecs {
    service: &'static str,
}

impl<S, N> FormatEvent<S, N> for Ecs
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut line = Map::new();
        line.insert("@timestamp".to_owned(), jiff::Timestamp::now().to_string().into());
        line.insert("log.level".to_owned(), metadata.level().as_str().to_ascii_lowercase().into());
        line.insert("service.name".to_owned(), self.service.into());
        line.insert("process.pid".to_owned(), std::process::id().into());
        line.insert("log.logger".to_owned(), metadata.target().into());
        line.insert("ecs.version".to_owned(), "8.17".into());
        event.record(&mut Fields(&mut line));
        writeln!(writer, "{}", Value::Object(line))
    }
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn set(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}").into());
    }
}
