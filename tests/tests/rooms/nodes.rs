//! One room on two nodes: for those in it, one server.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::{join, try_join};
use mqttchat_e2e::{App, Mosquitto, User, eventually};
use serde_json::{Value, json};

use crate::postgres::Cluster;
use crate::steps::{OPS, change, create, expect_change, log_of, numbers, refused};

/// How long somebody who was removed may still be there on any node.
const SILENCE_WITHIN: Duration = Duration::from_secs(1);

/// Everything that two nodes share, and the nodes.
pub(crate) struct Nodes {
    pub(crate) one: App,
    pub(crate) two: App,
    pub(crate) broker: Mosquitto,
    _database: Cluster,
}

impl Nodes {
    pub(crate) async fn start() -> Result<Self> {
        Self::on(Mosquitto::start().await?).await
    }

    pub(crate) async fn on(broker: Mosquitto) -> Result<Self> {
        let database = Cluster::start();
        let url = database.database("chat");
        let node = || App::builder().no_rate_limit().args(["--database", &url]).broker(&broker.url()).start();
        let (one, two) = try_join(node(), node()).await?;
        Ok(Self { one, two, broker, _database: database })
    }

    /// Ann on the first node and Bob on the second, in a closed room of hers.
    pub(crate) async fn members(&self) -> Result<(User, User)> {
        let (mut ann, mut bob) = (self.one.user("Ann").await?, self.two.user("Bob").await?);
        create(&mut ann, false, &["bob"]).await?;
        ann.join(OPS).await?;
        bob.join(OPS).await?;
        Ok((ann, bob))
    }
}

fn is_gapless(numbers: &[u64]) -> bool {
    numbers.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

#[tokio::test]
async fn people_talk_and_see_each_other_across_nodes() -> Result<()> {
    let nodes = Nodes::start().await?;
    let (mut ann, mut bob) = nodes.members().await?;
    ann.expect_where("Bob's coming", |frame| {
        frame["type"] == "presence"
            && frame["dest"] == OPS
            && frame["data"].to_string().contains(r#""id":"bob""#)
    })
    .await?;
    for round in 0..20 {
        let (one, two) = (format!("ann {round}"), format!("bob {round}"));
        try_join(ann.say(OPS, &one), bob.say(OPS, &two)).await?;
    }
    let last = ann.say(OPS, "that was all").await?;
    for user in [&ann, &bob] {
        user.expect_text("that was all").await?;
    }
    let texts = |user: &User| -> Vec<Value> {
        log_of(user, OPS)
            .into_iter()
            .filter(|(seq, _)| *seq > 1)
            .map(|(_, entry)| entry["data"].clone())
            .collect()
    };
    assert_eq!(texts(&ann), texts(&bob), "everybody sees the same order");
    assert!(is_gapless(&numbers(&ann, OPS)) && numbers(&ann, OPS).last() == Some(&last.seq));

    bob.send(&json!({"type": "typing", "dest": OPS, "data": {"typing": true}})).await?;
    assert_eq!(ann.expect("typing").await?["from"], "bob");
    bob.send(&json!({"type": "read", "dest": OPS, "data": {"seq": last.seq}})).await?;
    let receipt = ann.expect("receipt").await?;
    assert_eq!(
        (&receipt["from"], &receipt["dest"], &receipt["data"]["read"]),
        (&json!("bob"), &json!(OPS), &json!(last.seq))
    );
    bob.leave(OPS).await?;
    ann.expect_where("Bob's going", |frame| {
        frame["type"] == "presence" && frame["data"]["left"].to_string().contains(r#""id":"bob""#)
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn members_hear_of_a_room_wherever_they_are() -> Result<()> {
    for broker in [Mosquitto::start().await?, Mosquitto::start_anonymous().await?] {
        let nodes = Nodes::on(broker).await?;
        let mut ann = nodes.one.user("Ann").await?;
        let (bob, eve) = (nodes.two.user("Bob").await?, nodes.two.user("Eve").await?);
        let here = nodes.one.user("Carol").await?;
        // What a node says of its people reaches the others a little later.
        eventually("Bob to be online", async || {
            let status = ann.join("private/bob").await?;
            Ok((status["online"] == 2).then_some(()))
        })
        .await?;
        let made = create(&mut ann, false, &["bob", "carol"]).await?;
        for user in [&bob, &here] {
            assert_eq!(expect_change(user, "create").await?["data"]["room"], made);
        }
        change(&mut ann, "room.update", json!({"title": "Ops"})).await?;
        assert_eq!(expect_change(&bob, "update").await?["data"]["room"]["title"], "Ops");
        change(&mut ann, "member.remove", json!({"user": "bob"})).await?;
        expect_change(&bob, "remove").await?;
        change(&mut ann, "room.update", json!({"title": "Not Bob's"})).await?;
        expect_change(&here, "remove").await?;
        change(&mut ann, "room.delete", json!({})).await?;
        expect_change(&here, "delete").await?;
        assert_eq!((numbers(&bob, OPS), numbers(&eve, OPS)), (vec![1, 2, 3], vec![]));
    }
    Ok(())
}

/// Removes Bob while Ann goes on talking. Gives how long after the answer Bob heard of it.
async fn remove_while_talking(ann: &mut User, bob: &User) -> Result<Duration> {
    let (answered, heard) = join(
        async {
            for round in 0..10 {
                ann.say(OPS, &format!("before {round}")).await?;
            }
            change(ann, "member.remove", json!({"user": "bob"})).await?;
            let answered = Instant::now();
            for round in 0..30 {
                ann.say(OPS, &format!("secret {round}")).await?;
            }
            anyhow::Ok(answered)
        },
        async { expect_change(bob, "remove").await.map(|_| Instant::now()) },
    )
    .await;
    Ok(heard?.saturating_duration_since(answered?))
}

#[tokio::test]
async fn who_is_removed_on_one_node_is_silent_on_the_other() -> Result<()> {
    let mut nodes = Nodes::start().await?;
    let (mut ann, mut bob) = nodes.members().await?;
    let took = remove_while_talking(&mut ann, &bob).await?;
    assert!(took < SILENCE_WITHIN, "it took {took:?}");
    for kind in ["join", "history", "roster"] {
        assert_eq!(refused(&mut bob, kind, json!({})).await?, "not_found", "{kind}");
    }
    assert_eq!(refused(&mut bob, "msg", json!({"text": "hello?"})).await?, "not_found");
    assert_eq!(refused(&mut bob, "typing", json!({"typing": true})).await?, "not_joined");
    assert_eq!(numbers(&bob, OPS).last(), Some(&12), "the removal is the last that he sees");

    change(&mut ann, "member.add", json!({"user": "bob"})).await?;
    expect_change(&bob, "add").await?;
    bob.join(OPS).await?;
    let back = ann.say(OPS, "welcome back").await?;
    bob.expect_text("welcome back").await?;

    // Without the broker the nodes have only the log.
    nodes.broker.kill().await?;
    let took = remove_while_talking(&mut ann, &bob).await?;
    assert!(took < SILENCE_WITHIN, "without the broker it took {took:?}");
    assert_eq!(refused(&mut bob, "typing", json!({"typing": true})).await?, "not_joined");
    assert_eq!(numbers(&bob, OPS).last(), Some(&(back.seq + 11)));
    let secret = |entry: &Value| entry["data"]["text"].as_str().is_some_and(|text| text.contains("secret"));
    assert!(!log_of(&bob, OPS).iter().any(|(_, entry)| secret(entry)));
    Ok(())
}

#[tokio::test]
async fn a_room_that_is_deleted_elsewhere_ends_and_may_be_made_again() -> Result<()> {
    let nodes = Nodes::start().await?;
    let (mut ann, mut bob) = nodes.members().await?;
    ann.say(OPS, "in the first one").await?;
    bob.expect_text("in the first one").await?;
    let gone = change(&mut ann, "room.delete", json!({})).await?;
    assert_eq!(gone["head"], 3);
    expect_change(&bob, "delete").await?;
    assert_eq!(refused(&mut bob, "history", json!({})).await?, "not_found");
    let made = create(&mut bob, false, &["ann"]).await?;
    assert_eq!((&made["head"], &made["owner"]), (&json!(4), &json!("bob")));
    ann.expect_where("the second one", |frame| frame["type"] == "room" && frame["seq"] == 4).await?;
    let joined = ann.join(OPS).await?;
    assert_eq!(joined["messages"].as_array().map(Vec::len), Some(1), "nothing of the first one: {joined}");
    bob.say(OPS, "in the second one").await?;
    ann.expect_text("in the second one").await?;
    assert_eq!(numbers(&ann, OPS), [1, 2, 3, 4, 5]);
    // Deleted and made again before the other node looks: those in the first one aren't in the second.
    bob.join(OPS).await?;
    change(&mut bob, "room.delete", json!({})).await?;
    create(&mut bob, false, &[]).await?;
    bob.say(OPS, "in the third one").await?;
    ann.expect_where("the end of the second one", |frame| {
        frame["data"]["change"] == "delete" || frame["type"] == "error" && frame["dest"] == OPS
    })
    .await?;
    assert_eq!(refused(&mut ann, "typing", json!({"typing": true})).await?, "not_joined");
    assert!(!ann.seen().iter().any(|frame| frame.to_string().contains("in the third one")));
    Ok(())
}

#[tokio::test]
async fn only_one_makes_a_room() -> Result<()> {
    let nodes = Nodes::start().await?;
    let (mut ann, mut bob) = (nodes.one.user("Ann").await?, nodes.two.user("Bob").await?);
    for round in 0..10 {
        let frame = |id: &str| {
            let dest = format!("rooms/r{round}");
            json!({"type": "room.create", "id": format!("{id}{round}"), "dest": dest, "data": {"title": "R"}})
        };
        try_join(ann.send(&frame("a")), bob.send(&frame("b"))).await?;
        let mut made = 0;
        for (user, id) in [(&ann, format!("a{round}")), (&bob, format!("b{round}"))] {
            let answer = user.expect_where("the answer", |frame| frame["re"] == id.as_str()).await?;
            if answer["type"] == "reply" {
                made += 1;
            } else {
                assert_eq!(answer["data"]["code"], "conflict", "{answer}");
            }
        }
        assert_eq!(made, 1);
    }
    Ok(())
}
