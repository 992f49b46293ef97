//! Every frame and every call, by a stranger to a closed room and by somebody who was removed from it a moment ago: both
//! are told that there is no such room, and neither gets anything of it.

use anyhow::Result;
use hyper::Request;
use mqttchat_e2e::http::{self, Response};
use mqttchat_e2e::{App, User, eventually};
use serde_json::{Value, json};

/// The frames that a client can send about a room, and what each is refused with.
fn frames(target: &str) -> Vec<(Value, &'static str)> {
    let frame = |kind: &str, data: Value| json!({"type": kind, "dest": "rooms/ops", "data": data});
    vec![
        (frame("join", json!({"history": 50})), "not_found"),
        (frame("leave", json!({})), "not_joined"),
        (frame("msg", json!({"text": "intruder"})), "not_found"),
        (frame("edit", json!({"target": target, "text": "intruder"})), "not_found"),
        (frame("delete", json!({"target": target})), "not_found"),
        (frame("react", json!({"target": target, "emoji": "👍", "on": true})), "not_found"),
        (frame("typing", json!({"typing": true})), "not_joined"),
        (frame("read", json!({"seq": 1})), "not_found"),
        (frame("history", json!({})), "not_found"),
        (frame("search", json!({"q": "secret"})), "not_found"),
        (frame("roster", json!({})), "not_found"),
        (frame("room.create", json!({"title": "Mine"})), "conflict"),
        (frame("room.update", json!({"title": "Mine"})), "not_found"),
        (frame("room.delete", json!({})), "not_found"),
        (frame("member.add", json!({"user": "bob"})), "not_found"),
        (frame("member.add", json!({"user": "eve"})), "not_found"),
        (frame("member.remove", json!({"user": "ann"})), "not_found"),
        (frame("member.remove", json!({"user": "bob"})), "not_found"),
    ]
}

/// The calls about a room.
const CALLS: &[(&str, &str, &str)] = &[
    ("POST", "messages", r#"{"dest":"rooms/ops","data":{"text":"intruder"}}"#),
    ("GET", "messages?dest=rooms/ops", ""),
    ("GET", "messages?dest=rooms/ops&q=secret", ""),
    ("GET", "rooms/ops", ""),
    ("POST", "rooms/ops", "intruder"),
    ("PATCH", "rooms/ops", r#"{"title":"Mine"}"#),
    ("DELETE", "rooms/ops", ""),
    ("PUT", "rooms/ops/members/bob", ""),
    ("DELETE", "rooms/ops/members/ann", ""),
    ("GET", "events?dest=rooms/ops", ""),
];

async fn call(app: &App, token: &str, method: &str, path: &str, body: &str) -> Result<Response> {
    let request = Request::builder()
        .method(method)
        .uri(format!("/api/v1/{path}"))
        .header("authorization", format!("Bearer {token}"));
    http::send_with(app.address(), request, body).await
}

async fn is_a_stranger(app: &App, user: &mut User, target: &str) -> Result<()> {
    for (number, (mut frame, code)) in frames(target).into_iter().enumerate() {
        let id = format!("{}-{number}", user.id);
        frame["id"] = json!(id);
        user.send(&frame).await?;
        let answer = user.expect_where("an answer", |answer| answer["re"] == id.as_str()).await?;
        assert_eq!(
            (&answer["type"], &answer["data"]["code"]),
            (&json!("error"), &json!(code)),
            "{frame}: {answer}"
        );
        assert!(
            !answer.to_string().contains("secret") && !answer.to_string().contains("Operations"),
            "{answer}"
        );
    }
    let everywhere = user.request(json!({"type": "search", "data": {"q": "secret"}})).await?;
    let rooms = user.request(json!({"type": "rooms"})).await?;
    let conversations = user.request(json!({"type": "conversations"})).await?;
    for listed in [&everywhere["messages"], &rooms["rooms"], &conversations["conversations"]] {
        assert!(
            !listed.to_string().contains("rooms/ops") && !listed.to_string().contains("\"ops\""),
            "{listed}"
        );
    }
    for (method, path, body) in CALLS {
        let answer = call(app, &user.token, method, path, body).await?;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.body);
        assert!(!answer.body.contains("secret") && !answer.body.contains("Operations"), "{}", answer.body);
    }
    for path in ["rooms", "conversations", "messages?q=secret&dest=public"] {
        let answer = call(app, &user.token, "GET", path, "").await?;
        assert!(
            !answer.body.contains("ops") && !answer.body.contains("secret plan"),
            "{path}: {}",
            answer.body
        );
    }
    Ok(())
}

#[tokio::test]
async fn strangers_and_those_who_were_removed_a_moment_ago_get_nothing() -> Result<()> {
    let app = App::builder().no_rate_limit().start().await?;
    let mut ann = app.user("Ann").await?;
    let (mut bob, mut eve) = (app.user("Bob").await?, app.user("Eve").await?);
    let create = json!({"type": "room.create", "dest": "rooms/ops",
        "data": {"title": "Operations", "open": false, "members": ["bob"]}});
    ann.request(create).await?;
    ann.join("rooms/ops").await?;
    bob.join("rooms/ops").await?;
    let secret = ann.say("rooms/ops", "the secret plan").await?;
    bob.expect_text("the secret plan").await?;
    let mine = bob.say("rooms/ops", "mine").await?;
    eventually("the message to be found", async || {
        let found = ann.request(json!({"type": "search", "data": {"q": "secret"}})).await?;
        Ok((found["messages"].as_array().map(Vec::len) == Some(1)).then_some(()))
    })
    .await?;
    is_a_stranger(&app, &mut eve, &secret.id).await?;
    let remove = json!({"type": "member.remove", "dest": "rooms/ops", "data": {"user": "bob"}});
    let removed = ann.request(remove).await?;
    assert_eq!(removed["members"], json!(["ann"]));
    // Not even their own.
    is_a_stranger(&app, &mut bob, &mine.id).await?;
    let last = ann.say("rooms/ops", "without them").await?;
    ann.expect_text("without them").await?;
    assert_eq!(last.seq, mine.seq + 2, "nothing of theirs was stored");
    for user in [&mut bob, &mut eve] {
        user.say("public", "the end").await?;
        let heard = user.seen();
        assert!(!heard.iter().any(|frame| frame.to_string().contains("without them")));
    }
    Ok(())
}

#[tokio::test]
async fn before_hello_nothing_is_answered_but_a_ping() -> Result<()> {
    let app = App::start().await?;
    for (mut frame, _) in frames("m1") {
        let mut socket = app.socket().await?;
        frame["id"] = json!("x");
        socket.send(&frame).await?;
        socket.expect_error("x", "hello_first").await?;
    }
    for (method, path, body) in CALLS {
        let request = Request::builder().method(*method).uri(format!("/api/v1/{path}"));
        let answer = http::send_with(app.address(), request, body).await?;
        assert_eq!(answer.status, 401, "{method} {path}");
    }
    Ok(())
}
