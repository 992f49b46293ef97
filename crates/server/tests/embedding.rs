//! A server inside another program.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail tests")]

mod support;

use std::path::PathBuf;

use clap::Parser;
use mqttchat::{BrokerChoice, ChatServer, Cli, Config, Devices, Layers, Message, StartError, Verdict};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::json;
use support::{Client, LOOPBACK, Running};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

fn config(data: &TempDir) -> Config {
    let arguments =
        ["mqttchat".into(), "--port".into(), "0".into(), "--data".into(), PathBuf::from(data.path())];
    let layers = Layers::read(&Cli::try_parse_from(arguments).unwrap().flags, []).unwrap();
    Config::check(&layers, None).unwrap()
}

#[tokio::test]
async fn what_cannot_be_is_said_before_anything_starts() {
    let refused = async |builder: mqttchat::Builder| builder.build().await.unwrap_err().to_string();
    assert!(refused(ChatServer::builder()).await.contains("where data is kept"));
    assert!(refused(ChatServer::builder().data("/x").broker("http://x")).await.contains("mqtt://"));
    assert!(refused(ChatServer::builder().database("mysql://x")).await.contains("postgres://"));
    let answer = |_: &mqttchat::Asker, _: &mqttchat::OwnFrame| unreachable!();
    assert!(refused(ChatServer::builder().data("/x").frame_type("msg", answer)).await.contains("poll.vote"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_of_the_application_is_served() {
    let data = TempDir::new().unwrap();
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let server = ChatServer::builder().data(data.path()).listener(socket).build().await.unwrap();
    assert_eq!(server.address(), address);
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(server.run_until(async { drop(stopped.await) }));
    assert!(ready(address).await.starts_with("HTTP/1.1 200 "));
    drop(stop);
    served.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_side_by_side_one_stopped_and_started_again() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (first, second) =
        (ChatServer::bind(config(&one)).await.unwrap(), ChatServer::bind(config(&two)).await.unwrap());
    let (address, other) = (first.address(), second.address());
    let (stop_first, first_stopped) = oneshot::channel::<()>();
    let (stop_second, second_stopped) = oneshot::channel::<()>();
    let first = tokio::spawn(first.run_until(async { drop(first_stopped.await) }));
    let second = tokio::spawn(second.run_until(async { drop(second_stopped.await) }));
    for address in [address, other] {
        assert!(ready(address).await.starts_with("HTTP/1.1 200 "));
    }
    assert!(matches!(ChatServer::bind(config(&two)).await, Err(StartError::Store { .. })));
    drop(stop_first);
    first.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    assert!(ready(other).await.starts_with("HTTP/1.1 200 "));

    let again = ChatServer::bind(config(&one)).await.unwrap();
    again.run_until(async {}).await.unwrap();
    drop(stop_second);
    second.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_from_the_broker_passes_the_routes_too() {
    let data = TempDir::new().unwrap();
    let builder = ChatServer::builder().config(config(&data)).configure(|config| {
        let devices = Some(Devices { address: LOOPBACK, anonymous: true });
        config.broker = BrokerChoice::Embedded { config: None, devices };
    });
    let builder = builder.route("no-shouting", |message: &Message<'_>| match message.text() {
        Some(text) if text == "SHOUT" => Verdict::Stop("don't shout".to_owned()),
        _ => Verdict::Pass,
    });
    let server = builder.build().await.unwrap();
    let (door, _) = server.devices().unwrap();
    let server = Running::of(server);
    let mut ann = Client::hello(server.address, json!({"name": "Ann"})).await;
    ann.send(json!({"type": "join", "id": "join", "dest": "public"})).await;
    ann.expect(|frame| frame["re"] == "join").await;

    let (device, mut events) =
        AsyncClient::new(MqttOptions::new("device", door.ip().to_string(), door.port()), 16);
    let (confirmed, mut confirmations) = tokio::sync::mpsc::channel(16);
    let polling = tokio::spawn(async move {
        while let Ok(event) = events.poll().await {
            if matches!(event, Event::Incoming(Packet::PubAck(_))) && confirmed.send(()).await.is_err() {
                return;
            }
        }
    });
    let mut say = async |text: &str| {
        device.publish("public/msgs", QoS::AtLeastOnce, false, text).await.unwrap();
        confirmations.recv().await.unwrap();
    };
    // The first ones may come before the server listens for what devices say.
    let heard = loop {
        say("hello").await;
        let heard = ann.expect(|frame| frame["via"] == "mqtt");
        if let Ok(heard) = tokio::time::timeout(std::time::Duration::from_millis(200), heard).await {
            break heard;
        }
    };
    assert_eq!(heard["data"]["text"], "hello");
    say("SHOUT").await;
    say("quietly").await;
    ann.expect(|frame| frame["data"]["text"] == "quietly").await;
    ann.send(json!({"type": "history", "id": "history", "dest": "public"})).await;
    let history = ann.expect(|frame| frame["re"] == "history").await["data"]["messages"].to_string();
    assert!(history.contains("quietly") && !history.contains("SHOUT"), "{history}");
    polling.abort();
    server.stop().await;
}

async fn ready(address: std::net::SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
