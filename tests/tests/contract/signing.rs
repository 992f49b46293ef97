//! Signatures of clients (docs/protocol.md §7).

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use mqttchat_e2e::sockjs::Door;
use mqttchat_e2e::{App, Socket, User};
use serde_json::{Value, json};
use sha2::Sha256;

async fn start(signing: &str) -> Result<App> {
    App::builder().variable("MQTTCHAT_AUTH__SIGNING", signing).start().await
}

/// The frame with its signature. Its members have to be in canonical order already.
fn signed(user: &User, mut frame: Value) -> Result<Value> {
    let key = URL_SAFE_NO_PAD.decode(user.ready["data"]["key"].as_str().context("no key")?)?;
    let content = json!([frame["id"], frame["type"], frame["dest"], frame["data"]]).to_string();
    let mac = Hmac::<Sha256>::new_from_slice(&key)?.chain_update(content).finalize();
    frame["sign"] = json!(URL_SAFE_NO_PAD.encode(mac.into_bytes()));
    Ok(frame)
}

fn msg(id: &str) -> Value {
    json!({"type": "msg", "id": id, "dest": "public", "data": {"n": [1, 0.5], "text": "grüße"}})
}

#[tokio::test]
async fn where_it_is_required_nothing_unsigned_is_taken() -> Result<()> {
    let app = start("required").await?;
    let over = [None, Some(Door::WebSocket), Some(Door::XhrPolling)];
    for (number, door) in over.into_iter().enumerate() {
        let socket = match door {
            Some(door) => Socket::over(app.address(), door),
            None => app.socket().await?,
        };
        let hello = json!({"name": format!("Ann {number}")});
        let mut ann = User::hello_over(socket, app.address(), &hello).await?;
        let frame =
            signed(&ann, json!({"type": "join", "id": "j1", "dest": "public", "data": {"history": 0}}))?;
        ann.send(&frame).await?;
        ann.expect_where("the reply", |frame| frame["re"] == "j1" && frame["type"] == "reply").await?;
        for (id, frame) in [
            ("m1", msg("m1")),
            ("j2", json!({"type": "join", "id": "j2", "dest": "public"})),
            ("h2", json!({"type": "history", "id": "h2", "dest": "public"})),
        ] {
            ann.send(&frame).await?;
            ann.expect_error(id, "unauthorized").await?;
        }
        let good = signed(&ann, msg("m2"))?;
        let mut other = good.clone();
        other["data"]["text"] = json!("changed");
        ann.send(&other).await?;
        ann.expect_error("m2", "unauthorized").await?;
        ann.send(&json!({"type": 1001, "id": "p1"})).await?;
        ann.expect_where("a pong", |frame| frame["type"] == 1002).await?;
        ann.send(&good).await?;
        ann.expect_accepted("m2").await?;
        let seen = ann.expect_text("grüße").await?;
        assert_eq!(seen.get("sign"), None, "a client's own signature does not travel");
    }
    Ok(())
}

#[tokio::test]
async fn where_it_is_optional_only_a_wrong_one_is_refused() -> Result<()> {
    let app = start("optional").await?;
    let (mut ann, bob) = (app.user("Ann").await?, app.user("Bob").await?);
    assert_ne!(ann.ready["data"]["key"], bob.ready["data"]["key"]);
    ann.send(&msg("m1")).await?;
    ann.expect_accepted("m1").await?;
    let good = signed(&ann, msg("m2"))?;
    ann.send(&good).await?;
    ann.expect_accepted("m2").await?;
    ann.send(&signed(&bob, msg("m3"))?).await?;
    ann.expect_error("m3", "unauthorized").await?;
    let reordered =
        r#"{"data":{"text":"gr\u00fc\u00dfe","n":[1.0,5e-1]},"dest":"public","id":"m4","type":"msg","sign":"#;
    let sign = signed(&ann, msg("m4"))?["sign"].to_string();
    ann.send_text(&format!("{reordered}{sign}}}")).await?;
    ann.expect_accepted("m4").await?;
    Ok(())
}

#[tokio::test]
async fn where_it_is_off_there_is_no_key_and_nobody_looks() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.user("Ann").await?;
    assert_eq!(ann.ready["data"].get("key"), None);
    let mut frame = msg("m1");
    frame["sign"] = json!("whatever");
    ann.send(&frame).await?;
    ann.expect_accepted("m1").await?;
    Ok(())
}
