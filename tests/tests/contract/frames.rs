//! The envelope: what is kept, what is set by the server, and how frames may come over the wire.

use anyhow::Result;
use mqttchat_e2e::App;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

#[tokio::test]
async fn unknown_members_of_data_are_kept_and_passed_on() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let data = json!({
        "text": "look", "mood": {"colour": "grün", "list": [1, 2.5, null, true, "x", {"deep": []}]},
        "large": 12_345_678_901_234_567_u64, "negative": -0.000_1, "": "an empty name", "emoji": "👩\u{1f3fd}‍🚀",
    });
    ann.send_message("kept", "public", &data).await?;
    assert_eq!(bob.expect("msg").await?["data"], data);
    assert_eq!(ann.expect("msg").await?["data"], data);
    assert_eq!(ann.history("public", json!({})).await?["messages"][0]["data"], data);

    let without_text = json!({"poll": ["tea", "coffee"]});
    ann.send_message("no text", "public", &without_text).await?;
    assert_eq!(bob.expect("msg").await?["data"], without_text);
    Ok(())
}

#[tokio::test]
async fn who_when_and_where_are_set_by_the_server() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let forged = json!({
        "type": "msg", "id": "f1", "dest": "public", "from": "bob", "name": "Bob", "seq": 99, "time": 1, "via": "mqtt",
        "data": {"text": "I am Bob"},
    });
    ann.send(&forged).await?;
    let accepted = ann.expect_accepted("f1").await?;
    assert_eq!(accepted.seq, 1);
    let seen = bob.expect("msg").await?;
    assert_eq!((&seen["from"], &seen["name"]), (&json!("ann"), &json!("Ann")));
    assert_eq!((&seen["seq"], &seen["time"]), (&json!(1), &json!(accepted.time)));
    assert_eq!(seen.get("via"), None);
    Ok(())
}

#[tokio::test]
async fn text_arrives_as_it_was_sent() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let texts = [
        "<script>alert(1)</script> & \"quotes\" 'single'",
        "two\nlines\tand a tab\r\n",
        "nul \u{0} and \u{7f} and \u{2028}\u{2029}",
        "שלום عربي 漢字 👨‍👩‍👧‍👦 e\u{301}",
        "\u{ffff}\u{10ffff}",
        " ",
    ];
    for text in texts {
        ann.say("public", text).await?;
        assert_eq!(bob.expect("msg").await?["data"]["text"], text);
    }
    Ok(())
}

#[tokio::test]
async fn a_message_in_fragments_is_one_message() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.member("Ann").await?;
    let whole = json!({"type": "msg", "id": "f1", "dest": "public", "data": {"text": "in three pieces, ü"}})
        .to_string();
    let (first, rest) = whole.as_bytes().split_at(10);
    // The second cut goes through the middle of the two bytes of ü.
    let cut = rest.iter().position(|byte| *byte == 0xc3).unwrap_or_default() + 1;
    let (second, third) = rest.split_at(cut);
    let fragment =
        |bytes: &[u8], code, last| Message::Frame(Frame::message(bytes.to_vec(), OpCode::Data(code), last));
    ann.send_raw(fragment(first, Data::Text, false)).await?;
    ann.send_raw(Message::Ping(vec![1, 2, 3].into())).await?;
    ann.send_raw(fragment(second, Data::Continue, false)).await?;
    ann.send_raw(fragment(third, Data::Continue, true)).await?;
    ann.expect_accepted("f1").await?;
    ann.expect_text("in three pieces, ü").await?;
    Ok(())
}

#[tokio::test]
async fn pings_and_pongs_are_answered_and_ignored() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.user("Ann").await?;
    ann.ping().await?;
    ann.send(&json!({"type": 1001})).await?;
    ann.expect(1002).await?;
    ann.send(&json!({"type": 1002})).await?;
    ann.ping().await?;
    assert_eq!(ann.seen_of("error"), Vec::<serde_json::Value>::new());
    Ok(())
}
