//! Two nodes on one PostgreSQL and one Mosquitto: for their users, one server.

#[allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "the store's tests have it too"
)]
#[path = "../../crates/store/tests/suite/cluster.rs"]
mod postgres;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::future::try_join;
use mqttchat_e2e::mqtt::{Subscriber, publish};
use mqttchat_e2e::{App, Mosquitto, User, eventually, http};
use postgres::Cluster;
use serde_json::json;

/// Everything that two nodes share, and the nodes.
struct Nodes {
    one: App,
    two: App,
    broker: Mosquitto,
    _database: Cluster,
}

impl Nodes {
    async fn start() -> Result<Self> {
        let (database, broker) = (Cluster::start(), Mosquitto::start().await?);
        let url = database.database("chat");
        let node = || App::builder().no_rate_limit().args(["--database", &url]).broker(&broker.url()).start();
        let (one, two) = try_join(node(), node()).await?;
        Ok(Self { one, two, broker, _database: database })
    }
}

/// The public messages that somebody has seen, in the order in which they came.
fn public(user: &User) -> Vec<(u64, String)> {
    let seen = user.seen();
    let entries = seen.iter().filter(|frame| frame["type"] == "msg" && frame["dest"] == "public");
    entries
        .map(|frame| {
            (frame["seq"].as_u64().unwrap_or(0), frame["data"]["text"].as_str().unwrap_or("").to_owned())
        })
        .collect()
}

fn is_gapless(entries: &[(u64, String)]) -> bool {
    entries.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1)
}

#[tokio::test]
async fn people_on_two_nodes_are_in_one_room() -> Result<()> {
    let nodes = Nodes::start().await?;
    let mut ann = nodes.one.member("Ann").await?;
    let mut bob = nodes.two.user("Bob").await?;
    eventually("Bob sees Ann", async || {
        let joined = bob.join("public").await?;
        Ok((joined["online"] == 2).then_some(()))
    })
    .await?;
    ann.expect_where("Bob's coming", |frame| {
        frame["type"] == "presence" && frame["data"]["joined"].to_string().contains(r#""id":"bob""#)
    })
    .await?;
    for round in 0..40 {
        let (one, two) = (format!("ann {round}"), format!("bob {round}"));
        try_join(ann.say("public", &one), bob.say("public", &two)).await?;
    }
    let last = ann.say("public", "that was all").await?;
    for user in [&ann, &bob] {
        user.expect_text("that was all").await?;
    }
    let (of_ann, of_bob) = (public(&ann), public(&bob));
    assert_eq!(of_ann, of_bob, "everybody sees the same order");
    assert!(is_gapless(&of_ann) && of_ann.last().map(|entry| entry.0) == Some(last.seq));
    Ok(())
}

#[tokio::test]
async fn a_private_message_and_its_receipt_cross_between_nodes() -> Result<()> {
    let nodes = Nodes::start().await?;
    let mut ann = nodes.one.user("Ann").await?;
    let mut bob = nodes.two.user("Bob").await?;
    let sent = ann.say("private/bob", "across").await?;
    let seen = bob.expect_text("across").await?;
    assert_eq!(
        (&seen["from"], &seen["dest"], seen["seq"].as_u64()),
        (&json!("ann"), &json!("private/bob"), Some(sent.seq))
    );
    bob.send(&json!({"type": 200, "data": seen["id"]})).await?;
    let told = ann.expect(300).await?;
    assert_eq!(
        (&told["by"], &told["data"], &told["dest"]),
        (&json!("bob"), &seen["id"], &json!("private/bob"))
    );
    Ok(())
}

/// The `seq`s that somebody has been shown in a private conversation, in the order in which they came.
fn shown(user: &User) -> Vec<u64> {
    let seen = user.seen();
    seen.iter().filter(|frame| frame["type"] == "msg").filter_map(|frame| frame["seq"].as_u64()).collect()
}

#[tokio::test]
async fn who_writes_to_each_other_for_the_first_time_sees_both() -> Result<()> {
    let nodes = Nodes::start().await?;
    for round in 0..12 {
        let (ann, bob) = (format!("ann{round}"), format!("bob{round}"));
        let (mut one, mut two) = try_join(nodes.one.user(&ann), nodes.two.user(&bob)).await?;
        let (to_two, to_one) = (format!("private/{bob}"), format!("private/{ann}"));
        try_join(one.say(&to_two, "to two"), two.say(&to_one, "to one")).await?;
        for user in [&one, &two] {
            try_join(user.expect_text("to one"), user.expect_text("to two")).await?;
            assert_eq!(shown(user), [1, 2], "round {round}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_without_the_broker_hides_nothing_that_came_before_it() -> Result<()> {
    let mut nodes = Nodes::start().await?;
    let (mut ann, mut bob) = try_join(nodes.one.user("Ann"), nodes.two.user("Bob")).await?;
    nodes.broker.kill().await?;
    ann.say("private/bob", "from one").await?;
    bob.say("private/ann", "from two").await?;
    for user in [&ann, &bob] {
        try_join(user.expect_text("from one"), user.expect_text("from two")).await?;
        assert_eq!(shown(user), [1, 2]);
    }
    // Whoever signs in now has had it all; what comes next, they get, and nothing twice.
    let again = bob.resume(nodes.two.address(), &[]).await?;
    ann.say("private/bob", "and more").await?;
    for user in [&bob, &again] {
        user.expect_text("and more").await?;
    }
    assert_eq!(shown(&again).last(), Some(&3));
    assert_eq!(shown(&bob), [1, 2, 3]);
    Ok(())
}

#[tokio::test]
async fn the_first_messages_of_a_conversation_all_come_when_they_come_together() -> Result<()> {
    let nodes = Nodes::start().await?;
    for round in 0..12 {
        let (ann, bob) = (format!("ann{round}"), format!("bob{round}"));
        let (mut one, two) = try_join(nodes.one.user(&ann), nodes.two.user(&bob)).await?;
        for text in ["a", "b", "c", "d"] {
            one.say(&format!("private/{bob}"), text).await?;
        }
        two.expect_text("d").await?;
        assert_eq!(shown(&two), [1, 2, 3, 4], "round {round}");
    }
    Ok(())
}

/// The 300s that somebody has seen, and up to where they were told that others have read.
fn told(user: &User) -> (Vec<u64>, Vec<u64>) {
    let delivered = user.seen_of(300).iter().filter_map(|frame| frame["seq"].as_u64()).collect();
    let read = user.seen_of("receipt");
    (delivered, read.iter().filter_map(|frame| frame["data"]["read"].as_u64()).collect())
}

#[tokio::test]
async fn receipts_cross_between_nodes_without_the_broker_and_once() -> Result<()> {
    let mut nodes = Nodes::start().await?;
    let mut ann = nodes.one.user("Ann").await?;
    let ann_too = ann.another_session().await?;
    let mut bob = nodes.two.user("Bob").await?;
    let bob_elsewhere = bob.resume(nodes.one.address(), &[]).await?;
    let delivered = |seq: u64| {
        move |frame: &serde_json::Value| frame["type"] == 300 && frame["seq"].as_u64() == Some(seq)
    };
    let receipt = |seq: u64| {
        move |frame: &serde_json::Value| {
            frame["type"] == "receipt"
                && frame["from"] == "bob"
                && frame["data"]["read"].as_u64() == Some(seq)
        }
    };
    for (round, text) in ["with the broker", "without it", "with it again"].into_iter().enumerate() {
        match round {
            0 => {}
            1 => nodes.broker.kill().await?,
            _ => nodes.broker.start_again().await?,
        }
        for part in ["first", "second"] {
            ann.say("private/bob", &format!("{part} {text}")).await?;
        }
        let last = bob.expect_text(&format!("second {text}")).await?;
        let seq = last["seq"].as_u64().unwrap_or(0);
        bob.send(&json!({"type": 200, "data": last["id"]})).await?;
        bob.send(&json!({"type": "read", "dest": "private/ann", "data": {"seq": seq}})).await?;
        for session in [&ann, &ann_too] {
            session.expect_where("the first 300", delivered(seq - 1)).await?;
            session.expect_where("the second 300", delivered(seq)).await?;
            session.expect_where("the receipt", receipt(seq)).await?;
        }
        bob_elsewhere.expect_where("the reader's own receipt", receipt(seq)).await?;
    }
    // An answer delivers what is before it.
    ann.say("private/bob", "the last").await?;
    bob.expect_text("the last").await?;
    bob.say("private/ann", "the answer").await?;
    ann.expect_where("the last 300", delivered(7)).await?;
    ann_too.expect_where("the last 300", delivered(7)).await?;
    for session in [&ann, &ann_too] {
        assert_eq!(told(session), ((1..=7).collect(), vec![2, 4, 6]), "each once");
    }
    Ok(())
}

#[tokio::test]
async fn a_receipt_in_a_room_crosses_between_nodes_without_the_broker() -> Result<()> {
    let mut nodes = Nodes::start().await?;
    let mut ann = nodes.one.user("Ann").await?;
    let mut bob = nodes.two.user("Bob").await?;
    let data = json!({"title": "Ops", "open": true, "members": ["bob"]});
    ann.request(json!({"type": "room.create", "dest": "rooms/ops", "data": data})).await?;
    ann.join("rooms/ops").await?;
    bob.join("rooms/ops").await?;
    nodes.broker.kill().await?;
    let said = ann.say("rooms/ops", "read this").await?;
    bob.expect_text("read this").await?;
    bob.send(&json!({"type": "read", "dest": "rooms/ops", "data": {"seq": said.seq}})).await?;
    let receipt = ann.expect("receipt").await?;
    assert_eq!(
        (&receipt["dest"], &receipt["from"], receipt["data"]["read"].as_u64()),
        (&json!("rooms/ops"), &json!("bob"), Some(said.seq))
    );
    Ok(())
}

/// The bell for somebody who doesn't read the room may be lost with the node that has it; whoever reads there hears of it.
#[tokio::test]
async fn who_is_taken_into_a_room_on_another_node_is_told_without_the_broker() -> Result<()> {
    let mut nodes = Nodes::start().await?;
    let mut ann = nodes.one.user("Ann").await?;
    let (bob, mut carol) = (nodes.two.user("Bob").await?, nodes.two.user("Carol").await?);
    let data = json!({"title": "Ops", "open": false, "members": ["carol"]});
    ann.request(json!({"type": "room.create", "dest": "rooms/ops", "data": data})).await?;
    carol.join("rooms/ops").await?;
    nodes.broker.kill().await?;
    for (number, change) in ["add", "remove"].into_iter().enumerate() {
        let kind = format!("member.{change}");
        ann.request(json!({"type": kind, "dest": "rooms/ops", "data": {"user": "bob"}})).await?;
        let told = bob.expect("room").await?;
        assert_eq!((&told["dest"], &told["data"]["change"]), (&json!("rooms/ops"), &json!(change)));
        carol.expect_where("the same", |frame| frame["seq"] == told["seq"]).await?;
        assert_eq!(bob.seen_of("room").len(), number + 1, "once");
    }
    Ok(())
}

/// Waits until somebody sees this one online, by name, and nobody without one.
async fn shows(app: &App, viewer: &User, name: &str) -> Result<()> {
    eventually("somebody online on the other node", async || {
        let request = hyper::Request::get("/api/v1/users?state=online")
            .header("Authorization", format!("Bearer {}", viewer.token));
        let answer = http::send(app.address(), request).await?;
        let page: serde_json::Value = serde_json::from_str(&answer.body)?;
        let users = page["users"].as_array().context(answer.body)?;
        anyhow::ensure!(users.iter().all(|user| user["name"] != ""), "somebody without a name: {page}");
        Ok(users.iter().any(|user| user["name"] == name).then_some(()))
    })
    .await
}

#[tokio::test]
async fn people_on_another_node_have_their_names() -> Result<()> {
    let nodes = Nodes::start().await?;
    let ann = nodes.one.user("Ann").await?;
    let _bob = nodes.two.user("Bob").await?;
    shows(&nodes.one, &ann, "Bob").await?;
    // The nodes know each other now: this is told by itself.
    let _zoe = nodes.two.user("Zoë Ångström").await?;
    shows(&nodes.one, &ann, "Zoë Ångström").await
}

#[tokio::test]
async fn the_same_id_on_two_nodes_at_once_is_stored_once() -> Result<()> {
    let nodes = Nodes::start().await?;
    let mut ann = nodes.one.user("Ann").await?;
    let mut again = ann.resume(nodes.two.address(), &[]).await?;
    for round in 0..30 {
        let (id, data) = (format!("m{round}"), json!({"text": round.to_string()}));
        let (first, second) =
            try_join(ann.send_message(&id, "public", &data), again.send_message(&id, "public", &data))
                .await?;
        assert_eq!((first.seq, first.time), (second.seq, second.time));
    }
    assert_eq!(ann.whole_history("public").await?.len(), 30);
    Ok(())
}

#[tokio::test]
async fn a_node_that_stops_leaves_strangers_messages_to_the_other() -> Result<()> {
    let (database, broker) = (Cluster::start(), Mosquitto::start().await?);
    let url = database.database("chat");
    let node = || App::builder().no_rate_limit().args(["--database", &url]).broker(&broker.url()).start();
    let mut one = node().await?;
    broker.expect_subscriptions("rooms/+/msgs", 1).await?;
    let two = node().await?;
    let bob = two.member("Bob").await?;
    publish(&broker, "public/msgs", "to the first").await?;
    bob.expect_text("to the first").await?;
    one.stop().await?;
    let begun = Instant::now();
    publish(&broker, "public/msgs", "to the second").await?;
    bob.expect_text("to the second").await?;
    // A lease that had to run out first would take 20 s.
    assert!(begun.elapsed().as_secs() < 15, "{:?}", begun.elapsed());
    Ok(())
}

#[tokio::test]
async fn without_the_broker_nodes_still_hear_of_each_other() -> Result<()> {
    let mut nodes = Nodes::start().await?;
    let mut ann = nodes.one.member("Ann").await?;
    let bob = nodes.two.member("Bob").await?;
    nodes.broker.kill().await?;
    ann.say("public", "is anybody there?").await?;
    bob.expect_text("is anybody there?").await?;
    ann.say("private/bob", "and in private?").await?;
    bob.expect_text("and in private?").await?;
    Ok(())
}

#[tokio::test]
async fn whoever_was_on_a_killed_node_goes_on_at_the_other() -> Result<()> {
    let mut nodes = Nodes::start().await?;
    let mut ann = nodes.one.member("Ann").await?;
    let mut bob = nodes.two.member("Bob").await?;
    for round in 0..20 {
        ann.say("public", &format!("before {round}")).await?;
    }
    bob.expect_text("before 19").await?;
    nodes.broker.kill().await?;
    let left = ann.say("public", "the broker never heard this").await?;
    nodes.one.kill().await?;
    for round in 0..20 {
        bob.say("public", &format!("meanwhile {round}")).await?;
    }
    let ann = ann.resume(nodes.two.address(), &[("public", left.seq)]).await?;
    ann.expect_text("meanwhile 19").await?;
    let entries = public(&ann);
    assert_eq!(entries.first().map(|entry| entry.0), Some(left.seq + 1));
    assert!(entries.len() == 20 && is_gapless(&entries), "{entries:?}");

    // What the dead node could not publish, its successor does.
    nodes.broker.start_again().await?;
    let outsider = Subscriber::start(&nodes.broker, "public/#").await?;
    let published = outsider.expect_text("the broker never heard this").await?.json()?;
    assert_eq!(published["seq"].as_u64(), Some(left.seq));
    Ok(())
}

/// Longer than a lease lasts.
const ASLEEP: Duration = Duration::from_secs(22);

#[tokio::test]
async fn a_node_that_slept_through_its_lease_gives_way_and_loses_nothing() -> Result<()> {
    let (database, broker) = (Cluster::start(), Mosquitto::start().await?);
    let url = database.database("chat");
    let node = || App::builder().no_rate_limit().args(["--database", &url]).broker(&broker.url()).start();
    let (mut one, two) = (node().await?, node().await?);
    let (mut ann, mut bob) = (one.member("Ann").await?, two.member("Bob").await?);
    let before = ann.say("public", "before").await?;
    bob.expect_text("before").await?;

    one.freeze()?;
    // It lies in the socket of a node that is not there.
    let text = json!({"text": "into the silence"});
    ann.send(&json!({"type": "msg", "id": "silence", "dest": "public", "data": text})).await?;
    let mut again = ann.resume(two.address(), &[("public", before.seq)]).await?;
    let first = again.send_message("silence", "public", &text).await?;
    tokio::time::sleep(ASLEEP).await;
    // Whoever starts now takes its place.
    let three = node().await?;
    let carol = three.member("Carol").await?;
    bob.say("public", "meanwhile").await?;
    carol.expect_text("meanwhile").await?;

    one.thaw()?;
    let status = one.ended().await?;
    assert!(!status.success(), "somebody has to see that it was not asked to: {status}");
    again.say("private/bob", "and it goes on").await?;
    bob.expect_text("and it goes on").await?;
    let log = bob.whole_history("public").await?;
    let ids: Vec<_> = log.iter().filter(|entry| entry["id"] == "silence").collect();
    assert_eq!((ids.len(), ids[0]["seq"].as_u64()), (1, Some(first.seq)), "{log:?}");
    assert!(is_gapless(&public(&again)) && is_gapless(&public(&bob)));
    let seen: Vec<_> = public(&bob).into_iter().map(|(_, text)| text).collect();
    assert_eq!(seen, ["before", "into the silence", "meanwhile"]);
    Ok(())
}
