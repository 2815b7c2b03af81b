//! A child process with its output in a file.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, kill_process};

use crate::{
    group::{Group, pid_of},
    log::Log,
};

/// How often a condition is looked at while waiting for it.
const INTERVAL: Duration = Duration::from_millis(10);

/// A child process in a group of its own, with stdout and stderr in a file. Dropping it kills it and all its
/// descendants in the group; so does the death of this process.
#[derive(Debug)]
pub struct Process {
    // Killed before the child is reaped.
    group: Group,
    child: Child,
    log: Log,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command`, appending its output to the file `log`.
    pub fn spawn(mut command: Command, log: impl Into<PathBuf>) -> Result<Self> {
        let (log, output) = Log::open(log.into())?;
        let errors = output.try_clone()?;
        let group = Group::start().context("starting the guardian of a process group")?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = group
            .spawn(&mut command)
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        Ok(Self { group, child, log, ended: None })
    }

    /// The process id. It is not reused as long as this value lives and has not seen the exit.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Waits for a line that contains `pattern`, and returns it.
    pub fn wait_for_line(&mut self, pattern: &str, deadline: Duration) -> Result<String> {
        let mut found = None;
        self.wait_until(&format!("the line {pattern:?}"), deadline, |log| {
            found = log.line_with(pattern);
            found.is_some()
        })?;
        Ok(found.unwrap_or_default())
    }

    /// Waits until `condition` holds. Fails with the tail of the log when the process ends before, or when
    /// `deadline` has passed; `what` names the condition there.
    pub fn wait_until(
        &mut self,
        what: &str,
        deadline: Duration,
        mut condition: impl FnMut(&Log) -> bool,
    ) -> Result<()> {
        let end = Instant::now() + deadline;
        loop {
            let status = self.status()?;
            if condition(&self.log) {
                return Ok(());
            }
            if let Some(status) = status {
                bail!("ended ({status}) before {what}; the end of its log:\n{}", self.log.tail());
            }
            if Instant::now() > end {
                bail!("no {what} within {deadline:?}; the end of its log:\n{}", self.log.tail());
            }
            thread::sleep(INTERVAL);
        }
    }

    /// Sends a signal to the process alone, not to its descendants.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if let Some(status) = self.ended {
            bail!("it has ended already ({status})");
        }
        kill_process(pid_of(&self.child), signal).with_context(|| format!("sending {signal:?}"))
    }

    /// Stops it where it is (SIGSTOP) and returns when all its threads stand still.
    pub fn freeze(&mut self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let tasks = format!("/proc/{}/task", self.pid());
        self.wait_until("standstill", Duration::from_secs(10), |_| {
            fs::read_dir(&tasks).is_ok_and(|tasks| tasks.flatten().all(|task| is_stopped(&task.path())))
        })
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Kills it and its descendants in the group with SIGKILL, and returns when it is gone.
    pub fn kill(&mut self) {
        self.group.kill();
        if self.ended.is_none() {
            self.ended = self.child.wait().ok();
        }
    }

    /// The exit status, if it has ended.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended)
    }

    /// Waits for its end.
    pub fn wait_exit(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + deadline;
        loop {
            if let Some(status) = self.status()? {
                return Ok(status);
            }
            if Instant::now() > end {
                bail!("still running after {deadline:?}; the end of its log:\n{}", self.log.tail());
            }
            thread::sleep(INTERVAL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The state is the first field after the name in parentheses (proc(5), /proc/pid/stat).
fn is_stopped(task: &std::path::Path) -> bool {
    let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('T'))
}
