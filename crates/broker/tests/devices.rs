//! Devices: what a stranger does on their listener must not touch the bridge's clients.
#![allow(clippy::expect_used, reason = "helpers of tests, which fail by panicking")]

mod support;

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use mqttchat_broker::{
    BrokerError, BrokerOptions, DEFAULT_CONFIG, DeviceListener, DeviceLogin, EmbeddedBroker,
};
use support::wire::{Hello, Packet, Refusal, Wire, publish, subscribe};
use support::{eventually, within};

struct Open {
    broker: EmbeddedBroker,
    devices: SocketAddr,
}

impl Open {
    async fn start() -> Self {
        Self::with(DeviceLogin::Anonymous, None).await
    }

    async fn with(login: DeviceLogin, config: Option<std::path::PathBuf>) -> Self {
        let addr = "127.0.0.1:0".parse().expect("an address");
        let options = BrokerOptions {
            config,
            devices: Some(DeviceListener { addr, login }),
            probe_every: Duration::from_millis(100),
        };
        let broker = EmbeddedBroker::start(options).await.expect("the broker starts");
        let devices = broker.devices_address().expect("a device listener");
        Self { broker, devices }
    }

    async fn device(&self, id: &str) -> Wire {
        Wire::connect(self.devices, Hello::new(id)).await.expect("a device is let in")
    }

    async fn bridge(&self, id: &str) -> Wire {
        let hello = Hello::new(id).credentials(self.broker.credentials());
        Wire::connect(self.broker.addresses()[0], hello).await.expect("the bridge is let in")
    }
}

#[tokio::test]
async fn devices_and_the_bridge_hear_each_other() {
    let open = Open::start().await;
    let mut bridge = open.bridge("hub").await;
    bridge.subscribe("public/+", 1).await;
    let mut device = open.device("lamp").await;
    device.subscribe("public/+", 1).await;
    device.publish_acked("public/msgs", "from the lamp", false).await;
    assert_eq!(bridge.message().await.payload, "from the lamp");
    assert_eq!(device.message().await.payload, "from the lamp");
    bridge.publish_acked("public/msgs", "from the bridge", false).await;
    assert_eq!(device.message().await.payload, "from the bridge");
    open.broker.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("its address");
    let devices = DeviceListener { addr, login: DeviceLogin::Anonymous };
    let options = BrokerOptions { devices: Some(devices), ..BrokerOptions::default() };
    let error = EmbeddedBroker::start(options).await.expect_err("the port is taken");
    assert!(matches!(error, BrokerError::AddressInUse { address } if address == addr), "{error:?}");
}

#[tokio::test]
async fn the_port_is_free_after_a_stop() {
    let open = Open::start().await;
    let mut device = open.device("lamp").await;
    let address = open.devices;
    open.broker.stop().await;
    device.closed().await;
    TcpListener::bind(address).expect("the port is free");
}

#[tokio::test]
async fn only_users_with_their_password_are_let_in() {
    let users = HashMap::from([("ann".to_owned(), "right".to_owned())]);
    let open = Open::with(DeviceLogin::Users(users), None).await;
    let address = open.devices;
    let refused = |hello| async move { Wire::connect(address, hello).await.err() };
    assert_eq!(refused(Hello::new("a").login("ann", "wrong")).await, Some(Refusal::Code(4)));
    assert_eq!(refused(Hello::new("a").login("bob", "right")).await, Some(Refusal::Code(4)));
    assert_eq!(refused(Hello::new("a")).await, Some(Refusal::Code(5)));
    assert_eq!(refused(Hello::new("a").login("ann", "right")).await, None);
    let bridge = Hello::new("a").credentials(open.broker.credentials());
    assert_eq!(refused(bridge).await, Some(Refusal::Code(4)), "the bridge's login is for the bridge");
    open.broker.stop().await;
}

#[tokio::test]
async fn another_protocol_version_is_told_so() {
    let open = Open::start().await;
    let outcome = Wire::connect(open.devices, Hello::new("new").level(5)).await;
    assert_eq!(outcome.err(), Some(Refusal::Code(1)));
    open.broker.stop().await;
}

#[tokio::test]
async fn client_ids_that_poison_rumqttd_are_harmless() {
    let open = Open::start().await;
    for id in ["a/b", "+", "#", "$x", "broker-probe-0", "ünï", ""] {
        for _ in 0..3 {
            let mut device = open.device(id).await;
            assert_eq!(device.until_pong().await, [], "{id:?}");
            device.vanish().await;
        }
    }
    assert_eq!(open.broker.restarts(), 0);
    open.broker.stop().await;
}

#[tokio::test]
async fn a_device_with_the_id_of_a_bridge_client_does_not_throw_it_out() {
    let open = Open::start().await;
    let mut bridge = open.bridge("mqttchat-n1-1").await;
    let mut device = open.device("mqttchat-n1-1").await;
    assert_eq!(device.until_pong().await, []);
    assert_eq!(bridge.until_pong().await, []);
    open.broker.stop().await;
}

#[tokio::test]
async fn when_no_more_devices_fit_they_are_told_and_the_bridge_does_not_notice() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("broker.toml");
    let config = DEFAULT_CONFIG.replace("max_connections = 10000", "max_connections = 64");
    std::fs::write(&path, config).expect("written");
    let open = Open::with(DeviceLogin::Anonymous, Some(path)).await;
    let mut devices = Vec::new();
    for number in 0..16 {
        devices.push(open.device(&format!("device-{number}")).await);
    }
    for _ in 0..3 {
        let outcome = Wire::connect(open.devices, Hello::new("one-more")).await;
        assert_eq!(outcome.err(), Some(Refusal::Code(3)));
    }
    let mut bridge = Vec::new();
    for number in 0..open.broker.client_limit() {
        bridge.push(open.bridge(&format!("bridge-{number}")).await);
    }
    for client in &mut bridge {
        assert_eq!(client.until_pong().await, []);
    }
    devices.pop().expect("a device").vanish().await;
    eventually("there is room again", || Wire::connect(open.devices, Hello::new("one-more"))).await;
    assert_eq!(open.broker.restarts(), 0);
    open.broker.stop().await;
}

#[tokio::test]
async fn what_would_end_the_router_ends_only_its_senders_connection() {
    let open = Open::start().await;
    let mut bridge = open.bridge("hub").await;
    bridge.subscribe("#", 1).await;
    let unfit = [
        publish("ü", "x"),
        publish("", "x"),
        publish("a/#", "x"),
        publish("$SYS/x", "x"),
        subscribe(1, "ü/#", 0),
        subscribe(1, "$share/group/topic", 1),
        subscribe(1, "a#", 1),
        // UNSUBSCRIBE that is too short, a second CONNACK, a packet type that does not exist.
        vec![0xa2, 1, 0],
        vec![0x20, 2, 0, 0],
        vec![0xf0, 0],
        // 256 MiB are announced.
        vec![0x30, 0xff, 0xff, 0xff, 0x7f],
    ];
    for packet in unfit {
        let mut device = open.device("stranger").await;
        device.send(&packet).await.expect("sent");
        within("the connection ends", device.closed()).await;
    }
    let unfit = Hello::new("stranger").will("ü", "x");
    assert_eq!(Wire::connect(open.devices, unfit).await.err(), Some(Refusal::Code(5)));
    bridge.publish_acked("public/msgs", "all is well", false).await;
    assert_eq!(bridge.message().await.payload, "all is well");
    assert_eq!(open.broker.restarts(), 0);
    open.broker.stop().await;
}

#[tokio::test]
async fn devices_that_leave_in_the_middle_of_a_flood_do_no_harm() {
    let open = Open::start().await;
    let mut sender = open.bridge("sender").await;
    for _ in 0..50 {
        let mut reader = open.device("reader").await;
        reader.subscribe("flood", 0).await;
        let flood = publish("flood", "some bytes").repeat(2000);
        sender.send(&flood).await.expect("sent");
        // A broker may have closed already, having seen the end of the stream.
        reader.send(&[0xe0, 0]).await.expect("sent");
        reader.closed().await;
    }
    assert_eq!(sender.until_pong().await, []);
    assert_eq!(open.broker.restarts(), 0);
    open.broker.stop().await;
}

#[tokio::test]
async fn a_will_is_published_when_a_device_vanishes_and_not_when_it_leaves() {
    let open = Open::start().await;
    let mut bridge = open.bridge("hub").await;
    bridge.subscribe("wills", 1).await;
    for (end, message) in [("leave", "left"), ("vanish", "vanished")] {
        let device =
            Wire::connect(open.devices, Hello::new("lamp").will("wills", message)).await.expect("in");
        if end == "leave" { device.disconnect().await } else { device.vanish().await }
    }
    assert_eq!(bridge.message().await.payload, "vanished");
    open.broker.stop().await;
}

#[tokio::test]
async fn a_takeover_ends_the_old_connection_and_publishes_its_will() {
    let open = Open::start().await;
    let mut bridge = open.bridge("hub").await;
    bridge.subscribe("wills", 1).await;
    let mut old = Wire::connect(open.devices, Hello::new("lamp").will("wills", "old")).await.expect("old");
    let mut new = Wire::connect(open.devices, Hello::new("lamp").will("wills", "new")).await.expect("new");
    old.closed().await;
    assert_eq!(bridge.message().await.payload, "old");
    assert_eq!(new.until_pong().await, []);
    open.broker.stop().await;
}

#[tokio::test]
async fn a_kept_session_gets_what_came_while_its_device_was_away() {
    let open = Open::start().await;
    let mut device = Wire::connect(open.devices, Hello::new("logger").kept()).await.expect("in");
    assert!(!device.session_present);
    device.subscribe("public/+", 1).await;
    device.vanish().await;
    let mut bridge = open.bridge("hub").await;
    bridge.publish_acked("public/msgs", "while away", false).await;
    let mut device = Wire::connect(open.devices, Hello::new("logger").kept()).await.expect("in again");
    assert!(device.session_present);
    assert_eq!(device.message().await.payload, "while away");
    open.broker.stop().await;
}

#[tokio::test]
async fn keep_alive_0_is_fine_and_a_silent_device_is_let_go() {
    let open = Open::start().await;
    let mut eternal = Wire::connect(open.devices, Hello::new("eternal").keep_alive(0)).await.expect("in");
    let hello = Hello::new("silent").keep_alive(1).will("wills", "silent");
    let mut bridge = open.bridge("hub").await;
    bridge.subscribe("wills", 1).await;
    let mut silent = Wire::connect(open.devices, hello).await.expect("in");
    silent.subscribe("wills", 0).await;
    silent.closed().await;
    assert_eq!(bridge.message().await.payload, "silent");
    assert_eq!(eternal.until_pong().await, []);
    open.broker.stop().await;
}

#[tokio::test]
async fn packets_may_come_in_pieces_and_together() {
    let open = Open::start().await;
    let mut device = open.device("lamp").await;
    let mut bytes = subscribe(9, "a", 0);
    bytes.extend(publish("a", "first"));
    bytes.extend(publish("a", &"second".repeat(2000)));
    for piece in bytes.chunks(1000) {
        device.send(piece).await.expect("sent");
    }
    assert_eq!(device.next().await, Some(Packet::SubAck(9)));
    assert_eq!(device.message().await.payload, "first");
    assert_eq!(device.message().await.payload, "second".repeat(2000));
    open.broker.stop().await;
}
