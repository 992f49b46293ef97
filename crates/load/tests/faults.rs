//! The generator against servers that do wrong: what it measures is worth nothing unless it sees that.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail tests")]

use std::process::Output;
use std::sync::{Arc, Mutex};

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

/// What the server does wrong, once, to its second client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    Loses,
    Repeats,
    Swaps,
    Refuses,
}

/// Which message it happens to.
const AT: u64 = 7;

/// A chat server of one conversation that keeps nothing.
struct FakeServer {
    wrong: Wrong,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    seq: u64,
    held: Option<String>,
    joined: Vec<mpsc::Sender<String>>,
}

impl FakeServer {
    /// Its URL. It serves until the test ends.
    async fn start(wrong: Wrong) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/ws", listener.local_addr().unwrap());
        let server = Arc::new(Self { wrong, log: Mutex::default() });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        url
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let (mut sink, mut source) = socket.split();
        let (out, mut queue) = mpsc::channel::<String>(10_000);
        tokio::spawn(async move {
            while let Some(frame) = queue.recv().await {
                if sink.send(Message::text(frame)).await.is_err() {
                    return;
                }
            }
        });
        while let Some(Ok(message)) = source.next().await {
            let Message::Text(text) = message else { continue };
            let frame: Value = serde_json::from_str(&text).unwrap();
            match frame["type"].as_str().unwrap() {
                "hello" => {
                    let data = json!({ "token": "t", "log": "l" });
                    out.try_send(json!({ "type": 1000, "re": "h", "data": data }).to_string()).unwrap();
                }
                "join" => {
                    let mut log = self.log.lock().unwrap();
                    log.joined.push(out.clone());
                    let data = json!({ "head": log.seq, "messages": [] });
                    out.try_send(json!({ "type": "reply", "re": "j", "data": data }).to_string()).unwrap();
                }
                "msg" => self.message(&frame, &out),
                other => panic!("what is {other}?"),
            }
        }
    }

    fn message(&self, frame: &Value, sender: &mpsc::Sender<String>) {
        let mut log = self.log.lock().unwrap();
        if self.wrong == Wrong::Refuses && log.seq == AT && log.held.is_none() {
            log.held = Some(String::new());
            let data = json!({ "code": "rate_limited", "reason": "Slower.", "retry": true });
            return sender.try_send(json!({ "type": "error", "data": data }).to_string()).unwrap();
        }
        log.seq += 1;
        let seq = log.seq;
        let accepted = json!({ "type": 100, "dest": "public", "seq": seq, "data": frame["id"] });
        sender.try_send(accepted.to_string()).unwrap();
        let entry =
            json!({ "type": "msg", "id": frame["id"], "seq": seq, "data": frame["data"] }).to_string();
        let held = (self.wrong == Wrong::Swaps && seq == AT + 1).then(|| log.held.take()).flatten();
        for (place, reader) in log.joined.iter().enumerate() {
            let unlucky = place == 1 && seq == AT;
            match self.wrong {
                Wrong::Loses | Wrong::Swaps if unlucky => {}
                _ => reader.try_send(entry.clone()).unwrap(),
            }
            if self.wrong == Wrong::Repeats && unlucky {
                reader.try_send(entry.clone()).unwrap();
            }
            if let (1, Some(held)) = (place, &held) {
                reader.try_send(held.clone()).unwrap();
            }
        }
        if self.wrong == Wrong::Swaps && seq == AT {
            log.held = Some(entry);
        }
    }
}

async fn talk(wrong: Wrong) -> (Output, Value) {
    let url = FakeServer::start(wrong).await;
    let output = Command::new(env!("CARGO_BIN_EXE_chat-load"))
        .args(["talk", "--json", "--url", &url, "--clients", "3", "--rate", "10", "--seconds", "1"])
        .args(["--patience", "1"])
        .output()
        .await
        .unwrap();
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("no report: {}", String::from_utf8_lossy(&output.stderr)));
    (output, report)
}

fn faults(lost: u64, holes: u64, repeated: u64, disordered: u64) -> Value {
    json!({ "lost": lost, "holes": holes, "repeated": repeated, "disordered": disordered, "differing": 0 })
}

#[tokio::test]
async fn a_good_server_passes() {
    let (output, report) = talk(Wrong::Nothing).await;
    assert_eq!(report["faults"], faults(0, 0, 0, 0));
    assert_eq!((&report["accepted"], &report["delivered"]), (&json!(30), &json!(90)));
    assert_eq!(report["delivery"]["count"], 60, "one's own messages are no deliveries to others");
    assert!(output.status.success());
}

#[tokio::test]
async fn a_server_that_loses_a_message_fails() {
    let (output, report) = talk(Wrong::Loses).await;
    assert_eq!(report["faults"], faults(1, 1, 0, 0));
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn a_server_that_repeats_a_message_fails() {
    let (output, report) = talk(Wrong::Repeats).await;
    assert_eq!(report["faults"], faults(0, 0, 1, 0));
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn a_server_that_swaps_two_messages_fails() {
    let (output, report) = talk(Wrong::Swaps).await;
    assert_eq!(report["faults"], faults(0, 0, 0, 1));
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn a_server_that_refuses_a_message_fails() {
    let (output, report) = talk(Wrong::Refuses).await;
    assert_eq!(report["faults"], faults(0, 0, 0, 0));
    assert_eq!((&report["refused"], &report["refusal"]), (&json!(1), &json!("rate_limited: Slower.")));
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn nobody_there_is_said_in_a_sentence() {
    let output = Command::new(env!("CARGO_BIN_EXE_chat-load"))
        .args(["talk", "--url", "ws://127.0.0.1:1/ws"])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("chat-load: "));
}
