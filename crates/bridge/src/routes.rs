//! The chain of routes, and what keeps it from holding up the chat.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures::FutureExt;
use mqttchat_protocol::{Conversation, Dest, Entry, EntryKind, MessageId};
use mqttchat_store::{NewEntry, Store};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::route::{Message, Route, Stored, Verdict, is_routed};

/// How long a route that took too long is left out.
const REST: Duration = Duration::from_secs(10);

/// Entries whose post-processing runs at a time, and those that wait for it, for each route.
const RUNNING_MAX: usize = 1000;
const WAITING_MAX: usize = 1000;

/// How long the post-processing of one entry may take.
const POST_PROCESS_WITHIN: Duration = Duration::from_secs(600);

/// The routes of a node, in order. A cheap handle: clones are the same chain, which can change while messages pass.
#[derive(Clone, Default)]
pub struct Routes {
    chain: Arc<Chain>,
}

#[derive(Default)]
struct Chain {
    /// How many there are: without any, a message passes at the cost of this look.
    count: AtomicUsize,
    routes: RwLock<Arc<[Arc<Named>]>>,
}

struct Named {
    name: Arc<str>,
    route: Arc<dyn Route>,
    /// Until when it is left out.
    rests_until: Mutex<Option<Instant>>,
    stored: mpsc::Sender<Stored>,
    runner: AbortHandle,
}

impl Drop for Named {
    fn drop(&mut self) {
        self.runner.abort();
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Routes {
    /// Puts a route at the end of the chain; one of the same name is replaced where it stands. It counts for messages
    /// that come from now on.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn add(&self, name: impl Into<Arc<str>>, route: impl Route) {
        let name = name.into();
        let route: Arc<dyn Route> = Arc::new(route);
        let (stored, waiting) = mpsc::channel(WAITING_MAX);
        let runner = tokio::spawn(post_process(name.clone(), route.clone(), waiting)).abort_handle();
        let named =
            Arc::new(Named { name: name.clone(), route, rests_until: Mutex::default(), stored, runner });
        self.change(|routes| match routes.iter_mut().find(|known| known.name == name) {
            Some(known) => *known = named,
            None => routes.push(named),
        });
    }

    /// Takes a route out of the chain; `false` when there is none of this name. Messages that are passing it are still
    /// decided about; its post-processing ends at once.
    #[allow(clippy::must_use_candidate, reason = "a route that isn't there needn't be removed")]
    pub fn remove(&self, name: &str) -> bool {
        let mut found = false;
        self.change(|routes| {
            found = routes.iter().any(|known| &*known.name == name);
            routes.retain(|known| &*known.name != name);
        });
        found
    }

    /// The names of the routes, in order.
    #[must_use]
    pub fn names(&self) -> Vec<Arc<str>> {
        self.all().iter().map(|named| named.name.clone()).collect()
    }

    fn all(&self) -> Arc<[Arc<Named>]> {
        self.chain.routes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Named>>)) {
        let mut routes = self.chain.routes.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = routes.to_vec();
        change(&mut changed);
        self.chain.count.store(changed.len(), Ordering::Release);
        *routes = changed.into();
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.chain.count.load(Ordering::Acquire) == 0
    }

    /// Has every route decide about an entry. Returns the copies that are to be appended after it.
    ///
    /// # Errors
    /// The sentence of the route that stopped it.
    pub(crate) async fn pass(&self, entry: &NewEntry) -> Result<Vec<NewEntry>, String> {
        let Some(message) = Message::of(entry) else { return Ok(Vec::new()) };
        let mut copies: Vec<NewEntry> = Vec::new();
        for named in &*self.all() {
            match named.ask(&message).await {
                Verdict::Pass => {}
                Verdict::Stop(reason) => {
                    metrics::counter!("mqttchat_route_stopped_total").increment(1);
                    return Err(reason);
                }
                Verdict::Also(dest) => copies
                    .extend(copy(entry, &dest).filter(|copy| copies.iter().all(|known| known.id != copy.id))),
            }
        }
        Ok(copies)
    }

    /// Hands an entry that is in the log to every route. Never waits.
    pub(crate) fn stored(&self, entry: &Arc<Entry>, store: &Store) {
        if self.is_empty() || !is_routed(entry.kind) {
            return;
        }
        for named in &*self.all() {
            if named.stored.try_send(Stored::new(entry.clone(), store.clone())).is_err() {
                metrics::counter!("mqttchat_route_dropped_total").increment(1);
            }
        }
    }
}

impl Named {
    async fn ask(&self, message: &Message<'_>) -> Verdict {
        let rests_until = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        if rests_until.is_some_and(|until| Instant::now() < until) {
            return self.route.when_failed();
        }
        match timeout(self.route.patience(), unpanicked(async { self.route.route(message).await })).await {
            Ok(Some(verdict)) => verdict,
            Ok(None) => {
                tracing::error!(route = &*self.name, "a route panicked; the message goes on without it");
                self.route.when_failed()
            }
            Err(_) => {
                tracing::warn!(route = &*self.name, "a route takes too long; it is left out for a while");
                let until = Some(Instant::now() + REST);
                *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
                self.route.when_failed()
            }
        }
    }
}

/// What comes of a future, or `None` when it panics; a call that makes one has to be inside of it.
pub(crate) async fn unpanicked<T>(work: impl Future<Output = T>) -> Option<T> {
    // What a panic leaves half done is the application's own.
    AssertUnwindSafe(work).catch_unwind().await.ok()
}

/// The same message for another conversation.
fn copy(entry: &NewEntry, dest: &Dest) -> Option<NewEntry> {
    let conversation = dest.seen_by(&entry.from);
    if entry.kind != EntryKind::Msg || conversation == entry.conversation {
        return None;
    }
    let id = copy_id(&entry.id, &conversation, &entry.from.to_string())?;
    Some(NewEntry { conversation, id, ingest: None, ..entry.clone() })
}

/// The id of a copy: the same for the same message and conversation, and for no other.
fn copy_id(id: &MessageId, conversation: &Conversation, from: &str) -> Option<MessageId> {
    let mut hash = Sha256::new();
    for part in [id.as_str(), from, &conversation.to_string()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let hex: String = hash.finalize().iter().take(20).map(|byte| format!("{byte:02x}")).collect();
    MessageId::parse(&format!("also-{hex}"))
}

/// Runs a route's post-processing, for as long as it is in the chain.
async fn post_process(name: Arc<str>, route: Arc<dyn Route>, mut waiting: mpsc::Receiver<Stored>) {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = running.join_next() => {}
            stored = waiting.recv(), if running.len() < RUNNING_MAX => {
                let Some(stored) = stored else { return };
                let (name, route) = (name.clone(), route.clone());
                running.spawn(async move {
                    let work = unpanicked(async { route.post_process(stored).await });
                    match timeout(POST_PROCESS_WITHIN, work).await {
                        Ok(Some(())) => {}
                        Ok(None) => tracing::error!(route = &*name, "the post-processing of a route panicked"),
                        Err(_) => tracing::warn!(route = &*name, "the post-processing of a route never ends"),
                    }
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::future::BoxFuture;
    use mqttchat_protocol::Party;

    use super::*;

    fn entry(kind: EntryKind, text: &str) -> NewEntry {
        NewEntry {
            conversation: Conversation::Public,
            kind,
            id: MessageId::parse("m1").unwrap(),
            from: Party::parse("ann").unwrap(),
            name: "Ann".into(),
            data: serde_json::json!({ "text": text }).to_string().into(),
            change: None,
            ingest: None,
        }
    }

    #[derive(Default)]
    struct Stuck(Arc<AtomicUsize>);

    impl Route for Stuck {
        fn route<'a>(&'a self, _: &'a Message<'a>) -> BoxFuture<'a, Verdict> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(std::future::pending())
        }

        fn patience(&self) -> Duration {
            Duration::from_millis(20)
        }

        fn when_failed(&self) -> Verdict {
            Verdict::Stop("nobody looks at messages now".to_owned())
        }
    }

    #[tokio::test]
    async fn in_order_until_one_stops() {
        let routes = Routes::default();
        assert!(routes.is_empty());
        let seen: Arc<Mutex<Vec<&str>>> = Arc::default();
        for name in ["one", "two", "three"] {
            let seen = seen.clone();
            routes.add(name, move |message: &Message<'_>| {
                seen.lock().unwrap().push(name);
                match message.text().as_deref() {
                    Some("bad") if name == "two" => Verdict::Stop("no".to_owned()),
                    _ => Verdict::Pass,
                }
            });
        }
        assert_eq!(routes.pass(&entry(EntryKind::Msg, "good")).await, Ok(Vec::new()));
        assert_eq!(routes.pass(&entry(EntryKind::Edit, "bad")).await, Err("no".to_owned()));
        assert_eq!(*seen.lock().unwrap(), ["one", "two", "three", "one", "two"]);
        routes.pass(&entry(EntryKind::React, "bad")).await.unwrap();
        assert!(routes.remove("two") && !routes.remove("two"));
        routes.add("one", |_: &Message<'_>| Verdict::Pass);
        assert_eq!(routes.names().iter().map(|name| &**name).collect::<Vec<_>>(), ["one", "three"]);
        routes.pass(&entry(EntryKind::Msg, "bad")).await.unwrap();
        assert_eq!(seen.lock().unwrap().last(), Some(&"three"));
    }

    #[tokio::test]
    async fn a_copy_has_the_same_id_each_time() {
        let routes = Routes::default();
        let to = |dest: &str| {
            let dest = Dest::parse(dest).unwrap();
            move |_: &Message<'_>| Verdict::Also(dest.clone())
        };
        routes.add("ops", to("rooms/ops"));
        routes.add("boss", to("private/bob"));
        routes.add("here", to("public"));
        let copies = routes.pass(&entry(EntryKind::Msg, "hi")).await.unwrap();
        let [ops, boss] = &copies[..] else { panic!("{copies:?}") };
        assert_eq!(ops.conversation.to_string(), "rooms/ops");
        assert_eq!(boss.conversation.to_string(), "pair/ann/bob");
        assert_ne!(ops.id, boss.id);
        assert_eq!(routes.pass(&entry(EntryKind::Msg, "hi")).await.unwrap(), copies);
        assert_eq!(routes.pass(&entry(EntryKind::Edit, "hi")).await.unwrap(), []);
    }

    #[tokio::test]
    async fn one_that_hangs_holds_up_one_message() {
        let (routes, asked) = (Routes::default(), Arc::default());
        routes.add("stuck", Stuck(Arc::clone(&asked)));
        for _ in 0..100 {
            assert!(routes.pass(&entry(EntryKind::Msg, "hi")).await.is_err());
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1, "the others didn't wait for it");
    }

    #[tokio::test]
    async fn a_panic_is_not_the_chats() {
        let routes = Routes::default();
        routes.add("broken", |_: &Message<'_>| panic!("by intention"));
        assert_eq!(routes.pass(&entry(EntryKind::Msg, "hi")).await, Ok(Vec::new()));
    }
}
