//! A session that was ended is dead within a second at every gate, and stays so whatever Redis goes through.

use super::Epoch;
use crate::{
    check::Violation,
    client::answers,
    deployment::{ADMIN_PASSWORD, DEADLINE, wait},
    http::{Said, Wire},
};
use anyhow::{Result, ensure};
use std::{
    thread,
    time::{Duration, Instant},
};

/// After this, no gate may let anybody in with it.
const DEAD_WITHIN: Duration = Duration::from_secs(1);
const SERVES_WITHIN: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(100);

impl Epoch<'_> {
    /// Logs in, uses the session at every gate so that all know it, and logs out; returns its token when the second
    /// is over.
    pub(super) fn end_a_session(&self) -> Result<String> {
        let body = format!(r#"{{"user":"admin","password":"{ADMIN_PASSWORD}"}}"#);
        let said = self.insist_on(0, "POST", "content-type: application/json\r\n", &body, &[201])?;
        let token = answers::token_of(&said);
        let bearer = format!("authorization: Bearer {token}\r\n");
        for gate in 0..self.deployment.addresses.len() {
            self.insist_on(gate, "GET", &bearer, "", &[200])?;
        }
        // One that failed half-way has ended the session all the same: then it is asked for without one.
        self.insist_on(0, "DELETE", &bearer, "", &[204, 401])?;
        wait(DEAD_WITHIN);
        Ok(token)
    }

    /// Gates that let somebody in with it.
    pub(super) fn let_in_with(&self, token: &str) -> Result<Vec<Violation>> {
        let bearer = format!("authorization: Bearer {token}\r\n");
        let mut violations = Vec::new();
        for gate in 0..self.deployment.addresses.len() {
            let said = self.insist_on(gate, "GET", &bearer, "", &[200, 401])?;
            if said.status == 200 {
                violations
                    .push(Violation::other(format!("gate {gate} lets in with a session that has ended")));
            }
        }
        Ok(violations)
    }

    fn insist_on(
        &self,
        gate: usize,
        method: &str,
        headers: &str,
        body: &str,
        expected: &[u16],
    ) -> Result<Said> {
        let mut wire = Wire::to(self.deployment.addresses[gate], DEADLINE);
        let length = body.len();
        let request = format!(
            "{method} /v1/session HTTP/1.1\r\nhost: gate\r\n{headers}content-length: {length}\r\n\r\n{body}"
        );
        let end = Instant::now() + SERVES_WITHIN;
        loop {
            match self.runtime.block_on(wire.exchange(&request)) {
                Ok(said) if expected.contains(&said.status) => return Ok(said),
                said => ensure!(Instant::now() < end, "{method} /v1/session: {said:?}"),
            }
            thread::sleep(INTERVAL);
        }
    }
}
