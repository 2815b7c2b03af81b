//! Comparing this gate's clock with those of storage workers, also while nobody asks for anything.

use crate::account;
use bus::{Bus, Clock};
use messages::{CommandId, Envelope, Handling, Principal, UserName};
use process::Stopper;
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// How often clocks are compared while they agree.
const RARELY: Duration = Duration::from_secs(60);
/// And while they do not, or nobody has answered yet.
const OFTEN: Duration = Duration::from_secs(1);
/// How long a storage worker may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks a storage worker for something that is not there, again and again: its reply says what time it is.
pub(crate) async fn keep_comparing(bus: Arc<dyn Bus>, stopper: Stopper) {
    let mut clock = bus.clock();
    let mut known = Clock::Unknown;
    loop {
        // That nobody answers is told by the readiness of the queue.
        let _ = bus.call(question()).await;
        let found = *clock.borrow_and_update();
        if found.is_off() != known.is_off() {
            tracing::warn!(event.action = "clock-compared", "this gate's clock is {found}");
        }
        known = found;
        let pause = if known == Clock::Agrees { RARELY } else { OFTEN };
        tokio::select! {
            () = stopper.stopped() => return,
            () = tokio::time::sleep(pause) => {}
            // A reply to somebody's request may tell before.
            Ok(()) = clock.changed() => {}
        }
    }
}

fn question() -> Envelope {
    let issued = process::now();
    // The service's own name, which no account has.
    let nobody: UserName = Principal::Service.name();
    Envelope {
        id: CommandId::new(Uuid::now_v7()),
        issued,
        deadline: issued.after(PATIENCE),
        principal: Principal::Service,
        trace: None,
        fingerprint: None,
        handling: Handling::Direct,
        command: account::look_up(&nobody),
    }
}
