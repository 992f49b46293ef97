//! A bridge without sockets: clients speak to it through a transport in memory.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "not every test needs everything")]

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mqttchat_bridge::{Authenticator, Bridge, BridgeOptions, Event, Peer, Program, Transport};
use mqttchat_protocol::{Dest, Frame};
use mqttchat_store::{Store, StoreOptions};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc};

/// How long anything may take before a test gives up.
const DEADLINE: Duration = Duration::from_secs(20);

/// A bridge on a fresh store. Its broker is a port on which nobody listens: the log alone has to do.
pub(crate) struct App {
    pub(crate) bridge: Bridge,
    pub(crate) store: Store,
    directory: TempDir,
}

impl App {
    pub(crate) async fn start() -> Self {
        Self::with(BridgeOptions::default()).await
    }

    pub(crate) async fn with(options: BridgeOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::on(directory, options).await
    }

    /// Another run on the same data.
    pub(crate) async fn restart(self, options: BridgeOptions) -> Self {
        self.bridge.stop().await;
        let Self { bridge, store, directory } = self;
        drop(bridge);
        store.close().await;
        Self::on(directory, options).await
    }

    async fn on(directory: TempDir, mut options: BridgeOptions) -> Self {
        options.rates.messages_per_second = 0;
        Self::limited(directory, options).await
    }

    /// One whose users may send only so fast.
    pub(crate) async fn with_rates(options: BridgeOptions) -> Self {
        Self::limited(tempfile::tempdir().unwrap(), options).await
    }

    async fn limited(directory: TempDir, options: BridgeOptions) -> Self {
        let store = Store::open(StoreOptions::sqlite(directory.path())).await.unwrap();
        let bridge = Bridge::start(store.clone(), alone(options)).await.unwrap();
        Self { bridge, store, directory }
    }

    /// One whose application says who somebody is.
    pub(crate) async fn signing_in<A: Authenticator + 'static>(by: impl FnOnce(&Store) -> A) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(StoreOptions::sqlite(directory.path())).await.unwrap();
        let options = alone(BridgeOptions::default());
        let bridge = Bridge::start_with(store.clone(), options, Box::new(by(&store))).await.unwrap();
        Self { bridge, store, directory }
    }

    /// Where the store of this run is.
    pub(crate) fn place(&self) -> StoreOptions {
        StoreOptions::sqlite(self.directory.path())
    }

    /// A client whose socket takes everything at once.
    pub(crate) fn connect(&self) -> Client {
        self.connect_slowly(Semaphore::MAX_PERMITS)
    }

    /// A client whose socket takes only so many frames, until it is allowed more.
    pub(crate) fn connect_slowly(&self, frames: usize) -> Client {
        self.connect_late(frames, Duration::ZERO)
    }

    /// A client whose socket takes only so many frames, and seems to have taken the last so long before it did.
    pub(crate) fn connect_late(&self, frames: usize, late: Duration) -> Client {
        let (mut pipe, client) = Pipe::new(frames);
        pipe.late = late;
        let bridge = self.bridge.clone();
        tokio::spawn(async move {
            bridge.serve(pipe, Peer { addr: IpAddr::V4(Ipv4Addr::LOCALHOST), is_page: false }).await
        });
        client
    }

    /// One that only listens, for a program.
    pub(crate) async fn follow(&self, program: &Program, dest: Dest) -> Client {
        let (pipe, mut client) = Pipe::new(Semaphore::MAX_PERMITS);
        tokio::spawn(program.follow(pipe, &[(dest, None)].into()));
        client.expect("1000").await;
        client
    }

    /// A client that has said hello under this name.
    pub(crate) async fn sign_in(&self, name: &str) -> Client {
        let mut client = self.connect();
        client.send(json!({"type":"hello","id":"h","data":{"name":name}})).await;
        client.expect("1000").await;
        client
    }

    /// One that has also joined the public conversation.
    pub(crate) async fn join(&self, name: &str) -> Client {
        let mut client = self.sign_in(name).await;
        client.send(json!({"type":"join","id":"j","dest":"public","data":{"history":0}})).await;
        client.expect("reply").await;
        client
    }
}

/// These options with no broker.
fn alone(mut options: BridgeOptions) -> BridgeOptions {
    options.mqtt.targets = vec![("127.0.0.1".into(), nobody())];
    options
}

fn nobody() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The far end of a transport in memory.
pub(crate) struct Client {
    to_server: mpsc::Sender<Event>,
    from_server: mpsc::Receiver<Out>,
    allowed: Arc<Semaphore>,
    told: Arc<Mutex<Vec<Instant>>>,
    /// Everything that came, in order.
    pub(crate) seen: Vec<Value>,
}

enum Out {
    Frame(Frame),
    Closed(u16),
}

/// What the type of a frame is, as text.
pub(crate) fn kind(frame: &Value) -> String {
    frame["type"].as_str().map_or_else(|| frame["type"].to_string(), str::to_owned)
}

impl Client {
    pub(crate) async fn send(&self, frame: Value) {
        self.event(Event::Text(frame.to_string())).await;
    }

    pub(crate) async fn event(&self, event: Event) {
        self.to_server.send(event).await.unwrap();
    }

    pub(crate) async fn say(&self, id: &str, dest: &str, text: &str) {
        self.send(json!({"type":"msg","id":id,"dest":dest,"data":{"text":text}})).await;
    }

    /// Sends a frame under an id of its own and takes its answer: a reply, a 100 or an error.
    pub(crate) async fn ask(&mut self, kind: &str, dest: &str, data: Value) -> Value {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        let id = format!("ask {}", ASKED.fetch_add(1, Ordering::Relaxed));
        self.ask_as(&id, kind, dest, data).await
    }

    /// The same under this id.
    pub(crate) async fn ask_as(&mut self, id: &str, kind: &str, dest: &str, data: Value) -> Value {
        self.send(json!({"type":kind,"id":id,"dest":dest,"data":data})).await;
        loop {
            let frame = self.next().await;
            if frame["re"] == id {
                return frame;
            }
        }
    }

    /// The `data` of the reply to a frame.
    pub(crate) async fn reply(&mut self, kind: &str, dest: &str, data: Value) -> Value {
        let answer = self.ask(kind, dest, data).await;
        assert_eq!(answer["type"], "reply", "{answer}");
        answer["data"].clone()
    }

    /// The code with which a frame is refused.
    pub(crate) async fn refused(&mut self, kind: &str, dest: &str, data: Value) -> String {
        let answer = self.ask(kind, dest, data).await;
        assert_eq!(answer["type"], "error", "{kind}: {answer}");
        answer["data"]["code"].as_str().unwrap().to_owned()
    }

    /// Everything that has come by the time the server has answered a ping: after it, nothing from before is on its way.
    pub(crate) async fn settled(&mut self) -> &[Value] {
        self.send(json!({"type":1001,"id":"settled"})).await;
        self.expect("1002").await;
        &self.seen
    }

    /// What came of a conversation's log, in order: `seq` and type.
    pub(crate) fn log_of(&self, dest: &str) -> Vec<(u64, String)> {
        let entries = self.seen.iter().filter(|frame| frame["dest"] == dest && frame["from"].is_string());
        entries.filter_map(|frame| Some((frame["seq"].as_u64()?, kind(frame)))).collect()
    }

    /// The next frame, whatever it is.
    pub(crate) async fn next(&mut self) -> Value {
        match self.receive().await {
            Out::Frame(frame) => {
                let frame: Value = serde_json::from_slice(frame.as_json()).unwrap();
                self.seen.push(frame.clone());
                frame
            }
            Out::Closed(code) => panic!("closed with {code} after {:?}", self.seen.last()),
        }
    }

    async fn receive(&mut self) -> Out {
        let received = tokio::time::timeout(DEADLINE, self.from_server.recv()).await;
        received
            .unwrap_or_else(|_| panic!("nothing came after {:?}", self.seen.last()))
            .expect("the session is gone")
    }

    /// The next frame of a type; others before it are passed over.
    pub(crate) async fn expect(&mut self, wanted: &str) -> Value {
        loop {
            let frame = self.next().await;
            if kind(&frame) == wanted {
                return frame;
            }
        }
    }

    /// The close code, when the session is ended by the server.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            if let Out::Closed(code) = self.receive().await {
                return code;
            }
        }
    }

    /// Waits for so many log entries of a conversation; returns their numbers and texts.
    pub(crate) async fn entries(&mut self, count: usize) -> Vec<(u64, String)> {
        let mut entries = Vec::new();
        while entries.len() < count {
            let frame = self.expect("msg").await;
            entries
                .push((frame["seq"].as_u64().unwrap(), frame["data"]["text"].as_str().unwrap().to_owned()));
        }
        entries
    }

    /// The token of its 1000 frame.
    pub(crate) fn next_token(&self) -> Value {
        let ready = self.seen.iter().find(|frame| kind(frame) == "1000");
        ready.expect("not signed in")["data"]["token"].clone()
    }

    /// Lets the socket take more frames.
    pub(crate) fn allow(&self, frames: usize) {
        self.allowed.add_permits(frames);
    }

    /// When its session was handed presence frames.
    pub(crate) fn told_at(&self) -> Vec<Instant> {
        self.told.lock().unwrap().clone()
    }

    /// Ends it as a lost connection does.
    pub(crate) fn vanish(self) {}
}

struct Pipe {
    from_client: mpsc::Receiver<Event>,
    to_client: mpsc::Sender<Out>,
    allowed: Arc<Semaphore>,
    queue: VecDeque<Frame>,
    told: Arc<Mutex<Vec<Instant>>>,
    bytes: usize,
    progress: Instant,
    late: Duration,
    heard: Instant,
}

impl Pipe {
    fn new(frames: usize) -> (Self, Client) {
        let (to_server, from_client) = mpsc::channel(64);
        let (to_client, from_server) = mpsc::channel(100_000);
        let allowed = Arc::new(Semaphore::new(frames));
        let told: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let pipe = Self {
            from_client,
            to_client,
            allowed: allowed.clone(),
            queue: VecDeque::new(),
            told: told.clone(),
            bytes: 0,
            progress: Instant::now(),
            late: Duration::ZERO,
            heard: Instant::now(),
        };
        (pipe, Client { to_server, from_server, allowed, told, seen: Vec::new() })
    }
}

impl Transport for Pipe {
    fn feed(&mut self, frame: Frame) {
        self.bytes += frame.len();
        if frame.as_json().starts_with(br#"{"type":"presence""#) {
            self.told.lock().unwrap().push(Instant::now());
        }
        self.queue.push_back(frame);
    }

    fn backlog(&self) -> usize {
        self.bytes
    }

    fn last_progress(&self) -> Instant {
        self.progress.checked_sub(self.late).unwrap_or(self.progress)
    }

    fn last_heard(&self) -> Instant {
        self.heard
    }

    fn ping(&mut self) {}

    async fn drive(&mut self, read: bool) -> Event {
        let had = !self.queue.is_empty();
        loop {
            if self.queue.is_empty() && had {
                return Event::Drained;
            }
            tokio::select! {
                biased;
                event = self.from_client.recv(), if read => {
                    self.heard = Instant::now();
                    return event.unwrap_or(Event::Closed);
                }
                permit = self.allowed.acquire(), if !self.queue.is_empty() => {
                    permit.unwrap().forget();
                    let Some(frame) = self.queue.pop_front() else { continue };
                    self.bytes -= frame.len();
                    self.progress = Instant::now();
                    if self.to_client.try_send(Out::Frame(frame)).is_err() {
                        return Event::Closed;
                    }
                }
                () = self.to_client.closed() => return Event::Closed,
            }
        }
    }

    async fn close(&mut self, code: u16, _reason: &str) {
        for frame in self.queue.drain(..) {
            let _ = self.to_client.try_send(Out::Frame(frame));
        }
        let _ = self.to_client.try_send(Out::Closed(code));
    }
}
