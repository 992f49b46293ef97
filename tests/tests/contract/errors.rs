//! Frames that are refused, each with its own error, while everybody goes on talking.

use anyhow::Result;
use mqttchat_e2e::socket::Ending;
use mqttchat_e2e::{App, User};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

fn msg(id: &str, dest: &str, text: &str) -> Value {
    json!({"type": "msg", "id": id, "dest": dest, "data": {"text": text}})
}

/// The conversation goes on as if nothing had been: both hear each other, and no number is missing.
async fn still_fine(ann: &mut User, bob: &mut User) -> Result<()> {
    let one = ann.say("public", "are you there?").await?;
    bob.expect_text("are you there?").await?;
    let two = bob.say("public", "yes").await?;
    ann.expect_text("yes").await?;
    assert_eq!(two.seq, one.seq + 1);
    Ok(())
}

#[tokio::test]
async fn what_is_no_frame_is_a_bad_frame_and_disturbs_nobody() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let broken =
        ["", "hello", "{", "[]", "42", "null", "\"msg\"", "{}", r#"{"type":null}"#, r#"{"type":[1]}"#];
    for text in broken {
        ann.send_text(text).await?;
        ann.expect_error(Value::Null, "bad_frame").await?;
        ann.ping().await?;
    }
    still_fine(&mut ann, &mut bob).await
}

#[tokio::test]
async fn binary_frames_are_bad_frames() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    ann.send_raw(Message::binary(msg("b1", "public", "in bytes").to_string().into_bytes())).await?;
    ann.expect_error(Value::Null, "bad_frame").await?;
    ann.send_raw(Message::binary(vec![0xff, 0x00, 0xfe])).await?;
    ann.expect_error(Value::Null, "bad_frame").await?;
    still_fine(&mut ann, &mut bob).await
}

#[tokio::test]
async fn ten_bad_frames_in_a_row_close_the_session() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.user("Ann").await?;
    for round in 0..2 {
        for _ in 0..9 {
            ann.send_text("nonsense").await?;
            ann.expect_error(Value::Null, "bad_frame").await?;
        }
        // A good frame begins a new row.
        ann.say("public", &format!("good frame {round}")).await?;
    }
    for _ in 0..10 {
        ann.send_text("nonsense").await?;
    }
    assert_eq!(ann.expect_end().await?, Ending::Closed(4400));
    assert_eq!(ann.seen_of("error").len(), 28);
    Ok(())
}

#[tokio::test]
async fn a_megabyte_of_text_is_too_large_and_the_session_goes_on() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    ann.send(&msg("large", "public", &"x".repeat(1024 * 1024))).await?;
    let is_it = |frame: &Value| frame["type"] == "error";
    let refused = ann.expect_where("an error about the large frame", is_it).await?;
    assert_eq!(refused["data"]["code"], "too_large", "{refused}");
    still_fine(&mut ann, &mut bob).await
}

#[tokio::test]
async fn the_limits_of_text_and_frame_are_exact() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.member("Ann").await?;
    // Text is counted in characters, not bytes: these are 16 KiB.
    let longest = "🦀".repeat(4096);
    ann.send_message("fits", "public", &json!({"text": longest})).await?;
    assert_eq!(ann.expect("msg").await?["data"]["text"], longest);

    ann.send(&msg("over", "public", &"🦀".repeat(4097))).await?;
    ann.expect_error("over", "too_large").await?;

    let filled = |id: &str, size: usize| {
        let empty =
            json!({"type": "msg", "id": id, "dest": "public", "data": {"blob": ""}}).to_string().len();
        json!({"type": "msg", "id": id, "dest": "public", "data": {"blob": "x".repeat(size - empty)}})
    };
    ann.send(&filled("brim", 65536)).await?;
    ann.expect_accepted("brim").await?;
    ann.send(&filled("spilt", 65537)).await?;
    ann.expect_where("too_large", |frame| frame["data"]["code"] == "too_large").await?;
    ann.ping().await
}

#[tokio::test]
async fn an_unknown_type_is_said_to_be_unknown() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    for (id, kind) in [("x1", json!("dance")), ("x2", json!(777)), ("x3", json!("")), ("x4", json!("MSG"))] {
        ann.send(&json!({"type": kind, "id": id, "dest": "public", "data": {"text": "hi"}})).await?;
        let refused = ann.expect_error(id, "unknown_type").await?;
        assert_eq!(refused["data"]["retry"], false);
    }
    still_fine(&mut ann, &mut bob).await
}

#[tokio::test]
async fn a_message_needs_a_proper_id() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.member("Ann").await?;
    let too_long = "i".repeat(65);
    let bad = [json!(""), json!(too_long), json!("ümlaut"), json!("line\nbreak"), json!(7), json!(null)];
    for id in bad {
        ann.send(&json!({"type": "msg", "id": id, "dest": "public", "data": {"text": "hi"}})).await?;
        let is_it = |frame: &Value| frame["type"] == "error";
        let refused = ann.expect_where(&format!("an error about the id {id}"), is_it).await?;
        assert_eq!(refused["data"]["code"], "bad_frame", "id {id}");
        ann.ping().await?;
    }
    ann.send(&json!({"type": "msg", "dest": "public", "data": {"text": "no id at all"}})).await?;
    ann.expect_error(Value::Null, "bad_frame").await?;

    let longest = "~".repeat(64);
    let first = ann.send_message(&longest, "public", &json!({"text": "the longest id"})).await?;
    assert_eq!(first.seq, 1, "nothing refused took a number");
    Ok(())
}

#[tokio::test]
async fn a_message_needs_data() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.member("Ann").await?;
    for (id, data) in [("d1", json!(null)), ("d2", json!([1])), ("d3", json!(5)), ("d4", json!({"text": 5}))]
    {
        ann.send(&json!({"type": "msg", "id": id, "dest": "public", "data": data})).await?;
        ann.expect_error(id, "bad_frame").await?;
    }
    ann.ping().await
}

#[tokio::test]
async fn a_destination_that_is_none_is_a_bad_destination() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.member("Ann").await?;
    for (number, dest) in ["", "publicity", "rooms", "public/x", "#", "lobby/a"].iter().enumerate() {
        for (kind, data) in [("msg", json!({"text": "hi"})), ("join", json!({})), ("history", json!({}))] {
            let id = format!("{kind}-{number}");
            ann.send(&json!({"type": kind, "id": id, "dest": dest, "data": data})).await?;
            ann.expect_error(id, "bad_dest").await?;
        }
    }
    ann.ping().await
}

#[tokio::test]
async fn nobody_can_write_outside_a_conversation_by_a_crafted_name() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.member("Ann").await?;
    for (number, dest) in
        ["rooms/", "rooms/A", "rooms/a.b", "rooms/+", "rooms/a/b", "private/#"].iter().enumerate()
    {
        let id = format!("c{number}");
        ann.send(&msg(&id, dest, "hi")).await?;
        let refused = ann.expect_where("an error", |frame| frame["re"] == id.as_str()).await?;
        let code = refused["data"]["code"].as_str().unwrap_or_default();
        assert!(["bad_dest", "bad_frame"].contains(&code), "{dest}: {refused}");
        ann.ping().await?;
    }
    Ok(())
}

#[tokio::test]
async fn unknown_rooms_and_people_are_not_found() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.member("Ann").await?;
    for (number, dest) in ["rooms/nowhere", "private/nobody"].iter().enumerate() {
        for (kind, data) in [("msg", json!({"text": "hi"})), ("join", json!({})), ("history", json!({}))] {
            let id = format!("{kind}-{number}");
            ann.send(&json!({"type": kind, "id": id, "dest": dest, "data": data})).await?;
            let refused = ann.expect_error(id, "not_found").await?;
            assert_eq!(refused["data"]["retry"], false);
        }
    }
    Ok(())
}

#[tokio::test]
async fn typing_and_leaving_need_to_have_joined_and_sending_does_not() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.user("Ann").await?;
    ann.send(&json!({"type": "typing", "id": "t1", "dest": "public", "data": {"typing": true}})).await?;
    ann.expect_error("t1", "not_joined").await?;
    ann.send(&json!({"type": "leave", "id": "l1", "dest": "public"})).await?;
    ann.expect_error("l1", "not_joined").await?;
    assert_eq!(ann.say("public", "from outside").await?.seq, 1);
    Ok(())
}

#[tokio::test]
async fn too_many_messages_are_told_when_to_come_back() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.member("Ann").await?;
    let frames: Vec<_> = (0..160).map(|number| msg(&format!("m{number}"), "public", "hurry")).collect();
    ann.send_together(&frames).await?;
    let (mut accepted, mut refused) = (0, Vec::new());
    for number in 0..160 {
        let id = format!("m{number}");
        let answers = |frame: &Value| frame["data"] == id.as_str() || frame["re"] == id.as_str();
        let answer = ann.expect_where(&format!("an answer to {id}"), answers).await?;
        if answer["type"] == 100 {
            accepted += 1;
        } else {
            assert_eq!(answer["data"]["code"], "rate_limited", "{answer}");
            assert_eq!(answer["data"]["retry"], true, "{answer}");
            refused.push((id, answer["data"]["retry_after"].as_u64().unwrap_or_default()));
        }
    }
    // A burst of 100, and 20 more for each second that the sending took.
    assert!((100..160).contains(&accepted), "{accepted} were accepted at once");
    let (id, retry_after) = refused.pop().unwrap_or_default();
    assert!((1..=60_000).contains(&retry_after), "retry_after is {retry_after} ms");
    tokio::time::sleep(std::time::Duration::from_millis(retry_after)).await;
    ann.send(&msg(&id, "public", "hurry")).await?;
    assert_eq!(ann.expect_accepted(&id).await?.seq, accepted + 1);
    Ok(())
}
