//! One MQTT client: connects, subscribes, publishes, and says which publishes were confirmed.
//!
//! rumqttc forgets what was not acknowledged when a connection is lost, and no token tells which publish a PUBACK was
//! for. So each connection gets a fresh client, publishes are paired with their packet ids in the order of submission,
//! and what a lost connection took with it goes back to [`Confirm`].

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use rumqttc::{
    AsyncClient, Event, EventLoop, LastWill, MqttOptions, Outgoing, Packet, QoS, SubscribeFilter,
    SubscribeReasonCode, TlsConfiguration, Transport,
};
use rustls::ClientConfig;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, timeout};

use crate::confirm::{Attempt, Confirm};
use crate::trouble::in_words;

/// How long a lost broker is left alone at most before it is tried again.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// How long a closing client waits for what it has published to be confirmed.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// MQTT packets above this are refused on both ways, in bytes: a frame of the largest configurable size, signed.
const PACKET_MAX: usize = 4 << 20;

/// How long the broker may take to answer a SUBSCRIBE.
const SUBSCRIBED_WITHIN: Duration = Duration::from_secs(10);

/// What one connection is made with.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
    pub(crate) target: (String, u16),
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) login: Option<(String, String)>,
    pub(crate) client_id: String,
    pub(crate) will: Option<(String, Bytes)>,
    pub(crate) filters: Vec<String>,
    pub(crate) keep_alive: Duration,
    /// Publishes that may wait for their PUBACK.
    pub(crate) inflight: u16,
    /// Publishes and acknowledgements that may wait to be sent.
    pub(crate) queue: usize,
    /// A persistent session, whose messages are acknowledged by hand.
    pub(crate) persistent: bool,
    /// Leave by closing the connection, not by DISCONNECT: the embedded broker prefers it.
    pub(crate) hang_up: bool,
}

/// One connection of a client; what was said on an earlier one is of no use on it.
pub(crate) type Connection = u64;

/// What a client reports.
pub(crate) trait Listener: Send + Sync + 'static {
    /// The broker has accepted the connection; nothing has come on it yet.
    fn accepted(&self, _connection: Connection, _session_present: bool) {}
    /// The connection is there and its subscriptions are made.
    fn connected(&self) {}
    /// The connection is lost, or could not be made.
    fn lost(&self, _reason: &str) {}
    /// A message came.
    fn message(&self, link: &Link, connection: Connection, publish: rumqttc::Publish);
    /// Waits until another message can be taken. Meanwhile nothing is read from the broker.
    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What became of an acknowledgement by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acked {
    /// It is on its way.
    Done,
    /// There is no room at the moment.
    Full,
    /// The message's connection is gone; it will come again.
    Gone,
}

/// A handle on a client; the client itself lives in a task of its own. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    closing: watch::Sender<bool>,
    settled: Notify,
    confirm: Arc<Confirm>,
}

#[derive(Debug, Default)]
struct State {
    client: Option<AsyncClient>,
    connection: Connection,
    /// Submitted, in order, and not given a packet id yet.
    queued: VecDeque<Option<(u64, Attempt)>>,
    /// Given a packet id, and not acknowledged yet.
    sent: HashMap<u16, Option<(u64, Attempt)>>,
}

impl Link {
    /// A client that isn't running yet.
    pub(crate) fn new(confirm: Arc<Confirm>) -> Self {
        let (closing, _) = watch::channel(false);
        Self { inner: Arc::new(Inner { state: Mutex::default(), closing, settled: Notify::new(), confirm }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether both are the same client.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Publishes an entry at QoS 1, one copy on each topic. If one can't be taken, the entry goes back to [`Confirm`].
    pub(crate) fn publish_entry(&self, position: u64, attempt: Attempt, topics: &[String], payload: &Bytes) {
        let mut state = self.state();
        for topic in topics {
            let taken = state.client.as_ref().is_some_and(|client| {
                client.try_publish(topic.as_str(), QoS::AtLeastOnce, false, payload.clone()).is_ok()
            });
            if !taken {
                drop(state);
                self.inner.confirm.returned(position, attempt);
                return;
            }
            state.queued.push_back(Some((position, attempt)));
        }
    }

    /// Publishes at QoS 0 what nobody misses when it is lost.
    pub(crate) fn publish_passing(&self, topic: String, payload: Vec<u8>) {
        if let Some(client) = &self.state().client {
            // A full queue means that the broker is slow: typing is the first to go.
            let _ = client.try_publish(topic, QoS::AtMostOnce, false, payload);
        }
    }

    /// Publishes at QoS 1 what is not of the log: while the connection lives, it gets there. False when it couldn't
    /// be taken.
    pub(crate) fn publish_state(&self, topic: String, payload: Vec<u8>, retain: bool) -> bool {
        let mut state = self.state();
        let published =
            state.client.as_ref().map(|client| client.try_publish(topic, QoS::AtLeastOnce, retain, payload));
        let taken = matches!(published, Some(Ok(())));
        if taken {
            state.queued.push_back(None);
        }
        taken
    }

    /// Subscribes to more than the connection was made with, for as long as it lives.
    pub(crate) fn subscribe(&self, filters: impl IntoIterator<Item = String>) {
        let filters: Vec<_> =
            filters.into_iter().map(|filter| SubscribeFilter::new(filter, QoS::AtLeastOnce)).collect();
        if let Some(client) = self.state().client.as_ref().filter(|_| !filters.is_empty()) {
            // What a full queue keeps from it comes from the log.
            let _ = client.try_subscribe_many(filters);
        }
    }

    /// Ends such a subscription.
    pub(crate) fn unsubscribe(&self, filter: String) {
        if let Some(client) = &self.state().client {
            let _ = client.try_unsubscribe(filter);
        }
    }

    /// Acknowledges a message of a persistent session.
    pub(crate) fn ack(&self, connection: Connection, publish: &rumqttc::Publish) -> Acked {
        let state = self.state();
        match &state.client {
            Some(client) if state.connection == connection => match client.try_ack(publish) {
                Ok(()) => Acked::Done,
                Err(_) => Acked::Full,
            },
            _ => Acked::Gone,
        }
    }

    /// Whether it is connected and subscribed.
    pub(crate) fn is_connected(&self) -> bool {
        self.state().client.is_some()
    }

    /// Publishes at QoS 1 that are not acknowledged yet.
    pub(crate) fn outstanding(&self) -> usize {
        let state = self.state();
        state.queued.len() + state.sent.len()
    }

    /// Lets it publish what waits, disconnect, and end. Returns at once.
    pub(crate) fn close(&self) {
        self.inner.closing.send_replace(true);
    }

    /// Connects, again and again, until it is closed. `dial` is asked before each attempt, and `gate` bounds how many
    /// clients are connecting at a time.
    pub(crate) async fn run(
        self,
        gate: Option<&Semaphore>,
        mut dial: impl FnMut() -> Option<Dial>,
        listener: Arc<dyn Listener>,
    ) {
        let mut closing = self.inner.closing.subscribe();
        let mut backoff = Duration::from_millis(100);
        while !*closing.borrow() {
            if let Some(dial) = dial() {
                let started = Instant::now();
                let reason = self.serve(gate, &dial, &*listener, &mut closing).await;
                self.give_back();
                if *closing.borrow() {
                    return;
                }
                listener.lost(&reason);
                if started.elapsed() > BACKOFF_MAX {
                    backoff = Duration::from_millis(100);
                }
            }
            // Half of the time is chance, so that clients that were lost together don't come back together.
            let pause = backoff.mul_f64(rand::random_range(0.5..1.0));
            backoff = (backoff * 2).min(BACKOFF_MAX);
            let _ = timeout(pause, closing.wait_for(|closing| *closing)).await;
        }
    }

    /// Runs one connection to its end; returns why it ended.
    async fn serve(
        &self,
        gate: Option<&Semaphore>,
        dial: &Dial,
        listener: &dyn Listener,
        closing: &mut watch::Receiver<bool>,
    ) -> String {
        let (client, mut events) = open(dial);
        let connected = tokio::select! {
            connected = connect(gate, dial, &mut events) => connected,
            _ = closing.wait_for(|closing| *closing) => return String::new(),
        };
        let session_present = match connected {
            Ok(session_present) => session_present,
            Err(reason) => return reason,
        };
        let connection = {
            let mut state = self.state();
            state.connection += 1;
            state.connection
        };
        listener.accepted(connection, session_present);
        let mut ready = Some(Instant::now() + SUBSCRIBED_WITHIN);
        if dial.filters.is_empty() {
            ready = None;
            self.state().client = Some(client.clone());
            listener.connected();
        } else {
            let filters =
                dial.filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce));
            if let Err(error) = client.try_subscribe_many(filters) {
                return error.to_string();
            }
        }
        let mut leaving: Option<Instant> = None;
        loop {
            let event = tokio::select! {
                biased;
                event = events.poll() => event,
                _ = closing.wait_for(|closing| *closing), if leaving.is_none() => {
                    leaving = Some(Instant::now() + CLOSE_WAIT);
                    self.state().client = None;
                    if self.has_left(dial, &client) {
                        return String::new();
                    }
                    continue;
                }
                () = wait_until(ready) => return "the broker doesn't answer the subscription".to_owned(),
                () = wait_until(leaving) => return String::new(),
            };
            match event {
                Ok(Event::Incoming(Packet::SubAck(ack))) => {
                    if ack.return_codes.contains(&SubscribeReasonCode::Failure) {
                        return "the broker refuses the subscription: check the access rights of its user"
                            .to_owned();
                    }
                    // Only the first one answers what the connection was made with.
                    if ready.take().is_some() && leaving.is_none() {
                        self.state().client = Some(client.clone());
                        listener.connected();
                    }
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    listener.message(self, connection, publish);
                    listener.ready().await;
                }
                Ok(Event::Incoming(Packet::PubAck(ack))) => {
                    self.acked(ack.pkid);
                    if leaving.is_some() && self.has_left(dial, &client) {
                        return String::new();
                    }
                }
                Ok(Event::Outgoing(Outgoing::Publish(packet))) if packet != 0 => self.sent(packet),
                Ok(Event::Outgoing(Outgoing::Disconnect)) => return String::new(),
                Ok(_) => {}
                Err(error) => return in_words(&error, dial.tls.as_deref()),
            }
        }
    }

    /// Whether a leaving client is done; where it says goodbye to the broker, it has to be polled until that is sent.
    fn has_left(&self, dial: &Dial, client: &AsyncClient) -> bool {
        self.outstanding() == 0 && (dial.hang_up || client.try_disconnect().is_err())
    }

    fn sent(&self, packet: u16) {
        let mut state = self.state();
        if let Some(entry) = state.queued.pop_front() {
            state.sent.insert(packet, entry);
        }
    }

    fn acked(&self, packet: u16) {
        let entry = self.state().sent.remove(&packet);
        if let Some(Some((position, attempt))) = entry {
            self.inner.confirm.acked(position, attempt);
        }
        self.inner.settled.notify_one();
    }

    /// Waits until a publish is confirmed or given back. Cancel safe.
    pub(crate) async fn settled(&self) {
        self.inner.settled.notified().await;
    }

    /// What this connection can't confirm any more has to be published again.
    fn give_back(&self) {
        let (queued, sent) = {
            let mut state = self.state();
            state.client = None;
            (std::mem::take(&mut state.queued), std::mem::take(&mut state.sent))
        };
        for (position, attempt) in queued.into_iter().chain(sent.into_values()).flatten() {
            self.inner.confirm.returned(position, attempt);
        }
        self.inner.settled.notify_one();
    }
}

/// Waits for the CONNACK; whether the broker had a session, or why there is no connection.
async fn connect(gate: Option<&Semaphore>, dial: &Dial, events: &mut EventLoop) -> Result<bool, String> {
    let _turn = match gate {
        Some(gate) => gate.acquire().await.ok(),
        None => None,
    };
    match events.poll().await {
        Ok(Event::Incoming(Packet::ConnAck(ack))) => Ok(ack.session_present),
        Ok(other) => Err(format!("the broker answered with {other:?}")),
        Err(error) => Err(in_words(&error, dial.tls.as_deref())),
    }
}

async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn open(dial: &Dial) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(dial.client_id.clone(), dial.target.0.clone(), dial.target.1);
    options
        .set_keep_alive(dial.keep_alive)
        .set_clean_session(!dial.persistent)
        .set_manual_acks(dial.persistent)
        .set_inflight(dial.inflight)
        .set_max_packet_size(PACKET_MAX, PACKET_MAX);
    if let Some(tls) = &dial.tls {
        options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls.clone())));
    }
    if let Some((user, password)) = &dial.login {
        options.set_credentials(user.clone(), password.clone());
    }
    if let Some((topic, payload)) = &dial.will {
        options.set_last_will(LastWill::new(topic.clone(), payload.clone(), QoS::AtLeastOnce, true));
    }
    let (client, mut events) = AsyncClient::new(options, dial.queue);
    events.network_options.set_tcp_nodelay(true);
    // rumqttc makes room for 100 events, of which there are seldom two: 9 KB for each session.
    events.state.events = VecDeque::new();
    (client, events)
}
