//! One pair of connections to one broker.

use super::{attendance, config, heard::Heard, inbox, majority::Majority, presence};
use crate::{
    Queue,
    calls::Calls,
    topology::{self, COMMANDS, Declaration},
};
use futures_util::StreamExt;
use lapin::{
    Channel, Connection, ConnectionProperties, Event, ExchangeKind,
    options::{
        BasicQosOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    },
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{FieldTable, ShortString},
    uri::AMQPUri,
};
use std::{sync::Arc, time::Duration};
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{OnceCell, mpsc},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// A broker that does not greet within this is passed over.
const GREETING: Duration = Duration::from_secs(5);
/// Declaring all queues takes a fraction of a second on a broker in good health.
const DECLARING: Duration = Duration::from_secs(3);
/// Whoever has lost a broker, perhaps with its machine, has declared them before, and is waited for. That the user may not, or that
/// nothing is there, is told sooner.
const DECLARING_AGAIN: Duration = Duration::from_millis(50);
/// A broker that does not say goodbye within this is left without.
const GOODBYE: Duration = Duration::from_secs(2);

/// One pair of connections to one broker. If either is lost, both are given up: what was delivered comes again.
#[derive(Debug)]
pub(super) struct Link {
    /// Counts the links of this bus.
    pub(super) generation: u64,
    /// The broker's.
    pub(super) address: String,
    /// Cancelled when it carries nothing any more.
    pub(super) lost: CancellationToken,
    /// What comes from the broker.
    pub(super) heard: Heard,
    /// Whether it has most of the others with it.
    pub(super) majority: Majority,
    publishing: Connection,
    consuming: Connection,
    name: String,
    calls: Arc<Calls>,
    reply_queue: OnceCell<ShortString>,
}

/// What a link tells its supervisor.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// The broker takes nothing from publishers just now.
    Blocked(String),
    /// It does again.
    Unblocked,
    /// A connection is gone.
    Lost(String),
}

/// Why there is no link.
#[derive(Debug, Error)]
pub(super) enum LinkError {
    /// No answer in time.
    #[error("no answer within {GREETING:?}")]
    Silent,
    /// It answers, but declares nothing: it has lost the others, or they elect a leader.
    #[error("it makes no queue for replies, as if it had lost the other nodes")]
    Unable,
    /// This user may not have a queue for replies.
    #[error("this user may not have queues for replies (penstock.reply.*): give it the rights of a gate")]
    NoReplies,
    /// Gone before it was of use.
    #[error("the connection was lost at once")]
    Lost,
    /// The broker, or the way to it, failed.
    #[error(transparent)]
    Lapin(#[from] lapin::Error),
    /// This user may not declare the queues, and nobody has yet.
    #[error("there is no exchange {COMMANDS} yet: a storage worker that connects declares it")]
    Undeclared,
    /// A queue exists, but it is another one than Penstock needs.
    #[error(
        "the queue {queue} exists with other arguments ({detail}); empty it, delete it (rabbitmqctl delete_queue \
         {queue}), and it is declared anew"
    )]
    OtherArguments {
        /// Its name.
        queue: String,
        /// What the broker says about the difference.
        detail: String,
    },
}

impl Link {
    /// Connects and declares all queues. News come as long as the link lasts.
    pub(super) async fn open(
        host: &AMQPUri,
        name: &str,
        generation: u64,
        is_first: bool,
        calls: Arc<Calls>,
    ) -> Result<(Arc<Self>, mpsc::UnboundedReceiver<News>), LinkError> {
        let publishing = connect(host, &format!("{name} publishing")).await?;
        let consuming = connect(host, &format!("{name} consuming")).await?;
        let (sender, news) = mpsc::unbounded_channel();
        let lost = CancellationToken::new();
        listen(&publishing, sender.clone(), &lost);
        listen(&consuming, sender.clone(), &lost);
        // A broker that is recovering holds declarations back. Queues that exist can be used all the same.
        let within = if is_first { DECLARING } else { DECLARING_AGAIN };
        let declared = timeout(within, declare(&publishing)).await.ok().transpose()?;
        let channel =
            timeout(GREETING, consuming.create_channel()).await.map_err(|_| LinkError::Silent)??;
        let heard = Heard::default();
        let (given_up, listening, broker) = (lost.clone(), heard.clone(), host.clone());
        let watching = async move {
            // It changes nothing that matters, and cannot be refused.
            let ask = || channel.basic_qos(1, BasicQosOptions::default());
            let reason = listening.until_silent(ask, || presence::is_gone(&broker)).await;
            drop(sender.send(News::Lost(reason)));
            given_up.cancel();
        };
        tokio::spawn(lost.clone().run_until_cancelled_owned(watching));
        let (address, name) = (config::address(host), name.to_owned());
        let (majority, reply_queue) = (Majority::default(), OnceCell::new());
        let link = Self {
            generation,
            address,
            lost,
            heard,
            majority,
            publishing,
            consuming,
            name,
            calls,
            reply_queue,
        };
        let link = Arc::new(link);
        if declared.is_none() {
            if is_first {
                tracing::warn!(
                    "not all queues were declared within {within:?}; the others are declared meanwhile"
                );
            }
            Arc::clone(&link).go_on_declaring();
        }
        Ok((link, news))
    }

    fn go_on_declaring(self: Arc<Self>) {
        let lost = self.lost.clone();
        let declaring = async move {
            if let Err(error) = declare(&self.publishing).await {
                tracing::warn!(error.message = %error, "not all queues could be declared");
            }
        };
        tokio::spawn(lost.run_until_cancelled_owned(declaring));
    }

    /// A channel whose publishes the broker confirms.
    pub(super) async fn publishing_channel(&self) -> lapin::Result<Channel> {
        let channel = self.channel(&self.publishing).await?;
        if !failpoint::is_set("mutant-confirms-off") {
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
        }
        Ok(channel)
    }

    /// A channel for one consumer.
    pub(super) async fn consuming_channel(&self) -> lapin::Result<Channel> {
        self.channel(&self.consuming).await
    }

    /// A connection that opens no channel is of no use. The driver can bring that about: it numbers channels, begins anew after
    /// the highest number, and still refuses those that the broker had closed.
    async fn channel(&self, connection: &Connection) -> lapin::Result<Channel> {
        let opened = connection.create_channel().await.inspect_err(|_| self.lost.cancel())?;
        self.heard.count();
        Ok(opened)
    }

    /// The queue that brings outcomes back; made when it is asked for first.
    pub(super) async fn reply_queue(self: &Arc<Self>) -> lapin::Result<ShortString> {
        let queue = self.reply_queue.get_or_try_init(|| async {
            let queue = ShortString::from(topology::reply_queue(&self.name));
            let channel = self.consuming_channel().await?;
            let (calls, heard) = (Arc::clone(&self.calls), self.heard.clone());
            let (told, lost) = (Arc::clone(&calls), self.lost.clone());
            inbox::open(channel, queue.clone(), told, self.generation, heard, lost).await?;
            let watching = attendance::watch(Arc::clone(self), calls);
            tokio::spawn(self.lost.clone().run_until_cancelled_owned(watching));
            Ok(queue)
        });
        queue.await.cloned()
    }

    /// Says goodbye on both connections.
    pub(super) async fn close(&self) {
        for connection in [&self.publishing, &self.consuming] {
            // It may be gone already, and a blocked broker never answers.
            let _ = timeout(GOODBYE, connection.close(200, "closing".into())).await;
        }
        self.lost.cancel();
    }
}

/// Whether nobody greets there, nor refuses. A driver that meets a broker that is frozen keeps a connection, and a thread, until it
/// is not: whoever has met one asks in this way first.
pub(super) async fn is_silent(host: &AMQPUri) -> bool {
    let greeting = async {
        let mut stream = TcpStream::connect((host.authority.host.as_str(), host.authority.port)).await?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
        stream.read_u8().await
    };
    timeout(GREETING, greeting).await.is_err()
}

async fn connect(host: &AMQPUri, name: &str) -> Result<Connection, LinkError> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connection = timeout(GREETING, Connection::connect_uri(host.clone(), properties)).await;
    Ok(connection.map_err(|_| LinkError::Silent)??)
}

fn listen(connection: &Connection, news: mpsc::UnboundedSender<News>, lost: &CancellationToken) {
    let (mut events, status) = (Box::pin(connection.events_listener()), connection.status().clone());
    let lost = lost.clone();
    tokio::spawn(async move {
        let reason = loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = lost.cancelled() => None,
            };
            match event {
                Some(Event::ConnectionBlocked(reason)) => drop(news.send(News::Blocked(reason))),
                Some(Event::ConnectionUnblocked) => drop(news.send(News::Unblocked)),
                // Errors of a channel pass by here too.
                Some(Event::Error(error)) if !status.connected() => break error.to_string(),
                Some(_) => {}
                None => break "the connection was given up".to_owned(),
            }
        };
        lost.cancel();
        drop(news.send(News::Lost(reason)));
    });
}

/// Declares the exchange of commands and all queues. One whose node is down cannot be declared just now, and must not stop
/// the others. A gate whose user may not declare them leaves that to workers.
async fn declare(connection: &Connection) -> Result<(), LinkError> {
    let mut channel = connection.create_channel().await?;
    match declare_exchange(&channel).await {
        Err(error) if is_forbidden(&error) => {
            tracing::info!("may not declare queues: that is left to those who may");
            return is_there(connection).await;
        }
        declared => declared?,
    }
    for declaration in topology::declarations() {
        match declare_one(&channel, &declaration).await {
            Err(LinkError::Lapin(error)) if error.is_amqp_soft_error() => {
                let queue = declaration.name;
                tracing::warn!(queue.name = queue, error.message = %error, "a queue cannot be declared just now");
                // The broker closes a channel with each such error.
                channel = connection.create_channel().await?;
            }
            declared => declared?,
        }
    }
    Ok(())
}

/// Whether commands can be sent at all.
async fn is_there(connection: &Connection) -> Result<(), LinkError> {
    let channel = connection.create_channel().await?;
    let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    let found =
        channel.exchange_declare(COMMANDS.into(), ExchangeKind::Direct, options, FieldTable::default());
    match found.await {
        Err(error) if is_missing(&error) => Err(LinkError::Undeclared),
        found => Ok(found?),
    }
}

/// Declares what gates publish to; it is no error if it exists as wanted.
pub(super) async fn declare_exchange(channel: &Channel) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(COMMANDS.into(), ExchangeKind::Direct, options, FieldTable::default()).await
}

/// What a queue tells of itself: its consumers, and the messages that it could deliver. One that is away closes the channel.
pub(super) async fn look_at(channel: &Channel, queue: Queue) -> lapin::Result<lapin::Queue> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
    channel.queue_declare(queue.to_string().into(), options, FieldTable::default()).await
}

/// Declares and binds a queue; it is no error if it exists as wanted.
pub(super) async fn declare_one(channel: &Channel, declaration: &Declaration) -> Result<(), LinkError> {
    let Declaration { name, arguments, .. } = declaration;
    let options = QueueDeclareOptions::durable();
    if let Err(error) = channel.queue_declare(name.as_str().into(), options, arguments.clone()).await {
        return Err(match other_arguments(&error) {
            Some(detail) => LinkError::OtherArguments { queue: name.clone(), detail },
            None => error.into(),
        });
    }
    Ok(bind(channel, declaration).await?)
}

/// Lets a queue have the commands that are sent to it, if it takes any.
pub(super) async fn bind(channel: &Channel, declaration: &Declaration) -> lapin::Result<()> {
    if !declaration.takes_commands {
        return Ok(());
    }
    let (queue, options) = (ShortString::from(declaration.name.as_str()), QueueBindOptions::default());
    channel.queue_bind(queue.clone(), COMMANDS.into(), queue, options, FieldTable::default()).await
}

/// Whether the user has no right to this (403).
pub(super) fn is_forbidden(error: &lapin::Error) -> bool {
    is_soft(error, AMQPSoftError::ACCESSREFUSED)
}

/// Whether there is no such thing (404).
pub(super) fn is_missing(error: &lapin::Error) -> bool {
    is_soft(error, AMQPSoftError::NOTFOUND)
}

fn is_soft(error: &lapin::Error, kind: AMQPSoftError) -> bool {
    let lapin::ErrorKind::ProtocolError(error) = error.kind() else { return false };
    *error.kind() == AMQPErrorKind::Soft(kind)
}

/// What differs, if the broker refused a declaration because of its arguments (406).
fn other_arguments(error: &lapin::Error) -> Option<String> {
    let lapin::ErrorKind::ProtocolError(error) = error.kind() else { return None };
    let differs = matches!(error.kind(), AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED));
    let detail = error.get_message().as_str().trim_start_matches("PRECONDITION_FAILED - ").to_owned();
    differs.then_some(detail)
}
