//! A network that loses what some process sends.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::install::ADMINISTRATOR_PATH;

/// Rules of iptables that drop packets, until this value is dropped. They hold in the network namespace of the caller, which
/// should be one of its own (unshare(1)): rules outlive a process that is killed, but not their namespace.
#[derive(Debug, Default)]
pub struct Firewall {
    rules: Vec<Vec<String>>,
}

impl Firewall {
    /// Drops what processes of a group (a Unix one) send from or to this TCP port. The kernel's acknowledgements are among
    /// it, so nobody gets through to them on connections to that port either, but what arrives is read.
    pub fn drop_sent_by(&mut self, group: u32, port: u16) -> Result<()> {
        for end in ["--sport", "--dport"] {
            self.add(&[
                "-m",
                "owner",
                "--gid-owner",
                &group.to_string(),
                "-p",
                "tcp",
                end,
                &port.to_string(),
            ])?;
        }
        Ok(())
    }

    /// Drops what anybody sends to this TCP port of an address.
    pub fn drop_sent_to(&mut self, address: std::net::SocketAddrV4) -> Result<()> {
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        self.add(&["-d", &ip, "-p", "tcp", "--dport", &port])
    }

    fn add(&mut self, matches: &[&str]) -> Result<()> {
        let rule: Vec<String> = matches.iter().chain(&["-j", "DROP"]).map(|&word| word.to_owned()).collect();
        iptables("-A", &rule)?;
        self.rules.push(rule);
        Ok(())
    }
}

impl Drop for Firewall {
    fn drop(&mut self) {
        for rule in &self.rules {
            if let Err(error) = iptables("-D", rule) {
                eprintln!("testbed: {error:#}");
            }
        }
    }
}

fn iptables(action: &str, rule: &[String]) -> Result<()> {
    let mut command = Command::new("iptables");
    command.env("PATH", ADMINISTRATOR_PATH).args(["-w", action, "OUTPUT"]).args(rule);
    let output = command.output().context("running iptables")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "iptables {action} {}: {}", rule.join(" "), errors.trim());
    Ok(())
}
