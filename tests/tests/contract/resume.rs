//! Coming back without hole or repetition (docs/protocol.md, "Opening a session").

use anyhow::{Context, Result};
use mqttchat_e2e::{App, Socket, User};
use serde_json::{Value, json};

fn seqs(frames: &[Value]) -> Vec<u64> {
    frames.iter().filter_map(|frame| frame["seq"].as_u64()).collect()
}

async fn say_many(user: &mut User, count: u64) -> Result<()> {
    for _ in 0..count {
        user.say("public", "and so on").await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_was_missed_comes_first_and_then_what_is_new() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    say_many(&mut bob, 3).await?;
    ann.close().await?;
    say_many(&mut bob, 5).await?;

    let back = ann.resume(app.address(), &[("public", 3)]).await?;
    bob.say("public", "live again").await?;
    back.expect_text("live again").await?;
    assert_eq!(seqs(&back.seen_of("msg")), (4..=9).collect::<Vec<_>>());
    assert_eq!(back.seen()[0]["type"], 1000, "the session opens first");
    assert_eq!(back.seen_of("gap"), Vec::<Value>::new());
    Ok(())
}

#[tokio::test]
async fn a_resumed_conversation_is_joined_again() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let bob_in = |list: &'static str| {
        move |frame: &Value| {
            frame["data"][list].as_array().is_some_and(|l| l.iter().any(|p| p["id"] == "bob"))
        }
    };
    ann.expect_where("that Bob has come", bob_in("joined")).await?;
    ann.close().await?;
    let mut back = ann.resume(app.address(), &[("public", 0)]).await?;
    back.send(&json!({"type": "typing", "dest": "public", "data": {"typing": true}})).await?;
    assert_eq!(bob.expect("typing").await?["from"], "ann");
    bob.leave("public").await?;
    back.expect_where("that Bob has left", bob_in("left")).await?;
    Ok(())
}

#[tokio::test]
async fn when_too_much_was_missed_the_gap_is_named() -> Result<()> {
    let app = App::builder().no_rate_limit().start().await?;
    let (mut ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    say_many(&mut bob, 5).await?;
    ann.close().await?;
    say_many(&mut bob, 245).await?;

    let mut back = ann.resume(app.address(), &[("public", 5)]).await?;
    bob.say("public", "live again").await?;
    back.expect_text("live again").await?;
    let gaps = back.seen_of("gap");
    assert_eq!(gaps.len(), 1);
    assert_eq!((&gaps[0]["dest"], &gaps[0]["data"]["after"]), (&json!("public"), &json!(5)), "{}", gaps[0]);
    assert_ne!(gaps[0]["data"]["reset"], true);
    // Both bounds are exclusive, as those of `history`: the newest 200 follow.
    assert_eq!(gaps[0]["data"]["before"], 51, "{}", gaps[0]);
    assert_eq!(seqs(&back.seen_of("msg")), (51..=251).collect::<Vec<_>>());
    let place = |kind: &str| back.seen().iter().position(|frame| frame["type"] == kind);
    assert!(place("gap") < place("msg"), "the gap comes first");

    let hole = back.history("public", json!({"after": 5, "limit": 45})).await?;
    assert_eq!(seqs(hole["messages"].as_array().map_or(&[], Vec::as_slice)), (6..=50).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn exactly_the_limit_is_no_gap() -> Result<()> {
    let app = App::builder().no_rate_limit().start().await?;
    let (mut ann, mut bob) = (app.member("Ann").await?, app.user("Bob").await?);
    ann.close().await?;
    say_many(&mut bob, 200).await?;
    let back = ann.resume(app.address(), &[("public", 0)]).await?;
    back.expect_where("the newest", |frame| frame["seq"] == 200).await?;
    assert_eq!(seqs(&back.seen_of("msg")), (1..=200).collect::<Vec<_>>());
    assert_eq!(back.seen_of("gap"), Vec::<Value>::new());
    Ok(())
}

async fn expect_reset(back: &User) -> Result<()> {
    let gap = back.expect("gap").await?;
    assert_eq!((&gap["dest"], &gap["data"]["reset"]), (&json!("public"), &json!(true)), "{gap}");
    back.expect_where("the newest", |frame| frame["type"] == "msg" && frame["seq"] == 4).await?;
    assert_eq!(seqs(&back.seen_of("msg")), [1, 2, 3, 4]);
    Ok(())
}

#[tokio::test]
async fn another_log_starts_over() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.user("Ann").await?;
    say_many(&mut ann, 4).await?;
    ann.close().await?;
    let data =
        json!({"name": "Ann", "token": ann.token, "log": "00000000-another-log", "resume": {"public": 2}});
    expect_reset(&User::hello(app.address(), &data).await?).await
}

#[tokio::test]
async fn a_place_above_the_head_starts_over() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.user("Ann").await?;
    say_many(&mut ann, 4).await?;
    ann.close().await?;
    expect_reset(&ann.resume(app.address(), &[("public", 1000)]).await?).await
}

#[tokio::test]
async fn what_cannot_be_resumed_is_an_error_with_its_place_and_the_rest_goes_on() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut bob) = (app.user("Ann").await?, app.user("Bob").await?);
    say_many(&mut bob, 2).await?;
    ann.close().await?;
    let back = ann.resume(app.address(), &[("public", 1), ("rooms/gone", 7)]).await?;
    let refused = back.expect_where("an error about the room", |frame| frame["dest"] == "rooms/gone").await?;
    assert_eq!(
        (&refused["type"], &refused["data"]["code"]),
        (&json!("error"), &json!("not_found")),
        "{refused}"
    );
    assert_eq!(back.expect("msg").await?["seq"], 2);
    bob.say("public", "live").await?;
    back.expect_text("live").await?;
    Ok(())
}

#[tokio::test]
async fn resuming_while_others_talk_leaves_no_hole_and_repeats_nothing() -> Result<()> {
    let app = App::builder().no_rate_limit().start().await?;
    let (mut ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let mut seen: Vec<u64> = Vec::new();
    for round in 0..15 {
        let chatter = (0..20).map(|n| json!({"type": "msg", "id": format!("r{round}-{n}"), "dest": "public", "data": {"text": "x"}}));
        bob.send_together(&chatter.collect::<Vec<_>>()).await?;
        seen.extend(seqs(&ann.seen_of("msg")));
        let last = seen.last().copied().unwrap_or_default();
        // The old session may have been sent more than was looked at: that is what resuming is for.
        ann = ann.resume(app.address(), &[("public", last)]).await?;
    }
    let last = bob.say("public", "the end").await?;
    ann.expect_text("the end").await?;
    seen.extend(seqs(&ann.seen_of("msg")));
    assert_eq!(seen, (1..=last.seq).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn a_join_while_catching_up_says_where_the_session_is() -> Result<()> {
    let mut app = App::builder().no_rate_limit().start().await?;
    let mut ann = app.user("Ann").await?;
    let room = json!({"title": "Ops", "open": true});
    ann.request(json!({"type": "room.create", "dest": "rooms/ops", "data": room})).await?;
    let message = |n| json!({"type": "msg", "id": format!("m{n}"), "dest": "rooms/ops", "data": {"text": format!("{n}")}});
    ann.send_together(&(2..=190).map(message).collect::<Vec<_>>()).await?;
    ann.expect_accepted("m190").await?;
    // Now nothing is in memory: whoever comes back reads the log, page by page.
    app.stop().await?;
    app.start_again().await?;
    for round in 0..20 {
        let hello = json!({"name": "Ann", "token": ann.token, "log": ann.log, "resume": {"rooms/ops": 0}});
        let mut back = Socket::connect(app.address()).await?;
        back.send_together(&[
            json!({"type": "hello", "id": "h", "data": hello}),
            json!({"type": "join", "id": "j", "dest": "rooms/ops", "data": {"history": 0}}),
        ])
        .await?;
        back.expect_where("the last message", |frame| frame["seq"] == 190).await?;
        back.expect_where("the answer", |frame| frame["re"] == "j").await?;
        let seen = back.seen();
        let answer = seen.iter().position(|frame| frame["re"] == "j").context("no answer")?;
        let (before, behind) = (seqs(&seen[..answer]), seqs(&seen[answer..]));
        let head = seen[answer]["data"]["head"].as_u64().context("no head")?;
        assert_eq!(before, (1..=head).collect::<Vec<_>>(), "round {round}: what came before the answer");
        assert_eq!(behind, (head + 1..=190).collect::<Vec<_>>(), "round {round}: what came behind it");
        back.close().await?;
    }
    Ok(())
}
