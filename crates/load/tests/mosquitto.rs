//! The generator against a real Mosquitto: it speaks MQTT well enough to be compared with.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail tests")]

use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

struct Mosquitto {
    tcp: u16,
    websocket: u16,
    _home: TempDir,
    _child: Child,
}

impl Mosquitto {
    async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (one, other) = (free(), free());
        let (tcp, websocket) = (one.local_addr().unwrap().port(), other.local_addr().unwrap().port());
        drop((one, other));
        let config = home.path().join("mosquitto.conf");
        let text = format!(
            "allow_anonymous true\nlog_dest stderr\nlog_type all\nlistener {tcp} 127.0.0.1\n\
             listener {websocket} 127.0.0.1\nprotocol websockets\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new("mosquitto")
            .arg("-c")
            .arg(&config)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("mosquitto is installed");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        while let Some(line) = log.next_line().await.unwrap() {
            if line.ends_with("running") {
                break;
            }
        }
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        Self { tcp, websocket, _home: home, _child: child }
    }
}

fn free() -> std::net::TcpListener {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap()
}

async fn run(args: &[&str]) -> Value {
    let output =
        Command::new(env!("CARGO_BIN_EXE_chat-load")).arg("--json").args(args).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_talk_over_mqtt_and_over_websocket() {
    let mosquitto = Mosquitto::start().await;
    for url in [
        format!("mqtt://127.0.0.1:{}", mosquitto.tcp),
        format!("mqtt+ws://127.0.0.1:{}/mqtt", mosquitto.websocket),
    ] {
        let report = run(&["talk", "--url", &url, "--clients", "3", "--rate", "10", "--seconds", "1"]).await;
        assert_eq!((&report["accepted"], &report["delivered"]), (&json!(30), &json!(90)), "{url}");
        assert!(report["acceptance"]["p50_ms"].as_f64().unwrap() > 0.0);
    }
}

#[tokio::test]
async fn a_fan_out_is_compared_side_by_side() {
    let mosquitto = Mosquitto::start().await;
    let url = format!("mqtt://127.0.0.1:{}", mosquitto.tcp);
    let peer = format!("mqtt+ws://127.0.0.1:{}", mosquitto.websocket);
    let load = ["--receivers", "5", "--messages", "100", "--rounds", "2", "--qos", "1"];
    let report = run(&[&["fanout", "--url", &url, "--peer", &peer][..], &load].concat()).await;
    for side in report["sides"].as_array().unwrap() {
        assert_eq!(side["rounds"].as_array().unwrap().len(), 2);
        assert_eq!(side["rounds"][0]["deliveries"], 500);
        assert!(side["server_cpu_seconds_per_million"].is_f64(), "the process was found by its port");
    }
    assert!(report["deliveries_ratio"]["median"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn a_broker_takes_what_many_publish() {
    let mosquitto = Mosquitto::start().await;
    let url = format!("mqtt://127.0.0.1:{}", mosquitto.tcp);
    let report =
        run(&["throughput", "--url", &url, "--senders", "3", "--window", "8", "--seconds", "1"]).await;
    assert!(report["accepted"].as_u64().unwrap() > 0);
    let report = run(&["sessions", "20", "--url", &url, "--idle", "0"]).await;
    assert_eq!((&report["sign_in"]["count"], &report["failed"]), (&json!(20), &json!(0)));
}
