//! What is dead: commands that came back too often, or stayed in a queue for too long, and bodies that nobody can
//! read. What was done is forgotten, what is merely late is closed, and the rest becomes a letter for an operator.

use crate::{
    consumer::{DeliveryError, close},
    executor::{Executor, ExecutorError},
    store::StoreError,
};
use bus::{Death, Delivery};
use messages::{
    Closing, CollectionName, Command, CommandId, Delivered, Document, Envelope, Handling, Letter,
    OperationKey, Outcome, Principal, Rejection, Reply, record::CreateRecord,
};
use process::now;
use std::time::Duration;
use uuid::Uuid;

/// Ids of letters whose command cannot be read are derived from what was sent (UUIDv5), so that a letter that is
/// written twice is one.
const UNREADABLE: Uuid = Uuid::from_u128(0x51b8_6c02_9d0f_4c7e_8a64_3f1e_0b7d_92c5);
/// The most bytes that are kept of what cannot be read.
const MAX_BODY: usize = 64 * 1024;
/// What a letter must be written within.
const DEADLINE: Duration = Duration::from_secs(30);

/// Settles a delivery of the dead lane. Doing so again changes nothing.
pub(crate) async fn settle(
    executor: &Executor,
    delivery: &Delivery,
    commands: Vec<Delivered>,
) -> Result<(), DeliveryError> {
    let Some(death) = &delivery.death else { return Ok(()) };
    if commands.is_empty() {
        return Ok(bury_unreadable(executor, death).await?);
    }
    for command in commands {
        let settled = match command {
            Delivered::Command(envelope) => settle_command(executor, death, *envelope).await?,
            Delivered::Unsupported { id, operation, error } => {
                let Some(operation) = operation else { continue };
                let closing = if death.reason == Death::EXPIRED { Closing::Expired } else { Closing::Dead };
                let outcome = close(executor, operation, closing).await?;
                if is_dead(&outcome) {
                    let mut letter = unread(death);
                    letter.error = letter.error.or(Some(error));
                    write(executor, id, letter).await?;
                }
                Some((id, outcome))
            }
        };
        if let Some((id, outcome)) = settled {
            delivery.receiver.reply(Reply::of(id, outcome)).await?;
        }
    }
    Ok(())
}

async fn settle_command(
    executor: &Executor,
    death: &Death,
    envelope: Envelope,
) -> Result<Option<(CommandId, Outcome)>, ExecutorError> {
    // What has no effect needs no receipt. Who wanted to know asks again.
    if envelope.command.is_read() || matches!(envelope.command, Command::CloseOperation(_)) {
        return Ok(None);
    }
    let Some(operation) = OperationKey::of(&envelope) else { return Ok(None) };
    let id = envelope.id;
    // The broker counts the time that a message may stay by a clock of its own.
    let late = death.reason == Death::EXPIRED || now() > envelope.deadline;
    let closing = if late { Closing::Expired } else { Closing::Dead };
    let outcome = close(executor, operation, closing).await?;
    if is_dead(&outcome) {
        tracing::error!(
            event.action = "dead-letter",
            command.id = %id,
            command.name = envelope.command.name(),
            collection.name = envelope.command.collection().as_str(),
            trace.id = envelope.trace_id(),
            queue.name = death.queue,
            event.reason = death.reason,
            error.message = death.error,
            "a command is dead: see GET /v1/dead-letters"
        );
        write(executor, id, letter(death, Some(envelope)).redact()).await?;
    }
    Ok(Some((id, outcome)))
}

async fn bury_unreadable(executor: &Executor, death: &Death) -> Result<(), ExecutorError> {
    let id = CommandId::new(Uuid::new_v5(&UNREADABLE, &death.body));
    tracing::error!(
        event.action = "dead-letter",
        event.reason = death.reason,
        command.id = %id,
        queue.name = death.queue,
        error.message = death.error,
        "a message that nobody can read is kept: see GET /v1/dead-letters"
    );
    write(executor, id, unread(death)).await
}

/// With what was sent, as far as there is room.
fn unread(death: &Death) -> Letter {
    let body = String::from_utf8_lossy(&death.body);
    let body = body[..body.floor_char_boundary(MAX_BODY)].to_owned();
    Letter { body: Some(body), ..letter(death, None) }
}

fn letter(death: &Death, envelope: Option<Envelope>) -> Letter {
    let Death { reason, queue, returns, error, .. } = death.clone();
    Letter { reason, queue, returns, error, died: now(), envelope, redacted: false, body: None }
}

fn is_dead(outcome: &Outcome) -> bool {
    *outcome == Outcome::Rejected(Rejection::Dead)
}

/// A letter has the id of its command, so one that is written again is the same, and one that was discarded stays so.
async fn write(executor: &Executor, id: CommandId, letter: Letter) -> Result<(), ExecutorError> {
    let document = Document::from_value(&letter).map_err(|error| StoreError::Invalid(Box::new(error)))?;
    let issued = now();
    let envelope = Envelope {
        id,
        issued,
        deadline: issued.after(DEADLINE),
        principal: Principal::Service,
        trace: None,
        fingerprint: None,
        handling: Handling::Direct,
        command: Command::CreateRecord(CreateRecord { collection: CollectionName::dead_letters(), document }),
    };
    match executor.execute(&envelope).await?.outcome {
        Outcome::RecordCreated(_) => Ok(()),
        other => Err(StoreError::Unavailable(format!("the dead letter {id} was not kept: {other:?}")).into()),
    }
}
