//! The webhook against a receiver that takes, refuses, fails, hangs, points elsewhere, and is away.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use mqttchat::ChatServer;
use serde_json::{Value, json};
use support::{Client, LOOPBACK, Running, settings_of};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use warp::Filter;
use warp::http::{HeaderMap, Response};

/// What came: its id, its body.
type Posts = mpsc::Receiver<(String, Value)>;

/// A receiver that answers each post with what `answer` makes of it.
struct Receiver {
    address: SocketAddr,
    posts: Posts,
    serving: JoinHandle<()>,
}

impl Receiver {
    async fn start(answer: impl Fn(&Value) -> Response<String> + Clone + Send + Sync + 'static) -> Self {
        Self::at(LOOPBACK, answer).await
    }

    async fn at(
        address: SocketAddr,
        answer: impl Fn(&Value) -> Response<String> + Clone + Send + Sync + 'static,
    ) -> Self {
        let (sender, posts) = mpsc::channel(1000);
        let routes = warp::any().and(warp::header::headers_cloned()).and(warp::body::bytes()).map(
            move |headers: HeaderMap, body: Bytes| {
                let body: Value = serde_json::from_slice(&body).unwrap();
                let answer = answer(&body);
                let id = headers["webhook-id"].to_str().unwrap().to_owned();
                // A connection may outlive whoever listens to it.
                if sender.try_send((id, body)).is_ok() { answer } else { status(503) }
            },
        );
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, posts, serving: tokio::spawn(warp::serve(routes).incoming(listener).run()) }
    }

    async fn next(&mut self) -> (String, String) {
        let patience = std::time::Duration::from_secs(30);
        let (id, body) = tokio::time::timeout(patience, self.posts.recv()).await.expect("no post").unwrap();
        (id, body["entry"]["data"]["text"].as_str().unwrap().to_owned())
    }
}

fn status(code: u16) -> Response<String> {
    Response::builder().status(code).body(String::new()).unwrap()
}

async fn chat(data: &Path, receiver: SocketAddr) -> Running {
    let toml = format!(
        "[limits]\nmessages_per_second = 0\n[webhook]\nurl = \"http://{receiver}/hook\"\nevents = [\"message\"]\n"
    );
    Running::new(ChatServer::builder().config(settings_of(data, &toml))).await
}

async fn say(client: &mut Client, number: usize) {
    let id = format!("m{number}");
    client.say(&id, "public", &number.to_string()).await;
    client.expect(|frame| frame["type"] == 100 && frame["data"] == id.as_str()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_is_told_and_a_failing_receiver_gets_it_again() {
    let data = tempfile::tempdir().unwrap();
    let failures = Arc::new(AtomicUsize::new(2));
    let mut receiver = Receiver::start(move |_| {
        let fails = failures.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
        status(if fails.is_ok() { 503 } else { 200 })
    })
    .await;
    let server = chat(data.path(), receiver.address).await;
    let mut ann = Client::hello(server.address, json!({"name": "Ann"})).await;
    say(&mut ann, 1).await;
    let first = receiver.next().await;
    assert_eq!(first.1, "1");
    assert_eq!(receiver.next().await, first, "the same event, under the same id");
    assert_eq!(receiver.next().await, first);
    say(&mut ann, 2).await;
    let second = receiver.next().await;
    assert_eq!(second.1, "2");
    assert_ne!(second.0, first.0);
    assert!(second.0.starts_with("message/") && second.0.ends_with("/public/2"), "{}", second.0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_refuses_is_not_repeated_and_where_it_points_nothing_goes() {
    let data = tempfile::tempdir().unwrap();
    let mut elsewhere = Receiver::start(|_| status(200)).await;
    let target = format!("http://{}/", elsewhere.address);
    let pointed = Arc::new(AtomicUsize::new(0));
    let mut receiver = Receiver::start(move |body| match body["entry"]["data"]["text"].as_str() {
        Some("1") => status(422),
        Some("2") if pointed.fetch_add(1, Ordering::AcqRel) == 0 => {
            Response::builder().status(307).header("location", &target).body(String::new()).unwrap()
        }
        _ => status(204),
    })
    .await;
    let server = chat(data.path(), receiver.address).await;
    let mut ann = Client::hello(server.address, json!({"name": "Ann"})).await;
    for number in 1..=3 {
        say(&mut ann, number).await;
    }
    let mut texts = Vec::new();
    for _ in 0..4 {
        texts.push(receiver.next().await.1);
    }
    texts.sort();
    assert_eq!(texts, ["1", "2", "2", "3"]);
    assert!(elsewhere.posts.try_recv().is_err());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_the_receiver_or_the_server_was_away_is_told_later() {
    let data = tempfile::tempdir().unwrap();
    let mut receiver = Receiver::start(|_| status(200)).await;
    let address = receiver.address;
    let server = chat(data.path(), address).await;
    let mut ann = Client::hello(server.address, json!({"name": "Ann"})).await;
    let token = ann.ready["data"]["token"].clone();
    say(&mut ann, 1).await;
    assert_eq!(receiver.next().await.1, "1");
    receiver.serving.abort();
    drop(receiver);
    for number in 2..=200 {
        say(&mut ann, number).await;
    }
    server.stop().await;

    // Another run, whose receiver is there from the beginning.
    let mut receiver = Receiver::at(address, |_| status(200)).await;
    let server = chat(data.path(), address).await;
    let mut told = std::collections::BTreeSet::new();
    while told.len() < 199 {
        told.insert(receiver.next().await.1.parse::<usize>().unwrap());
    }
    // The first page may be told again: it was not told whole.
    told.remove(&1);
    assert!(told.into_iter().eq(2..=200));
    let mut ann = Client::hello(server.address, json!({"name": "Ann", "token": token})).await;
    say(&mut ann, 201).await;
    while receiver.next().await.1 != "201" {}
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_before_there_was_a_webhook_is_not_told() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::new(ChatServer::builder().config(settings_of(data.path(), ""))).await;
    let mut ann = Client::hello(server.address, json!({"name": "Ann"})).await;
    let token = ann.ready["data"]["token"].clone();
    say(&mut ann, 1).await;
    server.stop().await;
    let mut receiver = Receiver::start(|_| status(200)).await;
    let server = chat(data.path(), receiver.address).await;
    let mut ann = Client::hello(server.address, json!({"name": "Ann", "token": token})).await;
    say(&mut ann, 2).await;
    assert_eq!(receiver.next().await.1, "2");
    server.stop().await;
}
