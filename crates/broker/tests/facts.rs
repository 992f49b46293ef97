//! What rumqttd 0.20 really does, as far as this project relies on it or works around it.
//!
//! Each test states one fact. When a new version of the crate changes it, its test fails and says which workaround can go
//! (or has to change). Where "nothing happens" is the fact, something that comes after it is waited for.
//! Facts about rumqttc are in `facts_client.rs`.

mod support;

use std::time::Duration;

use support::raw::{Raw, free_address, listener, router};
use support::wire::{Hello, Packet, Refusal, publish, subscribe};
use support::{eventually, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_id_with_a_slash_sent_twice_locks_everybody_out() {
    let rumqttd = Raw::start().await;
    for _ in 0..2 {
        assert_eq!(rumqttd.connect(Hello::new("a/b")).await.err(), Some(Refusal::Closed));
    }
    let outcome = rumqttd.connect(Hello::new("innocent")).await;
    assert_eq!(
        outcome.err(),
        Some(Refusal::Closed),
        "rumqttd takes any client id now: ids of our own choosing (gate::slots) are no longer needed for this"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_at_max_connections_locks_everybody_out() {
    let mut router = router();
    router.max_connections = 1;
    let rumqttd = Raw::with(router, |_| {}).await;
    let only = rumqttd.client("only").await;
    for _ in 0..2 {
        assert_eq!(rumqttd.connect(Hello::new("one-more")).await.err(), Some(Refusal::Closed));
    }
    only.vanish().await;
    let outcome = rumqttd.connect(Hello::new("innocent")).await;
    assert_eq!(
        outcome.err(),
        Some(Refusal::Closed),
        "a full rumqttd recovers now: EmbeddedBroker::client_limit and the gate's limit may go up to max_connections"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_id_in_use_throws_the_other_one_out_on_any_listener() {
    let rumqttd = Raw::start().await;
    let mut first = rumqttd.client("same").await;
    let _second = rumqttd.client("same").await;
    // To be taken over is MQTT; that it crosses listeners is why devices must not choose ids.
    within("the first is thrown out", first.closed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_publishes_the_new_clients_will() {
    let rumqttd = Raw::start().await;
    let mut watcher = rumqttd.client("watcher").await;
    watcher.subscribe("wills", 1).await;
    let _old = rumqttd.connect(Hello::new("same").will("wills", "of the old")).await.expect("old");
    let _new = rumqttd.connect(Hello::new("same").will("wills", "of the new")).await.expect("new");
    assert_eq!(
        watcher.message().await.payload,
        "of the new",
        "wills follow the connection now: the gate need not publish them itself, and status topics may trust them"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_will_is_not_published_after_a_clean_disconnect() {
    let rumqttd = Raw::start().await;
    let mut watcher = rumqttd.client("watcher").await;
    watcher.subscribe("wills", 1).await;
    let client = rumqttd.connect(Hello::new("leaver").will("wills", "left")).await.expect("leaver");
    client.disconnect().await;
    let client = rumqttd.connect(Hello::new("vanisher").will("wills", "vanished")).await.expect("vanisher");
    client.vanish().await;
    assert_eq!(watcher.message().await.payload, "vanished");
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_alive_0_is_refused() {
    let rumqttd = Raw::start().await;
    assert_eq!(
        rumqttd.connect(Hello::new("eternal").keep_alive(0)).await.err(),
        Some(Refusal::Closed),
        "keep-alive 0 is taken now: gate::hello need not replace it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_login_is_dropped_without_a_connack() {
    let rumqttd = Raw::with(router(), |settings| {
        settings.connections.auth = Some([("ann".to_owned(), "x".to_owned())].into());
    })
    .await;
    assert!(rumqttd.connect(Hello::new("a").login("ann", "x")).await.is_ok());
    for hello in [Hello::new("b").login("ann", "y"), Hello::new("c")] {
        assert_eq!(
            rumqttd.connect(hello).await.err(),
            Some(Refusal::Closed),
            "rumqttd answers a wrong login now: the gate need not check logins itself"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_begins_outside_ascii_ends_the_router() {
    let rumqttd = Raw::start().await;
    let mut client = rumqttd.client("client").await;
    client.subscribe("any", 0).await;
    client.send(&publish("ü", "x")).await.expect("sent");
    client.closed().await;
    eventually("the router ends", || async { if rumqttd.router_is_alive() { Err(()) } else { Ok(()) } })
        .await;
    // When this times out: gate::guard::starts_well can go.
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_session_with_a_shared_subscription_ends_the_router() {
    let rumqttd = Raw::start().await;
    let mut member = rumqttd.connect(Hello::new("member").kept()).await.expect("member");
    member.subscribe("$share/group/topic", 1).await;
    rumqttd.client("sender").await.publish_acked("topic", "x", false).await;
    let delivered = member.next().await;
    assert!(matches!(delivered, Some(Packet::Publish(_))), "{delivered:?}");
    // Gone without having acknowledged it.
    member.vanish().await;
    eventually("the router ends", || async { if rumqttd.router_is_alive() { Err(()) } else { Ok(()) } })
        .await;
    // When this times out: gate::guard may let $share pass for kept sessions too.
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disconnect_with_a_full_queue_ends_the_router() {
    let rumqttd = Raw::start().await;
    let mut sender = rumqttd.client("sender").await;
    // A subscriber with so much waiting for it that the router pauses it, and that then leaves politely. Whether the
    // router hears of the leave before it is asked to go on is chance, so this is done again until it happens.
    let ended =
        eventually("the router ends", || async { if rumqttd.router_is_alive() { Err(()) } else { Ok(()) } });
    let leaving = async {
        for round in 0.. {
            let hello = Hello::new(&format!("reader-{}", round % 8));
            let Ok(mut reader) = rumqttd.connect(hello).await else { break };
            if reader.send(&subscribe(1, "flood", 0)).await.is_err() {
                break;
            }
            let flood = publish("flood", "some bytes").repeat(2000);
            if sender.send(&flood).await.is_err() || reader.send(&[0xe0, 0]).await.is_err() {
                break;
            }
            reader.closed().await;
        }
        // A connection that failed is the end, too; only the router's own end counts.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = ended => {}
        () = leaving => {}
    }
    // When this times out: the gate may pass DISCONNECT on, and the bridge may send it to anybody at any time.
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_subscription_gets_at_most_100_retained_messages_and_none_the_second_time() {
    let rumqttd = Raw::start().await;
    let mut sender = rumqttd.client("sender").await;
    for number in 0..250 {
        sender.publish_acked(&format!("kept/{number}"), "old", true).await;
    }
    for (qos, limit) in [(1, 100), (0, 200)] {
        let mut reader = rumqttd.client(&format!("reader-{qos}")).await;
        reader.subscribe("kept/+", qos).await;
        sender.publish_acked("kept/0", "new", false).await;
        let mut retained = 0;
        while reader.message().await.retain {
            retained += 1;
        }
        assert_eq!(retained, limit, "QoS {qos}: the limit on retained messages has changed");

        reader.subscribe("kept/+", qos).await;
        sender.publish_acked("kept/0", "newer", false).await;
        let next = reader.message().await;
        assert_eq!(
            (next.payload.as_str(), next.retain),
            ("newer", false),
            "a second subscription gets retained messages now: status topics could be read again by it"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn overlapping_subscriptions_get_a_copy_each() {
    let rumqttd = Raw::start().await;
    let mut reader = rumqttd.client("reader").await;
    reader.subscribe("a/+", 1).await;
    reader.subscribe("a/b", 1).await;
    let mut sender = rumqttd.client("sender").await;
    sender.publish_acked("a/b", "twice", false).await;
    sender.publish_acked("a/c", "once", false).await;
    let mut got = Vec::new();
    for _ in 0..3 {
        got.push(reader.message().await.payload);
    }
    got.sort();
    assert_eq!(got, ["once", "twice", "twice"], "one copy now: filters of one client may overlap");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_delivered_with_the_qos_of_the_subscription() {
    let rumqttd = Raw::start().await;
    let mut reader = rumqttd.client("reader").await;
    reader.subscribe("a", 1).await;
    let mut sender = rumqttd.client("sender").await;
    sender.publish("a", "sent with 0").await;
    let message = reader.message().await;
    assert_eq!(message.qos, 1, "the lower QoS wins now, as MQTT has it: {message:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unsubscribe_of_an_unknown_filter_is_never_answered() {
    let rumqttd = Raw::start().await;
    let mut client = rumqttd.client("client").await;
    client.send_unsubscribe("never/subscribed").await;
    assert_eq!(
        client.until_pong().await,
        [],
        "it is answered now: no time-out is needed where an UNSUBACK is waited for"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unsubscribe_after_a_resumed_session_has_no_effect() {
    let rumqttd = Raw::start().await;
    let mut client = rumqttd.connect(Hello::new("client").kept()).await.expect("client");
    client.subscribe("a", 1).await;
    client.vanish().await;
    let mut client = eventually("the session is kept", || async {
        let client = rumqttd.connect(Hello::new("client").kept()).await.expect("client again");
        if client.session_present { Ok(client) } else { Err(()) }
    })
    .await;
    client.send_unsubscribe("a").await;
    assert_eq!(client.until_pong().await, []);
    rumqttd.client("sender").await.publish_acked("a", "still", false).await;
    assert_eq!(
        client.message().await.payload,
        "still",
        "it works now: sessions that are kept are an option for the bridge"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_subscriber_loses_messages_without_notice() {
    let mut router = router();
    router.max_segment_size = 1024;
    router.max_segment_count = 2;
    let rumqttd = Raw::with(router, |_| {}).await;
    let mut reader = rumqttd.client("reader").await;
    reader.subscribe("a", 1).await;
    let mut sender = rumqttd.client("sender").await;
    // Nothing is acknowledged by the reader, so 100 are under way to it and the others wait in the log.
    for number in 0..500 {
        sender.publish_acked("a", &format!("{number:0100}"), false).await;
    }
    let mut got = Vec::new();
    while got.last() != Some(&499) {
        got.push(reader.message().await.payload.parse::<u32>().expect("a number"));
    }
    assert!(
        got.len() < 500,
        "all arrived: a subscriber that falls behind is slowed down or kept for, holes need not be filled from the store"
    );
    assert!(got.is_sorted(), "what arrives is still in order: {got:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_above_the_limit_ends_the_connection() {
    let rumqttd = Raw::with(router(), |settings| settings.connections.max_payload_size = 100).await;
    let mut reader = rumqttd.client("reader").await;
    reader.subscribe("a", 0).await;
    let mut sender = rumqttd.client("sender").await;
    // What counts is the packet behind its fixed header: here 2 + 1 bytes of topic and the payload.
    sender.publish("a", &"x".repeat(97)).await;
    assert_eq!(reader.message().await.payload.len(), 97);
    sender.publish("a", &"y".repeat(98)).await;
    sender.closed().await;
    rumqttd.client("other").await.publish("a", "after").await;
    assert_eq!(reader.message().await.payload, "after");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_nobody_is_dropped_and_does_its_sender_no_harm() {
    for dynamic_filters in [true, false] {
        let rumqttd =
            Raw::with(router(), |settings| settings.connections.dynamic_filters = dynamic_filters).await;
        let mut client = rumqttd.client("client").await;
        client.publish_acked("later/subscribed", "early", false).await;
        client.subscribe("later/subscribed", 1).await;
        client.publish_acked("later/subscribed", "late", false).await;
        assert_eq!(client.message().await.payload, "late", "dynamic_filters = {dynamic_filters}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_gone_after_a_restart() {
    let first = Raw::start().await;
    let mut client = first.connect(Hello::new("client").kept()).await.expect("client");
    client.subscribe("a", 1).await;
    client.publish_acked("kept", "x", true).await;
    drop((client, first));

    let second = Raw::start().await;
    let mut client = second.connect(Hello::new("client").kept()).await.expect("client");
    assert!(!client.session_present, "sessions outlive rumqttd now");
    client.subscribe("#", 1).await;
    client.publish_acked("marker", "y", false).await;
    assert_eq!(client.message().await.topic, "marker", "retained messages outlive rumqttd now");
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_start_says_all_is_well_when_the_port_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let config = rumqttd::Config {
        router: router(),
        v4: Some([("1".to_owned(), listener(address))].into()),
        ..rumqttd::Config::default()
    };
    let outcome = tokio::task::spawn_blocking(move || rumqttd::Broker::new(config).start().is_ok());
    let said_well = within("Broker::start returns", outcome).await.expect("no panic");
    assert!(said_well, "a taken port is an error now: Broker::start could be used");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_server_lets_go_of_its_port_and_keeps_its_connections() {
    let link = rumqttd::Router::new(0, router()).spawn();
    let address = free_address();
    let mut clients = Vec::new();
    for round in 0..3 {
        let mut server = rumqttd::Server::new(listener(address), link.clone(), rumqttd::protocol::v4::V4);
        let task = tokio::spawn(async move {
            if let Err(error) = server.start(rumqttd::LinkType::Remote).await {
                panic!("{error}");
            }
        });
        let id = format!("client-{round}");
        let connect = || support::wire::Wire::connect(address, Hello::new(&id));
        clients.push(eventually("the server listens", connect).await);
        task.abort();
        assert!(within("the task ends", task).await.expect_err("aborted").is_cancelled());
    }
    for client in &mut clients {
        assert_eq!(client.until_pong().await, []);
    }
    tokio::time::timeout(Duration::from_secs(1), tokio::net::TcpListener::bind(address))
        .await
        .expect("at once")
        .expect("the port is free");
}
