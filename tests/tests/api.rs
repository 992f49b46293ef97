//! The HTTP API of the real server, on one node and on two.

#[allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "the store's tests have it too"
)]
#[path = "../../crates/store/tests/suite/cluster.rs"]
mod postgres;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::{try_join, try_join_all};
use hyper::Request;
use mqttchat_e2e::http::{self, Response};
use mqttchat_e2e::socket::Ending;
use mqttchat_e2e::{App, Mosquitto, PATIENCE, app, eventually};
use postgres::Cluster;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Two nodes of one installation.
struct Nodes {
    one: App,
    two: App,
    url: String,
    broker: Mosquitto,
    _database: Cluster,
}

impl Nodes {
    async fn start() -> Result<Self> {
        let (database, broker) = (Cluster::start(), Mosquitto::start().await?);
        let url = database.database("chat");
        let node = || App::builder().no_rate_limit().args(["--database", &url]).broker(&broker.url()).start();
        let (one, two) = try_join(node(), node()).await?;
        Ok(Self { one, two, url, broker, _database: database })
    }
}

/// A program that asks a node.
#[derive(Clone)]
struct Program {
    address: SocketAddr,
    token: String,
}

impl Program {
    fn new(app: &App, token: &str) -> Self {
        Self { address: app.address(), token: token.to_owned() }
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> Result<Response> {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/{path}"))
            .header("authorization", format!("Bearer {}", self.token));
        http::send_with(self.address, request, body).await
    }

    async fn json(&self, method: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.call(method, path, &body).await?;
        let json = if answer.body.is_empty() { Value::Null } else { serde_json::from_str(&answer.body)? };
        Ok((answer.status.as_u16(), json))
    }

    async fn send(&self, id: &str, dest: &str, text: &str) -> Result<(u16, Value)> {
        self.json("POST", "messages", &json!({"dest": dest, "id": id, "data": {"text": text}})).await
    }

    async fn follow(&self, dests: &str, last: Option<&str>) -> Result<Events> {
        let mut stream = BufReader::new(TcpStream::connect(self.address).await?);
        let last = last.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let request = format!(
            "GET /api/v1/events?dest={dests} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\nconnection: close\r\n{last}\r\n",
            self.address, self.token
        );
        stream.write_all(request.as_bytes()).await?;
        let mut events = Events { stream, id: String::new() };
        let head = events.line().await?.context("no answer")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        Ok(events)
    }
}

/// A stream of events, read line by line: the server writes each event in one chunk.
struct Events {
    stream: BufReader<TcpStream>,
    /// The id of the last event.
    id: String,
}

impl Events {
    async fn line(&mut self) -> Result<Option<String>> {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.stream.read_line(&mut line));
        let read = read.await.context("the stream is silent")?.unwrap_or(0);
        Ok((read > 0).then_some(line))
    }

    /// The next frame; nothing at the stream's end.
    async fn next(&mut self) -> Result<Option<Value>> {
        while let Some(line) = self.line().await? {
            if let Some(id) = line.strip_prefix("id: ") {
                self.id = id.trim_end().to_owned();
            } else if let Some(frame) = line.strip_prefix("data: ") {
                return Ok(Some(serde_json::from_str(frame)?));
            }
        }
        Ok(None)
    }

    /// Waits until the stream says where it begins.
    async fn begun(&mut self) -> Result<()> {
        while self.id.is_empty() {
            let line = self.line().await?.context("the stream has ended")?;
            if let Some(id) = line.strip_prefix("id: ") {
                self.id = id.trim_end().to_owned();
            }
        }
        Ok(())
    }

    async fn expect(&mut self, kind: &str) -> Result<Value> {
        loop {
            let frame = self.next().await?.with_context(|| format!("the stream ended without {kind}"))?;
            if frame["type"] == kind {
                return Ok(frame);
            }
        }
    }
}

async fn key(data: &[&str], arguments: &[&str]) -> Result<String> {
    let ended = app::run([&["apikey"], arguments, data].concat()).await?;
    ensure!(ended.status == Some(0), "{}", ended.stderr);
    Ok(ended.stdout.trim_end().to_owned())
}

#[tokio::test]
async fn one_id_by_websocket_and_http_on_two_nodes_at_once_is_stored_once() -> Result<()> {
    let nodes = Nodes::start().await?;
    let mut ann = nodes.one.user("Ann").await?;
    let (here, there) = (Program::new(&nodes.one, &ann.token), Program::new(&nodes.two, &ann.token));
    for round in 0..20 {
        let id = format!("m{round}");
        let by_http =
            try_join_all([&here, &there, &here, &there].map(|node| node.send(&id, "public", "same")));
        let data = json!({"text": "same"});
        let by_socket = ann.send_message(&id, "public", &data);
        let (answers, accepted) = try_join(by_http, by_socket).await?;
        for (status, message) in &answers {
            assert!([200, 201].contains(status), "{status} {message}");
            assert_eq!(
                (message["seq"].as_u64(), message["time"].as_u64()),
                (Some(accepted.seq), Some(accepted.time))
            );
        }
        assert!(answers.iter().filter(|(status, _)| *status == 201).count() <= 1);
    }
    assert_eq!(ann.whole_history("public").await?.len(), 20);
    let (status, problem) = there.send("m0", "public", "other").await?;
    assert_eq!((status, &problem["code"]), (409, &json!("id_conflict")));
    Ok(())
}

#[tokio::test]
async fn a_stream_goes_on_at_the_other_node() -> Result<()> {
    let mut nodes = Nodes::start().await?;
    let ann = nodes.two.user("Ann").await?;
    let (here, there) = (Program::new(&nodes.one, &ann.token), Program::new(&nodes.two, &ann.token));
    let mut events = here.follow("public", None).await?;
    events.begun().await?;
    there.send("m1", "public", "one").await?;
    assert_eq!(events.expect("msg").await?["seq"], 1);
    nodes.one.kill().await?;
    while events.next().await?.is_some() {}
    for number in 2..=5 {
        there.send(&format!("m{number}"), "public", "more").await?;
    }
    let mut events = there.follow("public", Some(&events.id)).await?;
    for number in 2..=5 {
        assert_eq!(events.expect("msg").await?["seq"], number);
    }
    assert_eq!(events.id, "5");
    Ok(())
}

#[tokio::test]
async fn a_revoked_key_is_of_no_use_on_any_node() -> Result<()> {
    let nodes = Nodes::start().await?;
    let database = ["--database", nodes.url.as_str()];
    let secret = key(&database, &["create", "Deploy Bot"]).await?;
    let programs = [&nodes.one, &nodes.two].map(|node| Program::new(node, &secret));
    let mut streams = try_join_all(programs.iter().map(|program| program.follow("public", None))).await?;
    for (program, stream) in programs.iter().zip(&mut streams) {
        stream.begun().await?;
        assert_eq!(program.call("GET", "conversations", "").await?.status, 200);
    }
    key(&database, &["revoke", "Deploy Bot"]).await?;
    let revoked = Instant::now();
    for (program, stream) in programs.iter().zip(&mut streams) {
        assert_eq!(program.call("GET", "conversations", "").await?.status, 401);
        assert_eq!(stream.expect("error").await?["data"]["code"], "unauthorized");
        assert_eq!(stream.next().await?, None);
    }
    assert!(revoked.elapsed() < Duration::from_secs(2), "{:?}", revoked.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_blocked_user_is_out_on_every_node_without_the_broker_too() -> Result<()> {
    let mut nodes = Nodes::start().await?;
    let (ann, bob) = (nodes.one.user("Ann").await?, nodes.two.user("Bob").await?);
    let there = ann.resume(nodes.two.address(), &[]).await?;
    let programs = [&nodes.one, &nodes.two].map(|node| Program::new(node, &ann.token));
    let mut stream = programs[1].follow("public", None).await?;
    stream.begun().await?;
    nodes.broker.kill().await?;
    let database = ["--database", nodes.url.as_str()];
    let ended = app::run([&["user", "block", "Ann"][..], &database].concat()).await?;
    let blocked = Instant::now();
    ensure!(ended.status == Some(0), "{}", ended.stderr);
    for program in &programs {
        assert_eq!(program.send("m1", "public", "still me").await?.0, 401);
    }
    for session in [&ann, &there] {
        session.expect_error(Value::Null, "unauthorized").await?;
        assert_eq!(session.expect_end().await?, Ending::Closed(4401));
    }
    assert_eq!(stream.expect("error").await?["data"]["code"], "unauthorized");
    assert_eq!(stream.next().await?, None);
    assert!(blocked.elapsed() < Duration::from_secs(2), "{:?}", blocked.elapsed());
    assert!(bob.seen_of("msg").is_empty());
    let ended = app::run([&["user", "unblock", "Ann"][..], &database].concat()).await?;
    ensure!(ended.status == Some(0), "{}", ended.stderr);
    assert_eq!(programs[1].send("m2", "public", "back again").await?.0, 201);
    Ok(())
}

#[tokio::test]
async fn a_rotated_secret_is_known_on_every_node() -> Result<()> {
    let nodes = Nodes::start().await?;
    let (ann, bob) = (nodes.one.member("Ann").await?, nodes.two.member("Bob").await?);
    let here = Program::new(&nodes.two, &ann.token);
    let mut stream = here.follow("public", None).await?;
    stream.begun().await?;
    let ended = app::run(["secret", "rotate", "--grace", "0", "--database", &nodes.url]).await?;
    ensure!(ended.status == Some(0), "{}", ended.stderr);
    eventually("both nodes to know of it", async || {
        let told = |node: &App| node.output().iter().any(|line| line.contains("master secrets have changed"));
        Ok((told(&nodes.one) && told(&nodes.two)).then_some(()))
    })
    .await?;
    assert_eq!(here.send("m1", "public", "with the old token").await?.0, 401);
    for session in [&ann, &bob] {
        session.expect_error(Value::Null, "unauthorized").await?;
        assert_eq!(session.expect_end().await?, Ending::Closed(4401));
    }
    assert_eq!(stream.expect("error").await?["data"]["code"], "unauthorized");
    let (mut cat, dan) = (nodes.one.member("Cat").await?, nodes.two.member("Dan").await?);
    cat.say("public", "over the new secret").await?;
    dan.expect_text("over the new secret").await?;
    assert_eq!(Program::new(&nodes.two, &cat.token).send("m1", "public", "hello").await?.0, 201);
    Ok(())
}

#[tokio::test]
async fn whoever_is_removed_from_a_room_hears_nothing_more_of_it() -> Result<()> {
    let nodes = Nodes::start().await?;
    let (ann, bob) = (nodes.one.user("Ann").await?, nodes.two.user("Bob").await?);
    let (owner, member) = (Program::new(&nodes.one, &ann.token), Program::new(&nodes.two, &bob.token));
    let room = json!({"id": "ops", "title": "Operations", "members": ["bob"]});
    assert_eq!(owner.json("POST", "rooms", &room).await?.0, 201);
    let mut events = member.follow("public,rooms/ops", None).await?;
    events.begun().await?;
    owner.send("m1", "rooms/ops", "for members").await?;
    assert_eq!(events.expect("msg").await?["data"]["text"], "for members");
    assert_eq!(owner.call("DELETE", "rooms/ops/members/bob", "").await?.status, 204);
    assert_eq!(events.expect("room").await?["data"]["change"], "remove");
    owner.send("m2", "rooms/ops", "without bob").await?;
    owner.send("m3", "public", "for everybody").await?;
    assert_eq!(events.expect("msg").await?["data"]["text"], "for everybody");
    for refused in ["messages?dest=rooms/ops", "rooms/ops", "events?dest=rooms/ops"] {
        assert_eq!(member.call("GET", refused, "").await?.status, 404, "{refused}");
    }
    assert_eq!(member.call("POST", "rooms/ops", "let me in").await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn every_line_of_the_documents_works() -> Result<()> {
    let server = App::start().await?;
    let data = server.data();
    let secret = key(
        &["--data", &data.to_string_lossy()],
        &[
            "create",
            "Deploy Bot",
            "--scope",
            "read",
            "--scope",
            "write",
            "--scope",
            "rooms",
            "--scope",
            "admin",
        ],
    )
    .await?;
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md");
    let document = tokio::fs::read_to_string(document).await?;
    let lines: Vec<&str> = document.lines().filter(|line| line.starts_with("curl ")).collect();
    assert!(lines.len() > 12, "{lines:?}");
    for line in lines {
        let ran = tokio::process::Command::new("bash")
            .args(["-c", &line.replacen("curl ", "curl --silent --show-error --fail-with-body ", 1)])
            .env("URL", format!("{}/api/v1", server.url()))
            .env("AUTH", format!("Authorization: Bearer {secret}"))
            .output()
            .await?;
        assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stdout));
    }
    Ok(())
}
