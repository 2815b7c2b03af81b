//! Whether a broker's machine is there. The kernel of one that is acknowledges whoever connects, however busy, or frozen, the
//! broker itself may be.

use futures_util::future::select_all;
use lapin::uri::AMQPUri;
use std::time::Duration;
use tokio::{
    net::{TcpStream, lookup_host},
    time::{sleep, timeout},
};

/// How long that may take.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_millis(300);
/// So many attempts, each only if those before it have no answer yet: a machine may stand still for a moment, and a broker that
/// takes nobody in has little room for those who come.
const TRIES: u32 = 4;

/// Whether nothing there answers. Where the name is not known just now, nobody knows.
pub(super) async fn is_gone(host: &AMQPUri) -> bool {
    let place = (host.authority.host.as_str(), host.authority.port);
    let Ok(Ok(addresses)) = timeout(ACKNOWLEDGED_WITHIN, lookup_host(place)).await else { return false };
    let addresses: Vec<_> = addresses.collect();
    let attempt = |(number, address)| {
        Box::pin(async move {
            sleep(ACKNOWLEDGED_WITHIN / TRIES * number).await;
            TcpStream::connect(address).await
        })
    };
    let tries: Vec<_> = (0..TRIES).zip(addresses.into_iter().cycle()).map(attempt).collect();
    if tries.is_empty() {
        return false;
    }
    // A refusal is an answer, too.
    timeout(ACKNOWLEDGED_WITHIN, select_all(tries)).await.is_err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_kernel_that_answers_or_refuses_is_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host: AMQPUri = format!("amqp://{}", listener.local_addr().unwrap()).parse().unwrap();
        assert!(!is_gone(&host).await, "it listens, though it accepts nobody");
        drop(listener);
        assert!(!is_gone(&host).await, "it refuses");
        assert!(!is_gone(&"amqp://no-such-name.invalid".parse().unwrap()).await);
    }
}
