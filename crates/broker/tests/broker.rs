//! The embedded broker as the server uses it: start, addresses, logins, stop, and a watchdog that heals.
#![allow(clippy::expect_used, reason = "helpers of tests, which fail by panicking")]

mod support;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use mqttchat_broker::{BrokerError, BrokerOptions, DEFAULT_CONFIG, EmbeddedBroker};
use support::eventually;
use support::wire::{Hello, Refusal, Wire, publish};

async fn start() -> EmbeddedBroker {
    EmbeddedBroker::start(BrokerOptions::default()).await.expect("the broker starts")
}

/// Without waiting seconds for the watchdog.
async fn start_watchful() -> EmbeddedBroker {
    let options = BrokerOptions { probe_every: Duration::from_millis(50), ..BrokerOptions::default() };
    EmbeddedBroker::start(options).await.expect("the broker starts")
}

async fn connect(broker: &EmbeddedBroker, address: SocketAddr, id: &str) -> Result<Wire, Refusal> {
    Wire::connect(address, Hello::new(id).credentials(broker.credentials())).await
}

fn config_with(from: &str, to: &str) -> (tempfile::TempDir, PathBuf) {
    assert!(DEFAULT_CONFIG.contains(from));
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("broker.toml");
    std::fs::write(&path, DEFAULT_CONFIG.replacen(from, to, 1)).expect("written");
    (directory, path)
}

#[tokio::test]
async fn every_listener_answers_as_soon_as_start_returns_and_none_after_stop() {
    let broker = start().await;
    let addresses = broker.addresses().to_vec();
    assert_eq!(addresses.len(), 4);
    assert!(broker.devices_address().is_none());
    assert!(broker.client_limit() > 9_000);
    assert!(broker.max_packet_size() >= 1024 * 1024);
    let mut clients = Vec::new();
    for (number, address) in addresses.iter().enumerate() {
        assert!(address.ip().is_loopback());
        clients.push(connect(&broker, *address, &format!("client-{number}")).await.expect("let in"));
    }

    broker.stop().await;

    for client in &mut clients {
        client.closed().await;
    }
    for address in addresses {
        TcpListener::bind(address).expect("the port is free");
    }
}

#[tokio::test]
async fn messages_pass_from_one_listener_to_another() {
    let broker = start().await;
    let mut reader = connect(&broker, broker.addresses()[0], "reader").await.expect("reader");
    reader.subscribe("public/+", 1).await;
    let mut sender = connect(&broker, broker.addresses()[3], "sender").await.expect("sender");
    // As much as a chat frame and its envelope can be, and more.
    let large = "x".repeat(200 * 1024);
    sender.publish_acked("public/msgs", &large, false).await;
    sender.publish_acked("public/msgs", "small", false).await;
    assert_eq!(reader.message().await.payload, large);
    assert_eq!(reader.message().await.payload, "small");
    broker.stop().await;
}

#[tokio::test]
async fn a_wrong_password_or_none_is_refused() {
    let broker = start().await;
    for address in broker.addresses() {
        let wrong = Hello::new("a").login(&broker.credentials().user, "wrong");
        assert!(Wire::connect(*address, wrong).await.is_err());
        assert!(Wire::connect(*address, Hello::new("b")).await.is_err());
        assert!(connect(&broker, *address, "c").await.is_ok());
    }
    broker.stop().await;
}

#[tokio::test]
async fn two_brokers_run_side_by_side_and_do_not_know_each_other() {
    let (one, other) = tokio::join!(start(), start());
    assert!(one.addresses().iter().all(|address| !other.addresses().contains(address)));
    assert!(connect(&one, other.addresses()[0], "stranger").await.is_err());

    let mut reader = connect(&one, one.addresses()[0], "same-id").await.expect("reader");
    reader.subscribe("#", 1).await;
    let mut elsewhere = connect(&other, other.addresses()[0], "same-id").await.expect("elsewhere");
    elsewhere.publish_acked("public/msgs", "of the other", false).await;
    let mut here = connect(&one, one.addresses()[0], "here").await.expect("here");
    here.publish_acked("public/msgs", "of this one", false).await;
    assert_eq!(reader.message().await.payload, "of this one");

    other.stop().await;
    assert!(connect(&one, one.addresses()[1], "still-here").await.is_ok());
    one.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let (_directory, path) = config_with("127.0.0.1:0", &address.to_string());
    let options = BrokerOptions { config: Some(path), ..BrokerOptions::default() };
    let error = EmbeddedBroker::start(options).await.expect_err("the port is taken");
    assert!(matches!(error, BrokerError::AddressInUse { address: named } if named == address), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!("the embedded broker cannot listen on {address}: the address is already in use")
    );
}

#[tokio::test]
async fn another_configuration_can_be_given() {
    let (_directory, path) = config_with("max_connections = 10000", "max_connections = 100");
    let options = BrokerOptions { config: Some(path.clone()), ..BrokerOptions::default() };
    let broker = EmbeddedBroker::start(options).await.expect("it is valid");
    assert!(broker.client_limit() < 100);
    broker.stop().await;

    std::fs::write(&path, "id = 0\n[router]\nmax_connections = \"many\"\n").expect("written");
    let options = BrokerOptions { config: Some(path.clone()), ..BrokerOptions::default() };
    let error = EmbeddedBroker::start(options).await.expect_err("it is not valid").to_string();
    assert!(error.contains(&path.display().to_string()) && error.contains("line 3"), "{error}");
    assert!(!error.contains('\n'), "{error}");

    std::fs::remove_file(&path).expect("removed");
    let options = BrokerOptions { config: Some(path), ..BrokerOptions::default() };
    let error = EmbeddedBroker::start(options).await.expect_err("it is not there");
    assert!(matches!(error, BrokerError::Read { .. }), "{error:?}");
}

#[tokio::test]
async fn a_poisoned_listener_is_started_again_while_the_others_go_on() {
    let broker = start_watchful().await;
    let [poisoned, other] = [broker.addresses()[0], broker.addresses()[1]];
    let mut on_poisoned = connect(&broker, poisoned, "was-here-before").await.expect("let in");
    let mut on_other = connect(&broker, other, "elsewhere").await.expect("let in");
    for _ in 0..2 {
        assert_eq!(connect(&broker, poisoned, "a/b").await.err(), Some(Refusal::Closed));
    }
    eventually("the watchdog notices", || async { if broker.restarts() > 0 { Ok(()) } else { Err(()) } })
        .await;
    eventually("clients are let in", || connect(&broker, poisoned, "new")).await;
    // Nobody was thrown out, neither there nor elsewhere.
    assert_eq!(on_poisoned.until_pong().await, []);
    assert_eq!(on_other.until_pong().await, []);
    broker.stop().await;
}

/// rumqttd's router cannot take a topic that begins like this.
async fn end_the_router(broker: &EmbeddedBroker) -> Wire {
    let mut client = connect(broker, broker.addresses()[0], "victim").await.expect("let in");
    client.subscribe("any", 0).await;
    client.send(&publish("ü", "x")).await.expect("sent");
    client
}

async fn let_in_everywhere(broker: &EmbeddedBroker, restarts_before: u64) {
    eventually("the watchdog notices", || async {
        if broker.restarts() > restarts_before { Ok(()) } else { Err(()) }
    })
    .await;
    for address in broker.addresses() {
        eventually("clients are let in", || connect(broker, *address, "new")).await;
    }
}

#[tokio::test]
async fn a_router_that_has_ended_is_replaced_on_the_same_addresses() {
    let broker = start_watchful().await;
    for _ in 0..3 {
        let before = broker.restarts();
        let mut bystander = connect(&broker, broker.addresses()[1], "bystander").await.expect("let in");
        let mut client = end_the_router(&broker).await;
        client.closed().await;
        bystander.closed().await;
        let_in_everywhere(&broker, before).await;
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_router_that_ends_while_many_connect_is_replaced_too() {
    let broker = start_watchful().await;
    for _ in 0..3 {
        let before = broker.restarts();
        let mut late = tokio::task::JoinSet::new();
        let _client = end_the_router(&broker).await;
        // Those that are just being registered block rumqttd's threads for ever.
        for number in 0..20 {
            let hello = Hello::new(&format!("late-{number}")).credentials(broker.credentials());
            late.spawn(Wire::try_connect(broker.addresses()[number % 4], hello));
        }
        let_in_everywhere(&broker, before).await;
        late.shutdown().await;
    }
    broker.stop().await;
}

#[tokio::test]
async fn dropping_the_broker_stops_it_too() {
    let broker = start().await;
    let addresses = broker.addresses().to_vec();
    drop(broker);
    for address in addresses {
        eventually("the port is free", || async { TcpListener::bind(address) }).await;
    }
}
