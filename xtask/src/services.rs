//! `cargo xtask services`: services that stay up while a person works.
//!
//! A detached process holds them (`services hold`) and writes down how to reach them in the cache; its end is
//! theirs.

use std::{
    env, fs,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use rustix::process::{Pid, Signal, kill_process, setsid};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use testbed::{Services, install};

/// An installation from nothing takes two minutes on a good line.
const UP_WITHIN: Duration = Duration::from_mins(30);
const DOWN_WITHIN: Duration = Duration::from_mins(1);
const INTERVAL: Duration = Duration::from_millis(50);

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Start them, and print the variables to export for `cargo test`
    Up,
    /// Stop them and remove their data
    Down,
    /// Say whether they are up
    Status,
    /// Hold them until a signal comes: what `up` starts in the background
    #[command(hide = true)]
    Hold,
}

pub(crate) fn run(action: &Action) -> Result<ExitCode> {
    let state = State { directory: install::cache()? };
    match action {
        Action::Up => up(&state),
        Action::Down => down(&state),
        Action::Status => status(&state),
        Action::Hold => hold(&state),
    }
}

/// The files by which `up`, `down` and the holder know of each other.
struct State {
    directory: PathBuf,
}

impl State {
    fn exports(&self) -> PathBuf {
        self.directory.join("services.env")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("services.log")
    }

    fn pid_file(&self) -> PathBuf {
        self.directory.join("services.pid")
    }

    /// The holder, if one lives: it keeps its file locked, so a reused pid can't be mistaken for it.
    fn holder(&self) -> Result<Option<Pid>> {
        let Ok(file) = File::open(self.pid_file()) else { return Ok(None) };
        if file.try_lock_shared().is_ok() {
            return Ok(None);
        }
        let pid = fs::read_to_string(self.pid_file())?;
        Ok(pid.trim().parse().ok().and_then(Pid::from_raw))
    }
}

fn up(state: &State) -> Result<ExitCode> {
    if state.holder()?.is_none() {
        let _ = fs::remove_file(state.exports());
        let log = File::create(state.log())?;
        let mut command = Command::new(env::current_exe()?);
        command.args(["services", "hold"]).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // A shell may still export the variables of services that are down.
        for name in Services::VARIABLES {
            command.env_remove(name);
        }
        let mut holder = command.spawn().context("starting the process that holds the services")?;
        eprintln!("xtask: starting the services, log in {}", state.log().display());
        wait_for("the services", UP_WITHIN, || {
            if let Some(status) = holder.try_wait()? {
                let log = fs::read_to_string(state.log())?;
                bail!("the services did not start ({status}):\n{}", log.trim_end());
            }
            Ok(state.exports().exists())
        })?;
    }
    wait_for("the services", UP_WITHIN, || Ok(state.exports().exists()))?;
    io::stdout().write_all(&fs::read(state.exports())?)?;
    Ok(ExitCode::SUCCESS)
}

fn down(state: &State) -> Result<ExitCode> {
    let Some(holder) = state.holder()? else {
        eprintln!("xtask: no services are up");
        return Ok(ExitCode::SUCCESS);
    };
    kill_process(holder, Signal::TERM)?;
    wait_for("the end of the services", DOWN_WITHIN, || Ok(state.holder()?.is_none()))?;
    eprintln!("xtask: the services are down");
    Ok(ExitCode::SUCCESS)
}

fn status(state: &State) -> Result<ExitCode> {
    let Some(holder) = state.holder()? else {
        eprintln!("xtask: no services are up");
        return Ok(ExitCode::FAILURE);
    };
    let pid = holder.as_raw_nonzero();
    match fs::read(state.exports()) {
        Ok(exports) => {
            eprintln!("xtask: the services are up, held by process {pid}");
            io::stdout().write_all(&exports)?;
        }
        Err(_) => eprintln!("xtask: the services are starting, held by process {pid}"),
    }
    Ok(ExitCode::SUCCESS)
}

fn hold(state: &State) -> Result<ExitCode> {
    // Away from the terminal. It fails if this is a session of its own already, which is as good.
    let _ = setsid();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let mut lock = File::options().create(true).write(true).truncate(false).open(state.pid_file())?;
    lock.try_lock().context("another process holds the services")?;
    lock.set_len(0)?;
    writeln!(lock, "{}", std::process::id())?;
    let services = Services::start()?;
    publish(&state.exports(), &services.variables())?;
    signals.forever().next();
    fs::remove_file(state.exports())?;
    drop(services);
    fs::remove_file(state.pid_file())?;
    Ok(ExitCode::SUCCESS)
}

/// Whole or absent: `up` prints the file as soon as it is there.
fn publish(path: &Path, variables: &[(String, String)]) -> Result<()> {
    let lines: Vec<String> =
        variables.iter().map(|(name, value)| format!("export {name}='{value}'\n")).collect();
    let draft = path.with_extension("draft");
    fs::write(&draft, lines.concat())?;
    fs::rename(&draft, path).context("publishing the variables")
}

fn wait_for(what: &str, deadline: Duration, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + deadline;
    while !condition()? {
        if Instant::now() > end {
            bail!("no {what} within {deadline:?}");
        }
        thread::sleep(INTERVAL);
    }
    Ok(())
}
