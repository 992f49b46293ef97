//! What strangers publish: taken in once in the whole cluster, by the node that holds the ingest lease.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use mqttchat_protocol::{Dest, EntryKind, EnvelopeError, MessageId, Topic};
use mqttchat_store::{AppendError, IngestMark, NewEntry, StoreError};
use rumqttc::{Publish, QoS};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use crate::deliver::{NotTaken, Origin};
use crate::hub::Hub;
use crate::limits::Bucket;
use crate::link::{Acked, Connection, Dial, Link, Listener};
use crate::mqtt_history::MqttHistory;
use crate::options::Rates;
use crate::said::{Rejected, Said};

/// Messages that wait to be looked at; above it nothing more is read from the broker.
const QUEUE: usize = 256;

/// Messages that are on their way to the log at a time.
const SUBMITTED_MAX: usize = 64;

/// Acknowledgements that may wait to be sent: more than messages can be unacknowledged.
const ACKS: usize = 2048;

/// The lease of the one who takes strangers' messages in, and how long it holds without being renewed.
const LEASE: &str = "ingest";
const LEASE_TTL: Duration = Duration::from_secs(20);
const LEASE_RENEW: Duration = Duration::from_secs(5);

/// How often a node without the lease asks for it: strangers' messages wait that much longer when its holder has died.
const LEASE_ASK: Duration = Duration::from_secs(2);

/// How long to wait before the store is tried again.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How long to wait for room for acknowledgements.
const ACK_AGAIN: Duration = Duration::from_millis(10);

/// How often refusals are logged at most.
const LOG_EVERY: Duration = Duration::from_secs(60);

enum Item {
    Accepted { session_present: bool },
    Publish(Came),
}

/// A message, and the connection that it came on.
#[derive(Debug)]
struct Came {
    connection: Connection,
    publish: Publish,
}

struct IngestListener {
    queue: mpsc::Sender<Item>,
}

impl Listener for IngestListener {
    fn accepted(&self, _connection: Connection, session_present: bool) {
        // There is room: `ready` has left a place for it.
        let _ = self.queue.try_send(Item::Accepted { session_present });
    }

    fn connected(&self) {
        Listening::tell(true);
    }

    fn lost(&self, _reason: &str) {
        Listening::tell(false);
    }

    fn message(&self, _link: &Link, connection: Connection, publish: Publish) {
        let _ = self.queue.try_send(Item::Publish(Came { connection, publish }));
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // A place for the next message, and one for a new connection.
            let _ = self.queue.reserve_many(2).await;
        })
    }
}

/// Tells in the figures whether this node hears strangers; when it is dropped, it doesn't.
struct Listening;

impl Listening {
    fn tell(listens: bool) {
        metrics::gauge!("mqttchat_ingest_listening").set(u8::from(listens));
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        Self::tell(false);
    }
}

/// Takes strangers' messages in, whenever this node holds the lease, for as long as it runs.
pub(crate) async fn ingest(hub: Arc<Hub>) {
    loop {
        match hub.store.acquire_lease(LEASE, &hub.incarnation, LEASE_TTL).await {
            Ok(true) => {
                tracing::info!("this node takes strangers' messages in");
                hold_lease(&hub).await;
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the ingest lease can't be asked for"),
        }
        tokio::time::sleep(LEASE_ASK).await;
    }
}

/// Leaves the lease, if it is this node's, to whoever asks next: nobody has to wait until it has run out.
///
/// # Errors
/// When the store can't be written.
pub(crate) async fn leave_to_others(hub: &Hub) -> Result<(), StoreError> {
    hub.store.release_lease(LEASE, &hub.incarnation).await
}

async fn hold_lease(hub: &Arc<Hub>) {
    let link = Link::new(hub.confirm.clone());
    let (queue, items) = mpsc::channel(QUEUE);
    let dial_hub = hub.clone();
    let dial = move || {
        dial_hub.broker.borrow().is_ok().then(|| Dial {
            target: dial_hub.options.mqtt.targets.first().cloned().unwrap_or_else(|| dial_hub.target()),
            tls: dial_hub.tls(),
            login: dial_hub.login(),
            client_id: dial_hub.cluster_client_id("ingest"),
            will: None,
            filters: filters(&dial_hub),
            keep_alive: Duration::from_secs(30),
            inflight: 8,
            queue: ACKS,
            persistent: true,
            hang_up: dial_hub.hangs_up(),
        })
    };
    let _listening = Listening;
    let client = async {
        // At the start it listens as soon as there is a broker: what is published before is nobody's.
        if hub.broker.subscribe().wait_for(Result::is_ok).await.is_ok() {
            link.clone().run(None, dial, Arc::new(IngestListener { queue })).await;
        }
    };
    let renewed = async {
        loop {
            tokio::time::sleep(LEASE_RENEW).await;
            match hub.store.renew_lease(LEASE, &hub.incarnation, LEASE_TTL).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::warn!(%error, "the ingest lease can't be renewed"),
            }
        }
    };
    tokio::select! {
        () = client => {}
        () = renewed => tracing::warn!("another node takes strangers' messages in now"),
        () = take_in(hub, &link, items) => {}
    }
}

async fn take_in(hub: &Arc<Hub>, link: &Link, mut items: mpsc::Receiver<Item>) {
    let rates = Rates { messages_per_second: hub.options.mqtt.ingest_per_second, burst: 100 };
    let mut bucket = Bucket::new(rates, Instant::now());
    let refusals = Refusals::default();
    let history = MqttHistory::new();
    let mut doubts = Doubts::default();
    let mut session = None;
    let mut pending = FuturesOrdered::new();
    let mut acks: VecDeque<Came> = VecDeque::new();
    loop {
        while let Some(came) = acks.front() {
            match link.ack(came.connection, &came.publish) {
                Acked::Full => break,
                Acked::Done => doubts.settled(&came.publish),
                // It comes again, and is known by then.
                Acked::Gone => {}
            }
            acks.pop_front();
        }
        tokio::select! {
            biased;
            Some(done) = pending.next(), if !pending.is_empty() => {
                let done: Option<Came> = done;
                acks.extend(done.filter(|came| came.publish.qos != QoS::AtMostOnce));
            }
            item = items.recv(), if pending.len() < SUBMITTED_MAX => match item {
                None => return,
                Some(Item::Accepted { session_present }) => {
                    doubts.reconnected(session_present);
                    session = Some(generation(hub, session_present).await);
                }
                Some(Item::Publish(came)) => {
                    if let Some(client) = hub.topics.history_asker(&came.publish.topic) {
                        if hub.options.mqtt.history {
                            history.ask(hub, client, &came.publish);
                        }
                        pending.push_back(finished(came));
                        continue;
                    }
                    if doubts.is_known(&came.publish) || !hub.options.mqtt.ingest {
                        pending.push_back(finished(came));
                        continue;
                    }
                    match foreign(hub, &came.publish, session) {
                        Ok(None) => pending.push_back(finished(came)),
                        Ok(Some(entry)) => {
                            while let Err(wait) = bucket.take(Instant::now()) {
                                tokio::time::sleep(wait).await;
                            }
                            doubts.open(&came.publish);
                            let outcome = submit(hub, entry.clone()).await;
                            pending.push_back(stored(hub.clone(), came, entry, outcome));
                        }
                        Err(rejected) => {
                            refusals.note(rejected, &came.publish.topic);
                            pending.push_back(finished(came));
                        }
                    }
                }
            },
            // Room for acknowledgements comes as the client sends those before.
            () = tokio::time::sleep(ACK_AGAIN), if !acks.is_empty() => {}
        }
    }
}

/// What comes in here.
fn filters(hub: &Hub) -> Vec<String> {
    let mqtt = &hub.options.mqtt;
    let mut filters = if mqtt.ingest { hub.topics.ingest_filters().to_vec() } else { Vec::new() };
    filters.extend(mqtt.history.then(|| hub.topics.history_filter()));
    filters
}

/// Messages taken in on an earlier connection and not acknowledged there. The broker brings them again, in order; the
/// embedded one without the DUP flag and with other packet ids, so that only their content tells.
#[derive(Debug, Default)]
struct Doubts {
    unsettled: VecDeque<(String, Bytes)>,
    expected: VecDeque<(String, Bytes)>,
}

impl Doubts {
    fn open(&mut self, publish: &Publish) {
        if publish.qos != QoS::AtMostOnce {
            self.unsettled.push_back((publish.topic.clone(), publish.payload.clone()));
        }
    }

    fn settled(&mut self, publish: &Publish) {
        let same =
            |(topic, payload): &(String, Bytes)| *topic == publish.topic && *payload == publish.payload;
        if let Some(at) = self.unsettled.iter().position(same) {
            self.unsettled.remove(at);
        }
    }

    fn reconnected(&mut self, session_present: bool) {
        let unsettled = std::mem::take(&mut self.unsettled);
        self.expected = if session_present { unsettled } else { VecDeque::new() };
    }

    /// Whether this is the next of those that come again.
    fn is_known(&mut self, publish: &Publish) -> bool {
        let next = self.expected.front();
        let known = publish.qos != QoS::AtMostOnce
            && next.is_some_and(|(topic, payload)| *topic == publish.topic && *payload == publish.payload);
        if known {
            self.unsettled.extend(self.expected.pop_front());
        }
        known
    }
}

type Outcome = oneshot::Receiver<Result<mqttchat_store::Appended, NotTaken>>;

async fn submit(hub: &Arc<Hub>, entry: NewEntry) -> Outcome {
    let (caller, outcome) = oneshot::channel();
    hub.clone().submit(entry, Origin::Caller(caller)).await;
    outcome
}

fn finished(came: Came) -> BoxFuture<'static, Option<Came>> {
    Box::pin(std::future::ready(Some(came)))
}

/// Waits until the entry is on disk; while the store is away, again and again: the PUBACK comes late, not never.
fn stored(
    hub: Arc<Hub>,
    came: Came,
    entry: NewEntry,
    mut outcome: Outcome,
) -> BoxFuture<'static, Option<Came>> {
    Box::pin(async move {
        loop {
            match outcome.await {
                Ok(Ok(appended)) => {
                    let result = if appended.fresh { "taken" } else { "known" };
                    metrics::counter!("mqttchat_ingest_total", "result" => result).increment(1);
                    return Some(came);
                }
                Ok(Err(NotTaken::Store(AppendError::Unavailable(_)))) => {}
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a stranger's message was refused");
                    let rejected = match error {
                        NotTaken::Stopped(_) => Rejected::Stopped,
                        NotTaken::Store(_) => Rejected::NoSuchPlace,
                    };
                    metrics::counter!("mqttchat_ingest_total", "result" => rejected.as_str()).increment(1);
                    return Some(came);
                }
                Err(_) => return None,
            }
            tokio::time::sleep(STORE_PAUSE).await;
            outcome = submit(&hub, entry.clone()).await;
        }
    })
}

/// Which generation the broker's session is; what comes waits until the store has said so.
async fn generation(hub: &Hub, session_present: bool) -> u64 {
    loop {
        match hub.store.ingest_session(session_present).await {
            Ok(generation) => return generation,
            Err(error) => tracing::warn!(%error, "strangers' messages wait for the store"),
        }
        tokio::time::sleep(STORE_PAUSE).await;
    }
}

/// What a stranger says; `None` when there is nothing to take in.
fn foreign(hub: &Hub, publish: &Publish, session: Option<u64>) -> Result<Option<NewEntry>, Rejected> {
    if publish.retain {
        return Ok(None);
    }
    let Some(Topic::Msgs(dest)) = hub.topics.parse(&publish.topic) else { return Err(Rejected::NoSuchPlace) };
    match hub.keys.open(&publish.payload) {
        // Our own, on its way to everybody.
        Ok(_) => return Ok(None),
        Err(EnvelopeError::Forged) => return Err(Rejected::Forged),
        Err(EnvelopeError::Unsigned) => {}
    }
    let said = Said::parse(&publish.payload)?;
    if said.text.chars().count() > hub.options.limits.text {
        return Err(Rejected::TooLong);
    }
    let (from, name) = said.sender();
    let conversation = match &dest {
        Dest::Private(party) if party.is_foreign() => return Err(Rejected::NoSuchPlace),
        dest => dest.seen_by(&from),
    };
    let mark = (publish.qos != QoS::AtMostOnce).then_some(session).flatten();
    Ok(Some(NewEntry {
        conversation,
        kind: EntryKind::Msg,
        id: said.id.unwrap_or_else(new_id),
        from,
        name,
        data: json!({ "text": said.text }).to_string().into(),
        change: None,
        ingest: mark.map(|session| IngestMark { session, packet: publish.pkid, redelivered: publish.dup }),
    }))
}

/// An id for what came without one.
fn new_id() -> MessageId {
    let id = format!("mqtt-{:032x}", rand::random::<u128>());
    // 37 printable characters are always an id.
    MessageId::parse(&id).unwrap_or_else(new_id)
}

/// Counts refusals, and logs them now and then.
#[derive(Default)]
struct Refusals {
    logged: Mutex<Option<Instant>>,
}

impl Refusals {
    fn note(&self, rejected: Rejected, topic: &str) {
        metrics::counter!("mqttchat_ingest_total", "result" => rejected.as_str()).increment(1);
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_some_and(|logged| logged.elapsed() < LOG_EVERY) {
            return;
        }
        *logged = Some(Instant::now());
        if rejected == Rejected::Forged {
            tracing::warn!(
                topic,
                "a payload on the broker claims to be of a chat server, but not of this one: another secret on this broker?"
            );
        } else {
            tracing::warn!(topic, reason = rejected.as_str(), "a payload on the broker was not taken in");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_known_by_its_content_and_order() {
        let publish = |text: &str| Publish::new("public/msgs", QoS::AtLeastOnce, text);
        let mut doubts = Doubts::default();
        for text in ["a", "b", "b"] {
            assert!(!doubts.is_known(&publish(text)));
            doubts.open(&publish(text));
        }
        doubts.settled(&publish("a"));
        doubts.reconnected(true);
        assert!(doubts.is_known(&publish("b")) && doubts.is_known(&publish("b")));
        assert!(!doubts.is_known(&publish("b")), "a third one is new");
        doubts.reconnected(false);
        assert!(!doubts.is_known(&publish("b")), "another session brings nothing again");
    }
}
