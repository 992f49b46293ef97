//! `/ws`: the upgrade and what it refuses, and frames as a client can send them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail tests")]

mod support;

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use mqttchat_http::Bodies;
use serde_json::{Value, json};
use support::{FRAME_LIMIT, PATIENCE, Setup, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Message};

const UPGRADE: [(&str, &str); 4] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// Sends an upgrade request with the headers changed, and reads the head of the answer.
async fn upgrade(site: &Site, changed: &[(&str, Option<&str>)]) -> (u16, String, TcpStream) {
    let mut head = format!("GET /ws HTTP/1.1\r\nhost: {}\r\n", site.address);
    let is_changed = |name: &str| changed.iter().any(|(changed, _)| *changed == name);
    for (name, value) in UPGRADE.into_iter().filter(|(name, _)| !is_changed(name)) {
        head += &format!("{name}: {value}\r\n");
    }
    for (name, value) in changed {
        if let Some(value) = value {
            head += &format!("{name}: {value}\r\n");
        }
    }
    let mut stream = site.connect().await;
    stream.write_all((head + "\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut byte)).await.unwrap().unwrap();
        answer.push(byte[0]);
    }
    let answer = String::from_utf8(answer).unwrap().to_ascii_lowercase();
    (answer[9..12].parse().unwrap(), answer, stream)
}

#[tokio::test]
async fn the_handshake_of_the_rfc() {
    let site = Site::start().await;
    let (status, head, _) = upgrade(&site, &[("sec-websocket-protocol", Some("other, mqttchat.v1"))]).await;
    assert_eq!(status, 101);
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    assert!(head.contains("sec-websocket-protocol: mqttchat.v1\r\n"), "{head}");
    let (status, head, _) = upgrade(&site, &[("sec-websocket-extensions", Some("permessage-deflate"))]).await;
    assert_eq!(status, 101);
    assert!(!head.contains("sec-websocket-extensions") && !head.contains("sec-websocket-protocol"), "{head}");
}

#[tokio::test]
async fn what_is_no_handshake() {
    let site = Site::start().await;
    for (changed, expected) in [
        ([("upgrade", None)], 426),
        ([("upgrade", Some("h2c"))], 426),
        ([("connection", Some("keep-alive"))], 426),
        ([("sec-websocket-version", None)], 426),
        ([("sec-websocket-version", Some("8"))], 426),
        ([("sec-websocket-key", None)], 400),
        ([("sec-websocket-key", Some("c2hvcnQ="))], 400),
    ] {
        let (status, head, _) = upgrade(&site, &changed).await;
        assert_eq!(status, expected, "{changed:?}");
        if changed[0].0 == "sec-websocket-version" {
            assert!(head.contains("sec-websocket-version: 13\r\n"), "{head}");
        }
    }
    let mut headers = UPGRADE.to_vec();
    headers.retain(|(name, _)| *name != "connection");
    assert_eq!(site.request("POST", "/ws", &headers).await.status, 405);
    assert_eq!(site.get("/ws").await.status, 426);
}

#[tokio::test]
async fn pages_of_others_stay_out() {
    let site = Site::start().await;
    let own = format!("http://{}", site.address);
    for origin in [own.as_str(), "https://intranet.example"] {
        assert_eq!(upgrade(&site, &[("origin", Some(origin))]).await.0, 101, "{origin}");
    }
    for origin in ["http://evil.example", "null", "http://localhost", ""] {
        assert_eq!(upgrade(&site, &[("origin", Some(origin))]).await.0, 403, "{origin}");
    }
    assert_eq!(upgrade(&site, &[("host", Some("evil.example"))]).await.0, 400, "two hosts");
}

#[tokio::test]
async fn frames_behind_the_request_are_not_lost() {
    let site = Site::start().await;
    let mut stream = site.connect().await;
    let mut request = format!("GET /ws HTTP/1.1\r\nhost: {}\r\n", site.address);
    for (name, value) in UPGRADE {
        request += &format!("{name}: {value}\r\n");
    }
    let mut bytes = (request + "\r\n").into_bytes();
    // A ping with the payload "early", masked with zeros, and the beginning of another.
    bytes.extend_from_slice(b"\x89\x85\0\0\0\0early\x89\x84\0\0");
    stream.write_all(&bytes).await.unwrap();
    read_until(&mut stream, b"\x8a\x05early").await;
    stream.write_all(b"\0\0late").await.unwrap();
    read_until(&mut stream, b"\x8a\x04late").await;
}

async fn read_until(stream: &mut TcpStream, part: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = async {
        while !bytes.windows(part.len()).any(|window| window == part) {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "closed after {bytes:?}");
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap();
    bytes
}

struct Client {
    socket: WebSocketStream<TcpStream>,
}

impl Client {
    async fn connect(site: &Site) -> Self {
        let request = format!("ws://{}/ws", site.address).into_client_request().unwrap();
        let (socket, _) = tokio_tungstenite::client_async(request, site.connect().await).await.unwrap();
        Self { socket }
    }

    async fn next(&mut self) -> Message {
        tokio::time::timeout(PATIENCE, self.socket.next()).await.unwrap().unwrap().unwrap()
    }

    async fn expect(&mut self, kind: &str) -> Value {
        loop {
            if let Message::Text(text) = self.next().await {
                let frame: Value = serde_json::from_str(&text).unwrap();
                if frame["type"] == kind
                    || frame["type"].as_i64().is_some_and(|number| number.to_string() == kind)
                {
                    return frame;
                }
            }
        }
    }

    async fn say(&mut self, frame: Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// Still in session.
    async fn assert_lively(&mut self) {
        self.say(json!({"type": 1001})).await;
        self.expect("1002").await;
    }
}

#[tokio::test]
async fn a_session_opens_over_it() {
    let site = Site::start().await;
    let mut client = Client::connect(&site).await;
    client.say(json!({"type": "hello", "id": "h", "data": {"name": "Ann"}})).await;
    assert_eq!(client.expect("1000").await["data"]["user"]["id"], "ann");
    client.socket.send(Message::Ping(Bytes::from_static(b"there?"))).await.unwrap();
    assert_eq!(client.next().await, Message::Pong(Bytes::from_static(b"there?")));
    client.socket.close(None).await.unwrap();
    assert!(matches!(client.next().await, Message::Close(None)));
    assert!(client.socket.next().await.is_none(), "the server closes the connection");
}

#[tokio::test]
async fn too_much_is_dropped_as_it_comes() {
    let site = Site::start().await;
    let mut client = Client::connect(&site).await;
    let at_limit = format!("\"{}\"", "x".repeat(FRAME_LIMIT - 2));
    client.socket.send(Message::text(at_limit)).await.unwrap();
    assert_eq!(client.expect("error").await["data"]["code"], "bad_frame");
    for size in [FRAME_LIMIT + 1, 1 << 20, 40 << 20] {
        client.socket.send(Message::text("x".repeat(size))).await.unwrap();
        assert_eq!(client.expect("error").await["data"]["code"], "too_large", "{size}");
    }
    client.socket.send(Message::binary(vec![0; 1 << 20])).await.unwrap();
    assert_eq!(client.expect("error").await["data"]["code"], "bad_frame");
    client.assert_lively().await;
}

#[tokio::test]
async fn fragments_become_one_message() {
    let site = Site::start().await;
    let (status, _, mut stream) = upgrade(&site, &[]).await;
    assert_eq!(status, 101);
    for (index, byte) in br#"{"type":1001}"#.iter().enumerate() {
        let opcode = if index == 0 { 1 } else { 0 };
        let fin = if index == 12 { 0x80 } else { 0 };
        // A byte at a time, a ping between any two.
        stream.write_all(&[fin | opcode, 0x81, 0, 0, 0, 0, *byte, 0x89, 0x80, 0, 0, 0, 0]).await.unwrap();
    }
    let answer = read_until(&mut stream, br#"{"type":1002}"#).await;
    assert!(answer.starts_with(&[0x8a, 0]), "{answer:?}");
}

/// What is against the rules, and the code it is answered with.
#[tokio::test]
async fn broken_frames_end_the_connection_with_a_code() {
    let site = Site::start().await;
    let cases: [(&str, &[u8], u16); 7] = [
        ("unmasked", b"\x81\x02hi", 1002),
        ("reserved bit", b"\xc1\x80\0\0\0\0", 1002),
        ("opcode", b"\x83\x80\0\0\0\0", 1002),
        ("long ping", b"\x89\xfe\0\x7e\0\0\0\0", 1002),
        ("continuation", b"\x80\x80\0\0\0\0", 1002),
        ("close code", b"\x88\x82\0\0\0\0\x03\xed", 1002),
        ("not utf-8", b"\x81\x84\0\0\0\0\xff\xff\xff\xff", 1007),
    ];
    for (name, wire, code) in cases {
        let (_, _, mut stream) = upgrade(&site, &[]).await;
        stream.write_all(wire).await.unwrap();
        // More is on its way: the close frame arrives all the same, and not a reset.
        stream.write_all(&[0x55; 5000]).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        assert_eq!(answer[0], 0x88, "{name}: {answer:?}");
        assert_eq!(u16::from_be_bytes([answer[2], answer[3]]), code, "{name}");
    }
}

#[tokio::test]
async fn a_close_is_answered_with_its_code() {
    let site = Site::start().await;
    let (_, _, mut stream) = upgrade(&site, &[]).await;
    stream.write_all(b"\x88\x82\0\0\0\0\x0f\xa0").await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, b"\x88\x02\x0f\xa0");
}

#[tokio::test]
async fn who_never_says_hello_is_let_go_with_a_code() {
    let site = Site::start().await;
    let mut client = Client::connect(&site).await;
    let closed =
        tokio::time::timeout(Duration::from_secs(15), client.socket.next()).await.unwrap().unwrap().unwrap();
    let Message::Close(Some(close)) = closed else { panic!("{closed:?}") };
    assert_eq!(u16::from(close.code), 4408);
}

#[tokio::test]
async fn sessions_outlive_the_listener() {
    let site = Site::start().await;
    let mut client = Client::connect(&site).await;
    client.assert_lively().await;
    site.stop().await;
    client.assert_lively().await;
}

/// A part of a message of text.
fn part(kind: Data, length: usize, is_last: bool) -> Message {
    Message::Frame(Frame::message("x".repeat(length), OpCode::Data(kind), is_last))
}

#[tokio::test]
async fn large_messages_that_come_slowly_give_way_to_others() {
    let room = Bodies::new(24 << 10);
    let site = Site::with(Setup { messages: room.clone(), ..Setup::default() }).await;
    let (mut slow, mut other) = (Client::connect(&site).await, Client::connect(&site).await);
    slow.socket.send(part(Data::Text, 30_000, false)).await.unwrap();
    slow.socket.send(Message::Ping(Bytes::new())).await.unwrap();
    assert!(matches!(slow.next().await, Message::Pong(_)));
    assert!(room.is_short());
    let mut say = async |first: usize| {
        other.socket.send(part(Data::Text, first, false)).await.unwrap();
        other.socket.send(part(Data::Continue, 10_000, true)).await.unwrap();
        other.expect("error").await["data"]["code"].take()
    };
    assert_eq!(say(20_000).await, "unavailable");
    assert_eq!(say(5_000).await, "bad_frame", "so much is everybody's");
    let gives_way = async {
        while room.is_short() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gives_way).await.unwrap();
    assert_eq!(say(20_000).await, "bad_frame", "there is room, and it is looked at");
    slow.socket.send(part(Data::Continue, 1, true)).await.unwrap();
    assert_eq!(slow.expect("error").await["data"]["code"], "unavailable");
    slow.socket.send(part(Data::Text, 40_000, true)).await.unwrap();
    assert_eq!(slow.expect("error").await["data"]["code"], "bad_frame", "the next is like any other");
}
