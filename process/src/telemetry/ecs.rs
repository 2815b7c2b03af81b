//! Lines in the Elastic Common Schema 8: <https://www.elastic.co/guide/en/ecs/8.17/ecs-reference.html>. What it has no
//! name for is named in `docs/logging.md`.

use jiff::Timestamp;
use serde::Serialize;
use std::{error::Error, fmt, io};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_log::NormalizeEvent;
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Writes a line without building it in memory: there is one for each request and each command.
#[derive(Clone)]
pub(super) struct Ecs {
    /// What is the same in each line of this process: members of the object, with a comma before each.
    constant: String,
}

impl Ecs {
    pub(super) fn of(service: &'static str) -> Self {
        let host = super::directory::host();
        let constant = serde_json::json!({
            "service.name": service,
            "service.version": env!("CARGO_PKG_VERSION"),
            "host.hostname": host,
            "process.pid": std::process::id(),
            "ecs.version": "8.17",
        })
        .to_string();
        Self { constant: format!(",{}", &constant[1..constant.len() - 1]) }
    }
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
        // What came by the crate `log` says in fields of its own where from.
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let level = match *metadata.level() {
            tracing::Level::ERROR => "error",
            tracing::Level::WARN => "warn",
            tracing::Level::INFO => "info",
            tracing::Level::DEBUG => "debug",
            tracing::Level::TRACE => "trace",
        };
        write!(writer, r#"{{"@timestamp":"{:.6}","log.level":"{level}""#, Timestamp::now())?;
        writer.write_str(&self.constant)?;
        let mut line = Line { writer: &mut writer, result: Ok(()) };
        line.set("log.logger", metadata.target());
        event.record(&mut line);
        line.result?;
        writer.write_str("}\n")
    }
}

/// The rest of a line: members, each with a comma before it.
struct Line<'a, 'w> {
    writer: &'a mut Writer<'w>,
    result: fmt::Result,
}

impl Line<'_, '_> {
    /// Our own names have dots. Others are those of libraries: `error` or `file` would be in the way of an object.
    fn record(&mut self, field: &Field, value: impl Serialize) {
        match field.name() {
            "log.target" | "log.module_path" | "log.file" | "log.line" => {}
            name if name == "message" || name.contains('.') => self.set(name, value),
            name => self.set(&format!("labels.{name}"), value),
        }
    }

    fn set(&mut self, name: &str, value: impl Serialize) {
        if self.result.is_ok() {
            self.result = self.try_set(name, value);
        }
    }

    fn try_set(&mut self, name: &str, value: impl Serialize) -> fmt::Result {
        // Names of fields are paths of identifiers, which need no escapes.
        write!(self.writer, ",\"{name}\":")?;
        serde_json::to_writer(Bytes(self.writer), &value).map_err(|_| fmt::Error)
    }
}

impl Visit for Line<'_, '_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record(field, value);
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.record(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record(field, value);
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, value);
    }
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.record(field, value.to_string());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field, format!("{value:?}"));
    }
}

/// `serde_json` writes bytes, and only ever whole characters at once.
struct Bytes<'a, 'w>(&'a mut Writer<'w>);

impl io::Write for Bytes<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = str::from_utf8(bytes).map_err(io::Error::other)?;
        self.0.write_str(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::SubscriberExt;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(log: impl FnOnce()) -> Value {
        let sink = Sink::default();
        let writer = sink.clone();
        let layer = tracing_subscriber::fmt::layer()
            .event_format(Ecs::of("test"))
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let written = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert!(written.ends_with("}\n") && written.lines().count() == 1, "{written}");
        serde_json::from_str(&written).unwrap()
    }

    #[test]
    fn a_line_is_one_object_whatever_stands_in_it() {
        let error = io::Error::other("two\nlines");
        let line = line(|| {
            tracing::warn!(
                command.id = %"a\"b", event.duration = 5_u64, error.message = &error as &dyn Error,
                test.ratio = 0.5, test.missing = None::<&str>, "it's \u{1f980}\t\u{7}\\"
            );
        });
        assert_eq!(line["log.level"], "warn");
        assert_eq!(line["service.name"], "test");
        assert_eq!(line["command.id"], "a\"b");
        assert_eq!(line["event.duration"], 5);
        assert_eq!(line["error.message"], "two\nlines");
        assert_eq!(line["test.ratio"], 0.5);
        assert_eq!(line["message"], "it's \u{1f980}\t\u{7}\\");
        assert!(line.get("test.missing").is_none());
        assert!(line["@timestamp"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{line}");
        assert_eq!(line["process.pid"], std::process::id());
    }

    #[test]
    fn what_libraries_call_their_fields_gets_in_the_way_of_nothing() {
        let line = line(|| tracing::warn!(error = "broken", file = 3, "a library"));
        assert_eq!((&line["labels.error"], &line["labels.file"]), (&"broken".into(), &3.into()));
        assert!(line.get("error").is_none() && line.get("file").is_none(), "{line}");
    }
}
