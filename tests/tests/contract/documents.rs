//! The examples of docs/protocol.md are held against the server too.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use mqttchat_e2e::App;
use serde_json::{Value, json};

const PROTOCOL: &str = include_str!("../../../docs/protocol.md");

/// The frames that follow an arrow at the beginning of a line.
fn examples(arrow: &str) -> Result<Vec<Value>> {
    let lines =
        PROTOCOL.lines().filter_map(|line| line.strip_prefix(arrow)).filter(|line| line.starts_with(" {"));
    lines
        .map(|line| serde_json::from_str(line).with_context(|| format!("an example is no JSON: {line}")))
        .collect()
}

#[test]
fn every_frame_has_an_example() -> Result<()> {
    let types = |arrow| {
        Ok::<_, anyhow::Error>(
            examples(arrow)?.iter().map(|f| f["type"].to_string()).collect::<BTreeSet<_>>(),
        )
    };
    let sent = types("→")?;
    for kind in [
        json!("hello"),
        json!("join"),
        json!("leave"),
        json!("msg"),
        json!("typing"),
        json!("history"),
        json!("roster"),
        json!("search"),
        json!("read"),
        json!("conversations"),
        json!("edit"),
        json!("delete"),
        json!("react"),
        json!("rooms"),
        json!("room.create"),
        json!("room.update"),
        json!("room.delete"),
        json!("member.add"),
        json!("member.remove"),
        json!(200),
        json!(1001),
    ] {
        assert!(sent.contains(&kind.to_string()), "no example of {kind} from a client");
    }
    let received = types("←")?;
    for kind in [
        json!("reply"),
        json!("msg"),
        json!("typing"),
        json!("presence"),
        json!("receipt"),
        json!("edit"),
        json!("delete"),
        json!("react"),
        json!("room"),
        json!("status"),
        json!("gap"),
        json!("error"),
        json!("bye"),
        json!(100),
        json!(300),
        json!(1000),
        json!(1002),
    ] {
        assert!(received.contains(&kind.to_string()), "no example of {kind} from the server");
    }
    Ok(())
}

#[tokio::test]
async fn the_server_knows_every_frame_that_is_documented() -> Result<()> {
    let app = App::start().await?;
    let _bob = app.user("Bob").await?;
    let mut ann = app.member("Ann").await?;
    let documented = examples("→")?.into_iter().filter(|frame| frame["type"] != "hello");
    for frame in documented {
        ann.send(&frame).await?;
        ann.ping().await?;
    }
    for error in ann.seen_of("error") {
        let code = error["data"]["code"].as_str().unwrap_or_default();
        let wrong = ["bad_frame", "bad_dest", "unknown_type", "too_large", "hello_first"].contains(&code);
        assert!(!wrong, "an example is refused: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn frames_have_the_members_of_their_examples() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.member("Ann").await?;
    let mut bob = app.member("Bob").await?;
    bob.send(&json!({"type": "typing", "dest": "public", "data": {"typing": true}})).await?;
    bob.say("public", "hello").await?;
    ann.expect("typing").await?;
    ann.expect_where("that Bob has come", |frame| frame["type"] == "presence").await?;
    ann.say("public", "hello").await?;
    ann.send_text("{}").await?;
    ann.expect("error").await?;
    ann.ping().await?;

    let members = |frame: &Value| {
        frame.as_object().map(|f| f.keys().cloned().collect::<BTreeSet<_>>()).unwrap_or_default()
    };
    for example in examples("←")? {
        let seen = ann.seen_of(example["type"].clone());
        let now_and_then = ["re", "dest", "edited", "reactions", "deleted"];
        let optional = |frame: &BTreeSet<String>| {
            let always = frame.iter().filter(|name| !now_and_then.contains(&name.as_str()));
            always.cloned().collect::<BTreeSet<_>>()
        };
        for frame in &seen {
            assert_eq!(optional(&members(frame)), optional(&members(&example)), "{frame} beside {example}");
        }
    }
    Ok(())
}
