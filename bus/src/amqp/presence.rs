//! Whether a broker's machine is there. The kernel of one that is acknowledges whoever connects, however busy, or frozen, the
//! broker itself may be.

use futures_util::future::select_all;
use lapin::uri::AMQPUri;
use std::time::Duration;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

/// How long that may take.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_millis(300);
/// So many packets may be lost but one.
const TRIES: usize = 4;

/// Whether nothing there answers. Where the name is not known just now, nobody knows.
pub(super) async fn is_gone(host: &AMQPUri) -> bool {
    let place = (host.authority.host.as_str(), host.authority.port);
    let Ok(Ok(mut addresses)) = timeout(ACKNOWLEDGED_WITHIN, lookup_host(place)).await else { return false };
    let Some(address) = addresses.next() else { return false };
    let tries = (0..TRIES).map(|_| Box::pin(TcpStream::connect(address)));
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
