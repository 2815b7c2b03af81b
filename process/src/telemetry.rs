//! Logs: readable on a terminal, one JSON object in the Elastic Common Schema a line everywhere else; and, where a
//! directory is given, in files there.

mod directory;
mod ecs;
mod files;

use crate::ConfigError;
use clap::Args;
use ecs::Ecs;
use files::LogFiles;
use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::{self, MakeWriter, writer::MakeWriterExt},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// What is logged unless `RUST_LOG` says otherwise. Drivers and the embedded store tell every step at `info`, and lapin
/// shows what is in a message that came back.
const USUAL: &str = "info,fjall=warn,lsm_tree=warn,scylla=warn,lapin=warn,lapin::returned_messages=off";
/// Lines that wait for whoever reads the stream, and as many for the disk. More are left out: neither must hold up the service, nor fill its
/// memory.
const WAITING: usize = 8192;
const FINISHED_WITHIN: Duration = Duration::from_secs(3);

/// The files that log lines go to.
#[derive(Clone, Debug, Default, Args)]
pub struct LogOptions {
    /// A directory for log files, shared with other replicas if you like; without it lines go to the standard stream
    /// alone.
    #[arg(long, env = "LOG_DIR")]
    pub log_dir: Option<PathBuf>,
    /// The most bytes of one log file.
    #[arg(long, env = "LOG_FILE_BYTES", default_value_t = 16 << 20, value_parser = clap::value_parser!(u64).range(64 << 10..=1 << 30))]
    pub log_file_bytes: u64,
    /// The most log files of this service in the directory, those of all replicas together. The oldest go first; a
    /// file that a live process writes stays.
    #[arg(long, env = "LOG_FILES", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub log_files: u16,
}

/// The standard stream that log lines go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Of a process that has nothing else to say.
    Stdout,
    /// Of a command that tells people something on stdout.
    Stderr,
}

/// How a process logs.
#[derive(Clone, Debug)]
pub struct Logging {
    /// The name that stands in each line.
    pub service: &'static str,
    /// The stream.
    pub stream: Stream,
    /// The files.
    pub options: LogOptions,
}

/// Keeps what was logged on its way to the stream and the files. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Logs(Arc<Mutex<Vec<WorkerGuard>>>);

impl Logging {
    /// Begins to log. `RUST_LOG` chooses what.
    ///
    /// # Errors
    /// When `LOG_DIR` cannot be used. That it is full is no reason.
    pub fn begin(self) -> Result<Logs, ConfigError> {
        let mut guards = Vec::new();
        let mut apart = |name: &str, to: Box<dyn io::Write + Send>| {
            let builder = NonBlockingBuilder::default().buffered_lines_limit(WAITING).lossy(true);
            let (writer, guard) = builder.thread_name(name).finish(to);
            guards.push(guard);
            writer
        };
        let files = match &self.options.log_dir {
            None => None,
            Some(directory) => {
                let files = LogFiles::open(self.service, directory, &self.options)?;
                Some(apart("log-files", Box::new(files)))
            }
        };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(USUAL));
        let (ecs, stream) = (Ecs::of(self.service), self.stream);
        let layers = match (stream.is_terminal(), files) {
            (true, None) => vec![for_people(stream)],
            (true, Some(files)) => vec![for_people(stream), for_machines(ecs, files)],
            (false, None) => vec![for_machines(ecs, apart("log-stream", stream.open()))],
            (false, Some(files)) => {
                vec![for_machines(ecs, apart("log-stream", stream.open()).and(files))]
            }
        };
        // An error means that a test has already begun to log in this process.
        let _ = tracing_subscriber::registry().with(layers).with(filter).try_init();
        Ok(Logs(Arc::new(Mutex::new(guards))))
    }
}

impl Logs {
    /// Waits, at most three seconds, until what was logged is in the stream and in the files. Nothing gets there afterwards.
    pub fn finish(&self) {
        let guards = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let (sender, finished) = mpsc::channel();
        // A guard says on stdout that nobody reads that, and waits for ever until it may.
        thread::spawn(move || {
            drop(guards);
            // It fails when nobody waits any more.
            let _ = sender.send(());
        });
        let _ = finished.recv_timeout(FINISHED_WITHIN);
    }
}

impl Stream {
    fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => io::stdout().is_terminal(),
            Self::Stderr => io::stderr().is_terminal(),
        }
    }

    fn open(self) -> Box<dyn io::Write + Send> {
        match self {
            Self::Stdout => Box::new(io::stdout()),
            Self::Stderr => Box::new(io::stderr()),
        }
    }
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

fn for_people(stream: Stream) -> BoxedLayer {
    fmt::layer().with_target(false).with_writer(move || stream.open()).boxed()
}

fn for_machines(ecs: Ecs, writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) -> BoxedLayer {
    fmt::layer().event_format(ecs).with_writer(writer).boxed()
}
