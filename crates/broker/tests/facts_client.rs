//! What rumqttc 0.25 really does, as far as this project relies on it or works around it; see `facts.rs`.

#![allow(clippy::expect_used, reason = "helpers of tests, which fail by panicking")]

mod support;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS, StateError,
};
use support::raw::{Raw, router};
use support::script::{Peer, Script, Sent};
use support::within;
use tokio::task::JoinHandle;

fn options(address: SocketAddr) -> MqttOptions {
    let mut options = MqttOptions::new("client", address.ip().to_string(), address.port());
    options.set_keep_alive(Duration::from_secs(30));
    options
}

/// Polls for ever, as an application does that goes on after errors.
fn keep_polling(mut events: EventLoop) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            if events.poll().await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    })
}

async fn publish(client: &AsyncClient, payload: &str) {
    client.publish("t", QoS::AtLeastOnce, false, payload).await.expect("queued");
}

/// A client whose first message was sent and not acknowledged before the connection broke.
async fn interrupted(script: &Script, session_present: bool) -> (AsyncClient, Peer, JoinHandle<()>) {
    let mut options = options(script.address);
    options.set_clean_session(!session_present);
    let (client, events) = AsyncClient::new(options, 10);
    let polling = keep_polling(events);
    let mut peer = script.accept(false).await;
    publish(&client, "unacknowledged").await;
    assert_eq!(peer.next().await, Some(Sent::Publish(1, false, "unacknowledged".into())));
    drop(peer);
    let peer = script.accept(session_present).await;
    (client, peer, polling)
}

#[tokio::test]
async fn unacknowledged_messages_are_forgotten_when_the_broker_has_no_session() {
    let script = Script::listen().await;
    let (client, mut peer, polling) = interrupted(&script, false).await;
    publish(&client, "next").await;
    assert!(
        matches!(peer.next().await, Some(Sent::Publish(_, _, payload)) if payload == "next"),
        "it is sent again now: what is unconfirmed need not be published again by the node"
    );
    polling.abort();
}

#[tokio::test]
async fn unacknowledged_messages_are_sent_again_when_the_broker_has_the_session() {
    let script = Script::listen().await;
    let (_client, mut peer, polling) = interrupted(&script, true).await;
    assert!(matches!(peer.next().await, Some(Sent::Publish(1, _, payload)) if payload == "unacknowledged"));
    polling.abort();
}

/// Which message each PUBACK is for can only be known by counting: the n-th `Outgoing::Publish` is the n-th message that
/// was handed over, and its packet id is acknowledged once. This is what confirmed positions are built on.
#[tokio::test(flavor = "multi_thread")]
async fn outgoing_publishes_come_in_the_order_of_submission_and_each_is_acknowledged_once() {
    const MESSAGES: usize = 1000;
    let rumqttd = Raw::with(router(), |_| {}).await;
    let mut watcher = rumqttd.client("watcher").await;
    watcher.subscribe("t", 1).await;
    let mut options = options(rumqttd.address);
    // Fewer ids than messages, and the subscriptions in between take some of them: ids that are still in use come up
    // again (`Outgoing::AwaitAck`).
    options.set_inflight(7);
    let (client, mut events) = AsyncClient::new(options, 10);
    let submitting = tokio::spawn(async move {
        for number in 0..MESSAGES {
            let qos = if number % 10 == 9 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
            client.publish("t", qos, false, number.to_string()).await.expect("queued");
            if number % 50 == 0 {
                client.subscribe(format!("other/{number}"), QoS::AtMostOnce).await.expect("queued");
            }
        }
        client
    });

    let (mut outgoing, mut acknowledged) = (0, 0);
    let mut unacknowledged: VecDeque<(u16, usize)> = VecDeque::new();
    while acknowledged + MESSAGES / 10 < MESSAGES || outgoing < MESSAGES {
        match within("an event", events.poll()).await.expect("no error") {
            Event::Outgoing(Outgoing::Publish(pkid)) => {
                assert_eq!(pkid == 0, outgoing % 10 == 9, "message {outgoing} has packet id {pkid}");
                if pkid != 0 {
                    assert!(unacknowledged.iter().all(|(used, _)| *used != pkid), "{pkid} is in use");
                    unacknowledged.push_back((pkid, outgoing));
                }
                outgoing += 1;
            }
            Event::Incoming(Packet::PubAck(ack)) => {
                let oldest = unacknowledged.pop_front().expect("something to acknowledge");
                assert_eq!(oldest.0, ack.pkid, "rumqttd acknowledges in order; this is message {}", oldest.1);
                acknowledged += 1;
            }
            _ => {}
        }
    }
    assert_eq!((outgoing, acknowledged, unacknowledged.len()), (MESSAGES, MESSAGES * 9 / 10, 0));
    drop(submitting.await.expect("all submitted"));
    for number in 0..MESSAGES {
        assert_eq!(watcher.message().await.payload, number.to_string(), "the wire has the same order");
    }
}

#[tokio::test]
async fn a_packet_above_the_clients_limit_ends_the_connection_and_the_default_is_10_kib() {
    let script = Script::listen().await;
    for (limit, size, fits) in [(None, 10_000, true), (None, 10_300, false), (Some(100_000), 90_000, true)] {
        let mut options = options(script.address);
        if let Some(limit) = limit {
            options.set_max_packet_size(limit, limit);
        }
        let (client, mut events) = AsyncClient::new(options, 10);
        publish(&client, &"x".repeat(size)).await;
        let polling = async {
            loop {
                match events.poll().await {
                    Ok(Event::Outgoing(Outgoing::Publish(_))) => return Ok(()),
                    Ok(_) => {}
                    Err(error) => return Err(error),
                }
            }
        };
        let (outcome, _peer) = tokio::join!(within("an event", polling), script.accept(false));
        assert_eq!(outcome.is_ok(), fits, "{limit:?}, {size} bytes: {outcome:?}");
    }
}

/// A packet id that is acknowledged out of order wedges the client over reconnects.
#[tokio::test]
async fn after_a_collision_nothing_is_sent_any_more_even_on_a_new_connection() {
    let script = Script::listen().await;
    let mut options = options(script.address);
    options.set_inflight(2);
    options.set_keep_alive(Duration::from_secs(1));
    let (client, mut events) = AsyncClient::new(options, 10);
    let scripted = async {
        let mut peer = script.accept(false).await;
        for payload in ["1", "2", "3"] {
            publish(&client, payload).await;
        }
        assert!(matches!(peer.next().await, Some(Sent::Publish(1, _, _))));
        assert!(matches!(peer.next().await, Some(Sent::Publish(2, _, _))));
        peer.puback(2).await;
        // The third would have id 1, which is in use. Its connection ends.
        assert_eq!(peer.next().await, Some(Sent::Ping));
        drop(peer);
        let mut peer = script.accept(false).await;
        publish(&client, "4").await;
        assert_eq!(
            peer.next().await,
            Some(Sent::Ping),
            "sent: a CollisionTimeout needs no new event loop any more"
        );
        peer.pong().await;
        peer
    };
    let polling = async {
        loop {
            match events.poll().await {
                Err(ConnectionError::MqttState(StateError::CollisionTimeout)) => return,
                // The broken connection.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                Ok(_) => {}
            }
        }
    };
    let (_peer, ()) = within("a collision time-out", async { tokio::join!(scripted, polling) }).await;
}

#[tokio::test]
async fn nothing_leaves_the_queue_while_nobody_polls() {
    let script = Script::listen().await;
    let (client, mut events) = AsyncClient::new(options(script.address), 1);
    publish(&client, "first").await;
    assert!(
        client.try_publish("t", QoS::AtLeastOnce, false, "second").is_err(),
        "there is room now: publishing from the task that polls could not block for ever"
    );
    let polling = async {
        loop {
            let event = events.poll().await.expect("no error");
            if event == Event::Outgoing(Outgoing::Publish(1)) {
                return;
            }
        }
    };
    let (_peer, ()) = tokio::join!(script.accept(false), within("the first is sent", polling));
    client.try_publish("t", QoS::AtLeastOnce, false, "second").expect("there is room");
}

#[tokio::test]
async fn a_client_that_is_polled_after_a_disconnect_connects_again() {
    let script = Script::listen().await;
    let (client, events) = AsyncClient::new(options(script.address), 10);
    let polling = keep_polling(events);
    let mut peer = script.accept(false).await;
    client.disconnect().await.expect("queued");
    assert_eq!(peer.next().await, Some(Sent::Disconnect));
    drop(peer);
    // When this times out: polling need not end with Outgoing::Disconnect.
    script.accept(false).await;
    polling.abort();
}
