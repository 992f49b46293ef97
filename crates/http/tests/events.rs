//! Server-sent events over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail tests")]

mod support;

use std::time::Duration;

use mqttchat_bridge::Program;
use mqttchat_protocol::{Dest, MessageId};
use serde_json::{Value, json};
use support::{PATIENCE, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A stream as its client reads it. The server writes each event in one piece, so lines are never broken.
struct Events {
    stream: TcpStream,
    text: String,
    looked_at: usize,
}

impl Events {
    async fn open(site: &Site, token: &str, dests: &str, last: Option<&str>) -> Self {
        let mut stream = site.connect().await;
        let last = last.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let request = format!(
            "GET /api/v1/events?{dests} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n{last}\r\n",
            site.address
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut events = Self { stream, text: String::new(), looked_at: 0 };
        let head = events.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/event-stream\r\n"), "{head}");
        events
    }

    /// Reads up to and with `end`.
    async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.text[self.looked_at..].find(end) {
                let from = self.looked_at;
                self.looked_at = from + at + end.len();
                return self.text[from..self.looked_at].to_owned();
            }
            let mut bytes = [0; 4096];
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut bytes)).await;
            let read = read.unwrap_or_else(|_| panic!("no {end:?} in {}", self.text)).unwrap();
            assert!(read > 0, "the stream ended without {end:?}: {}", self.text);
            self.text += std::str::from_utf8(&bytes[..read]).unwrap();
        }
    }

    /// The id of the next event that has one.
    async fn id(&mut self) -> String {
        self.until("id: ").await;
        self.until("\n").await.trim_end().to_owned()
    }

    /// The next frame of a type, others are passed over.
    async fn frame(&mut self, kind: &str) -> Value {
        loop {
            self.until("data: ").await;
            let frame: Value = serde_json::from_str(&self.until("\n").await).unwrap();
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// The `seq` of the next so many messages.
    async fn seqs(&mut self, count: usize) -> Vec<u64> {
        let mut seqs = Vec::new();
        for _ in 0..count {
            seqs.push(self.frame("msg").await["seq"].as_u64().unwrap());
        }
        seqs
    }
}

async fn say(program: &Program, dest: &str, text: &str) -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let id = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let data = json!({ "text": text }).as_object().unwrap().clone();
    let id = MessageId::parse(&format!("m{id}")).unwrap();
    program.send(id, &Dest::parse(dest).unwrap(), &data).await.unwrap().entry.seq
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_lost() {
    let site = Site::start().await;
    let token = site.token("Ann").await;
    let ann = site.bridge.program(&token).await.unwrap();
    say(&ann, "public", "before").await;
    let mut events = Events::open(&site, &token, "dest=public", None).await;
    assert_eq!(events.id().await, "1", "where it begins is told before anything is said");
    say(&ann, "public", "one").await;
    assert_eq!(events.id().await, "2");
    assert_eq!(events.frame("msg").await["data"]["text"], "one");
    drop(events);
    for text in ["two", "three"] {
        say(&ann, "public", text).await;
    }
    let mut events = Events::open(&site, &token, "dest=public", Some("2")).await;
    assert_eq!((events.seqs(2).await, say(&ann, "public", "four").await), (vec![3, 4], 5));
    assert_eq!(events.seqs(1).await, [5]);
}

#[tokio::test]
async fn several_conversations_and_none_beside_them() {
    let site = Site::start().await;
    let (ann_token, bob_token) = (site.token("Ann").await, site.token("Bob").await);
    let ann = site.bridge.program(&ann_token).await.unwrap();
    let bob = site.bridge.program(&bob_token).await.unwrap();
    let mut events = Events::open(&site, &ann_token, "dest=public,private/bob", None).await;
    assert_eq!(events.id().await, "public:0,private/bob:0");
    say(&bob, "private/ann", "psst").await;
    assert_eq!(events.id().await, "public:0,private/bob:1");
    assert_eq!(events.frame("msg").await["from"], "bob");
    let mut public = Events::open(&site, &ann_token, "dest=public", None).await;
    assert_eq!(public.id().await, "0");
    say(&bob, "private/ann", "not for that stream").await;
    say(&bob, "public", "hello").await;
    assert_eq!(public.frame("msg").await["data"]["text"], "hello");
    drop(events);
    let last = "public:0,private/bob:1";
    let mut events = Events::open(&site, &ann_token, "dest=public&dest=private/bob", Some(last)).await;
    let mut texts = vec![];
    for _ in 0..2 {
        texts.push(events.frame("msg").await["data"]["text"].as_str().unwrap().to_owned());
    }
    texts.sort();
    assert_eq!(texts, ["hello", "not for that stream"]);
    drop(ann);
}

#[tokio::test]
async fn a_gap_is_told() {
    let site = Site::start().await;
    let token = site.token("Ann").await;
    let ann = site.bridge.program(&token).await.unwrap();
    say(&ann, "public", "only").await;
    let mut events = Events::open(&site, &token, "dest=public", Some("700")).await;
    let gap = events.frame("gap").await;
    assert_eq!(gap["data"], json!({"after": 0, "before": 1, "reset": true}));
    assert_eq!(events.seqs(1).await, [1]);
}

#[tokio::test]
async fn streams_that_cannot_be() {
    let site = Site::start().await;
    let bearer = format!("Bearer {}", site.token("Ann").await);
    let many = (0..101).map(|n| format!("rooms/r{n}")).collect::<Vec<_>>().join(",");
    for (query, last, status) in [
        ("", "", 400),
        ("?dest=", "", 400),
        ("?dest=nowhere", "", 400),
        ("?dest=public&token=x", "", 400),
        ("?dest=private/nobody", "", 404),
        ("?dest=rooms/none", "", 404),
        ("?dest=public", "x", 400),
        (&format!("?dest={many}"), "", 400),
    ] {
        let headers = [("authorization", bearer.as_str()), ("last-event-id", last)];
        let answer = site.request("GET", &format!("/api/v1/events{query}"), &headers).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, Some("application/problem+json"))
        );
    }
    let head = site.request("HEAD", "/api/v1/events?dest=public", &[("authorization", &bearer)]).await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!(site.bridge.status().sessions, 0);
}

#[tokio::test]
async fn a_client_that_is_gone_is_no_session() {
    let site = Site::start().await;
    let token = site.token("Ann").await;
    let mut events = Events::open(&site, &token, "dest=public", None).await;
    events.id().await;
    assert_eq!(site.bridge.status().sessions, 1);
    drop(events);
    let gone = async {
        while site.bridge.status().sessions > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the session is still there");
}

#[tokio::test]
async fn a_server_that_stops_says_bye() {
    let site = Site::start().await;
    let token = site.token("Ann").await;
    let mut events = Events::open(&site, &token, "dest=public", None).await;
    events.id().await;
    let bridge = site.bridge.clone();
    tokio::spawn(async move { bridge.stop().await });
    assert!(events.frame("bye").await["data"]["retry_after"].is_u64());
    events.until(": closed 1001").await;
    events.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn a_stream_ends_with_its_key() {
    let site = Site::start().await;
    let (watch, other) = (site.key("watch", "read").await, site.key("other", "read").await);
    let mut ended = Events::open(&site, &watch, "dest=public", None).await;
    let mut stays = Events::open(&site, &other, "dest=public", None).await;
    ended.id().await;
    stays.id().await;
    site.revoke("watch").await;
    let revoked = std::time::Instant::now();
    let error = ended.frame("error").await;
    assert!(revoked.elapsed() < Duration::from_secs(1), "{:?}", revoked.elapsed());
    assert_eq!(error["data"]["code"], "unauthorized");
    ended.until(": closed 4401").await;
    ended.until("0\r\n\r\n").await;
    let ann = site.bridge.program(&site.token("Ann").await).await.unwrap();
    say(&ann, "public", "still there?").await;
    assert_eq!(stays.frame("msg").await["data"]["text"], "still there?");
}
