//! The node: which conversations live here, who reads them, and what keeps them going.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mqttchat_protocol::{Conversation, Entry, Keyring, Topics};
use mqttchat_store::{Store, StoreError};
use tokio::sync::{Notify, Semaphore, watch};

use crate::auth::Authenticator;
use crate::budget::Addresses;
use crate::confirm::Confirm;
use crate::deliver::Deliveries;
use crate::effect::Effect;
use crate::figures::Figures;
use crate::incoming::Seen;
use crate::link::Link;
use crate::options::{BridgeOptions, Private};
use crate::pages::Pages;
use crate::peers::Peers;
use crate::people::People;
use crate::readings::Readings;
use crate::revoke::Revocations;
use crate::sequencer::Sequencer;
use crate::slots::Slots;
use crate::states::States;
use crate::typing::Typists;

/// How long a hole may stay before the store is asked.
const HOLE_PATIENCE: Duration = Duration::from_millis(200);

/// How many entries are read from the store at once to fill a hole.
const REPAIR_PAGE: u64 = 200;

/// How many session clients may be on their way to the broker at a time.
const DIALS_AT_ONCE: usize = 32;

/// Everything that the sessions of a node share.
pub(crate) struct Hub {
    pub(crate) store: Store,
    pub(crate) options: BridgeOptions,
    pub(crate) keys: Keyring,
    pub(crate) topics: Topics,
    pub(crate) authenticator: Box<dyn Authenticator>,
    /// The node's name in the store, the same after a restart.
    pub(crate) node: String,
    /// This run of it.
    pub(crate) incarnation: String,
    pub(crate) confirm: Arc<Confirm>,
    pub(crate) deliveries: Deliveries,
    pub(crate) people: People,
    /// What addresses may ask.
    pub(crate) addresses: Addresses,
    /// Answers with lists in them.
    pub(crate) pages: Pages,
    pub(crate) typists: Typists,
    pub(crate) readings: Readings,
    pub(crate) seen: Seen,
    pub(crate) states: States,
    pub(crate) peers: Peers,
    pub(crate) revocations: Revocations,
    /// Rung when another node may have moved a cursor.
    pub(crate) moved: Notify,
    /// Rung when another process has taken this node's place.
    pub(crate) fenced: Notify,
    pub(crate) figures: Figures,
    pub(crate) slots: Slots,
    pub(crate) dials: Semaphore,
    /// The node's own client.
    pub(crate) link: Link,
    /// Whether that is connected, and if not, why.
    pub(crate) broker: watch::Sender<Result<(), String>>,
    /// Turns true once, when the server goes down.
    pub(crate) stopping: watch::Sender<bool>,
    /// See [`Hub::settled`].
    pub(crate) settled: AtomicU64,
    sequencers: Mutex<HashMap<Conversation, Arc<Sequencer>>>,
    dirty: Mutex<Vec<Arc<Sequencer>>>,
    wake: Notify,
    bells_only: AtomicBool,
    counter: AtomicU64,
    next_target: AtomicU64,
}

/// What a hub is made of, beside its options.
pub(crate) struct HubParts {
    pub(crate) store: Store,
    pub(crate) authenticator: Box<dyn Authenticator>,
    pub(crate) node: String,
    pub(crate) incarnation: String,
    pub(crate) confirmed: u64,
    pub(crate) revocations: u64,
}

impl Hub {
    pub(crate) fn new(parts: HubParts, options: BridgeOptions) -> Self {
        let confirm = Arc::new(Confirm::new(parts.confirmed));
        let (broker, _) = watch::channel(Err("not connected yet".to_owned()));
        let bells_only = match options.mqtt.private {
            Private::Full => false,
            Private::Bell => true,
            Private::Auto => options.mqtt.strangers.unwrap_or(true),
        };
        Self {
            keys: parts.store.keyring(),
            topics: Topics::new(&options.mqtt.prefix),
            store: parts.store,
            authenticator: parts.authenticator,
            node: parts.node,
            incarnation: parts.incarnation,
            link: Link::new(confirm.clone()),
            confirm,
            deliveries: Deliveries::default(),
            people: People::new(options.rates, options.other_rates),
            addresses: Addresses::new(options.other_rates.per_address),
            pages: Pages::default(),
            typists: Typists::default(),
            readings: Readings::default(),
            seen: Seen::default(),
            states: States::default(),
            peers: Peers::default(),
            revocations: Revocations::new(parts.revocations),
            moved: Notify::new(),
            fenced: Notify::new(),
            figures: Figures::new(),
            slots: Slots::new(options.mqtt.max_clients),
            dials: Semaphore::new(DIALS_AT_ONCE),
            broker,
            stopping: watch::channel(false).0,
            settled: AtomicU64::new(0),
            sequencers: Mutex::default(),
            dirty: Mutex::default(),
            wake: Notify::new(),
            bells_only: AtomicBool::new(bells_only),
            counter: AtomicU64::new(0),
            next_target: AtomicU64::new(0),
            options,
        }
    }

    fn sequencers(&self) -> MutexGuard<'_, HashMap<Conversation, Arc<Sequencer>>> {
        self.sequencers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring_bytes(&self, conversation: &Conversation) -> usize {
        match conversation {
            Conversation::Public | Conversation::Room(_) => self.options.memory.ring,
            Conversation::Pair(..) => self.options.memory.private_ring,
        }
    }

    /// The sequencer of a conversation, if somebody here reads it.
    pub(crate) fn known_sequencer(&self, conversation: &Conversation) -> Option<Arc<Sequencer>> {
        self.sequencers().get(conversation).cloned()
    }

    /// The sequencer of a conversation; a new one begins behind `head`, or waits to be told where.
    pub(crate) fn sequencer_or(&self, conversation: &Conversation, head: Option<u64>) -> Arc<Sequencer> {
        let mut sequencers = self.sequencers();
        if let Some(known) = sequencers.get(conversation) {
            return known.clone();
        }
        let made = Arc::new(Sequencer::new(conversation.clone(), head, self.ring_bytes(conversation)));
        sequencers.insert(conversation.clone(), made.clone());
        drop(sequencers);
        self.link.subscribe(self.room_filter(conversation));
        made
    }

    /// What the node's client subscribes to for a conversation that is read here: rooms, where there are other nodes.
    fn room_filter(&self, conversation: &Conversation) -> Option<String> {
        match conversation {
            Conversation::Room(room) if self.is_cluster() => Some(self.topics.room_filter(room)),
            _ => None,
        }
    }

    /// What it subscribes to for all that are read here.
    pub(crate) fn room_filters(&self) -> Vec<String> {
        self.sequencers().keys().filter_map(|conversation| self.room_filter(conversation)).collect()
    }

    /// The sequencer of a conversation. A new one asks the store where the log stands: what is committed meanwhile
    /// waits in it.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) async fn sequencer(&self, conversation: &Conversation) -> Result<Arc<Sequencer>, StoreError> {
        let sequencer = self.sequencer_or(conversation, None);
        if sequencer.head().is_none() && sequencer.settle(self.store.head(conversation).await?) {
            self.fill_roster(conversation);
            self.wake(&sequencer);
        }
        Ok(sequencer)
    }

    /// Drops the sequencers that nobody needs.
    pub(crate) fn drop_idle_sequencers(&self) {
        self.sequencers().retain(|conversation, sequencer| {
            let stays = *conversation == Conversation::Public
                || sequencer.reader_count() > 0
                || Arc::strong_count(sequencer) > 1
                || sequencer.roster().has_local();
            if let Some(filter) = self.room_filter(conversation).filter(|_| !stays) {
                self.link.unsubscribe(filter);
            }
            stays
        });
    }

    /// Every conversation that is read here.
    pub(crate) fn active(&self) -> Vec<Arc<Sequencer>> {
        self.sequencers().values().cloned().collect()
    }

    /// Has a sequencer's readers woken, soon: what comes in together goes out together.
    pub(crate) fn wake(&self, sequencer: &Arc<Sequencer>) {
        if sequencer.mark_dirty() {
            self.dirty.lock().unwrap_or_else(PoisonError::into_inner).push(sequencer.clone());
            self.wake.notify_one();
        }
    }

    /// Wakes readers, for as long as the node runs.
    pub(crate) async fn wake_readers(self: Arc<Self>) {
        loop {
            self.wake.notified().await;
            // Whoever else is ready may have more to deliver.
            tokio::task::yield_now().await;
            let dirty = std::mem::take(&mut *self.dirty.lock().unwrap_or_else(PoisonError::into_inner));
            for sequencer in dirty {
                sequencer.wake_readers();
            }
        }
    }

    /// Fills a sequencer's hole from the store, if it doesn't close by itself in time.
    pub(crate) fn repair(self: &Arc<Self>, sequencer: &Arc<Sequencer>) {
        if !sequencer.start_repair() {
            return;
        }
        let (hub, sequencer) = (self.clone(), sequencer.clone());
        tokio::spawn(async move {
            tokio::time::sleep(HOLE_PATIENCE).await;
            while let Some(head) = sequencer.hole() {
                match hub.store.entries_after(&sequencer.conversation, head, REPAIR_PAGE).await {
                    Ok(entries) if !entries.is_empty() => {
                        metrics::counter!("mqttchat_holes_filled_total").increment(entries.len() as u64);
                        hub.filled(&sequencer, head, &entries);
                    }
                    // The store doesn't have it yet, or is away: it will.
                    Ok(_) | Err(_) => tokio::time::sleep(HOLE_PATIENCE).await,
                }
            }
            sequencer.end_repair();
            if sequencer.hole().is_some() {
                hub.repair(&sequencer);
            }
        });
    }

    /// Brings a sequencer up to where the log stands now: what somebody was told of before is in it.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) async fn level(&self, sequencer: &Arc<Sequencer>) -> Result<(), StoreError> {
        let head = self.store.head(&sequencer.conversation).await?;
        while let Some(at) = sequencer.head().filter(|at| *at < head) {
            let entries = self.store.entries_after(&sequencer.conversation, at, REPAIR_PAGE).await?;
            if entries.is_empty() {
                break;
            }
            self.filled(sequencer, at, &entries);
        }
        Ok(())
    }

    /// Shows what the log has after `at` and nobody told of. The bells for those whom a change of a room concerns may have been
    /// lost as well.
    fn filled(&self, sequencer: &Arc<Sequencer>, at: u64, entries: &[Entry]) {
        sequencer.offer_entries(at, entries);
        for entry in entries {
            if let Effect::Room(membership) = Effect::of(entry.kind, &entry.data) {
                let frame = entry.to_frame();
                for user in membership.concerned() {
                    self.mail_room(user, &entry.conversation, entry.seq, &frame);
                }
            }
        }
        self.wake(sequencer);
    }

    /// Whether private content stays off the broker.
    pub(crate) fn bells_only(&self) -> bool {
        self.bells_only.load(Ordering::Acquire)
    }

    /// Decides it, where it was to be found out.
    pub(crate) fn set_bells_only(&self, bells_only: bool) {
        self.bells_only.store(bells_only, Ordering::Release);
    }

    /// A number that rises with each call.
    pub(crate) fn count(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    /// The broker's listener for the next client.
    pub(crate) fn target(&self) -> (String, u16) {
        let targets = &self.options.mqtt.targets;
        let turn = self.next_target.fetch_add(1, Ordering::Relaxed) as usize;
        targets.get(turn % targets.len().max(1)).cloned().unwrap_or_else(|| ("127.0.0.1".to_owned(), 1883))
    }

    /// The login of the bridge's clients.
    pub(crate) fn login(&self) -> Option<(String, String)> {
        let user = self.options.mqtt.user.clone()?;
        Some((user, self.options.mqtt.password.clone().unwrap_or_default()))
    }

    /// A client id of this node for the broker: `[a-z0-9-]` only, since others poison the embedded one.
    pub(crate) fn client_id(&self, role: &str) -> String {
        self.cluster_client_id(&format!("{}-{role}", self.node))
    }

    /// A client id that every node of this installation has, and no other installation on the same broker.
    pub(crate) fn cluster_client_id(&self, role: &str) -> String {
        let log: String = self.store.log_id().chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        format!("mqttchat-{}-{role}", log.to_ascii_lowercase())
    }

    /// Whether clients leave the broker by hanging up: the embedded one prefers it.
    pub(crate) fn hangs_up(&self) -> bool {
        self.options.mqtt.strangers.is_some()
    }

    /// Whether there can be other nodes.
    pub(crate) fn is_cluster(&self) -> bool {
        self.store.is_shared()
    }

    /// Whether a user is signed in here or, as far as this node knows, on another.
    pub(crate) fn is_anywhere(&self, user: &mqttchat_protocol::UserId) -> bool {
        self.people.is_online(user) || self.peers.has(user)
    }

    /// Whether the server is going down.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }
}

/// Unix time in ms.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A point in time that is never reached.
pub(crate) fn far_future() -> Instant {
    Instant::now() + Duration::from_secs(365 * 24 * 3600)
}
