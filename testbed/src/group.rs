//! A process group that cannot outlive this process, however this process dies.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};

/// Waits until the pipe from its parent ends, then kills the whole group, itself included. A group with a
/// stopped member gets a SIGHUP from the kernel when its parent dies: that must not end the guardian first.
const GUARDIAN: &str = "trap '' HUP INT TERM; read -r line; kill -KILL 0";

/// A process group led by a guardian: a shell that reads a pipe from this process. When this process ends,
/// by SIGKILL too, the pipe ends and the guardian kills the group.
///
/// The guardian starts first and its pid names the group, so a member can't be born outside of it, and the
/// number can't be reused while the guardian is not reaped. (`PR_SET_PDEATHSIG` would not do: it fires when
/// the *thread* that forked ends, and a change of user clears it.)
#[derive(Debug)]
pub struct Group {
    guardian: Child,
}

impl Group {
    /// Starts the guardian of an empty group.
    pub fn start() -> io::Result<Self> {
        let guardian = guardian_shell(GUARDIAN).spawn()?;
        Ok(Self { guardian })
    }

    /// Spawns a process into the group.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        command.process_group(self.guardian.id().cast_signed()).spawn()
    }

    /// Kills every member at once, the guardian too: nothing can be spawned into the group any more.
    pub fn kill(&self) {
        // The group exists as long as its leader is not reaped, which happens in Drop only.
        let _ = kill_process_group(pid_of(&self.guardian), Signal::KILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        let _ = self.guardian.wait();
    }
}

/// A shell of its own group with a pipe as its stdin; more arguments become `$1`, `$2`, ….
pub(crate) fn guardian_shell(script: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script, "guardian"]).process_group(0);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    shell
}

pub(crate) fn pid_of(child: &Child) -> Pid {
    // Unwrap safety: the kernel gives no process the pid 0.
    Pid::from_raw(child.id().cast_signed()).expect("a child has a positive pid")
}
