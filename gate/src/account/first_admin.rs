//! The account without which nobody could log in.

use super::{Account, password};
use bus::Bus;
use messages::{
    Command, CommandId, Document, Envelope, Fingerprint, Outcome, Precondition, Principal, Rejection, Role,
    UserName, precondition::Tags, record::ReplaceRecord,
};
use process::{Secret, Stopper};
use sha2::{Digest, Sha256};
use std::time::Duration;
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How the first admin's account came to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstAdmin {
    /// It was created now, with the password given.
    Created,
    /// It was there already; its password stays as it was.
    Existed,
}

/// Sees to it that the account `admin` exists, however long the service takes to come up. `None`: stopped before.
///
/// # Errors
/// When the account can never be created: the password cannot be hashed, or the answer is no.
pub async fn ensure_first_admin(
    bus: &dyn Bus,
    password: &Secret,
    stopper: &Stopper,
) -> anyhow::Result<Option<FirstAdmin>> {
    let password_hash = password::hash(password.expose().to_owned()).await?;
    let account = Account { password_hash, roles: vec![Role::Admin], groups: Vec::new() };
    // The same command at each attempt: one whose answer was lost is answered again.
    let command = Command::ReplaceRecord(creation(account.document()?)?);
    let mut id = CommandId::new(Uuid::now_v7());
    let fingerprint = fingerprint(&command);
    let mut pause = FIRST_PAUSE;
    loop {
        let issued = process::now();
        let envelope = Envelope {
            id,
            issued,
            deadline: issued.after(DEADLINE),
            principal: Principal::Service,
            trace: None,
            fingerprint: Some(fingerprint),
            command: command.clone(),
        };
        let failure = tokio::select! {
            () = stopper.stopped() => return Ok(None),
            answer = bus.call(envelope) => match answer.map(|reply| reply.outcome) {
                Ok(Outcome::RecordCreated(_)) => return Ok(Some(created())),
                Ok(Outcome::Rejected(Rejection::PreconditionFailed { .. })) => {
                    return Ok(Some(FirstAdmin::Existed));
                }
                // Closed for good: another attempt is another command.
                Ok(Outcome::Rejected(Rejection::Expired)) => {
                    id = CommandId::new(Uuid::now_v7());
                    "it came to a storage worker too late".to_owned()
                }
                Ok(outcome) => anyhow::bail!("the first admin cannot be created: {outcome:?}"),
                Err(error) => error.to_string(),
            },
        };
        tracing::debug!(error.message = failure, "the first admin's account has to wait: {failure}");
        tokio::select! {
            () = stopper.stopped() => return Ok(None),
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
        }
    }
}

fn created() -> FirstAdmin {
    tracing::info!(user.name = "admin", "created the account admin");
    FirstAdmin::Created
}

fn creation(document: Document) -> anyhow::Result<ReplaceRecord> {
    let admin: UserName = "admin".parse()?;
    let precondition = Precondition { if_none_match: Some(Tags::Any), ..Precondition::default() };
    let collection = messages::CollectionName::users();
    Ok(ReplaceRecord { collection, record: admin.record_id(), document, precondition })
}

/// Set so that the receipt outlives a long start. The document has a random salt, so this gives nothing away.
fn fingerprint(command: &Command) -> Fingerprint {
    let hash = Sha256::digest(command.document().map_or("", Document::as_str));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    Fingerprint::from_bytes(bytes)
}
