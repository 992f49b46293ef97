//! Messages that are changed on one node are changed on the other.

use anyhow::Result;
use mqttchat_e2e::{User, eventually};
use serde_json::{Value, json};

use crate::nodes::Nodes;
use crate::steps::{OPS, amend, change, numbers};

fn newest_msg(joined: &Value, seq: u64) -> Value {
    let messages = joined["messages"].as_array();
    messages.into_iter().flatten().find(|entry| entry["seq"] == seq).cloned().unwrap_or_default()
}

#[tokio::test]
async fn edits_and_reactions_are_seen_live_and_by_who_comes_later() -> Result<()> {
    let nodes = Nodes::start().await?;
    let (mut ann, mut bob) = (nodes.one.member("Ann").await?, nodes.two.member("Bob").await?);
    let mut late = nodes.two.user("Late").await?;
    let said = ann.say("public", "helo").await?;
    bob.expect_text("helo").await?;
    assert_eq!(newest_msg(&late.join("public").await?, said.seq)["data"]["text"], "helo");
    late.leave("public").await?;
    amend(&mut ann, "edit", "public", json!({"target": said.id, "text": "hello"})).await?;
    let edit = bob.expect("edit").await?;
    assert_eq!((&edit["data"]["text"], &edit["data"]["seq"]), (&json!("hello"), &json!(said.seq)));
    amend(&mut bob, "react", "public", json!({"target": said.id, "emoji": "👍", "on": true})).await?;
    assert_eq!(ann.expect("react").await?["data"]["emoji"], "👍");
    for user in [&mut late, &mut nodes.one.user("Later").await?] {
        let message = newest_msg(&user.join("public").await?, said.seq);
        assert_eq!(
            (&message["data"]["text"], &message["reactions"]),
            (&json!("hello"), &json!({"👍": ["bob"]}))
        );
        assert!(message["edited"].is_u64(), "{message}");
    }
    Ok(())
}

#[tokio::test]
async fn a_deleted_message_is_gone_on_both() -> Result<()> {
    let nodes = Nodes::start().await?;
    let (mut ann, mut bob) = nodes.members().await?;
    let said = ann.say(OPS, "swordfish").await?;
    bob.expect_text("swordfish").await?;
    let last = bob.say(OPS, "is that so?").await?;
    amend(&mut ann, "delete", OPS, json!({"target": said.id})).await?;
    assert_eq!(bob.expect("delete").await?["data"]["seq"], said.seq);
    for (user, address) in [(&ann, nodes.two.address()), (&bob, nodes.one.address())] {
        let mut again = user.resume(address, &[(OPS, 1)]).await?;
        again.expect("delete").await?;
        let joined = again.join(OPS).await?;
        let message = newest_msg(&joined, said.seq);
        assert_eq!((&message["data"], &message["deleted"]), (&json!({}), &json!(true)));
        assert_eq!(newest_msg(&joined, last.seq)["data"]["text"], "is that so?");
        assert!(!again.seen().iter().any(|frame| frame.to_string().contains("swordfish")));
    }
    Ok(())
}

#[tokio::test]
async fn unread_messages_are_counted_across_nodes() -> Result<()> {
    let nodes = Nodes::start().await?;
    let (mut ann, mut bob) = nodes.members().await?;
    for round in 0..3 {
        ann.say(OPS, &format!("news {round}")).await?;
    }
    ann.say("private/bob", "and between us").await?;
    bob.expect_text("and between us").await?;
    let unread = |user: &User| user.ready["data"]["unread"].clone();
    let again = bob.resume(nodes.one.address(), &[]).await?;
    assert_eq!(unread(&again), json!({OPS: 3, "private/ann": 1}));
    bob.send(&json!({"type": "read", "dest": OPS, "data": {"seq": 3}})).await?;
    bob.send(&json!({"type": "read", "dest": "private/ann", "data": {"seq": 1}})).await?;
    // Its answer comes when what was sent before is done.
    bob.request(json!({"type": "conversations"})).await?;
    let again = bob.resume(nodes.one.address(), &[]).await?;
    assert_eq!(unread(&again), json!({OPS: 1}));
    change(&mut ann, "member.remove", json!({"user": "bob"})).await?;
    let again = bob.resume(nodes.one.address(), &[]).await?;
    assert_eq!(unread(&again), json!({}));
    assert!(numbers(&again, OPS).is_empty() || numbers(&again, OPS) == [5], "{:?}", numbers(&again, OPS));
    Ok(())
}

/// The texts that a search finds, newest first.
async fn found(user: &mut User, q: &str) -> Result<Vec<String>> {
    let found = user.request(json!({"type": "search", "data": {"q": q}})).await?;
    let texts = found["messages"].as_array().into_iter().flatten();
    Ok(texts.map(|entry| entry["data"]["text"].as_str().unwrap_or_default().to_owned()).collect())
}

#[tokio::test]
async fn what_was_said_on_one_node_is_found_on_the_other() -> Result<()> {
    let nodes = Nodes::start().await?;
    let (mut ann, mut bob) = nodes.members().await?;
    let mut eve = nodes.two.user("Eve").await?;
    let said = ann.say(OPS, "the needle in the haystack").await?;
    ann.say("public", "a haystack without one").await?;
    let all = ["a haystack without one", "the needle in the haystack"];
    eventually("both to be found", async || Ok((found(&mut bob, "haystack").await? == all).then_some(())))
        .await?;
    assert_eq!(found(&mut eve, "haystack").await?, all[..1]);
    assert_eq!(found(&mut bob, "need* from:ann").await?, all[1..]);
    amend(&mut ann, "delete", OPS, json!({"target": said.id})).await?;
    assert!(!found(&mut bob, "haystack").await?.iter().any(|text| text.contains("needle")));
    change(&mut ann, "member.remove", json!({"user": "bob"})).await?;
    eventually("nothing of it to be left", async || {
        Ok((found(&mut ann, "haystack").await? == all[..1]).then_some(()))
    })
    .await?;
    Ok(())
}
