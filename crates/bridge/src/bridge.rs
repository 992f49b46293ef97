//! One node: started, serving, stopped.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use mqttchat_protocol::{Conversation, PersonState, Refusal};
use mqttchat_store::{Health, Store, StoreError};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::auth::{Authenticator, Guests};
use crate::budget::{Wallet, knock};
use crate::figures;
use crate::greet::{Ended, greet};
use crate::hub::{Hub, HubParts};
use crate::ingest::{ingest, leave_to_others};
use crate::mail::Handle;
use crate::node::NODE_TTL;
use crate::options::BridgeOptions;
use crate::own_frame::FrameTypes;
use crate::routes::Routes;
use crate::session::Session;
use crate::transport::Transport;

/// How long stopping waits for sessions to end, and then for MQTT to take what is left.
const SESSIONS_END_WITHIN: Duration = Duration::from_millis(2500);
const MQTT_ENDS_WITHIN: Duration = Duration::from_millis(1000);

/// How often stopping looks whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Clients come back after at least this many ms, and so many more as there are of them.
const RETRY_AFTER_MIN: u64 = 500;
const RETRY_SPREAD_MIN: u64 = 1500;

/// Why a bridge can't start.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The client's address, as far as it can be trusted.
    pub addr: IpAddr,
    /// Whether it was opened by a page, of an origin that is welcome, and not by a program that says nothing of one.
    pub is_page: bool,
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether the broker is connected; if not, why, for the operator.
    pub broker: Result<(), String>,
    /// Whether the store takes writes; if not, why, for the operator.
    pub store: Result<(), String>,
    /// Open sessions.
    pub sessions: usize,
}

/// One node of the chat. Cloning is cheap; all clones are the same node.
#[derive(Clone)]
pub struct Bridge {
    pub(crate) hub: Arc<Hub>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl std::fmt::Debug for Bridge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bridge").field("node", &self.hub.node).finish_non_exhaustive()
    }
}

impl Bridge {
    /// Starts a node that signs guests in. Returns when it can serve; the broker may still be away.
    ///
    /// # Errors
    /// [`BridgeError`] when the store can't be read or written.
    pub async fn start(store: Store, options: BridgeOptions) -> Result<Self, BridgeError> {
        let guests = Guests::new(store.clone());
        Self::start_with(store, options, Box::new(guests)).await
    }

    /// Starts a node that signs in whom `authenticator` lets in.
    ///
    /// # Errors
    /// [`BridgeError`] when the store can't be read or written.
    pub async fn start_with(
        store: Store,
        options: BridgeOptions,
        authenticator: Box<dyn Authenticator>,
    ) -> Result<Self, BridgeError> {
        figures::describe();
        let incarnation = format!("{:016x}", rand::random::<u64>());
        let lease = store.acquire_node(&incarnation, NODE_TTL).await?;
        let gone = store.recover_presence(&lease.name).await?;
        let confirmed = store.confirmed(&lease.name).await?;
        let revocations = store.revocations().await?;
        let parts =
            HubParts { store, authenticator, node: lease.name.clone(), incarnation, confirmed, revocations };
        let hub = Arc::new(Hub::new(parts, options));
        hub.settle_positions().await?;
        let public = hub.sequencer(&Conversation::Public).await?;
        let newest =
            hub.store.entries_before(&Conversation::Public, None, hub.options.limits.history).await?;
        public.remember(&newest, public.changes());
        let mut tasks = JoinSet::new();
        tasks.spawn(hub.clone().deliver());
        tasks.spawn(hub.clone().wake_readers());
        tasks.spawn(hub.clone().run_link());
        tasks.spawn(hub.clone().publish_again());
        tasks.spawn(hub.clone().publish_late());
        tasks.spawn(hub.clone().keep_positions());
        tasks.spawn(hub.clone().keep_presence());
        tasks.spawn(hub.clone().watch_revocations());
        tasks.spawn(hub.clone().keep_lease(lease.lease()));
        if hub.options.mqtt.private == crate::Private::Auto && hub.options.mqtt.strangers.is_none() {
            tasks.spawn(hub.clone().probe_strangers());
        }

        if hub.is_cluster() {
            tasks.spawn(hub.clone().compare_heads());
            tasks.spawn(hub.clone().tell_moves());
            tasks.spawn(hub.clone().watch_nodes());
        }
        if hub.options.mqtt.ingest || hub.options.mqtt.history {
            tasks.spawn(ingest(hub.clone()));
        }
        hub.publish_offline(gone);
        tasks.spawn(hub.clone().keep_states());
        tasks.spawn(hub.clone().publish_states());
        Ok(Self { hub, tasks: Arc::new(Mutex::new(tasks)) })
    }

    /// Runs one client's session, from its `hello` to its end. To be spawned for each connection.
    ///
    /// Dropped before it ends, the client simply seems to be gone.
    pub fn serve<T: Transport>(&self, transport: T, peer: Peer) -> impl Future<Output = ()> + Send {
        let hub = self.hub.clone();
        run(transport, move |transport| {
            Box::pin(async move {
                let opened = greet(&hub, transport, peer).await;
                if let Ok((Session { handle, .. }, _)) = &opened {
                    tracing::debug!(session = handle.id, user = %handle.who.user, peer = %peer.addr, "session opened");
                }
                opened
            })
        })
    }

    /// Counts a call from this address; for calls that no session makes.
    ///
    /// # Errors
    /// `rate_limited`, when there are too many.
    pub fn knock(&self, address: IpAddr) -> Result<(), Refusal> {
        knock(self.hub.addresses.bucket_of(address).as_ref(), 1)
    }

    /// Waits until another process has taken this node's place, since it was silent for too long (stopped, or cut off
    /// from the store). It must end then. Cancel safe.
    pub async fn fenced(&self) {
        self.hub.fenced.notified().await;
    }

    /// What the application does with messages on their way; can be changed while they pass.
    #[must_use]
    pub fn routes(&self) -> Routes {
        self.hub.options.routes.clone()
    }

    /// The application's own frame types; can be changed while sessions are open.
    #[must_use]
    pub fn frame_types(&self) -> FrameTypes {
        self.hub.options.frame_types.clone()
    }

    /// How the node is. Never blocks.
    #[must_use]
    pub fn status(&self) -> Status {
        let store = match self.hub.store.health() {
            Health::Ok => Ok(()),
            Health::Failing(reason) => Err(reason),
        };
        let broker = self.hub.broker.borrow().clone();
        Status { broker, store, sessions: self.hub.people.session_count() }
    }

    /// Ends every session with `bye` and 1001, lets MQTT take what is left, and gives the node's lease back.
    ///
    /// Takes at most about 4 s. The store stays open.
    pub async fn stop(&self) {
        let hub = &self.hub;
        hub.stopping.send_replace(true);
        let sessions = hub.people.all_sessions();
        let deadline = Instant::now() + SESSIONS_END_WITHIN;
        while hub.people.session_count() > 0 && Instant::now() < deadline {
            sleep(LOOK_EVERY).await;
        }
        let deadline = Instant::now() + MQTT_ENDS_WITHIN;
        let connected = hub.link.is_connected();
        let left =
            || sessions.iter().any(|session| session.link.outstanding() > 0) || hub.link.outstanding() > 0;
        while connected && left() && Instant::now() < deadline {
            sleep(LOOK_EVERY).await;
        }
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        let offline: Vec<_> =
            sessions.iter().map(|session| (session.who.user.clone(), session.left_at())).collect();
        let lease = format!("node/{}", hub.node);
        let stored = async {
            hub.store.set_presence(&hub.node, &[], &offline).await?;
            hub.store.set_confirmed(&hub.node, hub.confirmed_low()).await?;
            leave_to_others(hub).await?;
            hub.store.release_lease(&lease, &hub.incarnation).await
        };
        if let Err(error) = stored.await {
            tracing::warn!(%error, "the last positions can't be stored; the next start makes up for it");
        }
        hub.link.close();
    }
}

/// Opens a session and runs it to its end.
pub(crate) async fn run<T, O>(mut transport: T, open: O)
where
    T: Transport,
    O: for<'t> FnOnce(&'t mut T) -> BoxFuture<'t, Result<(Session, Present), Ended>>,
{
    // Opening and goodbye are boxed: a session that is open doesn't hold room for them.
    let (mut session, present) = match open(&mut transport).await {
        Ok(opened) => opened,
        Err(Ended::Gone) => return,
        Err(Ended::Close((code, reason))) => return Box::pin(transport.close(code, reason)).await,
    };
    let close = session.talk(&mut transport).await;
    if let Some((code, _)) = close
        && code != 4413
    {
        session.finish(&mut transport);
    }
    let id = session.handle.id.clone();
    // What the others see of the end must not wait for this client's socket.
    drop(session);
    drop(present);
    tracing::debug!(session = id, code = close.map(|close| close.0), "session ended");
    if let Some((code, reason)) = close {
        Box::pin(transport.close(code, reason)).await;
    }
}

/// A session as the others see it. Dropped, it is gone for them, however it ended.
pub(crate) struct Present {
    hub: Arc<Hub>,
    handle: Arc<Handle>,
}

impl Present {
    /// Registers a session. Returns what its user spends from, too.
    pub(crate) fn new(hub: &Arc<Hub>, handle: &Arc<Handle>) -> (Self, Wallet) {
        let wallet = Wallet::new(hub.people.arrive(handle));
        (Self { hub: hub.clone(), handle: handle.clone() }, wallet)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let stopping = self.hub.is_stopping();
        self.hub.people.depart(&self.handle, !stopping);
        if stopping {
            self.hub.publish_status(&self.handle, PersonState::Offline);
        }
        self.handle.link.close();
    }
}

/// When a client is to come back, in ms: not all at once.
pub(crate) fn retry_after(spread: u64) -> u64 {
    RETRY_AFTER_MIN + rand::random_range(0..spread.max(RETRY_SPREAD_MIN))
}
